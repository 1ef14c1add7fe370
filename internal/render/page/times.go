package page

import (
	"strings"
	"time"

	"ecr-continuous-scan/internal/figures"
	"ecr-continuous-scan/internal/report"
)

// times says how current the results of a page are, and when the next scan is due.
type times struct {
	Oldest, Newest *stamp // of the results of completed scans; Newest is nil if both are the same minute, and both are nil if there is none
	Next           string // a sentence, or the part of one before Due
	Due            *stamp
}

// newTimes returns nil if there is no image.
func newTimes(reports []report.Report, now time.Time) *times {
	of := figures.TimesOf(reports)
	if of.Images == 0 {
		return nil
	}
	t := times{Oldest: stampOf(of.Oldest), Newest: stampOf(of.Newest)}
	if t.Oldest != nil && t.Oldest.Text == t.Newest.Text {
		t.Newest = nil
	}
	var next []string
	if of.Running {
		next = append(next, "A scan is in progress.")
	}
	if of.Enhanced && of.Continuous {
		next = append(next, "Amazon Inspector scans continuously.")
	} else if of.Enhanced {
		next = append(next, "Amazon Inspector decides when to scan.")
	}
	if of.Waiting || !of.Due.IsZero() && !of.Due.After(now) {
		next = append(next, "A scan is due now.")
	} else if !of.Due.IsZero() {
		next, t.Due = append(next, "Next scan due"), stampOf(of.Due)
	}
	t.Next = strings.Join(next, " ")
	return &t
}
