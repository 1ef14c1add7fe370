package feed

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/render/sarif"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/feedrules"
	"ecr-continuous-scan/test/rendertest"
)

var here = Links{Self: rendertest.API + "/findings/fc41dda8-f15e-4826-8908-11603b01dac4"}

// The golden files contain each variant in both formats.
func TestFeeds(t *testing.T) {
	around := Links{Self: here.Self + "?page=2", First: here.Self, Previous: here.Self, Next: here.Self + "?page=3", Last: here.Self + "?page=3"}
	for name, variant := range map[string]struct {
		listing func() report.Listing
		links   Links
	}{
		"feed":                    {rendertest.Sample, here},
		"feed-by-vulnerability":   {rendertest.ByVulnerability, Links{Self: here.Self + "?by=vulnerability&severity=LOW"}},
		"feed-all":                {rendertest.AllConfigs, Links{Self: rendertest.API + "/findings/all", Summary: rendertest.API + "/summary"}},
		"feed-page-2":             {rendertest.SecondPage, around},
		"feed-suppressed":         {func() report.Listing { return rendertest.WithSuppressed("") }, here},
		"feed-suppressed-include": {func() report.Listing { return rendertest.WithSuppressed(scan.IncludeSuppressed) }, Links{Self: here.Self + "?suppressed=include"}},
		"feed-suppressed-only":    {func() report.Listing { return rendertest.WithSuppressed(scan.OnlySuppressed) }, Links{Self: here.Self + "?suppressed=only"}},
	} {
		t.Run(name, func(t *testing.T) {
			atom, err := Atom(variant.listing(), variant.links)
			if err != nil {
				t.Fatal(err)
			}
			rendertest.Golden(t, name+".xml", atom)
			parsed := feedrules.Atom(t, atom)
			if again, _ := Atom(variant.listing(), variant.links); !bytes.Equal(atom, again) {
				t.Error("two calls with the same findings returned different bytes")
			}
			asJSON, err := JSON(variant.listing(), variant.links)
			if err != nil {
				t.Fatal(err)
			}
			rendertest.Golden(t, name+".json", asJSON)
			items := feedrules.JSON(t, asJSON).Items
			if len(items) != len(parsed.Entries) {
				t.Fatalf("%d entries as Atom, %d as JSON", len(parsed.Entries), len(items))
			}
			for i, e := range parsed.Entries {
				if items[i].ID != e.ID || items[i].Title != e.Title || strings.TrimSpace(items[i].ContentHTML) != e.Content.Value {
					t.Errorf("Atom and JSON Feed differ: %+v and %+v", e, items[i])
				}
			}
		})
	}
}

// idsOf returns the ids of the entries of a listing. They must be the same in Atom and JSON Feed.
func idsOf(t *testing.T, l report.Listing, links Links) []string {
	t.Helper()
	atom, err := Atom(l, links)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := JSON(l, links)
	if err != nil {
		t.Fatal(err)
	}
	var inAtom, inJSON []string
	for _, e := range feedrules.Atom(t, atom).Entries {
		inAtom = append(inAtom, e.ID)
	}
	for _, item := range feedrules.JSON(t, asJSON).Items {
		inJSON = append(inJSON, item.ID)
	}
	if !slices.Equal(inAtom, inJSON) {
		t.Errorf("ids %v as Atom, %v as JSON", inAtom, inJSON)
	}
	return inAtom
}

