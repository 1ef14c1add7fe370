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

// The clock of these tests: days after a time on which nothing else depends.
const dayZero Stamp = 1_790_000_000

func onDay(day float64) Stamp { return dayZero + Stamp(day*86400) }

// scanned is a completed scan that found what is written as "A:HIGH B:LOW", each in the package p.
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

// asInspector is the same found by enhanced scanning.
func asInspector(r scan.Result) scan.Result {
	r.Enhanced = true
	return r
}

// with changes the first finding.
func with(r scan.Result, change func(f *scan.Finding)) scan.Result {
	r.Findings = slices.Clone(r.Findings)
	change(&r.Findings[0])
	return r
}

// told is a history in words: each finding with its episode, severity, fate, the day of its publication and its note.
func told(h History) string {
	lines := make([]string, len(h.Findings))
	for i, f := range h.Findings {
		lines[i] = strings.TrimSpace(fmt.Sprintf("%s#%d %s %s", f.Name, f.Episode, f.Severity, f.Fate))
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

// daysAfter is the nearest day.
func daysAfter(s Stamp) int { return int((s - dayZero + 43200) / 86400) }

// toldNews are the events of the last scan in words, and what changed in the counts.
func toldNews(before, after History) string {
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
	digest   string // that before when empty
	result   scan.Result
	findings string
	news     string
}

func TestHistory(t *testing.T) {
	basic := func(day float64, found, findings, news string) historyStep {
		return historyStep{day, "", scanned(day, found), findings, news}
	}
	enhanced := func(day float64, found, findings, news string) historyStep {
		return historyStep{day, "", asInspector(scanned(day, found)), findings, news}
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
			enhanced(0, "A:LOW", "A#0 LOW day 0", ""),
			{1, "", with(asInspector(scanned(1, "A:LOW")), func(f *scan.Finding) { f.FixedIn = []string{"2"} }), "A#0 LOW day 0 (a fix became available)", "FIX AVAILABLE A#0 LOW>LOW"},
			{2, "", with(asInspector(scanned(2, "A:LOW")), func(f *scan.Finding) { f.FixedIn = []string{"3"} }), "A#0 LOW day 0 (the fix changed)", ""},
		},
		"lowered and mended at once": {
			enhanced(0, "A:HIGH", "A#0 HIGH day 0", ""),
			{1, "", with(asInspector(scanned(1, "A:LOW")), func(f *scan.Finding) { f.FixAvailable = "YES" }), "A#0 LOW day 0 (severity lowered from HIGH, a fix became available)", "FIX AVAILABLE A#0 LOW>LOW; SEVERITY LOWERED A#0 HIGH>LOW"},
		},
		"another description or version is nothing": {
			basic(0, "A:LOW", "A#0 LOW day 0", ""),
			{1, "", with(scanned(1, "A:LOW"), func(f *scan.Finding) { f.Description, f.URL = "more", "https://example.com" }), "A#0 LOW day 0", ""},
			{2, "sha256:b", with(scanned(2, "A:LOW"), func(f *scan.Finding) { f.Versions = []string{"2"} }), "A#0 LOW day 0", ""},
		},
		"another score is a change and no event": {
			basic(0, "A:LOW", "A#0 LOW day 0", ""),
			{1, "", with(scanned(1, "A:LOW"), func(f *scan.Finding) { f.Score = "9.9" }), "A#0 LOW day 0 (the CVSS score changed)", ""},
		},
		"another kind of scanning resolves nothing, there and back": {
			basic(0, "A:HIGH B:LOW", "A#0 HIGH day 0; B#0 LOW day 0", ""),
			enhanced(1, "B:LOW C:LOW", "A#0 HIGH hidden day 0; B#0 LOW day 0; C#0 LOW day 1", ""),
			enhanced(2, "C:LOW", "A#0 HIGH hidden day 0; B#0 LOW resolved day 0 (no longer found); C#0 LOW day 1", "FIXED B#0 LOW>"),
			basic(3, "A:HIGH", "A#0 HIGH day 0; B#0 LOW resolved day 0 (no longer found); C#0 LOW hidden day 1", ""),
			basic(4, "A:HIGH B:LOW", "A#0 HIGH day 0; B#1 LOW day 4 (came back); C#0 LOW hidden day 1", "NEW B#1 >LOW"),
		},
		"what was resolved and is found by the other kind is another episode, and no news": {
			basic(0, "A:HIGH", "A#0 HIGH day 0", ""),
			basic(1, "", "A#0 HIGH resolved day 0 (no longer found)", "FIXED A#0 HIGH>"),
			enhanced(2, "A:HIGH", "A#1 HIGH day 2 (came back)", ""),
		},
		"what was resolved long ago, too": {
			basic(0, "A:HIGH", "A#0 HIGH day 0", ""),
			basic(1, "", "A#0 HIGH resolved day 0 (no longer found)", "FIXED A#0 HIGH>"),
			basic(32, "", "A#0 HIGH resolved", ""),
			enhanced(33, "A:HIGH", "A#1 HIGH day 33 (came back)", ""),
		},
		"what is resolved leaves after 30 days, and comes back as another episode": {
			basic(0, "A:HIGH", "A#0 HIGH day 0", ""),
			basic(1, "", "A#0 HIGH resolved day 0 (no longer found)", "FIXED A#0 HIGH>"),
			basic(31, "", "A#0 HIGH resolved day 0 (no longer found)", ""),
			basic(31.1, "", "A#0 HIGH resolved", ""),
			basic(90, "", "A#0 HIGH resolved", ""),
			basic(91, "A:HIGH", "A#1 HIGH day 91 (came back)", "NEW A#1 >HIGH"),
		},
		"what is hidden leaves too, and is the same when it is found again": {
			basic(0, "A:HIGH", "A#0 HIGH day 0", ""),
			enhanced(1, "", "A#0 HIGH hidden day 0", ""),
			enhanced(32, "", "A#0 HIGH hidden", ""),
			basic(33, "A:HIGH", "A#0 HIGH day 33", ""),
		},
		"a new push goes on with the story": {
			{0, "sha256:a", scanned(0, "A:HIGH B:LOW"), "A#0 HIGH day 0; B#0 LOW day 0", ""},
			{1, "sha256:b", scanned(1, "B:LOW C:LOW"), "A#0 HIGH resolved day 0 (no longer found); B#0 LOW day 0; C#0 LOW day 1", "FIXED A#0 HIGH>; NEW C#0 >LOW"},
		},
		"back to an older digest: ECR doesn't say when": {
			{0, "sha256:a", scanned(0, "A:HIGH"), "A#0 HIGH day 0", ""},
			{4, "sha256:b", scanned(4, "B:LOW"), "A#0 HIGH resolved day 0 (no longer found); B#0 LOW day 4", "FIXED A#0 HIGH>; NEW B#0 >LOW"},
			{6, "sha256:a", scanned(0, "A:HIGH"), "A#1 HIGH day 6 (came back); B#0 LOW resolved day 4 (no longer found)", "FIXED B#0 LOW>; NEW A#1 >HIGH"},
			{7, "sha256:a", scanned(7, "A:HIGH"), "A#1 HIGH day 6 (came back); B#0 LOW resolved day 4 (no longer found)", ""},
		},
		"Inspector takes something away and doesn't say when": {
			enhanced(0, "A:HIGH B:LOW", "A#0 HIGH day 0; B#0 LOW day 0", ""),
			{9, "", asInspector(scanned(0, "B:LOW")), "A#0 HIGH resolved day 0 (no longer found); B#0 LOW day 0", "FIXED A#0 HIGH>"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				h     History
				taken Seconds
			)
			digest := "sha256:a"
			for i, step := range steps {
				if step.digest != "" {
					digest = step.digest
				}
				if !h.IsNews(digest, step.result) {
					t.Fatalf("step %d is no news", i)
				}
				next := h.After(digest, step.result, onDay(step.day), taken.Take)
				if got := told(next); got != step.findings {
					t.Errorf("step %d: findings\n got %s\nwant %s", i, got, step.findings)
				}
				if got := toldNews(h, next); got != step.news {
					t.Errorf("step %d: news\n got %s\nwant %s", i, got, step.news)
				}
				if events := next.Events; len(events) > 0 {
					if last := events[len(events)-1]; step.news != "" && daysAfter(last.Scan) != daysAfter(onDay(step.day)) {
						t.Errorf("step %d: told of day %d", i, daysAfter(last.Scan))
					}
				}
				checkHistory(t, h, next)
				h = stored(t, next)
				if again := h.After(digest, step.result, onDay(step.day)+60, taken.Take); !again.SameAs(h) {
					t.Errorf("step %d: the same result changes the history (-want +got):\n%s", i, cmp.Diff(h, again))
				}
			}
		})
	}
}

