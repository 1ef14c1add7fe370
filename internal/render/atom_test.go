package render

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mmcdole/gofeed/atom"

	"ecr-continuous-scan/internal/scan"
)

const self = "https://a1.execute-api.us-west-2.amazonaws.com/Prod/findings/fc41dda8-f15e-4826-8908-11603b01dac4"

var scanned = time.Date(2019, 10, 1, 11, 27, 17, 0, time.UTC)

func found(tag string, f scan.Finding) scan.ImageFinding {
	c := config("test/ubuntu")
	return scan.ImageFinding{Image: image(c, tag, scan.Result{}).Image, Finding: f, Published: scanned, Updated: scanned}
}

// checkFeed parses a feed and holds it against the rules of RFC 4287 that a schema can't see.
func checkFeed(t *testing.T, feed []byte) *atom.Feed {
	t.Helper()
	var any struct {
		XMLName xml.Name
	}
	if err := xml.Unmarshal(feed, &any); err != nil || any.XMLName.Space != "http://www.w3.org/2005/Atom" {
		t.Fatalf("not well-formed Atom: %v, root %v\n%.2000s", err, any.XMLName, feed)
	}
	if !utf8.Valid(feed) || bytes.ContainsRune(feed, utf8.RuneError) {
		t.Error("the feed has broken characters")
	}
	parsed, err := (&atom.Parser{}).Parse(bytes.NewReader(feed))
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	id := func(what, id string) {
		if u, err := url.Parse(id); err != nil || !u.IsAbs() {
			t.Errorf("%s: id %q is no absolute IRI", what, id)
		}
		if ids[id] {
			t.Errorf("%s: id %q is there twice", what, id)
		}
		ids[id] = true
	}
	alternates := func(what string, links []*atom.Link) {
		n := 0
		for _, l := range links {
			u, err := url.Parse(l.Href)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				t.Errorf("%s: link %q", what, l.Href)
			}
			if l.Rel == "" {
				t.Errorf("%s: a link without rel", what)
			}
			if l.Rel == "alternate" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s: %d alternate links", what, n)
		}
	}
	id("feed", parsed.ID)
	alternates("feed", parsed.Links)
	if len(parsed.Authors) != 1 || parsed.Title == "" || parsed.UpdatedParsed == nil {
		t.Errorf("feed: %d authors, title %q, updated %q", len(parsed.Authors), parsed.Title, parsed.Updated)
	}
	last := time.Unix(1<<40, 0)
	for i, e := range parsed.Entries {
		what := fmt.Sprint("entry ", i)
		id(what, e.ID)
		alternates(what, e.Links)
		if e.UpdatedParsed == nil || e.PublishedParsed == nil || strings.TrimSpace(e.Title) == "" || e.Content == nil || e.Content.Type != "html" {
			t.Errorf("%s: updated %q, published %q, title %q, content %v", what, e.Updated, e.Published, e.Title, e.Content)
			continue
		}
		if e.UpdatedParsed.After(last) {
			t.Errorf("%s is newer than the one before", what)
		}
		last = *e.UpdatedParsed
		if i == 0 && !parsed.UpdatedParsed.Equal(last) {
			t.Errorf("the feed was updated %s, its newest entry %s", parsed.Updated, e.Updated)
		}
	}
	return parsed
}

func TestAtom(t *testing.T) {
	c := config("test/ubuntu", "16.04", "latest", "old")
	enhanced := found("latest", scan.Finding{
		Name: "CVE-2021-1", Package: "openssl", Versions: []string{"1.1", "1.2"}, Severity: scan.Critical, Score: "9.8",
		Vector: "CVSS:3.1/AV:N", FixedIn: []string{"1.3"}, FixAvailable: "YES", Exploit: "NO", URL: "https://example.org/CVE-2021-1?a=b&c=d",
		Description: "Bad <b>things</b> & more.", Remediation: "Upgrade.", FirstSeen: scanned.Add(time.Hour),
	})
	enhanced.Published, enhanced.Updated = scanned.Add(time.Hour), scanned.Add(2*time.Hour)
	l := scan.Listing{
		Report: report(c,
			image(c, "16.04", scan.Result{State: scan.Completed}), image(c, "latest", scan.Result{State: scan.Completed}),
			image(c, "old", scan.Result{State: scan.NotScanned, Reason: "archived"})),
		Findings: []scan.ImageFinding{enhanced,
			found("16.04", scan.Finding{
				Name: "CVE-2016-1585", Package: "apparmor", Versions: []string{"2.10"}, Severity: scan.Medium, URL: "http://people.ubuntu.com/~ubuntu-security/cve/CVE-2016-1585",
				Description: "In all versions of AppArmor mount rules are accidentally widened when compiled.", Score: "3.9", Vector: "AV:L/AC:L",
			}),
			found("16.04", scan.Finding{Name: "unnamed finding", Severity: scan.Undefined}),
		},
		Total: 3,
	}
	feed, err := Atom(l, self)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "feed.xml", feed)
	checkFeed(t, feed)
	again, _ := Atom(l, self)
	if !bytes.Equal(feed, again) {
		t.Error("the same findings gave other bytes")
	}
}

