package history

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// Retention is how long changes and resolved findings are stored.
const Retention = 30 * 24 * time.Hour

// CountChange is the change of an image's counts by one scan. The old counts plus New minus Fixed and Suppressed are
// the new counts. A finding whose severity changed counts as new in one severity and as fixed in the other.
type CountChange struct {
	At         time.Time   `json:"at"`
	New        scan.Counts `json:"new,omitempty"`
	Fixed      scan.Counts `json:"fixed,omitempty"`
	Suppressed scan.Counts `json:"suppressed,omitempty"`
}

// History is the stored history of the findings of one image: a tag, or one platform of an image index. It continues
// when the tag points to a new digest.
type History struct {
	Tag      string `json:"tag"`
	Platform string `json:"platform,omitempty"`
	Scan
	// Index is the index that listed the image when this scan was recorded.
	Index string `json:"index,omitempty"`
	// Since is when the baseline was completed, the first scan of the history. Findings of the baseline are not
	// changes.
	// It is 0 until the whole list of findings of the baseline was read.
	Since Stamp `json:"since"`
	// LastDate is the latest date in the history.
	LastDate Stamp `json:"told"`
	// ByVulnerability means that an enhanced finding has all packages of its vulnerability. In the histories of
	// earlier versions, each package is a finding of its own.
	ByVulnerability bool             `json:"byVulnerability,omitempty"`
	Findings        []TrackedFinding `json:"findings"`
	Events          []Event          `json:"events,omitempty"`
	Changes         []CountChange    `json:"changes,omitempty"`
}

// Scan is one completed scan.
type Scan struct {
	Digest    string `json:"digest,omitempty"`
	Completed Stamp  `json:"completed,omitempty"`
	Enhanced  bool   `json:"enhanced,omitempty"`
	// Incomplete is true when ECR returned only a part of the findings.
	Incomplete bool `json:"incomplete,omitempty"`
}

// FindingStatus is the status of a finding.
type FindingStatus string

// The statuses.
const (
	// Present means that the last completed scan reported the finding.
	Present FindingStatus = ""
	// Resolved means that a later completed scan did not report the finding.
	Resolved FindingStatus = "resolved"
	// Hidden means that the registry changed between basic and enhanced scanning, and only the earlier kind reported
	// the finding; or that Amazon Inspector suppressed the finding and then did not report it any more.
	Hidden FindingStatus = "hidden"
	// Suppressed means that the last scan reported the finding, and that a suppression rule of Amazon Inspector hides it.
	Suppressed FindingStatus = "suppressed"
)

// TrackedFinding is a finding with its status and dates.
type TrackedFinding struct {
	scan.Finding
	Status FindingStatus `json:"fate,omitempty"`
	// Published is when the finding was first seen, or when its current episode began. Updated is when its severity,
	// fix, score or status last changed. Ended is when it became resolved or hidden.
	Published Stamp `json:"published"`
	Updated   Stamp `json:"updated"`
	Ended     Stamp `json:"ended,omitempty"`
	// Note describes the last change.
	Note string `json:"note,omitempty"`
	// Earlier are the earlier episodes that ended within [Retention].
	Earlier []Episode `json:"earlier,omitempty"`
	// Returned is when the finding last came back after suppressions had set it aside.
	Returned Stamp `json:"returned,omitempty"`
}

// EventKind is the kind of a change.
type EventKind string

// The kinds: first those of findings, then those of images and repositories. Each of the latter is followed by the
// kind that ends it. The last are those of suppressions.
const (
	New          EventKind = "NEW"
	Fixed        EventKind = "FIXED"
	Raised       EventKind = "SEVERITY RAISED"
	Lowered      EventKind = "SEVERITY LOWERED"
	FixAvailable EventKind = "FIX AVAILABLE"

	Unscanned      EventKind = "NOT SCANNED"
	Scanned        EventKind = "NOT SCANNED, OVER"
	Failing        EventKind = "SCAN FAILED"
	Recovered      EventKind = "SCAN FAILED, OVER"
	RepositoryGone EventKind = "REPOSITORY GONE"
	RepositoryBack EventKind = "REPOSITORY GONE, OVER"
	RepositoryNew  EventKind = "NEW REPOSITORY"

	TagGone      EventKind = "TAG GONE"
	TagBack      EventKind = "TAG GONE, OVER"
	PlatformGone EventKind = "PLATFORM GONE"
	PlatformBack EventKind = "PLATFORM GONE, OVER"
	Archived     EventKind = "ARCHIVED"
	Restored     EventKind = "ARCHIVED, OVER"
	NotImage     EventKind = "NOT AN IMAGE"
	ImageAgain   EventKind = "NOT AN IMAGE, OVER"
	IndexUnread  EventKind = "INDEX UNREADABLE"
	IndexRead    EventKind = "INDEX UNREADABLE, OVER"

	SuppressionAdded   EventKind = "SUPPRESSION ADDED"
	SuppressionChanged EventKind = "SUPPRESSION CHANGED"
	SuppressionDeleted EventKind = "SUPPRESSION DELETED"
	SuppressionEnds    EventKind = "SUPPRESSION ENDS" // told some days before
)