// stored is a history as it comes back from the store.
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
		t.Fatalf("the store changes it (-want +got):\n%s", cmp.Diff(h, back))
	}
	return back
}

// present counts what is there.
func (h History) present() scan.Counts {
	counts := scan.Counts{}
	for _, f := range h.Findings {
		if f.Fate == Present {
			counts[f.Severity]++
		}
	}
	return counts
}

// checkHistory holds any step against what is true of all.
func checkHistory(t testing.TB, before, after History) {
	t.Helper()
	baseline := before.Completed == 0 || before.Enhanced != after.Enhanced
	changes := after.Changes
	if !baseline {
		want := before.present()
		if n := len(changes); n > 0 && !slices.ContainsFunc(before.Changes, func(c CountChange) bool { return cmp.Equal(c, changes[n-1]) }) {
			want.Add(changes[n-1].New)
			for severity, n := range changes[n-1].Fixed {
				want[severity] -= n
			}
		}
		maps.DeleteFunc(want, func(_ scan.Severity, n int) bool { return n == 0 })
		if diff := cmp.Diff(want, after.present()); diff != "" {
			t.Errorf("the counts before, with New and without Fixed, are not those after (-want +got):\n%s", diff)
		}
	} else if len(changes) > 0 || after.Since != after.Completed {
		t.Errorf("a baseline since %d with changes %v", after.Since, changes)
	}
	keys := make(map[findingKey]bool)
	for _, f := range after.Findings {
		if keys[keyOf(f.Finding)] {
			t.Errorf("%s is there twice", f.Name)
		}
		keys[keyOf(f.Finding)] = true
		if f.Updated < f.Published {
			t.Errorf("%s was updated %d s before it was published", f.Name, f.Published-f.Updated)
		}
	}
	old := make(map[findingKey]Tracked)
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

// Whatever is found in whatever order, the sums are right and nothing is told twice.
func TestHistoryOfAnything(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	random := rand.New(rand.NewPCG(7, 7))
	severities := append(scan.Severities(), "ODD")
	for range 60 {
		var (
			h     History
			taken Seconds
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
				at -= 5 // an older scan: the tag went back
			}
			r := scan.Result{State: scan.Completed, Enhanced: kind, CompletedAt: onDay(at).Time()}
			for _, name := range "ABCDEF" {
				if random.IntN(2) == 0 {
					f := scan.Finding{Name: string(name), Package: "p", Severity: severities[random.IntN(len(severities))]}
					if random.IntN(4) == 0 {
						f.FixedIn = []string{"1"}
					}
					if kind {
						f.FirstSeen = onDay(at - 3*random.Float64()).Time()
					}
					r.Findings = append(r.Findings, f)
				}
			}
			slices.SortFunc(r.Findings, scan.CompareFindings)
			digest := string("abc"[random.IntN(3)])
			if !h.IsNews(digest, r) {
				continue
			}
			before := stored(t, h)
			next := h.After(digest, r, onDay(day), taken.Take)
			if !h.SameAs(before) {
				t.Fatal("the history that is given changed")
			}
			checkHistory(t, h, next)
			h = stored(t, next)
			if again := h.After(digest, r, onDay(day)+9, taken.Take); !again.SameAs(h) {
				t.Fatalf("the same result changes the history (-want +got):\n%s", cmp.Diff(h, again))
			}
		}
		if t.Failed() {
			return
		}
	}
}

