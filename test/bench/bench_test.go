package main

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/lambdaruntime"
)

// The stand-ins run in a process of this test's executable.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == standInsCommand {
		main()
		return
	}
	m.Run()
}

const root = "../.."

func TestFloors(t *testing.T) {
	want := map[string]time.Duration{
		"configs": 30, "summary-200": 45, "summary-200-20min": 75, "summary-2000": 45, "summary-2000-20min": 75, "feed-1200": 45,
		"feed-1200-20min": 75, "feed-1200-304": 45, "feed-1200-304-20min": 75, "feed-250": 60, "feed-250-20min": 90,
		"schedule": 95, "visit": 60, "visit-stores": 75, "visit-first": 195,
	}
	for _, j := range jobs(1) {
		if got := j.chain.floor(); got != want[j.name]*time.Millisecond {
			t.Errorf("%s: %v, want %d ms", j.name, got, want[j.name])
		}
		delete(want, j.name)
	}
	if len(want) > 0 {
		t.Errorf("missing jobs: %v", want)
	}
}

// The program measures small jobs with the compiled functions of this checkout, as two builds and without a quota.
func TestSmallJobs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processor time and memory can be measured only on Linux")
	}
	functions, err := readTemplate(filepath.Join(root, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for folder, f := range functions {
		f.binary = lambdaruntime.Build(t, folder)
		functions[folder] = f
	}
	selected, err := selectJobs(jobs(100), "^(summary-200|summary-200-20min|feed-1200-304|visit-first)$")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	m := &measurement{rounds: 1, progress: func(job) {}}
	results, err := m.measureAll(t.Context(), []build{{"this", functions}, {"other", functions}}, selected)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 4 {
		t.Fatalf("%d results", len(results))
	}
	callsOfECR := map[string]int{"summary-200-20min": 2, "visit-first": 5} // two repositories; the images and two results and starts
	for _, r := range results {
		if len(r.figures) != 2 {
			t.Fatalf("%s: %d builds", r.job.name, len(r.figures))
		}
		for _, f := range r.figures {
			for kind, s := range map[string]sample{"warm": f.warm, "cold": f.cold} {
				if s.time < s3Latency || s.processor <= 0 || total(s.calls.S3) < 1 || total(s.calls.ECR) != callsOfECR[r.job.name] || total(s.calls.SQS) > 0 {
					t.Errorf("%s, %s: %v, %v of a processor, calls %+v", r.job.name, kind, s.time, s.processor, s.calls)
				}
				if empty := r.job.name == "feed-1200-304"; (s.bytes == 0) != empty {
					t.Errorf("%s, %s: %d bytes", r.job.name, kind, s.bytes)
				}
			}
			if f.cold.start <= 0 || f.warm.start != 0 || f.peak < 1<<20 || f.memory < 128 || f.gigabyteSeconds(1) <= 0 {
				t.Errorf("%s: %+v", r.job.name, f)
			}
		}
	}
	if remaining, err := os.ReadDir(os.TempDir()); err != nil || len(remaining) > 0 {
		t.Errorf("temporary files remain: %v, %v", remaining, err)
	}
}

// The stand-ins have the clock that they are told, and count calls.
func TestStandIns(t *testing.T) {
	s, err := newStandIns()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	if err := s.Reset(Data{World{Repositories: 2, Images: 1, ScannedAgo: time.Hour}, at}, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	if repositories := s.current.ecr.Repositories(); len(repositories) != 2 || !s.current.ecr.Images(repositories[0])[0].ScannedAt.Equal(at.Add(-time.Hour)) {
		t.Errorf("repositories %v", repositories)
	}
	if err := s.Delay(at.Add(time.Minute), &struct{}{}); err != nil {
		t.Fatal(err)
	}
	handler := s.handler(s3Latency, func(all services) http.Handler { return all.s3 })
	for range 3 {
		began := time.Now()
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/"+awstest.Bucket+"?list-type=2", nil))
		date := response.Header().Get("Date")
		if took := time.Since(began); response.Code != http.StatusOK || date != "Tue, 24 Nov 2026 12:01:00 GMT" || took < s3Latency {
			t.Errorf("status %d, date %s, after %v", response.Code, date, took)
		}
	}
	var c Calls
	if err := s.TakeCalls(struct{}{}, &c); err != nil || c.String() != "3+0+0" || c.S3["ListObjectsV2"] != 3 {
		t.Errorf("%v, %v", c, err)
	}
	if err := s.TakeCalls(struct{}{}, &c); err != nil || c.sum() != 0 {
		t.Errorf("%v, %v", c, err)
	}
}

// An answer that is not that of the job stops the measurement.
func TestChecks(t *testing.T) {
	ok := func(body string) answer { return answer{Status: http.StatusOK, Body: body} }
	visit := func(listed, started, stored int) Calls {
		return Calls{ECR: map[string]int{"DescribeImages": listed, "StartImageScan": started}, S3: map[string]int{"PutObject": stored}}
	}
	tests := []struct {
		name   string
		check  func(answer, Calls) error
		answer answer
		calls  Calls
		fails  bool
	}{
		{"all images", contains("x", 2), ok("x x"), Calls{}, false},
		{"an image is missing", contains("x", 2), ok("x"), Calls{}, true},
		{"an error", contains("x", 2), answer{Status: http.StatusBadGateway, Body: "x x"}, Calls{}, true},
		{"304", notModified, answer{Status: http.StatusNotModified}, Calls{}, false},
		{"200 instead of 304", notModified, ok("x"), Calls{}, true},
		{"a message", sends, answer{}, Calls{SQS: map[string]int{"SendMessageBatch": 1}}, false},
		{"no message", sends, answer{}, Calls{}, true},
		{"a visit", visits(0, false), answer{}, visit(1, 0, 0), false},
		{"a visit that was dropped", visits(0, false), answer{}, visit(0, 0, 0), true},
		{"a visit that stores", visits(0, false), answer{}, visit(1, 0, 1), true},
		{"a first visit", visits(2, true), answer{}, visit(1, 2, 3), false},
		{"a start is missing", visits(2, true), answer{}, visit(1, 1, 3), true},
		{"nothing was stored", visits(2, true), answer{}, visit(1, 2, 0), true},
	}
	for _, test := range tests {
		if err := test.check(test.answer, test.calls); (err != nil) != test.fails {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestTemplate(t *testing.T) {
	functions, err := readTemplate(filepath.Join(root, "template.yaml"))
	if err != nil || len(functions) != 4 {
		t.Fatalf("%v, %v", functions, err)
	}
	own := files(t, map[string]string{"template.yaml": `
Globals: {Function: {MemorySize: 512, Timeout: 29}}
Resources:
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref Name}}
  A: {Type: AWS::Serverless::Function, Properties: {CodeUri: dist/configs/, MemorySize: 256, Role: !Ref Role}}
  B: {Type: AWS::Serverless::Function, Properties: {CodeUri: dist/summary/}}
  C: {Type: AWS::Serverless::Function, Properties: {CodeUri: dist/findings/}}
  D: {Type: AWS::Serverless::Function, Properties: {CodeUri: dist/startscan/, Timeout: 300}}
`})
	functions, err = readTemplate(filepath.Join(own, "template.yaml"))
	want := map[string]function{
		"configs": {memory: 256, timeout: 29 * time.Second}, "summary": {memory: 512, timeout: 29 * time.Second},
		"findings": {memory: 512, timeout: 29 * time.Second}, "startscan": {memory: 512, timeout: 300 * time.Second},
	}
	if err != nil || !maps.Equal(functions, want) {
		t.Errorf("%v, %v", functions, err)
	}
	missing := files(t, map[string]string{"template.yaml": "Resources: {}"})
	if _, err := readTemplate(filepath.Join(missing, "template.yaml")); err == nil {
		t.Error("no error for a template without functions")
	}
}

func TestFlags(t *testing.T) {
	if o, err := parse([]string{"-against", "../old", "-job", "feed", "-rounds", "3", "-markdown"}, io.Discard); err != nil ||
		o != (options{against: "../old", job: "feed", rounds: 3, markdown: true}) {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range []string{"-rounds 0", "feed", "-unknown"} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
	for expression, want := range map[string]int{"": 15, "^visit": 3, "configs": 1, "none": 0, "(": 0} {
		if selected, err := selectJobs(jobs(1), expression); len(selected) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d jobs, %v", expression, len(selected), err)
		}
	}
}

// Memory that was not used before is not free.
func TestPageTime(t *testing.T) {
	if took := pageTime(); took <= 0 || took > time.Second {
		t.Errorf("%s", took)
	}
}
