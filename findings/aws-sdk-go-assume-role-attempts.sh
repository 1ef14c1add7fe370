#!/usr/bin/env bash
# aws-sdk-go-v2: while STS answers with 500, one call to ECR requests the role in each of its own attempts, and the client of STS repeats each of
# these requests. With the default of three attempts, one call of DescribeImages makes nine calls of AssumeRole, and none to ECR.
# Seen with aws-sdk-go-v2 v1.48.0, service/ecr v1.67.5, service/sts v1.52.0, credentials v1.21.0.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func counting(calls *atomic.Int32, status int) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(status)
	}))
}

func main() {
	var assumed, described atomic.Int32
	stsServer, ecrServer := counting(&assumed, http.StatusInternalServerError), counting(&described, http.StatusOK)
	defer stsServer.Close()
	defer ecrServer.Close()
	cfg := aws.Config{Region: "us-west-2", Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")}
	role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint = &stsServer.URL }), "arn:aws:iam::123456789012:role/reader")
	client := ecr.NewFromConfig(cfg, func(o *ecr.Options) {
		o.BaseEndpoint, o.Credentials = &ecrServer.URL, aws.NewCredentialsCache(role)
	})
	_, err := client.DescribeImages(context.Background(), &ecr.DescribeImagesInput{RepositoryName: aws.String("app")})
	fmt.Printf("calls of AssumeRole: %d, calls to ECR: %d\nerror: %v\n", assumed.Load(), described.Load(), err)
	if assumed.Load() != 9 || described.Load() != 0 || err == nil {
		fmt.Fprintln(os.Stderr, "changed: expected 9 calls of AssumeRole, and none to ECR")
		os.Exit(1)
	}
}
GO
go mod init surprise 2> /dev/null
go get github.com/aws/aws-sdk-go-v2@v1.48.0 github.com/aws/aws-sdk-go-v2/credentials@v1.21.0 \
	github.com/aws/aws-sdk-go-v2/service/ecr@v1.67.5 github.com/aws/aws-sdk-go-v2/service/sts@v1.52.0 2> /dev/null
echo "$(go version), aws-sdk-go-v2 v1.48.0, service/ecr v1.67.5, service/sts v1.52.0"
go run .
