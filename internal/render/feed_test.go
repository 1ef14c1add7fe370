package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/feedrules"
)

const api = "https://a1.execute-api.us-west-2.amazonaws.com/Prod"

var (
	scanned = time.Date(2019, 10, 1, 11, 27, 17, 0, time.UTC)
	here    = Links{Self: api + "/findings/fc41dda8-f15e-4826-8908-11603b01dac4"}
)

func found(tag string, f scan.Finding) scan.Entry {
	c := config("test/ubuntu")
	one := image(c, tag, scan.Result{}).Image
	return scan.Entry{Finding: f, Images: []*scan.Image{&one}, Count: 1, Published: scanned, Updated: scanned}
}

// listing is that of one config.
func listing(r scan.Report, entries ...scan.Entry) scan.Listing {
	return scan.Listing{Config: &r.Config, Reports: []scan.Report{r}, Entries: entries, Total: len(entries)}
}

// sample is a listing with a bit of everything.
func sample() scan.Listing {
	c := config("test/ubuntu", "16.04", "latest", "old")
	enhanced := found("latest", scan.Finding{
		Name: "CVE-2021-1", Package: "openssl", Versions: []string{"1.1", "1.2"}, Severity: scan.Critical, Score: "9.8",
		Vector: "CVSS:3.1/AV:N", FixedIn: []string{"1.3"}, FixAvailable: "YES", Exploit: "NO", URL: "https://example.org/CVE-2021-1?a=b&c=d",
		Description: "Bad <b>things</b> & more.", Remediation: "Upgrade.", FirstSeen: scanned.Add(time.Hour),
	})
	enhanced.Published, enhanced.Updated = scanned.Add(time.Hour), scanned.Add(2*time.Hour)
	return listing(
		report(c,
			image(c, "16.04", scan.Result{State: scan.Completed}), image(c, "latest", scan.Result{State: scan.Completed}),
			image(c, "old", scan.Result{State: scan.NotScanned, Reason: "archived"})),
		enhanced,
		found("16.04", scan.Finding{
			Name: "CVE-2016-1585", Package: "apparmor", Versions: []string{"2.10"}, Severity: scan.Medium, URL: "http://people.ubuntu.com/~ubuntu-security/cve/CVE-2016-1585",
			Description: "In all versions of AppArmor mount rules are accidentally widened when compiled.", Score: "3.9", Vector: "AV:L/AC:L",
		}),
		found("16.04", scan.Finding{Name: "unnamed finding", Severity: scan.Undefined}))
}

// byVulnerability is the sample with one vulnerability in several images.
func byVulnerability() scan.Listing {
	l := sample()
	l.View = scan.View{ByVulnerability: true, Filter: scan.Filter{Severity: scan.Low, Tags: []string{"16.04", "latest"}, Packages: []string{"apparmor", "openssl"}, Names: []string{"CVE-2021-1"}, Fixable: true}}
	l.Entries[0].Images = append(l.Entries[0].Images, l.Entries[1].Images[0])
	l.Entries[0].Count = 7
	return l
}

// ofAll is a listing of all configs, two of which watch the same image.
func ofAll() scan.Listing {
	l := sample()
	l.Config = nil
	hard := config("test/hard")
	l.Reports = append(l.Reports,
		l.Reports[0], report(hard, image(hard, "x", scan.Result{State: scan.Failed, Reason: "why"})), report(config("test/empty")),
		scan.Report{Config: config("test/gone"), Err: &scan.Error{Code: scan.RepositoryNotFound}},
		scan.Report{Config: config("test/dead"), Err: &scan.Error{Code: scan.Unavailable, Message: "no answer in time"}})
	return l
}

// secondPage is the second page of a list of three.
func secondPage() scan.Listing {
	l := sample()
	l.View.Page, l.Total = 2, 2*scan.PageSize+1
	return l
}

