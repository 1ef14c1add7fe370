package history

import (
	"slices"

	"ecr-continuous-scan/internal/scan"
)

// The functions of this file are about findings that suppressions set aside. Histories do not contain suppressions, except that findings come back when
// one has ended.

// Apart divides the history: told has the findings that are not set aside, and aside has the others. Each has the events and the changes of the counts of
// its findings. If nothing is set aside, told is h.
func (h History) Apart(isAside func(*scan.Finding) bool) (told, aside History) {
	keys := h.keysOf(func(f *TrackedFinding) bool { return isAside(&f.Finding) })
	if len(keys) == 0 {
		return h, History{}
	}
	return h.apart(keys)
}

// Each calls use with each finding of the history, and with what is known of those that only events contain.
func (h History) Each(use func(*scan.Finding)) {
	h.keysOf(func(f *TrackedFinding) bool {
		use(&f.Finding)
		return false
	})
}

// keysOf returns the keys of the selected findings. Findings of events can be no longer stored.
func (h History) keysOf(selects func(*TrackedFinding) bool) map[findingKey]bool {
	keys, known := make(map[findingKey]bool), make(map[findingKey]bool, len(h.Findings))
	for i := range h.Findings {
		key := keyOf(h.Findings[i].Finding)
		if known[key] = true; selects(&h.Findings[i]) {
			keys[key] = true
		}
	}
	for _, e := range h.Events {
		key := findingKey{e.Name, e.Package}
		if known[key] {
			continue
		}
		known[key] = true
		lost := TrackedFinding{Finding: scan.Finding{Name: e.Name, Package: e.Package, Severity: scan.MoreSevere(e.From, e.To)}, Status: Resolved}
		if selects(&lost) {
			keys[key] = true
		}
	}
	return keys
}

// apart is Apart with the keys of the findings that are set aside.
func (h History) apart(keys map[findingKey]bool) (told, aside History) {
	told, aside = h, h
	told.Findings, told.Events, told.Changes = nil, nil, nil
	aside.Findings, aside.Events, aside.Changes = nil, nil, nil
	counts := make(map[Stamp]*CountChange) // of the findings that are set aside
	of := func(at Stamp) *CountChange {
		if counts[at] == nil {
			counts[at] = &CountChange{At: at.Time()}
		}
		return counts[at]
	}
	for _, f := range h.Findings {
		switch isAside := keys[keyOf(f.Finding)]; {
		case isAside:
			aside.Findings = append(aside.Findings, f)
			if c := of(f.Ended); f.Status == Suppressed {
				c.Suppressed = c.Suppressed.With(f.Severity)
			}
		default:
			told.Findings = append(told.Findings, f)
		}
	}
	for _, e := range h.Events {
		if !keys[findingKey{e.Name, e.Package}] {
			told.Events = append(told.Events, e)
			continue
		}
		aside.Events = append(aside.Events, e)
		if c := of(e.Scan); e.Kind != FixAvailable {
			c.New, c.Fixed = c.New.With(e.To), c.Fixed.With(e.From)
		}
	}
	for _, c := range h.Changes {
		less := of(StampOf(c.At))
		rest := CountChange{At: c.At, New: without(c.New, less.New), Fixed: without(c.Fixed, less.Fixed), Suppressed: without(c.Suppressed, less.Suppressed)}
		if !rest.isZero() {
			told.Changes = append(told.Changes, rest)
		}
		if !less.isZero() {
			aside.Changes = append(aside.Changes, *less)
		}
	}
	return told, aside
}

func (c CountChange) isZero() bool { return len(c.New)+len(c.Fixed)+len(c.Suppressed) == 0 }

// without returns counts minus others, without those that are zero.
func without(counts, others scan.Counts) scan.Counts {
	if len(others) == 0 {
		return counts
	}
	var rest scan.Counts
	for severity, n := range counts {
		if n -= others[severity]; n > 0 {
			if rest == nil {
				rest = make(scan.Counts)
			}
			rest[severity] = n
		}
	}
	return rest
}

// PresentCounts returns the counts of the present findings.
func (h History) PresentCounts() scan.Counts {
	var counts scan.Counts
	for i := range h.Findings {
		if f := &h.Findings[i]; f.Status == Present {
			counts = counts.With(f.Severity)
		}
	}
	return counts
}

// noteOfEnd is the note of a finding that came back because no suppression sets it aside any more.
const noteOfEnd = "no longer suppressed"

// WithEnd returns the history after suppressions ended at a moment. comesBack selects the findings that were set aside until then and no longer are. A
// present one is new at that moment. It can be called again for the same end, also after later ones. reserve is the same as in [History.WithScan]. WithEnd
// returns false if nothing comes back, and h is not changed.
func (h History) WithEnd(comesBack func(*scan.Finding) bool, end Stamp, reserve func(Stamp) Stamp) (History, bool) {
	keys := h.keysOf(func(f *TrackedFinding) bool {
		return f.Published <= end && f.Returned < end && comesBack(&f.Finding) // one that was found later was not set aside
	})
	return h.withReturned(keys, end, reserve)
}

// WithReturned returns the history after a scan of an image that changed so that suppressions no longer match some of its findings. before is the history
// before the scan. wasAside says for a finding of before, and isAside for one of h, whether it is set aside. A present one that came back is new at
// the time of the scan. now and reserve are the same as in [History.WithScan].
func (h History) WithReturned(before History, wasAside, isAside func(*scan.Finding) bool, now Stamp, reserve func(Stamp) Stamp) History {
	keys := before.keysOf(func(f *TrackedFinding) bool { return wasAside(&f.Finding) })
	if len(keys) == 0 {
		return h
	}
	for key := range h.keysOf(func(f *TrackedFinding) bool { return isAside(&f.Finding) }) {
		delete(keys, key)
	}
	at := h.LastDate
	if at == before.LastDate { // the date of the scan tells nothing, as in dateOfScan
		at = max(at, now)
	}
	next, changed := h.withReturned(keys, at, reserve)
	if changed {
		next.LastDate = at
	}
	return next
}

// withReturned returns the history in which the findings with these keys came back: a present one begins a new episode. What happened to it before is
// deleted from the history, because it was hidden. So nothing depends on the suppression afterwards.
func (h History) withReturned(keys map[findingKey]bool, at Stamp, reserve func(Stamp) Stamp) (History, bool) {
	if len(keys) == 0 {
		return h, false
	}
	next, back := h.apart(keys)
	if !slices.ContainsFunc(back.Findings, func(f TrackedFinding) bool { return f.IsListed() }) && len(back.Events) == 0 {
		return h, false
	}
	sorted := slices.SortedFunc(slices.Values(back.Findings), func(a, b TrackedFinding) int { return scan.CompareFindings(a.Finding, b.Finding) })
	change := CountChange{At: at.Time()}
	var events []Event
	for i, f := range sorted {
		switch f.Status {
		case Present:
			f.Episode++
			f.Published = reserve(at)
			f.Updated, f.Note, f.Earlier, f.Returned = f.Published, noteOfEnd, nil, at
			events = append(events, Event{Kind: New, Scan: at, At: f.Updated, Name: f.Name, Package: f.IdentityPackage(), Episode: f.Episode, To: f.Severity})
			change.New = change.New.With(f.Severity)
		case Resolved:
			f = f.onlyIdentity()
		}
		sorted[i] = f
	}
	next.Findings = append(slices.Clip(next.Findings), sorted...)
	next.Events = limitEvents(next.Events, events, max(at, h.LastDate))
	if !change.isZero() {
		next.Changes = withChange(next.Changes, change)
	}
	return next, true
}
