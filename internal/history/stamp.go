package history

import (
	"slices"
	"time"
)

// Stamp is a point in time in whole Unix seconds; 0 is none. What is recorded is dated by AWS's clocks alone: when ECR completed a scan, when
// Amazon Inspector first saw a finding, and for what ECR doesn't date, S3's clock.
type Stamp int64

// StampOf is the second of a time; of the zero time it is none.
func StampOf(t time.Time) Stamp {
	if t.IsZero() {
		return 0
	}
	return Stamp(t.Unix())
}

// Time is the zero time for none.
func (s Stamp) Time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// Plus is the stamp so much later.
func (s Stamp) Plus(d time.Duration) Stamp { return s + Stamp(d/time.Second) }

// Period is a stretch of time; Until is none while it lasts.
type Period struct {
	From  Stamp `json:"from"`
	Until Stamp `json:"until,omitempty"`
}

// Seconds are the seconds that were given to something, as periods in order. No two things of a repository are dated alike, since readers sort by
// date, and some keep one alone of those that have the same.
type Seconds []Period

// Bounds of Seconds: how far from its own second something may be dated, and how many periods are remembered, the latest.
const (
	maxShift   = time.Hour
	maxPeriods = 1000
)

// Take gives the last free second at or before a stamp. Where none is near it gives the stamp itself: true dates matter more.
func (s *Seconds) Take(at Stamp) Stamp {
	i, within := slices.BinarySearchFunc(*s, at, func(p Period, at Stamp) int {
		switch {
		case p.Until < at:
			return -1
		case p.From > at:
			return 1
		}
		return 0
	})
	free := at
	if within {
		free = (*s)[i].From - 1 // periods that touch are one, so this is free
	} else {
		i-- // the one before
	}
	if free < at.Plus(-maxShift) {
		return at
	}
	s.add(i, within, free)
	return free
}

// add notes a free second. With within, it is right before the period at i; otherwise that period is the last one before it, if there is one.
func (s *Seconds) add(i int, within bool, free Stamp) {
	before := i
	if within {
		(*s)[i].From = free
		before = i - 1
	} else if i+1 < len(*s) && (*s)[i+1].From == free+1 {
		(*s)[i+1].From = free
		within, i = true, i+1
	}
	touches := before >= 0 && (*s)[before].Until == free-1
	switch {
	case within && touches:
		(*s)[before].Until = (*s)[i].Until
		*s = slices.Delete(*s, i, i+1)
	case within:
	case touches:
		(*s)[before].Until = free
	default:
		*s = slices.Insert(*s, before+1, Period{From: free, Until: free})
	}
	if more := len(*s) - maxPeriods; more > 0 {
		*s = slices.Delete(*s, 0, more)
	}
}
