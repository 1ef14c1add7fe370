package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/suppress"
)

// changesOfSuppressions returns what happened to suppressions until now: additions, changes, deletions, and ends that are near. Each has a second of its own
// among the suppressions, as far as possible: an import adds many at once.
func changesOfSuppressions(all []suppress.Suppression, now time.Time) []suppressionChange {
	var changes []suppressionChange
	for i := range all {
		s := &all[i]
		add := func(kind history.EventKind, at time.Time) {
			if at.After(now) {
				return
			}
			changes = append(changes, suppressionChange{s, history.Change{
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
	slices.SortFunc(changes, func(a, b suppressionChange) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.of.ID, b.of.ID), strings.Compare(string(a.Kind), string(b.Kind)))
	})
	var seconds history.SecondSet
	for i := range changes {
		changes[i].At = seconds.Reserve(history.StampOf(changes[i].At)).Time()
	}
	return changes
}

// suppressionChange is a change of a suppression with the values that it had then.
type suppressionChange struct {
	of *suppress.Suppression
	history.Change
}

// addSuppressions adds the changes of the suppressions that can match findings of the listed repositories. A listing of all configs without a filter has all of them, so that
// nobody sets anything aside silently.
func (n *changeCollector) addSuppressions(rules *suppress.Rules, ofAll bool, now history.Stamp) {
	if rules == nil {
		return
	}
	var changes []history.Change
	for _, c := range changesOfSuppressions(rules.All, now.Time()) {
		if ofAll || slices.ContainsFunc(n.repositories, c.of.CoversRepository) {
			changes = append(changes, c.Change)
		}
	}
	n.add(n.recent(rollUpSuppressions(changes), now))
}

// rollUpSuppressions keeps the first maxSingle changes of each kind and time, and combines the others into one. A file adds many suppressions at once, and
// feed readers read only the first page: without this, what else happened would not be on it.
func rollUpSuppressions(changes []history.Change) []history.Change {
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
		if len(same) > maxSingle+1 {
			one := same[maxSingle]
			one.RolledUp = same[maxSingle:]
			same = append(slices.Clip(same[:maxSingle]), one)
		}
		all = append(all, same...)
	}
	return all
}
