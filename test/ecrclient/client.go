// Package ecrclient contains what the tests of the embedded services share: a Clock, and clients of AWS's SDK that do not
// retry. It does not depend on the service's packages.
package ecrclient

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
	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
)

// Clock is a clock that only changes when a test advances it.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// NewClock returns a Clock that is set to 2026-11-24 12:00 UTC.
func NewClock() *Clock { return &Clock{t: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

// Now returns the current time of the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Advance adds d to the time.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// Serve starts e on a loopback port and returns a client that does not retry.
func Serve(t *testing.T, e *ecr.ECR, options ...func(*sdk.Options)) *sdk.Client {
	t.Helper()
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	o := sdk.Options{
		Region:       awslocal.DefaultRegion,
		BaseEndpoint: aws.String(server.URL),
		Credentials:  credentials.NewStaticCredentialsProvider("key", "secret", ""),
		Retryer:      aws.NopRetryer{},
		HTTPClient:   &http.Client{Transport: copyBody{server.Client().Transport}},
	}
	return sdk.New(o, options...)
}

// copyBody sends a copy of a request's body. The SDK closes the original body as soon as the response header has arrived. A
// server on the same machine sometimes responds before net/http has read the end of the body. net/http then closes the
// connection while the response is being read. This client does not retry, so the copy prevents the error.
type copyBody struct{ http.RoundTripper }

func (t copyBody) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return t.RoundTripper.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		return nil, err
	}
	copied := r.Clone(r.Context())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	return t.RoundTripper.RoundTrip(copied)
}

// Failure contains the parts of an AWS error that a client can see.
type Failure struct {
	Code, Message string
	Status        int
}

// NewFailure returns a Failure with an HTTP status.
func NewFailure(code, message string, status int) Failure { return Failure{code, message, status} }

// FailureOf converts an error of the SDK. It returns the zero value for nil and for errors that are not from AWS.
func FailureOf(err error) Failure {
	var f Failure
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

// InProcess returns a client that calls e without a socket.
func InProcess(e *ecr.ECR) *sdk.Client {
	return sdk.New(sdk.Options{
		Region: awslocal.DefaultRegion, BaseEndpoint: aws.String("http://ecr.example"),
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
		Retryer:     aws.NopRetryer{}, HTTPClient: &http.Client{Transport: awslocal.Transport{Handler: e}},
	})
}

// Tag returns an image identifier with a tag.
func Tag(s string) *types.ImageIdentifier { return &types.ImageIdentifier{ImageTag: &s} }
