package usecases

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// lines returns the entries as lines of the form "tags severity name package".
func lines(l report.Listing) []string {
	got := make([]string, len(l.Entries))
	for i, e := range l.Entries {
		for _, image := range e.Images {
			got[i] += image.Label() + " "
		}
		got[i] += fmt.Sprintf("%s %s %s", e.Finding.Severity, e.Finding.Name, e.Finding.Package)
	}
	return got
}

func findings(t *testing.T, w *service, id string, v report.View) report.Listing {
	t.Helper()
	l, err := w.Findings(t.Context(), id, v)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// manyFindings returns a service with many findings. Two of the tags point to the same digest, and another was
// scanned later.
func manyFindings() *service {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "1"}, {Tag: "new", Digest: "2"}, {Tag: "x", Digest: "3"}}}}
	w := newService(r, config("1", "app"))
	old, fresh := completed(w, 30*time.Hour, scan.Counts{scan.High: 1, scan.Low: 3000}), completed(w, time.Hour, scan.Counts{scan.Medium: 1})
	old.Findings = append(old.Findings, scan.Finding{Name: "CVE-HIGH", Severity: scan.High})
	for i := range 3000 {
		old.Findings = append(old.Findings, scan.Finding{Name: fmt.Sprintf("CVE-%04d", i), Severity: scan.Low})
	}
	fresh.Findings = []scan.Finding{{Name: "CVE-MEDIUM", Severity: scan.Medium}}
	r.results = map[string]scan.Result{"1": old, "2": fresh, "3": {State: scan.Failed, Reason: "why"}}
	return w
}

func TestFirstPageHasTheMostSevereFindings(t *testing.T) {
	w := manyFindings()
	l := findings(t, w, "1", report.View{})
	if len(l.Entries) != report.PageSize {
		t.Fatalf("%d entries", len(l.Entries))
	}
	// The page has the most severe findings, newest first. The findings of a have later dates than those of b.
	want := []string{"new MEDIUM CVE-MEDIUM ", "a HIGH CVE-HIGH ", "b HIGH CVE-HIGH "}
	if diff := cmp.Diff(want, append(lines(l)[:2], lines(l)[report.PageSize-1])); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if l.Total != 2*3001+1 || l.Pages() != 13 {
		t.Errorf("total %d in %d pages, want every finding of every tag", l.Total, l.Pages())
	}
	if _, err := w.Findings(t.Context(), "2", report.View{}); scan.CodeOf(err) != scan.NotFound {
		t.Errorf("an unknown config returns %v", err)
	}
}

// All pages together have each entry once.
func TestPagesHaveEachEntryOnce(t *testing.T) {
	bySeverity := func(a, b report.Entry) int { return scan.CompareSeverity(a.Finding.Severity, b.Finding.Severity) }
	for _, by := range []bool{false, true} {
		w, seen, last := manyFindings(), map[string]int{}, scan.Critical
		pages := findings(t, w, "1", report.View{ByVulnerability: by}).Pages()
		for page := 1; page <= pages; page++ {
			l := findings(t, w, "1", report.View{ByVulnerability: by, Page: page})
			worst := slices.MinFunc(l.Entries, bySeverity).Finding.Severity
			if scan.CompareSeverity(worst, last) < 0 {
				t.Errorf("page %d has a %s, an earlier page a %s", page, worst, last)
			}
			last = slices.MaxFunc(l.Entries, bySeverity).Finding.Severity
			for _, e := range l.Entries {
				seen[l.EntryID(e).String()]++
			}
		}
		want := 6003
		if by {
			want = 3002
		}
		if len(seen) != want {
			t.Errorf("by vulnerability %t: %d different entries on %d pages, want %d", by, len(seen), pages, want)
		}
		if l := findings(t, w, "1", report.View{ByVulnerability: by, Page: pages + 1}); len(l.Entries) != 0 || l.Pages() != pages {
			t.Errorf("after the last page there are %d entries", len(l.Entries))
		}
	}
}

func TestNumberOfPages(t *testing.T) {
	for total, want := range map[int]int{0: 1, 1: 1, 500: 1, 501: 2, 1000: 2, report.MaxPages * report.PageSize: report.MaxPages, 1_000_000: report.MaxPages} {
		if got := (report.Listing{Total: total}).Pages(); got != want {
			t.Errorf("%d entries: %d pages, want %d", total, got, want)
		}
	}
}

