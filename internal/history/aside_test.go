package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/scan"
)

// named returns a function that selects the findings with one of the names.
func named(names string) func(*scan.Finding) bool {
	return func(f *scan.Finding) bool { return slices.Contains(strings.Fields(names), f.Name) }
}

// changesText returns the changes of the counts as text.
func changesText(h History) string {
	var lines []string
	for _, c := range h.Changes {
		lines = append(lines, fmt.Sprintf("day %d +%v -%v ~%v", daysAfter(StampOf(c.At)), c.New.Ordered(), c.Fixed.Ordered(), c.Suppressed.Ordered()))
	}
	return strings.Join(lines, "; ")
}

// historyOf returns the history of scans, one each day.
func historyOf(scans []string) History {
	var h History
	var seconds SecondSet
	for day, found := range scans {
		h = h.WithScan("sha256:a", scanned(float64(day), found), onDay(float64(day)), seconds.Reserve)
	}
	return h
}

// randomScans returns the findings of scans, and the same without the findings named A and B.
func randomScans() (all, rest []string) {
	severities := []string{"HIGH", "LOW", "MEDIUM"}
	for range 2 + rand.IntN(8) {
		var found, others []string
		for _, name := range []string{"A", "B", "C", "D"} {
			if rand.IntN(3) > 0 {
				one := name + ":" + severities[rand.IntN(3)]
				if found = append(found, one); name > "B" {
					others = append(others, one)
				}
			}
		}
		all, rest = append(all, strings.Join(found, " ")), append(rest, strings.Join(others, " "))
	}
	return all, rest
}

// Without the findings that are set aside, a history is the one that scans without them give.
func TestApartIsAHistoryWithoutTheFindings(t *testing.T) {
	for range 500 {
		all, rest := randomScans()
		h := historyOf(all)
		told, aside := h.Apart(named("A B"))
		want := historyOf(rest)
		for what, texts := range map[string][2]string{
			"findings": {findingsText(told), findingsText(want)}, "events": {newEventsText(History{}, told), newEventsText(History{}, want)},
			"changes": {changesText(told), changesText(want)},
		} {
			if texts[0] != texts[1] {
				t.Fatalf("scans %q\n%s %s\nwant %s", all, what, texts[0], texts[1])
			}
		}
		counts := told.PresentCounts()
		if counts == nil {
			counts = scan.Counts{}
		}
		counts.Add(aside.PresentCounts())
		if got, want := fmt.Sprint(counts.Ordered()), fmt.Sprint(h.PresentCounts().Ordered()); got != want {
			t.Fatalf("counts %s, want %s", got, want)
		}
	}
}

// If nothing is set aside, the history is the same.
func TestApartOfNothing(t *testing.T) {
	h := historyOf([]string{"A:HIGH", "A:HIGH B:LOW"})
	if told, aside := h.Apart(named("X")); !told.SameAs(h) || !aside.SameAs(History{}) {
		t.Errorf("told %+v, aside %+v", told, aside)
	}
}

