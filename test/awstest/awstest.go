// Package awstest starts an embedded S3 and ECR for a test, on loopback ports. The service's own clients call them, so that
// tests also cover serialisation, error formats, paging and retries. The package contains no checks of results.
package awstest

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/setup"
)

// Bucket is the name of the embedded S3's only bucket.
const Bucket = "ecr-scan-config"

// WalkthroughSummary is the summary of the three sample configs with the images of [samples.PutWalkthrough], as shown in the
// README.
const WalkthroughSummary = `Results for amazonlinux:2018.03 in us-west-2:


Results for test/centos:7 in us-west-2:
 HIGH: 7
 MEDIUM: 20
 LOW: 7


Results for test/ubuntu:16.04 in us-west-2:
 MEDIUM: 8
 LOW: 24
 INFORMATIONAL: 19


Results for test/ubuntu:latest in us-west-2:
 MEDIUM: 7
 LOW: 13
 INFORMATIONAL: 9


`

// AWS contains the running embedded services. They stop at the end of the test.
type AWS struct {
	ECR           *ecr.ECR
	S3            *awslocal.S3
	ECRURL, S3URL string

	offset atomic.Int64
}

// Start starts an ECR without repositories and an S3 with an empty bucket.
func Start(tb testing.TB, o ecr.Options) *AWS {
	tb.Helper()
	store, err := awslocal.NewMemoryS3(Bucket)
	if err != nil {
		tb.Fatal(err)
	}
	a := &AWS{S3: store}
	if o.Now == nil {
		o.Now = a.Now
	}
	a.ECR = ecr.New(o)
	ecrServer, s3Server := httptest.NewServer(a.handler(a.ECR)), httptest.NewServer(a.handler(a.S3))
	tb.Cleanup(func() { // also stops calls that hang
		ecrServer.CloseClientConnections()
		s3Server.CloseClientConnections()
		ecrServer.Close()
		s3Server.Close()
	})
	a.ECRURL, a.S3URL = ecrServer.URL, s3Server.URL
	return a
}

func (a *AWS) handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", a.Now().UTC().Format(http.TimeFormat))
		h.ServeHTTP(w, r)
	})
}

// Advance advances the clocks of both services by d.
func (a *AWS) Advance(d time.Duration) { a.offset.Add(int64(d)) }

// Now returns the time of both services' clocks.
func (a *AWS) Now() time.Time { return time.Now().Add(time.Duration(a.offset.Load())) }

// Config returns the settings of [setup.Loopback] with the same retries after a hundredth of the time, so that tests of failing calls do not wait.
func Config(endpoint string) aws.Config {
	cfg := setup.Loopback(endpoint)
	retryer := cfg.Retryer
	cfg.Retryer = func() aws.Retryer { return impatient{retryer().(aws.RetryerV2)} }
	return cfg
}

type impatient struct{ aws.RetryerV2 }

// RetryDelay implements [aws.Retryer].
func (r impatient) RetryDelay(attempt int, err error) (time.Duration, error) {
	delay, err := r.RetryerV2.RetryDelay(attempt, err)
	return delay / 100, err
}

// InProcess returns the settings for an embedded service that is called without a socket. A fake clock cannot wait for sockets, and many
// calls are faster.
func InProcess(h http.Handler) aws.Config {
	cfg := setup.Loopback("http://127.0.0.1:1")
	cfg.HTTPClient = &http.Client{Transport: awslocal.Transport{Handler: h}}
	return cfg
}

// S3Client returns a client of the embedded S3, for objects that the service does not write itself.
func (a *AWS) S3Client() *s3.Client {
	return setup.NewS3Client(Config(a.S3URL))
}

// Silent returns a logger that discards all messages.
func Silent() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
