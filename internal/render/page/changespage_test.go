package page

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

// changesOf returns a listing of changes. Its config has an image with two scans.
func changesOf(changes ...history.Change) report.Listing {
	c := rendertest.Config("test/ubuntu", "16.04")
	one := rendertest.Image(c, "16.04", scan.Result{State: scan.Completed, CompletedAt: ago(0.5)})
	one.KnownSince = ago(20)
	l := rendertest.Listing(rendertest.ReportOf(c, one))
	l.IsChangeFeed, l.Changes, l.Total, l.Now = true, changes, len(changes), noon
	return l
}

// someChanges returns changes of each kind, on several days.
func someChanges() []history.Change {
	ubuntu, centos := rendertest.Config("test/ubuntu"), rendertest.Config("test/centos")
	at := noon
	of := func(kind history.EventKind, c scan.Config, from, to scan.Severity) history.Change {
		at = at.Add(-3 * time.Hour)
		one := rendertest.Image(c, "16.04", scan.Result{}).Image
		f := scan.Finding{
			Name: "CVE-2016-1585", Package: "apparmor", Versions: []string{"2.10"}, FixedIn: []string{"2.11"}, URL: "http://people.ubuntu.com/~ubuntu-security/cve/CVE-2016-1585",
		}
		return history.Change{Kind: kind, At: at, Repository: c.Repo(), Image: &one, Finding: f, From: from, To: to}
	}
	about := func(kind history.EventKind, c scan.Config, reason string) history.Change {
		change := of(kind, c, "", "")
		change.Finding, change.Reason = scan.Finding{}, reason
		return change
	}
	changes := []history.Change{
		of(history.New, ubuntu, "", scan.High), of(history.Fixed, centos, scan.High, ""), of(history.Raised, ubuntu, scan.Medium, scan.High),
		of(history.Lowered, ubuntu, scan.High, scan.Low), of(history.FixAvailable, ubuntu, scan.High, scan.High),
		about(history.TagGone, ubuntu, ""), about(history.Failing, ubuntu, "UnsupportedImageError: <x>"), about(history.Recovered, ubuntu, ""),
		about(history.RepositoryGone, centos, ""),
	}
	changes[len(changes)-1].Image = nil
	rolled := of("", ubuntu, "", "")
	rolled.Finding = scan.Finding{}
	for i := range 3 {
		one := of(history.New, ubuntu, "", scan.Low)
		one.Finding.Name = fmt.Sprintf("CVE-2020-%d", i)
		rolled.RolledUp = append(rolled.RolledUp, one)
	}
	rolled.RolledUp = append(rolled.RolledUp, of(history.Fixed, ubuntu, scan.Medium, ""))
	return append(changes, rolled)
}

const changesURL = findingsPath + "/changes"