func TestNothingIsNews(t *testing.T) {
	var taken Seconds
	h := History{}.After("sha256:a", scanned(3, "A:LOW"), onDay(3), taken.Take)
	for name, r := range map[string]scan.Result{
		"the same scan":            scanned(3, "A:LOW"),
		"an older one":             scanned(2, ""),
		"failed":                   {State: scan.Failed, CompletedAt: onDay(4).Time()},
		"in progress":              {State: scan.InProgress},
		"not scanned, or archived": {State: scan.NotScanned},
		"unread":                   {State: scan.Unread},
		"completed without a time": {State: scan.Completed},
	} {
		if h.IsNews("sha256:a", r) {
			t.Errorf("%s is news", name)
		}
	}
	if !h.IsNews("sha256:b", scanned(1, "")) || !h.IsNews("sha256:a", scanned(4, "")) || !h.IsNews("sha256:a", asInspector(scanned(3, ""))) {
		t.Error("another digest, a later scan or another kind is no news")
	}
}

// An event is dated near its scan, also when Amazon Inspector saw the finding long before in the image that the tag now points to.
func TestEventOfWhatInspectorSawLongAgo(t *testing.T) {
	var taken Seconds
	h := History{}.After("sha256:a", asInspector(scanned(30, "")), onDay(30), taken.Take)
	r := with(asInspector(scanned(31, "A:LOW")), func(f *scan.Finding) { f.FirstSeen = onDay(1).Time() })
	h = h.After("sha256:b", r, onDay(31), taken.Take)
	if f := h.Findings[0]; daysAfter(f.Published) != 1 {
		t.Errorf("published on day %d", daysAfter(f.Published))
	}
	if e := h.Events[0]; daysAfter(e.At) != 31 {
		t.Errorf("the event is of day %d", daysAfter(e.At))
	}
}

func TestHistoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	var (
		h     History
		taken Seconds
		names strings.Builder
	)
	for i := range 3000 {
		fmt.Fprintf(&names, "%d:LOW ", i)
	}
	for day := range 12 {
		found := strings.ReplaceAll(names.String(), ":", fmt.Sprintf("-%d:", day))
		h = h.After("sha256:a", scanned(float64(day), found), onDay(float64(day)), taken.Take)
	}
	present, full, named := 0, 0, 0
	for _, f := range h.Findings {
		switch {
		case f.Fate == Present:
			present++
		case f.Published > 0:
			full++
		default:
			named++
		}
	}
	if present != 3000 || full != maxEnded || named != maxNamed || len(h.Events) != maxEvents {
		t.Errorf("%d there, %d in full, %d by name, %d events", present, full, named, len(h.Events))
	}
	if got := len(h.Listed()); got != 3000+maxEnded {
		t.Errorf("%d are listed", got)
	}
}

// Who sums up the changes must not be told that more is known than is.
func TestChangesAreBounded(t *testing.T) {
	var taken Seconds
	h := History{}.After("sha256:a", asInspector(scanned(0, "")), onDay(0), taken.Take)
	for i := range maxChanges + 50 {
		found := ""
		if i%2 == 0 {
			found = "A:LOW"
		}
		day := float64(i+1) / 100
		h = h.After("sha256:a", asInspector(scanned(day, found)), onDay(day), taken.Take)
	}
	if len(h.Changes) != maxChanges {
		t.Errorf("%d changes", len(h.Changes))
	}
	if first := StampOf(h.Changes[0].At); h.Since >= first || h.Since < onDay(0.1) {
		t.Errorf("known since %d, the first change that is kept is of %d", h.Since, first)
	}
}

// Scans that follow each other within seconds have more to date than there are seconds between them.
func TestUpdatedNeverGoesBack(t *testing.T) {
	var (
		taken Seconds
		many  strings.Builder
	)
	for i := range 100 {
		fmt.Fprintf(&many, "%d:HIGH ", i)
	}
	const second = 1.0 / 86400
	h := History{}.After("sha256:a", asInspector(scanned(0, many.String())), 0, taken.Take)
	for i, found := range []string{many.String() + "Z:LOW", "", "Z:LOW", many.String(), many.String() + "Z:LOW"} {
		next := h.After("sha256:a", asInspector(scanned(float64(i+1)*second, found)), 0, taken.Take)
		checkHistory(t, h, next)
		h = next
	}
}
