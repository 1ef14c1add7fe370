package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/openapi"
)

// A new config requests a visit of its repository. No other call requests a visit.
func TestPostRequestsAVisit(t *testing.T) {
	_, h := start(t)
	got := call(h, "POST", "/configs", "application/json", valid)
	var c scan.Config
	if err := json.Unmarshal([]byte(got.body), &c); err != nil || got.status != 201 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	messages := h.Queue.Take()
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	if diff := cmp.Diff(rescan.NewMessage(c.Repo(), c.ID), messages[0].Message); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	call(h, "POST", "/configs", "application/json", "{}")
	for _, target := range []string{"/configs", "/configs/" + c.ID, "/summary", "/findings", "/findings/all", "/findings/" + c.ID, "/findings/" + c.ID + "/changes", "/changes", "/badge/" + c.ID + ".svg"} {
		call(h, "GET", target, "", "")
	}
	call(h, "DELETE", "/configs/"+c.ID, "", "")
	if messages := h.Queue.Take(); len(messages) != 0 {
		t.Errorf("other calls sent %+v", messages)
	}
}

// Two equal configs request two visits with different deduplication ids. A queue drops a message whose id was sent in the last
// 5 minutes.
func TestEqualConfigsRequestSeparateVisits(t *testing.T) {
	a, _ := start(t)
	s := a.Service(awstest.Silent())
	api, sent := s.API(base), &sentMessages{}
	api.Visits = rescan.Requests{Queue: sent, Log: awstest.Silent()}
	h := handler(t, api)
	for range 2 {
		add(t, h, "test/ubuntu")
	}
	if len(*sent) != 2 || (*sent)[0].Once == (*sent)[1].Once || len((*sent)[0].Once) > 128 {
		t.Errorf("%+v", *sent)
	}
}

// sentMessages is a queue that records the sent messages. It implements [rescan.Queue].
type sentMessages []rescan.Sending

func (s *sentMessages) Send(_ context.Context, sendings []rescan.Sending) []error {
	*s = append(*s, sendings...)
	return nil
}

func (s *sentMessages) Waiting(context.Context) (int, error) { return 0, nil }

// The config is stored even if the request of its visit fails. The failure is logged.
func TestPostWhileTheQueueFails(t *testing.T) {
	a, _ := start(t)
	var log bytes.Buffer
	s := a.Service(slog.New(slog.NewJSONHandler(&log, nil)))
	s.Queue.Fails = true
	api := s.API(base)
	h := handler(t, api)
	id := add(t, h, "test/centos")
	if !strings.Contains(log.String(), "could not request a visit") || !strings.Contains(log.String(), id) {
		t.Errorf("log %s", log.String())
	}
	if got := call(h, "GET", "/configs/"+id, "", ""); got.status != 200 {
		t.Errorf("the config: %d %s", got.status, got.body)
	}
	api.Visits = nil
	add(t, handler(t, api), "test/centos")
}

// A config that can't be stored requests no visit.
func TestNoVisitIfTheConfigIsNotStored(t *testing.T) {
	a, h := start(t)
	a.S3.InjectFault(awslocal.Fault{Operation: "PutObject", Status: 500})
	checkProblem(t, call(h, "POST", "/configs", "application/json", valid), 503)
	if messages := h.Queue.Take(); len(messages) != 0 {
		t.Errorf("sent %+v", messages)
	}
}

// acceptingStore is a store whose Put always succeeds and whose Pack always fails.
type acceptingStore struct{ httpapi.ConfigStore }

func (acceptingStore) Put(context.Context, scan.Config) error { return nil }

func (acceptingStore) List(context.Context) ([]scan.Config, error) {
	return nil, errors.New("S3 is not available")
}

func (acceptingStore) Pack(context.Context) error { return errors.New("S3 is not available") }

// blockedVisits never sends a request. It measures the time until its context ends.
type blockedVisits struct{ waited *time.Duration }

func (h blockedVisits) Request(ctx context.Context, _ scan.Config, _ ...scan.Repository) {
	began := time.Now()
	<-ctx.Done()
	*h.waited = time.Since(began)
}

func TestPostWaitsTwoSecondsForTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waited time.Duration
		api := &httpapi.API{
			Configs: acceptingStore{}, Visits: blockedVisits{&waited}, Now: time.Now, BaseURL: func(*http.Request) string { return base }, Access: httpapi.OpenAccess(), Log: awstest.Silent(),
		}
		began := time.Now()
		got := call(openapi.Handler(t, "", api.Handler(api.ConfigRoutes())), "POST", "/configs", "application/json", valid)
		if took := time.Since(began); got.status != 201 || took != 2*time.Second || waited != took {
			t.Errorf("%d after %s", got.status, took)
		}
	})
}

// reads returns the paths of all calls that read, with filters and formats.
func reads(id string) []string {
	targets := []string{"/configs", "/configs/" + id, "/findings", "/badge/" + id + ".svg", "/badge/" + id + ".svg?tag=unknown", "/gate/" + id + "?max=LOW", "/gate/" + id + "?max=LOW&tag=unknown"}
	for _, format := range []string{"text", "html", "json", "csv"} {
		targets = append(targets, "/summary?format="+format, "/summary?since=7d&severity=HIGH&tag=latest&format="+format)
	}
	for _, path := range []string{"/findings/" + id, "/findings/all", "/findings/" + id + "/changes", "/changes"} {
		for _, format := range []string{"atom", "json"} {
			targets = append(targets, path+"?format="+format, path+"?severity=LOW&tag=latest&format="+format)
		}
	}
	for _, path := range []string{"/findings/" + id, "/findings/all"} {
		targets = append(targets, path+"?format=csv", path+"?format=sarif", path+"?format=html&sort=cve", path+"?by=vulnerability")
	}
	return targets
}

// writeCalls counts the calls to S3 and ECR that change something, by operation.
func writeCalls(a *awstest.AWS) map[string]int {
	calls := make(map[string]int)
	for operation, n := range a.S3.Count().Calls {
		if operation != "GetObject" && operation != "ListObjectsV2" {
			calls[operation] = n
		}
	}
	for operation, n := range a.ECR.Count().Calls {
		if operation != "DescribeImages" && operation != "BatchGetImage" && operation != "DescribeImageScanFindings" {
			calls[operation] = n
		}
	}
	return calls
}

// situations returns functions that prepare the states in which reads are tested.
func situations() map[string]func(*testing.T, *awstest.AWS, *service) {
	return map[string]func(*testing.T, *awstest.AWS, *service){
		"never visited": func(*testing.T, *awstest.AWS, *service) {},
		"just visited":  func(t *testing.T, _ *awstest.AWS, h *service) { h.visit(t) },
		"visited a day ago": func(t *testing.T, a *awstest.AWS, h *service) {
			h.visit(t)
			a.Advance(25 * time.Hour)
		},
		"with a push and a scan since": func(t *testing.T, a *awstest.AWS, h *service) {
			h.visit(t)
			a.Advance(25 * time.Hour)
			a.ECR.PutImage(ecr.RepositoryID{Name: "test/ubuntu"}, ecr.Image{Tags: []string{"latest"}, ScannedAt: a.Now(), Findings: []ecr.Finding{vulnerability("CVE-1", "HIGH")}})
		},
		"ECR denies every call": func(t *testing.T, a *awstest.AWS, h *service) {
			h.visit(t)
			a.Advance(3 * time.Hour)
			a.ECR.InjectFault(awslocal.Fault{Code: "AccessDeniedException"})
		},
		"a repository is deleted": func(t *testing.T, a *awstest.AWS, h *service) {
			h.visit(t)
			a.ECR.DeleteRepository(ecr.RepositoryID{Name: "test/ubuntu"})
			a.Advance(time.Hour)
		},
	}
}

