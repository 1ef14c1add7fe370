// Package ecrclient has what tests of the embedded services share: a Clock that they move on, and clients of AWS's SDK that do not retry. It knows
// nothing of the service itself.
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

// Clock is a time that a test moves on.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// NewClock stands still at noon of a day.
func NewClock() *Clock { return &Clock{t: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Move moves the time on.
func (c *Clock) Move(d time.Duration) {
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
		HTTPClient:   &http.Client{Transport: ownBody{server.Client().Transport}},
	}
	return sdk.New(o, options...)
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

// Failure is an AWS error as a client sees it.
type Failure struct {
	Code, Message string
	Status        int
}

// Failed is an error with a status of HTTP.
func Failed(code, message string, status int) Failure { return Failure{code, message, status} }

// FailureOf is what a client sees of an error; the zero value when it is none of AWS.
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

// InProcess is a client of a registry without a network.
func InProcess(e *ecr.ECR) *sdk.Client {
	return sdk.New(sdk.Options{
		Region: awslocal.DefaultRegion, BaseEndpoint: aws.String("http://ecr.example"),
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
		Retryer:     aws.NopRetryer{}, HTTPClient: &http.Client{Transport: awslocal.Transport{Handler: e}},
	})
}

// Tag names an image by its tag.
func Tag(s string) *types.ImageIdentifier { return &types.ImageIdentifier{ImageTag: &s} }
