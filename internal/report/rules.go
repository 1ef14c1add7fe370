package report

import (
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/suppress"
)

// settledAfter is how long after a change a listing of several repositories has a date. A record can be stored some seconds after the time of its
// change, so a client that got the time of a later change of another repository would miss this one.
const settledAfter = 30 * time.Second

// loadedRules are the suppressions of a request. They are read while the records are read.
type loadedRules struct {
	// ignored means that the request does not read them.
	ignored bool
	done    chan struct{}
	*suppress.Rules
	err error
}

// version identifies the suppressions. It is empty if there are none.
func (r *loadedRules) version() string {
	if r.Rules == nil {
		return ""
	}
	return r.Version
}

// lastChange returns when a listing last changed: at the given time, or because of a suppression. It is zero if that is not known yet: a suppression is
// stored some time after its begin.
func (r *loadedRules) lastChange(changed, now time.Time) time.Time {
	last, _ := r.Around(now)
	switch {
	case last.IsZero() || changed.IsZero():
		return changed
	case now.Sub(last) < settledAfter:
		return time.Time{}
	case last.Add(settledAfter).After(changed):
		return last.Add(settledAfter)
	}
	return changed
}

// cut limits a span to the time in which the suppressions set the same aside.
func (r *loadedRules) cut(s *Span, b *Basis) {
	if b == nil {
		return
	}
	if last, _ := r.Around(b.Newest.Time()); !last.IsZero() {
		s.From = max(s.From, history.StampOf(last))
	}
	if _, next := r.Around(b.Newest.Time()); !next.IsZero() {
		s.Until = min(s.Until, history.StampOf(next))
	}
}
