package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// buffer can be written and read concurrently.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// server is the running command.
type server struct {
	base           string
	stdout, stderr buffer
	stop           func() int
}

// start runs the command on a free port and waits until it serves.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{}
	ctx, cancel := context.WithCancel(context.Background())
	exit := make(chan int, 1)
	go func() { exit <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), &s.stdout, &s.stderr) }()
	s.stop = sync.OnceValue(func() int { cancel(); return <-exit })
	t.Cleanup(func() { s.stop() })
	for s.base == "" {
		if m := regexp.MustCompile(`API +(http://localhost:\d+)\n`).FindStringSubmatch(s.stdout.String()); m != nil {
			s.base = m[1]
		}
		select {
		case code := <-exit:
			t.Fatalf("ended with %d: %s", code, s.stderr.String())
		case <-time.After(time.Millisecond):
		}
	}
	return s
}

func (s *server) call(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// waitForLog waits until a line of the log contains all of these parts.
func (s *server) waitForLog(t *testing.T, parts ...string) {
	t.Helper()
	has := func(line string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
	}
	for !slices.ContainsFunc(strings.Split(s.stderr.String(), "\n"), has) {
		select {
		case <-t.Context().Done():
			t.Fatalf("no line with %q in the log: %s", parts, s.stderr.String())
		case <-time.After(time.Millisecond):
		}
	}
}

const ubuntu = `{"region":"us-west-2","registry":"123456789012","repository":"test/ubuntu","tags":["16.04"]}`

func TestConfigsSurviveARestart(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	first := start(t, "-data", data)
	if !strings.Contains(first.stdout.String(), "schedule  now, then every 1m\n") {
		t.Errorf("the start message is %s", first.stdout.String())
	}
	status, body := first.call(t, "POST", "/configs/", ubuntu)
	var c scan.Config
	if err := json.Unmarshal([]byte(body), &c); err != nil || status != http.StatusCreated {
		t.Fatalf("POST: %d %s", status, body)
	}
	first.waitForLog(t, "msg=visit", "repository=test/ubuntu", "outcome=ended", "tally.started=1") // the visit of the new config
	want := "Results for test/ubuntu:16.04 in us-west-2:\n MEDIUM: 8\n LOW: 24\n INFORMATIONAL: 19\n\n\n"
	if status, body := first.call(t, "GET", "/summary", ""); status != http.StatusOK || body != want {
		t.Errorf("summary after the visit: %d %s", status, body)
	}
	for path, want := range map[string]string{
		"/findings/" + c.ID + "?key=k&severity=low": `<link href="` + first.base + "/findings/" + c.ID + `?key=k&amp;severity=LOW" rel="self"`,
		"/findings": `xmlUrl="` + first.base + "/findings/" + c.ID + `"`,
	} {
		if status, body := first.call(t, "GET", path, ""); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("GET %s: %d, no %s in %.1500s", path, status, want, body)
		}
	}
	if code := first.stop(); code != 0 || !strings.HasSuffix(first.stdout.String(), "Stopped.\n") {
		t.Errorf("ended with %d, printed %s", code, first.stdout.String())
	}
	if !regexp.MustCompile(`method=GET path=/summary status=200`).MatchString(first.stderr.String()) {
		t.Errorf("the request is not logged: %s", first.stderr.String())
	}

	second := start(t, "-data", data, "-scan-time", "0s")
	if status, body := second.call(t, "GET", "/configs/"+c.ID, ""); status != http.StatusOK || !strings.Contains(body, c.ID) {
		t.Errorf("after a restart: %d %s", status, body)
	}
	second.waitForLog(t, "msg=visit", "repository=test/ubuntu", "outcome=ended", "tally.started=1") // the visit of the first schedule
	if _, body := second.call(t, "GET", "/summary", ""); body != want {
		t.Errorf("after the scan: %s", body)
	}
}

func TestErrorMessages(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	running := filepath.Join(t.TempDir(), "data")
	start(t, "-data", running)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"port in use":        {[]string{"-addr", taken.Addr().String()}, 1, "is in use by another program"},
		"data in use":        {[]string{"-addr", "127.0.0.1:0", "-data", running}, 1, "another process has it open"},
		"data is a file":     {[]string{"-addr", "127.0.0.1:0", "-data", file}, 1, "-data: "},
		"no such host":       {[]string{"-addr", "256.0.0.1:1"}, 1, "cannot listen on"},
		"no port":            {[]string{"-addr", "localhost"}, 2, "-addr must be host:port"},
		"bucket without aws": {[]string{"-bucket", "b"}, 2, "-bucket needs -aws"},
		"findings with aws":  {[]string{"-aws", "-findings", "x"}, 2, "use only one of the two flags"},
		"findings missing":   {[]string{"-addr", "127.0.0.1:0", "-data", t.TempDir(), "-findings", "does-not-exist"}, 1, "-findings: "},
		"every 0":            {[]string{"-every", "0s"}, 2, "-every must be"},
		"scan time below 0":  {[]string{"-scan-time", "-1s"}, 2, "-scan-time must"},
		"an argument":        {[]string{"start"}, 2, "unknown argument"},
		"unknown flag":       {[]string{"-nope"}, 2, "-nope"},
		"help":               {[]string{"-h"}, 0, "store the scan configs and records in this"},
	} {
		var stdout, stderr buffer
		if code := run(t.Context(), test.args, &stdout, &stderr); code != test.code || !strings.Contains(stderr.String(), test.want) {
			t.Errorf("%s: code %d, printed %s", name, code, stderr.String())
		}
	}
}