// Event is the stored form of a change of a finding.
type Event struct {
	Kind EventKind `json:"kind"`
	// Scan is when the scan was completed that reported the change. At is the date of the change: a second near Scan
	// that nothing else in the repository uses.
	Scan    Stamp  `json:"scan"`
	At      Stamp  `json:"at"`
	Name    string `json:"name"`
	Package string `json:"package,omitempty"`
	Episode int    `json:"episode,omitempty"`
	// From and To are the severities before and after. From is empty for a new finding, and To for a resolved one.
	From scan.Severity `json:"from,omitempty"`
	To   scan.Severity `json:"to,omitempty"`
}

// Limits of a history. maxEnded is the number of resolved and hidden findings that are stored with all fields.
// maxNamed is the number of older findings that are stored only with what identifies them, so that the service
// recognizes them when they come back. maxEvents is the number of events.
const (
	maxEnded  = 5000
	maxNamed  = 5000
	maxEvents = 5000
	// maxChanges is more than the number of basic scans in 30 days. Only an image with enhanced scanning can exceed
	// it.
	maxChanges = 200
)

// findingKey identifies a finding of an image in different scans. pkg is [scan.Finding.IdentityPackage].
type findingKey struct{ name, pkg string }

func keyOf(f scan.Finding) findingKey { return findingKey{f.Name, f.IdentityPackage()} }

// NeedsUpdate reports whether a result of a digest can change the history.
func (h History) NeedsUpdate(digest string, r scan.Result) bool {
	at := StampOf(r.CompletedAt)
	if r.State != scan.Completed || at == 0 {
		return false
	}
	if h.Completed == 0 || digest != h.Digest || r.Enhanced != h.Enhanced {
		return true
	}
	// Enhanced scanning is continuous. Its findings can change while the date of the scan stays the same, and the date
	// becomes earlier if it is the date of a finding that is now closed.
	return at > h.Completed || r.Enhanced || at == h.Completed && h.Incomplete
}

// WithScan returns the history with the completed scan r of a digest added. r must have its findings. now is the time
// of S3's clock. reserve returns a second near the given one that nothing else in the repository uses. h is not
// changed.
func (h History) WithScan(digest string, r scan.Result, now Stamp, reserve func(Stamp) Stamp) History {
	t := h.newDiff(r, h.dateOfScan(r, now), reserve)
	next := h
	next.Scan = Scan{Digest: digest, Completed: StampOf(r.CompletedAt), Enhanced: r.Enhanced, Incomplete: r.Incomplete}
	next.LastDate = t.at
	next.ByVulnerability = r.Enhanced
	next.Findings = t.findings(r.Findings)
	next.Events = limitEvents(h.Events, t.events, t.at)
	if t.baseline {
		next.Since, next.Changes = next.Completed, nil
		if r.Incomplete {
			next.Since = 0 // the rest of the findings is not new either when it is read
		}
		return next
	}
	if next.Changes = slices.Clone(h.Changes); t.converted { // they counted packages
		next.Since, next.Changes = h.Completed, nil
	}
	if change, ok := t.change(); ok {
		next.Changes = withChange(next.Changes, change)
	}
	next.Changes = slices.DeleteFunc(next.Changes, func(c CountChange) bool { return StampOf(c.At) < t.at.Plus(-Retention) })
	if more := len(next.Changes) - maxChanges; more > 0 {
		next.Since = StampOf(next.Changes[more-1].At) // earlier changes are deleted
		next.Changes = next.Changes[more:]
	}
	if len(next.Changes) == 0 {
		next.Changes = nil // the same as after decoding
	}
	return next
}

