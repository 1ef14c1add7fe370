package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// The names in story.json exist, and nothing in it is unused.
func TestStory(t *testing.T) {
	s, vulnerabilities, err := loadStory()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Repositories) != 8 || len(s.Configs) != 9 {
		t.Errorf("%d repositories and %d configs", len(s.Repositories), len(s.Configs))
	}
	known, packages := map[string]bool{}, map[string]bool{}
	for _, v := range vulnerabilities {
		known[v.Name] = true
	}
	for _, build := range s.Builds {
		for _, p := range build {
			packages[p] = true
		}
	}
	for _, v := range vulnerabilities {
		for _, p := range v.Affects {
			if !packages[p] {
				t.Errorf("%s affects %s, which no image has", v.Name, p)
			}
		}
		if v.Text == "" || v.Severity == "" || len(v.Affects) == 0 || v.Score > 0 != strings.HasPrefix(v.Vector, "CVSS:3.") {
			t.Errorf("%s lacks something: %+v", v.Name, v)
		}
	}
	pushed := map[string]bool{}
	last := 0.0
	for _, e := range s.Events {
		if e.Text == "" || e.Day < last || e.Day >= Days {
			t.Errorf("event %v %q after day %v", e.Day, e.Text, last)
		}
		last = e.Day
		for _, name := range slices.Concat(e.Learn, e.Fix, e.Exploit) {
			if !known[name] {
				t.Errorf("day %v: unknown vulnerability %s", e.Day, name)
			}
		}
		for _, p := range e.Push {
			for _, build := range slices.Concat([]string{p.Build}, slices.Collect(maps.Values(p.Platforms))) {
				if _, found := s.Builds[build]; !found && build != "" {
					t.Errorf("day %v: unknown build %s", e.Day, build)
				}
				pushed[build] = true
			}
		}
	}
	for build := range s.Builds {
		if !pushed[build] {
			t.Errorf("build %s is never pushed", build)
		}
	}
}

// played returns a demo and its real clock, which show the end of a day.
func played(t *testing.T, until float64) (*Demo, []Happened) {
	t.Helper()
	real := &fakeReal{time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC)}
	d, err := New(real.now)
	if err != nil {
		t.Fatal(err)
	}
	var all []Happened
	for n := 0.0; n <= until; n += 0.25 {
		d.Clock.Set(d.start.Add(days(n)))
		happened, err := d.Play()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, happened...)
	}
	return d, all
}

func TestWholeStoryHappens(t *testing.T) {
	d, happened := played(t, Days)
	if len(d.events) > 0 || len(happened) < 60 {
		t.Errorf("%d events happened, %d did not", len(happened), len(d.events))
	}
	for _, h := range happened {
		if h.At.Before(d.start) || h.At.After(d.Clock.Now()) {
			t.Errorf("%q happened on %s", h.Text, h.At)
		}
	}
	shapes := map[string]int{}
	for _, id := range d.ECR.Repositories() {
		shapes[id.Registry+" "+id.Region]++
	}
	if len(shapes) != 3 || len(d.ECR.Repositories()) != 8 {
		t.Errorf("the registries are %v", shapes)
	}
}

// A day in one step is the same as a day in many steps.
func TestStoryIsDeterministic(t *testing.T) {
	small, _ := played(t, 40)
	real := &fakeReal{time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC)}
	large, err := New(real.now)
	if err != nil {
		t.Fatal(err)
	}
	large.Clock.Set(large.start.Add(days(40)))
	if _, err := large.Play(); err != nil {
		t.Fatal(err)
	}
	for _, id := range small.ECR.Repositories() {
		names := func(d *Demo) (all []string) {
			for _, i := range d.ECR.Images(id) {
				all = append(all, fmt.Sprint(i.Digest, i.Tags))
			}
			return all
		}
		if a, b := names(small), names(large); !slices.Equal(a, b) {
			t.Errorf("%s: %v and %v", id.Name, a, b)
		}
	}
}

// A rebuilt image no longer has the vulnerability, and the scanner finds a vulnerability only after it has learned of it.
func TestScannerFindsWhatItKnows(t *testing.T) {
	finds := func(day float64) (found bool, severity string) {
		d, _ := played(t, day)
		i, err := d.image(imageRef{"shop/web", "latest"})
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(d.basic(i), func(f ecr.Finding) bool { return f.Name == "CVE-2022-37434" })
		if at < 0 {
			return false, ""
		}
		return true, d.basic(i)[at].Severity
	}
	for day, want := range map[float64]bool{30.75: false, 31.75: true, 32.5: false} {
		if found, severity := finds(day); found != want || found && severity != "CRITICAL" {
			t.Errorf("day %v: %t, %s", day, found, severity)
		}
	}
}

// Amazon Inspector reports an exploit and a fixed version when they are known, and how many containers use an image.
func TestInspectorFindings(t *testing.T) {
	of := func(day float64, name string) ecr.EnhancedFinding {
		d, _ := played(t, day)
		i, err := d.image(imageRef{"data/reports", "prod"})
		if err != nil {
			t.Fatal(err)
		}
		all := d.enhanced(i, d.Clock.Now())
		at := slices.IndexFunc(all, func(f ecr.EnhancedFinding) bool { return f.PackageDetails.VulnerabilityID == name })
		if at < 0 {
			t.Fatalf("day %v: %s is not found", day, name)
		}
		return all[at]
	}
	for day, want := range map[float64]string{7.5: "NO NO NotAvailable", 8: "YES NO NotAvailable", 8.25: "YES YES 2.15.0"} {
		f := of(day, "CVE-2021-44228")
		got := fmt.Sprint(f.ExploitAvailable, " ", f.FixAvailable, " ", f.PackageDetails.VulnerablePackages[0].FixedInVersion)
		if use := f.Resources[0].Details.Image.InUseCount; got != want || use != 3 || f.FirstObservedAt.After(f.UpdatedAt.Time) {
			t.Errorf("day %v: %s, used by %d, first %s, updated %s", day, got, use, f.FirstObservedAt, f.UpdatedAt)
		}
	}
	low, raised := of(10, "CVE-2021-45046"), of(10.5, "CVE-2021-45046")
	if low.Severity != "LOW" || raised.Severity != "CRITICAL" || !raised.UpdatedAt.After(low.UpdatedAt.Time) {
		t.Errorf("%s of %s became %s of %s", low.Severity, low.UpdatedAt, raised.Severity, raised.UpdatedAt)
	}
}

// Errors of a changed story say what is wrong.
func TestWrongEvents(t *testing.T) {
	for name, test := range map[string]struct {
		event event
		want  string
	}{
		"no such tag":       {event{Archive: []imageRef{{"shop/web", "none"}}}, "shop/web has no tag none"},
		"no image":          {event{Fail: []failure{{imageRef{"tools/builder", "chart"}, "x"}}}, "tools/builder:chart is not an image of the story"},
		"nothing to sign":   {event{Sign: []imageRef{{"shop/web", "none"}}}, "shop/web has no tag none"},
		"nothing to delete": {event{Delete: []imageRef{{"shop/web", "none"}}}, "no image none"},
		"no such recording": {event{Push: []push{{Repository: "base/ubuntu", Recorded: "test/none:1"}}}, "no image test/none:1"},
	} {
		d, _ := played(t, 1)
		d.events = []event{test.event}
		if _, err := d.Play(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
