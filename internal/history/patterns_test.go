package history

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Without the time of the store, a listing does not count as the first one: otherwise all repositories of the next one would be new.
func TestSetFoundWithoutATime(t *testing.T) {
	var p Pattern
	p.SetFound(3, 0)
	if want := (Pattern{Repositories: 3}); p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	p.SetFound(4, 5)
	p.SetFound(4, 9)
	if want := (Pattern{First: 5, Repositories: 4}); p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
}

// What no schedule can have stored is deleted. Without the time of the store, nothing is.
func TestCleanPatterns(t *testing.T) {
	const now = Stamp(1795953600)
	all := func() map[string]Pattern {
		return map[string]Pattern{
			"valid": {First: now, Repositories: 3}, "never listed": {Failure: Failure{Code: "no access", Since: now}}, "another clock": {First: now.Plus(time.Minute)},
			"negative first": {First: -1}, "later first": {First: now.Plus(2 * time.Hour)}, "negative number": {First: 5, Repositories: -1},
			"negative since": {Failure: Failure{Since: -1}}, "later since": {First: 5, Failure: Failure{Since: now.Plus(2 * time.Hour)}},
		}
	}
	p := Patterns{ByKey: all(), Now: now}
	p.Clean()
	want := all()
	for _, key := range []string{"negative first", "later first", "negative number", "negative since", "later since"} {
		delete(want, key)
	}
	if diff := cmp.Diff(want, p.ByKey); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p = Patterns{ByKey: all()}
	if p.Clean(); len(p.ByKey) != len(all()) {
		t.Errorf("without a time: %v", p.ByKey)
	}
}
