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

// MemoryTime is how long changes and resolved findings are remembered.
const MemoryTime = 30 * 24 * time.Hour

// CountChange is what one scan changed in the counts of an image. A finding whose severity changed is new in the one and fixed in the other,
// so that the counts before, with New and without Fixed, are the counts after.
type CountChange struct {
	At    time.Time   `json:"at"`
	New   scan.Counts `json:"new,omitempty"`
	Fixed scan.Counts `json:"fixed,omitempty"`
}

// History is what is remembered of the findings of one image over time: what one tag points to, or for an index, one of its platforms. What
// it points to may change; the story goes on.
type History struct {
	Tag      string `json:"tag"`
	Platform string `json:"platform,omitempty"`
	Scan
	// Since is when the first scan that is remembered was completed: the baseline, which is not news.
	Since Stamp `json:"since"`
	// Told is the latest date of anything in the history.
	Told     Stamp         `json:"told"`
	Findings []Tracked     `json:"findings"`
	Events   []Event       `json:"events,omitempty"`
	Changes  []CountChange `json:"changes,omitempty"`
}

// Scan is one completed scan.
type Scan struct {
	Digest    string `json:"digest,omitempty"`
	Completed Stamp  `json:"completed,omitempty"`
	Enhanced  bool   `json:"enhanced,omitempty"`
}

// Fate is what has become of a finding.
type Fate string

// The fates.
const (
	// Present is in the last completed scan.
	Present Fate = ""
	// Gone was not in a completed scan any more.
	Gone Fate = "resolved"
	// Hidden was found by the kind of scanning that the registry was set to before, and is not among what the other kind found.
	Hidden Fate = "hidden"
)

// Tracked is a finding and its dates.
type Tracked struct {
	scan.Finding
	Fate Fate `json:"fate,omitempty"`
	// Published is when it was first seen, or for a later episode when that began; Updated is its last change that matters. Ended is when it
	// ceased to be present.
	Published Stamp `json:"published"`
	Updated   Stamp `json:"updated"`
	Ended     Stamp `json:"ended,omitempty"`
	// Note says what changed last.
	Note string `json:"note,omitempty"`
}

// EventKind is what happened.
type EventKind string

// The kinds of events, first those of findings; then those of the watch itself, each with its end.
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
)

// Event is a piece of news of one finding.
type Event struct {
	Kind EventKind `json:"kind"`
	// Scan is when the scan was completed that told it, and At is its own second near that.
	Scan    Stamp  `json:"scan"`
	At      Stamp  `json:"at"`
	Name    string `json:"name"`
	Package string `json:"package,omitempty"`
	Episode int    `json:"episode,omitempty"`
	// From and To are the severities before and after; one of them is empty for what is new or fixed.
	From scan.Severity `json:"from,omitempty"`
	To   scan.Severity `json:"to,omitempty"`
}

// Bounds of a history: how many findings are kept of those that are no longer there, with their texts and then by name alone, so that one that
// comes back after long is told as such; and how many events.
const (
	maxEnded  = 5000
	maxNamed  = 5000
	maxEvents = 5000
	// maxChanges are more than 30 days have, scan by scan; only an enhanced image changes more often.
	maxChanges = 200
)

// findingKey is what makes findings of an image the same over time.
type findingKey struct{ name, pkg string }

func keyOf(f scan.Finding) findingKey { return findingKey{f.Name, f.Package} }

// IsNews tells whether a completed result of a digest may have anything to add to the history.
func (h History) IsNews(digest string, r scan.Result) bool {
	at := StampOf(r.CompletedAt)
	if r.State != scan.Completed || at == 0 {
		return false
	}
	if h.Completed == 0 || digest != h.Digest || r.Enhanced != h.Enhanced {
		return true
	}
	// An enhanced scan goes on and on, and its findings may change without its date.
	return at > h.Completed || at == h.Completed && r.Enhanced
}