func (h History) newDiff(r scan.Result, at Stamp, reserve func(Stamp) Stamp) *scanDiff {
	t := &scanDiff{
		old: make(map[findingKey]TrackedFinding, len(h.Findings)), at: at, reserve: reserve,
		baseline: h.Completed == 0 || h.Incomplete && h.Since == 0 || h.Enhanced != r.Enhanced, lostStatus: Resolved,
		suppressed: r.SuppressedFindings,
	}
	switch {
	case r.Incomplete, !r.Enhanced && r.Unlisted > 0:
		// The part that was not read, or that ECR counts and does not list, can contain them. Counts of enhanced
		// scanning can include closed findings, so they prove nothing.
		t.lostStatus = Present
	case t.baseline:
		t.lostStatus = Hidden
	}
	known := h.Findings
	if t.converted = h.Enhanced && r.Enhanced && !h.ByVulnerability; t.converted {
		known = mergePackages(known, r.Findings)
	}
	for _, f := range known {
		t.old[keyOf(f.Finding)] = f
	}
	if t.baseline {
		t.firstSeen = firstSeen(known)
	}
	return t
}

// firstSeen returns when each vulnerability that is not resolved was first seen.
func firstSeen(findings []TrackedFinding) map[string]Stamp {
	first := make(map[string]Stamp)
	for _, f := range findings {
		if at, known := first[f.Name]; f.Status != Resolved && f.Published > 0 && (!known || f.Published < at) {
			first[f.Name] = f.Published
		}
	}
	return first
}

// dateOfScan returns the date of the changes that a result causes. ECR reports no date when a tag points to an older
// digest again or when Amazon Inspector removes a finding. If such a result changes something, the date is now.
func (h History) dateOfScan(r scan.Result, now Stamp) Stamp {
	at := timeOf(r, now)
	if at > h.LastDate {
		return at
	}
	hasChanges := false
	t := h.newDiff(r, h.LastDate, func(at Stamp) Stamp { hasChanges = true; return at })
	t.findings(r.Findings)
	if _, hasCounts := t.change(); hasChanges || hasCounts {
		return max(h.LastDate, now)
	}
	return h.LastDate
}

// timeOf returns when a result was completed, or the latest date of its findings if Amazon Inspector reported one
// later. It ignores dates of findings in the future: such a date would also date all later changes.
func timeOf(r scan.Result, now Stamp) Stamp {
	at := StampOf(r.CompletedAt)
	for _, f := range r.Findings {
		for _, date := range []Stamp{StampOf(f.FirstSeen), StampOf(f.Changed)} {
			if date <= now.Plus(maxShift) {
				at = max(at, date)
			}
		}
	}
	return at
}

// scanDiff compares one scan with the history.
type scanDiff struct {
	old     map[findingKey]TrackedFinding
	at      Stamp
	reserve func(Stamp) Stamp
	// baseline is set for the first scan of the kind, basic or enhanced. Its findings are not new, and findings that
	// it does not report are not resolved.
	baseline bool
	// lostStatus is the status of findings that the scan does not report.
	lostStatus FindingStatus
	// suppressed are the findings that the scan reports as suppressed. suppressedCounts are the counts of those that were
	// present before.
	suppressed       []scan.Finding
	suppressedCounts scan.Counts
	// firstSeen contains when the other kind of scanning first saw a vulnerability. It is set for a baseline.
	firstSeen map[string]Stamp
	packages  packageNames
	// converted means that the history was stored by a version that counted each package of an enhanced finding.
	converted bool
	events    []Event
}

// findings returns the findings of the scan and the stored findings that the scan does not report. It handles the
// most severe findings first, so that they get the latest dates and are the first in lists that start with the
// newest.
func (t *scanDiff) findings(found []scan.Finding) []TrackedFinding {
	all := make([]TrackedFinding, 0, len(found)+len(t.old))
	t.packages = newPackageNames(t.old, found)
	for _, f := range found {
		old, known := t.old[keyOf(f)]
		delete(t.old, keyOf(f))
		all = append(all, t.trackFound(f, old, known))
	}
	for _, f := range t.suppressed {
		old, known := t.old[keyOf(f)]
		delete(t.old, keyOf(f))
		all = append(all, t.trackSuppressed(f, old, known))
	}
	rest := slices.SortedFunc(maps.Values(t.old), func(a, b TrackedFinding) int { return scan.CompareFindings(a.Finding, b.Finding) })
	for _, f := range rest {
		if f.isReported() && t.lostStatus != Present {
			f = t.trackLost(f)
		}
		all = append(all, f)
	}
	return t.prune(all)
}

