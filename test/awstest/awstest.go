// Package awstest starts an embedded S3 and ECR for a test, on loopback ports, and points the service's own clients at them, so that a test
// covers serialisation, error shapes, paging and retries too. It knows nothing of what the service does with the answers.
package awstest

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/setup"
)

// Bucket is the one bucket of the embedded S3.
const Bucket = "ecr-scan-config"

// WalkthroughSummary is the summary of the three sample configs over awslocal's walkthrough, as the README shows it.
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

// AWS is a running stand-in. It ends with the test that started it.
type AWS struct {
	ECR           *ecr.ECR
	S3            *awslocal.S3
	ECRURL, S3URL string

	slow  atomic.Bool
	later atomic.Int64
	turn  sync.Mutex
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
	ecrServer, s3Server := httptest.NewServer(a.queue(a.ECR)), httptest.NewServer(a.queue(a.S3))
	tb.Cleanup(func() { // what hangs must not outlive the test
		ecrServer.CloseClientConnections()
		s3Server.CloseClientConnections()
		ecrServer.Close()
		s3Server.Close()
	})
	a.ECRURL, a.S3URL = ecrServer.URL, s3Server.URL
	return a
}

// OneByOne makes both services answer one call at a time, as if each waited for the one before. It is what side by side is measured against.
func (a *AWS) OneByOne(on bool) { a.slow.Store(on) }

func (a *AWS) queue(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.slow.Load() {
			a.turn.Lock()
			defer a.turn.Unlock()
		}
		w.Header().Set("Date", a.Now().UTC().Format(http.TimeFormat))
		h.ServeHTTP(w, r)
	})
}

// Later lets time pass by the clocks of both services.
func (a *AWS) Later(d time.Duration) { a.later.Add(int64(d)) }

// Now is the time by these clocks.
func (a *AWS) Now() time.Time { return time.Now().Add(time.Duration(a.later.Load())) }

// S3Client is a client of the embedded S3, to put what the service does not.
func (a *AWS) S3Client() *s3.Client {
	return s3.NewFromConfig(setup.Loopback(a.S3URL), func(o *s3.Options) { o.UsePathStyle = true })
}

// Silent is a log that nobody reads.
func Silent() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
