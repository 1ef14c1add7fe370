package render

import (
	"slices"
	"strconv"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// otherSeverities is the column for the sum of all severities that have no column.
const otherSeverities = "OTHER"

// SummaryCSV returns the summary as a table with a row for each image, and a row for each config without images. A cell is empty if its value is
// unknown; a count is 0 only if a completed scan found nothing.
func SummaryCSV(o report.Overview, filter scan.Filter, feed FeedOf, safe SafeFor) ([]byte, error) {
	head := []string{"id", "region", "registry", "repository", "tag", "platform", "digest", "state", "reason", "asOf", "scannedAt", "ageHours"}
	for _, s := range scan.Severities() {
		head = append(head, string(s))
	}
	head = append(head, otherSeverities, "new", "fixed", "knownSince", "feed", "stale", "missing", "suppressed", "inUse", "lastInUseAt", "lastPulledAt", "name", "owner", "unsuppressed")
	var rows [][]string
	for _, r := range report.Narrow(o.Reports, filter) {
		lead := []string{r.Config.ID, r.Config.Region, r.Config.Registry, r.Repository.Name}
		url := feed(r.Config.ID)
		if state, reason := conditionData(r.Condition()); state != "" {
			row := append(slices.Clone(lead), "", "", "", state, reason)
			row = append(row, make([]string, len(head)-len(row))...)
			row[slices.Index(head, "feed")] = url
			row[slices.Index(head, "name")], row[slices.Index(head, "owner")] = r.Config.Name, r.Config.Owner
			rows = append(rows, row)
		}
		for _, item := range r.Images {
			d := newImageData(item, o.Since, o.Now)
			rows = append(rows, append(append(slices.Clone(lead), imageCells(d)...), url, truth(d.Stale),
				optionalCount(d.Missing), optionalCount(d.Suppressed), optionalCount(d.InUse), d.LastInUseAt, d.LastPulledAt, r.Config.Name, r.Config.Owner, truth(d.Unsuppressed)))
		}
	}
	return writeCSV(head, rows, safe)
}

func imageCells(d imageData) []string {
	cells := []string{d.Tag, d.Platform, d.Digest, d.State, d.Reason, d.AsOf, d.ScannedAt, ""}
	if d.AgeHours != nil {
		cells[len(cells)-1] = strconv.Itoa(*d.AgeHours)
	}
	other := d.Counts.sum()
	for _, s := range scan.Severities() {
		n := d.Counts.of(s)
		other -= n
		cells = append(cells, number(n, d.Counts != nil))
	}
	return append(cells, number(other, d.Counts != nil), number(d.New.sum(), d.New != nil), number(d.Fixed.sum(), d.Fixed != nil), d.KnownSince)
}

// truth returns true, or an empty text for false.
func truth(b bool) string {
	if !b {
		return ""
	}
	return strconv.FormatBool(b)
}

// number returns an empty text for an unknown number.
func number(n int, known bool) string {
	if !known {
		return ""
	}
	return strconv.Itoa(n)
}

func (c countsData) of(s scan.Severity) int {
	for _, count := range c {
		if count.Severity == s {
			return count.Count
		}
	}
	return 0
}

func (c countsData) sum() int {
	n := 0
	for _, count := range c {
		n += count.Count
	}
	return n
}
