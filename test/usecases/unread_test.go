package usecases

import (
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
			i := recorded
			test.change(&i)
			r.Images["latest"] = i
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
