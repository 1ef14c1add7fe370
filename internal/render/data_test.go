package render_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/render/feed"
	"ecr-continuous-scan/internal/render/sarif"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/feedrules"
	"ecr-continuous-scan/test/rendertest"
)

func safeSummary(o report.Overview, filter scan.Filter, feed render.FeedOf) ([]byte, error) {
	return render.SummaryCSV(o, filter, feed, render.Spreadsheet)
}

func feedOf(id string) string { return rendertest.API + "/findings/" + id + "?key=k%26" }

// overview returns images in different states, and configs that can't be read.
func overview() report.Overview {
	ubuntu, hard := rendertest.Config("test/ubuntu", "16.04", "latest"), rendertest.Config("test/hard")
	now := rendertest.Scanned.Add(100 * time.Hour)
	changed := rendertest.Image(ubuntu, "latest", scan.Result{
		State: scan.Completed, CompletedAt: now.Add(-90 * time.Minute), Counts: scan.Counts{scan.High: 7, scan.Low: 2, "BRAND NEW": 1},
		Suppressed: 3, InUse: 2, LastInUse: now.Add(-time.Hour),
	})
	changed.Image.LastPulled = now.Add(-20 * time.Hour)
	changed.KnownSince, changed.Changes = rendertest.Scanned, []history.CountChange{
		{At: now.Add(-50 * time.Hour), New: scan.Counts{scan.High: 5}},
		{At: now.Add(-90 * time.Minute), New: scan.Counts{scan.High: 2, scan.Low: 1}, Fixed: scan.Counts{scan.Medium: 3}},
	}
	same := rendertest.Image(ubuntu, "16.04", scan.Result{State: scan.Completed, CompletedAt: rendertest.Scanned, Counts: scan.Counts{}})
	same.KnownSince, same.AsOf, same.AsOfReason = rendertest.Scanned, now.Add(-30*time.Hour), "throttled by ECR"
	same.Suppressed, same.Result.Suppressed = 2, 1
	changed.Unsuppressed = true
	child := rendertest.Image(hard, "multi", scan.Result{State: scan.Completed, CompletedAt: now.Add(-25 * time.Hour), Counts: scan.Counts{scan.Critical: 1}})
	child.Image.Platform = "linux/arm64"
	missing := rendertest.Image(hard, "gone", scan.Result{State: scan.NoSuchTag})
	missing.Image.Digest = ""
	return report.Overview{Since: now.Add(-report.DefaultSince), Now: now, Reports: []report.Report{
		rendertest.ReportOf(ubuntu, same, changed),
		rendertest.ReportOf(hard, rendertest.Image(hard, "failed", scan.Result{State: scan.Failed, Reason: "UnsupportedImageError: \x1b[31m\n<b>"}), missing, child, rendertest.Image(hard, "odd", scan.Result{})),
		rendertest.ReportOf(rendertest.Config("test/empty")),
		rendertest.Failed(rendertest.Config("test/gone"), &scan.Error{Code: scan.RepositoryNotFound, Message: "repository not found"}),
		rendertest.Failed(rendertest.Config("test/dead"), &scan.Error{Code: scan.Internal, Err: fmt.Errorf("secret cause")}),
	}}
}

func TestSummaryData(t *testing.T) {
	for name, filter := range map[string]scan.Filter{"summary": {}, "summary-filtered": {Severity: scan.High, Tags: []string{"latest", "multi"}}} {
		asJSON, err := render.SummaryJSON(overview(), filter, feedOf)
		if err != nil {
			t.Fatal(err)
		}
		rendertest.Golden(t, name+".json", asJSON)
		table, err := render.SummaryCSV(overview(), filter, feedOf, render.Programs)
		if err != nil {
			t.Fatal(err)
		}
		rendertest.Golden(t, name+".csv", table)
		feedrules.CSV(t, table)
		if table, err = render.SummaryCSV(overview(), filter, feedOf, render.Spreadsheet); err != nil {
			t.Fatal(err)
		}
		feedrules.SpreadsheetCSV(t, table)
	}
	none, err := render.SummaryJSON(report.Overview{Now: rendertest.Scanned, Since: rendertest.Scanned}, scan.Filter{}, func(string) string { return "" })
	if want := `{
  "generated": "2019-10-01T11:27:17Z",
  "since": "2019-10-01T11:27:17Z",
  "configs": []
}
`; err != nil || string(none) != want {
		t.Errorf("without configs: %s, %v", none, err)
	}
}

