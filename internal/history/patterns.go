package history

import (
	"maps"
	"time"
)

// Patterns is what the schedules found for the patterns of configs.
type Patterns struct {
	// ByKey is what was found for each pattern, by [scan.Config.PatternKey].
	ByKey map[string]Pattern
	// Version changes with each write. It is empty when nothing is stored. Now is the time of the store's clock when
	// it was read.
	Version string
	Now     Stamp
}

// Pattern is what the last listing of a registry found for one pattern.
type Pattern struct {
	// First is when the repositories were first listed; 0 if they never were.
	First Stamp `json:"first"`
	// Repositories is how many repositories matched in the last listing that succeeded.
	Repositories int `json:"repositories"`
	// Failure is why the listings since then failed. Its Code is empty when none failed.
	Failure Failure `json:"failure"`
	// Found is when the schedule began that found this. Later schedules that found the same may have left it as it was.
	Found Stamp `json:"found"`
}

// Set records what a schedule found that began at a time: the number of matching repositories, or the error of the listing. Of what a schedule
// found that began before that of Found, it uses only that the repositories were listed.
func (p *Pattern) Set(repositories int, err error, at Stamp) {
	if err == nil && (p.First == 0 || at > 0 && at < p.First) {
		p.First = at
	}
	switch {
	case at > 0 && at < p.Found:
		return
	case err != nil:
		p.Failure.Set(err, at)
	default:
		p.Repositories, p.Failure = repositories, Failure{}
	}
	p.Found = max(p.Found, at)
}

// IsSame reports whether two schedules found the same.
func (p Pattern) IsSame(other Pattern) bool {
	other.Found = p.Found
	return p == other
}

// LastChange returns the time of the last change that is known.
func (p Pattern) LastChange() Stamp { return max(p.First, p.Failure.Since, p.Found) }

// isPlausible reports whether a schedule can have stored p before now. Clocks differ a little.
func (p Pattern) isPlausible(now Stamp) bool {
	return min(p.First, p.Failure.Since, p.Found) >= 0 && p.LastChange() <= now.Plus(time.Hour) && p.Repositories >= 0
}

// Clean deletes what no schedule can have stored. With a wrong time, a pattern would never be deleted, or repositories would be told as new.
func (p Patterns) Clean() {
	if p.Now > 0 {
		maps.DeleteFunc(p.ByKey, func(_ string, one Pattern) bool { return !one.isPlausible(p.Now) })
	}
}
