package suppress

import "time"

// List is all suppressions that are stored: also ended, replaced and deleted ones, for the time of [Retention] after their end.
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
