package scan

import (
	"maps"
	"time"
)

// MemoryTime is how long changes and resolved findings are remembered.
const MemoryTime = 30 * 24 * time.Hour

// CountChange is what one scan changed in the counts of an image. A finding whose severity changed is new in the one and fixed in the other,
// so that the counts before, with New and without Fixed, are the counts after.
type CountChange struct {
	At    time.Time `json:"at"`
	New   Counts    `json:"new,omitempty"`
	Fixed Counts    `json:"fixed,omitempty"`
}

// ChangedSince sums up what changed after a time.
func (r Result) ChangedSince(t time.Time) (added, fixed Counts) {
	if n := len(r.Changes); n == 0 || !r.Changes[n-1].At.After(t) {
		return nil, nil
	}
	added, fixed = Counts{}, Counts{}
	for _, c := range r.Changes {
		if c.At.After(t) {
			added.add(c.New)
			fixed.add(c.Fixed)
		}
	}
	return added, fixed
}

// with is the counts with one more of a severity; the empty one isn't counted.
func (c Counts) with(s Severity) Counts {
	if s == "" {
		return c
	}
	if c == nil {
		c = Counts{}
	}
	c[s]++
	return c
}

func (c Counts) add(other Counts) {
	for s, n := range other {
		c[s] += n
	}
}

// TrendDay is the findings of all images of a config at the end of a day, or now. Images is how many images that is the sum of.
type TrendDay struct {
	At     time.Time
	Counts Counts
	Images int
}

// Trend is how the counts of a config's images came about: the last point is now, the others lie 24 hours apart, 31 points in all. Images
// that share a digest count as often as they are shown.
func Trend(r Report[Result], now time.Time) []TrendDay {
	const days = int(MemoryTime / (24 * time.Hour))
	trend := make([]TrendDay, days+1)
	for i := range trend {
		trend[i] = TrendDay{At: now.Add(-time.Duration(days-i) * 24 * time.Hour), Counts: Counts{}}
	}
	for _, item := range r.Images {
		if item.Value.State == Completed {
			item.Value.addTo(trend)
		}
	}
	return trend
}

// addTo goes back in time, from the counts of now, as far as is known.
func (r Result) addTo(trend []TrendDay) {
	counts, later := maps.Clone(r.Counts), r.Changes
	if counts == nil {
		counts = Counts{}
	}
	for i := len(trend) - 1; i >= 0; i-- {
		day := &trend[i]
		if r.KnownSince.IsZero() || r.KnownSince.After(day.At) {
			return
		}
		for len(later) > 0 && later[len(later)-1].At.After(day.At) {
			counts.undo(later[len(later)-1])
			later = later[:len(later)-1]
		}
		day.Counts.add(counts)
		day.Images++
	}
}

func (c Counts) undo(change CountChange) {
	for s, n := range change.New {
		c[s] -= n
	}
	c.add(change.Fixed)
}
