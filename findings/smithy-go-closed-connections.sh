#!/usr/bin/env bash
# aws-sdk-go-v2 with smithy-go: against a server that answers at once, such as an emulator of AWS on the same machine, some calls close a connection that
# another call could have used. smithy-go closes the body of a request as soon as it has the answer. If net/http still looks for more bytes of the
# body at this moment, it gets io.EOF as an error from the body's WriteTo, and gives up the connection. With 2 ms of latency this does not happen.
# Seen with aws-sdk-go-v2 v1.48.0, service/ecr v1.67.5 and smithy-go v1.28.9: 5,000 calls, one after another, open 146 to 219 connections. The same
# requests of net/http alone use one.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

const calls = 5000

func main() {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"imageDetails":[]}`)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()

	plain := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	for range calls {
		answer, err := plain.Post(server.URL, "application/x-amz-json-1.1", bytes.NewReader([]byte(`{"repositoryName":"app"}`)))
		if err != nil {
			panic(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	withoutSDK := connections.Swap(0)

	client := ecr.New(ecr.Options{Region: "us-west-2", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("id", "key", "")})
	for range calls {
		if _, err := client.DescribeImages(context.Background(), &ecr.DescribeImagesInput{RepositoryName: aws.String("app")}); err != nil {
			panic(err)
		}
	}
	withSDK := connections.Load()
	fmt.Printf("%d calls: %d connections with net/http, %d with the SDK\n", calls, withoutSDK, withSDK)
	if withoutSDK != 1 || withSDK < 2 {
		fmt.Fprintln(os.Stderr, "changed: expected one connection with net/http, and several with the SDK")
		os.Exit(1)
	}
}
GO
go mod init surprise 2> /dev/null
go get github.com/aws/aws-sdk-go-v2@v1.48.0 github.com/aws/aws-sdk-go-v2/credentials@v1.21.0 github.com/aws/aws-sdk-go-v2/service/ecr@v1.67.5 github.com/aws/smithy-go@v1.28.9 2> /dev/null
echo "$(go version), aws-sdk-go-v2 v1.48.0, service/ecr v1.67.5, smithy-go v1.28.9"
go run .
