package history

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
)

// The tests use times in days after dayZero. The value of dayZero is arbitrary.
const dayZero Stamp = 1_790_000_000

func onDay(day float64) Stamp { return dayZero + Stamp(day*86400) }

// scanned returns a completed scan with the findings of a text such as "A:HIGH B:LOW", each in the package p.
func scanned(day float64, found string) scan.Result {
	r := scan.Result{State: scan.Completed, CompletedAt: onDay(day).Time(), Counts: scan.Counts{}}
	for _, f := range strings.Fields(found) {
		name, severity, _ := strings.Cut(f, ":")
		r.Findings = append(r.Findings, scan.Finding{Name: name, Package: "p", Severity: scan.Severity(severity)})
		r.Counts[scan.Severity(severity)]++
	}
	slices.SortFunc(r.Findings, scan.CompareFindings)
	return r
}

// asInspector returns the result as an enhanced scan.
func asInspector(r scan.Result) scan.Result {
	r.Enhanced = true
	r.Findings = slices.Clone(r.Findings)
	for i, f := range r.Findings {
		r.Findings[i] = f.WithPackages([]scan.Package{{Name: f.Package}})
	}
	return r
}

// suppressedFinding returns the finding "name:severity" of Amazon Inspector.
func suppressedFinding(text string) scan.Finding {
	name, severity, _ := strings.Cut(text, ":")
	return scan.Finding{Name: name, Severity: scan.Severity(severity)}.WithPackages([]scan.Package{{Name: "p"}})
}

// withSuppressed returns the result with suppressed vulnerabilities.
func withSuppressed(r scan.Result, names string) scan.Result {
	for name := range strings.FieldsSeq(names) {
		r.SuppressedFindings = append(r.SuppressedFindings, suppressedFinding(name))
	}
	r.Suppressed = len(r.SuppressedFindings)
	return r
}

// incomplete returns the result of a list that could not be read to its end.
func incomplete(r scan.Result) scan.Result {
	r.Incomplete = true
	return r
}

// with returns a copy of the result whose first finding is changed.
func with(r scan.Result, change func(f *scan.Finding)) scan.Result {
	r.Findings = slices.Clone(r.Findings)
	change(&r.Findings[0])
	return r
}