// Each variant, whole, in both formats.
func TestFeeds(t *testing.T) {
	around := Links{Self: here.Self + "?page=2", First: here.Self, Previous: here.Self, Next: here.Self + "?page=3", Last: here.Self + "?page=3"}
	for name, variant := range map[string]struct {
		listing func() scan.Listing
		links   Links
	}{
		"feed":                  {sample, here},
		"feed-by-vulnerability": {byVulnerability, Links{Self: here.Self + "?by=vulnerability&severity=LOW"}},
		"feed-all":              {ofAll, Links{Self: api + "/findings/all", Summary: api + "/summary"}},
		"feed-page-2":           {secondPage, around},
	} {
		t.Run(name, func(t *testing.T) {
			atom, err := Atom(variant.listing(), variant.links)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".xml", atom)
			parsed := feedrules.Atom(t, atom)
			if again, _ := Atom(variant.listing(), variant.links); !bytes.Equal(atom, again) {
				t.Error("the same findings gave other bytes")
			}
			asJSON, err := JSONFeed(variant.listing(), variant.links)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", asJSON)
			items := feedrules.JSON(t, asJSON).Items
			if len(items) != len(parsed.Entries) {
				t.Fatalf("%d entries as Atom, %d as JSON", len(parsed.Entries), len(items))
			}
			for i, e := range parsed.Entries {
				if items[i].ID != e.ID || items[i].Title != e.Title || strings.TrimSpace(items[i].ContentHTML) != e.Content.Value {
					t.Errorf("the formats tell different things: %+v and %+v", e, items[i])
				}
			}
		})
	}
}

func TestFeedsWithoutEntries(t *testing.T) {
	c := config("test/gone")
	filtered := listing(report(c))
	filtered.View.Filter.Tags = []string{"x"}
	none := scan.Listing{View: scan.View{Filter: scan.Filter{Tags: []string{"x"}}}, Reports: []scan.Report{report(c)}}
	for name, test := range map[string]struct {
		listing  scan.Listing
		subtitle string
	}{
		"clean":           {listing(report(c, image(c, "1", scan.Result{State: scan.Completed}))), "Details of the image scan findings across the tags: [1]"},
		"not scanned":     {listing(report(c, image(c, "1", scan.Result{State: scan.NotScanned}))), "Details of the image scan findings across the tags: [1]. Without a result: [1] NOT SCANNED"},
		"repository gone": {listing(scan.Report{Config: config("test/gone", "a", "b"), Err: &scan.Error{Code: scan.RepositoryNotFound}}), "Details of the image scan findings across the tags: [a] [b]. Without a result: REPOSITORY NOT FOUND"},
		"no images":       {listing(report(c)), "Details of the image scan findings. Without a result: NO IMAGES"},
		"no such tag":     {filtered, "Details of the image scan findings. Without a result: NO IMAGES with such a tag"},
		"none of all":     {none, "Details of the image scan findings across the repositories: [test/gone]"},
	} {
		feed, err := Atom(test.listing, Links{})
		if err != nil {
			t.Fatal(err)
		}
		parsed := feedrules.Atom(t, feed)
		if parsed.Subtitle != test.subtitle || len(parsed.Entries) != 0 || parsed.UpdatedParsed.Unix() != c.Created {
			t.Errorf("%s: subtitle %q, %d entries, updated %s", name, parsed.Subtitle, len(parsed.Entries), parsed.Updated)
		}
		feed, err = JSONFeed(test.listing, Links{})
		if err != nil {
			t.Fatal(err)
		}
		if parsed := feedrules.JSON(t, feed); len(parsed.Items) != 0 || parsed.Description != test.subtitle {
			t.Errorf("%s as JSON: %+v", name, parsed)
		}
	}
}

func TestFeedOfNoConfig(t *testing.T) {
	feed, err := Atom(scan.Listing{}, Links{})
	if err != nil {
		t.Fatal(err)
	}
	feedrules.Atom(t, feed)
}

