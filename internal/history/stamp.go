package history

import (
	"slices"
	"time"
)

// Stamp is a time in whole Unix seconds. 0 means no time. All recorded dates are from AWS's clocks: when ECR
// completed a scan, when Amazon Inspector first saw a finding, and for everything else the time of S3's clock.
type Stamp int64

// StampOf converts a time. The zero time becomes 0.
func StampOf(t time.Time) Stamp {
	if t.IsZero() {
		return 0
	}
	return Stamp(t.Unix())
}

// Time returns the stamp as a time in UTC. 0 becomes the zero time.
func (s Stamp) Time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// Plus adds d to the stamp.
func (s Stamp) Plus(d time.Duration) Stamp { return s + Stamp(d/time.Second) }

// Period is a period of time. Until is 0 while it has not ended.
type Period struct {
	From  Stamp `json:"from"`
	Until Stamp `json:"until,omitempty"`
	// CutOff means that what the period is about did not end: the image became something that is not scanned.
	CutOff bool `json:"cut,omitempty"`
}

// SecondSet is the set of the seconds that are already used as dates in a repository, as sorted periods. Each date in
// a repository must be unique, because feed readers sort by date and some keep only one of two entries with the same
// date.
type SecondSet []Period

// Limits of SecondSet. maxShift is the maximum distance between a date and the requested second. maxPeriods is the
// number of periods; the latest are stored.
const (
	maxShift   = time.Hour
	maxPeriods = 1000
)

// Reserve returns the last free second at or before a stamp and marks it as used. If there is none within maxShift,
// it returns the stamp: a correct date is more important than a unique one.
func (s *SecondSet) Reserve(at Stamp) Stamp {
	i, isUsed := s.find(at)
	free := at
	if isUsed {
		free = (*s)[i].From - 1 // adjacent periods are merged, so this second is free
	} else {
		i-- // the period before the second
	}
	if free < at.Plus(-maxShift) {
		return at
	}
	s.add(i, isUsed, free)
	return free
}

// use marks a second as used.
func (s *SecondSet) use(at Stamp) {
	if i, isUsed := s.find(at); !isUsed && at > 0 {
		s.add(i-1, false, at)
	}
}

// find returns the index of the period with a second, and true if there is one. Otherwise it returns the index of the
// next period.
func (s *SecondSet) find(at Stamp) (index int, isUsed bool) {
	return slices.BinarySearchFunc(*s, at, func(p Period, at Stamp) int {
		switch {
		case p.Until < at:
			return -1
		case p.From > at:
			return 1
		}
		return 0
	})
}

// add marks a free second as used. If extends is true, the second is directly before the period at i. Otherwise the
// period at i is the last one before the second; i is -1 when there is none.
func (s *SecondSet) add(i int, extends bool, free Stamp) {
	before := i
	if extends {
		(*s)[i].From = free
		before = i - 1
	} else if i+1 < len(*s) && (*s)[i+1].From == free+1 {
		(*s)[i+1].From = free
		extends, i = true, i+1
	}
	isAdjacent := before >= 0 && (*s)[before].Until == free-1
	switch {
	case extends && isAdjacent:
		(*s)[before].Until = (*s)[i].Until
		*s = slices.Delete(*s, i, i+1)
	case extends:
	case isAdjacent:
		(*s)[before].Until = free
	default:
		*s = slices.Insert(*s, before+1, Period{From: free, Until: free})
	}
	if more := len(*s) - maxPeriods; more > 0 {
		*s = slices.Delete(*s, 0, more)
	}
}
