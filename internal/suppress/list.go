package suppress

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// MaxCount is the maximum number of suppressions in a list.
const MaxCount = 10_000

// ErrFull means that a list would have more than MaxCount suppressions, or would be too large to store.
var ErrFull = errors.New("too many suppressions")

// List is all suppressions that are stored: also ended, replaced and deleted ones, for the time of [Retention] after their end. Its methods never
// change it: they return another list.
type List struct {
	All []Suppression
	// Version changes with each write. It is empty if no suppression was ever stored.
	Version string
}

// IsKept reports whether the suppression still matters at the moment now: it has no end, or its end is at most [Retention] ago.
func (s Suppression) IsKept(now time.Time) bool {
	end := s.End()
	return end.IsZero() || now.Sub(end) <= Retention
}

// Current returns the suppressions that users see: those that were neither replaced nor deleted, also ended ones. They are sorted by creation, then
// by id.
func (l List) Current(now time.Time) []Suppression {
	current := slices.DeleteFunc(slices.Clone(l.All), func(s Suppression) bool { return !s.IsCurrent() || !s.IsKept(now) })
	slices.SortFunc(current, func(a, b Suppression) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), strings.Compare(a.ID, b.ID))
	})
	return current
}

// Find returns the suppression that users see under this id. Errors: NotFound.
func (l List) Find(id string, now time.Time) (Suppression, error) {
	i := l.find(id, now)
	if i < 0 {
		return Suppression{}, NotFound()
	}
	return l.All[i], nil
}

// NotFound returns the error for an id that no suppression has.
func NotFound() error {
	return &scan.Error{Code: scan.NotFound, Message: "There is no suppression with this id."}
}

func (l List) find(id string, now time.Time) int {
	return slices.IndexFunc(l.All, func(s Suppression) bool { return s.ID == id && s.IsCurrent() && s.IsKept(now) })
}

// With returns the list with more suppressions. It leaves out those whose id the list already has: then the same addition is repeated. Errors:
// ErrFull.
func (l List) With(added []Suppression, now time.Time) (List, error) {
	known := make(map[string]bool, len(l.All))
	for _, s := range l.All {
		known[s.ID] = true
	}
	l.All = l.kept(now)
	for _, s := range added {
		if !known[s.ID] {
			l.All = append(l.All, s)
		}
	}
	if len(l.All) > MaxCount {
		return List{}, ErrFull
	}
	return l, nil
}

// Missing returns the suppressions that set aside what no active one of the list does: reasons do not count. Each is returned once. So a file that is
// sent again adds nothing, also with another reason.
func (l List) Missing(added []Suppression, now time.Time) []Suppression {
	known := make(map[Suppression]bool, len(l.All))
	for _, s := range l.All {
		if s.IsCurrent() && s.IsActive(now) {
			known[s.effect()] = true
		}
	}
	var missing []Suppression
	for _, s := range added {
		if e := s.effect(); !known[e] {
			known[e] = true
			missing = append(missing, s)
		}
	}
	return missing
}

// Same returns another suppression of the list that is active and sets the same aside until the same time, if there is one.
func (l List) Same(s Suppression, now time.Time) (Suppression, bool) {
	i := slices.IndexFunc(l.All, func(other Suppression) bool {
		return other.ID != s.ID && other.IsCurrent() && other.IsActive(now) && other.effect() == s.effect()
	})
	if i < 0 {
		return Suppression{}, false
	}
	return l.All[i], true
}

// values returns the suppression with only what users set.
func (s Suppression) values() Suppression {
	s.ID, s.Created, s.Updated, s.Replaced, s.Deleted = "", 0, 0, 0, 0
	s.Until = s.Until.UTC()
	return s
}

// effect returns the suppression with only what decides what it sets aside, and until when.
func (s Suppression) effect() Suppression {
	s = s.values()
	s.Reason, s.Justification = "", ""
	return s
}

// WithReplaced returns the list with the values of draft for the suppression with this id, and the replacement. If the values are the same, the list
// stays as it is. Errors: those of [Suppression.Validate] and [List.Find], ErrFull.
func (l List) WithReplaced(id string, draft Suppression, now time.Time) (List, Suppression, error) {
	if err := draft.Validate(now); err != nil {
		return List{}, Suppression{}, err
	}
	stored, err := l.Find(id, now)
	if err != nil || stored.values() == draft.values() {
		return l, stored, err
	}
	replacement := draft.values()
	replacement.ID, replacement.Created = id, stored.Created
	replacement.Updated = max(now.Unix(), stored.Begin().Unix()) // clocks can be wrong
	l.All = l.kept(now)
	if len(l.All) >= MaxCount {
		return List{}, Suppression{}, ErrFull
	}
	l.All[l.find(id, now)].Replaced = replacement.Updated
	l.All = append(l.All, replacement)
	return l, replacement, nil
}

// WithDeleted returns the list in which the suppression with this id is deleted. Errors: those of [List.Find].
func (l List) WithDeleted(id string, now time.Time) (List, error) {
	stored, err := l.Find(id, now)
	if err != nil {
		return List{}, err
	}
	l.All = l.kept(now)
	l.All[l.find(id, now)].Deleted = max(now.Unix(), stored.Begin().Unix())
	return l, nil
}

// kept returns a copy of the suppressions that still matter.
func (l List) kept(now time.Time) []Suppression {
	return slices.DeleteFunc(slices.Clone(l.All), func(s Suppression) bool { return !s.IsKept(now) })
}