// After is the history once a completed scan is known, with its findings; now is S3's clock. take dates what happened: it gives a second near
// another that nothing else has. The history that it is given stays as it is.
func (h History) After(digest string, r scan.Result, now Stamp, take func(Stamp) Stamp) History {
	t := h.telling(r, h.dateOf(r, now), take)
	next := h
	next.Scan, next.Told = Scan{Digest: digest, Completed: StampOf(r.CompletedAt), Enhanced: r.Enhanced}, t.at
	next.Findings = t.findings(r.Findings)
	next.Events = bounded(h.Events, t.events, t.at)
	if t.baseline {
		next.Since, next.Changes = next.Completed, nil
		return next
	}
	next.Changes = slices.Clone(h.Changes)
	if change, ok := t.change(); ok {
		next.Changes = append(next.Changes, change)
	}
	next.Changes = slices.DeleteFunc(next.Changes, func(c CountChange) bool { return StampOf(c.At) < t.at.Plus(-MemoryTime) })
	if more := len(next.Changes) - maxChanges; more > 0 {
		next.Since = StampOf(next.Changes[more-1].At) // what was before is not known any more
		next.Changes = next.Changes[more:]
	}
	if len(next.Changes) == 0 {
		next.Changes = nil // as it comes back from the store
	}
	return next
}

func (h History) telling(r scan.Result, at Stamp, take func(Stamp) Stamp) *telling {
	t := &telling{
		old: make(map[findingKey]Tracked, len(h.Findings)), at: at, take: take,
		baseline: h.Completed == 0 || h.Enhanced != r.Enhanced, lost: Gone,
	}
	if t.baseline {
		t.lost = Hidden
	}
	for _, f := range h.Findings {
		t.old[keyOf(f.Finding)] = f
	}
	return t
}

// dateOf is when what a result changes happened. When a tag goes back to what was scanned before, or Amazon Inspector takes something away, ECR
// doesn't say when: that is now, since what was told last is older.
func (h History) dateOf(r scan.Result, now Stamp) Stamp {
	at := timeOf(r)
	if at > h.Told {
		return at
	}
	changes := false
	h.telling(r, h.Told, func(at Stamp) Stamp { changes = true; return at }).findings(r.Findings)
	if changes {
		return max(h.Told, now)
	}
	return h.Told
}

// timeOf is when a result was completed. What Amazon Inspector found since is later.
func timeOf(r scan.Result) Stamp {
	at := StampOf(r.CompletedAt)
	for _, f := range r.Findings {
		at = max(at, StampOf(f.FirstSeen), StampOf(f.Changed))
	}
	return at
}

// telling finds out what one scan changed.
type telling struct {
	old  map[findingKey]Tracked
	at   Stamp
	take func(Stamp) Stamp
	// baseline is a scan that has none of its kind before it: what it finds is not new, and what it doesn't find is not fixed.
	baseline bool
	// lost is the fate of what the scan doesn't find.
	lost   Fate
	events []Event
}

// findings are those of the scan, and those that are remembered. The worst choose their second first and so get the latest: they stand first
// among what is new.
func (t *telling) findings(found []scan.Finding) []Tracked {
	all := make([]Tracked, 0, len(found)+len(t.old))
	for _, f := range found {
		old, known := t.old[keyOf(f)]
		delete(t.old, keyOf(f))
		all = append(all, t.found(f, old, known))
	}
	rest := slices.SortedFunc(maps.Values(t.old), func(a, b Tracked) int { return scan.CompareFindings(a.Finding, b.Finding) })
	for _, f := range rest {
		if f.Fate == Present {
			f = t.ended(f)
		}
		all = append(all, f)
	}
	return t.pruned(all)
}

func (t *telling) found(f scan.Finding, old Tracked, known bool) Tracked {
	now := Tracked{Finding: f}
	now.Episode = old.Episode
	switch {
	case t.baseline && old.Fate != Gone && old.Published > 0:
		now.Published, now.Updated, now.Note = old.Published, old.Updated, old.Note
	case t.baseline && old.Fate != Gone, !known:
		now = t.begun(now, cmp.Or(StampOf(now.FirstSeen), t.at), "")
		t.tell(New, now, "")
	case old.Fate != Present:
		now.Episode++
		now = t.begun(now, t.at, "came back")
		t.tell(New, now, "")
	case scan.CompareSeverity(f.Severity, old.Severity) < 0:
		now.Episode++
		now = t.begun(now, t.at, "severity raised from "+string(old.Severity))
		t.tell(Raised, now, old.Severity)
	default:
		now.Published, now.Updated, now.Note = old.Published, old.Updated, old.Note
		now = t.changed(now, old.Finding)
	}
	return now
}

// begun dates a finding, or a new episode of one.
func (t *telling) begun(now Tracked, at Stamp, note string) Tracked {
	now.Published = t.take(at)
	now.Updated, now.Note = now.Published, note
	return now
}

