package history

import (
	"cmp"
	"slices"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// dateOf returns the date of a change; 0 when it has none yet.
func dateOf(dates []ChangeDate, kind EventKind, at Stamp) Stamp {
	for _, d := range dates {
		if d.Kind == kind && d.At == at {
			return d.Date
		}
	}
	return 0
}

// withDates sets the dates of changes.
func withDates(changes []Change, dates []ChangeDate) []Change {
	for i, c := range changes {
		changes[i].HappenedAt = c.At
		if date := dateOf(dates, c.Kind, StampOf(c.At)); date > 0 {
			changes[i].At = date.Time()
		}
	}
	return changes
}

// datedChanges are the changes of an image, or of the repository if label is empty, with their dates as far as they
// are assigned.
type datedChanges struct {
	label   string
	changes []Change
	dates   []ChangeDate
}

// undated is a change without a date.
type undated struct {
	*datedChanges
	Change
}

// AssignDates gives each change without a date the last free second at or before it. Visits store the dates. A request
// calls it too: an image can become unscanned between two visits, and its change then gets the same date in the request and
// in the next visit, because only the times of the changes decide the order.
func (r *Record) AssignDates(now Stamp) {
	all := []*datedChanges{{changes: r.ChangesOf(scan.Repository{}), dates: r.Dates}}
	until := r.PresentUntil(now)
	for label, i := range r.Images {
		if i.hasChanges(until) || len(i.Dates) > 0 {
			all = append(all, &datedChanges{label, i.ChangesOf(&scan.Image{}, until), i.Dates})
		}
	}
	var missing []undated
	for _, d := range all {
		var kept []ChangeDate
		for _, c := range d.changes {
			at := StampOf(c.HappenedAt)
			if date := dateOf(d.dates, c.Kind, at); date > 0 {
				kept = append(kept, ChangeDate{c.Kind, at, date})
			} else {
				missing = append(missing, undated{d, c})
			}
		}
		d.dates = kept
	}
	slices.SortFunc(missing, func(a, b undated) int {
		return cmp.Or(a.HappenedAt.Compare(b.HappenedAt), strings.Compare(a.label, b.label), strings.Compare(string(a.Kind), string(b.Kind)))
	})
	for _, c := range missing {
		began, _ := strings.CutSuffix(string(c.Kind), string(EventKind("").over()))
		after := dateOf(c.dates, EventKind(began), StampOf(c.Since)) // 0 unless the change ends another
		at := StampOf(c.HappenedAt)
		c.dates = append(c.datedChanges.dates, ChangeDate{c.Kind, at, r.UsedSeconds.reserveAfter(after, at)})
	}
	r.setDates(all)
}

// setDates stores the dates.
func (r *Record) setDates(all []*datedChanges) {
	for _, d := range all {
		switch i := r.Image(d.label); {
		case d.label == "":
			r.Dates = d.dates
		case !slices.Equal(i.Dates, d.dates):
			i.Dates = d.dates
			r.Put(i)
		}
	}
}

// hasChanges reports whether there can be changes of the image that are not about findings.
func (r ImageRecord) hasChanges(now Stamp) bool {
	return len(r.Gaps)+len(r.Failures)+len(r.Statuses) > 0 || r.FailedSince > 0 || r.unscannedSince(now) > 0
}

// reserveAfter reserves the last free second at or before a stamp that is after another date, or else the first free
// one after both.
func (s *SecondSet) reserveAfter(other, at Stamp) Stamp {
	if other == 0 {
		return s.Reserve(at)
	}
	for free := at; free > max(other, at.Plus(-maxShift)); free-- {
		if _, isUsed := s.find(free); !isUsed {
			return s.Reserve(free)
		}
	}
	for free := max(other, at) + 1; ; free++ {
		if _, isUsed := s.find(free); !isUsed {
			return s.Reserve(free)
		}
	}
}
