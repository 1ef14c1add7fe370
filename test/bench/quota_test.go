package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestQuota(t *testing.T) {
	for memory, want := range map[int]time.Duration{
		128: 1447 * time.Microsecond, 256: 2894 * time.Microsecond, 512: 5788 * time.Microsecond, 1769: 20 * time.Millisecond, 3538: 40 * time.Millisecond,
	} {
		if got := quota(memory); got != want {
			t.Errorf("%d MB: %v in 20 ms, want %v", memory, got, want)
		}
	}
}

func TestEstimate(t *testing.T) {
	tests := []struct {
		measured, processor time.Duration
		memory              int
		want                time.Duration
	}{
		{45 * time.Millisecond, 0, 512, 45 * time.Millisecond},
		{100 * time.Millisecond, 20 * time.Millisecond, 1769, 100 * time.Millisecond},
		{100 * time.Millisecond, 20 * time.Millisecond, 3538, 100 * time.Millisecond},
		{30 * time.Millisecond, 10 * time.Millisecond, 256, 89101562 * time.Nanosecond}, // 20 + 10 × 1769/256
		{10 * time.Millisecond, 16 * time.Millisecond, 1769, 16 * time.Millisecond},     // on two processors
	}
	for _, test := range tests {
		if got := estimate(test.measured, test.processor, test.memory); (got - test.want).Abs() > time.Microsecond {
			t.Errorf("%v with %v of a processor and %d MB: %v, want %v", test.measured, test.processor, test.memory, got, test.want)
		}
	}
}

// files creates files below a new folder, and folders for names that end with a slash.
func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range contents {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// In folders that are no cgroup hierarchy, a new group has no files for its settings. Then there is no quota.
func TestNoCgroups(t *testing.T) {
	for name, mount := range map[string]string{
		"no cgroups":                                t.TempDir(),
		"version 1 without a quota":                 files(t, map[string]string{"cpu/cpu.shares": "1024"}),
		"version 2 without the controller":          files(t, map[string]string{"cgroup.controllers": "memory pids"}),
		"version 2 that belongs to another process": files(t, map[string]string{"cgroup.controllers": "cpu memory", "cgroup.subtree_control": ""}),
		"no permission":                             "/proc/self",
	} {
		if _, err := findCgroups(mount); err == nil {
			t.Errorf("%s: no error", name)
		}
		if groups, _ := filepath.Glob(mount + "/*/ecr-scan-bench-*"); len(groups) > 0 {
			t.Errorf("%s: %v remain", name, groups)
		}
	}
}

func TestSettingsOfAGroup(t *testing.T) {
	for name, test := range map[string]struct {
		v2    bool
		files map[string]string
		want  map[string]string
	}{
		"version 1": {false, map[string]string{"g/cpu.cfs_period_us": "", "g/cpu.cfs_quota_us": ""}, map[string]string{"g/cpu.cfs_period_us": "20000", "g/cpu.cfs_quota_us": "5788"}},
		"version 2": {true, map[string]string{"g/cpu.max": ""}, map[string]string{"g/cpu.max": "5788 20000"}},
	} {
		root := files(t, test.files)
		if err := (cgroup{filepath.Join(root, "g")}).limit(512, test.v2); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for file, want := range test.want {
			if got, _ := os.ReadFile(filepath.Join(root, file)); string(got) != want {
				t.Errorf("%s: %s is %q, want %q", name, file, got, want)
			}
		}
	}
}

// A process enters its group before it executes the function. The group is deleted after it.
func TestGroupOfThisMachine(t *testing.T) {
	groups, err := findCgroups("/sys/fs/cgroup")
	if err != nil {
		t.Skip("this user cannot create cgroups: ", err)
	}
	g, err := groups.add(512)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ncat /proc/self/cgroup\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	command := append(g.enter(), program)
	output, err := exec.Command(command[0], command[1:]...).Output()
	if err != nil || !strings.Contains(string(output), "/"+filepath.Base(g.folder)+"\n") {
		t.Errorf("the process is in %s, %v, want %s", output, err, g.folder)
	}
	if err := g.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(g.folder); !os.IsNotExist(err) {
		t.Errorf("%s remains: %v", g.folder, err)
	}
}
