package report

import (
	"errors"

	"ecr-continuous-scan/internal/history"
)

// ErrKnown is returned instead of a listing that [Reader.Unless] excludes.
var ErrKnown = errors.New("the client has this listing")

// Basis is what a listing is made of before the histories are read. A listing with the same Hash is the same, at any time between From and Until of
// its Span: histories do not change.
type Basis struct {
	// Hash is of the configs, the records, and the view.
	Hash string
	// Oldest and Newest are the earliest and the latest time of a repository, because each has the clock of its store's answer.
	Oldest, Newest history.Stamp
}

// Span is a time in which a listing does not change if its Basis stays the same: from From until before Until.
type Span struct{ From, Until history.Stamp }

// Contains reports whether all repositories of a basis are in the span.
func (s Span) Contains(b Basis) bool { return s.From <= b.Oldest && b.Newest < s.Until }

// newSpan returns the span of all time.
func newSpan() Span { return Span{0, 1 << 40} }

// cutAt ends or begins the span at a time when a listing changes.
func (s *Span) cutAt(change, now history.Stamp) {
	if change <= now {
		s.From = max(s.From, change)
	} else {
		s.Until = min(s.Until, change)
	}
}