func TestAtomWithoutEntries(t *testing.T) {
	c := config("test/gone")
	for name, test := range map[string]struct {
		report   scan.Report[scan.Result]
		subtitle string
	}{
		"clean":           {report(c, image(c, "1", scan.Result{State: scan.Completed})), "Details of the image scan findings across the tags: [1]"},
		"not scanned":     {report(c, image(c, "1", scan.Result{State: scan.NotScanned})), "Details of the image scan findings across the tags: [1]. Without a result: [1] NOT SCANNED"},
		"repository gone": {scan.Report[scan.Result]{Config: config("test/gone", "a", "b"), Err: &scan.Error{Code: scan.RepositoryNotFound}}, "Details of the image scan findings across the tags: [a] [b]. Without a result: REPOSITORY NOT FOUND"},
		"no images":       {report(c), "Details of the image scan findings. Without a result: NO IMAGES"},
	} {
		feed, err := Atom(scan.Listing{Report: test.report}, "")
		if err != nil {
			t.Fatal(err)
		}
		parsed := checkFeed(t, feed)
		if parsed.Subtitle != test.subtitle || len(parsed.Entries) != 0 || parsed.UpdatedParsed.Unix() != c.Created {
			t.Errorf("%s: subtitle %q, %d entries, updated %s", name, parsed.Subtitle, len(parsed.Entries), parsed.Updated)
		}
	}
}

// What doesn't fit is left out by severity, and the feed says so.
func TestAtomStaysSmall(t *testing.T) {
	l := scan.Listing{Report: report(config("test/ubuntu"))}
	for i := range MaxEntries {
		f := scan.Finding{Name: fmt.Sprintf("CVE-%04d", i), Severity: scan.Low, Description: strings.Repeat("<&>", 1365)}
		if i%100 == 99 {
			f.Severity = scan.Critical
		}
		l.Findings = append(l.Findings, found("16.04", f))
	}
	l.Total = 2000
	feed, err := Atom(l, self)
	if err != nil {
		t.Fatal(err)
	}
	parsed := checkFeed(t, feed)
	critical := 0
	for _, e := range parsed.Entries {
		if strings.HasPrefix(e.Title, "[CRITICAL]") {
			critical++
		}
	}
	said := fmt.Sprintf("Listed are the %d most severe of 2000 findings", len(parsed.Entries))
	if len(feed) > maxAtom || len(parsed.Entries) < 100 || critical != 5 || !strings.Contains(parsed.Subtitle, said) {
		t.Errorf("%d bytes, %d entries, %d critical, subtitle %q", len(feed), len(parsed.Entries), critical, parsed.Subtitle)
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
func FuzzAtom(f *testing.F) {
	f.Add("CVE-2016-1585", "apparmor", "MEDIUM", "text", "http://example.org/", "16.04", int64(1569929237), int64(0))
	f.Add("<script>alert(1)</script>", "]]>", "\x00", "\x1b[31m\u202e\ufffe</content>&#0;🙂", "javascript:alert(1)", "\xff\xfe", int64(-1), int64(1))
	f.Add("", "", "", strings.Repeat("x", 10000), "http://a/ b\"'<>", "a:b", int64(1)<<40, int64(5))
	f.Fuzz(func(t *testing.T, name, pkg, severity, text, link, tag string, at, added int64) {
		finding := scan.Finding{Name: name, Package: pkg, Severity: scan.ParseSeverity(severity), Description: text, Remediation: text, Score: text, FixedIn: []string{text, pkg}}
		if strings.HasPrefix(link, "http://a/") {
			finding.URL = (&url.URL{Scheme: "http", Host: "a", Path: link}).String()
		}
		one, other := found(tag, finding), found(tag, finding)
		other.Finding.Package = pkg + "2"
		one.Updated, other.Updated = time.Unix(at%(1<<37), 0), time.Unix(at%(1<<37), 0)
		one.Published, other.Published = one.Updated, other.Updated
		c := config("test/ubuntu")
		reason := scan.Result{State: scan.Failed, Reason: text}
		feed, err := Atom(scan.Listing{Report: report(c, image(c, tag, reason)), Findings: []scan.ImageFinding{one, other}, Total: 2}, self)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range checkFeed(t, feed).Entries {
			if strings.ContainsAny(e.Title, "\n\x1b\u202e") {
				t.Errorf("title %q", e.Title)
			}
			if strings.Contains(strings.ToLower(e.Content.Value), "<script") || strings.Contains(strings.ToLower(e.Summary), "<script") {
				t.Errorf("markup came through: %q", e.Content.Value)
			}
		}
	})
}
