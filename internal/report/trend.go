package report

import (
	"maps"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// TrendDay is the findings of all images of a config at the end of a day, or now. Images is how many images that is the sum of.
type TrendDay struct {
	At     time.Time
	Counts scan.Counts
	Images int
}

// Trend is how the counts of a config's images came about: the last point is now, the others lie 24 hours apart, 31 points in all. Images
// that share a digest count as often as they are shown.
func Trend(r Report, now time.Time) []TrendDay {
	const days = int(history.MemoryTime / (24 * time.Hour))
	trend := make([]TrendDay, days+1)
	for i := range trend {
		trend[i] = TrendDay{At: now.Add(-time.Duration(days-i) * 24 * time.Hour), Counts: scan.Counts{}}
	}
	for _, item := range r.Images {
		if item.Result.State == scan.Completed {
			item.addTo(trend)
		}
	}
	return trend
}

// addTo goes back in time, from the counts of now, as far as is known.
func (i Item) addTo(trend []TrendDay) {
	counts, later := maps.Clone(i.Result.Counts), i.Changes
	if counts == nil {
		counts = scan.Counts{}
	}
	for n := len(trend) - 1; n >= 0; n-- {
		day := &trend[n]
		if i.KnownSince.IsZero() || i.KnownSince.After(day.At) {
			return
		}
		for len(later) > 0 && later[len(later)-1].At.After(day.At) {
			undo(counts, later[len(later)-1])
			later = later[:len(later)-1]
		}
		day.Counts.Add(counts)
		day.Images++
	}
}

// undo goes back from the counts after a change to those before.
func undo(c scan.Counts, change history.CountChange) {
	for s, n := range change.New {
		c[s] -= n
	}
	c.Add(change.Fixed)
}