// A fix that became available is an event of a finding, and changes no counts.
func TestApartOfAFix(t *testing.T) {
	var seconds SecondSet
	h := historyOf([]string{"A:HIGH B:LOW"})
	h = h.WithScan("sha256:a", with(scanned(1, "A:HIGH B:LOW C:HIGH"), func(f *scan.Finding) { f.FixedIn = []string{"2"} }), onDay(1), seconds.Reserve)
	told, _ := h.Apart(named("A"))
	if got, want := newEventsText(History{}, told)+"; "+changesText(told), "NEW C#0 >HIGH; day 1 +[{HIGH 1}] -[] ~[]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// An event whose finding is no longer stored is set aside with its name.
func TestApartOfAnEventWithoutItsFinding(t *testing.T) {
	h := historyOf([]string{"A:HIGH", "A:HIGH B:LOW"})
	h.Findings = slices.DeleteFunc(h.Findings, func(f TrackedFinding) bool { return f.Name == "B" })
	told, aside := h.Apart(named("B"))
	if len(told.Events) != 0 || len(aside.Events) != 1 || len(told.Changes) != 0 {
		t.Errorf("told %+v, aside %+v", told, aside)
	}
}

// At the end of a suppression, present findings begin a new episode, and what happened to them before is no longer in the history.
func TestWithEnd(t *testing.T) {
	scans := []string{"A:HIGH B:LOW R:LOW", "A:HIGH B:LOW C:HIGH R:LOW", "A:CRITICAL B:LOW C:HIGH"} // on day 1 C is new, on day 2 A is raised and R resolved
	end := onDay(2.6)
	for name, test := range map[string]struct{ back, findings, events, changes string }{
		"nothing": {"X", "A#1 CRITICAL day 2 (severity raised from HIGH); B#0 LOW day 0; C#0 HIGH day 1; R#0 LOW resolved day 0 (no longer found)",
			"FIXED R#0 LOW>; NEW C#0 >HIGH; SEVERITY RAISED A#1 HIGH>CRITICAL", "day 1 +[{HIGH 1}] -[] ~[]; day 2 +[{CRITICAL 1}] -[{HIGH 1} {LOW 1}] ~[]"},
		"a finding of the baseline": {"B", "A#1 CRITICAL day 2 (severity raised from HIGH); B#1 LOW day 3 (no longer suppressed); C#0 HIGH day 1; R#0 LOW resolved day 0 (no longer found)",
			"FIXED R#0 LOW>; NEW B#1 >LOW; NEW C#0 >HIGH; SEVERITY RAISED A#1 HIGH>CRITICAL", "day 1 +[{HIGH 1}] -[] ~[]; day 2 +[{CRITICAL 1}] -[{HIGH 1} {LOW 1}] ~[]; day 3 +[{LOW 1}] -[] ~[]"},
		"a later finding and a raised one": {"A C", "A#2 CRITICAL day 3 (no longer suppressed); B#0 LOW day 0; C#1 HIGH day 3 (no longer suppressed); R#0 LOW resolved day 0 (no longer found)",
			"FIXED R#0 LOW>; NEW A#2 >CRITICAL; NEW C#1 >HIGH", "day 2 +[] -[{LOW 1}] ~[]; day 3 +[{CRITICAL 1} {HIGH 1}] -[] ~[]"},
		"a resolved finding": {"R", "A#1 CRITICAL day 2 (severity raised from HIGH); B#0 LOW day 0; C#0 HIGH day 1; R#0 LOW resolved",
			"NEW C#0 >HIGH; SEVERITY RAISED A#1 HIGH>CRITICAL", "day 1 +[{HIGH 1}] -[] ~[]; day 2 +[{CRITICAL 1}] -[{HIGH 1}] ~[]"},
	} {
		t.Run(name, func(t *testing.T) {
			h := historyOf(scans)
			before := historyOf(scans)
			var seconds SecondSet
			next, changed := h.WithEnd(named(test.back), end, seconds.Reserve)
			if !h.SameAs(before) {
				t.Error("the history itself changed")
			}
			if changed != (test.back != "X") {
				t.Errorf("changed: %v", changed)
			}
			for what, texts := range map[string][2]string{
				"findings": {findingsText(next), test.findings}, "events": {newEventsText(History{}, next), test.events}, "changes": {changesText(next), test.changes},
			} {
				if texts[0] != texts[1] {
					t.Errorf("%s %s\nwant %s", what, texts[0], texts[1])
				}
			}
			if again, changed := next.WithEnd(named(test.back), end, seconds.Reserve); changed || !again.SameAs(next) {
				t.Error("a second call for the same end changes the history again")
			}
			for _, f := range next.Findings {
				if len(f.Earlier) > 0 && f.Note == noteOfEnd {
					t.Errorf("%s has earlier episodes, which were hidden", f.Name)
				}
			}
		})
	}
}

// A finding that was first seen after the end was not set aside.
func TestWithEndIgnoresLaterFindings(t *testing.T) {
	h := historyOf([]string{"A:HIGH", "A:HIGH B:LOW"})
	if next, changed := h.WithEnd(named("B"), onDay(0.5), func(at Stamp) Stamp { return at }); changed || !next.SameAs(h) {
		t.Errorf("%s", findingsText(next))
	}
}

// A scan that was completed before an end can be recorded after it. The changes of the counts stay sorted.
func TestScanFromBeforeAnEnd(t *testing.T) {
	var seconds SecondSet
	h, _ := historyOf([]string{"A:HIGH", "A:HIGH B:LOW"}).WithEnd(named("A"), onDay(3), seconds.Reserve)
	h = h.WithScan("sha256:a", scanned(2, "A:HIGH B:LOW C:LOW"), onDay(4), seconds.Reserve)
	if got, want := changesText(h), "day 1 +[{LOW 1}] -[] ~[]; day 2 +[{LOW 1}] -[] ~[]; day 3 +[{HIGH 1}] -[] ~[]"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got, want := findingsText(h), "A#1 HIGH day 3 (no longer suppressed); B#0 LOW day 1; C#0 LOW day 2"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
