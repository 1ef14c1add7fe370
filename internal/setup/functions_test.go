package setup_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/sqslocal"
)

// stack contains the embedded services of AWS that a stack uses.
type stack struct {
	*awstest.AWS
	queue  *awstest.Queue
	config scan.Config
}

// start starts the services and sets the environment. It adds a config of a repository with one image that was never visited.
func start(t *testing.T) *stack {
	s := &stack{AWS: awstest.Start(t, ecr.Options{}), queue: awstest.StartQueue(t, sqslocal.Options{})}
	for name, value := range map[string]string{
		"AWS_REGION": "us-west-2", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_ENDPOINT_URL_S3": s.S3URL, "AWS_ENDPOINT_URL_ECR": s.ECRURL, "AWS_ENDPOINT_URL_SQS": s.queue.Endpoint,
		setup.ConfigBucket: awstest.Bucket, setup.QueueURL: s.queue.URL, setup.APIKeyHash: "none",
	} {
		t.Setenv(name, value)
	}
	s.ECR.PutImage(ecr.RepositoryID{Name: "app"}, ecr.Image{Tags: []string{"v1"}, ScannedAt: s.Now()})
	s.config = s.Service(awstest.Silent()).AddConfig(t, "app")
	s.resetCounts()
	return s
}

func (s *stack) resetCounts() {
	s.S3.ResetCount()
	s.ECR.ResetCount()
	s.queue.SQS.ResetCount()
}

// calls returns the called operations of all services.
func (s *stack) calls() map[string]bool {
	calls := make(map[string]bool)
	for _, count := range []awslocal.Count{s.S3.Count(), s.ECR.Count(), s.queue.SQS.Count()} {
		for operation := range maps.Keys(count.Calls) {
			calls[operation] = true
		}
	}
	return calls
}

func base(*http.Request) string { return "https://api.example" }

// apiFunction builds the handler of a function behind API Gateway.
type apiFunction func(context.Context, *slog.Logger, setup.BaseURL) (http.Handler, error)

// functionTest is a function of the API, requests to it with the expected status, and all operations of AWS that they call.
type functionTest struct {
	build    apiFunction
	routes   httpapi.Routes
	requests []string
	calls    []string
}

func functionTests(id string) map[string]functionTest {
	var api httpapi.API
	reads := []string{"DescribeImageScanFindings", "DescribeImages", "GetObject", "ListObjectsV2"}
	return map[string]functionTest{
		"configs": {
			setup.Configs, api.ConfigRoutes(),
			[]string{"POST /configs 201", "GET /configs 200", "GET /configs/" + id + " 200", "DELETE /configs/" + id + " 204", "GET /suppressions 200", "GET /suppressions/" + id + " 404", "GET /summary 404", "GET /findings 404"},
			[]string{"DeleteObject", "GetObject", "ListObjectsV2", "PutObject", "SendMessageBatch"},
		},
		"summary": {
			setup.Summary, api.SummaryRoutes(),
			[]string{"GET / 303", "GET /summary 200", "GET /gate/" + id + "?max=HIGH 200", "GET /badge/" + id + ".svg 200", "GET /configs 404", "POST /configs 404", "GET /findings 404"}, reads,
		},
		"findings": {
			setup.Findings, api.FindingsRoutes(),
			[]string{
				"GET /findings 200", "GET /findings/all 200", "GET /findings/" + id + " 200", "GET /findings/" + id + "/changes 200", "GET /changes 200", "GET /configs 404", "GET /summary 404",
			}, reads,
		},
	}
}

// Each function serves only its own paths, and calls only the operations of AWS that it needs.
func TestFunctionsOfTheAPI(t *testing.T) {
	s := start(t)
	for name, test := range functionTests(s.config.ID) {
		t.Run(name, func(t *testing.T) {
			if err := s.Service(awstest.Silent()).Configs.Put(t.Context(), s.config); err != nil {
				t.Fatal(err)
			}
			h, err := test.build(t.Context(), awstest.Silent(), base)
			if err != nil {
				t.Fatal(err)
			}
			s.resetCounts()
			for _, request := range test.requests {
				checkStatus(t, h, request)
			}
			want := make(map[string]bool)
			for _, operation := range test.calls {
				want[operation] = true
			}
			if diff := cmp.Diff(want, s.calls()); diff != "" {
				t.Errorf("calls to AWS (-want +got):\n%s", diff)
			}
			for _, path := range test.routes.Paths() {
				path = strings.NewReplacer("{scanid}", s.config.ID, "{id}", s.config.ID, "{badge}", s.config.ID+".svg").Replace(path)
				if !slices.ContainsFunc(test.requests, func(request string) bool {
					return strings.HasPrefix(strings.Replace(request, "?", " ", 1), "GET "+path+" ")
				}) {
					t.Errorf("no request has the path %s", path)
				}
			}
		})
	}
}