// Some feed readers keep an entry with one id only in one of their feeds. So only the plain feeds of configs share ids.
func TestIDsOfEntriesPerFeed(t *testing.T) {
	with := func(l report.Listing, change func(*report.Listing)) report.Listing { change(&l); return l }
	filtered := func(l *report.Listing) { l.View.Filter.Severity = scan.Low }
	all := func(l *report.Listing) { l.Config = nil }
	feeds := map[string]report.Listing{
		"plain": rendertest.Sample(), "filtered": with(rendertest.Sample(), filtered), "by vulnerability": with(rendertest.Sample(), func(l *report.Listing) { l.View.ByVulnerability = true }),
		"all": with(rendertest.Sample(), all), "all, filtered": with(with(rendertest.Sample(), all), filtered),
		"changes": everyChange(), "changes, filtered": with(everyChange(), filtered), "all changes": with(everyChange(), all),
	}
	feedOf := make(map[string]string)
	for name, l := range feeds {
		ids := idsOf(t, l, here)
		for _, id := range ids {
			if feedOf[id] != "" {
				t.Errorf("%s has the id %s, as %s", name, id, feedOf[id])
			}
			feedOf[id] = name
		}
		l.View.Page, l.View.Order = 2, report.BySeverity
		if again := idsOf(t, l, Links{Self: here.Self + "?key=other"}); !slices.Equal(again, ids) {
			t.Errorf("%s: with another key and page the ids are %v, not %v", name, again, ids)
		}
	}
	other := rendertest.Sample()
	config := *other.Config
	config.ID = "another config"
	other.Config = &config
	if ids := idsOf(t, other, here); !slices.Equal(ids, idsOf(t, rendertest.Sample(), here)) {
		t.Errorf("the ids of a config depend on its scan ID: %v", ids)
	}
}

// The id in the data of a finding is the same in all feeds and in all formats.
func TestIDsOfFindings(t *testing.T) {
	want := idsOf(t, rendertest.Sample(), here)
	l := rendertest.Sample()
	l.View.Filter.Severity, l.Config = scan.Low, nil
	asJSON, err := JSON(l, here)
	if err != nil {
		t.Fatal(err)
	}
	for i, item := range feedrules.JSON(t, asJSON).Items {
		if item.Finding.ID != want[i] || item.ID == want[i] {
			t.Errorf("item %s is about the finding %s, want %s", item.ID, item.Finding.ID, want[i])
		}
	}
	table, err := render.FindingsCSV(l, render.Programs)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range feedrules.CSV(t, table)[:len(want)] {
		if row["id"] != want[i] {
			t.Errorf("row %d has the id %s, want %s", i, row["id"], want[i])
		}
	}
}

// notWatchedIn returns a report without images of a repository with n untagged images.
func notWatchedIn(c scan.Config, n int) report.Report {
	r := rendertest.ReportOf(c)
	r.NotWatched = &n
	return r
}

