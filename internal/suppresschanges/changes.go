// Package suppresschanges says what happened to suppressions, as entries of the change feeds.
package suppresschanges

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/suppress"
)

// maxSeparate is the maximum number of separate entries for the changes of one kind that have the same time. The other changes are combined into one entry.
const maxSeparate = 20

// Change is a change of the suppression Of, with the values that it had then.
type Change struct {
	Of *suppress.Suppression
	history.Change
}

// Until returns what happened to suppressions until now: additions, changes, deletions, and ends that are near. Each has a second of its own
// among the suppressions, as far as possible: an import adds many at once.
func Until(now time.Time, all []suppress.Suppression) []Change {
	var changes []Change
	for i := range all {
		s := &all[i]
		add := func(kind history.EventKind, at time.Time) {
			if at.After(now) {
				return
			}
			changes = append(changes, Change{s, history.Change{
				Kind: kind, At: at, HappenedAt: at, Reason: s.Reason, Suppression: &history.ChangedSuppression{ID: s.ID, What: s.What(), Until: s.Until},
			}})
		}
		if s.Updated == 0 {
			add(history.SuppressionAdded, s.Begin())
		} else {
			add(history.SuppressionChanged, s.Begin())
		}
		if s.Deleted > 0 {
			add(history.SuppressionDeleted, time.Unix(s.Deleted, 0).UTC())
		}
		// The addition of a shorter one already says when it ends.
		if notice := s.Until.Add(-suppress.Notice); !s.Until.IsZero() && s.IsActive(notice) {
			add(history.SuppressionEnds, notice)
		}
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Of.ID, b.Of.ID), strings.Compare(string(a.Kind), string(b.Kind)))
	})
	var seconds history.SecondSet
	for i := range changes {
		changes[i].At = seconds.Reserve(history.StampOf(changes[i].At)).Time()
	}
	return changes
}

// RollUp keeps the first maxSeparate changes of each kind and time, and combines the others into one. A file adds many suppressions at once, and
// feed readers read only the first page: without this, what else happened would not be on it.
func RollUp(changes []history.Change) []history.Change {
	type call struct {
		kind history.EventKind
		at   int64
	}
	calls := make(map[call][]history.Change)
	for _, c := range changes {
		key := call{c.Kind, c.HappenedAt.Unix()}
		calls[key] = append(calls[key], c)
	}
	var all []history.Change
	for _, same := range calls {
		if len(same) > maxSeparate+1 {
			one := same[maxSeparate]
			one.RolledUp = same[maxSeparate:]
			same = append(slices.Clip(same[:maxSeparate]), one)
		}
		all = append(all, same...)
	}
	return all
}
