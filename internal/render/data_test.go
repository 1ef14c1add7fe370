package render

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/feedrules"
)

func feedOf(id string) string { return api + "/findings/" + id + "?key=k%26" }

// overview has an image in each state, and configs that can't be read.
func overview() scan.Overview {
	ubuntu, hard := config("test/ubuntu", "16.04", "latest"), config("test/hard")
	now := scanned.Add(100 * time.Hour)
	changed := image(ubuntu, "latest", scan.Result{
		State: scan.Completed, CompletedAt: now.Add(-90 * time.Minute), Counts: scan.Counts{scan.High: 7, scan.Low: 2, "BRAND NEW": 1},
	})
	changed.KnownSince, changed.Changes = scanned, []scan.CountChange{
		{At: now.Add(-50 * time.Hour), New: scan.Counts{scan.High: 5}},
		{At: now.Add(-90 * time.Minute), New: scan.Counts{scan.High: 2, scan.Low: 1}, Fixed: scan.Counts{scan.Medium: 3}},
	}
	same := image(ubuntu, "16.04", scan.Result{State: scan.Completed, CompletedAt: scanned, Counts: scan.Counts{}})
	same.KnownSince, same.AsOf, same.AsOfReason = scanned, now.Add(-30*time.Hour), "throttled by ECR"
	child := image(hard, "multi", scan.Result{State: scan.Completed, CompletedAt: now.Add(-25 * time.Hour), Counts: scan.Counts{scan.Critical: 1}})
	child.Image.Platform = "linux/arm64"
	missing := image(hard, "gone", scan.Result{State: scan.NoSuchTag})
	missing.Image.Digest = ""
	return scan.Overview{Since: now.Add(-scan.DefaultSince), Now: now, Reports: []scan.Report{
		report(ubuntu, same, changed),
		report(hard, image(hard, "failed", scan.Result{State: scan.Failed, Reason: "UnsupportedImageError: \x1b[31m\n<b>"}), missing, child, image(hard, "odd", scan.Result{})),
		report(config("test/empty")),
		{Config: config("test/gone"), Err: &scan.Error{Code: scan.RepositoryNotFound, Message: "repository not found"}},
		{Config: config("test/dead"), Err: &scan.Error{Code: scan.Internal, Err: fmt.Errorf("secret cause")}},
	}}
}

func TestSummaryData(t *testing.T) {
	for name, filter := range map[string]scan.Filter{"summary": {}, "summary-filtered": {Severity: scan.High, Tags: []string{"latest", "multi"}}} {
		asJSON, err := SummaryJSON(overview(), filter, feedOf)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", asJSON)
		table, err := SummaryCSV(overview(), filter, feedOf)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".csv", table)
		feedrules.CSV(t, table)
	}
	none, err := SummaryJSON(scan.Overview{Now: scanned, Since: scanned}, scan.Filter{}, func(string) string { return "" })
	if want := `{
  "generated": "2019-10-01T11:27:17Z",
  "since": "2019-10-01T11:27:17Z",
  "configs": []
}
`; err != nil || string(none) != want {
		t.Errorf("without configs: %s, %v", none, err)
	}
}

// parsed is what a program reads of the summary.
type parsed struct {
	Configs []struct {
		Images []struct {
			Tag, State string
			Counts     map[string]int
		}
	}
}

// What isn't known is null or empty in every format, and never zero.
func TestOnlyCompletedHasCountsInData(t *testing.T) {
	c := config("test/hard")
	for _, state := range []scan.State{scan.NotScanned, scan.InProgress, scan.Failed, scan.NoSuchTag, scan.Unread, scan.Refused, "", "unheard of"} {
		one := image(c, "x", scan.Result{State: state, Counts: scan.Counts{}})
		one.KnownSince = scanned
		o := scan.Overview{Now: scanned, Reports: []scan.Report{report(c, one)}}
		b, err := SummaryJSON(o, scan.Filter{}, feedOf)
		if err != nil {
			t.Fatal(err)
		}
		var p parsed
		if err := json.Unmarshal(b, &p); err != nil || p.Configs[0].Images[0].Counts != nil || p.Configs[0].Images[0].State == "" || p.Configs[0].Images[0].State == "completed" {
			t.Errorf("state %q: %s, %v", state, b, err)
		}
		table, err := SummaryCSV(o, scan.Filter{}, feedOf)
		if err != nil {
			t.Fatal(err)
		}
		row := feedrules.CSV(t, table)[0]
		for _, column := range []string{"CRITICAL", "UNTRIAGED", "OTHER", "new", "fixed"} {
			if row[column] != "" {
				t.Errorf("state %q: %s is %q", state, column, row[column])
			}
		}
		l := listing(report(c, image(c, "x", scan.Result{State: state})))
		for _, text := range inEachFormat(t, l) {
			if !strings.Contains(text, string(cmp.Or(state, scan.NotScanned))) {
				t.Errorf("state %q is not in %s", state, text)
			}
		}
	}
}

