package awslocal_test

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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
)

// inProcess returns a client without a socket, which does not retry.
func inProcess(e *awslocal.ECR) *ecr.Client {
	return ecr.New(ecr.Options{
		Region: awslocal.DefaultRegion, BaseEndpoint: aws.String("http://ecr.example"),
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
		Retryer:     aws.NopRetryer{}, HTTPClient: &http.Client{Transport: awslocal.Transport{Handler: e}},
	})
}

func listImages(ctx context.Context, c *ecr.Client, repository string) error {
	_, err := c.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: &repository})
	return err
}

// TestFaults makes ListImages of test/app go wrong in each way, over a socket and
// without one.
func TestFaults(t *testing.T) {
	const denied = "User: arn:aws:sts::123456789012:assumed-role/scan/session is not authorized to perform: ecr:ListImages on resource: " +
		"arn:aws:ecr:us-west-2:123456789012:repository/test/app because no identity-based policy allows the ecr:ListImages action"
	tests := []struct {
		name  string
		fault awslocal.Fault
		want  failure
		count string
	}{
		{"5xx", awslocal.Fault{Status: 503}, failure{"ServerException", "The service is temporarily unavailable.", 503}, "ServerException"},
		{"code", awslocal.Fault{Code: "KmsException", Message: "no key", Status: 400}, failure{"KmsException", "no key", 400}, "KmsException"},
		{"server error", awslocal.Fault{Code: "ServerException"}, failure{"ServerException", "The service is temporarily unavailable.", 500}, "ServerException"},
		{"throttled", awslocal.Fault{PerSecond: 1e-9, Burst: 1, After: 0}, failure{}, ""},
		{"denied", awslocal.Deny("", app), failure{"AccessDeniedException", denied, 400}, "AccessDeniedException"},
		{"dropped", awslocal.Fault{Drop: true}, failure{}, "dropped"},
		{"cut", awslocal.Fault{Cut: true}, failure{}, "cut"},
		{"too many requests", awslocal.Fault{Code: "ThrottlingException", Status: 429}, failure{"ThrottlingException", "Rate exceeded", 429}, "ThrottlingException"},
	}
	for _, test := range tests {
		for _, way := range []string{"socket", "in process"} {
			t.Run(test.name+" "+way, func(t *testing.T) {
				e := awslocal.NewECR(awslocal.ECROptions{})
				e.PutImage(app, awslocal.Image{Tags: []string{"1"}})
				e.PutImage(awslocal.RepositoryID{Name: "test/other"}, awslocal.Image{Tags: []string{"1"}})
				c := inProcess(e)
				if way == "socket" {
					c = serve(t, e)
				}
				test.fault.Resource = app.Name
				undo := e.Disturb(test.fault)
				err := listImages(t.Context(), c, app.Name)
				if test.count != "" && err == nil {
					t.Fatal("no error")
				}
				got := failureOf(err)
				if test.want == (failure{}) {
					got.Status = 0 // a cut answer has one, a dropped one has not
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
				if count.Calls["ListImages"] != 3 || count.Total() != 3 || test.count != "" && count.Errors["ListImages"][test.count] != 1 {
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
		want  string // of ten calls, which go wrong
	}{
		{"all", awslocal.Fault{}, "xxxxxxxxxx"},
		{"three", awslocal.Fault{Calls: 3}, "xxx......."},
		{"three after two", awslocal.Fault{Calls: 3, After: 2}, "..xxx....."},
		{"half", awslocal.Fault{Share: 0.5}, ".x.x.x.x.x"},
		{"three tenths", awslocal.Fault{Share: 0.3}, "...x..x..x"},
		{"burst of four", awslocal.Fault{PerSecond: 1e-9, Burst: 4}, "....xxxxxx"},
		{"operation", awslocal.Fault{Operation: "ListImages"}, "xxxxxxxxxx"},
		{"other operation", awslocal.Fault{Operation: "DescribeImages"}, ".........."},
		{"region", awslocal.Fault{Region: "us-west-2"}, "xxxxxxxxxx"},
		{"other region", awslocal.Fault{Region: "eu-west-1"}, ".........."},
		{"other registry", awslocal.Fault{Registry: "999999999999"}, ".........."},
		{"other repository", awslocal.Fault{Resource: "test"}, ".........."},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := awslocal.NewECR(awslocal.ECROptions{Now: newClock().Now})
			e.PutImage(app, awslocal.Image{})
			if test.fault.PerSecond == 0 {
				test.fault.Status = 500
			}
			e.Disturb(test.fault)
			c := inProcess(e)
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
			e.Calm()
			if err := listImages(t.Context(), c, app.Name); err != nil {
				t.Errorf("calm: %v", err)
			}
		})
	}
}

// TestThrottleRate calls 100 times a second for 10 seconds where 20 are allowed.
func TestThrottleRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := awslocal.NewECR(awslocal.ECROptions{})
		e.PutImage(app, awslocal.Image{})
		e.Disturb(awslocal.Throttle("ListImages", 20))
		c := inProcess(e)
		passed := 0
		for range 1000 {
			err := listImages(t.Context(), c, app.Name)
			if err == nil {
				passed++
			} else if got, want := failureOf(err), (failure{"ThrottlingException", "Rate exceeded", 400}); got != want {
				t.Fatalf("got %+v, want %+v", got, want)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if passed < 218 || passed > 220 { // 20 a second and a burst of 20
			t.Errorf("%d calls passed", passed)
		}
		if n := e.Count().Errors["ListImages"]["ThrottlingException"]; n != 1000-passed {
			t.Errorf("%d throttled, want %d", n, 1000-passed)
		}
	})
}

// TestHang lets a client's deadline end a call, and counts what is in flight.
func TestHang(t *testing.T) {
	for _, way := range []string{"socket", "in process"} {
		t.Run(way, func(t *testing.T) {
			e := awslocal.NewECR(awslocal.ECROptions{})
			e.PutImage(app, awslocal.Image{})
			e.Disturb(awslocal.Fault{Hang: true})
			c := inProcess(e)
			if way == "socket" {
				c = serve(t, e)
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
			if count.MaxFlight != 5 || count.MaxOf["ListImages"] != 5 || count.Errors["ListImages"]["canceled"] != 5 {
				t.Errorf("count %+v", count)
			}
			e.ResetCount()
			if c := e.Count(); c.Total() != 0 || c.MaxFlight != 0 {
				t.Errorf("after a reset: %+v", c)
			}
		})
	}
}

// TestTransportEndsCutBody reads what a cut answer has left.
func TestTransportEndsCutBody(t *testing.T) {
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

// TestManyAtOnce lets the race detector look at all methods.
func TestManyAtOnce(t *testing.T) {
	e := awslocal.NewECR(awslocal.ECROptions{ScanTime: -1})
	c := serve(t, e)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 20 {
				ref := fmt.Sprint(n)
				e.PutImage(app, awslocal.Image{Tags: []string{ref, fmt.Sprint(i, "-", n)}})
				_ = startScan(t.Context(), c, ref) // another may have been quicker
				_ = listImages(t.Context(), c, app.Name)
				_ = e.UpdateImage(app, ref, func(img *awslocal.Image) { img.Findings = []awslocal.Finding{{Name: ref}} })
				_ = e.DeleteImage(app, ref)
				e.Disturb(awslocal.Fault{Operation: "None", Calls: n})()
				e.Images(app)
				e.Count()
			}
		})
	}
	all.Wait()
	if n := e.Count().InFlight; n != 0 {
		t.Errorf("%d calls still under way", n)
	}
}