func TestSubtitleOfPages(t *testing.T) {
	for name, test := range map[string]struct {
		page, total, entries int
		want                 string
	}{
		"all":           {1, 500, 500, ""},
		"first":         {1, 2000, 500, ". Listed are the 500 most severe of 2000 findings"},
		"last":          {3, 1001, 1, ". Listed are findings 1001 to 1001 of 1001, the most severe first"},
		"out of reach":  {1, 20001, 500, ". Listed are the 500 most severe of 20001 findings; the pages end after 20000"},
		"last in reach": {40, 20001, 500, ". Listed are findings 19501 to 20000 of 20001, the most severe first; the pages end after 20000"},
	} {
		l := listing(report(config("test/ubuntu")), make([]scan.Entry, test.entries)...)
		l.View.Page, l.Total = test.page, test.total
		if got := leftOut(l); got != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// linked writes a feed with its links.
func linked(write func(scan.Listing, Links) ([]byte, error)) func(scan.Listing) ([]byte, error) {
	return func(l scan.Listing) ([]byte, error) { return write(l, here) }
}

// A feed of nothing but the worst texts has all its entries, shortened, and fits into an answer.
func TestFeedsStaySmall(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	for _, test := range []struct {
		name, nasty string
		by          bool
		write       func(scan.Listing) ([]byte, error)
		entry       string // is there once in each
	}{
		{"markup", "<&>", false, linked(Atom), "<entry>"},
		{"quotes, by vulnerability", `"`, true, linked(Atom), "<entry>"},
		{"backslashes as JSON", `\`, true, linked(JSONFeed), `"date_modified": `},
		{"quotes as CSV, by vulnerability", `"`, true, FindingsCSV, "\r\nurn:uuid:"},
		{"backslashes as SARIF", `\`, false, SARIF, `"ruleIndex": `},
	} {
		l := nasty(strings.Repeat(test.nasty, 600/len(test.nasty)))
		l.View.ByVulnerability = test.by
		feed, err := test.write(l)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(feed, []byte(test.entry)); n != scan.PageSize || sentSize(feed) > maxSent {
			t.Errorf("%s: %d entries, %d bytes as sent", test.name, n, sentSize(feed))
		}
	}
}

// nasty is a full page with the same text wherever there is room for one.
func nasty(text string) scan.Listing {
	tags := make([]*scan.Image, 200)
	for i := range tags {
		one := image(config(strings.Repeat("r", 256)), fmt.Sprint(strings.Repeat("t", 120), i), scan.Result{}).Image
		tags[i] = &one
	}
	l := listing(report(config("test/ubuntu")))
	for i := range scan.PageSize {
		l.Entries = append(l.Entries, scan.Entry{
			Finding: scan.Finding{
				Name: fmt.Sprint(i, text), Package: text, Severity: scan.Severity(text), Description: text, Remediation: text, Score: text, Exploit: text,
				FixAvailable: text, Versions: []string{text, text, text}, FixedIn: []string{text, text}, URL: "https://example.org/?" + strings.Repeat("&", 1500), FirstSeen: scanned,
			},
			Images: tags, Count: 1000, Published: scanned, Updated: scanned,
		})
	}
	l.Total = scan.PageSize
	return l
}

// What Lambda makes of a feed is a JSON string.
func TestSentSize(t *testing.T) {
	for _, s := range []string{"", "a\"\\\n\r\t", "\x01ü🙂<&>"} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(s); err != nil {
			t.Fatal(err)
		}
		if got, want := sentSize([]byte(s)), b.Len()-len("\"\"\n"); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}

func TestHostileTextIsReadable(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	f := scan.Finding{
		Name: "CVE-1\n\x1b[31m<i>", Severity: "HIGH\u202e", Package: "a\tb", Score: "\ufeff9", Vector: "<script>alert(1)</script>",
		URL:         "https://example.org/ü?a=\u202e\u2066&b=" + strings.Repeat("é", 10),
		Description: "One <script>alert(1)</script>\x00 & \"two\"\u202e\u2066 🏳️‍🌈.\n\nSecond\nparagraph.\u2029\u2029" + long,
	}
	feed, err := Atom(listing(report(config("test/ubuntu")), found("16.04\r\n", f)), here)
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
	want := `<p>One &lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;two&#34; 🏳️‍🌈.</p> <p>Second
paragraph.</p> <p>` + long[:4000]
	if !strings.HasPrefix(e.Content.Value, want) || !strings.Contains(e.Content.Value, `…</p> <table><tr><th>Severity</th> <td>HIGH</td></tr> <tr><th>CVSS score</th> <td>9 &lt;script&gt;`) {
		t.Errorf("content %.400q", e.Content.Value)
	}
}

func TestConsoleURL(t *testing.T) {
	for region, want := range map[string]string{
		"us-west-2":     "https://us-west-2.console.aws.amazon.com/ecr/repositories/private/123456789012/test/ubuntu?region=us-west-2",
		"cn-north-1":    "https://cn-north-1.console.amazonaws.cn/ecr/repositories/private/123456789012/test/ubuntu?region=cn-north-1",
		"us-gov-west-1": "https://us-gov-west-1.console.amazonaws-us-gov.com/ecr/repositories/private/123456789012/test/ubuntu?region=us-gov-west-1",
	} {
		if got := ConsoleURL(scan.Repository{Registry: "123456789012", Region: region, Name: "test/ubuntu"}); got != want {
			t.Errorf("%s: %s", region, got)
		}
	}
}

// Whatever a scanner or a registry writes, the feed is well-formed, keeps the rules and is inert.
func FuzzFeed(f *testing.F) {
	f.Add("CVE-2016-1585", "apparmor", "MEDIUM", "text", "http://example.org/", "16.04", int64(1569929237), int64(0))
	f.Add("<script>alert(1)</script>", "]]>", "\x00", "\x1b[31m\u202e\ufffe</content>&#0;🙂", "javascript:alert(1)", "\xff\xfe", int64(-1), int64(1))
	f.Add("", "", "", strings.Repeat("x ", 50), "http://a/ b\"'<>", "a:b", int64(1)<<40, int64(5))
	f.Fuzz(func(t *testing.T, name, pkg, severity, text, link, tag string, at, added int64) {
		finding := scan.Finding{Name: name, Package: pkg, Severity: scan.ParseSeverity(severity), Description: text, Remediation: text, Score: text, FixedIn: []string{text, pkg}}
		if strings.HasPrefix(link, "http://a/") {
			finding.URL = (&url.URL{Scheme: "http", Host: "a", Path: link, RawQuery: text}).String()
		}
		one, other := found(tag, finding), found(tag, finding)
		other.Finding.Package = pkg + "2"
		one.Updated, other.Updated = time.Unix(at%(1<<37), 0), time.Unix(at%(1<<37), 0)
		one.Published, other.Published = one.Updated, other.Updated
		c := config("test/ubuntu")
		l := listing(report(c, image(c, tag, scan.Result{State: scan.Failed, Reason: text})), one, other)
		l.View.ByVulnerability = added%2 == 0
		if added%3 == 0 {
			l.Config = nil
		}
		atom, err := Atom(l, here)
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := JSONFeed(l, here)
		if err != nil {
			t.Fatal(err)
		}
		if n, m := len(feedrules.Atom(t, atom).Entries), len(feedrules.JSON(t, asJSON).Items); n != 2 || m != 2 {
			t.Errorf("%d entries as Atom, %d as JSON", n, m)
		}
		table, err := FindingsCSV(l)
		if err != nil {
			t.Fatal(err)
		}
		log, err := SARIF(l)
		if err != nil {
			t.Fatal(err)
		}
		if n, m := len(feedrules.CSV(t, table)), len(feedrules.SARIFRules(t, log).Results); n != 3 || m != 2 {
			t.Errorf("%d rows, one of them of an image without a result, and %d results", n, m)
		}
	})
}