func changesPageOf(t *testing.T, l report.Listing, path string) []byte {
	t.Helper()
	b, err := Changes(l, path, url.Values{"format": {"html"}}, linkTo)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestChangesPage(t *testing.T) {
	page := changesPageOf(t, changesOf(append(someChanges(), rendertest.SuppressionChanges()...)...), changesURL)
	rendertest.Golden(t, "page-changes.html", page)
	checkFrame(t, page, "What changed in test/ubuntu", "Summary test/ubuntu Changes")
	all := changesOf(someChanges()...)
	all.Config = nil
	all.Reports = append(all.Reports, rendertest.ReportOf(rendertest.Config("test/other")), rendertest.Failed(rendertest.Config("test/dead"), &scan.Error{Code: scan.Unavailable, Message: "no answer in time"}))
	all.View.Page, all.Total = 2, 2*report.PageSize+1
	page = changesPageOf(t, all, "/changes")
	rendertest.Golden(t, "page-changes-all.html", page)
	checkFrame(t, page, "What changed", "Summary Changes")
}

// A change is in the section of its day and its repository, with words for what happened. Severity is text, not only a color.
func TestChangesByDayAndRepository(t *testing.T) {
	all := changesOf(someChanges()...)
	all.Config = nil
	page := changesPageOf(t, all, "/changes")
	main := textOf(elements(t, page, "main")[0])
	at := 0
	for _, want := range []string{
		"10 changes in the last 30 days",
		"2019-10-02", "test/ubuntu us-west-2 · 123456789012", "09:00 New High CVE-2016-1585 in apparmor 2.10, fixed in 2.11 Image 16.04 Advisory",
		"03:00 Severity raised High, was Medium", "00:00 Severity lowered Low, was High",
		"test/centos us-west-2", "06:00 Resolved High CVE-2016-1585 in apparmor 2.10 Image 16.04",
		"2019-10-01", "21:00 Fix available High", "18:00 Tag missing Its findings are no longer listed. This does not mean that they were fixed. Image 16.04",
		"15:00 Scan failed There are no new results for this image until a scan succeeds. Reason: UnsupportedImageError: <x>", "12:00 Scan recovered",
		"06:00 More Image 16.04 4 more changes of this scan: 3 new, 1 resolvedNew Low CVE-2020-0 apparmor",
		"test/centos us-west-2", "09:00 Repository missing The service can't scan this repository.",
	} {
		n := strings.Index(main[at:], want)
		if n < 0 {
			t.Fatalf("no %q after %q: %s", want, main[:at], main[at:])
		}
		at += n
	}
}

// A change links to its finding: the findings of a config that watches the image, narrowed to the vulnerability and the tag.
func TestLinksOfChanges(t *testing.T) {
	links := map[string]string{}
	all := changesOf(someChanges()[:2]...)
	all.Config = nil
	for _, a := range elements(t, changesPageOf(t, all, "/changes"), "a") {
		if links[textOf(a)] == "" {
			links[textOf(a)] = attribute(a, "href")
		}
	}
	resolved := changesOf(someChanges()[1])
	for _, a := range elements(t, changesPageOf(t, resolved, changesURL), "a") {
		links["resolved: "+textOf(a)] = attribute(a, "href")
	}
	for text, want := range map[string]string{
		"CVE-2016-1585":             findingsPath + "?cve=CVE-2016-1585&format=html&key=k%26y&tag=16.04",
		"resolved: CVE-2016-1585":   "/findings/all?cve=CVE-2016-1585&format=html&key=k%26y&tag=16.04", // of test/centos, which no config of the listing watches
		"test/ubuntu":               findingsPath + "?format=html&key=k%26y",
		"Advisory of CVE-2016-1585": "http://people.ubuntu.com/~ubuntu-security/cve/CVE-2016-1585",
		"Findings":                  "/findings/all?format=html&key=k%26y",
		"Feed of this list (Atom)":  "/changes?key=k%26y",
		"resolved: Findings":        findingsPath + "?format=html&key=k%26y",
	} {
		if got := strings.TrimPrefix(links[text], rendertest.API); got != want {
			t.Errorf("%q leads to %s, want %s", text, got, want)
		}
	}
	part := someChanges()[0]
	part.Image.Platform = "linux/arm64"
	if page := string(changesPageOf(t, changesOf(part), changesURL)); !strings.Contains(page, "&amp;platform=linux%2Farm64&amp;tag=16.04") {
		t.Errorf("the link of one platform leads to all platforms: %s", page)
	}
	part.Image.Tag = "sha256:" + strings.Repeat("ab", 32)
	if page := string(changesPageOf(t, changesOf(part), changesURL)); !strings.Contains(page, "&amp;digest=sha256%3Aabab") || strings.Contains(page, "tag=sha") {
		t.Errorf("the link of an image without a tag: %s", page)
	}
	hostile := someChanges()[0]
	hostile.Finding.Name, hostile.Image.Tag = "a\x00<b>", "sha256:abc"
	page := changesPageOf(t, changesOf(hostile), changesURL)
	if !strings.Contains(string(page), "a&lt;b&gt;") || strings.Contains(string(page), "cve=a") {
		t.Errorf("a link with a name that the filter refuses: %s", page)
	}
}

// A page without changes says what that means. It is no all-clear if nothing could be compared.
func TestChangesPageWithoutChanges(t *testing.T) {
	nothing := changesOf()
	unknown, noImage, noConfig, filtered, noTag, enhanced := changesOf(), changesOf(), changesOf(), changesOf(), changesOf(), changesOf()
	first := unknown.Reports[0].Images[0]
	first.Result.CompletedAt = first.KnownSince
	unknown.Reports[0].Images = []report.Item{first}
	first.Result.Enhanced, first.Result.Continuous, first.ReadAt = true, true, ago(1)
	enhanced.Reports[0].Images = []report.Item{first}
	noImage.Reports[0].Images = nil
	noConfig.Reports, noConfig.Config = nil, nil
	filtered.View.Filter.Severity = scan.High
	noTag.View.Filter.Tags, noTag.Reports[0].Images = []string{"nix"}, nil
	for want, l := range map[string]report.Listing{
		"No change in the last 30 days 1 of 1 image had a second scan, which the service could compare with the first.": nothing,
		"Nothing to compare yet No image had a second scan yet.":                                                        unknown,
		"Nothing to compare yet No image had a second scan yet. The first":                                              noImage,
		"Nothing is watched yet There is no scan config.":                                                               noConfig,
		"Nothing matches this filter Filtered by severity HIGH and above. No change of the last 30 days matches. 1 of 1 image had a second scan, which the service could compare with the first. Show everything": filtered,
		"Nothing matches this filter Filtered by tag nix. No image is selected.": noTag,
		"No change in the last 30 days 1 of 1 image had a second scan":           enhanced,
	} {
		path := changesURL
		if l.Config == nil {
			path = "/changes"
		}
		if main := textOf(elements(t, changesPageOf(t, l, path), "main")[0]); !strings.Contains(main, want) {
			t.Errorf("without %q: %s", want, main)
		}
	}
}

// A page of changes with very long texts, and with thousands of changes without a row of their own, is within the maximum size.
func TestSizeOfChangesPage(t *testing.T) {
	long := strings.Repeat(`<"&'>`, 400)
	template := someChanges()
	one, rolled := template[0], template[len(template)-1]
	one.Finding.Name, one.Finding.Package, one.Finding.Versions, one.Finding.FixedIn, one.Reason = long, long, []string{long}, []string{long}, long
	one.Finding.URL = "https://example.org/" + strings.Repeat("&", 1900)
	for range 3000 {
		rolled.RolledUp = append(rolled.RolledUp, one)
	}
	var changes []history.Change
	for i := range report.PageSize {
		change := one
		if i%2 == 0 {
			change = rolled
		}
		change.At = noon.Add(-time.Duration(i) * time.Hour)
		changes = append(changes, change)
	}
	page := changesPageOf(t, changesOf(changes...), changesURL)
	if n := rendertest.JSONSize(page); n > render.MaxSent {
		t.Errorf("%d bytes", n)
	}
	if n := bytes.Count(page, []byte(`<b class="kind`)); n != report.PageSize {
		t.Errorf("%d rows", n)
	}
	if n := len(elements(t, page, "li")); n > report.PageSize+maxRolled+report.PageSize {
		t.Errorf("%d items of lists", n)
	}
	if !strings.Contains(string(page), "<li>and 2804 more</li>") {
		t.Error("the page does not say how many changes it omits")
	}
}

// A page has at most 500 changes, and its size does not depend on the number of configs.
func TestChangesOfManyConfigs(t *testing.T) {
	all := changesOf()
	all.Config, all.Total = nil, 5000
	some := someChanges()[:9]
	for i := range 1000 {
		c := rendertest.Config(fmt.Sprint("team/app", i))
		c.ID = fmt.Sprintf("fc41dda8-f15e-4826-8908-11603b01%04d", i)
		all.Reports = append(all.Reports, rendertest.ReportOf(c, withHistory(c, "16.04", scan.Counts{scan.High: 5})))
		if change := some[i%len(some)]; i < report.PageSize {
			change.At, change.Repository = noon.Add(-time.Duration(i)*time.Minute), c.Repo()
			all.Changes = append(all.Changes, change)
		}
	}
	page := changesPageOf(t, all, "/changes")
	if n := bytes.Count(page, []byte(`<b class="kind`)); n != report.PageSize || !strings.Contains(string(page), "Changes 1 to 500 of 5000") {
		t.Errorf("%d changes", n)
	}
	if len(page) > 700_000 {
		t.Errorf("%d bytes", len(page))
	}
}

// The card of the summary leads to the changes with the same filters, and lists images of which findings were only resolved.
func TestSummaryLeadsToChanges(t *testing.T) {
	one := string(summaryPageOf(t, pageOverview(), scan.Filter{Repositories: []string{"test/centos"}}, nil, plainLink))
	if !strings.Contains(one, `<a href="http://localhost:8080/findings/fc41dda8-f15e-4826-8908-11603b01dac1/changes?format=html">What changed in`) {
		t.Errorf("the summary of one config leads to the changes of others: %s", one)
	}
	page := string(summaryPageOf(t, pageOverview(), scan.Filter{Severity: scan.Low, Tags: []string{"7", "latest"}}, nil, plainLink))
	for _, want := range []string{
		`<a href="http://localhost:8080/changes?format=html&amp;severity=LOW&amp;tag=7&amp;tag=latest">What changed in the last 30 days</a>`,
		`latest</a> <p class="soft"><b>2 resolved</b></p>`,
		`<a href="http://localhost:8080/findings/fc41dda8-f15e-4826-8908-11603b01dac1/changes?format=html&amp;severity=LOW">Changes<span class="hidden"> in test/centos</span></a>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the summary has no %s: %s", want, page)
		}
	}
}
