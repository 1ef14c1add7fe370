package page

import (
	"fmt"
	"strings"
	"time"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// trendline is a small chart of the number of findings of a config over time, 100 wide and 30 high, with a description.
type trendline struct {
	All, Area, Severe string // SVG paths: the line of all findings, the area below it, and the area of critical and high findings
	Words             string
}

const trendHeight = 28.0

// newTrendline returns nil if there are results for fewer than two days.
func newTrendline(days []report.TrendDay) *trendline {
	for len(days) > 0 && days[0].Images == 0 {
		days = days[1:]
	}
	if len(days) < 2 {
		return nil
	}
	first, last := days[0], days[len(days)-1]
	most, all, severe := 1, make([]int, len(days)), make([]int, len(days))
	for i, day := range days {
		all[i], severe[i] = sumOf(day.Counts), day.Counts[scan.Critical]+day.Counts[scan.High]
		most = max(most, all[i])
	}
	line := polyline(all, most)
	return &trendline{
		All: line, Area: closed(line), Severe: closed(polyline(severe, most)),
		Words: trendWords(first, last, int(last.At.Sub(first.At).Hours()+12)/24),
	}
}

// trendWords says how many images there were if that changed: their findings are not new, and those of images that are missing are not resolved.
func trendWords(first, last report.TrendDay, days int) string {
	from, to, span := sumOf(first.Counts), sumOf(last.Counts), fmt.Sprintf("%d days", days)
	if days == 1 {
		span = "a day"
	}
	in := func(day report.TrendDay) string {
		return plural(sumOf(day.Counts), "finding") + " in " + plural(day.Images, "image")
	}
	switch {
	case first.Images != last.Images:
		return fmt.Sprintf("from %s to %s in %s", in(first), in(last), span)
	case from == to:
		return plural(to, "finding") + ", as many as " + span + " ago"
	}
	return fmt.Sprintf("from %d to %s in %s", from, plural(to, "finding"), span)
}

// polyline returns the path of a line over the whole width. Its height is relative to most.
func polyline(values []int, most int) string {
	var b strings.Builder
	for i, v := range values {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", command, 100*float64(i)/float64(len(values)-1), trendHeight*(1-float64(max(v, 0))/float64(most))+1)
	}
	return b.String()
}

// closed returns the path of the area below a line.
func closed(line string) string {
	return fmt.Sprintf("%sL100 %.0fL0 %.0fZ", line, trendHeight+1, trendHeight+1)
}

// change is the number of new and fixed findings of an image since a time.
type change struct {
	Known          bool // false if there is no earlier scan to compare with
	Added, Fixed   scan.Counts
	AddedN, FixedN int
}

func changeOf(item report.Item, since time.Time) change {
	c := change{Known: !item.KnownSince.IsZero()}
	c.Added, c.Fixed = item.ChangedSince(since)
	c.AddedN, c.FixedN = sumOf(c.Added), sumOf(c.Fixed)
	return c
}
