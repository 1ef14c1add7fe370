package history

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// inPackages returns a basic scan with the findings of a text such as "A/ssl:HIGH".
func inPackages(day float64, found string) scan.Result {
	r := scanned(day, strings.NewReplacer("/", "|").Replace(found))
	for i, f := range r.Findings {
		r.Findings[i].Name, r.Findings[i].Package, _ = strings.Cut(f.Name, "|")
	}
	return r
}

// tracker adds scans to a history and stores it after each, as visits do.
type tracker struct {
	testing.TB
	History
	seconds SecondSet
}

func (k *tracker) add(r scan.Result) {
	k.Helper()
	h := k.WithScan("d", r, StampOf(r.CompletedAt), k.seconds.Reserve)
	stored, err := json.Marshal(h)
	if err != nil {
		k.Fatal(err)
	}
	k.History = History{}
	if err := json.Unmarshal(stored, &k.History); err != nil {
		k.Fatal(err)
	}
	if !k.SameAs(h) {
		k.Errorf("stored as %s", stored)
	}
}

// named returns the findings whose titles name the package.
func (k *tracker) named() string {
	var all []string
	for _, f := range k.Findings {
		if f.NamesPackage {
			all = append(all, f.Name+"/"+f.Package)
		}
	}
	return strings.Join(all, " ")
}

// The title of a finding names the package if the image had the vulnerability in another package when the finding was first recorded. This never
// changes.
func TestNamesOfPackages(t *testing.T) {
	k := &tracker{TB: t}
	for i, step := range []struct{ found, named string }{
		{"A/a:HIGH A/b:HIGH B/a:LOW", "A/a A/b"},             // several at once
		{"A/a:HIGH A/b:HIGH B/a:LOW B/b:LOW", "A/a A/b B/b"}, // the earlier one keeps its title
		{"A/a:HIGH B/a:LOW B/b:LOW", "A/a B/b A/b"},          // the other one is resolved
		{"A/a:CRITICAL B/a:HIGH B/b:LOW", "A/a B/b A/b"},     // raised
		{"A/b:HIGH B/b:LOW C/a:LOW", "A/b B/b A/a"},          // came back
		{"A/b:HIGH B/a:LOW C/b:LOW", "A/b C/b B/b A/a"},      // a resolved one counts
	} {
		k.add(inPackages(float64(i), step.found))
		if got := k.named(); got != step.named {
			t.Errorf("%s: %q, want %q", step.found, got, step.named)
		}
	}
	for day := range 40 {
		k.add(inPackages(float64(10+day), "C/b:LOW"))
	}
	k.add(inPackages(60, "A/a:HIGH A/b:HIGH B/a:LOW B/b:LOW C/b:LOW"))
	if got := k.named(); got != "A/a A/b B/b C/b" {
		t.Errorf("after more than 30 days: %q", got)
	}
}

// A finding of an earlier version keeps its title, and so do findings of Amazon Inspector, which have all packages.
func TestTitlesOfEarlierVersions(t *testing.T) {
	k := &tracker{TB: t}
	k.add(inPackages(0, "A/a:HIGH A/b:HIGH"))
	for i := range k.Findings {
		k.Findings[i].NamesPackage = false // as an earlier version stored it
	}
	k.add(inPackages(1, "A/a:HIGH A/b:CRITICAL"))
	if got := k.named(); got != "" {
		t.Errorf("%q", got)
	}
	k.add(inPackages(2, "A/a:HIGH A/b:CRITICAL A/c:LOW"))
	if got := k.named(); got != "A/c" {
		t.Errorf("a later finding: %q", got)
	}
	k.add(asInspector(scanned(3, "A:HIGH B:LOW")))
	k.add(inPackages(4, "A/a:HIGH A/b:CRITICAL A/c:LOW B/x:LOW"))
	if got := k.named(); got != "A/c" {
		t.Errorf("after enhanced scanning: %q", got)
	}
}

// The entry of an earlier episode stays for 30 days as resolved.
func TestEarlierEpisodes(t *testing.T) {
	k := &tracker{TB: t}
	text := func() string {
		var all []string
		for _, f := range k.Findings {
			for _, e := range f.Earlier {
				past := f.During(e)
				all = append(all, fmt.Sprintf("%s#%d %s day %d to %d, next day %d %s (%s)", past.Name, past.Episode, past.Severity, daysAfter(past.Published),
					daysAfter(StampOf(past.ResolvedAt())), daysAfter(e.Next), e.RaisedTo, past.Note))
			}
		}
		return strings.Join(all, "; ")
	}
	raised, back := "A#0 LOW day 0 to 1, next day 1 HIGH (severity raised to HIGH)", "A#1 HIGH day 1 to 2, next day 4  (no longer found)"
	again := "A#2 MEDIUM day 4 to 6, next day 6 CRITICAL (severity raised to CRITICAL)"
	for _, step := range []struct {
		day         float64
		found, want string
	}{
		{0, "A:LOW", ""}, {1, "A:HIGH", raised}, {2, "", raised}, {4, "A:MEDIUM", raised + "; " + back}, {5, "A:MEDIUM", raised + "; " + back},
		{6, "A:CRITICAL", raised + "; " + back + "; " + again}, {31.5, "A:CRITICAL", back + "; " + again}, {33, "", back + "; " + again}, {35, "", again}, {37, "", ""},
	} {
		k.add(scanned(step.day, step.found))
		if got := text(); got != step.want {
			t.Errorf("day %v: %q, want %q", step.day, got, step.want)
		}
	}
}

// All dates of the entries of a history are different, and a resolved finding has only one time.
func TestDatesOfEpisodes(t *testing.T) {
	k := &tracker{TB: t}
	for day, found := range []string{"A:LOW B:LOW", "A:HIGH B:HIGH", "", "A:HIGH B:LOW", "A:CRITICAL"} {
		k.add(scanned(float64(day), found))
	}
	seen := make(map[time.Time]string)
	for _, f := range k.Findings {
		all := []TrackedFinding{f}
		for _, e := range f.Earlier {
			all = append(all, f.During(e))
		}
		for _, f := range all {
			what := fmt.Sprintf("%s#%d", f.Name, f.Episode)
			if at := f.Updated.Time(); seen[at] != "" {
				t.Errorf("%s has the date of %s", what, seen[at])
			}
			seen[f.Updated.Time()] = what
			if !f.ResolvedAt().IsZero() && !f.ResolvedAt().Equal(f.Updated.Time()) {
				t.Errorf("%s was resolved at %s and updated at %s", what, f.ResolvedAt(), f.Updated.Time())
			}
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d entries: %v", len(seen), seen)
	}
}

// The number of stored episodes is limited.
func TestNumberOfEpisodes(t *testing.T) {
	k := &tracker{TB: t}
	for i := range 100 {
		k.add(scanned(float64(i)/10, []string{"A:LOW", "A:HIGH"}[i%2]))
	}
	if n := len(k.Findings[0].Earlier); n != maxEpisodes {
		t.Errorf("%d episodes", n)
	}
}