// parsed is the part of the summary that the tests read.
type parsed struct {
	Configs []struct {
		Images []struct {
			Tag, State string
			Counts     map[string]int
		}
	}
}

// Unknown counts are null or empty in every format, never zero.
func TestOnlyCompletedScansHaveCountsInData(t *testing.T) {
	c := rendertest.Config("test/hard")
	for _, state := range []scan.State{scan.NotScanned, scan.InProgress, scan.Failed, scan.NoSuchTag, scan.Unread, scan.Refused, "", "unknown state"} {
		one := rendertest.Image(c, "x", scan.Result{State: state, Counts: scan.Counts{}})
		one.KnownSince = rendertest.Scanned
		o := report.Overview{Now: rendertest.Scanned, Reports: []report.Report{rendertest.ReportOf(c, one)}}
		b, err := render.SummaryJSON(o, scan.Filter{}, feedOf)
		if err != nil {
			t.Fatal(err)
		}
		var p parsed
		if err := json.Unmarshal(b, &p); err != nil || p.Configs[0].Images[0].Counts != nil || p.Configs[0].Images[0].State == "" || p.Configs[0].Images[0].State == "completed" {
			t.Errorf("state %q: %s, %v", state, b, err)
		}
		table, err := render.SummaryCSV(o, scan.Filter{}, feedOf, render.Programs)
		if err != nil {
			t.Fatal(err)
		}
		row := feedrules.CSV(t, table)[0]
		for _, column := range []string{"CRITICAL", "UNTRIAGED", "OTHER", "new", "fixed"} {
			if row[column] != "" {
				t.Errorf("state %q: %s is %q", state, column, row[column])
			}
		}
		l := rendertest.Listing(rendertest.ReportOf(c, rendertest.Image(c, "x", scan.Result{State: state})))
		for _, text := range inEachFormat(t, l) {
			if !strings.Contains(text, string(cmp.Or(state, scan.NotScanned))) {
				t.Errorf("state %q is not in %s", state, text)
			}
		}
	}
}

// tableFor returns the function that writes findings as CSV for this kind of program.
func tableFor(safe render.SafeFor) func(report.Listing) ([]byte, error) {
	return func(l report.Listing) ([]byte, error) { return render.FindingsCSV(l, safe) }
}

// sarifLog writes the open findings of a listing.
func sarifLog(l report.Listing) ([]byte, error) {
	l.Entries = slices.DeleteFunc(slices.Clone(l.Entries), func(e report.Entry) bool { return !e.Resolved.IsZero() })
	l.Total = len(l.Entries)
	log, _, err := sarif.Log(l, 1, sarif.About{})
	return log, err
}

// inEachFormat returns a listing in each data format, by the name of the format. It checks the rules of the formats.
func inEachFormat(t *testing.T, l report.Listing) map[string]string {
	t.Helper()
	texts := map[string]string{}
	inJSON := func(l report.Listing) ([]byte, error) {
		return feed.JSON(l, feed.Links{Self: rendertest.API + "/findings/all"})
	}
	for name, write := range map[string]func(report.Listing) ([]byte, error){"csv": tableFor(render.Programs), "safe csv": tableFor(render.Spreadsheet), "json": inJSON, "sarif": sarifLog} {
		b, err := write(l)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(b)
	}
	feedrules.CSV(t, []byte(texts["csv"]))
	feedrules.SpreadsheetCSV(t, []byte(texts["safe csv"]))
	feedrules.JSON(t, []byte(texts["json"]))
	feedrules.SARIF(t, []byte(texts["sarif"]))
	return texts
}

// resolved returns the sample with a resolved finding.
func resolved() report.Listing {
	l := rendertest.Sample()
	l.Entries[1].Resolved = rendertest.Scanned.Add(3 * time.Hour)
	return l
}

func TestFindingsData(t *testing.T) {
	for name, l := range map[string]report.Listing{"feed": rendertest.Sample(), "feed-by-vulnerability": rendertest.ByVulnerability(), "feed-all": rendertest.AllConfigs(), "feed-page-2": rendertest.SecondPage(), "feed-resolved": resolved(), "feed-suppressed": rendertest.WithSuppressed(""), "feed-suppressed-only": rendertest.WithSuppressed(scan.OnlySuppressed), "feed-suppressed-include": rendertest.WithSuppressed(scan.IncludeSuppressed)} {
		texts := inEachFormat(t, l)
		rendertest.Golden(t, name+".csv", []byte(texts["csv"]))
	}
}

