package figures

import (
	"fmt"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// TrendDay contains the counts of all images of a config at one time. Images is the number of images that were added up.
type TrendDay struct {
	At     time.Time
	Counts scan.Counts
	Images int
}

// Trend returns the counts of the images of a config's reports over the last 30 days: 31 points, 24 hours apart, oldest first. The last point is now.
// Images with the same digest now are counted once on each day on which they had the same counts.
func Trend(reports []report.Report, now time.Time) []TrendDay {
	const days = int(history.Retention / (24 * time.Hour))
	trend := make([]TrendDay, days+1)
	for i := range trend {
		trend[i] = TrendDay{At: now.Add(-time.Duration(days-i) * 24 * time.Hour), Counts: scan.Counts{}}
	}
	images := make(map[string]int) // by digest
	for _, r := range reports {
		for i := range r.Images {
			images[r.Images[i].Image.Digest]++
		}
	}
	counted := make(map[dayCounts]bool)
	for _, r := range reports {
		for i := range r.Images {
			if item := &r.Images[i]; item.HasCounts() {
				addTo(item, trend, counted, images[item.Image.Digest] > 1 && item.Image.Digest != "")
			}
		}
	}
	return trend
}

// dayCounts is the counts of an image with this digest on a day.
type dayCounts struct {
	digest, counts string
	day            int
}

// addTo adds the counts of one image to each day. It starts with the current counts and undoes the recorded changes, newest first. It stops at
// the first day that is before the baseline. If the digest has several images, counted contains the counts and days of the others.
func addTo(i *report.Item, trend []TrendDay, counted map[dayCounts]bool, isShared bool) {
	counts, text, later := i.Result.Counts, "", i.Changes
	for n := len(trend) - 1; n >= 0; n-- {
		day := &trend[n]
		if i.KnownSince.IsZero() || i.KnownSince.After(day.At) {
			return
		}
		if len(later) > 0 && later[len(later)-1].At.After(day.At) {
			before := scan.Counts{}
			before.Add(counts)
			for ; len(later) > 0 && later[len(later)-1].At.After(day.At); later = later[:len(later)-1] {
				undo(before, later[len(later)-1])
			}
			counts, text = before, ""
		}
		if isShared {
			if text == "" {
				text = fmt.Sprint(counts.Ordered())
			}
			key := dayCounts{i.Image.Digest, text, n}
			if counted[key] {
				continue
			}
			counted[key] = true
		}
		day.Counts.Add(counts)
		day.Images++
	}
}

// undo turns the counts after a change into the counts before it.
func undo(c scan.Counts, change history.CountChange) {
	for s, n := range change.New {
		c[s] -= n
	}
	c.Add(change.Fixed)
	c.Add(change.Suppressed)
}
