//go:build deployment

package documents

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// scriptsOf returns the scripts of the pipelines in a section, and the value of GATE in each.
func scriptsOf(t *testing.T, document, section string) (scripts, gates []string) {
	t.Helper()
	documents, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	var find func(v any)
	find = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				if text, ok := inner.(string); ok && key == "GATE" {
					gates = append(gates, text)
				}
				find(inner)
			}
		case []any:
			for _, inner := range v {
				find(inner)
			}
		case string:
			if strings.Contains(v, "curl") {
				scripts = append(scripts, v)
			} else if value, ok := strings.CutPrefix(v, "GATE="); ok {
				gates = append(gates, strings.Trim(value, `"`))
			}
		}
	}
	for _, d := range documents {
		for _, b := range d.Blocks {
			if b.Document == document && b.Section == section && b.Language == "yaml" {
				var step any
				if err := yaml.Unmarshal([]byte(b.Text), &step); err != nil {
					t.Fatalf("%s:%d: %v", document, b.Line, err)
				}
				find(step)
			}
		}
	}
	return scripts, gates
}

// The steps for pipelines wait while the gate says "not yet", print each answer, and end with the status of the gate.
func TestStepsOfPipelines(t *testing.T) {
	scripts, gates := scriptsOf(t, "docs/api.md", "in-a-pipeline")
	if len(scripts) != 3 || len(gates) != 3 {
		t.Fatalf("%d scripts and %d URLs in docs/api.md, want 3", len(scripts), len(gates))
	}
	for _, gate := range gates {
		if !strings.Contains(gate, "?max=HIGH&digest=") || !strings.HasSuffix(gate, "&format=text") {
			t.Errorf("the URL %s", gate)
		}
	}
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "bin", "sleep"), "#!/bin/sh\n")
	if err := exec.Command("chmod", "+x", filepath.Join(folder, "bin", "sleep")).Run(); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		status int
		waits  bool
	}
	for name, test := range map[string]struct {
		answers []answer
		code    int
	}{
		"passes":             {[]answer{{200, false}}, 0},
		"fails":              {[]answer{{409, false}}, 1},
		"passes after waits": {[]answer{{409, true}, {503, true}, {409, true}, {200, false}}, 0},
		"fails after a wait": {[]answer{{409, true}, {409, false}}, 1},
		"a wrong key":        {[]answer{{401, false}}, 1},
	} {
		for i, script := range scripts {
			for _, shell := range []string{"sh", "bash"} {
				calls := 0
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					a := test.answers[min(calls, len(test.answers)-1)]
					calls++
					if _, key, _ := r.BasicAuth(); key != "the key" || r.URL.Query().Get("digest") != "sha256:1" {
						t.Errorf("%s, script %d: the request %s with the key %q", name, i, r.URL, key)
					}
					if a.waits {
						w.Header().Set("Retry-After", "30")
					}
					w.WriteHeader(a.status)
					fmt.Fprintf(w, "answer %d\n", calls)
				}))
				cmd := exec.Command(shell, "-e", "-c", script)
				cmd.Dir = folder
				cmd.Env = append(cmd.Environ(), "PATH="+filepath.Join(folder, "bin")+":"+"/usr/bin:/bin", "ECR_SCAN_KEY=the key", "GATE="+server.URL+"/gate/1?max=HIGH&digest=sha256:1&format=text")
				out, _ := cmd.Output() // the exit status is checked below
				server.Close()
				if cmd.ProcessState.ExitCode() != test.code || calls != len(test.answers) || strings.Count(string(out), "answer") != len(test.answers) {
					t.Errorf("%s, script %d in %s: exit status %d after %d calls, prints %s", name, i, shell, cmd.ProcessState.ExitCode(), calls, out)
				}
			}
		}
	}
}