func (t *scanDiff) trackFound(f scan.Finding, old TrackedFinding, known bool) TrackedFinding {
	next := TrackedFinding{Finding: f, Earlier: old.Earlier, Returned: old.Returned}
	next.Episode, next.NamesPackage = old.Episode, old.NamesPackage
	if !known {
		next.NamesPackage = t.packages.in(f)
	}
	switch {
	case t.baseline && old.Status != Resolved && old.Published > 0:
		next.Published, next.Updated, next.Note = old.Published, old.Updated, old.Note
	case t.baseline && old.Status != Resolved, !known:
		next = t.trackNew(next, cmp.Or(t.firstSeen[f.Name], StampOf(next.FirstSeen), t.at), "")
		t.addEvent(New, next, "")
	case old.Status != Present:
		next.Episode++
		next = t.trackNew(next, t.at, noteOfReturn(old.Status))
		next.Earlier = t.endEpisode(old, next)
		t.addEvent(New, next, "")
	case scan.CompareSeverity(f.Severity, old.Severity) < 0:
		next.Episode++
		next = t.trackNew(next, t.at, "severity raised from "+string(old.Severity))
		next.Earlier = t.endEpisode(old, next)
		t.addEvent(Raised, next, old.Severity)
	default:
		next.Published, next.Updated, next.Note = old.Published, old.Updated, old.Note
		next = t.trackChanged(next, old.Finding)
	}
	return next
}

func noteOfReturn(from FindingStatus) string {
	if from == Suppressed {
		return "no longer suppressed"
	}
	return "came back"
}

// trackNew sets the dates of a new finding or of a new episode.
func (t *scanDiff) trackNew(next TrackedFinding, at Stamp, note string) TrackedFinding {
	next.Published = t.reserve(at)
	next.Updated, next.Note = next.Published, note
	return next
}

// trackChanged updates the date and the note of a finding whose severity, fix or score changed.
func (t *scanDiff) trackChanged(next TrackedFinding, old scan.Finding) TrackedFinding {
	var notes []string
	lowered, fix := next.Severity != old.Severity, next.Fixable() && !old.Fixable()
	if lowered {
		notes = append(notes, "severity lowered from "+string(old.Severity))
	}
	if fix {
		notes = append(notes, "a fix became available")
	} else if !slices.Equal(next.FixedIn, old.FixedIn) || next.FixAvailable != old.FixAvailable {
		notes = append(notes, "the fix changed")
	}
	if next.Score != old.Score || next.Vector != old.Vector {
		notes = append(notes, "the CVSS score changed")
	}
	if len(notes) == 0 {
		return next
	}
	next.Updated, next.Note = max(t.reserve(t.at), next.Updated), strings.Join(notes, ", ")
	if lowered {
		t.addEvent(Lowered, next, old.Severity)
	}
	if fix {
		t.addEvent(FixAvailable, next, next.Severity)
	}
	return next
}

// trackSuppressed updates a finding that Amazon Inspector suppresses, or adds it. This is no change.
func (t *scanDiff) trackSuppressed(f scan.Finding, old TrackedFinding, known bool) TrackedFinding {
	next := old
	next.Finding, next.Episode, next.NamesPackage = f, old.Episode, old.NamesPackage
	if !known {
		next.NamesPackage = t.packages.in(f)
	}
	if next.Published == 0 {
		next = t.trackNew(next, cmp.Or(t.firstSeen[f.Name], StampOf(f.FirstSeen), t.at), "")
	}
	if known && old.Status == Present {
		t.suppressedCounts = t.suppressedCounts.With(old.Severity)
	}
	if !known || old.Status != Suppressed {
		next.Status, next.Ended = Suppressed, t.at
	}
	return next
}

// trackLost updates a finding that the scan did not report.
func (t *scanDiff) trackLost(f TrackedFinding) TrackedFinding {
	if f.Status == Suppressed {
		f.Status, f.Ended = Hidden, t.at // nobody was told of it, so its end is no change
		return f
	}
	f.Status, f.Ended = t.lostStatus, t.at
	if t.lostStatus == Resolved {
		f.Updated, f.Note = max(t.reserve(t.at), f.Updated), "no longer found"
		f.Ended = f.Updated
		t.addEvent(Fixed, f, f.Severity)
	}
	return f
}

