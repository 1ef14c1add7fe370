package page

import (
	"fmt"
	"strings"
	"time"

	"ecr-continuous-scan/internal/figures"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// trendline is a chart of the findings of a config over the last 30 days. It has a bar for each day of which the counts are known.
type trendline struct {
	All, Severe string // SVG paths: the bars of all findings, and in front of them those of critical and high findings
	Most        int    // the number of findings at the top of the axis
	From, To    string // the first and the last day of the axis
	Words       string
	Details     string // the rest of what the chart shows, for people who can't see it
}

// The bars are in the rectangle from trendLeft and trendTop to trendRight and trendBase. The texts of the axes are around it.
const (
	trendLeft, trendRight = 38.0, 248.0
	trendTop, trendBase   = 4.0, 40.0
)

// mostFindings returns the highest number of findings on a day.
func mostFindings(days []figures.TrendDay) int {
	most := 0
	for _, day := range days {
		most = max(most, sumOf(day.Counts))
	}
	return most
}

// newTrendline returns nil if the counts of no day are known. All charts of a page have the same most, so that people can compare them.
func newTrendline(days []figures.TrendDay, most int) *trendline {
	var known []figures.TrendDay
	var all, severe strings.Builder
	most = max(most, 1)
	for i, day := range days {
		if day.Images == 0 {
			continue
		}
		known = append(known, day)
		all.WriteString(trendBar(i, len(days), sumOf(day.Counts), most))
		if n := severeOf(day); n > 0 {
			severe.WriteString(trendBar(i, len(days), n, most))
		}
	}
	if len(known) == 0 {
		return nil
	}
	last := days[len(days)-1]
	return &trendline{
		All: all.String(), Severe: severe.String(), Most: most, From: dateOf(days[0].At), To: dateOf(last.At),
		Words: trendWords(known, last), Details: trendDetails(known),
	}
}

func severeOf(day figures.TrendDay) int { return day.Counts[scan.Critical] + day.Counts[scan.High] }

func dateOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// trendBar returns the path of the bar of one day. The bar of a day without findings is a thin line, so that it differs from an unknown day.
func trendBar(day, days, findings, most int) string {
	slot := (trendRight - trendLeft) / float64(days)
	height := max((trendBase-trendTop)*float64(findings)/float64(most), 1)
	return fmt.Sprintf("M%.1f %.0fv-%.1fh%.1fv%.1fz", trendLeft+slot*float64(day), trendBase, height, slot-1.2, height)
}

// trendWords compares the first known day with the last day. The number of images explains why the number of findings can change without a change.
func trendWords(known []figures.TrendDay, last figures.TrendDay) string {
	first := known[0]
	now := plural(sumOf(last.Counts), "finding")
	switch {
	case last.Images == 0:
		return plural(sumOf(first.Counts), "finding") + " on " + dateOf(first.At) + ", not known now"
	case len(known) == 1:
		return now + " now, not known before"
	case first.Images != last.Images:
		return fmt.Sprintf("%s in %s on %s, %d in %s now", plural(sumOf(first.Counts), "finding"), plural(first.Images, "image"), dateOf(first.At),
			sumOf(last.Counts), plural(last.Images, "image"))
	}
	return fmt.Sprintf("%s on %s, %d now", plural(sumOf(first.Counts), "finding"), dateOf(first.At), sumOf(last.Counts))
}

func trendDetails(known []figures.TrendDay) string {
	first, last, highest := known[0], known[len(known)-1], known[0]
	for _, day := range known {
		if sumOf(day.Counts) > sumOf(highest.Counts) {
			highest = day
		}
	}
	return fmt.Sprintf("Critical and high: %d on %s, %d on %s. Highest number of findings: %d on %s.",
		severeOf(first), dateOf(first.At), severeOf(last), dateOf(last.At), sumOf(highest.Counts), dateOf(highest.At))
}

// change is the number of new and fixed findings of an image since a time.
type change struct {
	Known          bool // false if there is no earlier scan to compare with
	Added, Fixed   scan.Counts
	AddedN, FixedN int
}

func changeOf(item *report.Item, since time.Time) change {
	c := change{Known: !item.KnownSince.IsZero()}
	c.Added, c.Fixed = item.ChangedSince(since)
	c.AddedN, c.FixedN = sumOf(c.Added), sumOf(c.Fixed)
	return c
}