const valid = `{"region":"us-west-2","registry":"123456789012","repository":"app"}`

// checkStatus sends a request and checks the status. An example of request is "GET /summary 200".
func checkStatus(t *testing.T, h http.Handler, request string) {
	t.Helper()
	var method, target string
	var status int
	if _, err := fmt.Sscan(request, &method, &target, &status); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, target, strings.NewReader(valid))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != status {
		t.Errorf("%s: %d %s", request, w.Code, w.Body)
	}
}

// StartScanFunc requests visits on a schedule, and visits repositories for messages.
func TestStartScan(t *testing.T) {
	s := start(t)
	handler, err := setup.StartScan(t.Context(), awstest.Silent())
	if err != nil {
		t.Fatal(err)
	}
	report, err := handler.Handle(t.Context(), json.RawMessage(`{"time":"2026-11-28T12:00:00Z"}`))
	if got, ok := report.(rescan.ScheduleReport); err != nil || !ok || got.Sent != 1 || got.Configs != 1 {
		t.Errorf("schedule: %+v, %v", report, err)
	}
	if sent := s.queue.SQS.Count().Calls["SendMessageBatch"]; sent != 1 {
		t.Errorf("%d calls of SendMessageBatch", sent)
	}
	body, err := json.Marshal(rescan.NewMessage(s.config.Repo(), s.config.ID))
	if err != nil {
		t.Fatal(err)
	}
	event, err := json.Marshal(map[string]any{"Records": []any{map[string]any{"eventSource": "aws:sqs", "messageId": "1", "body": string(body)}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handler.Handle(t.Context(), event); err != nil {
		t.Errorf("message: %v", err)
	}
	record, err := s.Service(awstest.Silent()).Visitor.Records.Load(t.Context(), s.config.Repo())
	if _, ok := record.Images["v1"]; err != nil || !ok || record.Begin == 0 {
		t.Errorf("the visit recorded %+v, %v", record, err)
	}
}

// A function without a required variable returns an error that names the variable. ConfigsFunc works without a queue.
func TestMissingVariables(t *testing.T) {
	start(t)
	t.Setenv(setup.QueueURL, "")
	if _, err := setup.StartScan(t.Context(), awstest.Silent()); err == nil || !strings.Contains(err.Error(), setup.QueueURL) {
		t.Errorf("StartScanFunc without a queue: %v", err)
	}
	h, err := setup.Configs(t.Context(), awstest.Silent(), base)
	if err != nil {
		t.Fatal(err)
	}
	checkStatus(t, h, "POST /configs 201")
	t.Setenv(setup.ConfigBucket, "")
	errs := make(map[string]error)
	for name, build := range map[string]apiFunction{"configs": setup.Configs, "summary": setup.Summary, "findings": setup.Findings} {
		_, errs[name] = build(t.Context(), awstest.Silent(), base)
	}
	_, errs["startscan"] = setup.StartScan(t.Context(), awstest.Silent())
	for name, err := range errs {
		if err == nil || !strings.Contains(err.Error(), setup.ConfigBucket) {
			t.Errorf("%s without a bucket: %v", name, err)
		}
	}
}

// A new config is stored even if the queue fails. The failure is logged.
func TestPostWhileTheQueueFails(t *testing.T) {
	s := start(t)
	s.queue.SQS.InjectFault(awslocal.Fault{Code: "AccessDenied", Status: 403})
	var log strings.Builder
	h, err := setup.Configs(t.Context(), slog.New(slog.NewJSONHandler(&log, nil)), base)
	if err != nil {
		t.Fatal(err)
	}
	if checkStatus(t, h, "POST /configs 201"); !strings.Contains(log.String(), "could not request a visit") {
		t.Errorf("the failure is not logged: %s", log.String())
	}
	if configs, err := s.Service(awstest.Silent()).Configs.List(t.Context()); err != nil || len(configs) != 2 {
		t.Errorf("%d configs, %v", len(configs), err)
	}
}
