package httpapi_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmcdole/gofeed/atom"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// An entry without an advisory links to the page of its vulnerability, with the key of the request.
func TestLinksOfEntriesWithoutAnAdvisory(t *testing.T) {
	odd := vulnerability("CVE\u200b3", "LOW") // a filter does not accept its name
	s := startTimeline(t)
	s.nextDay(vulnerability("CVE-1 a&b", "HIGH"), odd, ecr.Finding{Name: "CVE-2", Severity: "LOW", URI: "https://example.org/CVE-2"})
	pageOf := func(path, cve string) string {
		values := url.Values{"format": {"html"}, "key": {"a&b"}}
		if cve != "" {
			values.Set("cve", cve)
		}
		return base + path + "?" + values.Encode()
	}
	for path, page := range map[string]string{
		"/findings/" + s.id: "/findings/" + s.id, "/findings/" + s.id + "/changes": "/findings/" + s.id, "/findings/all": "/findings/all", "/changes": "/findings/all",
	} {
		links := make(map[string]bool)
		for _, e := range feed(t, s.api, path+"?key=a%26b").Entries {
			for _, l := range e.Links {
				links[l.Href] = true
			}
		}
		for _, want := range []string{pageOf(page, "CVE-1 A&B"), pageOf(page, ""), "https://example.org/CVE-2"} {
			if !links[want] {
				t.Errorf("%s: no link %s in %v", path, want, links)
			}
		}
	}
	got := call(s.api, "GET", strings.TrimPrefix(pageOf("/findings/all", "CVE-1 A&B"), base), "", "")
	if got.status != 200 || !strings.Contains(got.body, "CVE-1 a&amp;b") || strings.Contains(got.body, "CVE-2") {
		t.Errorf("the page of a vulnerability: %d %s", got.status, got.body)
	}
}

// titlesOf returns the sorted titles of a feed.
func titlesOf(f *atom.Feed) string {
	var all []string
	for _, e := range f.Entries {
		all = append(all, e.Title)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// When a severity rises, the finding gets a new entry, and the entry before stays for 30 days as resolved. No entry keeps its body when its title
// changes.
func TestEntriesOfARaisedSeverity(t *testing.T) {
	s := startTimeline(t, vulnerability("CVE-1", "MEDIUM"))
	feeds := map[string]string{"/findings/" + s.id: "image team/app:v1", "/findings/all?severity=LOW": "image team/app:v1", "/findings/" + s.id + "?by=vulnerability": "images of team/app"}
	type content struct{ title, body string }
	seen := make(map[string]content)
	read := func(path string) *atom.Feed {
		f := feed(t, s.api, path)
		for _, e := range f.Entries {
			if old, known := seen[path+e.ID]; known && old.title != e.Title && old.body == e.Content.Value {
				t.Errorf("%s: %q became %q with the same body", path, old.title, e.Title)
			}
			seen[path+e.ID] = content{e.Title, e.Content.Value}
		}
		return f
	}
	before := make(map[string]string)
	for path := range feeds {
		before[path] = read(path).Entries[0].ID
	}
	s.nextDay(vulnerability("CVE-1", "HIGH"))
	check := func(when string, want ...string) {
		t.Helper()
		for path, where := range feeds {
			name := "CVE-1"
			if strings.Contains(path, "by=") {
				name += " in ssl"
			}
			text := strings.NewReplacer("IMAGE", where, "NAME", name).Replace(strings.Join(want, "\n"))
			if got := titlesOf(read(path)); got != text {
				t.Errorf("%s, %s: %q, want %q", path, when, got, text)
			}
		}
	}
	check("raised", "[HIGH] in IMAGE found NAME", "[RESOLVED] [MEDIUM] in IMAGE found NAME (now HIGH)")
	for path := range feeds {
		old := read(path).Entries[slices.IndexFunc(read(path).Entries, func(e *atom.Entry) bool { return strings.HasPrefix(e.Title, "[RES") })]
		if old.ID != before[path] || old.Categories[0].Term != "resolved" || !strings.Contains(old.Content.Value, "severity raised to HIGH") {
			t.Errorf("%s: the entry %s became %s %v: %s", path, before[path], old.ID, old.Categories[0], old.Content.Value)
		}
	}
	if got := titlesOf(read("/findings/" + s.id + "?severity=HIGH")); got != "[HIGH] in image team/app:v1 found CVE-1" {
		t.Errorf("with a filter that the finding did not match: %q", got)
	}
	if page := call(s.api, "GET", "/findings/"+s.id+"?format=html", "", ""); !strings.Contains(page.body, "1 finding") || strings.Contains(page.body, "MEDIUM</td>") {
		t.Errorf("the page lists the finding twice: %s", page.body)
	}
	s.nextDay()
	check("fixed", "[RESOLVED] [HIGH] in IMAGE found NAME", "[RESOLVED] [MEDIUM] in IMAGE found NAME (now HIGH)")
	s.nextDay(vulnerability("CVE-1", "LOW"))
	check("came back", "[LOW] in IMAGE found NAME", "[RESOLVED] [HIGH] in IMAGE found NAME", "[RESOLVED] [MEDIUM] in IMAGE found NAME (now HIGH)")
	s.later(28 * 24 * time.Hour)
	check("30 days later", "[LOW] in IMAGE found NAME", "[RESOLVED] [HIGH] in IMAGE found NAME")
	s.later(4 * 24 * time.Hour)
	check("at the end", "[LOW] in IMAGE found NAME")
}

// If an image has a vulnerability in several packages, the titles name the package. A title never changes because of another finding.
func TestTitlesWithPackages(t *testing.T) {
	in := func(pkg string) ecr.Finding {
		return ecr.Finding{Name: "CVE-1", Severity: "LOW", Attributes: []ecr.Attribute{{Key: "package_name", Value: pkg}}}
	}
	s := startTimeline(t, in("a"))
	seen := make(map[string]string)
	for _, step := range []struct {
		findings []ecr.Finding
		want     string
	}{
		{[]ecr.Finding{in("a"), in("b")}, "[LOW] in image team/app:v1 found CVE-1\n[LOW] in image team/app:v1 found CVE-1 in b"},
		{[]ecr.Finding{in("b")}, "[LOW] in image team/app:v1 found CVE-1 in b\n[RESOLVED] [LOW] in image team/app:v1 found CVE-1"},
		{nil, "[RESOLVED] [LOW] in image team/app:v1 found CVE-1\n[RESOLVED] [LOW] in image team/app:v1 found CVE-1 in b"},
	} {
		s.nextDay(step.findings...)
		if got := titlesOf(feed(t, s.api, "/findings/"+s.id)); got != step.want {
			t.Errorf("%q, want %q", got, step.want)
		}
		for _, e := range feed(t, s.api, "/changes").Entries {
			if old := seen[e.ID]; old != "" && old != e.Title {
				t.Errorf("%q became %q", old, e.Title)
			}
			seen[e.ID] = e.Title
		}
	}
}