// inEachFormat writes a listing as data, by the name of the format, and holds it to the rules.
func inEachFormat(t *testing.T, l scan.Listing) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for name, write := range map[string]func(scan.Listing) ([]byte, error){"csv": FindingsCSV, "json": linked(JSONFeed), "sarif": SARIF} {
		b, err := write(l)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(b)
	}
	feedrules.CSV(t, []byte(texts["csv"]))
	feedrules.JSON(t, []byte(texts["json"]))
	feedrules.SARIF(t, []byte(texts["sarif"]))
	return texts
}

// resolved is the sample with a finding that is gone.
func resolved() scan.Listing {
	l := sample()
	l.Entries[1].Resolved = scanned.Add(3 * time.Hour)
	return l
}

func TestFindingsData(t *testing.T) {
	for name, l := range map[string]scan.Listing{"feed": sample(), "feed-by-vulnerability": byVulnerability(), "feed-all": ofAll(), "feed-page-2": secondPage(), "feed-resolved": resolved()} {
		texts := inEachFormat(t, l)
		golden(t, name+".csv", []byte(texts["csv"]))
		golden(t, name+".sarif", []byte(texts["sarif"]))
	}
	texts := inEachFormat(t, resolved())
	if run := feedrules.SARIF(t, []byte(texts["sarif"])); len(run.Results) != 2 {
		t.Errorf("%d results, one of which is resolved", len(run.Results))
	}
}

// A table names what has no result once, on its first page.
func TestUnreadIsNamedOnce(t *testing.T) {
	l := secondPage()
	second, err := FindingsCSV(l)
	if err != nil {
		t.Fatal(err)
	}
	l.View.Page = 1
	first, err := FindingsCSV(l)
	if err != nil {
		t.Fatal(err)
	}
	if n, m := bytes.Count(first, []byte("not scanned,archived")), bytes.Count(second, []byte("not scanned")); n != 1 || m != 0 {
		t.Errorf("%d times on the first page, %d on the second", n, m)
	}
}

// However many images have no result, what is said of them is bounded.
func TestUnreadIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	c := config("test/" + strings.Repeat("r", 250))
	var items []scan.Item
	for i := range 10_000 {
		items = append(items, image(c, fmt.Sprint(strings.Repeat("t", 120), i), scan.Result{State: scan.Failed, Reason: strings.Repeat(`"`, 300)}))
	}
	texts := inEachFormat(t, listing(report(c, items...)))
	for name, text := range texts {
		if n := sentSize([]byte(text)); n > maxSent || !strings.Contains(text, "9000") {
			t.Errorf("%s: %d bytes as sent", name, n)
		}
	}
}

// 10,000 images with long names, of which much is known, fit into an answer in each format.
func TestSummaryDataAtSize(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	o := scan.Overview{Now: scanned.Add(time.Hour), Since: scanned.Add(-time.Hour)}
	counts := scan.Counts{}
	for i, s := range scan.Severities() {
		counts[s] = 100 + i
	}
	for r := range 10 {
		c := config(fmt.Sprintf("some-team/some-application-%d", r))
		one := report(c)
		for i := range 1000 {
			item := image(c, fmt.Sprintf("release-2026-11-25-%08d", i), scan.Result{State: scan.Completed, CompletedAt: scanned, Counts: counts})
			item.KnownSince = scanned.Add(-time.Hour)
			item.Changes = []scan.CountChange{{At: scanned, New: scan.Counts{scan.High: 2}, Fixed: scan.Counts{scan.Low: 1}}}
			one.Images = append(one.Images, item)
		}
		o.Reports = append(o.Reports, one)
	}
	for name, write := range map[string]func(scan.Overview, scan.Filter, FeedOf) ([]byte, error){"JSON": SummaryJSON, "CSV": SummaryCSV} {
		b, err := write(o, scan.Filter{}, feedOf)
		if err != nil || sentSize(b) > maxSent {
			t.Errorf("%s: %d bytes as sent, %v", name, sentSize(b), err)
		}
	}
}

