package ecrscan_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
)

// newInProcess returns an ECR and a client that use no socket, as synctest's fake clock requires.
func newInProcess() (*ecr.ECR, *ecrscan.Client) {
	e := ecr.New(ecr.Options{})
	return e, ecrscan.New(inProcessConfig(e))
}

func inProcessConfig(h http.Handler) aws.Config {
	cfg := setup.Loopback("http://ecr.example")
	cfg.HTTPClient = &http.Client{Transport: awslocal.Transport{Handler: h}}
	return cfg
}

// afterListing calls do after h has responded to DescribeImages.
func afterListing(h http.Handler, do func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DescribeImages") {
			do()
		}
	})
}

// throttlingFault returns f with one of the four forms of AWS's throttling errors.
func throttlingFault(f awslocal.Fault, i int) awslocal.Fault {
	form := []awslocal.Fault{{Code: "ThrottlingException"}, {Code: "TooManyRequestsException", Status: 429}, {Code: "Odd", Status: 429}, {Code: "Throttling", Status: 503}}[i]
	f.Code, f.Status = form.Code, form.Status
	return f
}

func TestThrottledUntilTheDeadline(t *testing.T) {
	for i := range 4 {
		synctest.Test(t, func(t *testing.T) {
			e, c := newInProcess()
			digest := e.PutImage(id, ecr.Image{ScannedAt: time.Now().Add(-25 * time.Hour)})
			fault := throttlingFault(awslocal.Fault{}, i)
			e.InjectFault(fault)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			began := time.Now()
			err := c.StartScan(ctx, repo, digest)
			if scan.CodeOf(err) != scan.Unavailable || scan.MessageOf(err) != "throttled by ECR" || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%+v: %v", fault, err)
			}
			if took := time.Since(began); took != 10*time.Second {
				t.Errorf("%+v: gave up after %s, want 10 s", fault, took)
			}
			if n := e.Count().Calls["StartImageScan"]; n < 5 || n > 20 {
				t.Errorf("%+v: %d calls in 10 s", fault, n)
			}
			e.ClearFaults()
			if err := c.StartScan(t.Context(), repo, digest); err != nil {
				t.Errorf("after the fault: %v", err)
			}
		})
	}
}

// Throttled calls of each operation are retried until they succeed. The caller sees no error.
func TestThrottledCallsAreRetried(t *testing.T) {
	for name, call := range map[string]func(ctx context.Context, c *ecrscan.Client, digest string) error{
		"DescribeImages": func(ctx context.Context, c *ecrscan.Client, _ string) error {
			_, err := imagesOf(c.Images(ctx, repo, scan.Wanted{}))
			return err
		},
		"DescribeImageScanFindings": func(ctx context.Context, c *ecrscan.Client, digest string) error {
			_, err := c.Findings(ctx, repo, digest)
			return err
		},
		"StartImageScan": func(ctx context.Context, c *ecrscan.Client, digest string) error {
			return c.StartScan(ctx, repo, digest)
		},
		"BatchGetImage": func(ctx context.Context, c *ecrscan.Client, _ string) error {
			images, err := imagesOf(c.Images(ctx, repo, scan.Wanted{Tags: []string{"multi"}}))
			if err == nil && images[0].Err != nil {
				return images[0].Err
			}
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			e, c := newInProcess()
			digest := e.PutImage(id, ecr.Image{ScannedAt: time.Now().Add(-25 * time.Hour)})
			e.PutImage(id, ecr.Image{Tags: []string{"multi"}, Children: []ecr.Child{{Digest: digest, OS: "linux", Arch: "arm64"}}})
			e.InjectFault(awslocal.Fault{Operation: name, Code: "ThrottlingException", Calls: 7})
			if err := call(t.Context(), c, digest); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if n := e.Count().Calls[name]; n != 8 {
				t.Errorf("%s: %d calls, want 8", name, n)
			}
		})
	}
}

