package scan

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Whatever the order, a page is a part of the whole list, and turned around the list is the same from its end.
func TestOrders(t *testing.T) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	image := Image{Tag: "a"}
	other := Image{Tag: "b"}
	finding := func(name, pkg string, s Severity, fixed string, age int) Finding {
		f := Finding{Name: name, Package: pkg, Severity: s, FirstSeen: at.Add(-time.Duration(age) * time.Hour)}
		if fixed != "" {
			f.FixedIn = []string{fixed}
		}
		return f
	}
	for order, want := range map[Order]string{
		BySeverity: "1 2 3", ByName: "1 2 3", ByPackage: "3 2 1", ByImage: "1 2 3", ByFix: "2 3 1", ByFirstSeen: "2 1 3",
	} {
		for _, reverse := range []bool{false, true} {
			g := newGathering(View{Order: order, Reverse: reverse})
			g.add(&other, historyOf(Result{CompletedAt: at, Findings: []Finding{finding("3", "a", Low, "2", 9)}}))
			g.add(&image, historyOf(Result{CompletedAt: at, Findings: []Finding{finding("2", "b", High, "1", 1), finding("1", "c", Critical, "", 5)}}))
			page, _ := g.page()
			var names []string
			for _, e := range page {
				names = append(names, e.Finding.Name)
			}
			got := strings.Join(names, " ")
			if reverse {
				got = fmt.Sprintf("%s %s %s", names[2], names[1], names[0])
			}
			if order == ByImage { // two are of one image, and then the worst goes first
				got, want = names[map[bool]int{false: 2, true: 0}[reverse]], "3"
			}
			if got != want {
				t.Errorf("by %s, reversed %t: %s, want %s", order, reverse, got, want)
			}
		}
	}
}

func TestASortedPageIsOfTheWholeList(t *testing.T) {
	for page, want := range map[int]string{1: "n0000", 3: "n1000"} {
		g := newGathering(View{Order: ByName, Page: page})
		for i := range 1200 {
			severity := Low
			if i%2 == 0 {
				severity = Critical
			}
			g.add(&Image{Tag: "a"}, historyOf(Result{CompletedAt: time.Unix(1, 0), Findings: []Finding{{Name: fmt.Sprintf("n%04d", (i*7)%1200), Severity: severity}}}))
		}
		entries, total := g.page()
		if total != 1200 || entries[0].Finding.Name != want {
			t.Errorf("page %d begins with %s", page, entries[0].Finding.Name)
		}
	}
}
