package figures

import (
	"strconv"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"

	"github.com/google/go-cmp/cmp"
)

func TestTrend(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	watched := report.Item{Result: scan.Result{State: scan.Completed, Counts: scan.Counts{scan.High: 3, scan.Low: 1}}, KnownSince: ago(72), Changes: []history.CountChange{
		{At: ago(47), New: scan.Counts{scan.High: 2, scan.Medium: 1}, Suppressed: scan.Counts{scan.Critical: 1}},
		{At: ago(23), New: scan.Counts{scan.Low: 1}, Fixed: scan.Counts{scan.Medium: 1}},
	}}
	unknown := report.Item{Result: scan.Result{State: scan.NotScanned, Counts: scan.Counts{scan.High: 9}}, KnownSince: ago(72)}
	watchedOnes := report.Report{Images: []report.Item{watched, unknown}}
	got := Trend([]report.Report{watchedOnes}, now)
	if len(got) != 31 {
		t.Fatalf("%d points", len(got))
	}
	for i, want := range map[int]TrendDay{
		26: {At: ago(96), Counts: scan.Counts{}},
		27: {At: ago(72), Counts: scan.Counts{scan.Critical: 1, scan.High: 1, scan.Low: 0, scan.Medium: 0}, Images: 1},
		28: {At: ago(48), Counts: scan.Counts{scan.Critical: 1, scan.High: 1, scan.Low: 0, scan.Medium: 0}, Images: 1},
		29: {At: ago(24), Counts: scan.Counts{scan.High: 3, scan.Low: 0, scan.Medium: 1}, Images: 1},
		30: {At: now, Counts: scan.Counts{scan.High: 3, scan.Low: 1}, Images: 1},
	} {
		if diff := cmp.Diff(want, got[i]); diff != "" {
			t.Errorf("point %d (-want +got):\n%s", i, diff)
		}
	}
	added, fixed := watched.ChangedSince(ago(24))
	if diff := cmp.Diff([]scan.Counts{{scan.Low: 1}, {scan.Medium: 1}}, []scan.Counts{added, fixed}); diff != "" {
		t.Errorf("changes of the last day (-want +got):\n%s", diff)
	}
}

// Days before the baseline have no counts.
func TestTrendStartsAtTheBaseline(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	item := report.Item{Result: scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Low: 1}}, KnownSince: ago(30), Changes: []history.CountChange{{At: ago(20), New: scan.Counts{scan.Low: 1}}}}
	got := Trend([]report.Report{{Images: []report.Item{item}}}, now)
	if day := got[len(got)-2]; day.Counts[scan.Low] != 0 || day.Images != 1 {
		t.Errorf("the day before the change: %+v", day)
	}
	if day := got[len(got)-3]; day.Images != 0 {
		t.Errorf("the day before the baseline: %+v", day)
	}
}

// A digest with two tags counts once on each day on which both tags had the same counts.
func TestTrendOfADigestWithTwoTags(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	v1 := report.Item{Image: scan.Image{Tag: "v1", Digest: "d"}, Result: scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Low: 2}}, KnownSince: ago(72)}
	latest := v1
	latest.Image.Tag, latest.Changes = "latest", []history.CountChange{{At: ago(30), New: scan.Counts{scan.Low: 1}}} // it moved from another digest
	got := Trend([]report.Report{{Images: []report.Item{latest, v1}}}, now)
	for back, want := range []TrendDay{{Counts: scan.Counts{scan.Low: 2}, Images: 1}, {Counts: scan.Counts{scan.Low: 2}, Images: 1}, {Counts: scan.Counts{scan.Low: 3}, Images: 2}} {
		if day := got[len(got)-1-back]; day.Counts[scan.Low] != want.Counts[scan.Low] || day.Images != want.Images {
			t.Errorf("%d days ago: %+v, want %+v", back, day, want)
		}
	}
}

// The trend of a config with very many images needs little memory for each of them.
func TestMemoryOfTrend(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	items := make([]report.Item, 2000)
	for i := range items {
		items[i] = report.Item{Image: scan.Image{Digest: strconv.Itoa(i)}, Result: scan.Result{State: scan.Completed, Counts: scan.Counts{scan.High: 3, scan.Low: 1}}, KnownSince: now.Add(-72 * time.Hour)}
	}
	if n := testing.AllocsPerRun(5, func() { Trend([]report.Report{{Images: items}}, now) }); n > 500 {
		t.Errorf("%v allocations", n)
	}
}