// changed dates a finding anew if it changed in what matters.
func (t *telling) changed(now Tracked, old scan.Finding) Tracked {
	var notes []string
	lowered, fix := now.Severity != old.Severity, now.Fixable() && !old.Fixable()
	if lowered {
		notes = append(notes, "severity lowered from "+string(old.Severity))
	}
	if fix {
		notes = append(notes, "a fix became available")
	} else if !slices.Equal(now.FixedIn, old.FixedIn) || now.FixAvailable != old.FixAvailable {
		notes = append(notes, "the fix changed")
	}
	if now.Score != old.Score || now.Vector != old.Vector {
		notes = append(notes, "the CVSS score changed")
	}
	if len(notes) == 0 {
		return now
	}
	now.Updated, now.Note = max(t.take(t.at), now.Updated), strings.Join(notes, ", ")
	if lowered {
		t.tell(Lowered, now, old.Severity)
	}
	if fix {
		t.tell(FixAvailable, now, now.Severity)
	}
	return now
}

// ended is a finding that the scan didn't have.
func (t *telling) ended(f Tracked) Tracked {
	f.Fate, f.Ended = t.lost, t.at
	if t.lost == Gone {
		f.Updated, f.Note = max(t.take(t.at), f.Updated), "no longer found"
		t.tell(Fixed, f, f.Severity)
	}
	return f
}

func (t *telling) tell(kind EventKind, f Tracked, from scan.Severity) {
	if t.baseline {
		return
	}
	e := Event{Kind: kind, Scan: t.at, At: f.Updated, Name: f.Name, Package: f.Package, Episode: f.Episode, From: from, To: f.Severity}
	if kind == Fixed {
		e.To = ""
	}
	if e.At < t.at.Plus(-maxShift) { // Amazon Inspector saw it long ago, in what the tag points to only now
		e.At = t.take(t.at)
	}
	if last := len(t.events) - 1; last >= 0 && t.events[last].At == e.At { // of the same finding
		e.At = t.take(e.At)
	}
	t.events = append(t.events, e)
}

// change is what the scan did to the counts.
func (t *telling) change() (CountChange, bool) {
	c := CountChange{At: t.at.Time()}
	for _, e := range t.events {
		if e.Kind == FixAvailable {
			continue
		}
		c.New = c.New.With(e.To)
		c.Fixed = c.Fixed.With(e.From)
	}
	return c, len(c.New)+len(c.Fixed) > 0
}

// pruned leaves out what has been gone for long: first its texts, at last its name.
func (t *telling) pruned(all []Tracked) []Tracked {
	present := make([]Tracked, 0, len(all))
	var ended []Tracked
	for _, f := range all {
		if f.Fate == Present {
			present = append(present, f)
		} else {
			ended = append(ended, f)
		}
	}
	slices.SortFunc(ended, func(a, b Tracked) int {
		return cmp.Or(cmp.Compare(b.Ended, a.Ended), scan.CompareFindings(a.Finding, b.Finding))
	})
	ended = ended[:min(len(ended), maxEnded+maxNamed)]
	for i, f := range ended {
		if i >= maxEnded || f.Ended < t.at.Plus(-MemoryTime) {
			ended[i] = Tracked{Finding: scan.Finding{Name: f.Name, Package: f.Package, Severity: f.Severity, Episode: f.Episode}, Fate: f.Fate, Ended: f.Ended}
		}
	}
	return append(present, ended...)
}

// bounded are the old events with the new ones, scan by scan and in the order of their dates, without those that are too old or too many.
func bounded(old, added []Event, at Stamp) []Event {
	events := slices.Concat(old, added)
	events = slices.DeleteFunc(events, func(e Event) bool { return e.Scan < at.Plus(-MemoryTime) })
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Or(cmp.Compare(a.Scan, b.Scan), cmp.Compare(a.At, b.At)) })
	if len(events) == 0 {
		return nil // as it comes back from the store
	}
	return events[max(0, len(events)-maxEvents):]
}

// SameAs tells whether two histories are the same.
func (h History) SameAs(other History) bool { return reflect.DeepEqual(h, other) }

// Listed are the findings that a feed lists: those that are there, and those that were resolved in the time that is remembered.
func (h History) Listed() []Tracked {
	var listed []Tracked
	for _, f := range h.Findings {
		if f.Fate == Present || f.Fate == Gone && f.Published > 0 {
			listed = append(listed, f)
		}
	}
	return listed
}

// ResolvedAt is when the finding was resolved; zero for one that is there.
func (f Tracked) ResolvedAt() time.Time {
	if f.Fate != Gone {
		return time.Time{}
	}
	return f.Ended.Time()
}
