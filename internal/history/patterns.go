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
}

// SetFound records a listing that succeeded, with the number of matching repositories.
func (p *Pattern) SetFound(repositories int, now Stamp) {
	*p = Pattern{First: p.First, Repositories: repositories}
	if p.First == 0 {
		p.First = now
	}
}

// isPlausible reports whether a schedule can have stored p before now. Clocks differ a little.
func (p Pattern) isPlausible(now Stamp) bool {
	latest := now.Plus(time.Hour)
	return min(p.First, p.Failure.Since) >= 0 && max(p.First, p.Failure.Since) <= latest && p.Repositories >= 0
}

// Clean deletes what no schedule can have stored. With a wrong time, a pattern would never be deleted, or repositories would be told as new.
func (p Patterns) Clean() {
	if p.Now > 0 {
		maps.DeleteFunc(p.ByKey, func(_ string, one Pattern) bool { return !one.isPlausible(p.Now) })
	}
}
