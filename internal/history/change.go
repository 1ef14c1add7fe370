package history

import (
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"ecr-continuous-scan/internal/scan"
)

// Change is a piece of news: of a finding, of the watch over an image, or of a repository.
type Change struct {
	Kind EventKind
	At   time.Time
	// Scan is when the scan was completed that told it; zero for news of the watch itself.
	Scan time.Time
	// Repository is where it happened; Image, nil for the repository as a whole, is the image.
	Repository scan.Repository
	Image      *scan.Image
	// Finding is the finding, as it is known now. From and To are its severities before and after; one is empty for what is new or fixed.
	Finding  scan.Finding
	From, To scan.Severity
	// Since is when what is over began.
	Since time.Time
	// Reason says more, in the words of ECR.
	Reason string
	// Rolled are changes that one scan of one image told besides those that are listed, in their order; then nothing else but At,
	// Repository and Image is set.
	Rolled []Change
}

// ID is the identity of the change.
func (c Change) ID() uuid.UUID {
	parts := []string{"change", string(c.Kind), c.Repository.Registry, c.Repository.Region, c.Repository.Name}
	if c.Image != nil {
		parts = append(parts, c.Image.Tag, c.Image.Platform)
	}
	if len(c.Rolled) > 0 {
		first := c.Rolled[0].ID()
		return scan.NameID(append(parts, "rolled", first.String())...)
	}
	if c.Finding.Name != "" {
		parts = append(parts, c.Finding.Name, c.Finding.Package, strconv.Itoa(c.Finding.Episode))
	}
	at := c.At
	switch {
	case !c.Since.IsZero():
		at = c.Since // the end of what began then
	case !c.Scan.IsZero():
		at = c.Scan // a read may tell it before a visit stores it, with another second
	}
	return scan.NameID(append(parts, strconv.FormatInt(at.Unix(), 10))...)
}

// Worst is the higher of the severities.
func (c Change) Worst() scan.Severity {
	if c.To == "" || c.From != "" && scan.CompareSeverity(c.From, c.To) < 0 {
		return c.From
	}
	return c.To
}

// ChangesOf tells when the repository of the record went and came back.
func (r *Record) ChangesOf(repo scan.Repository) []Change {
	var changes []Change
	for _, p := range withCurrent(r.Absences, r.Gone) {
		changes = append(changes, pair(p, RepositoryGone, RepositoryBack, Change{Repository: repo})...)
	}
	return changes
}

// ChangesOf tells when the image of the record was not scanned for too long, and when its scans failed.
func (r ImageRecord) ChangesOf(image *scan.Image, now Stamp) []Change {
	var changes []Change
	of := Change{Repository: image.Repository, Image: image}
	for _, p := range withCurrent(r.Gaps, r.late(now)) {
		changes = append(changes, pair(p, Unscanned, Scanned, of)...)
	}
	for _, p := range withCurrent(r.Failures, r.Failed) {
		if p.Until == 0 {
			of.Reason = r.Last.Reason
		}
		changes = append(changes, pair(p, Failing, Recovered, of)...)
	}
	return changes
}

// withCurrent are the periods and the one that lasts, if there is one.
func withCurrent(periods []Period, since Stamp) []Period {
	if since == 0 {
		return periods
	}
	return append(slices.Clone(periods), Period{From: since})
}

// pair tells that something began, and that it ended if it did.
func pair(p Period, begin, end EventKind, of Change) []Change {
	began := of
	began.Kind, began.At = begin, p.From.Time()
	if p.Until == 0 {
		return []Change{began}
	}
	ended := of
	ended.Kind, ended.At, ended.Since = end, p.Until.Time(), p.From.Time()
	return []Change{began, ended}
}

// ChangesByScan are the changes of an image's findings that the history has, newest first, scan by scan.
func (h History) ChangesByScan(image *scan.Image) [][]Change {
	known := make(map[findingKey]scan.Finding, len(h.Findings))
	for _, t := range h.Findings {
		known[keyOf(t.Finding)] = t.Finding
	}
	var scans [][]Change
	var at Stamp
	for _, e := range slices.Backward(h.Events) {
		found := known[findingKey{e.Name, e.Package}]
		found.Name, found.Package, found.Episode = e.Name, e.Package, e.Episode
		c := Change{Kind: e.Kind, At: e.At.Time(), Scan: e.Scan.Time(), Repository: image.Repository, Image: image, Finding: found, From: e.From, To: e.To}
		if e.Scan != at {
			scans, at = append(scans, nil), e.Scan
		}
		scans[len(scans)-1] = append(scans[len(scans)-1], c)
	}
	return scans
}
