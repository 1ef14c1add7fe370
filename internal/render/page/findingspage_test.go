package page

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

const findingsPath = "/findings/fc41dda8-f15e-4826-8908-11603b01dac4"

func findingsPageOf(t *testing.T, l report.Listing, to Link) []byte {
	t.Helper()
	b, err := Findings(l, noon, findingsPath, url.Values{"format": {"html"}}, to)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Findings(l, noon, findingsPath, url.Values{"format": {"html"}}, to)
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("two calls with the same values returned different bytes: %v", err)
	}
	return b
}

func TestFindingsPage(t *testing.T) {
	l := rendertest.Sample()
	l.View.Order = report.BySeverity
	known := &l.Reports[0].Images[0] // of 16.04
	known.Result.CompletedAt, known.KnownSince = rendertest.Scanned, ago(20)
	l.Entries[0].Published, l.Entries[0].Finding.FirstSeen, l.Entries[0].Finding.Exploit = ago(0.2), ago(0.2), "YES"
	l.Entries[2].Resolved = ago(0.1)
	rendertest.Golden(t, "page-findings.html", findingsPageOf(t, l, linkTo))
	rendertest.Golden(t, "page-findings-all.html", findingsPageOf(t, rendertest.AllConfigs(), linkTo))
	grouped := rendertest.ByVulnerability()
	grouped.View.Page, grouped.Total = 2, 2*report.PageSize+1
	rendertest.Golden(t, "page-findings-suppressed.html", findingsPageOf(t, rendertest.WithSuppressed(""), linkTo))
	rendertest.Golden(t, "page-findings-suppressed-include.html", findingsPageOf(t, rendertest.WithSuppressed(scan.IncludeSuppressed), linkTo))
	rendertest.Golden(t, "page-findings-suppressed-only.html", findingsPageOf(t, rendertest.WithSuppressed(scan.OnlySuppressed), linkTo))
	rendertest.Golden(t, "page-findings-grouped.html", findingsPageOf(t, grouped, linkTo))
}

func TestFindingsPageWithoutFindings(t *testing.T) {
	c := rendertest.Config("test/ubuntu")
	clean := rendertest.Image(c, "7", scan.Result{State: scan.Completed})
	for want, l := range map[string]report.Listing{
		"The last scan of every image is completed and found nothing.": rendertest.Listing(rendertest.ReportOf(c, clean)),
		"1 of 2 images have a completed scan. It found nothing.":       rendertest.Listing(rendertest.ReportOf(c, clean, rendertest.Image(c, "8", scan.Result{State: scan.Failed}))),
		"No image has a completed scan.":                               rendertest.Listing(rendertest.ReportOf(c, rendertest.Image(c, "8", scan.Result{State: scan.InProgress}))),
		"No result yet":                                                rendertest.Listing(rendertest.ReportOf(c)),
		"Nothing matches this filter":                                  {Config: &c, Reports: []report.Report{rendertest.ReportOf(c, clean)}, View: report.View{Filter: scan.Filter{Severity: scan.High}}},
		"NO IMAGES with such a tag":                                    {Config: &c, Reports: []report.Report{rendertest.ReportOf(c)}, View: report.View{Filter: scan.Filter{Tags: []string{"7"}}}},
	} {
		if page := string(findingsPageOf(t, l, linkTo)); !strings.Contains(page, want) {
			t.Errorf("without %q: %s", want, page)
		}
	}
}

// A finding is new if an earlier scan of the service, or of Amazon Inspector, did not have it.
func TestNewFindings(t *testing.T) {
	for name, test := range map[string]struct {
		published, inspector, known time.Time
		isNew                       bool
	}{
		"no record":              {ago(0.1), time.Time{}, time.Time{}, false},
		"the first scan":         {ago(0.1), time.Time{}, ago(0.1), false},
		"a later scan":           {ago(0.1), time.Time{}, ago(9), true},
		"a later scan, long ago": {ago(3), time.Time{}, ago(9), false},
		"dated by Inspector":     {ago(0.1), ago(0.1), time.Time{}, true},
		"long ago by Inspector":  {ago(3), ago(3), time.Time{}, false},
	} {
		entry := rendertest.Found("16.04", scan.Finding{Name: "CVE-1", Severity: scan.Low, FirstSeen: test.inspector})
		entry.Published = test.published
		c := rendertest.Config("test/ubuntu")
		one := rendertest.Image(c, "16.04", scan.Result{State: scan.Completed})
		one.KnownSince = test.known
		l := rendertest.Listing(rendertest.ReportOf(c, one), entry)
		if isNew := strings.Contains(string(findingsPageOf(t, l, linkTo)), ">New<"); isNew != test.isNew {
			t.Errorf("%s: new %t", name, isNew)
		}
	}
}

