package render

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
)

const findingsPath = "/findings/fc41dda8-f15e-4826-8908-11603b01dac4"

func findingsPageOf(t *testing.T, l scan.Listing, to Link) []byte {
	t.Helper()
	b, err := FindingsPage(l, noon, findingsPath, url.Values{"format": {"html"}}, to)
	if err != nil {
		t.Fatal(err)
	}
	again, err := FindingsPage(l, noon, findingsPath, url.Values{"format": {"html"}}, to)
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("the same values gave other bytes: %v", err)
	}
	return b
}

func TestFindingsPage(t *testing.T) {
	l := sample()
	l.View.Order = scan.BySeverity
	known := &l.Reports[0].Images[0] // of 16.04
	known.Result.CompletedAt, known.KnownSince = scanned, ago(20)
	l.Entries[0].Published, l.Entries[0].Finding.FirstSeen, l.Entries[0].Finding.Exploit = ago(0.2), ago(0.2), "YES"
	l.Entries[2].Resolved = ago(0.1)
	golden(t, "page-findings.html", findingsPageOf(t, l, linkTo))
	golden(t, "page-findings-all.html", findingsPageOf(t, ofAll(), linkTo))
	grouped := byVulnerability()
	grouped.View.Page, grouped.Total = 2, 2*scan.PageSize+1
	golden(t, "page-findings-grouped.html", findingsPageOf(t, grouped, linkTo))
}

func TestFindingsPageWithoutFindings(t *testing.T) {
	c := config("test/ubuntu")
	clean := image(c, "7", scan.Result{State: scan.Completed})
	for want, l := range map[string]scan.Listing{
		"The last scan of every image is complete, and found nothing.": listing(report(c, clean)),
		"The scans that are complete found nothing: 1 of 2 images.":    listing(report(c, clean, image(c, "8", scan.Result{State: scan.Failed}))),
		"No image has a completed scan.":                               listing(report(c, image(c, "8", scan.Result{State: scan.InProgress}))),
		"No result yet":                                                listing(report(c)),
		"Nothing matches this filter":                                  {Config: &c, Reports: []scan.Report{report(c, clean)}, View: scan.View{Filter: scan.Filter{Severity: scan.High}}},
		"NO IMAGES with such a tag":                                    {Config: &c, Reports: []scan.Report{report(c)}, View: scan.View{Filter: scan.Filter{Tags: []string{"7"}}}},
	} {
		if page := string(findingsPageOf(t, l, linkTo)); !strings.Contains(page, want) {
			t.Errorf("without %q: %s", want, page)
		}
	}
}

// A finding is new if it wasn't there when the service, or Amazon Inspector, looked before.
func TestNewFindings(t *testing.T) {
	for name, test := range map[string]struct {
		published, inspector, known time.Time
		isNew                       bool
	}{
		"nothing is remembered":   {ago(0.1), time.Time{}, time.Time{}, false},
		"the first scan":          {ago(0.1), time.Time{}, ago(0.1), false},
		"a later scan":            {ago(0.1), time.Time{}, ago(9), true},
		"a later scan, long ago":  {ago(3), time.Time{}, ago(9), false},
		"as Inspector says":       {ago(0.1), ago(0.1), time.Time{}, true},
		"as Inspector says, long": {ago(3), ago(3), time.Time{}, false},
	} {
		entry := found("16.04", scan.Finding{Name: "CVE-1", Severity: scan.Low, FirstSeen: test.inspector})
		entry.Published = test.published
		c := config("test/ubuntu")
		one := image(c, "16.04", scan.Result{State: scan.Completed})
		one.KnownSince = test.known
		l := listing(report(c, one), entry)
		if isNew := strings.Contains(string(findingsPageOf(t, l, linkTo)), ">New<"); isNew != test.isNew {
			t.Errorf("%s: new %t", name, isNew)
		}
	}
}

// Whatever texts a page of findings has, it can be sent, with all findings.
func TestFindingsPageOfLongTexts(t *testing.T) {
	long := strings.Repeat(`<"&'>`, 400)
	var entries []scan.Entry
	for i := range scan.PageSize {
		entries = append(entries, found("16.04", scan.Finding{
			Name: fmt.Sprint(i, long), Package: long, Versions: []string{long}, FixedIn: []string{long}, Severity: scan.High, Description: long, URL: "https://example.org/" + strings.Repeat("&", 1900),
		}))
	}
	page := findingsPageOf(t, listing(report(config("test/ubuntu")), entries...), linkTo)
	if n := sentSize(page); n > maxSent {
		t.Errorf("%d bytes", n)
	}
	if n := bytes.Count(page, []byte("<tr ")); n != scan.PageSize+1 {
		t.Errorf("%d rows", n)
	}
}

func BenchmarkFindingsPage(b *testing.B) {
	l := sample()
	one := l.Entries[0]
	for range scan.PageSize {
		l.Entries = append(l.Entries, one)
	}
	l.Total = 5000
	for b.Loop() {
		if _, err := FindingsPage(l, noon, findingsPath, nil, linkTo); err != nil {
			b.Fatal(err)
		}
	}
}