func TestFeedsWithoutEntries(t *testing.T) {
	c := rendertest.Config("test/gone")
	filtered := rendertest.Listing(rendertest.ReportOf(c))
	filtered.View.Filter.Tags = []string{"x"}
	none := report.Listing{View: report.View{Filter: scan.Filter{Tags: []string{"x"}}}, Reports: []report.Report{rendertest.ReportOf(c)}}
	for name, test := range map[string]struct {
		listing  report.Listing
		subtitle string
	}{
		"clean":       {rendertest.Listing(rendertest.ReportOf(c, rendertest.Image(c, "1", scan.Result{State: scan.Completed}))), "Details of the image scan findings across the tags: [1]"},
		"not scanned": {rendertest.Listing(rendertest.ReportOf(c, rendertest.Image(c, "1", scan.Result{State: scan.NotScanned}))), "Details of the image scan findings across the tags: [1]. Without a result: [1] NOT SCANNED"},
		"untagged images": {
			report.Listing{Reports: []report.Report{
				rendertest.ReportOf(rendertest.Config("test/b", "x")), notWatchedIn(c, 411), notWatchedIn(c, 411),
				notWatchedIn(rendertest.Config("test/b"), 1), notWatchedIn(rendertest.Config("test/c"), 0),
			}}, "Details of the image scan findings across the repositories: [test/b] [test/gone] [test/c]. Without a result: " +
				"[test/b in us-west-2] NO IMAGES, [test/gone in us-west-2] NO IMAGES, [test/gone in us-west-2] NO IMAGES, " +
				"[test/b in us-west-2] NO IMAGES, [test/c in us-west-2] NO IMAGES. 412 untagged images are not watched",
		},
		"one untagged image": {
			rendertest.Listing(notWatchedIn(c, 1)), "Details of the image scan findings. Without a result: NO IMAGES. 1 untagged image is not watched",
		},
		"older and unused images": {
			rendertest.Listing(report.Report{Config: c, Repository: c.Repo(), NotWatched: new(2), Older: 95, Unused: 1}), "Details of the image scan findings. Without a result: NO IMAGES. 2 untagged, 95 older and 1 unused images are not watched",
		},
		"another config watches them": {
			report.Listing{Reports: []report.Report{{Config: c, Repository: c.Repo(), NotWatched: new(411), Older: 3}, {Config: scan.Config{Repository: c.Repository, Region: c.Region, Registry: c.Registry, Untagged: true}, Repository: c.Repo()}}},
			"Details of the image scan findings across the repositories: [test/gone]. Without a result: [test/gone in us-west-2] NO IMAGES, [test/gone in us-west-2] NO IMAGES",
		},
		"repository gone": {rendertest.Listing(rendertest.Failed(rendertest.Config("test/gone", "a", "b"), &scan.Error{Code: scan.RepositoryNotFound})), "Details of the image scan findings across the tags: [a] [b]. Without a result: REPOSITORY NOT FOUND"},
		"no images":       {rendertest.Listing(rendertest.ReportOf(c)), "Details of the image scan findings. Without a result: NO IMAGES"},
		"no such tag":     {filtered, "Details of the image scan findings. Without a result: NO IMAGES with such a tag"},
		"none of all":     {none, "Details of the image scan findings across the repositories: [test/gone]. No image matches the filter"},
	} {
		feed, err := Atom(test.listing, Links{})
		if err != nil {
			t.Fatal(err)
		}
		parsed := feedrules.Atom(t, feed)
		if parsed.Subtitle != test.subtitle || len(parsed.Entries) != 0 || parsed.UpdatedParsed.Unix() != c.Created {
			t.Errorf("%s: subtitle %q, %d entries, updated %s", name, parsed.Subtitle, len(parsed.Entries), parsed.Updated)
		}
		feed, err = JSON(test.listing, Links{})
		if err != nil {
			t.Fatal(err)
		}
		if parsed := feedrules.JSON(t, feed); len(parsed.Items) != 0 || parsed.Description != test.subtitle {
			t.Errorf("%s as JSON: %+v", name, parsed)
		}
	}
}

func TestFeedOfNoConfig(t *testing.T) {
	feed, err := Atom(report.Listing{}, Links{})
	if err != nil {
		t.Fatal(err)
	}
	feedrules.Atom(t, feed)
}