// A page with very long texts contains all findings and is within the maximum size.
func TestSizeOfFindingsPage(t *testing.T) {
	long := strings.Repeat(`<"&'>`, 400)
	var entries []report.Entry
	for i := range report.PageSize {
		entries = append(entries, rendertest.Found("16.04", scan.Finding{
			Name: fmt.Sprint(i, long), Package: long, Versions: []string{long}, FixedIn: []string{long}, Severity: scan.High, Description: long, URL: "https://example.org/" + strings.Repeat("&", 1900),
		}))
	}
	page := findingsPageOf(t, rendertest.Listing(rendertest.ReportOf(rendertest.Config("test/ubuntu")), entries...), linkTo)
	if n := rendertest.JSONSize(page); n > render.MaxSent {
		t.Errorf("%d bytes", n)
	}
	if n := bytes.Count(page, []byte("<tr ")); n != report.PageSize+1 {
		t.Errorf("%d rows", n)
	}
}

func BenchmarkFindingsPage(b *testing.B) {
	l := rendertest.Sample()
	one := l.Entries[0]
	for range report.PageSize {
		l.Entries = append(l.Entries, one)
	}
	l.Total = 5000
	for b.Loop() {
		if _, err := Findings(l, noon, findingsPath, nil, linkTo); err != nil {
			b.Fatal(err)
		}
	}
}

// A list without findings does not read as if images had none when that is not known.
func TestFindingsPageIsNoAllClear(t *testing.T) {
	c := rendertest.Config("test/ubuntu")
	clean := rendertest.Image(c, "7", scan.Result{State: scan.Completed, CompletedAt: ago(0.5)})
	stale := rendertest.Image(c, "6", scan.Result{State: scan.Completed, CompletedAt: ago(9)})
	narrowed := func(r report.Report) report.Listing {
		l := rendertest.Listing(r)
		l.View.Filter = scan.Filter{Packages: []string{"openssl"}}
		return l
	}
	for want, l := range map[string]report.Listing{
		"found nothing. Without a current result: 1 of 2 images.":                                                      rendertest.Listing(rendertest.ReportOf(c, clean, stale)),
		"Nothing is watched yet":                                                                                       {},
		"Completed scans with a complete list of findings: 1 of 1 image. <a":                                           narrowed(rendertest.ReportOf(c, clean)),
		"Completed scans with a complete list of findings: 1 of 2 images. Without a current result: 1 of 2 images. <a": narrowed(rendertest.ReportOf(c, clean, rendertest.Image(c, "5", scan.Result{State: scan.Failed}))),
		"Filtered by package openssl. No image is selected. <a":                                                        narrowed(rendertest.ReportOf(c)),
	} {
		if page := string(findingsPageOf(t, l, linkTo)); !strings.Contains(page, want) {
			t.Errorf("without %q: %s", want, page)
		}
	}
}

// The name of a finding without a name is its text, and is not shown twice. A long text is shown whole.
func TestFindingWithoutAName(t *testing.T) {
	long := "The library reads past the end of a buffer " + strings.Repeat("and again ", 30) + "until it stops."
	for name, test := range map[string]struct{ name, description, wantOnce string }{
		"the same text": {"Reads past the end", "Reads past the end", "Reads past the end"},
		"a long text":   {long[:200], long, "until it stops."},
		"a name":        {"CVE-2026-1", "CVE-2026-1 is a flaw", "is a flaw"},
	} {
		l := rendertest.Sample()
		l.Entries = []report.Entry{rendertest.Found("16.04", scan.Finding{Name: test.name, Description: test.description, Severity: scan.Low})}
		row := textOf(elements(t, findingsPageOf(t, l, linkTo), "tbody")[0])
		if n := strings.Count(row, test.wantOnce); n != 1 || strings.Count(row, "The library reads") > 1 || strings.Contains(row, "no name") != (name == "a long text") {
			t.Errorf("%s: %d times in %q", name, n, row)
		}
	}
}

// Suppressed findings are not listed, and the page says how many there are. A digest with two tags counts once.
func TestFindingsPageCountsSuppressed(t *testing.T) {
	l := rendertest.Sample()
	for i := range l.Reports[0].Images[:2] {
		l.Reports[0].Images[i].Result.Suppressed = 4
	}
	if page := string(findingsPageOf(t, l, linkTo)); !strings.Contains(page, "not listed: 4.") {
		t.Error(page)
	}
	l.View.Filter.Tags = []string{"latest"}
	if page := string(findingsPageOf(t, l, linkTo)); !strings.Contains(page, "not listed: 4.") {
		t.Errorf("a filter of images: %s", page)
	}
	l.View.Filter.Severity = scan.Critical // the number is not known by severity
	if page := string(findingsPageOf(t, l, linkTo)); !strings.Contains(page, "not listed, whatever the filter: 4.") || !strings.Contains(page, "Show suppressed findings that match the filter") {
		t.Errorf("a filter of findings: %s", page)
	}
}

// A page of 500 findings stays quick.
func TestLargeFindingsPageStaysQuick(t *testing.T) {
	l := rendertest.Sample()
	one := l.Entries[0]
	for range report.PageSize - len(l.Entries) {
		l.Entries = append(l.Entries, one)
	}
	l.Total = 5000
	page := findingsPageOf(t, l, linkTo)
	if elements := bytes.Count(page, []byte("<")) / 2; len(page) > 1_000_000 || elements > 20_000 {
		t.Errorf("%d bytes, %d elements", len(page), elements)
	}
}
