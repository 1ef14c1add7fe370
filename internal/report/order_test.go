package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// ordered returns the names of the findings on the requested page, in order.
func ordered(v View, found map[*scan.Image][]history.TrackedFinding) []string {
	g := newFindingsCollector(v)
	for image, findings := range found {
		g.add(image, scan.Result{}, undivided(history.History{Findings: findings}), 0)
	}
	page, _ := g.page()
	var names []string
	for _, e := range page {
		names = append(names, e.Finding.Name)
	}
	return names
}

// Resolved findings are last in every order, also in reverse.
func TestOrders(t *testing.T) {
	tracked := func(name, pkg string, s scan.Severity, fixed string, age float64) history.TrackedFinding {
		f := history.TrackedFinding{Finding: scan.Finding{Name: name, Package: pkg, Severity: s}, Status: history.Present, Published: onDay(30 - age)}
		if fixed != "" {
			f.FixedIn = []string{fixed}
		}
		return f
	}
	gone := tracked("0", "aa", scan.Critical, "1", 0)
	gone.Status, gone.Ended = history.Resolved, onDay(31)
	found := map[*scan.Image][]history.TrackedFinding{
		{Tag: "b"}: {tracked("3", "a", scan.Low, "2", 9)},
		{Tag: "a"}: {tracked("2", "b", scan.High, "1", 1), tracked("1", "c", scan.Critical, "", 5), gone},
	}
	for order, want := range map[Order]string{
		BySeverity: "1 2 3", ByName: "1 2 3", ByPackage: "3 2 1", ByImage: "1 2 3", ByFix: "2 3 1", ByFirstSeen: "2 1 3",
	} {
		if got := strings.Join(ordered(View{Order: order}, found), " "); got != want+" 0" {
			t.Errorf("by %s: %s, want %s 0", order, got, want)
		}
		reversed := ordered(View{Order: order, Reverse: true}, found)
		slices.Reverse(reversed[:3])
		if order == ByImage { // findings of the same image stay sorted by severity
			slices.Reverse(reversed[:2])
		}
		if got := strings.Join(reversed, " "); got != want+" 0" {
			t.Errorf("by %s in reverse, read from the end: %s, want %s 0", order, got, want)
		}
	}
}

func TestPagesOfASortedList(t *testing.T) {
	findings := make([]history.TrackedFinding, 1200)
	for i := range findings {
		severity := scan.Low
		if i%2 == 0 {
			severity = scan.Critical
		}
		findings[i] = history.TrackedFinding{Finding: scan.Finding{Name: fmt.Sprintf("n%04d", (i*7)%1200), Severity: severity}, Status: history.Present}
	}
	for page, want := range map[int]string{1: "n0000", 2: "n0500", 3: "n1000"} {
		if got := ordered(View{Order: ByName, Page: page}, map[*scan.Image][]history.TrackedFinding{{Tag: "a"}: findings}); got[0] != want {
			t.Errorf("page %d starts with %s", page, got[0])
		}
	}
}
