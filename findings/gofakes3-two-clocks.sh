#!/usr/bin/env bash
# gofakes3 has two clocks: one in the server, one in the memory backend. With a time source at the server only, one object has two times: HEAD says the
# time of the server, a list of the bucket says the real time. Both are the same only if the backend gets the time source too.
# Seen with gofakes3 1.2.0.
set -euo pipefail

version=v1.2.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// times stores an object, and returns its time in the answers of HEAD and of a list.
func times(backend gofakes3.Backend, clock gofakes3.TimeSource) (head, list string) {
	server := httptest.NewServer(gofakes3.New(backend, gofakes3.WithTimeSource(clock), gofakes3.WithTimeSkewLimit(0)).Server())
	defer server.Close()
	for _, call := range [][2]string{{"PUT", "/bucket"}, {"PUT", "/bucket/key"}} {
		r, err := http.NewRequest(call[0], server.URL+call[1], strings.NewReader(""))
		if err != nil {
			panic(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			panic(err)
		}
		answer.Body.Close()
	}
	answer, err := http.Head(server.URL + "/bucket/key")
	if err != nil {
		panic(err)
	}
	answer.Body.Close()
	listed, err := http.Get(server.URL + "/bucket?list-type=2")
	if err != nil {
		panic(err)
	}
	defer listed.Body.Close()
	text, err := io.ReadAll(listed.Body)
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(text), "<LastModified>")
	list, _, _ = strings.Cut(rest, "<")
	return answer.Header.Get("Last-Modified"), list
}

func main() {
	clock := gofakes3.FixedTimeSource(time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC))
	head, list := times(s3mem.New(), clock)
	fmt.Println("time source at the server: HEAD", head, "- list", list)
	bothHead, bothList := times(s3mem.New(s3mem.WithTimeSource(clock)), clock)
	fmt.Println("at the server and backend: HEAD", bothHead, "- list", bothList)
	if !strings.Contains(head, "2001") || strings.Contains(list, "2001") || !strings.Contains(bothHead, "2001") || !strings.Contains(bothList, "2001") {
		fmt.Println("changed: expected the year 2001 in all times but the first list")
		os.Exit(1)
	}
}
GO
go mod init example >/dev/null 2>&1
go get "github.com/johannesboyne/gofakes3@$version" >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
echo "gofakes3 $version"
go run .