func TestFindingsFiltered(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "1"}, {Tag: "c", Digest: "2"}}}}
	w := newService(r, config("1", "app"))
	one, two := completed(w, time.Hour, nil), completed(w, time.Hour, nil)
	one.Findings = []scan.Finding{{Name: "CVE-1", Package: "ssl", Severity: scan.High}, {Name: "CVE-2", Package: "tar", Severity: scan.Low, FixAvailable: "YES"}}
	two.Findings = []scan.Finding{{Name: "CVE-1", Package: "ssl", Severity: scan.Medium}}
	r.results = map[string]scan.Result{"1": one, "2": two}

	l := findings(t, w, "1", report.View{Filter: scan.Filter{Tags: []string{"b", "missing"}, Severity: scan.High}})
	if diff := cmp.Diff([]string{"b HIGH CVE-1 ssl"}, lines(l)); diff != "" || l.Total != 1 {
		t.Errorf("total %d (-want +got):\n%s", l.Total, diff)
	}
	if len(l.Reports[0].Images) != 1 || l.Reports[0].Images[0].Image.Tag != "b" || r.calls["result 2"] != 0 {
		t.Errorf("images %+v, calls %v: want only those with the tag", l.Reports[0].Images, r.calls)
	}
	l = findings(t, w, "1", report.View{Filter: scan.Filter{Fixable: true}, ByVulnerability: true})
	if diff := cmp.Diff([]string{"a b LOW CVE-2 tar"}, lines(l)); diff != "" {
		t.Errorf("fixable, by vulnerability (-want +got):\n%s", diff)
	}
}

// Grouping more vulnerabilities than the limit is an error.
func TestTooManyGroups(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}}
	w := newService(r, config("1", "app"))
	result := completed(w, time.Hour, nil)
	for i := range maxGroups + 5 {
		result.Findings = append(result.Findings, scan.Finding{Name: fmt.Sprint(i)})
	}
	r.results = map[string]scan.Result{"1": result}
	if _, err := w.Findings(t.Context(), "1", report.View{ByVulnerability: true}); scan.CodeOf(err) != scan.Invalid {
		t.Errorf("more groups than the limit: %v", err)
	}
	if l, err := w.Findings(t.Context(), "1", report.View{}); err != nil || l.Total != maxGroups+5 || len(l.Entries) != report.PageSize {
		t.Errorf("not grouped: %d of %d, %v", len(l.Entries), l.Total, err)
	}
	if l, err := w.Findings(t.Context(), "1", report.View{ByVulnerability: true, Filter: scan.Filter{Names: []string{"1"}}}); err != nil || l.Total != 1 {
		t.Errorf("filtered: %d, %v", l.Total, err)
	}
}

// A finding that two configs watch is listed once. The error of one config does not affect the others.
func TestAllFindings(t *testing.T) {
	r := &fakeRegistry{
		images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "2"}}, "lib": {{Tag: "a", Digest: "1"}}},
		fail:   map[string]error{"missing": &scan.Error{Code: scan.RepositoryNotFound}},
	}
	w := newService(r, config("1", "app"), config("2", "app", "a"), config("3", "missing"), config("4", "lib"))
	one, two := completed(w, time.Hour, nil), completed(w, time.Hour, nil)
	one.Findings, two.Findings = []scan.Finding{{Name: "CVE-1", Severity: scan.High}}, []scan.Finding{{Name: "CVE-1", Severity: scan.Low}}
	r.results = map[string]scan.Result{"1": one, "2": two}
	for range 5 {
		l, err := w.AllFindings(t.Context(), report.View{})
		if err != nil {
			t.Fatal(err)
		}
		var repos []string
		for _, e := range l.Entries {
			repos = append(repos, e.Images[0].Repository.Name)
		}
		if diff := cmp.Diff([]string{"a HIGH CVE-1 ", "a HIGH CVE-1 ", "b LOW CVE-1 "}, lines(l)); diff != "" || !slices.Equal(repos, []string{"app", "lib", "app"}) {
			t.Errorf("repositories %v (-want +got):\n%s", repos, diff)
		}
		if l.Config != nil || len(l.Reports) != 4 || scan.CodeOf(l.Reports[2].Err) != scan.RepositoryNotFound || l.Outage() != nil {
			t.Errorf("listing %+v", l)
		}
	}
	grouped, err := w.AllFindings(t.Context(), report.View{ByVulnerability: true})
	if diff := cmp.Diff([]string{"a b HIGH CVE-1 ", "a HIGH CVE-1 "}, lines(grouped)); err != nil || diff != "" {
		t.Errorf("by vulnerability, which never merges repositories: %v (-want +got):\n%s", err, diff)
	}
	w.configs.err = &scan.Error{Code: scan.Unavailable}
	if _, err := w.AllFindings(t.Context(), report.View{}); scan.CodeOf(err) != scan.Unavailable {
		t.Errorf("without configs: %v", err)
	}
}

