package usecases

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/gate"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// Which findings fail a gate: with a fix, first seen lately, or without a severity and a score.
func TestGateSelectsFindings(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	week := now.Add(-7 * 24 * time.Hour)
	found := func(name string, s scan.Severity, fix, score string, seen time.Time) history.TrackedFinding {
		f := history.TrackedFinding{Finding: scan.Finding{Name: name, Severity: s, Score: score}, Published: history.StampOf(seen)}
		if fix != "" {
			f.FixedIn = []string{fix}
		}
		return f
	}
	open := []history.TrackedFinding{
		found("old", scan.High, "", "", week.Add(-time.Second)),
		found("old fixable", scan.High, "1.1", "", week.Add(-time.Second)),
		found("new", scan.High, "", "", week),
		found("new fixable", scan.Medium, "2", "", now),
		found("scored", scan.Undefined, "3", "9.1", now),
		found("unjudged", scan.Undefined, "", "", now),
		found("unjudged fixable", scan.Untriaged, "4", "0", week.Add(-time.Hour)),
		found("low", scan.Low, "5", "", now),
	}
	listed := scan.Counts{scan.High: 3, scan.Medium: 1, scan.Undefined: 2, scan.Untriaged: 1, scan.Low: 1}
	more := scan.Counts{scan.High: 5, scan.Medium: 1, scan.Undefined: 2, scan.Untriaged: 1, scan.Low: 1, scan.Critical: 1}
	for name, test := range map[string]struct {
		request           gate.Request
		counts            scan.Counts
		want              map[string]string // by reason: the findings, most severe first
		detail            scan.Counts       // of "above max"
		unjudged, ignored int
	}{
		"all": {
			gate.Request{Max: scan.Low}, listed, map[string]string{"above max": "new, old, old fixable, new fixable, scored"}, scan.Counts{scan.High: 3, scan.Medium: 1}, 2, 0,
		},
		"fixable": {
			gate.Request{Max: scan.Low, Filter: scan.Filter{Fixable: true}}, listed, map[string]string{"above max": "old fixable, new fixable, scored"}, scan.Counts{scan.High: 1, scan.Medium: 1}, 1, 2,
		},
		"new": {
			gate.Request{Max: scan.Low, FirstSeen: week}, listed, map[string]string{"above max": "new, new fixable, scored"}, scan.Counts{scan.High: 1, scan.Medium: 1}, 1, 2,
		},
		"new and fixable": {
			gate.Request{Max: scan.Low, FirstSeen: week, Filter: scan.Filter{Fixable: true}}, listed, map[string]string{"above max": "new fixable, scored"}, scan.Counts{scan.Medium: 1}, 0, 3,
		},
		"none": {
			gate.Request{Max: scan.High, FirstSeen: now.Add(time.Second)}, listed, map[string]string{}, nil, 0, 1,
		},
		"unjudged": {
			gate.Request{Max: scan.Critical, FailUnjudged: true}, listed, map[string]string{"unjudged": "unjudged, unjudged fixable"}, nil, 2, 0,
		},
		"unjudged and fixable": {
			gate.Request{Max: scan.Critical, FailUnjudged: true, Filter: scan.Filter{Fixable: true}}, listed, map[string]string{"unjudged": "unjudged fixable"}, nil, 1, 0,
		},
		"counted but not listed": { // nobody knows whether they have a fix
			gate.Request{Max: scan.Low, Filter: scan.Filter{Fixable: true}}, more, map[string]string{"above max": "old fixable, new fixable, scored"}, scan.Counts{scan.Critical: 1, scan.High: 3, scan.Medium: 1}, 1, 2,
		},
	} {
		item := report.Item{Result: scan.Result{State: scan.Completed, CompletedAt: now.Add(-time.Hour), Counts: test.counts}, Open: open}
		v := gate.Evaluate([]report.Report{{Images: []report.Item{item}}}, test.request, now)
		got := map[string]string{}
		var detail scan.Counts
		for _, f := range v.Failures {
			var names []string
			for _, finding := range f.Findings {
				names = append(names, finding.Name)
			}
			got[f.Reason] = strings.Join(names, ", ")
			if f.Reason == gate.AboveMax {
				detail = f.Counts
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" || v.Unjudged != test.unjudged || v.Ignored != test.ignored || v.IsNotYet() {
			t.Errorf("%s: %d unjudged, %d ignored (-want +got):\n%s", name, v.Unjudged, v.Ignored, diff)
		}
		if diff := cmp.Diff(test.detail, detail); diff != "" {
			t.Errorf("%s: counts (-want +got):\n%s", name, diff)
		}
	}
}

// A step of a pipeline waits only if waiting can help.
func TestGateTellsNotYetFromNo(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	image := func(state scan.State, reason string) report.Item {
		return report.Item{Result: scan.Result{State: state, Reason: reason, CompletedAt: now.Add(-72 * time.Hour), Counts: scan.Counts{}}}
	}
	for name, test := range map[string]struct {
		items []report.Item
		want  bool
	}{
		"in progress":          {[]report.Item{image(scan.InProgress, "")}, true},
		"not scanned":          {[]report.Item{image(scan.NotScanned, "")}, true},
		"pending":              {[]report.Item{image(scan.NotScanned, "pending")}, true},
		"result not ready":     {[]report.Item{image(scan.NotScanned, "result not ready")}, true},
		"unavailable":          {[]report.Item{image(scan.Unread, "throttled by ECR")}, true},
		"archived":             {[]report.Item{image(scan.NotScanned, "archived")}, false},
		"no filter covers it":  {[]report.Item{image(scan.NotScanned, "no filter of enhanced scanning covers the repository")}, false},
		"failed":               {[]report.Item{image(scan.Failed, "")}, false},
		"a missing tag":        {[]report.Item{image(scan.NoSuchTag, "")}, false},
		"stale":                {[]report.Item{image(scan.Completed, "")}, false},
		"in progress, failed":  {[]report.Item{image(scan.InProgress, ""), image(scan.Failed, "")}, false},
		"in progress, pending": {[]report.Item{image(scan.InProgress, ""), image(scan.NotScanned, "pending")}, true},
		"no images":            {nil, false},
	} {
		if v := gate.Evaluate([]report.Report{{Images: test.items}}, gate.Request{Max: scan.Low}, now); v.IsNotYet() != test.want || len(v.Failures) == 0 {
			t.Errorf("%s: not yet is %t", name, v.IsNotYet())
		}
	}
}

// new= uses the first time when a visit saw the finding. Only images that can fail the gate cost a history.
func TestGateOfNewFindings(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "2"}}}}
	w := newService(r, config("all", "app"))
	of := func(findings ...scan.Finding) scan.Result {
		counts := scan.Counts{}
		for _, f := range findings {
			counts[f.Severity]++
		}
		result := completed(w, 0, counts)
		result.Findings = findings
		return result
	}
	old, fresh := scan.Finding{Name: "CVE-1", Severity: scan.High}, scan.Finding{Name: "CVE-2", Severity: scan.High}
	r.results = map[string]scan.Result{"1": of(old), "2": of(scan.Finding{Name: "CVE-3", Severity: scan.Low})}
	w.visit(t, "app", "all")
	failing := func(g gate.Request) string {
		t.Helper()
		v, err := w.Gate(t.Context(), "all", g)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range v.Failures {
			for _, finding := range f.Findings {
				names = append(names, f.Image.Label()+" "+finding.Name)
			}
			if f.Reason != gate.AboveMax {
				names = append(names, f.Reason)
			}
		}
		return strings.Join(names, ", ")
	}
	for range 10 {
		w.advance(24 * time.Hour)
		r.results["1"], r.results["2"] = of(old), of(scan.Finding{Name: "CVE-3", Severity: scan.Low})
		w.visit(t, "app", "all")
	}
	week := func() gate.Request {
		return gate.Request{Max: scan.Medium, FirstSeen: w.Now().Add(-7 * 24 * time.Hour)}
	}
	if got := failing(week()); got != "" {
		t.Errorf("with an old finding: %s", got)
	}
	w.advance(24 * time.Hour)
	r.results["1"], r.results["2"] = of(old, fresh), of(scan.Finding{Name: "CVE-3", Severity: scan.Low})
	for _, visited := range []bool{false, true} { // the gate reads the scan before a visit does
		if visited {
			w.visit(t, "app", "all")
		}
		if got := failing(week()); got != "a CVE-2" {
			t.Errorf("with a new finding, visited %t: %s", visited, got)
		}
		if got := failing(gate.Request{Max: scan.Medium}); got != "a CVE-1, a CVE-2" {
			t.Errorf("without new, visited %t: %s", visited, got)
		}
	}
}

