package history

import (
	"fmt"
	"testing"

	"ecr-continuous-scan/internal/scan"
)

// packagesHistory is a history as an earlier version stored it: each package of an enhanced finding is a finding.
func packagesHistory() History {
	tracked := func(name, pkg string, day float64, status FindingStatus) TrackedFinding {
		return TrackedFinding{
			Finding: scan.Finding{Name: name, Package: pkg, Versions: []string{"1"}, Severity: scan.High, Score: "8.1", Vector: "of NVD", FixedIn: []string{"2"}},
			Status:  status, Published: onDay(day), Updated: onDay(day),
		}
	}
	h := History{
		Tag: "app", Scan: Scan{Digest: "sha256:a", Completed: onDay(5), Enhanced: true}, Since: onDay(0), LastDate: onDay(5),
		Findings: []TrackedFinding{tracked("A", "p", 3, Present), tracked("A", "q", 2, Present), tracked("B", "p", 0, Present), tracked("B", "q", 0, Present), tracked("C", "p", 1, Resolved)},
		Events: []Event{
			{Kind: New, Scan: onDay(2), At: onDay(2), Name: "A", Package: "q", To: scan.High},
			{Kind: New, Scan: onDay(3), At: onDay(3), Name: "A", Package: "p", To: scan.High},
			{Kind: Fixed, Scan: onDay(5), At: onDay(5), Name: "C", Package: "p", From: scan.High},
		},
		Changes: []CountChange{{At: onDay(2).Time(), New: scan.Counts{scan.High: 1}}, {At: onDay(3).Time(), New: scan.Counts{scan.High: 1}}, {At: onDay(5).Time(), Fixed: scan.Counts{scan.High: 1}}},
	}
	h.Findings[1].Episode, h.Findings[4].Ended = 2, onDay(5)
	return h
}

func TestPackagesOfAnEarlierVersionAreMerged(t *testing.T) {
	merged := func(names ...string) scan.Result {
		r := scan.Result{State: scan.Completed, Enhanced: true, CompletedAt: onDay(6).Time()}
		for _, name := range names {
			f := scan.Finding{Name: name, Severity: scan.High, Score: "6.5", Vector: "of Red Hat", FixAvailable: "NO"}
			r.Findings = append(r.Findings, f.WithPackages([]scan.Package{{Name: "p", Version: "1", FixedIn: "2"}, {Name: "q", Version: "1"}}))
		}
		return r
	}
	raised := merged("A", "B")
	raised.Findings[0].Severity = scan.Critical
	mixed := merged("A")
	mixed.Findings = append(mixed.Findings, scan.Finding{Name: "B", Package: "p", Severity: scan.High}) // ECR's list of basic findings
	const resolved = "C#0 HIGH resolved day 1"
	for name, test := range map[string]struct {
		result           scan.Result
		findings, events string
		changes          int
	}{
		"nothing changed":  {merged("A", "B"), "A*#2 HIGH day 2; B*#0 HIGH day 0; " + resolved, "", 0},
		"one is fixed":     {merged("A"), "A*#2 HIGH day 2; B*#0 HIGH resolved day 0 (no longer found); " + resolved, "FIXED B#0 HIGH>", 1},
		"one is new":       {merged("A", "B", "D"), "A*#2 HIGH day 2; B*#0 HIGH day 0; " + resolved + "; D*#0 HIGH day 6", "NEW D#0 >HIGH", 1},
		"one came back":    {merged("A", "B", "C"), "A*#2 HIGH day 2; B*#0 HIGH day 0; " + resolved + "; C*#0 HIGH day 6", "NEW C#0 >HIGH", 1},
		"one is raised":    {raised, "A*#3 CRITICAL day 6 (severity raised from HIGH); B*#0 HIGH day 0; " + resolved, "SEVERITY RAISED A#3 HIGH>CRITICAL", 1},
		"one is hidden":    {withSuppressed(merged("A"), "B:HIGH"), "A*#2 HIGH day 2; B*#0 HIGH suppressed day 0; " + resolved, "", 1},
		"one stays basic":  {mixed, "A*#2 HIGH day 2; B#0 HIGH day 0 (the fix changed, the CVSS score changed); B*#0 HIGH resolved day 0 (no longer found); " + resolved, "FIXED B#0 HIGH>", 1},
		"all are fixed":    {merged(), "A*#2 HIGH resolved day 2 (no longer found); B*#0 HIGH resolved day 0 (no longer found); " + resolved, "FIXED A#2 HIGH>; FIXED B#0 HIGH>", 1},
		"a basic scan now": {scanned(6, "A:HIGH B:HIGH"), "A#0 HIGH day 3; A#2 HIGH hidden day 2; B#0 HIGH day 0; B#0 HIGH hidden day 0; " + resolved, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var taken SecondSet
			h := packagesHistory()
			next := h.WithScan("sha256:a", test.result, onDay(6), taken.Reserve)
			if got := findingsText(next); got != test.findings {
				t.Errorf("findings\n got %s\nwant %s", got, test.findings)
			}
			if got := newEventsText(h, next); got != test.events {
				t.Errorf("events\n got %s\nwant %s", got, test.events)
			}
			if len(next.Changes) != test.changes {
				t.Errorf("changes of the counts %v, want %d", next.Changes, test.changes)
			}
			if again := stored(t, next).WithScan("sha256:a", test.result, onDay(7), taken.Reserve); !again.SameAs(next) {
				t.Errorf("the same result changes the history again")
			}
		})
	}
}

// The entries of changes that were told before the conversion keep their ids and their packages.
func TestChangesOfAnEarlierVersionKeepTheirIDs(t *testing.T) {
	var taken SecondSet
	result := scan.Result{State: scan.Completed, Enhanced: true, CompletedAt: onDay(6).Time(), Findings: []scan.Finding{
		scan.Finding{Name: "A", Severity: scan.High, Description: "text"}.WithPackages([]scan.Package{{Name: "p", Version: "1"}, {Name: "q", Version: "2"}}),
	}}
	texts := func(h History) string {
		all := ""
		for _, changes := range h.ChangesByScan(&scan.Image{Tag: "app"}) {
			for _, c := range changes {
				all += fmt.Sprintln(c.ID(), c.Kind, c.Finding.Name, c.Finding.Package, c.Finding.Versions)
			}
		}
		return all
	}
	h := packagesHistory()
	h.Findings = h.Findings[:2]
	h.Findings[0].Episode, h.Findings[1].Versions = 2, []string{"2"}
	if before, after := texts(h), texts(h.WithScan("sha256:a", result, onDay(6), taken.Reserve)); before != after {
		t.Errorf("before\n%safter\n%s", before, after)
	}
}
