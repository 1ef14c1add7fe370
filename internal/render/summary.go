package render

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// Summary is the summary as text: a block for each image of each config, each ending with two empty lines. With a filter, a block before them
// says what is left out, and that is done here too.
//
// What is new and what is fixed since the overview's point in time stands behind a count; without a change there is nothing.
func Summary(o report.Overview, filter scan.Filter) []byte {
	var b bytes.Buffer
	reports := o.Reports
	if !filter.IsZero() {
		fmt.Fprintf(&b, "Filtered by %s: the rest is left out.\n\n\n", FilterWords(filter))
		reports = report.Narrow(reports, filter)
	}
	for _, r := range reports {
		if trouble := ConfigTrouble(r); trouble != nil {
			block(&b, r.Config.Repository, r.Config.Region, []string{trouble.Line()})
			continue
		}
		for _, item := range r.Images {
			name := r.Config.Repository + ":" + OneLine(item.Image.Label(), maxReason)
			block(&b, name, r.Config.Region, resultLines(item, o.Since))
		}
	}
	return b.Bytes()
}

func block(b *bytes.Buffer, name, region string, lines []string) {
	write(b, "Results for ", name, " in ", region, ":\n")
	for _, line := range lines {
		write(b, " ", line, "\n")
	}
	write(b, "\n\n")
}

// write puts a text together without making it first: there may be hundreds of thousands.
func write(b *bytes.Buffer, parts ...string) {
	for _, part := range parts {
		b.WriteString(part)
	}
}

// resultLines are the counts of an image, or the one line that says why it has none, and when that was if it isn't now.
func resultLines(item report.Item, since time.Time) []string {
	c := item.Condition()
	lines, why := countLines(item, since), c.Reason
	if trouble := StateTrouble(c); trouble != nil {
		lines, why = []string{trouble.Line()}, ""
	}
	if !c.AsOf.IsZero() {
		lines = append(lines, WithReason("AS OF "+RFC3339(c.AsOf), why))
	}
	return lines
}

// countLines are the counts, those too of which there is none any more since a point in time.
func countLines(item report.Item, since time.Time) []string {
	added, fixed := item.ChangedSince(since)
	all := item.Result.Counts
	if len(added)+len(fixed) > 0 {
		all = make(scan.Counts)
		for _, counts := range []scan.Counts{item.Result.Counts, added, fixed} {
			for severity := range counts {
				all[severity] = 1
			}
		}
	}
	ordered := all.Ordered()
	lines := make([]string, 0, len(ordered)+1) // one more says of when they are
	for _, c := range ordered {
		n, change := item.Result.Counts[c.Severity], changeWords(added[c.Severity], fixed[c.Severity])
		if n > 0 || change != "" {
			lines = append(lines, OneLine(string(c.Severity), maxReason)+": "+strconv.Itoa(n)+change)
		}
	}
	return lines
}

// changeWords are what is new and what is fixed, as in " (+2 -1)"; nothing when both are none.
func changeWords(added, fixed int) string {
	switch {
	case added > 0 && fixed > 0:
		return fmt.Sprintf(" (+%d -%d)", added, fixed)
	case added > 0:
		return fmt.Sprintf(" (+%d)", added)
	case fixed > 0:
		return fmt.Sprintf(" (-%d)", fixed)
	}
	return ""
}