// The test compares the id of the plain feed with a fixed value. Each view has its own id, which does not depend on
// the page.
func TestFeedID(t *testing.T) {
	c := config("fc41dda8-f15e-4826-8908-11603b01dac4", "test/ubuntu")
	if got := (report.Listing{Config: &c}).FeedID().String(); got != "9e187647-2bd5-596e-a8aa-83e7f6d8eacc" {
		t.Errorf("id %s", got)
	}
	ids := map[string]string{}
	for what, l := range map[string]report.Listing{
		"plain": {Config: &c}, "all": {}, "by": {Config: &c, View: report.View{ByVulnerability: true}}, "all by": {View: report.View{ByVulnerability: true}},
		"high": {Config: &c, View: report.View{Filter: scan.Filter{Severity: scan.High}}}, "low": {Config: &c, View: report.View{Filter: scan.Filter{Severity: scan.Low}}},
		"tag": {Config: &c, View: report.View{Filter: scan.Filter{Tags: []string{"a"}}}}, "package": {Config: &c, View: report.View{Filter: scan.Filter{Packages: []string{"a"}}}},
		"cve": {Config: &c, View: report.View{Filter: scan.Filter{Names: []string{"a"}}}}, "fixable": {Config: &c, View: report.View{Filter: scan.Filter{Fixable: true}}},
		"two tags": {Config: &c, View: report.View{Filter: scan.Filter{Tags: []string{"a", "b"}}}},
	} {
		id := l.FeedID().String()
		if ids[id] != "" {
			t.Errorf("%s has the id of %s", what, ids[id])
		}
		ids[id] = what
		l.View.Page = 3
		if l.FeedID().String() != id {
			t.Errorf("%s: another page has another id", what)
		}
	}
}

func TestOutage(t *testing.T) {
	plain := func(s scan.State) report.Item {
		return report.Item{Image: scan.Image{Digest: "1"}, Result: scan.Result{State: s, Reason: "r"}}
	}
	index := report.Item{Image: scan.Image{Kind: scan.Index}, Result: scan.Result{State: scan.NotScanned}}
	missing, unavailable := report.Report{Err: &scan.Error{Code: scan.RepositoryNotFound}}, report.Report{Err: &scan.Error{Code: scan.Unavailable}}
	for name, test := range map[string]struct {
		reports []report.Report
		outage  bool
	}{
		"read":                         {[]report.Report{{Images: []report.Item{plain(scan.Completed)}}}, false},
		"one of two unread":            {[]report.Report{{Images: []report.Item{plain(scan.Unread), plain(scan.NotScanned)}}}, false},
		"all unread":                   {[]report.Report{{Images: []report.Item{plain(scan.Unread), plain(scan.Unread), index}}}, true},
		"refused":                      {[]report.Report{{Images: []report.Item{plain(scan.Refused)}}}, false},
		"no images":                    {[]report.Report{{}}, false},
		"only an index":                {[]report.Report{{Images: []report.Item{index}}}, false},
		"repository unavailable":       {[]report.Report{{Err: &scan.Error{Code: scan.Unavailable}}}, true},
		"repository not found":         {[]report.Report{{Err: &scan.Error{Code: scan.RepositoryNotFound}}}, false},
		"refused by the repository":    {[]report.Report{{Err: &scan.Error{Code: scan.NoAccess}}}, false},
		"one missing, one read":        {[]report.Report{missing, {Images: []report.Item{plain(scan.Completed)}}, unavailable}, false},
		"one missing, one unavailable": {[]report.Report{missing, unavailable}, true},
		"one refused, one unread":      {[]report.Report{{Images: []report.Item{plain(scan.Refused)}}, {Images: []report.Item{plain(scan.Unread)}}}, true},
		"no configs":                   {nil, false},
	} {
		err := report.Listing{Reports: test.reports}.Outage()
		if (err != nil) != test.outage || err != nil && scan.CodeOf(err) != scan.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}
