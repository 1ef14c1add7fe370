package ecr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/ecrclient"
)

func listImages(ctx context.Context, c *sdk.Client, repository string) error {
	_, err := c.DescribeImages(ctx, &sdk.DescribeImagesInput{RepositoryName: &repository})
	return err
}

// TestFaults injects each type of fault into DescribeImages of test/app, with and without a socket.
func TestFaults(t *testing.T) {
	const denied = "User: arn:aws:sts::123456789012:assumed-role/scan/session is not authorized to perform: ecr:DescribeImages on resource: " +
		"arn:aws:ecr:us-west-2:123456789012:repository/test/app because no identity-based policy allows the ecr:DescribeImages action"
	tests := []struct {
		name  string
		fault awslocal.Fault
		want  ecrclient.Failure
		count string
	}{
		{"5xx", awslocal.Fault{Status: 503}, ecrclient.NewFailure("ServerException", "The service is temporarily unavailable.", 503), "ServerException"},
		{"code", awslocal.Fault{Code: "KmsException", Message: "no key", Status: 400}, ecrclient.NewFailure("KmsException", "no key", 400), "KmsException"},
		{"server error", awslocal.Fault{Code: "ServerException"}, ecrclient.NewFailure("ServerException", "The service is temporarily unavailable.", 500), "ServerException"},
		{"throttled", awslocal.Fault{PerSecond: 1e-9, Burst: 1, After: 0}, ecrclient.Failure{}, ""},
		{"denied", ecr.Deny("", app), ecrclient.NewFailure("AccessDeniedException", denied, 400), "AccessDeniedException"},
		{"dropped", awslocal.Fault{Drop: true}, ecrclient.Failure{}, "dropped"},
		{"cut", awslocal.Fault{Cut: true}, ecrclient.Failure{}, "cut"},
		{"too many requests", awslocal.Fault{Code: "ThrottlingException", Status: 429}, ecrclient.NewFailure("ThrottlingException", "Rate exceeded", 429), "ThrottlingException"},
	}
	for _, test := range tests {
		for _, transport := range []string{"socket", "in process"} {
			t.Run(test.name+" "+transport, func(t *testing.T) {
				e := ecr.New(ecr.Options{})
				e.PutImage(app, ecr.Image{Tags: []string{"1"}})
				e.PutImage(ecr.RepositoryID{Name: "test/other"}, ecr.Image{Tags: []string{"1"}})
				c := ecrclient.InProcess(e)
				if transport == "socket" {
					c = ecrclient.Serve(t, e)
				}
				test.fault.Resource = app.Name
				undo := e.InjectFault(test.fault)
				err := listImages(t.Context(), c, app.Name)
				if test.count != "" && err == nil {
					t.Fatal("no error")
				}
				got := ecrclient.FailureOf(err)
				if test.want == (ecrclient.Failure{}) {
					got.Status = 0 // a truncated response has a status, a dropped one has none
					got.Code, got.Message = "", ""
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%v differs (-want +got):\n%s", err, diff)
				}
				if err := listImages(t.Context(), c, "test/other"); err != nil {
					t.Errorf("another repository: %v", err)
				}
				undo()
				if err := listImages(t.Context(), c, app.Name); err != nil {
					t.Errorf("after the fault: %v", err)
				}
				count := e.Count()
				if count.Calls["DescribeImages"] != 3 || count.Total() != 3 || test.count != "" && count.Errors["DescribeImages"][test.count] != 1 {
					t.Errorf("count %+v", count)
				}
			})
		}
	}
}

func TestFaultSelection(t *testing.T) {
	tests := []struct {
		name  string
		fault awslocal.Fault
		want  string // of ten calls: x fails, . succeeds
	}{
		{"all", awslocal.Fault{}, "xxxxxxxxxx"},
		{"three", awslocal.Fault{Calls: 3}, "xxx......."},
		{"three after two", awslocal.Fault{Calls: 3, After: 2}, "..xxx....."},
		{"half", awslocal.Fault{Share: 0.5}, ".x.x.x.x.x"},
		{"three tenths", awslocal.Fault{Share: 0.3}, "...x..x..x"},
		{"burst of four", awslocal.Fault{PerSecond: 1e-9, Burst: 4}, "....xxxxxx"},
		{"operation", awslocal.Fault{Operation: "DescribeImages"}, "xxxxxxxxxx"},
		{"other operation", awslocal.Fault{Operation: "BatchGetImage"}, ".........."},
		{"region", awslocal.Fault{Region: "us-west-2"}, "xxxxxxxxxx"},
		{"other region", awslocal.Fault{Region: "eu-west-1"}, ".........."},
		{"other registry", awslocal.Fault{Registry: "999999999999"}, ".........."},
		{"other repository", awslocal.Fault{Resource: "test"}, ".........."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := ecr.New(ecr.Options{Now: ecrclient.NewClock().Now})
			e.PutImage(app, ecr.Image{})
			if test.fault.PerSecond == 0 {
				test.fault.Status = 500
			}
			e.InjectFault(test.fault)
			c := ecrclient.InProcess(e)
			got := ""
			for range 10 {
				if listImages(t.Context(), c, app.Name) == nil {
					got += "."
				} else {
					got += "x"
				}
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			e.ClearFaults()
			if err := listImages(t.Context(), c, app.Name); err != nil {
				t.Errorf("after the faults are cleared: %v", err)
			}
		})
	}
}

