package suppress_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// A suppression is kept for 30 days after its end, and without an end for ever.
func TestIsKept(t *testing.T) {
	for name, test := range map[string]struct {
		s    suppress.Suppression
		want bool
	}{
		"no end":                         {suppress.Suppression{}, true},
		"in the future":                  {suppress.Suppression{Until: now.Add(time.Hour)}, true},
		"30 days ago":                    {suppress.Suppression{Until: now.Add(-suppress.Retention)}, true},
		"more than 30 days ago":          {suppress.Suppression{Until: now.Add(-suppress.Retention - time.Second)}, false},
		"deleted more than 30 days ago":  {suppress.Suppression{Deleted: now.Add(-suppress.Retention - time.Second).Unix()}, false},
		"replaced more than 30 days ago": {suppress.Suppression{Replaced: now.Add(-suppress.Retention - time.Second).Unix(), Until: now}, false},
	} {
		if got := test.s.IsKept(now); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func create(t *testing.T, draft suppress.Suppression, at time.Time) suppress.Suppression {
	t.Helper()
	s, err := suppress.New(draft, at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func draft(pkg string) suppress.Suppression {
	return suppress.Suppression{Package: pkg, Reason: "the host's kernel runs"}
}

func with(t *testing.T, l suppress.List, at time.Time, added ...suppress.Suppression) suppress.List {
	t.Helper()
	l, err := l.With(added, at)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Users see a replaced suppression with its new values, and a deleted one no longer. The list keeps what was valid before, and when.
func TestReplacedAndDeletedAreKept(t *testing.T) {
	a, b := create(t, draft("linux"), now), create(t, draft("zlib"), now.Add(time.Hour))
	first := with(t, suppress.List{}, now, a, b)
	later := now.Add(2 * time.Hour)
	changed := draft("linux-*")
	second, replacement, err := first.WithReplaced(a.ID, changed, later)
	if err != nil {
		t.Fatal(err)
	}
	want := changed
	want.ID, want.Created, want.Updated = a.ID, a.Created, later.Unix()
	if diff := cmp.Diff(want, replacement); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]suppress.Suppression{want, b}, second.Current(later)); diff != "" {
		t.Error(diff)
	}
	for at, pkg := range map[time.Time]string{later.Add(-time.Second): "linux", later: "linux-*"} {
		for _, s := range second.All {
			if s.ID == a.ID && s.IsActive(at) != (s.Package == pkg) {
				t.Errorf("at %v the suppression of %s is active: %v", at, s.Package, s.IsActive(at))
			}
		}
	}
	third, err := second.WithDeleted(a.ID, later.Add(time.Hour))
	if err != nil || len(third.All) != 3 {
		t.Fatalf("%+v, %v", third, err)
	}
	if _, err := third.Find(a.ID, later); scan.CodeOf(err) != scan.NotFound {
		t.Errorf("a deleted suppression: %v", err)
	}
	if _, err := third.WithDeleted(a.ID, later); scan.CodeOf(err) != scan.NotFound {
		t.Errorf("deleted twice: %v", err)
	}
	if _, _, err := third.WithReplaced(a.ID, draft("linux"), later); scan.CodeOf(err) != scan.NotFound {
		t.Errorf("replaced after it was deleted: %v", err)
	}
	if len(first.Current(now)) != 2 || first.All[0].Replaced != 0 || second.All[2].Deleted != 0 {
		t.Error("a method changed the list that it was called on")
	}
}

// What ended more than 30 days ago leaves the list with the next change.
func TestRetention(t *testing.T) {
	ends := draft("zlib")
	ends.Until = now.Add(time.Hour)
	a, b, c := create(t, draft("linux"), now), create(t, ends, now), create(t, draft("curl"), now)
	l := with(t, suppress.List{}, now, a, b, c)
	l, err := l.WithDeleted(a.ID, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	end := now.Add(time.Hour + suppress.Retention)
	if l = with(t, l, end); len(l.All) != 3 || len(l.Current(end)) != 2 {
		t.Errorf("after 30 days: %+v", l.All)
	}
	after := end.Add(time.Second)
	if diff := cmp.Diff([]suppress.Suppression{c}, l.Current(after)); diff != "" {
		t.Errorf("a suppression that ended 30 days ago is shown: %s", diff)
	}
	if added := with(t, l, after, create(t, draft("vim"), after)); len(added.All) != 2 {
		t.Errorf("after an addition: %+v", added.All)
	}
	if deleted, err := l.WithDeleted(c.ID, after); err != nil || len(deleted.All) != 1 {
		t.Errorf("after a deletion: %+v, %v", deleted.All, err)
	}
	if l, _, err = l.WithReplaced(c.ID, draft("curl*"), after); err != nil || len(l.All) != 2 {
		t.Errorf("later: %+v, %v", l.All, err)
	}
}

// A suppression that has ended can be replaced by one with another end.
func TestReplaceEnded(t *testing.T) {
	d := draft("zlib")
	d.Until = now.Add(time.Hour)
	l := with(t, suppress.List{}, now, create(t, d, now))
	later := now.Add(48 * time.Hour)
	d.Until = later.Add(time.Hour)
	l, s, err := l.WithReplaced(l.All[0].ID, d, later)
	if err != nil || !s.IsActive(later) || l.All[0].IsActive(later.Add(-time.Second)) || !l.All[0].End().Equal(now.Add(time.Hour)) {
		t.Errorf("%+v, %v", l.All, err)
	}
}

// The same values again are no change. The same addition again adds nothing.
func TestRepeatedChanges(t *testing.T) {
	a := create(t, draft("linux"), now)
	l := with(t, suppress.List{}, now, a)
	if again := with(t, l, now, a); len(again.All) != 1 {
		t.Errorf("added twice: %+v", again.All)
	}
	if again, s, err := l.WithReplaced(a.ID, draft("linux"), now.Add(time.Hour)); err != nil || s != a || len(again.All) != 1 {
		t.Errorf("%+v, %+v, %v", again.All, s, err)
	}
	wrongClock, s, err := l.WithReplaced(a.ID, draft("curl"), now.Add(-time.Hour))
	if err != nil || s.Updated != a.Created || wrongClock.All[0].IsActive(now) {
		t.Errorf("%+v, %v", wrongClock.All, err)
	}
	if l, err = l.WithDeleted(a.ID, now.Add(-time.Hour)); err != nil || l.All[0].Deleted != a.Created {
		t.Errorf("%+v, %v", l.All, err)
	}
}

// Of a file that is sent again, only what is new is missing, also if it has another reason. Suppressions that no longer apply do not count.
func TestMissing(t *testing.T) {
	ended, other := draft("ended"), draft("linux")
	ended.Until = now.Add(time.Minute)
	other.Reason, other.Justification = "another reason", suppress.Justifications()[0]
	longer := draft("linux")
	longer.Until = now.AddDate(1, 0, 0)
	l := with(t, suppress.List{}, now, create(t, draft("linux"), now), create(t, draft("deleted"), now), create(t, ended, now))
	later := now.Add(time.Hour)
	l, err := l.WithDeleted(l.All[1].ID, later)
	if err != nil {
		t.Fatal(err)
	}
	missing := l.Missing([]suppress.Suppression{draft("linux"), draft("new"), draft("new"), other, longer, draft("deleted"), ended}, later)
	if diff := cmp.Diff([]suppress.Suppression{draft("new"), longer, draft("deleted"), ended}, missing); diff != "" {
		t.Error(diff)
	}
}

// A list has at most 10,000 suppressions. A full list can still be made smaller.
func TestFullList(t *testing.T) {
	var all []suppress.Suppression
	for i := range suppress.MaxCount {
		all = append(all, suppress.Suppression{ID: fmt.Sprint(i), Created: now.Unix(), Package: "a", Reason: "b"})
	}
	l := with(t, suppress.List{}, now, all...)
	if _, err := l.With([]suppress.Suppression{{ID: "x"}}, now); !errors.Is(err, suppress.ErrFull) {
		t.Errorf("one more: %v", err)
	}
	if _, _, err := l.WithReplaced("5", draft("a"), now); !errors.Is(err, suppress.ErrFull) {
		t.Errorf("a replacement: %v", err)
	}
	if _, err := l.WithDeleted("5", now); err != nil {
		t.Errorf("a deletion: %v", err)
	}
}