func TestHelpDescribesEveryFlag(t *testing.T) {
	var stdout, stderr buffer
	run(t.Context(), []string{"-h"}, &stdout, &stderr)
	for _, f := range []string{"-addr", "-aws", "-bucket", "-data", "-demo", "-demo-day", "-every", "-findings", "-scan-time", "-version"} {
		if !regexp.MustCompile(`(?m)^  ` + f + `\b.*\n\s+\S`).MatchString(stderr.String()) {
			t.Errorf("no description of %s in\n%s", f, stderr.String())
		}
	}
	if help := stderr.String(); !strings.Contains(help, "With -aws the default is 5m (default 1m0s)") {
		t.Errorf("the help does not say how often repositories are visited: %s", help)
	}
}

// A web page whose host name resolves to this machine must not reach the API through the user's browser.
func TestAnswersToLocalhostOnly(t *testing.T) {
	s := start(t, "-data", t.TempDir())
	for host, want := range map[string]int{
		"localhost:1": 200, "127.0.0.1": 200, "[::1]:8080": 200, "evil.example": 421, "evil.example:8080": 421, "192.168.1.1": 421, "localhost.evil.example": 421,
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.base+"/configs", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("Host %s: %d, want %d", host, res.StatusCode, want)
		}
	}
}

func TestReplaysRecordedFindings(t *testing.T) {
	dir := t.TempDir()
	err := os.WriteFile(filepath.Join(dir, "My App.json"), []byte(`[{"name":"CVE-2024-3094","severity":"CRITICAL","uri":"https://example.org/x"}]`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	for name, content := range map[string]string{
		"bad.json":    `[{"name":`,
		"digest.json": `{"repositoryName":"untagged","imageId":{"imageDigest":"` + digest + `"},"imageScanFindings":{"imageScanCompletedAt":1600000000,"findingSeverityCounts":{"LOW":1},"findings":[{"name":"CVE-1","severity":"LOW"}]},"imageScanStatus":{"status":"COMPLETE"}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, "-data", t.TempDir(), "-findings", dir)
	s.waitForLog(t, "ignored a file of -findings", "bad.json", "not JSON")
	m := regexp.MustCompile(`loaded (\S+) of registry 123456789012 in us-west-2`).FindStringSubmatch(s.stdout.String())
	if m == nil {
		t.Fatalf("the start message does not list what was loaded: %s", s.stdout.String())
	}
	s.call(t, "POST", "/configs", `{"region":"us-west-2","registry":"123456789012","repository":"`+m[1]+`"}`)
	s.waitForLog(t, "msg=visit", "repository="+m[1], "outcome=ended")
	if _, body := s.call(t, "GET", "/summary", ""); body != "Results for "+m[1]+":latest in us-west-2:\n CRITICAL: 1\n\n\n" {
		t.Error(body)
	}
	s.call(t, "POST", "/configs", `{"region":"us-west-2","registry":"123456789012","repository":"untagged"}`)
	s.waitForLog(t, "msg=visit", "repository=untagged", "outcome=ended")
	if _, body := s.call(t, "GET", "/summary?repository=untagged", ""); !strings.Contains(body, "Results for untagged:"+strings.Replace(digest, ":", "-", 1)+" in us-west-2:\n LOW: 1\n\n\n") {
		t.Error(body)
	}
}

// The schedule repeats. The second visit records the result of the scan that the first visit started.
func TestResultsOfScansAreRecorded(t *testing.T) {
	s := start(t, "-data", t.TempDir(), "-every", "1s", "-scan-time", "0s")
	s.call(t, "POST", "/configs", `{"region":"us-west-2","registry":"123456789012","repository":"test/hardcases","tags":["never-scanned"]}`)
	s.waitForLog(t, "msg=visit", "repository=test/hardcases", "outcome=ended", "tally.started=1")
	s.waitForLog(t, "msg=visit", "repository=test/hardcases", "outcome=ended", "tally.started=0", "tally.scannedWithin24h=1")
	if _, body := s.call(t, "GET", "/summary", ""); body != "Results for test/hardcases:never-scanned in us-west-2:\n LOW: 1\n\n\n" {
		t.Errorf("after the second visit: %s", body)
	}
}

// Visits follow each other fast enough that a waiting user sees the result of a scan.
func TestEveryWithAWS(t *testing.T) {
	for args, want := range map[string]time.Duration{
		"": time.Minute, "-aws": 5 * time.Minute, "-aws -every 24h": 24 * time.Hour, "-every 1h -aws": time.Hour, "-aws -every 1m": time.Minute, "-every 1h": time.Hour,
	} {
		o, err := parse(strings.Fields(args), io.Discard)
		if err != nil || o.every != want {
			t.Errorf("%q: every %s, %v", args, o.every, err)
		}
	}
}
