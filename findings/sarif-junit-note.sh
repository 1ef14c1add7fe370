#!/usr/bin/env bash
# sarif-junit writes a SARIF result of level "note" as a test that passed. A CI that shows JUnit reports then shows no trace of it.
# Seen with sarif-junit 1.1.4: a log with one result of level note and one of level warning becomes two test cases, of which
# only the warning has a failure.
set -euo pipefail

version=1.1.4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --no-audit --no-fund --silent --ignore-scripts "sarif-junit@$version"

cat > log.sarif <<'SARIF'
{
  "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
  "version": "2.1.0",
  "runs": [{
    "tool": {"driver": {"name": "example", "version": "1.0.0", "rules": [{"id": "note-rule"}, {"id": "warning-rule"}]}},
    "results": [
      {"ruleId": "note-rule", "level": "note", "message": {"text": "A note."}, "locations": [{"physicalLocation": {"artifactLocation": {"uri": "a.txt"}}}]},
      {"ruleId": "warning-rule", "level": "warning", "message": {"text": "A warning."}, "locations": [{"physicalLocation": {"artifactLocation": {"uri": "b.txt"}}}]}
    ]
  }]
}
SARIF
node_modules/.bin/sarif-junit -i log.sarif -o report.xml > output.txt
echo "sarif-junit $version wrote:"
cat report.xml
echo

cases=$(grep -o '<testcase' report.xml | wc -l)
failures=$(grep -o '<failure' report.xml | wc -l)
echo "test cases: $cases, failures: $failures"
if [ "$cases" -ne 2 ] || [ "$failures" -ne 1 ]; then
	echo "changed: expected 2 test cases and 1 failure" >&2
	exit 1
fi
