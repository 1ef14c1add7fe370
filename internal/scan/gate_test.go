package scan

import (
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	fresh := now.Add(-25 * time.Hour)
	done := func(at time.Time, counts Counts) Item {
		return Item{Result: Result{State: Completed, CompletedAt: at, Counts: counts}}
	}
	last := func(asOf time.Time) Item {
		return Item{Result: Result{State: Completed, CompletedAt: now.Add(-time.Hour)}, AsOf: asOf, AsOfReason: "throttled by ECR"}
	}
	for name, test := range map[string]struct {
		max  Severity
		item Item
		want []string
	}{
		"clean":                          {Untriaged, done(fresh, Counts{}), nil},
		"at the maximum":                 {Medium, done(fresh, Counts{Medium: 3, Low: 1}), nil},
		"above it":                       {Medium, done(fresh, Counts{High: 1, Medium: 3}), []string{AboveMax}},
		"counts of zero":                 {Medium, done(fresh, Counts{High: 0}), nil},
		"undefined is low":               {Informational, done(fresh, Counts{Undefined: 1, Untriaged: 1}), nil},
		"untriaged is lower":             {Undefined, done(fresh, Counts{Untriaged: 1}), nil},
		"undefined above untriaged":      {Untriaged, done(fresh, Counts{Undefined: 1}), []string{AboveMax}},
		"informational above undefined":  {Undefined, done(fresh, Counts{Informational: 1}), []string{AboveMax}},
		"a severity nobody has heard of": {Critical, done(fresh, Counts{"SEVERE": 1}), []string{AboveMax}},
		"exactly 48 hours old":           {Critical, done(now.Add(-48*time.Hour), Counts{}), nil},
		"a second older":                 {Critical, done(now.Add(-48*time.Hour-time.Second), Counts{}), []string{Stale}},
		"at an unknown time":             {Critical, done(time.Time{}, Counts{}), []string{Stale}},
		"old and bad":                    {Low, done(now.Add(-72*time.Hour), Counts{Critical: 1}), []string{Stale, AboveMax}},
		"the last good answer":           {Critical, last(now.Add(-10 * time.Minute)), []string{string(Unread)}},
		"an old last good answer":        {Critical, last(now.Add(-49 * time.Hour)), []string{string(Unread)}},
		"not scanned":                    {Critical, Item{Result: Result{State: NotScanned, Reason: "archived", Counts: Counts{}}}, []string{"not scanned"}},
		"no state":                       {Critical, Item{Result: Result{}}, []string{"not scanned"}},
		"in progress":                    {Critical, Item{Result: Result{State: InProgress, CompletedAt: fresh}}, []string{"in progress"}},
		"failed":                         {Critical, Item{Result: Result{State: Failed}}, []string{"failed"}},
		"no such tag":                    {Critical, Item{Result: Result{State: NoSuchTag}}, []string{"tag not found"}},
		"unread":                         {Critical, Item{Result: Result{State: Unread}}, []string{"unavailable"}},
		"refused":                        {Critical, Item{Result: Result{State: Refused}}, []string{"no access"}},
	} {
		good := done(fresh, Counts{})
		v := Judge(Report{Images: []Item{good, test.item}}, test.max, now)
		var got []string
		for _, o := range v.Obstacles {
			got = append(got, o.Reason)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || v.Images != 2 {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for name, test := range map[string]struct {
		report Report
		want   string
	}{
		"no images":  {Report{}, NoImages},
		"gone":       {Report{Err: &Error{Code: RepositoryNotFound}}, string(RepositoryNotFound)},
		"unreadable": {Report{Err: io.EOF}, string(Internal)},
	} {
		if v := Judge(test.report, Critical, now); len(v.Obstacles) != 1 || v.Obstacles[0].Reason != test.want || v.Obstacles[0].Image != nil {
			t.Errorf("%s: %+v", name, v.Obstacles)
		}
	}
}

// A gate goes by one config, and says of each tag that it is asked about how it is.
func TestGateReadsOneConfig(t *testing.T) {
	r := &fakeRegistry{images: map[string][]Image{
		"app":   {{Tag: "a", Digest: "good"}, {Tag: "b", Digest: "bad"}, {Tag: "c", Digest: "good"}, {Tag: "sig", Digest: "s", Kind: Artifact}},
		"other": {{Tag: "1", Digest: "bad"}},
	}}
	w := worldOf(r, config("all", "app"), config("some", "app", "a", "b"), config("other", "other"))
	r.results = map[string]Result{"good": completed(w, time.Hour, Counts{Low: 1}), "bad": completed(w, time.Hour, Counts{High: 1})}
	for name, test := range map[string]struct {
		id     string
		tags   []string
		images int
		want   []string // the tags with an obstacle, and which
	}{
		"all":                      {"all", nil, 3, []string{"b: above max"}},
		"a good one of all":        {"all", []string{"a"}, 1, nil},
		"one that isn't there":     {"all", []string{"a", "nix"}, 2, []string{"nix: tag not found"}},
		"no image":                 {"all", []string{"sig"}, 1, []string{"sig: tag not found"}},
		"some":                     {"some", nil, 2, []string{"b: above max"}},
		"a good one of some":       {"some", []string{"a"}, 1, nil},
		"one that isn't watched":   {"some", []string{"a", "c"}, 2, []string{"c: tag not found"}},
		"none that is watched":     {"some", []string{"c"}, 1, []string{"c: tag not found"}},
		"none of the other config": {"other", []string{"a"}, 1, []string{"a: tag not found"}},
	} {
		v, err := w.Gate(t.Context(), test.id, Low, test.tags)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range v.Obstacles {
			got = append(got, o.Image.Label()+": "+o.Reason)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || v.Images != test.images || v.Config.ID != test.id {
			t.Errorf("%s: %d images (-want +got):\n%s", name, v.Images, diff)
		}
	}
	if _, err := w.Gate(t.Context(), "nobody's", Low, nil); CodeOf(err) != NotFound {
		t.Errorf("no such config: %v", err)
	}
}
