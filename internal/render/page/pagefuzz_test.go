package page

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

// checkInert fails the test if a page contains an element, an attribute or a link that the templates don't have.
func checkInert(t *testing.T, page []byte) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	forms := 0
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if slices.Contains([]string{"script", "img", "iframe", "object", "embed", "base", "audio", "video", "frame", "math"}, n.Data) {
			t.Errorf("the page has an element %s", n.Data)
		}
		if n.Data == "form" {
			forms++
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "srcdoc" {
				t.Errorf("%s has an attribute %s: %s", n.Data, a.Key, a.Val)
			}
			if a.Key == "href" || a.Key == "action" {
				u, err := url.Parse(a.Val)
				if err != nil || !slices.Contains([]string{"https", "http", "", "data"}, u.Scheme) || u.Scheme == "data" && n.Data != "link" || u.Scheme == "" && !strings.HasPrefix(a.Val, "#") {
					t.Errorf("%s links to %q: %v", n.Data, a.Val, err)
				}
			}
		}
	}
	if forms > 1 {
		t.Errorf("%d forms", forms)
	}
}

// For all texts of a scanner or a registry, the pages contain no active content.
func FuzzPages(f *testing.F) {
	f.Add("CVE-2016-1585", "apparmor", "MEDIUM", "text", "http://example.org/", "16.04", int64(3))
	f.Add("<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "</style><script>", "</title></textarea>' onload='x", "http://a/ b\"'<>", "{{.}}", int64(-1))
	f.Add("\x00\u202e", "]]><!--", "", "--></table></form><form action=//x>", "https://a", "a:b (c)", int64(1)<<40)
	f.Fuzz(func(t *testing.T, name, pkg, severity, text, link, tag string, count int64) {
		finding := scan.Finding{
			Name: name, Package: pkg, Severity: scan.ParseSeverity(severity), Description: text, Versions: []string{text}, FixedIn: []string{pkg}, Exploit: text, FixAvailable: "YES",
			Related: []string{text, name}, Packages: []scan.Package{{Name: pkg, Version: text, Path: name}, {Name: text}}, InUse: int(count % 5),
		}
		if strings.HasPrefix(link, "http://a/") {
			finding.URL = (&url.URL{Scheme: "http", Host: "a", Path: link, RawQuery: text}).String()
		}
		c := rendertest.Config("test/ubuntu")
		one := rendertest.Found(tag, finding)
		one.Published = time.Unix(count%(1<<37), 0)
		failed := rendertest.Image(c, tag, scan.Result{State: scan.State(pkg), Reason: text})
		done := withHistory(c, tag+"2", scan.Counts{scan.ParseSeverity(severity): int(count % 1000)}, history.CountChange{At: noon, New: scan.Counts{scan.ParseSeverity(severity): 1}})
		done.AsOf, done.AsOfReason = noon, text
		done.Image.Platform, done.Image.Digest, done.Result.Suppressed, done.Result.InUse = pkg, name, int(count%9), int(count%5)
		r := rendertest.ReportOf(c, failed, done)
		l := rendertest.Listing(r, one)
		l.View.ByVulnerability = count%2 == 0
		broken := rendertest.Failed(rendertest.Config("test/gone"), &scan.Error{Code: scan.Unavailable, Message: text})
		l.Reports = append(l.Reports, broken)
		filter := scan.Filter{Packages: []string{pkg}, Names: []string{name}, Tags: []string{tag}, Platforms: []string{pkg}, Digests: []string{text}}
		params := url.Values{"package": {pkg}, "cve": {name}, "tag": {tag}, "since": {text}}
		checkInert(t, findingsPageOf(t, l, linkTo))
		l.View.Filter, l.Config = filter, nil
		page, err := Findings(l, noon, "/findings/all", params, linkTo)
		if err != nil {
			t.Fatal(err)
		}
		checkInert(t, page)
		change := history.Change{Kind: history.EventKind(pkg), At: one.Published, Repository: c.Repo(), Image: one.Images[0], Finding: finding, From: scan.Severity(severity), To: scan.ParseSeverity(severity), Reason: text}
		about, rolled := change, change
		about.Finding, about.Kind, rolled.RolledUp = scan.Finding{}, history.Failing, []history.Change{change, about}
		l.IsChangeFeed, l.Changes, l.Now = true, []history.Change{change, about, rolled}, noon
		if page, err = Changes(l, "/changes", params, linkTo); err != nil {
			t.Fatal(err)
		}
		checkInert(t, page)
		problem := Problem{Status: 400, Title: "Bad Request", Detail: text, Errors: []scan.FieldError{{Pointer: "/" + name, Detail: pkg}}, Reasons: []render.GateReason{{Image: tag, Reason: severity, Detail: text}}, Advice: text, NeedsKey: true}
		for _, to := range []Link{linkTo, nil} {
			if page, err = Error(problem, to); err != nil {
				t.Fatal(err)
			}
			checkInert(t, page)
		}
		o := report.Overview{Since: noon.Add(-time.Hour), Now: noon, Reports: []report.Report{r, broken}}
		checkInert(t, summaryPageOf(t, o, scan.Filter{}, nil, linkTo))
		checkInert(t, summaryPageOf(t, o, filter, params, linkTo))
	})
}
