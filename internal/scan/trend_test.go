package scan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTrend(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	watched := Item{Result: Result{State: Completed, Counts: Counts{High: 3, Low: 1}}, KnownSince: ago(72), Changes: []CountChange{
		{At: ago(47), New: Counts{High: 2, Medium: 1}},
		{At: ago(23), New: Counts{Low: 1}, Fixed: Counts{Medium: 1}},
	}}
	unknown := Item{Result: Result{State: NotScanned, Counts: Counts{High: 9}}, KnownSince: ago(72)}
	report := Report{Images: []Item{watched, unknown}}
	got := Trend(report, now)
	if len(got) != 31 {
		t.Fatalf("%d points", len(got))
	}
	for i, want := range map[int]TrendDay{
		26: {At: ago(96), Counts: Counts{}},
		27: {At: ago(72), Counts: Counts{High: 1, Low: 0, Medium: 0}, Images: 1},
		28: {At: ago(48), Counts: Counts{High: 1, Low: 0, Medium: 0}, Images: 1},
		29: {At: ago(24), Counts: Counts{High: 3, Low: 0, Medium: 1}, Images: 1},
		30: {At: now, Counts: Counts{High: 3, Low: 1}, Images: 1},
	} {
		if diff := cmp.Diff(want, got[i]); diff != "" {
			t.Errorf("point %d (-want +got):\n%s", i, diff)
		}
	}
	added, fixed := watched.ChangedSince(ago(24))
	if diff := cmp.Diff([]Counts{{Low: 1}, {Medium: 1}}, []Counts{added, fixed}); diff != "" {
		t.Errorf("in the last day (-want +got):\n%s", diff)
	}
}

// What was before the changes that are kept is not known.
func TestTrendOfBoundedChanges(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	item := Item{Result: Result{State: Completed, Counts: Counts{Low: 1}}, KnownSince: ago(30), Changes: []CountChange{{At: ago(20), New: Counts{Low: 1}}}}
	got := Trend(Report{Images: []Item{item}}, now)
	if day := got[len(got)-2]; day.Counts[Low] != 0 || day.Images != 1 {
		t.Errorf("before the first change: %+v", day)
	}
	if day := got[len(got)-3]; day.Images != 0 {
		t.Errorf("before anything was known: %+v", day)
	}
}