// A table lists images without a result only on its first page.
func TestImagesWithoutResultAreOnTheFirstPage(t *testing.T) {
	l := rendertest.SecondPage()
	second, err := render.FindingsCSV(l, render.Programs)
	if err != nil {
		t.Fatal(err)
	}
	l.View.Page = 1
	first, err := render.FindingsCSV(l, render.Programs)
	if err != nil {
		t.Fatal(err)
	}
	if n, m := bytes.Count(first, []byte("not scanned,archived")), bytes.Count(second, []byte("not scanned")); n != 1 || m != 0 {
		t.Errorf("%d times on the first page, %d on the second", n, m)
	}
}

// The number of listed images without a result is limited.
func TestNumberOfImagesWithoutResultIsLimited(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	c := rendertest.Config("test/" + strings.Repeat("r", 250))
	var items []report.Item
	for i := range 10_000 {
		items = append(items, rendertest.Image(c, fmt.Sprint(strings.Repeat("t", 120), i), scan.Result{State: scan.Failed, Reason: strings.Repeat(`"`, 300)}))
	}
	texts := inEachFormat(t, rendertest.Listing(rendertest.ReportOf(c, items...)))
	for name, text := range texts {
		if n := rendertest.JSONSize([]byte(text)); n > render.MaxSent || !strings.Contains(text, "9000") {
			t.Errorf("%s: %d bytes as sent", name, n)
		}
	}
}

// All findings of a page with very long texts are written, with shorter texts, within the maximum size.
func TestSizeOfFindingsData(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	for _, test := range []struct {
		name, text string
		by         bool
		write      func(report.Listing) ([]byte, error)
		finding    string // occurs once in each finding
	}{
		{"quotes as CSV, by vulnerability", `"`, true, tableFor(render.Programs), "\r\nurn:uuid:"},
	} {
		l := rendertest.FullPage(strings.Repeat(test.text, 600/len(test.text)))
		l.View.ByVulnerability = test.by
		b, err := test.write(l)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte(test.finding)); n != report.PageSize || rendertest.JSONSize(b) > render.MaxSent {
			t.Errorf("%s: %d findings, %d bytes as sent", test.name, n, rendertest.JSONSize(b))
		}
	}
}

// A summary of 10,000 images with long names and all fields is within the maximum size in each format.
func TestSizeOfSummaryData(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	o := report.Overview{Now: rendertest.Scanned.Add(time.Hour), Since: rendertest.Scanned.Add(-time.Hour)}
	counts := scan.Counts{}
	for i, s := range scan.Severities() {
		counts[s] = 100 + i
	}
	for r := range 10 {
		c := rendertest.Config(fmt.Sprintf("some-team/some-application-%d", r))
		one := rendertest.ReportOf(c)
		for i := range 1000 {
			item := rendertest.Image(c, fmt.Sprintf("release-2026-11-25-%08d", i), scan.Result{State: scan.Completed, CompletedAt: rendertest.Scanned, Counts: counts})
			item.KnownSince = rendertest.Scanned.Add(-time.Hour)
			item.Changes = []history.CountChange{{At: rendertest.Scanned, New: scan.Counts{scan.High: 2}, Fixed: scan.Counts{scan.Low: 1}}}
			one.Images = append(one.Images, item)
		}
		o.Reports = append(o.Reports, one)
	}
	for name, write := range map[string]func(report.Overview, scan.Filter, render.FeedOf) ([]byte, error){"JSON": render.SummaryJSON, "CSV": safeSummary} {
		b, err := write(o, scan.Filter{}, feedOf)
		if err != nil || rendertest.JSONSize(b) > render.MaxSent {
			t.Errorf("%s: %d bytes as sent, %v", name, rendertest.JSONSize(b), err)
		}
	}
}