// The number of suppressed findings is not known for a filter of findings, so the subtitle says what it counts.
func TestSubtitleWithSuppressedFindings(t *testing.T) {
	for want, f := range map[string]scan.Filter{
		". Suppressed findings: 2":                         {Suppressed: scan.OnlySuppressed, Tags: []string{"latest"}},
		". Suppressed findings of these images, in all: 2": {Severity: scan.Critical},
	} {
		l := rendertest.WithSuppressed("")
		l.View.Filter = f
		if got := subtitle(l); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSubtitleOfPages(t *testing.T) {
	for name, test := range map[string]struct {
		page, total, entries int
		want                 string
	}{
		"all":       {1, 500, 500, ""},
		"first":     {1, 2000, 500, ". Lists the 500 most severe of 2000 findings"},
		"last":      {3, 1001, 1, ". Lists findings 1001 to 1001 of 1001, most severe first"},
		"too many":  {1, 20001, 500, ". Lists the 500 most severe of 20001 findings; only the first 20000 are listed"},
		"last page": {40, 20001, 500, ". Lists findings 19501 to 20000 of 20001, most severe first; only the first 20000 are listed"},
	} {
		l := rendertest.Listing(rendertest.ReportOf(rendertest.Config("test/ubuntu")), make([]report.Entry, test.entries)...)
		l.View.Page, l.Total = test.page, test.total
		if got := pageRange(l); got != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// All entries of a page with very long texts are written, with shorter texts, within the maximum size.
func TestSizeOfFeeds(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	for _, test := range []struct {
		name, text string
		by         bool
		write      func(report.Listing, Links) ([]byte, error)
		entry      string // occurs once in each entry
	}{
		{"markup", "<&>", false, Atom, "<entry>"},
		{"quotes, by vulnerability", `"`, true, Atom, "<entry>"},
		{"backslashes as JSON", `\`, true, JSON, `"date_modified": `},
	} {
		l := rendertest.FullPage(strings.Repeat(test.text, 600/len(test.text)))
		l.View.ByVulnerability = test.by
		feed, err := test.write(l, here)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(feed, []byte(test.entry)); n != report.PageSize || rendertest.JSONSize(feed) > render.MaxSent {
			t.Errorf("%s: %d entries, %d bytes as sent", test.name, n, rendertest.JSONSize(feed))
		}
	}
}

func TestMaliciousTextsAreEscaped(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	f := scan.Finding{
		Name: "CVE-1\n\x1b[31m<i>", Severity: "HIGH\u202e", Package: "a\tb", Score: "\ufeff9", Vector: "<script>alert(1)</script>",
		URL:         "https://example.org/ü?a=\u202e\u2066&b=" + strings.Repeat("é", 10),
		Description: "One <script>alert(1)</script>\x00 & \"two\"\u202e\u2066 🏳️‍🌈.\n\nSecond\nparagraph.\u2029\u2029" + long,
	}
	feed, err := Atom(rendertest.Listing(rendertest.ReportOf(rendertest.Config("test/ubuntu")), rendertest.Found("16.04\r\n", f)), here)
	if err != nil {
		t.Fatal(err)
	}
	e := feedrules.Atom(t, feed).Entries[0]
	if want := "[HIGH] in image test/ubuntu:16.04 found CVE-1 [31m<i>"; e.Title != want {
		t.Errorf("title %q, want %q", e.Title, want)
	}
	if want := "https://example.org/%C3%BC?a=%E2%80%AE%E2%81%A6&b=" + strings.Repeat("%C3%A9", 10); e.Links[0].Href != want {
		t.Errorf("link %q, want %q", e.Links[0].Href, want)
	}
	want := `<p>One &lt;script&gt;alert(1)&lt;/script&gt; &amp; "two" 🏳️‍🌈.</p> <p>Second
paragraph.</p> <p>` + long[:4000]
	if !strings.HasPrefix(e.Content.Value, want) || !strings.Contains(e.Content.Value, `…</p> <table><tr><th>Severity</th> <td>HIGH</td></tr> <tr><th>CVSS score</th> <td>9 &lt;script&gt;`) {
		t.Errorf("content %.400q", e.Content.Value)
	}
}

// For all texts of a scanner or a registry, the feeds and tables are well-formed and contain no active content.
// Many programs do not decode references in HTML. So there are no others than those for markup.
func TestEscapes(t *testing.T) {
	f := scan.Finding{Name: "CVE-1", Package: "libstdc++", URL: `https://example.org/?a='1'&b="<2>"`, Description: `It's "a+b" <b>&amp;`}
	feed, err := Atom(rendertest.Listing(rendertest.ReportOf(rendertest.Config("test/ubuntu")), rendertest.Found("1", f)), here)
	if err != nil {
		t.Fatal(err)
	}
	e := feedrules.Atom(t, feed).Entries[0]
	for _, want := range []string{`<p>It's "a+b" &lt;b&gt;&amp;amp;</p>`, `<td>libstdc++</td>`, `<a href="https://example.org/?a='1'&amp;b=%22%3C2%3E%22">`} {
		if !strings.Contains(e.Content.Value, want) {
			t.Errorf("no %s in %s", want, e.Content.Value)
		}
	}
	if want := `: libstdc++. It's "a+b" &lt;b&gt;&amp;amp;`; e.Summary != want {
		t.Errorf("summary %s, want %s", e.Summary, want)
	}
}

// The most important facts are at the beginning of the summary.
func TestSummaries(t *testing.T) {
	full := scan.Finding{Name: "CVE-1", Severity: scan.High, Package: "openssl", Versions: []string{"1.1", "1.2"}, FixedIn: []string{"1.3"}, Description: "Text."}
	many := full
	many.Package, many.Description = strings.Repeat("package, ", 1000), strings.Repeat("x", 5000)
	for name, test := range map[string]struct {
		finding scan.Finding
		want    string
	}{
		"all facts": {full, "HIGH: openssl 1.1, 1.2, fixed in 1.3. Text."},
		"basic":     {scan.Finding{Severity: scan.Low, Package: "bash", Versions: []string{"5"}, Description: "Text."}, "LOW: bash 5. Text."},
		"few facts": {scan.Finding{Severity: scan.Undefined}, "UNDEFINED. The scanner gives no description."},
		"long list": {many, "HIGH: " + strings.TrimSpace(strings.Repeat("package, ", 12))[:99] + "… 1.1, 1.2, fixed in 1.3. xxx"},
	} {
		if got := summaryOf(&test.finding, test.finding.Severity, descriptionOf(&test.finding, 4000), 4000); !strings.HasPrefix(got, test.want) || len(got) > render.MaxSummary+10 {
			t.Errorf("%s: %.200q, want %q", name, got, test.want)
		}
	}
}

// Mail programs break lines after about 78 characters. Rows of tables are shorter.
func TestRowsFitInMails(t *testing.T) {
	for name, l := range map[string]report.Listing{"findings": rendertest.Sample(), "grouped": rendertest.ByVulnerability(), "changes": everyChange()} {
		feed, err := Atom(l, here)
		if err != nil {
			t.Fatal(err)
		}
		content := string(feed)
		for _, e := range feedrules.Atom(t, feed).Entries {
			content += e.Content.Value
			for cells := range strings.SplitSeq(e.Content.Value, "<tr>") {
				cells, _, isRow := strings.Cut(cells, "</tr>")
				if line := strings.NewReplacer("<th>", "", "</th> <td>", " | ", "</td>", "  ").Replace(cells); isRow && len(line) > 78 {
					t.Errorf("%s: a row of %d characters: %s", name, len(line), line)
				}
			}
		}
		if name == "findings" && !strings.Contains(content, "</table> <p>Digest: sha256:") {
			t.Errorf("no digest after the table: %s", content)
		}
	}
}

// A resolved finding is not in the category of its severity.
func TestCategoriesOfResolvedFindings(t *testing.T) {
	l := rendertest.Sample()
	l.Entries[0].Resolved = rendertest.Scanned.Add(time.Hour)
	if e := newEntry(newSource(l, here, 4000), &l.Entries[0]); !slices.Equal(e.categories, []string{"resolved", "latest", "libssl<3>", "openssl"}) {
		t.Errorf("categories %q", e.categories)
	}
	fixed := everyChange().Changes[1]
	if e := newChangeEntry(newSource(everyChange(), here, 4000), fixed); !slices.Equal(e.categories, []string{"FIXED", "resolved", "apparmor", "16.04"}) {
		t.Errorf("categories %q", e.categories)
	}
}

func FuzzFeed(f *testing.F) {
	f.Add("CVE-2016-1585", "apparmor", "MEDIUM", "text", "http://example.org/", "16.04", int64(1569929237), int64(0))
	f.Add("<script>alert(1)</script>", "]]>", "\x00", "\x1b[31m\u202e\ufffe</content>&#0;🙂", "javascript:alert(1)", "\xff\xfe", int64(-1), int64(1))
	f.Add("", "", "", strings.Repeat("x ", 50), "http://a/ b\"'<>", "a:b", int64(1)<<40, int64(5))
	f.Fuzz(func(t *testing.T, name, pkg, severity, text, link, tag string, at, added int64) {
		finding := scan.Finding{Name: name, Package: pkg, Severity: scan.ParseSeverity(severity), Description: text, Remediation: text, Score: text, FixedIn: []string{text, pkg}}
		if strings.HasPrefix(link, "http://a/") {
			finding.URL = (&url.URL{Scheme: "http", Host: "a", Path: link, RawQuery: text}).String()
		}
		one, other := rendertest.Found(tag, finding), rendertest.Found(tag, finding)
		other.Finding.Package = "2" + pkg // SARIF cuts a long name at its end
		one.Updated, other.Updated = time.Unix(at%(1<<37), 0), time.Unix(at%(1<<37), 0)
		one.Published, other.Published = one.Updated, other.Updated
		c := rendertest.Config("test/ubuntu")
		l := rendertest.Listing(rendertest.ReportOf(c, rendertest.Image(c, tag, scan.Result{State: scan.Failed, Reason: text})), one, other)
		l.View.ByVulnerability = added%2 == 0
		if added%3 == 0 {
			l.Config = nil
		}
		atom, err := Atom(l, here)
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := JSON(l, here)
		if err != nil {
			t.Fatal(err)
		}
		if n, m := len(feedrules.Atom(t, atom).Entries), len(feedrules.JSON(t, asJSON).Items); n != 2 || m != 2 {
			t.Errorf("%d entries as Atom, %d as JSON", n, m)
		}
		table, err := render.FindingsCSV(l, render.Spreadsheet)
		if err != nil {
			t.Fatal(err)
		}
		log, _, err := sarif.Log(l, 1, sarif.About{})
		if err != nil {
			t.Fatal(err)
		}
		if n, m := len(feedrules.SpreadsheetCSV(t, table)), len(feedrules.SARIFRules(t, log).Results); n != 3 || m != 3 {
			t.Errorf("%d rows, one of them of an image without a result, and %d results, one of them of this image", n, m)
		}
	})
}

// The title names the package of a finding if the history says so. An entry that is over because the severity rose says which severity it has now.
func TestTitlesOfFindings(t *testing.T) {
	f := scan.Finding{Name: "CVE-1", Severity: scan.Medium, Package: "ssl", NamesPackage: true}
	of := func(change func(*report.Entry)) string {
		e := rendertest.Found("1", f)
		change(&e)
		return newEntry(newSource(rendertest.Listing(rendertest.ReportOf(rendertest.Config("test/ubuntu"))), here, 4000), &e).title
	}
	resolved := func(e *report.Entry) { e.Resolved = rendertest.Scanned }
	for want, got := range map[string]string{
		"[MEDIUM] in image test/ubuntu:1 found CVE-1 in ssl":            of(func(*report.Entry) {}),
		"[MEDIUM] in image test/ubuntu:1 found CVE-1":                   of(func(e *report.Entry) { e.Finding.NamesPackage = false }),
		"[RESOLVED] [MEDIUM] in image test/ubuntu:1 found CVE-1 in ssl": of(resolved),
		"[RESOLVED] [MEDIUM] in image test/ubuntu:1 found CVE-1 in ssl (now HIGH)": of(func(e *report.Entry) {
			resolved(e)
			e.RaisedTo = scan.High
		}),
	} {
		if got != want {
			t.Errorf("title %q, want %q", got, want)
		}
	}
	for kind, want := range map[history.EventKind]string{
		history.New: "[NEW] [HIGH] in image test/ubuntu:16.04 found CVE-1 in ssl", history.Fixed: "[FIXED] [HIGH] in image test/ubuntu:16.04: CVE-1 in ssl is no longer found",
		history.Raised:       "[SEVERITY RAISED] [HIGH] in image test/ubuntu:16.04 found CVE-1 in ssl, was LOW",
		history.FixAvailable: "[FIX AVAILABLE] [HIGH] in image test/ubuntu:16.04 for CVE-1 in ssl",
	} {
		c := everyChange().Changes[0]
		c.Kind, c.Finding, c.From, c.To = kind, f, scan.Low, scan.High
		if got := newChangeEntry(newSource(everyChange(), here, 4000), c).title; got != want {
			t.Errorf("title %q, want %q", got, want)
		}
	}
}