// A digest of an index selects its images. One that the config does not watch is read from ECR, and nothing of it is stored.
func TestGateOfAnIndex(t *testing.T) {
	const watched, other = "sha256:" + "1111111111111111111111111111111111111111111111111111111111111111", "sha256:" + "2222222222222222222222222222222222222222222222222222222222222222"
	r := &fakeRegistry{
		images: map[string][]scan.Image{"app": {
			{Tag: "1", Platform: "linux/amd64", Digest: "amd", Index: watched}, {Tag: "1", Platform: "linux/arm64", Digest: "arm", Index: watched}, {Tag: "2", Digest: "two"},
		}},
		byDigest: map[string][]scan.Image{other: {{Tag: other, Platform: "linux/amd64", Digest: "amd2", Index: other}, {Tag: other, Platform: "linux/arm64", Digest: "arm2", Index: other}}},
	}
	w := newService(r, config("all", "app"))
	r.results = map[string]scan.Result{
		"amd": completed(w, time.Hour, scan.Counts{}), "arm": completed(w, time.Hour, scan.Counts{scan.High: 1}), "two": completed(w, time.Hour, scan.Counts{scan.Critical: 1}),
		"amd2": completed(w, time.Hour, scan.Counts{scan.High: 1}), "arm2": {State: scan.InProgress},
	}
	for digest, want := range map[string][]string{watched: {"1 (linux/arm64): above max"}, other: {other + " (linux/amd64): above max", other + " (linux/arm64): in progress"}} {
		v, err := w.Gate(t.Context(), "all", gate.Request{Max: scan.Low, Filter: scan.Filter{Digests: []string{digest}}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range v.Failures {
			got = append(got, f.Image.Label()+": "+f.Reason)
		}
		if diff := cmp.Diff(want, got); diff != "" || v.Images != 2 {
			t.Errorf("%s: %d images (-want +got):\n%s", digest, v.Images, diff)
		}
	}
}