// TestThrottleRate makes 100 calls per second for 10 seconds with a limit of 20 per second.
func TestThrottleRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := ecr.New(ecr.Options{})
		e.PutImage(app, ecr.Image{})
		e.InjectFault(awslocal.Throttle("DescribeImages", 20))
		c := ecrclient.InProcess(e)
		passed := 0
		for range 1000 {
			err := listImages(t.Context(), c, app.Name)
			if err == nil {
				passed++
			} else if got, want := ecrclient.FailureOf(err), (ecrclient.NewFailure("ThrottlingException", "Rate exceeded", 400)); got != want {
				t.Fatalf("got %+v, want %+v", got, want)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if passed < 218 || passed > 220 { // 20 per second and a burst of 20
			t.Errorf("%d calls passed", passed)
		}
		if n := e.Count().Errors["DescribeImages"]["ThrottlingException"]; n != 1000-passed {
			t.Errorf("%d throttled, want %d", n, 1000-passed)
		}
	})
}

// TestFaultHang cancels hanging calls and checks the number of calls in progress.
func TestFaultHang(t *testing.T) {
	for _, transport := range []string{"socket", "in process"} {
		t.Run(transport, func(t *testing.T) {
			e := ecr.New(ecr.Options{})
			e.PutImage(app, ecr.Image{})
			e.InjectFault(awslocal.Fault{Hang: true})
			c := ecrclient.InProcess(e)
			if transport == "socket" {
				c = ecrclient.Serve(t, e)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var calls sync.WaitGroup
			for range 5 {
				calls.Go(func() {
					if err := listImages(ctx, c, app.Name); !errors.Is(err, context.Canceled) {
						t.Errorf("got %v", err)
					}
				})
			}
			for e.Count().InFlight < 5 {
				time.Sleep(time.Millisecond)
			}
			cancel()
			calls.Wait()
			for e.Count().InFlight > 0 {
				time.Sleep(time.Millisecond)
			}
			count := e.Count()
			if count.MaxInFlight != 5 || count.MaxInFlightByOperation["DescribeImages"] != 5 || count.Errors["DescribeImages"]["canceled"] != 5 {
				t.Errorf("count %+v", count)
			}
			e.ResetCount()
			if c := e.Count(); c.Total() != 0 || c.MaxInFlight != 0 {
				t.Errorf("after a reset: %+v", c)
			}
		})
	}
}

// TestTransportEndsTruncatedBody reads a truncated response to its end.
func TestTransportEndsTruncatedBody(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (awslocal.Transport{Handler: h}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); string(body) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("body %q, %v", body, err)
	}
}

// TestConcurrentCalls calls all methods concurrently, for the race detector.
func TestConcurrentCalls(t *testing.T) {
	e := ecr.New(ecr.Options{ScanTime: -1})
	c := ecrclient.Serve(t, e)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 20 {
				ref := fmt.Sprint(n)
				e.PutImage(app, ecr.Image{Tags: []string{ref, fmt.Sprint(i, "-", n)}})
				_ = startScan(t.Context(), c, ref) // another goroutine may have started it
				_ = listImages(t.Context(), c, app.Name)
				_ = e.UpdateImage(app, ref, func(img *ecr.Image) { img.Findings = []ecr.Finding{{Name: ref}} })
				_ = e.DeleteImage(app, ref)
				e.InjectFault(awslocal.Fault{Operation: "None", Calls: n})()
				e.Images(app)
				e.Count()
			}
		})
	}
	all.Wait()
	if n := e.Count().InFlight; n != 0 {
		t.Errorf("%d calls still in progress", n)
	}
}
