package history

import (
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"ecr-continuous-scan/internal/scan"
)

// Change is an entry of the change feed. It is about a finding, about the scanning of an image, about a repository, or
// about a suppression.
type Change struct {
	Kind EventKind
	At   time.Time
	// Scan is when the scan was completed that reported the change. It is zero for a change that is not about a
	// finding.
	Scan time.Time
	// HappenedAt is when something happened that is not about a finding. At is a second near it that nothing else in the
	// repository uses.
	HappenedAt time.Time
	// Repository and Image are what changed. Image is nil when the change is about the whole repository.
	Repository scan.Repository
	Image      *scan.Image
	// Finding is the current state of the finding. From and To are its severities before and after. From is empty for
	// a new finding, and To for a resolved one.
	Finding  scan.Finding
	From, To scan.Severity
	// Since is set when the change ends a period, for example of failed scans. It is the start of the period.
	Since time.Time
	// Reason is ECR's reason, or why something is suppressed, or empty.
	Reason string
	// Suppression is set only for a change of a suppression. Repository is empty then.
	Suppression *ChangedSuppression
	// RolledUp are the remaining changes of one scan of one image, or of suppressions at one time, that are not listed separately, in their order. If
	// it is set for a scan, only At, Repository and Image are set too. For suppressions, the other fields are those of the first of them.
	RolledUp []Change
}

// ChangedSuppression is the suppression of a change: its id, what it sets aside in words, and its end, which can be zero.
type ChangedSuppression struct {
	ID, What string
	Until    time.Time
}

// ID returns the id of the change. It stays the same in later requests and visits.
func (c Change) ID() uuid.UUID {
	if c.Suppression != nil {
		return scan.NameID("change", string(c.Kind), "suppression", c.Suppression.ID, strconv.FormatInt(c.HappenedAt.Unix(), 10))
	}
	parts := []string{"change", string(c.Kind), c.Repository.Registry, c.Repository.Region, c.Repository.Name}
	if c.Image != nil {
		parts = append(parts, c.Image.Tag, c.Image.Platform)
	}
	if len(c.RolledUp) > 0 {
		first := c.RolledUp[0].ID()
		return scan.NameID(append(parts, "rolled", first.String())...)
	}
	if c.Finding.Name != "" {
		parts = append(parts, c.Finding.Name, c.Finding.IdentityPackage(), strconv.Itoa(c.Finding.Episode))
	}
	at := c.At
	switch {
	case !c.Since.IsZero():
		at = c.Since
	case !c.Scan.IsZero():
		at = c.Scan // At can differ between a request and the visit that stores the change
	case !c.HappenedAt.IsZero():
		at = c.HappenedAt
	}
	return scan.NameID(append(parts, strconv.FormatInt(at.Unix(), 10))...)
}

// HighestSeverity returns the more severe of From and To.
func (c Change) HighestSeverity() scan.Severity { return scan.MoreSevere(c.From, c.To) }

// ChangesOf returns the changes when the repository appeared, when it was deleted and when it was created again.
func (r *Record) ChangesOf(repo scan.Repository) []Change {
	var changes []Change
	if r.Appeared > 0 {
		changes = append(changes, Change{Kind: RepositoryNew, At: r.Appeared.Time(), Repository: repo})
	}
	first := r.FirstListed()
	for _, p := range withCurrent(r.Absences, r.MissingSince) {
		if first == 0 || p.From <= first {
			continue // it did not exist yet
		}
		changes = append(changes, beginAndEnd(p, RepositoryGone, RepositoryBack, Change{Repository: repo})...)
	}
	return withDates(changes, r.Dates)
}

// ChangesOf returns the changes when the image was not scanned for [MaxScanAge], when its scans failed, when these
// periods ended, and when the image became something else. now is the time when its repository last existed.
func (r ImageRecord) ChangesOf(image *scan.Image, now Stamp) []Change {
	var changes []Change
	base := Change{Repository: image.Repository, Image: image}
	for _, p := range withCurrent(r.toldPeriods(r.Gaps), r.unscannedSince(now)) {
		changes = append(changes, beginAndEnd(p, Unscanned, Scanned, base)...)
	}
	for _, p := range withCurrent(r.toldPeriods(r.Failures), r.FailedSince) {
		if p.Until == 0 && r.Last.State == scan.Failed {
			base.Reason = r.Last.Reason
		}
		changes = append(changes, beginAndEnd(p, Failing, Recovered, base)...)
	}
	for _, e := range r.Statuses {
		changes = append(changes, Change{
			Kind: e.Kind, At: e.At.Time(), Since: e.Since.Time(), Reason: e.Reason, Repository: image.Repository, Image: image,
		})
	}
	return withDates(changes, r.Dates)
}

// withCurrent adds the current period, which has no end, if since is set.
func withCurrent(periods []Period, since Stamp) []Period {
	if since == 0 {
		return periods
	}
	return append(slices.Clone(periods), Period{From: since})
}

// beginAndEnd returns the change for the start of a period and, if the period has ended, the change for its end.
func beginAndEnd(p Period, begin, end EventKind, base Change) []Change {
	began := base
	began.Kind, began.At = begin, p.From.Time()
	if p.Until == 0 || p.CutOff {
		return []Change{began}
	}
	ended := base
	ended.Kind, ended.At, ended.Since = end, p.Until.Time(), p.From.Time()
	return []Change{began, ended}
}

// ChangesByScan returns the changes of the image's findings, one list for each scan, newest first.
func (h History) ChangesByScan(image *scan.Image) [][]Change {
	byKey := make(map[findingKey]scan.Finding, len(h.Findings))
	for _, t := range h.Findings {
		byKey[keyOf(t.Finding)] = t.Finding
	}
	var scans [][]Change
	var at Stamp
	for _, e := range slices.Backward(h.Events) {
		finding, isKnown := byKey[findingKey{e.Name, e.Package}]
		if !isKnown { // the event is about a package of a finding that was converted, or the finding is no longer stored
			finding = byKey[findingKey{name: e.Name}].InPackage(e.Package)
		}
		finding.Name, finding.Episode = e.Name, e.Episode
		c := Change{Kind: e.Kind, At: e.At.Time(), Scan: e.Scan.Time(), Repository: image.Repository, Image: image, Finding: finding, From: e.From, To: e.To}
		if e.Scan != at {
			scans, at = append(scans, nil), e.Scan
		}
		scans[len(scans)-1] = append(scans[len(scans)-1], c)
	}
	return scans
}