// No read writes to S3 or starts a scan. Reads also work while S3 denies every write.
func TestReadsWriteNothing(t *testing.T) {
	for name, prepare := range situations() {
		t.Run(name, func(t *testing.T) {
			a, h := start(t)
			id := add(t, h, "test/ubuntu")
			add(t, h, "test/centos", "7", "not-there")
			add(t, h, "test/hardcases")
			prepare(t, a, h)
			a.S3.ResetCount()
			a.ECR.ResetCount()
			statuses := make(map[string]int)
			for _, target := range reads(id) {
				if statuses[target] = call(h, "GET", target, "", "").status; statuses[target] >= 500 {
					t.Errorf("GET %s: %d", target, statuses[target])
				}
				call(h, "HEAD", target, "", "")
			}
			for _, operation := range []string{"PutObject", "DeleteObject", "CopyObject", "DeleteObjects"} {
				a.S3.InjectFault(awslocal.Fault{Operation: operation, Code: "AccessDenied"})
			}
			for _, target := range reads(id) {
				if got := call(h, "GET", target, "", ""); got.status != statuses[target] {
					t.Errorf("GET %s while S3 denies writes: %d, before %d", target, got.status, statuses[target])
				}
			}
			if calls := writeCalls(a); len(calls) > 0 {
				t.Errorf("reads made calls that write: %v", calls)
			}
		})
	}
}

// A broken record is unavailable until a visit rebuilds it. Reads don't change it.
func TestReadsOfABrokenRecord(t *testing.T) {
	a, h := start(t)
	id := add(t, h, "test/centos")
	h.visit(t)
	before := call(h, "GET", "/findings/"+id, "", "").body
	s := &timeline{T: t, aws: a, api: h, id: id}
	s.breakRecord("test~centos")
	a.S3.ResetCount()
	a.ECR.ResetCount()
	for _, suffix := range []string{"", "/changes"} {
		checkProblem(t, call(h, "GET", "/findings/"+id+suffix, "", ""), 503)
	}
	if got := call(h, "GET", "/summary", "", ""); got.status != 200 || !strings.Contains(got.body, "Results for test/centos in us-west-2:\n UNAVAILABLE: ") {
		t.Errorf("summary: %d %s", got.status, got.body)
	}
	if got := call(h, "GET", "/gate/"+id+"?max=CRITICAL", "", ""); got.status != 409 || !strings.Contains(got.body, `"reason": "unavailable"`) {
		t.Errorf("gate: %d %s", got.status, got.body)
	}
	if calls := writeCalls(a); len(calls) > 0 {
		t.Errorf("reads made calls that write: %v", calls)
	}
	h.visit(t)
	if diff := cmp.Diff(before, call(h, "GET", "/findings/"+id, "", "").body); diff != "" {
		t.Errorf("after a visit (-before +after):\n%s", diff)
	}
}

// A request makes a limited number of calls to ECR. Repositories that it can't read are shown as unavailable, and the others are not
// affected.
func TestSummaryOfMoreConfigsThanCalls(t *testing.T) {
	a, h := start(t)
	const configs = 120
	for range configs {
		if err := h.Configs.Put(t.Context(), newConfig(t)); err != nil {
			t.Fatal(err)
		}
	}
	a.ECR.ResetCount()
	got := call(h, "GET", "/summary", "", "").body
	if calls := a.ECR.Count().Total(); calls > 100 {
		t.Errorf("%d calls to ECR", calls)
	}
	notFound, notVisited := strings.Count(got, " REPOSITORY NOT FOUND\n"), strings.Count(got, " UNAVAILABLE: not visited yet\n")
	if notFound != 100 || notVisited != configs-100 {
		t.Errorf("%d not found, %d not visited yet", notFound, notVisited)
	}
	h.visit(t)
	a.ECR.ResetCount()
	got = call(h, "GET", "/summary", "", "").body
	if calls := a.ECR.Count().Total(); calls != 0 || strings.Count(got, " REPOSITORY NOT FOUND\n") != configs {
		t.Errorf("after the visits: %d calls, %.500s", calls, got)
	}
}

// newConfig returns a config of a repository that does not exist. Each config has another repository.
func newConfig(t *testing.T) scan.Config {
	t.Helper()
	c, err := scan.NewConfig(scan.Config{Region: "us-west-2", Registry: "123456789012", Repository: "gone"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.Repository = "gone/" + c.ID
	return c
}
