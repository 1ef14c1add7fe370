package usecases

import (
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// The counts of an image can be known while its findings are not: the visit could not store them, and now ECR does not answer. The
// summary shows the counts, but a list without the findings would look clean.
func TestCountsAreKnownAndFindingsAreNot(t *testing.T) {
	outage := &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "latest", Digest: "d"}, {Tag: "v1", Digest: "d"}}}}
	w := newService(r, config("app", "app"))
	result := findingsOf(w, time.Hour, "A", "B")
	r.results = map[string]scan.Result{"d": result}
	w.visit(t, "app", "app")
	recorded := w.records.of("app").Images["latest"]
	older := result.CompletedAt.Add(-24 * time.Hour)
	for name, test := range map[string]struct {
		change  func(i *history.ImageRecord)
		state   scan.State
		asOf    time.Time
		entries int
	}{
		"no findings":               {func(i *history.ImageRecord) { i.History, i.Scan = "", history.Scan{} }, scan.Unread, result.CompletedAt, 2},
		"findings of another image": {func(i *history.ImageRecord) { i.Scan.Digest = "other" }, scan.Unread, result.CompletedAt, 2},
		"findings of an older scan": {func(i *history.ImageRecord) { i.Scan.Completed = history.StampOf(older) }, scan.Completed, older, 4},
	} {
		w.records.set("app", func(r *history.Record) {
			i := *recorded
			test.change(&i)
			r.Images["latest"] = &i
		})
		r.fail = map[string]error{"d": outage}
		l := findings(t, w, "app", report.View{})
		latest := l.Reports[0].Images[0]
		if c := latest.Condition(); c.State != test.state || !c.AsOf.Equal(test.asOf) || c.Reason != "the findings can't be read: throttled by ECR" || c.Current() {
			t.Errorf("%s: %+v", name, c)
		}
		if len(l.Entries) != test.entries || !l.Reports[0].Images[1].Condition().Current() {
			t.Errorf("%s: %d entries, %+v", name, len(l.Entries), l.Reports[0].Images[1])
		}
		o, err := w.Summary(t.Context(), time.Time{})
		if err != nil || o.Reports[0].Images[0].Result.State != scan.Completed || len(o.Reports[0].Images[0].Result.Counts) == 0 {
			t.Errorf("%s: summary %+v, %v", name, o, err)
		}
		r.fail = nil
		if l := findings(t, w, "app", report.View{}); len(l.Entries) != 4 || !l.Reports[0].Images[0].Condition().Current() {
			t.Errorf("%s, then ECR answers: %+v", name, l)
		}
	}
}

// If ECR returns no list of findings, the result is of the same kind of scanning as before: a critical finding of the next scan is
// new, and findings that ECR counts and does not list are not resolved.
func TestResultWithoutAListOfFindings(t *testing.T) {
	for _, enhanced := range []bool{true, false} {
		r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "v1", Digest: "a"}}}, results: map[string]scan.Result{}}
		w := newService(r, config("1", "app"))
		old := scan.Finding{Name: "CVE-1", Severity: scan.High}
		for day, result := range []scan.Result{
			{Enhanced: enhanced, Findings: []scan.Finding{old}, Counts: scan.Counts{scan.High: 1}},
			{KindUnknown: true, Counts: scan.Counts{scan.High: 1}, Unlisted: 1, Incomplete: true},
			{KindUnknown: true, Counts: scan.Counts{}},
			{Enhanced: enhanced, Findings: []scan.Finding{{Name: "CVE-2", Severity: scan.Critical}}, Counts: scan.Counts{scan.Critical: 1}},
		} {
			result.State, result.CompletedAt = scan.Completed, w.at.Add(-time.Minute)
			r.results["a"] = result
			w.visit(t, "app", "1")
			l, err := w.Changes(t.Context(), "1", report.View{})
			var told []string
			for _, c := range l.Changes {
				told = append(told, string(c.Kind)+" "+c.Finding.Name)
			}
			want := []string{"", "", "FIXED CVE-1", "NEW CVE-2, FIXED CVE-1"}[day]
			if got := strings.Join(told, ", "); err != nil || got != want {
				t.Errorf("enhanced %t, scan %d: changes %q, want %q, %v", enhanced, day, got, want, err)
			}
			w.advance(25 * time.Hour)
		}
	}
}
