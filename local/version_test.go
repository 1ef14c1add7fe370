package main

import (
	"os"
	"regexp"
	"runtime/debug"
	"testing"
)

func TestVersionFlag(t *testing.T) {
	var stdout, stderr buffer
	code := run(t.Context(), []string{"-version"}, &stdout, &stderr)
	want := regexp.MustCompile(`^ecr-continuous-scan ` + regexp.QuoteMeta(version) + `( \(revision .*\))?\n$`)
	if code != 0 || !want.MatchString(stdout.String()) || stderr.String() != "" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
}

func TestVersionText(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "89ed486"}
	date := debug.BuildSetting{Key: "vcs.time", Value: "2026-11-28T20:00:00Z"}
	clean, modified := debug.BuildSetting{Key: "vcs.modified", Value: "false"}, debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for name, tt := range map[string]struct {
		info *debug.BuildInfo
		want string
	}{
		"no build information": {nil, version},
		"no commit":            {&debug.BuildInfo{}, version},
		"a commit":             {&debug.BuildInfo{Settings: []debug.BuildSetting{revision, date, clean}}, version + " (revision 89ed486, 2026-11-28T20:00:00Z)"},
		"modified files": {
			&debug.BuildInfo{Settings: []debug.BuildSetting{revision, date, modified}}, version + " (revision 89ed486, 2026-11-28T20:00:00Z, modified)",
		},
	} {
		if got := versionText(tt.info); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// The constant, the newest version of the changelog and the template's output are the same version.
func TestVersionIsTheSameEverywhere(t *testing.T) {
	for file, form := range map[string]string{
		"../CHANGELOG.md":  `(?m)^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$`,
		"../template.yaml": `(?m)^  Version:\n    Description: .+\n    Value: "(\d+\.\d+\.\d+)"$`,
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(form).FindSubmatch(text); m == nil || string(m[1]) != version {
			t.Errorf("%s has version %q, want %s", file, m, version)
		}
	}
}