func (t *scanDiff) addEvent(kind EventKind, f TrackedFinding, from scan.Severity) {
	if t.baseline {
		return
	}
	e := Event{Kind: kind, Scan: t.at, At: f.Updated, Name: f.Name, Package: f.IdentityPackage(), Episode: f.Episode, From: from, To: f.Severity}
	if kind == Fixed {
		e.To = ""
	}
	if e.At < t.at.Plus(-maxShift) { // Amazon Inspector found it earlier in an image that is new for the tag
		e.At = t.reserve(t.at)
	}
	if last := len(t.events) - 1; last >= 0 && t.events[last].At == e.At { // two events of the same finding
		e.At = t.reserve(e.At)
	}
	t.events = append(t.events, e)
}

// change returns the change of the counts, and false when the counts did not change.
func (t *scanDiff) change() (CountChange, bool) {
	c := CountChange{At: t.at.Time(), Suppressed: t.suppressedCounts}
	for _, e := range t.events {
		if e.Kind == FixAvailable {
			continue
		}
		c.New = c.New.With(e.To)
		c.Fixed = c.Fixed.With(e.From)
	}
	return c, len(c.New)+len(c.Fixed)+len(c.Suppressed) > 0
}

// prune removes the details of findings that ended longer ago than [Retention], and deletes the oldest ones above the
// limits.
func (t *scanDiff) prune(all []TrackedFinding) []TrackedFinding {
	present := make([]TrackedFinding, 0, len(all))
	var ended []TrackedFinding
	for _, f := range all {
		f.Earlier = t.recentEpisodes(f.Earlier)
		if f.isReported() {
			present = append(present, f)
		} else {
			ended = append(ended, f)
		}
	}
	slices.SortFunc(ended, func(a, b TrackedFinding) int {
		return cmp.Or(cmp.Compare(b.Ended, a.Ended), scan.CompareFindings(a.Finding, b.Finding))
	})
	ended = ended[:min(len(ended), maxEnded+maxNamed)]
	for i, f := range ended {
		if i >= maxEnded || f.Ended < t.at.Plus(-Retention) {
			ended[i] = f.onlyIdentity()
		}
	}
	return append(present, ended...)
}

// limitEvents returns the old and the new events sorted by scan and date. It omits those that are older than
// [Retention] or above the limit: the oldest scans first, and of one scan the least severe events first.
func limitEvents(old, added []Event, at Stamp) []Event {
	events := slices.Concat(old, added)
	events = slices.DeleteFunc(events, func(e Event) bool { return e.Scan < at.Plus(-Retention) })
	if len(events) == 0 {
		return nil // the same as after decoding
	}
	if len(events) > maxEvents {
		slices.SortStableFunc(events, func(a, b Event) int {
			return cmp.Or(cmp.Compare(b.Scan, a.Scan), scan.CompareSeverity(scan.MoreSevere(a.From, a.To), scan.MoreSevere(b.From, b.To)))
		})
		events = events[:maxEvents]
	}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Or(cmp.Compare(a.Scan, b.Scan), cmp.Compare(a.At, b.At)) })
	return events
}

// SameAs reports whether two histories are equal.
func (h History) SameAs(other History) bool { return reflect.DeepEqual(h, other) }

// isReported reports whether the last scan reported the finding, also as suppressed.
func (f *TrackedFinding) isReported() bool { return f.Status == Present || f.Status == Suppressed }

// IsListed reports whether feeds list the finding: whether it is present, or was resolved and is stored with all fields.
func (f *TrackedFinding) IsListed() bool {
	return f.Status == Present || f.Status == Resolved && f.Published > 0
}

// ResolvedAt returns when the finding was resolved, or the zero time when it is not resolved.
func (f TrackedFinding) ResolvedAt() time.Time {
	if f.Status != Resolved {
		return time.Time{}
	}
	return f.Ended.Time()
}

// withChange adds a change of the counts. Changes are sorted by time: a scan can be recorded after an end of a suppression that it was completed before.
func withChange(changes []CountChange, c CountChange) []CountChange {
	changes = append(slices.Clip(changes), c)
	slices.SortStableFunc(changes, func(a, b CountChange) int { return a.At.Compare(b.At) })
	return changes
}

// onlyIdentity returns a finding with only what identifies it, so that the service recognizes it when it comes back.
func (f TrackedFinding) onlyIdentity() TrackedFinding {
	name := scan.Finding{Name: f.Name, Package: f.IdentityPackage(), NamesPackage: f.NamesPackage, Severity: f.Severity, Episode: f.Episode}
	return TrackedFinding{Finding: name, Status: f.Status, Ended: f.Ended}
}
