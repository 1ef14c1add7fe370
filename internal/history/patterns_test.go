package history

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
)

// Without the time of the store, a listing does not count as the first one: otherwise all repositories of the next one would be new.
func TestSetPatternWithoutATime(t *testing.T) {
	var p Pattern
	p.Set(3, nil, 0)
	if want := (Pattern{Repositories: 3}); p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	p.Set(4, nil, 5)
	p.Set(4, nil, 9)
	if want := (Pattern{First: 5, Repositories: 4, Found: 9}); p != want {
		t.Errorf("%+v, want %+v", p, want)
	}
	p.Set(5, nil, 0)
	if p.First != 5 || p.Repositories != 5 {
		t.Errorf("a listing without a time: %+v", p)
	}
}

// What a schedule found that began earlier than the stored one changes only when the repositories were first listed. A failure keeps its time.
func TestSetPatternInAnyOrder(t *testing.T) {
	denied := &scan.Error{Code: scan.NoAccess, Message: "no access"}
	failure := Failure{Code: scan.NoAccess, Reason: "no access", Since: 20}
	stored := Pattern{First: 10, Repositories: 2, Failure: failure, Found: 30}
	for name, test := range map[string]struct {
		repositories int
		err          error
		at           Stamp
		want         Pattern
	}{
		"later":            {3, nil, 31, Pattern{First: 10, Repositories: 3, Found: 31}},
		"at the same time": {3, nil, 30, Pattern{First: 10, Repositories: 3, Found: 30}},
		"earlier":          {3, nil, 29, stored},
		"before the first": {3, nil, 9, Pattern{First: 9, Repositories: 2, Failure: failure, Found: 30}},
		"later failure":    {0, denied, 31, Pattern{First: 10, Repositories: 2, Failure: failure, Found: 31}},
		"earlier failure":  {0, denied, 9, stored},
	} {
		p := stored
		if p.Set(test.repositories, test.err, test.at); p != test.want {
			t.Errorf("%s: %+v, want %+v", name, p, test.want)
		}
	}
}

// What no schedule can have stored is deleted. Without the time of the store, nothing is.
func TestCleanPatterns(t *testing.T) {
	const now = Stamp(1795953600)
	all := func() map[string]Pattern {
		return map[string]Pattern{
			"valid": {First: now, Repositories: 3}, "never listed": {Failure: Failure{Code: "no access", Since: now}}, "another clock": {First: now.Plus(time.Minute)},
			"negative first": {First: -1}, "later first": {First: now.Plus(2 * time.Hour)}, "negative number": {First: 5, Repositories: -1},
			"negative since": {Failure: Failure{Since: -1}}, "later since": {First: 5, Failure: Failure{Since: now.Plus(2 * time.Hour)}}, "negative found": {Found: -1}, "later found": {First: 5, Found: now.Plus(2 * time.Hour)},
		}
	}
	p := Patterns{ByKey: all(), Now: now}
	p.Clean()
	want := all()
	for _, key := range []string{"negative first", "later first", "negative number", "negative since", "later since", "negative found", "later found"} {
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
