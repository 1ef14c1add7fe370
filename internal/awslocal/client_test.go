package awslocal_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"ecr-continuous-scan/internal/awslocal"
)

// clock is a time that a test moves on.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// serve starts e on a loopback port and returns a client that does not retry.
func serve(t *testing.T, e *awslocal.ECR, options ...func(*ecr.Options)) *ecr.Client {
	t.Helper()
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	o := ecr.Options{
		Region:       awslocal.DefaultRegion,
		BaseEndpoint: aws.String(server.URL),
		Credentials:  credentials.NewStaticCredentialsProvider("key", "secret", ""),
		Retryer:      aws.NopRetryer{},
		HTTPClient:   &http.Client{Transport: ownBody{server.Client().Transport}},
	}
	return ecr.New(o, options...)
}

// ownBody sends a copy of a request's body. The SDK closes the body as soon as the answer's header is there, and a server as near as this one
// answers now and then before net/http has looked whether the body has ended; it then closes the connection in the middle of the answer. The
// SDK would try again, which this client doesn't.
type ownBody struct{ http.RoundTripper }

func (t ownBody) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return t.RoundTripper.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		return nil, err
	}
	own := r.Clone(r.Context())
	own.Body = io.NopCloser(bytes.NewReader(body))
	return t.RoundTripper.RoundTrip(own)
}

// failure is an AWS error as a client sees it.
type failure struct {
	Code, Message string
	Status        int
}

func failureOf(err error) failure {
	var f failure
	var api smithy.APIError
	if errors.As(err, &api) {
		f.Code, f.Message = api.ErrorCode(), api.ErrorMessage()
	}
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) {
		f.Status = answer.HTTPStatusCode()
	}
	return f
}
