package render

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// maxReason bounds a reason in the summary, in characters.
const maxReason = 300

// Summary is the summary as text: a block for each image of each config, each ending with two empty lines. With a filter, a block before them
// says what is left out, and that is done here too.
//
// What is new and what is fixed since the overview's point in time stands behind a count; without a change there is nothing.
func Summary(o scan.Overview, filter scan.Filter) []byte {
	var b bytes.Buffer
	reports := o.Reports
	if !filter.IsZero() {
		fmt.Fprintf(&b, "Filtered by %s: the rest is left out.\n\n\n", filterWords(filter))
		reports = filter.Reports(reports)
	}
	for _, r := range reports {
		if line := troubleOf(r); line != "" {
			block(&b, r.Config.Repository, r.Config.Region, []string{line})
			continue
		}
		for _, item := range r.Images {
			name := r.Config.Repository + ":" + oneLine(item.Image.Label(), maxReason)
			block(&b, name, r.Config.Region, resultLines(item.Value, o.Since))
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

// troubleOf is the line for a config that can't be read as a whole, or that has nothing to read; otherwise empty.
func troubleOf(r scan.Report[scan.Result]) string {
	switch {
	case r.Err == nil && len(r.Images) > 0:
		return ""
	case r.Err == nil:
		return "NO IMAGES"
	}
	switch scan.CodeOf(r.Err) {
	case scan.RepositoryNotFound:
		return "REPOSITORY NOT FOUND"
	case scan.NoAccess:
		return "NO ACCESS"
	}
	return withReason("UNAVAILABLE", scan.MessageOf(r.Err))
}

// resultLines are the counts of an image, or the one line that says why it has none, and when that was if it isn't now.
func resultLines(result scan.Result, since time.Time) []string {
	lines := countLines(result, since)
	if line := stateLine(result); line != "" {
		lines = []string{line}
	}
	if !result.AsOf.IsZero() {
		why := ""
		if result.State == scan.Completed {
			why = result.Reason
		}
		lines = append(lines, withReason("AS OF "+rfc3339(result.AsOf), why))
	}
	return lines
}

// countLines are the counts, those too of which there is none any more since a point in time.
func countLines(result scan.Result, since time.Time) []string {
	added, fixed := result.ChangedSince(since)
	all := result.Counts
	if len(added)+len(fixed) > 0 {
		all = make(scan.Counts)
		for _, counts := range []scan.Counts{result.Counts, added, fixed} {
			for severity := range counts {
				all[severity] = 1
			}
		}
	}
	ordered := all.Ordered()
	lines := make([]string, 0, len(ordered)+1) // one more says of when they are
	for _, c := range ordered {
		n, change := result.Counts[c.Severity], changeWords(added[c.Severity], fixed[c.Severity])
		if n > 0 || change != "" {
			lines = append(lines, oneLine(string(c.Severity), maxReason)+": "+strconv.Itoa(n)+change)
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

// stateLine says why an image has no counts; it is empty for a completed scan alone.
func stateLine(result scan.Result) string {
	switch result.State {
	case scan.Completed:
		return ""
	case scan.InProgress:
		return "SCAN IN PROGRESS"
	case scan.Failed:
		return withReason("SCAN FAILED", result.Reason)
	case scan.NoSuchTag:
		return "TAG NOT FOUND"
	case scan.Unread, scan.Refused:
		return withReason("UNAVAILABLE", result.Reason)
	}
	return withReason("NOT SCANNED", result.Reason)
}

func withReason(state, reason string) string {
	return strings.TrimSuffix(state+": "+oneLine(reason, maxReason), ": ")
}
