package render

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// Summary returns the summary as text: a block for each image of each config and repository. Each block ends with two empty lines. If there is a filter, Summary
// applies it, and the first block describes it.
//
// After a count it writes how many findings are new and how many are fixed since the overview's Since, if there are any.
func Summary(o report.Overview, filter scan.Filter) []byte {
	var b bytes.Buffer
	reports := o.Reports
	if !filter.IsZero() {
		if reports = report.Narrow(reports, filter); len(reports) == 0 {
			fmt.Fprintf(&b, "Filtered by %s: nothing matches.\n\n\n", FilterWords(filter))
			return b.Bytes()
		}
		fmt.Fprintf(&b, "Filtered by %s: the rest is left out.\n\n\n", FilterWords(filter))
	}
	for _, r := range reports {
		if trouble := ConfigTrouble(r); trouble != nil {
			block(&b, r.Repository.Name, r.Repository.Region, []string{trouble.Line()})
			continue
		}
		for _, item := range r.Images {
			name := r.Repository.Name + item.Image.Separator() + OneLine(item.Image.Label(), maxReason)
			block(&b, name, r.Repository.Region, resultLines(item, o.Since))
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

// write writes the parts directly into the buffer: there can be hundreds of thousands of lines.
func write(b *bytes.Buffer, parts ...string) {
	for _, part := range parts {
		b.WriteString(part)
	}
}

// resultLines returns the counts of an image, or one line with the reason why it has none. If not all findings could be read, it returns both. If the result is not current, another line contains its
// date.
func resultLines(item report.Item, since time.Time) []string {
	c := item.Condition()
	lines, reason := countLines(item, since), c.Reason
	if trouble := StateTrouble(c); trouble != nil {
		if c.State != scan.Incomplete {
			lines = nil
		}
		lines, reason = append(lines, trouble.Line()), ""
	}
	if n := item.AllSuppressed(); n > 0 && item.HasCounts() {
		lines = append(lines, "SUPPRESSED: "+strconv.Itoa(n))
	}
	if item.Unsuppressed {
		lines = append(lines, WithReason("NOT SUPPRESSED", unsuppressed))
	}
	if !c.AsOf.IsZero() {
		lines = append(lines, WithReason("AS OF "+RFC3339(c.AsOf), reason))
	}
	return lines
}

// unsuppressed is the reason why suppressed findings are in the counts of an image.
const unsuppressed = "only the counts are known"

// countLines returns the counts of an image. It includes a severity without findings if it had some at the given time or later.
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
	lines := make([]string, 0, len(ordered)+1) // one more for the AS OF line
	for _, c := range ordered {
		n, change := item.Result.Counts[c.Severity], changeWords(added[c.Severity], fixed[c.Severity])
		if n > 0 || change != "" {
			lines = append(lines, OneLine(string(c.Severity), maxReason)+": "+strconv.Itoa(n)+change)
		}
	}
	return lines
}

// changeWords returns the numbers of new and fixed findings, such as " (+2 -1)"; empty when both are 0.
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
