package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// When a group gets a new entry, because the severity rose or the finding came back in one of its images, the entry before stays as resolved.
func TestGroupsThatAreOver(t *testing.T) {
	of := func(tag string, days ...string) history.History {
		h, seconds := history.History{Tag: tag}, history.SecondSet{}
		for day, found := range days {
			h = h.WithScan("d", scanned(float64(day), found), onDay(float64(day)), seconds.Reserve)
		}
		return h
	}
	for name, test := range map[string]struct {
		histories []history.History
		now       float64
		filter    scan.Filter
		want      string
	}{
		"raised in one image":   {[]history.History{of("a", "A:LOW", "A:HIGH"), of("b", "A:LOW", "A:LOW")}, 2, scan.Filter{}, "#0 LOW day 1 now HIGH in 1; #1 HIGH in 2"},
		"raised in both images": {[]history.History{of("a", "A:LOW", "A:LOW", "A:HIGH"), of("b", "A:MEDIUM", "A:CRITICAL")}, 3, scan.Filter{}, "#0 MEDIUM day 1 now CRITICAL in 2; #1 CRITICAL in 2"},
		"came back":             {[]history.History{of("a", "A:HIGH", "", "A:HIGH"), of("b", "A:HIGH")}, 3, scan.Filter{}, "#0 HIGH day 2 now  in 1; #1 HIGH in 2"},
		"raised where it was lower than in another image before": {
			[]history.History{of("a", "A:LOW", "A:MEDIUM", "A:HIGH"), of("b", "A:LOW", "A:LOW", "A:LOW", "A:HIGH")}, 4, scan.Filter{}, "#0 LOW day 1 now MEDIUM in 2; #1 MEDIUM day 2 now HIGH in 1; #2 HIGH in 2",
		},
		"more than 30 days ago": {[]history.History{of("a", "A:LOW", "A:HIGH"), of("b", "A:LOW")}, 31.5, scan.Filter{}, "#1 HIGH in 2"},
		"not in the feed":       {[]history.History{of("a", "A:LOW", "A:HIGH")}, 2, scan.Filter{Severity: scan.High}, "#1 HIGH in 1"},
		"the group had a higher episode long ago": {
			[]history.History{of("a", append([]string{"A:LOW", "A:MEDIUM"}, slices.Repeat([]string{"A:MEDIUM"}, 40)...)...), of("b", append(slices.Repeat([]string{"A:LOW"}, 40), "A:HIGH")...)},
			42, scan.Filter{}, "#1 HIGH in 2",
		},
	} {
		for range 5 {
			slices.Reverse(test.histories)
			g := newFindingsCollector(View{ByVulnerability: true, Filter: test.filter})
			for _, h := range test.histories {
				g.add(&scan.Image{Tag: h.Tag}, scan.Result{}, undivided(h), onDay(test.now))
			}
			entries, total := g.page()
			var all []string
			for _, e := range entries {
				one := fmt.Sprintf("#%d %s", e.Finding.Episode, e.Finding.Severity)
				if !e.Resolved.IsZero() {
					one += fmt.Sprintf(" day %d now %s", int((history.StampOf(e.Resolved)-dayZero+43200)/86400), e.RaisedTo)
				}
				all = append(all, fmt.Sprintf("%s in %d", one, e.Count))
			}
			slices.Sort(all)
			if got := strings.Join(all, "; "); got != test.want || total != len(all) {
				t.Errorf("%s: %s, want %s", name, got, test.want)
			}
		}
	}
}