func TestCells(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "",
		"openssl":                  "openssl",
		"a-b=c":                    "a-b=c",
		`=HYPERLINK("http://x")`:   `'=HYPERLINK("http://x")`,
		"+1":                       "'+1",
		"-1":                       "'-1",
		"@SUM(1)":                  "'@SUM(1)",
		"  =1":                     "  '=1",
		"\t=1":                     "\t'=1",
		"＝1":                       "'＝1",
		"harmless; =1;+2":          "harmless; '=1;'+2",
		"a, =1":                    "a, =1", // quoted, and so one cell
		`","=1`:                    `","=1`,
		"CVSS:3.1/AV:N;-":          "CVSS:3.1/AV:N;'-",
		"2019-10-01T11:27:17Z":     "2019-10-01T11:27:17Z",
		"https://example.org/?a=b": "https://example.org/?a=b",
	} {
		if got := cell(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Hostile texts are inert in every format.
func TestHostileData(t *testing.T) {
	for _, text := range []string{
		`=cmd|' /C calc'!A0`, "+1+1", "@x;=y", "[click](javascript:alert(1))", "{0} [a](http://x) {{1}}", "<script>alert(1)</script>",
		"a\r\n=1,2\"", "\x1b[31m\u202e\ufeff", "../../etc/passwd?x#y", "\xff\xfe",
	} {
		f := scan.Finding{
			Name: text, Package: text, Severity: scan.ParseSeverity(text), Description: text, Score: text, Vector: text, Exploit: text, FixAvailable: text,
			Versions: []string{text, text}, FixedIn: []string{text}, Remediation: text,
		}
		one := found(text, f)
		one.Images[0].Platform = text
		c := config("test/ubuntu")
		l := listing(report(c, image(c, text, scan.Result{State: scan.Failed, Reason: text})), one)
		inEachFormat(t, l)
		l.View.ByVulnerability = true
		inEachFormat(t, l)
		o := scan.Overview{Now: scanned, Reports: []scan.Report{report(c,
			image(c, text, scan.Result{State: scan.Failed, Reason: text}), image(c, text, scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Severity(text): 1}}))}}
		table, err := SummaryCSV(o, scan.Filter{}, feedOf)
		if err != nil {
			t.Fatal(err)
		}
		if rows := feedrules.CSV(t, table); rows[1]["OTHER"] != "1" {
			t.Errorf("a severity nobody has heard of is in no column: %v", rows[1])
		}
		asJSON, err := SummaryJSON(o, scan.Filter{}, feedOf)
		if err != nil || !json.Valid(asJSON) || bytes.ContainsAny(asJSON, "\x1b\u202e") {
			t.Errorf("%q, %v", asJSON, err)
		}
	}
}

func TestSecuritySeverity(t *testing.T) {
	for _, test := range []struct {
		severity scan.Severity
		score    string
		want     string
	}{
		{scan.Medium, "9.8", "9.8"}, {scan.Medium, "", "5.5"}, {scan.Critical, "NaN", "9.5"}, {scan.High, "11", "8.0"}, {scan.Low, "-1", "2.0"},
		{scan.Informational, "", ""}, {scan.Untriaged, "0", "0.0"}, {"BRAND NEW", "", ""},
	} {
		d := newFindingData(sample(), found("x", scan.Finding{Severity: test.severity, Score: test.score}), 100)
		if got := securitySeverity(d); got != test.want {
			t.Errorf("%s with score %q: %q, want %q", test.severity, test.score, got, test.want)
		}
	}
}

// One vulnerability in two packages is one rule, with the worst score.
func TestRulesAreMerged(t *testing.T) {
	one, other := found("x", scan.Finding{Name: "CVE-1", Package: "a", Score: "4.0"}), found("x", scan.Finding{Name: "CVE-1", Package: "b", Score: "10.0"})
	b, err := SARIF(listing(report(config("test/ubuntu")), one, other))
	if err != nil {
		t.Fatal(err)
	}
	run := feedrules.SARIF(t, b)
	if rules := run.Tool.Driver.Rules; len(run.Results) != 2 || len(rules) != 1 || rules[0].Properties.Properties["security-severity"] != "10.0" {
		t.Errorf("%s", b)
	}
}
