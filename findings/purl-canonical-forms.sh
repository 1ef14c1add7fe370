#!/usr/bin/env bash
# packageurl-go and packageurl-js, both of the package-url project: for the same valid package URL they print different canonical forms. The versions of
# Debian packages often have a +, which only the Go library encodes. Only packageurl-js changes names of oci and npm packages to lower case, and only
# packageurl-go those of golang packages. So equal packages can have different texts: compare the parsed parts, ignoring case where the type does.
# Seen with packageurl-go v0.1.7 and packageurl-js 2.0.1: four of six package URLs differ. Those of pypi and rpm are equal.
set -euo pipefail

go_version=v0.1.7 js_version=2.0.1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > purls <<'LIST'
pkg:deb/debian/openssl@3.0.15-1~deb12u1+b1?arch=amd64
pkg:golang/github.com/BurntSushi/toml@v1.4.0
pkg:npm/JSONStream@1.3.5
pkg:oci/App@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
pkg:pypi/Flask_Login@0.6.3
pkg:rpm/amzn/openssl-libs@3.0.8-1.amzn2023?epoch=1&arch=x86_64
LIST

cat > main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/package-url/packageurl-go"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		p, err := packageurl.FromString(lines.Text())
		if err != nil {
			panic(err)
		}
		fmt.Println(p.ToString())
	}
}
GO
cat > main.mjs <<'JS'
import { readFileSync } from 'node:fs'
import { PackageURL } from 'packageurl-js'

for (const line of readFileSync(0, 'utf8').trim().split('\n')) {
  console.log(PackageURL.fromString(line).toString())
}
JS
go mod init surprise 2> /dev/null
go get "github.com/package-url/packageurl-go@$go_version" 2> /dev/null
npm install --silent --no-audit --no-fund "packageurl-js@$js_version" > /dev/null

echo "packageurl-go $go_version, packageurl-js $js_version"
go run . < purls > go.txt
node main.mjs < purls > js.txt
different=
while IFS=$'\t' read -r purl from_go from_js; do
	printf '%s\n  Go          %s\n  JavaScript  %s\n' "$purl" "$from_go" "$from_js"
	if [[ $from_go != "$from_js" ]]; then
		type=${purl#pkg:}
		different+="${type%%/*} "
	fi
done < <(paste purls go.txt js.txt)
echo "different: $different"
if [[ $different != "deb golang npm oci " ]]; then
	echo "changed: expected that those of deb, golang, npm and oci differ" >&2
	exit 1
fi
