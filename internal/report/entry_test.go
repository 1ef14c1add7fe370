package report

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"

	"github.com/google/go-cmp/cmp"
)

// historyOf is the history of an image with one scan. All findings have the same date.
func historyOf(r scan.Result) history.History {
	return history.History{}.WithScan("", r, 0, func(at history.Stamp) history.Stamp { return at })
}

// A group has the highest severity of its images. It does not depend on the order in which the images are read.
func TestGroupsDoNotDependOnTheOrderOfImages(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	image := func(tag string) []*scan.Image { return []*scan.Image{{Tag: tag, Digest: tag}} }
	results := map[string]scan.Result{
		"a": {CompletedAt: at, Findings: []scan.Finding{{Name: "CVE-1", Package: "ssl", Severity: scan.Low, Description: "low", Versions: []string{"1"}}}},
		"b": {CompletedAt: at.Add(-time.Hour), Findings: []scan.Finding{{Name: "CVE-1", Package: "ssl", Severity: scan.High, Description: "b", Versions: []string{"3"}, FixedIn: []string{"9"}}}},
		"c": {CompletedAt: at.Add(time.Hour), Findings: []scan.Finding{
			{Name: "CVE-1", Package: "ssl", Severity: scan.High, Description: "c", Versions: []string{"2", "1"}}, {Name: "CVE-1", Package: "tar", Severity: scan.Low},
		}},
	}
	want := []Entry{
		{
			Finding: scan.Finding{Name: "CVE-1", Package: "ssl", Severity: scan.High, Description: "b", Versions: []string{"1", "2", "3"}, FixedIn: []string{"9"}},
			Images:  []*scan.Image{{Tag: "a", Digest: "a"}, {Tag: "b", Digest: "b"}, {Tag: "c", Digest: "c"}}, Count: 3,
			Published: at.Add(-time.Hour), Updated: at.Add(time.Hour),
		},
		{Finding: scan.Finding{Name: "CVE-1", Package: "tar", Severity: scan.Low, NamesPackage: true}, Images: image("c"), Count: 1, Published: at.Add(time.Hour), Updated: at.Add(time.Hour)},
	}
	for range 20 {
		g := newFindingsCollector(View{ByVulnerability: true})
		tags := []string{"a", "b", "c"}
		rand.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
		for _, tag := range tags {
			g.add(image(tag)[0], scan.Result{}, undivided(historyOf(results[tag])), 0)
		}
		got, total := g.page()
		if diff := cmp.Diff(want, got); diff != "" || total != 2 {
			t.Errorf("read in the order %v: total %d (-want +got):\n%s", tags, total, diff)
		}
	}
}

// A group keeps its episode, and so its id, when the finding is resolved in one of its images. Its note and its date are those of the same change.
func TestGroupsKeepTheirEpisode(t *testing.T) {
	of := func(tag string, founds ...string) history.History {
		h, seconds := history.History{Tag: tag}, history.SecondSet{}
		for day, found := range founds {
			if found != "-" {
				h = h.WithScan("d", scanned(float64(day), found), onDay(float64(day)), seconds.Reserve)
			}
		}
		return h
	}
	entry := func(f scan.Filter, histories ...history.History) Entry {
		g := newFindingsCollector(View{ByVulnerability: true, Filter: f})
		for _, h := range histories {
			g.add(&scan.Image{Tag: h.Tag}, scan.Result{}, undivided(h), onDay(40))
		}
		entries, _ := g.page()
		if len(entries) != 1 {
			t.Fatalf("%d entries", len(entries))
		}
		return entries[0]
	}
	long := slices.Repeat([]string{"-"}, 37)
	other := of("b", "-", "-", "-", "A:LOW")
	for name, one := range map[string]history.History{
		"it came back":         of("a", "A:HIGH", "", "A:HIGH"),
		"it is fixed":          of("a", "A:HIGH", "", "A:HIGH", ""),
		"it expired":           of("a", append(append([]string{"A:HIGH", "", "A:HIGH", ""}, long...), "")...),
		"its severity changed": of("a", "A:LOW", "A:HIGH", "A:LOW"),
	} {
		if got := entry(scan.Filter{}, one, other); got.Finding.Episode != 1 || got.Updated.Before(onDay(2).Time()) {
			t.Errorf("%s: episode %d, updated %v: %s", name, got.Finding.Episode, got.Updated, got.Note)
		}
	}
	if got := entry(scan.Filter{}, of("a", "A:HIGH", "", "A:HIGH"), other); got.Note != "" || !got.Updated.Equal(onDay(3).Time()) {
		t.Errorf("updated %v: %q", got.Updated, got.Note)
	}
	if got := entry(scan.Filter{Severity: scan.High}, of("a", "A:HIGH"), of("b", "A:LOW", "", "A:LOW")); got.Finding.Episode != 1 {
		t.Errorf("filtered: episode %d", got.Finding.Episode)
	}
}

// A group of very many images lists the first of them and counts all.
func TestGroupsListALimitedNumberOfImages(t *testing.T) {
	g := newFindingsCollector(View{ByVulnerability: true})
	for i := range 1000 {
		g.add(&scan.Image{Tag: fmt.Sprintf("%04d", (i*7)%1000)}, scan.Result{}, undivided(historyOf(scan.Result{CompletedAt: time.Unix(1, 0), Findings: []scan.Finding{{Name: "CVE-1"}}})), 0)
	}
	got, _ := g.page()
	if len(got) != 1 || got[0].Count != 1000 || len(got[0].Images) != maxImages || got[0].Images[maxImages-1].Tag != fmt.Sprintf("%04d", maxImages-1) {
		t.Errorf("%d groups, count %d, %d images", len(got), got[0].Count, len(got[0].Images))
	}
}

const dayZero = 1_790_000_000

// onDay is the time so many days after day zero.
func onDay(day float64) history.Stamp { return dayZero + history.Stamp(day*86400) }

// scanned is a completed scan with the findings of a text such as "A:HIGH B:LOW", all in the package p.
func scanned(day float64, found string) scan.Result {
	r := scan.Result{State: scan.Completed, CompletedAt: onDay(day).Time(), Counts: scan.Counts{}}
	for _, f := range strings.Fields(found) {
		name, severity, _ := strings.Cut(f, ":")
		r.Findings = append(r.Findings, scan.Finding{Name: name, Package: "p", Severity: scan.Severity(severity)})
		r.Counts[scan.Severity(severity)]++
	}
	return r
}

// undivided returns a history of which nothing is set aside.
func undivided(h history.History) divided { return divided{whole: h, told: h} }