// After an error with the header X-Amz-Retry-After, no call of the operation is sent before that time, but at most 5 seconds.
func TestRetryAfterIsHeeded(t *testing.T) {
	for _, tt := range []struct{ after, want time.Duration }{{3 * time.Second, 3 * time.Second}, {time.Hour, 5 * time.Second}} {
		for _, fault := range []awslocal.Fault{{Code: "ThrottlingException"}, {Status: 500}} {
			synctest.Test(t, func(t *testing.T) {
				e, c := newInProcess()
				digest := e.PutImage(id, ecr.Image{ScannedAt: time.Now().Add(-25 * time.Hour)})
				fault.Calls, fault.RetryAfter = 1, tt.after
				e.InjectFault(fault)
				began := time.Now()
				if _, err := c.Findings(t.Context(), repo, digest); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took < tt.want || took > tt.want+time.Second || e.Count().Total() != 2 {
					t.Errorf("%+v: the second of %d calls after %s, want %s", fault, e.Count().Total(), took, tt.want)
				}
			})
		}
	}
}

// The SDK treats LimitExceededException as throttling. The client does not retry it.
func TestLimitExceededIsNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := newInProcess()
		e.PutRepository(id, ecr.Repository{})
		e.InjectFault(awslocal.Fault{Code: "LimitExceededException"})
		_, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
		if scan.CodeOf(err) != scan.Unavailable || e.Count().Total() != 1 {
			t.Errorf("%d calls, %v", e.Count().Total(), err)
		}
	})
}

// If ECR allows one call every two seconds, each of many callers is served, about in the order of arrival. Callers whose
// context ends return immediately.
func TestNoCallerStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 300
		e, c := newInProcess()
		digest := e.PutImage(id, ecr.Image{ScannedAt: time.Now().Add(-25 * time.Hour)})
		e.InjectFault(awslocal.Fault{PerSecond: 0.5, Burst: 1, Delay: 30 * time.Millisecond})
		began := time.Now()
		var all sync.WaitGroup
		var last time.Duration
		var mu sync.Mutex
		for i := range callers {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				ctx, limited := t.Context(), i%3 == 0
				if limited {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Minute)
					defer cancel()
				}
				called := time.Now()
				_, err := c.Findings(ctx, repo, digest)
				took := time.Since(called)
				switch {
				case err != nil && (!limited || took != time.Minute || scan.MessageOf(err) != "throttled by ECR"):
					t.Errorf("caller %d after %s: %v", i, took, err)
				case err == nil:
					mu.Lock()
					last = max(last, time.Since(began))
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if most := callers * 2 * time.Second * 13 / 10; last > most {
			t.Errorf("the last caller was served after %s, want less than %s", last, most)
		}
		if n := e.Count().InFlight; n != 0 {
			t.Errorf("%d calls still in progress", n)
		}
	})
}

// Throttling of one operation, Region or registry does not slow down the others.
func TestThrottlingSlowsNoOtherRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c := newInProcess()
		where := map[string]scan.Repository{
			"here": repo, "another Region": {Registry: repo.Registry, Region: "eu-west-1", Name: repo.Name}, "another registry": {Registry: "999999999999", Region: repo.Region, Name: repo.Name},
		}
		digests := map[string]string{}
		for at, r := range where {
			digests[at] = e.PutImage(ecr.RepositoryID{Region: r.Region, Registry: r.Registry, Name: r.Name}, ecr.Image{ScannedAt: time.Now().Add(-25 * time.Hour)})
		}
		e.InjectFault(awslocal.Fault{Region: repo.Region, Registry: repo.Registry, Operation: "DescribeImageScanFindings", Code: "ThrottlingException"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var throttled sync.WaitGroup
		for range 200 {
			throttled.Go(func() { _, _ = c.Findings(ctx, repo, digests["here"]) })
		}
		synctest.Wait()
		began := time.Now()
		for at, r := range where {
			if err := c.StartScan(t.Context(), r, digests[at]); err != nil {
				t.Errorf("%s: %v", at, err)
			}
			if at == "here" {
				continue
			}
			if _, err := c.Findings(t.Context(), r, digests[at]); err != nil {
				t.Errorf("%s: %v", at, err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Error(fmt.Sprint("the others took ", took))
		}
		cancel()
		throttled.Wait()
	})
}
