#!/usr/bin/env bash
# go-json-experiment/json: MarshalWrite to a bytes.Buffer that is large enough still enlarges the buffer, if less than a part of it would
# stay free. So a buffer of the right size is allocated twice, and copied. jsontext.AppendQuote to a slice of the same size does not.
# Seen with v0.0.0-20260213210345-44df1a37e875: 90,002 bytes are written to a buffer of about 100,000 bytes, which then has twice as many.
set -euo pipefail

version=v0.0.0-20260213210345-44df1a37e875
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func main() {
	text := strings.Repeat("a", 90_000)
	var buffer bytes.Buffer
	buffer.Grow(100_000)
	before := buffer.Cap()
	if err := json.MarshalWrite(&buffer, text); err != nil {
		panic(err)
	}
	fmt.Printf("MarshalWrite: %d bytes, capacity before %d, after %d\n", buffer.Len(), before, buffer.Cap())
	quoted, err := jsontext.AppendQuote(make([]byte, 0, 100_000), text)
	if err != nil {
		panic(err)
	}
	fmt.Printf("AppendQuote: %d bytes, capacity before 100000, after %d\n", len(quoted), cap(quoted))
	if buffer.Len() > before || buffer.Cap() == before || cap(quoted) != 100_000 {
		fmt.Fprintln(os.Stderr, "changed: expected that only the capacity of the buffer grows, although it was large enough")
		os.Exit(1)
	}
}
GO
go mod init surprise 2> /dev/null
go get "github.com/go-json-experiment/json@$version" 2> /dev/null
echo "$(go version), github.com/go-json-experiment/json $version"
go run .
