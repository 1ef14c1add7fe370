#!/usr/bin/env bash
# The merge command of the SARIF Multitool leaves out a run that has no results, and with it the invocation that says that the tool failed.
# The merged log of a failed scan and a successful one then looks like one successful scan.
# Seen with @microsoft/sarif-multitool 5.7.0 on Linux.
set -euo pipefail

version=5.7.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
npm install --no-audit --no-fund --silent --ignore-scripts "@microsoft/sarif-multitool@$version"
multitool=node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool
chmod +x "$multitool"

# log NAME SUCCESS RESULTS writes a log with one run.
log() {
	cat > "$1.sarif" <<SARIF
{
  "\$schema": "https://json.schemastore.org/sarif-2.1.0.json",
  "version": "2.1.0",
  "runs": [{
    "tool": {"driver": {"name": "$1", "version": "1.0.0", "rules": [{"id": "R1"}]}},
    "invocations": [{"executionSuccessful": $2, "toolExecutionNotifications": [{"message": {"text": "about $1"}, "level": "error"}]}],
    "results": [$3]
  }]
}
SARIF
}
log failed false ''
log good true '{"ruleId": "R1", "message": {"text": "A finding."}, "locations": [{"physicalLocation": {"artifactLocation": {"uri": "a.txt"}}}]}'

"$multitool" merge failed.sarif good.sarif --output-directory . --output-file merged.sarif > output.txt
echo "sarif-multitool $version merged a failed run and a good one into:"
runs=$(node -e 'const l = JSON.parse(require("fs").readFileSync("merged.sarif", "utf8").replace(/^\uFEFF/, ""));
for (const r of l.runs) console.log(r.tool.driver.name, JSON.stringify((r.invocations || []).map(i => i.executionSuccessful)));')
echo "$runs"
if grep -q '^failed' <<<"$runs" || ! grep -q '^good' <<<"$runs"; then
	echo "changed: expected only the run named good" >&2
	exit 1
fi