// findingsText returns the findings of a history as text: episode, severity, status, day of publication and note. A
// star marks a finding of Amazon Inspector, which has no package in its identity.
func findingsText(h History) string {
	lines := make([]string, len(h.Findings))
	for i, f := range h.Findings {
		name := f.Name
		if f.IdentityPackage() == "" {
			name += "*"
		}
		lines[i] = strings.TrimSpace(fmt.Sprintf("%s#%d %s %s", name, f.Episode, f.Severity, f.Status))
		if f.Published > 0 {
			lines[i] += fmt.Sprintf(" day %d", daysAfter(f.Published))
		}
		if f.Note != "" {
			lines[i] += " (" + f.Note + ")"
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// daysAfter returns the number of days after dayZero, rounded.
func daysAfter(s Stamp) int { return int((s - dayZero + 43200) / 86400) }

// newEventsText returns the events that only after has, as text.
func newEventsText(before, after History) string {
	seen := make(map[Event]bool)
	for _, e := range before.Events {
		seen[e] = true
	}
	var lines []string
	for _, e := range after.Events {
		if !seen[e] {
			lines = append(lines, strings.Join(strings.Fields(fmt.Sprintf("%s %s#%d %s>%s", e.Kind, e.Name, e.Episode, e.From, e.To)), " "))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

type historyStep struct {
	day      float64
	digest   string // empty means the digest of the step before
	result   scan.Result
	findings string
	events   string
}

func TestHistory(t *testing.T) {
	basic := func(day float64, found, findings, events string) historyStep {
		return historyStep{day, "", scanned(day, found), findings, events}
	}
	enhanced := func(day float64, found, findings, events string) historyStep {
		return historyStep{day, "", asInspector(scanned(day, found)), findings, events}
	}
	suppressed := func(day float64, found, names, findings, events string) historyStep {
		return historyStep{day, "", withSuppressed(asInspector(scanned(day, found)), names), findings, events}
	}
	for name, steps := range map[string][]historyStep{
		"the first scan is the baseline": {
			basic(0, "A:HIGH B:LOW", "A#0 HIGH day 0; B#0 LOW day 0", ""),
		},
		"a clean baseline": {
			basic(0, "", "", ""),
			basic(1, "A:LOW", "A#0 LOW day 1", "NEW A#0 >LOW"),
		},
		"new, fixed, came back": {
			basic(0, "A:HIGH", "A#0 HIGH day 0", ""),
			basic(1, "A:HIGH B:LOW", "A#0 HIGH day 0; B#0 LOW day 1", "NEW B#0 >LOW"),
			basic(2, "A:HIGH", "A#0 HIGH day 0; B#0 LOW resolved day 1 (no longer found)", "FIXED B#0 LOW>"),
			basic(3, "A:HIGH", "A#0 HIGH day 0; B#0 LOW resolved day 1 (no longer found)", ""),
			basic(4, "A:HIGH B:LOW", "A#0 HIGH day 0; B#1 LOW day 4 (came back)", "NEW B#1 >LOW"),
		},
		"raised, lowered and raised again": {
			basic(0, "A:LOW", "A#0 LOW day 0", ""),
			basic(1, "A:HIGH", "A#1 HIGH day 1 (severity raised from LOW)", "SEVERITY RAISED A#1 LOW>HIGH"),
			basic(2, "A:MEDIUM", "A#1 MEDIUM day 1 (severity lowered from HIGH)", "SEVERITY LOWERED A#1 HIGH>MEDIUM"),
			basic(3, "A:HIGH", "A#2 HIGH day 3 (severity raised from MEDIUM)", "SEVERITY RAISED A#2 MEDIUM>HIGH"),
		},
		"a fix became available, then another": {
			enhanced(0, "A:LOW", "A*#0 LOW day 0", ""),
			{1, "", with(asInspector(scanned(1, "A:LOW")), func(f *scan.Finding) { f.FixedIn = []string{"2"} }), "A*#0 LOW day 0 (a fix became available)", "FIX AVAILABLE A#0 LOW>LOW"},
			{2, "", with(asInspector(scanned(2, "A:LOW")), func(f *scan.Finding) { f.FixedIn = []string{"3"} }), "A*#0 LOW day 0 (the fix changed)", ""},
		},
		"severity lowered and a fix at once": {
			enhanced(0, "A:HIGH", "A*#0 HIGH day 0", ""),
			{1, "", with(asInspector(scanned(1, "A:LOW")), func(f *scan.Finding) { f.FixAvailable = "YES" }), "A*#0 LOW day 0 (severity lowered from HIGH, a fix became available)", "FIX AVAILABLE A#0 LOW>LOW; SEVERITY LOWERED A#0 HIGH>LOW"},
		},
		"another description or version is no change": {
			basic(0, "A:LOW", "A#0 LOW day 0", ""),
			{1, "", with(scanned(1, "A:LOW"), func(f *scan.Finding) { f.Description, f.URL = "more", "https://example.com" }), "A#0 LOW day 0", ""},
			{2, "sha256:b", with(scanned(2, "A:LOW"), func(f *scan.Finding) { f.Versions = []string{"2"} }), "A#0 LOW day 0", ""},
		},
		"another score changes the date and is no event": {
			basic(0, "A:LOW", "A#0 LOW day 0", ""),
			{1, "", with(scanned(1, "A:LOW"), func(f *scan.Finding) { f.Score = "9.9" }), "A#0 LOW day 0 (the CVSS score changed)", ""},
		},
		"a switch to enhanced scanning and back resolves nothing": {
			basic(0, "A:HIGH B:LOW", "A#0 HIGH day 0; B#0 LOW day 0", ""),
			enhanced(1, "B:LOW C:LOW", "A#0 HIGH hidden day 0; B#0 LOW hidden day 0; B*#0 LOW day 0; C*#0 LOW day 1", ""),
			enhanced(2, "C:LOW", "A#0 HIGH hidden day 0; B#0 LOW hidden day 0; B*#0 LOW resolved day 0 (no longer found); C*#0 LOW day 1", "FIXED B#0 LOW>"),
			basic(3, "A:HIGH", "A#0 HIGH day 0; B#0 LOW hidden day 0; B*#0 LOW resolved day 0 (no longer found); C*#0 LOW hidden day 1", ""),
			basic(4, "A:HIGH B:LOW", "A#0 HIGH day 0; B#1 LOW day 4 (came back); B*#0 LOW resolved day 0 (no longer found); C*#0 LOW hidden day 1", "NEW B#1 >LOW"),
		},
		"a resolved finding that the other kind of scanning finds is no event": {
			basic(0, "A:HIGH", "A#0 HIGH day 0", ""),
			basic(1, "", "A#0 HIGH resolved day 0 (no longer found)", "FIXED A#0 HIGH>"),
			enhanced(2, "A:HIGH", "A#0 HIGH resolved day 0 (no longer found); A*#0 HIGH day 2", ""),
		},
		"nor is a finding that was resolved long ago": {
			basic(0, "A:HIGH", "A#0 HIGH day 0", ""),
			basic(1, "", "A#0 HIGH resolved day 0 (no longer found)", "FIXED A#0 HIGH>"),
			basic(32, "", "A#0 HIGH resolved", ""),
			enhanced(33, "A:HIGH", "A#0 HIGH resolved; A*#0 HIGH day 33", ""),
		},
		"a resolved finding loses its dates after 30 days, and comes back as another episode": {
			basic(0, "A:HIGH", "A#0 HIGH day 0", ""),
			basic(1, "", "A#0 HIGH resolved day 0 (no longer found)", "FIXED A#0 HIGH>"),
			basic(31, "", "A#0 HIGH resolved day 0 (no longer found)", ""),
			basic(31.1, "", "A#0 HIGH resolved", ""),
			basic(90, "", "A#0 HIGH resolved", ""),
			basic(91, "A:HIGH", "A#1 HIGH day 91 (came back)", "NEW A#1 >HIGH"),
		},
		"a hidden finding also loses its dates, and keeps its episode when it is found again": {
			basic(0, "A:HIGH", "A#0 HIGH day 0", ""),
			enhanced(1, "", "A#0 HIGH hidden day 0", ""),
			enhanced(32, "", "A#0 HIGH hidden", ""),
			basic(33, "A:HIGH", "A#0 HIGH day 33", ""),
		},
		"the history continues after a push": {
			{0, "sha256:a", scanned(0, "A:HIGH B:LOW"), "A#0 HIGH day 0; B#0 LOW day 0", ""},
			{1, "sha256:b", scanned(1, "B:LOW C:LOW"), "A#0 HIGH resolved day 0 (no longer found); B#0 LOW day 0; C#0 LOW day 1", "FIXED A#0 HIGH>; NEW C#0 >LOW"},
		},
		"the tag points to an older digest again, without a date from ECR": {
			{0, "sha256:a", scanned(0, "A:HIGH"), "A#0 HIGH day 0", ""},
			{4, "sha256:b", scanned(4, "B:LOW"), "A#0 HIGH resolved day 0 (no longer found); B#0 LOW day 4", "FIXED A#0 HIGH>; NEW B#0 >LOW"},
			{6, "sha256:a", scanned(0, "A:HIGH"), "A#1 HIGH day 6 (came back); B#0 LOW resolved day 4 (no longer found)", "FIXED B#0 LOW>; NEW A#1 >HIGH"},
			{7, "sha256:a", scanned(7, "A:HIGH"), "A#1 HIGH day 6 (came back); B#0 LOW resolved day 4 (no longer found)", ""},
		},
		"Amazon Inspector removes a finding without a date": {
			enhanced(0, "A:HIGH B:LOW", "A*#0 HIGH day 0; B*#0 LOW day 0", ""),
			{9, "", asInspector(scanned(0, "B:LOW")), "A*#0 HIGH resolved day 0 (no longer found); B*#0 LOW day 0", "FIXED A#0 HIGH>"},
		},
		"a suppressed finding is neither fixed nor new": {
			enhanced(0, "A:HIGH B:LOW", "A*#0 HIGH day 0; B*#0 LOW day 0", ""),
			suppressed(1, "B:LOW", "A:HIGH", "A*#0 HIGH suppressed day 0; B*#0 LOW day 0", ""),
			suppressed(2, "B:LOW", "A:LOW", "A*#0 LOW suppressed day 0; B*#0 LOW day 0", ""),
			enhanced(3, "A:HIGH B:LOW", "A*#1 HIGH day 3 (no longer suppressed); B*#0 LOW day 0", "NEW A#1 >HIGH"),
		},
		"a finding that was never seen open is suppressed": {
			suppressed(0, "B:LOW", "A:HIGH", "A*#0 HIGH suppressed day 0; B*#0 LOW day 0", ""),
			suppressed(1, "B:LOW", "A:HIGH C:LOW", "A*#0 HIGH suppressed day 0; B*#0 LOW day 0; C*#0 LOW suppressed day 1", ""),
			enhanced(2, "B:LOW C:LOW", "A*#0 HIGH hidden day 0; B*#0 LOW day 0; C*#1 LOW day 2 (no longer suppressed)", "NEW C#1 >LOW"),
			enhanced(3, "A:HIGH B:LOW C:LOW", "A*#1 HIGH day 3 (came back); B*#0 LOW day 0; C*#1 LOW day 2 (no longer suppressed)", "NEW A#1 >HIGH"),
		},
		"a finding that is suppressed for more than 30 days stays known": {
			suppressed(0, "", "A:HIGH", "A*#0 HIGH suppressed day 0", ""),
			suppressed(40, "", "A:HIGH", "A*#0 HIGH suppressed day 0", ""),
		},
		"a resolved finding is found again as suppressed": {
			enhanced(0, "A:HIGH", "A*#0 HIGH day 0", ""),
			enhanced(1, "", "A*#0 HIGH resolved day 0 (no longer found)", "FIXED A#0 HIGH>"),
			suppressed(2, "", "A:HIGH", "A*#0 HIGH suppressed day 0 (no longer found)", ""),
			enhanced(3, "A:HIGH", "A*#1 HIGH day 3 (no longer suppressed)", "NEW A#1 >HIGH"),
		},
		"a suppressed finding may be in the part that was not read": {
			suppressed(0, "", "A:HIGH", "A*#0 HIGH suppressed day 0", ""),
			{1, "", incomplete(asInspector(scanned(1, ""))), "A*#0 HIGH suppressed day 0", ""},
		},
		"a finding is suppressed without a date": {
			enhanced(0, "A:HIGH B:LOW", "A*#0 HIGH day 0; B*#0 LOW day 0", ""),
			{9, "", withSuppressed(asInspector(scanned(0, "B:LOW")), "A:HIGH"), "A*#0 HIGH suppressed day 0; B*#0 LOW day 0", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				h     History
				taken SecondSet
			)
			digest := "sha256:a"
			for i, step := range steps {
				if step.digest != "" {
					digest = step.digest
				}
				if !h.NeedsUpdate(digest, step.result) {
					t.Fatalf("step %d: the history needs no update", i)
				}
				next := h.WithScan(digest, step.result, onDay(step.day), taken.Reserve)
				if got := findingsText(next); got != step.findings {
					t.Errorf("step %d: findings\n got %s\nwant %s", i, got, step.findings)
				}
				if got := newEventsText(h, next); got != step.events {
					t.Errorf("step %d: events\n got %s\nwant %s", i, got, step.events)
				}
				if events := next.Events; len(events) > 0 {
					if last := events[len(events)-1]; step.events != "" && daysAfter(last.Scan) != daysAfter(onDay(step.day)) {
						t.Errorf("step %d: the last event is of day %d", i, daysAfter(last.Scan))
					}
				}
				checkHistory(t, h, next)
				h = stored(t, next)
				if again := h.WithScan(digest, step.result, onDay(step.day)+60, taken.Reserve); !again.SameAs(h) {
					t.Errorf("step %d: the same result changes the history (-want +got):\n%s", i, cmp.Diff(h, again))
				}
			}
		})
	}
}

// stored returns a history after encoding and decoding.
func stored(t testing.TB, h History) History {
	t.Helper()
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var back History
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !back.SameAs(h) {
		t.Fatalf("encoding and decoding change the history (-want +got):\n%s", cmp.Diff(h, back))
	}
	return back
}

// present counts the present findings by severity.
func (h History) present() scan.Counts {
	counts := scan.Counts{}
	for _, f := range h.Findings {
		if f.Status == Present {
			counts[f.Severity]++
		}
	}
	return counts
}

// checkHistory checks rules that are true for every update of a history.
func checkHistory(t testing.TB, before, after History) {
	t.Helper()
	baseline := before.Completed == 0 || before.Enhanced != after.Enhanced
	changes := after.Changes
	if !baseline {
		want := before.present()
		if n := len(changes); n > 0 && !slices.ContainsFunc(before.Changes, func(c CountChange) bool { return cmp.Equal(c, changes[n-1]) }) {
			want.Add(changes[n-1].New)
			for _, less := range []scan.Counts{changes[n-1].Fixed, changes[n-1].Suppressed} {
				for severity, n := range less {
					want[severity] -= n
				}
			}
		}
		maps.DeleteFunc(want, func(_ scan.Severity, n int) bool { return n == 0 })
		if diff := cmp.Diff(want, after.present()); diff != "" {
			t.Errorf("the old counts plus New minus Fixed are not the new counts (-want +got):\n%s", diff)
		}
	} else if len(changes) > 0 || after.Since != after.Completed {
		t.Errorf("a baseline of %d has changes %v", after.Since, changes)
	}
	keys := make(map[findingKey]bool)
	for _, f := range after.Findings {
		if keys[keyOf(f.Finding)] {
			t.Errorf("%s is listed twice", f.Name)
		}
		keys[keyOf(f.Finding)] = true
		if f.Updated < f.Published {
			t.Errorf("%s was updated %d s before it was published", f.Name, f.Published-f.Updated)
		}
	}
	old := make(map[findingKey]TrackedFinding)
	for _, f := range before.Findings {
		old[keyOf(f.Finding)] = f
	}
	for _, f := range after.Findings {
		if o := old[keyOf(f.Finding)]; f.Published > 0 && f.Episode == o.Episode && f.Updated < o.Updated {
			t.Errorf("%s was updated %d s earlier than before", f.Name, o.Updated-f.Updated)
		}
	}
	for _, e := range after.Events {
		if e.At > e.Scan || e.At < e.Scan.Plus(-maxShift) {
			t.Errorf("%s of %s is dated %d s from its scan", e.Kind, e.Name, e.At-e.Scan)
		}
	}
}

// With random scans the counts must add up, and the same scan must not change the history twice.
func TestHistoryOfRandomScans(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	random := rand.New(rand.NewPCG(7, 7))
	severities := append(scan.Severities(), "ODD")
	for range 60 {
		var (
			h     History
			taken SecondSet
			day   float64
		)
		kind := false
		for range 40 {
			day += random.Float64() * 4
			if random.IntN(15) == 0 {
				kind = !kind
			}
			at := day
			if random.IntN(6) == 0 {
				at -= 5 // an older scan: the tag points to an older digest again
			}
			r := scan.Result{State: scan.Completed, Enhanced: kind, CompletedAt: onDay(at).Time()}
			for _, name := range "ABCDEF" {
				if random.IntN(2) == 0 {
					f := scan.Finding{Name: string(name), Package: "p", Severity: severities[random.IntN(len(severities))]}
					if kind {
						f = f.WithPackages([]scan.Package{{Name: "p"}})
					}
					if random.IntN(4) == 0 {
						f.FixedIn = []string{"1"}
					}
					if kind {
						f.FirstSeen = onDay(at - 3*random.Float64()).Time()
					}
					r.Findings = append(r.Findings, f)
				} else if kind && random.IntN(3) == 0 {
					r.SuppressedFindings = append(r.SuppressedFindings, suppressedFinding(string(name)+":LOW"))
				}
			}
			slices.SortFunc(r.Findings, scan.CompareFindings)
			digest := string("abc"[random.IntN(3)])
			if !h.NeedsUpdate(digest, r) {
				continue
			}
			before := stored(t, h)
			next := h.WithScan(digest, r, onDay(day), taken.Reserve)
			if !h.SameAs(before) {
				t.Fatal("WithScan changed its receiver")
			}
			checkHistory(t, h, next)
			h = stored(t, next)
			if again := h.WithScan(digest, r, onDay(day)+9, taken.Reserve); !again.SameAs(h) {
				t.Fatalf("the same result changes the history (-want +got):\n%s", cmp.Diff(h, again))
			}
		}
		if t.Failed() {
			return
		}
	}
}

func TestResultsThatNeedNoUpdate(t *testing.T) {
	var taken SecondSet
	h := History{}.WithScan("sha256:a", scanned(3, "A:LOW"), onDay(3), taken.Reserve)
	for name, r := range map[string]scan.Result{
		"the same scan":            scanned(3, "A:LOW"),
		"an older one":             scanned(2, ""),
		"failed":                   {State: scan.Failed, CompletedAt: onDay(4).Time()},
		"in progress":              {State: scan.InProgress},
		"not scanned":              {State: scan.NotScanned},
		"unread":                   {State: scan.Unread},
		"completed without a time": {State: scan.Completed},
	} {
		if h.NeedsUpdate("sha256:a", r) {
			t.Errorf("%s needs an update", name)
		}
	}
	if !h.NeedsUpdate("sha256:b", scanned(1, "")) || !h.NeedsUpdate("sha256:a", scanned(4, "")) || !h.NeedsUpdate("sha256:a", asInspector(scanned(3, ""))) {
		t.Error("another digest, a later scan or the other kind of scanning needs no update")
	}
}

// The date of an event is near its scan, even if Amazon Inspector found the vulnerability earlier in an image that is
// new for the tag.
func TestEventOfAnEarlierInspectorFinding(t *testing.T) {
	var taken SecondSet
	h := History{}.WithScan("sha256:a", asInspector(scanned(30, "")), onDay(30), taken.Reserve)
	r := with(asInspector(scanned(31, "A:LOW")), func(f *scan.Finding) { f.FirstSeen = onDay(1).Time() })
	h = h.WithScan("sha256:b", r, onDay(31), taken.Reserve)
	if f := h.Findings[0]; daysAfter(f.Published) != 1 {
		t.Errorf("published on day %d", daysAfter(f.Published))
	}
	if e := h.Events[0]; daysAfter(e.At) != 31 {
		t.Errorf("the event is of day %d", daysAfter(e.At))
	}
}

func TestHistoryIsLimited(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	var (
		h     History
		taken SecondSet
		names strings.Builder
	)
	for i := range 3000 {
		fmt.Fprintf(&names, "%d:LOW ", i)
	}
	for day := range 12 {
		found := strings.ReplaceAll(names.String(), ":", fmt.Sprintf("-%d:", day))
		h = h.WithScan("sha256:a", scanned(float64(day), found), onDay(float64(day)), taken.Reserve)
	}
	present, withDetails, named, listed := 0, 0, 0, 0
	for _, f := range h.Findings {
		if f.IsListed() {
			listed++
		}
		switch {
		case f.Status == Present:
			present++
		case f.Published > 0:
			withDetails++
		default:
			named++
		}
	}
	if present != 3000 || withDetails != maxEnded || named != maxNamed || len(h.Events) != maxEvents {
		t.Errorf("%d present, %d with details, %d by name, %d events", present, withDetails, named, len(h.Events))
	}
	if listed != 3000+maxEnded {
		t.Errorf("%d are listed", listed)
	}
}

// Since must be later than the changes that were deleted, because a sum of the stored changes is valid only from
// Since on.
func TestCountChangesAreLimited(t *testing.T) {
	var taken SecondSet
	h := History{}.WithScan("sha256:a", asInspector(scanned(0, "")), onDay(0), taken.Reserve)
	for i := range maxChanges + 50 {
		found := ""
		if i%2 == 0 {
			found = "A:LOW"
		}
		day := float64(i+1) / 100
		h = h.WithScan("sha256:a", asInspector(scanned(day, found)), onDay(day), taken.Reserve)
	}
	if len(h.Changes) != maxChanges {
		t.Errorf("%d changes", len(h.Changes))
	}
	if first := StampOf(h.Changes[0].At); h.Since >= first || h.Since < onDay(0.1) {
		t.Errorf("since %d, but the first stored change is of %d", h.Since, first)
	}
}

// With scans every second there are more changes than free seconds between the scans.
func TestUpdatedNeverDecreases(t *testing.T) {
	var (
		taken SecondSet
		many  strings.Builder
	)
	for i := range 100 {
		fmt.Fprintf(&many, "%d:HIGH ", i)
	}
	const second = 1.0 / 86400
	h := History{}.WithScan("sha256:a", asInspector(scanned(0, many.String())), 0, taken.Reserve)
	for i, found := range []string{many.String() + "Z:LOW", "", "Z:LOW", many.String(), many.String() + "Z:LOW"} {
		next := h.WithScan("sha256:a", asInspector(scanned(float64(i+1)*second, found)), 0, taken.Reserve)
		checkHistory(t, h, next)
		h = next
	}
}

// A list that was not read completely resolves nothing. If it is the first one, the findings that are read later are not new.
func TestIncompleteLists(t *testing.T) {
	cut := func(r scan.Result) scan.Result {
		r.Incomplete = true
		return r
	}
	var taken SecondSet
	of := func(results ...scan.Result) (h History, events string) {
		before := h
		for _, r := range results {
			before = h
			if h.NeedsUpdate("sha256:a", r) {
				h = h.WithScan("sha256:a", r, onDay(9), taken.Reserve)
			}
		}
		return h, newEventsText(before, h)
	}
	for name, test := range map[string]struct {
		results        []scan.Result
		found, changes string
		since          Stamp
	}{
		"the first list":          {[]scan.Result{cut(scanned(1, "A:LOW"))}, "A#0 LOW day 1", "", 0},
		"then all":                {[]scan.Result{cut(scanned(1, "A:LOW")), scanned(1, "A:LOW B:HIGH")}, "A#0 LOW day 1; B#0 HIGH day 9", "", onDay(1)},
		"then a later scan":       {[]scan.Result{cut(scanned(1, "A:LOW")), scanned(2, "A:LOW B:HIGH")}, "A#0 LOW day 1; B#0 HIGH day 2", "", onDay(2)},
		"then nothing more":       {[]scan.Result{cut(scanned(1, "A:LOW")), cut(scanned(1, "A:LOW"))}, "A#0 LOW day 1", "", 0},
		"after a complete list":   {[]scan.Result{scanned(1, "A:LOW B:HIGH"), cut(scanned(2, "A:LOW C:LOW"))}, "A#0 LOW day 1; B#0 HIGH day 1; C#0 LOW day 2", "NEW C", onDay(1)},
		"between complete lists":  {[]scan.Result{scanned(1, "A:LOW B:HIGH"), cut(scanned(2, "A:LOW")), scanned(2, "A:LOW")}, "A#0 LOW day 1; B#0 HIGH resolved day 1 (no longer found)", "FIXED B", onDay(1)},
		"of a complete scan":      {[]scan.Result{scanned(1, "A:LOW B:HIGH"), cut(scanned(1, "A:LOW"))}, "A#0 LOW day 1; B#0 HIGH day 1", "", onDay(1)},
		"of an enhanced scan":     {[]scan.Result{asInspector(scanned(1, "A:LOW B:HIGH")), cut(asInspector(scanned(1, "A:LOW")))}, "A*#0 LOW day 1; B*#0 HIGH day 1", "", onDay(1)},
		"after a change of kinds": {[]scan.Result{scanned(1, "A:LOW"), cut(asInspector(scanned(2, "B:LOW"))), asInspector(scanned(2, "B:LOW C:LOW"))}, "A#0 LOW hidden day 1; B*#0 LOW day 2; C*#0 LOW day 9", "", onDay(2)},
	} {
		h, events := of(test.results...)
		if got := findingsText(h); got != test.found || !strings.HasPrefix(events, test.changes) || test.changes == "" && events != "" || h.Since != test.since {
			t.Errorf("%s: %s, changes %q, since day %d", name, got, events, daysAfter(h.Since))
		}
	}
}

// A list that is not complete is read again.
func TestIncompleteAnswersAreNotFinal(t *testing.T) {
	r := scanned(1, "A:LOW")
	r.Incomplete = true
	i := ImageRecord{Tag: "1", Digest: "sha256:a"}
	i.SetAnswer(r, onDay(1))
	i.SetHistory("h", History{Scan: Scan{Digest: "sha256:a", Completed: onDay(1), Incomplete: true}}, onDay(1))
	if i.Last.IsFinal(onDay(1)) || !i.IsRecorded() {
		t.Errorf("incomplete: final %t, recorded %t", i.Last.IsFinal(onDay(1)), i.IsRecorded())
	}
	r.Incomplete = false
	if i.SetAnswer(r, onDay(1)); !i.Last.IsFinal(onDay(1)) || i.IsRecorded() {
		t.Errorf("complete: final %t, recorded %t", i.Last.IsFinal(onDay(1)), i.IsRecorded())
	}
}

// An enhanced result of the same digest can have an earlier date: without imageScanCompletedAt its date is that of its newest finding,
// and that finding can be closed. It must be taken, or a CRITICAL in it is never told.
func TestEnhancedResultWithAnEarlierDate(t *testing.T) {
	var taken SecondSet
	h := History{}.WithScan("sha256:a", asInspector(scanned(3, "A:LOW")), onDay(3), taken.Reserve)
	if !h.NeedsUpdate("sha256:a", asInspector(scanned(2.5, "C:CRITICAL"))) {
		t.Error("ignored")
	}
}

// More than maxEvents changes of one scan, while the seconds before it are used: the CRITICAL is deleted first.
func TestTheMostSevereEventsAreKept(t *testing.T) {
	var taken SecondSet
	for range 3601 {
		taken.Reserve(onDay(2))
	}
	h := History{}.WithScan("sha256:a", scanned(1, ""), onDay(1), taken.Reserve)
	text := "C:CRITICAL"
	for i := range 5000 {
		text += fmt.Sprintf(" L%d:LOW", i)
	}
	h = h.WithScan("sha256:b", scanned(2, text), onDay(2), taken.Reserve)
	if !slices.ContainsFunc(h.Events, func(e Event) bool { return e.Name == "C" }) {
		t.Error("the CRITICAL has no event")
	}
}

// One date of Amazon Inspector in the far future dates all later changes and deletes the events told before (NEW C).
func TestDateInTheFuture(t *testing.T) {
	var taken SecondSet
	h := History{}.WithScan("sha256:a", asInspector(scanned(1, "")), onDay(1), taken.Reserve)
	h = h.WithScan("sha256:a", asInspector(scanned(2, "C:CRITICAL")), onDay(2), taken.Reserve)
	h = h.WithScan("sha256:a", with(asInspector(scanned(3, "B:LOW C:CRITICAL")), func(f *scan.Finding) { f.Changed = onDay(9999).Time() }), onDay(3), taken.Reserve)
	if len(h.Events) != 2 || h.LastDate > onDay(4) {
		t.Errorf("%v, last date day %d", h.Events, daysAfter(h.LastDate))
	}
}
