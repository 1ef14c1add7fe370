package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// ids returns the scan IDs of the configs by repository.
func (s *server) ids(t *testing.T) map[string]string {
	t.Helper()
	var configs []struct{ ID, Repository string }
	if _, body := s.call(t, "GET", "/configs", ""); json.Unmarshal([]byte(body), &configs) != nil {
		t.Fatal(body)
	}
	ids := map[string]string{}
	for _, c := range configs {
		ids[c.Repository] = c.ID
	}
	return ids
}

// until repeats a request until the answer has a status and a text.
func (s *server) until(t *testing.T, path string, status int, text string) string {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		code, body := s.call(t, "GET", path, "")
		if code == status && strings.Contains(body, text) {
			return body
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d %s", path, code, body)
		}
	}
}

// A user of the demo sees a gate that closes and opens, a badge that follows, and new changes.
func TestDemo(t *testing.T) {
	s := start(t, "-demo", "-demo-day", "4s")
	ids := s.ids(t)
	if len(ids) != 9 {
		t.Errorf("the configs are %v", ids)
	}
	web := ids["shop/web"]
	gate, badge := "/gate/"+web+"?max=HIGH", "/badge/"+web+".svg"
	s.until(t, gate, http.StatusOK, `"passed": true`)
	s.until(t, gate, http.StatusConflict, "CRITICAL: 1")
	s.until(t, badge, http.StatusOK, "<title>image scan: 1 CRITICAL</title>")
	s.until(t, "/changes", http.StatusOK, "[NEW] [CRITICAL] in image shop/web:latest found CVE-2022-37434")
	s.until(t, gate, http.StatusOK, `"passed": true`)
	s.until(t, badge, http.StatusOK, "<title>image scan: 5 HIGH</title>")
	s.until(t, "/changes", http.StatusOK, "[FIXED] [CRITICAL] in image shop/web:latest: CVE-2022-37434 is no longer found")
	summary := s.until(t, "/summary", http.StatusOK, "shop/web:latest")
	for _, state := range []string{"REPOSITORY NOT FOUND", "TAG NOT FOUND", "NOT SCANNED: archived", "SCAN FAILED: UnsupportedImageError", "(linux/arm64)", "eu-central-1", "us-east-1"} {
		if !strings.Contains(summary, state) {
			t.Errorf("the summary has no %s: %s", state, summary)
		}
	}
	if out := s.stdout.String(); !strings.Contains(out, "day 31.0 (") || !strings.Contains(out, "The demo plays 30 days") {
		t.Errorf("the demo does not tell what happens: %s", out)
	}
}

// A config that a user adds to the demo is visited too.
func TestDemoVisitsNewConfigs(t *testing.T) {
	s := start(t, "-demo", "-demo-day", "24h")
	s.call(t, "POST", "/configs", `{"region":"us-west-2","registry":"123456789012","repository":"tools/builder","tags":["chart"]}`)
	s.until(t, "/summary?tag=chart", http.StatusOK, "NOT SCANNED: not an image")
}

func TestDemoFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-demo -data x": "remove -data", "-demo -aws": "remove -aws", "-demo -every 1h": "remove -every", "-demo-day 2s": "-demo-day needs -demo",
		"-demo -demo-day 1ms": "-demo-day must be between", "-demo -demo-day 25h": "-demo-day must be between", "-demo -findings x": "remove -findings",
	} {
		var stdout, stderr buffer
		if code := run(t.Context(), strings.Fields(args), &stdout, &stderr); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: code %d, printed %s", args, code, stderr.String())
		}
	}
}
