package main

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/test/lambdaruntime"
)

// The program measures the first visits of a pattern and of one repository.
func TestFirstVisitsOfAPattern(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processor time and memory can be measured only on Linux")
	}
	functions, err := readTemplate(filepath.Join(root, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"configs", "startscan"} {
		f := functions[folder]
		f.binary = lambdaruntime.Build(t, folder)
		functions[folder] = f
	}
	t.Setenv("TMPDIR", t.TempDir())
	var out strings.Builder
	m := &measurement{progress: func(job) {}}
	if err := m.comparePattern(t.Context(), []build{{"this", functions}}, 3, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"first visits of 30 images in 3 repositories: 3 visits", "first visits of 30 images in 1 repositories: 1 visits", "ratio of the calls",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), " 0.0 s") {
		t.Errorf("no processor time:\n%s", out.String())
	}
}

// A ratio above its goal has an exclamation mark.
func TestRatioOfAPattern(t *testing.T) {
	calls := func(n int) Calls { return Calls{S3: map[string]int{"GetObject": n}} }
	one := firstVisits{build: "this", processor: 2 * time.Second, calls: calls(100)}
	for want, pattern := range map[string]firstVisits{
		"ratio of the calls 1.30 (goal: 1.3), of the processor time 1.50 (goal: 1.5)":         {build: "this", processor: 3 * time.Second, calls: calls(130)},
		"ratio of the calls 1.31, more than 1.3!, of the processor time 2.00, more than 1.5!": {build: "this", processor: 4 * time.Second, calls: calls(131)},
	} {
		if got := ratioOfPattern(pattern, one); !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
}