// Malicious texts have no effect in any format.
func TestHostileData(t *testing.T) {
	for _, text := range []string{
		`=cmd|' /C calc'!A0`, "+1+1", "@x;=y", "[click](javascript:alert(1))", "{0} [a](http://x) {{1}}", "<script>alert(1)</script>",
		"a\r\n=1,2\"", "\x1b[31m\u202e\ufeff", "../../etc/passwd?x#y", "\xff\xfe",
	} {
		f := scan.Finding{
			Name: text, Package: text, Severity: scan.ParseSeverity(text), Description: text, Score: text, Vector: text, Exploit: text, FixAvailable: text,
			Versions: []string{text, text}, FixedIn: []string{text}, Remediation: text,
		}
		one := rendertest.Found(text, f)
		one.Images[0].Platform = text
		c := rendertest.Config("test/ubuntu")
		l := rendertest.Listing(rendertest.ReportOf(c, rendertest.Image(c, text, scan.Result{State: scan.Failed, Reason: text})), one)
		inEachFormat(t, l)
		l.View.ByVulnerability = true
		inEachFormat(t, l)
		o := report.Overview{Now: rendertest.Scanned, Reports: []report.Report{rendertest.ReportOf(c,
			rendertest.Image(c, text, scan.Result{State: scan.Failed, Reason: text}), rendertest.Image(c, text, scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Severity(text): 1}}))}}
		table, err := safeSummary(o, scan.Filter{}, feedOf)
		if err != nil {
			t.Fatal(err)
		}
		if rows := feedrules.SpreadsheetCSV(t, table); rows[1]["OTHER"] != "1" {
			t.Errorf("an unknown severity is in no column: %v", rows[1])
		}
		asJSON, err := render.SummaryJSON(o, scan.Filter{}, feedOf)
		if err != nil || !json.Valid(asJSON) || bytes.ContainsAny(asJSON, "\x1b\u202e") {
			t.Errorf("%q, %v", asJSON, err)
		}
	}
}

// A program gets each value as the scanner wrote it, and can split a list. Only a spreadsheet gets an apostrophe before a formula.
func TestCellsForProgramsAndSpreadsheets(t *testing.T) {
	l := rendertest.Listing(rendertest.ReportOf(rendertest.Config("test/ubuntu")), rendertest.Found("1.10", scan.Finding{
		Name: "CVE-1", Package: "@babel/traverse, a|b", Versions: []string{"1, 2", "3|4"}, FixedIn: []string{"-5", "6"}, Related: []string{"GHSA-1", "GHSA-2"},
		Packages: []scan.Package{
			{Name: "@babel/traverse", Manager: "NODEPKG", Version: "1, 2", FixedIn: "-5", Path: "app/a.js"},
			{Name: "@babel/traverse", Manager: "NODEPKG", Version: "3|4", FixedIn: "6", Path: "app/b.js"},
			{Name: "a|b", Manager: "OS", OS: "DEBIAN_12", Arch: "AMD64"},
		},
	}), rendertest.Found("x", scan.Finding{Name: "CVE-2", Package: "=cmd", Versions: []string{"1"}}))
	for safe, want := range map[render.SafeFor][2]string{render.Programs: {"@babel/traverse | a%7Cb", "=cmd"}, render.Spreadsheet: {"'@babel/traverse | a%7Cb", "'=cmd"}} {
		table, err := render.FindingsCSV(l, safe)
		if err != nil {
			t.Fatal(err)
		}
		rows := feedrules.CSV(t, table)
		if rows[0]["package"] != want[0] || rows[1]["package"] != want[1] {
			t.Errorf("safe for %q: packages %q and %q", safe, rows[0]["package"], rows[1]["package"])
		}
		for column, cell := range map[string]string{
			"versions": "1, 2 | 3%7C4", "relatedIds": "GHSA-1 | GHSA-2", "ecosystem": "NODEPKG | OS", "arch": "AMD64", "paths": "app/a.js | app/b.js",
			"purl": "pkg:npm/%40babel/traverse@1%2C%202 | pkg:npm/%40babel/traverse@3%7C4 | pkg:deb/debian/a%7Cb?arch=amd64&distro=debian-12", "tag": "1.10",
		} {
			if rows[0][column] != cell {
				t.Errorf("safe for %q: %s is %q, want %q", safe, column, rows[0][column], cell)
			}
		}
		if rows[1]["purl"]+rows[1]["ecosystem"]+rows[1]["paths"] != "" {
			t.Errorf("basic scanning reports no kind of package: %v", rows[1])
		}
	}
}
