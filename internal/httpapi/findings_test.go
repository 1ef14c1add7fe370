package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mmcdole/gofeed/atom"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/feedrules"
)

// add adds a config of a repository and returns the scan ID.
func add(t *testing.T, h http.Handler, repository string, tags ...string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"region": "us-west-2", "registry": "123456789012", "repository": repository, "tags": tags})
	if err != nil {
		t.Fatal(err)
	}
	return addJSON(t, h, string(body))
}

// addJSON adds the config with this body.
func addJSON(t *testing.T, h http.Handler, body string) string {
	t.Helper()
	var c scan.Config
	if err := json.Unmarshal([]byte(call(h, "POST", "/configs", "application/json", body).body), &c); err != nil || c.ID == "" {
		t.Fatalf("POST %s: %v", body, err)
	}
	return c.ID
}

// feed returns an Atom feed and checks that it is valid.
func feed(t *testing.T, h http.Handler, target string) *atom.Feed {
	t.Helper()
	got := call(h, "GET", target, "", "")
	if got.status != 200 {
		t.Fatalf("GET %s: %d %s", target, got.status, got.body)
	}
	return feedrules.Atom(t, []byte(got.body))
}

func linkOf(f *atom.Feed, rel string) string {
	for _, l := range f.Links {
		if l.Rel == rel {
			return strings.TrimPrefix(l.Href, base)
		}
	}
	return ""
}

func TestFilteredFeeds(t *testing.T) {
	_, h := start(t)
	id := add(t, h, "test/ubuntu", "16.04", "latest")
	plain := feed(t, h, "/findings/"+id)
	one := plain.Entries[0]
	pkg, name := one.Categories[2].Term, one.Title[strings.LastIndex(one.Title, " ")+1:]
	for query, want := range map[string]struct {
		entries int // -1 means at least 1
		title   string
		self    string
	}{
		"":                                       {80, "", ""},
		"?severity=medium":                       {15, ": severity MEDIUM and above", "?severity=MEDIUM"},
		"?severity=LOW&tag=latest":               {20, ": severity LOW and above, tag latest", "?severity=LOW&tag=latest"},
		"?tag=latest&tag=16.04&tag=latest":       {80, ": tag 16.04 or latest", "?tag=16.04&tag=latest"},
		"?tag=nix":                               {0, ": tag nix", "?tag=nix"},
		"?severity=CRITICAL":                     {0, ": severity CRITICAL and above", "?severity=CRITICAL"},
		"?fixable=true":                          {0, ": with a fix", "?fixable=true"},
		"?package=" + pkg:                        {-1, ": package " + pkg, "?package=" + pkg},
		"?cve=" + strings.ToLower(name):          {-1, ": vulnerability " + name, "?cve=" + name},
		"?by=vulnerability&severity=MEDIUM":      {-1, ": severity MEDIUM and above, by vulnerability", "?by=vulnerability&severity=MEDIUM"},
		"?page=1&format=atom&severity=UNTRIAGED": {80, ": severity UNTRIAGED and above", "?format=atom&severity=UNTRIAGED"},
	} {
		f := feed(t, h, "/findings/"+id+query)
		if n := len(f.Entries); n != want.entries && (want.entries >= 0 || n == 0) {
			t.Errorf("%s: %d entries, want %d", query, n, want.entries)
		}
		if f.Title != "ECR repository test/ubuntu in us-west-2"+want.title || linkOf(f, "self") != "/findings/"+id+want.self {
			t.Errorf("%s: title %q, self %s", query, f.Title, linkOf(f, "self"))
		}
		if (f.ID == plain.ID) != (want.title == "") {
			t.Errorf("%s: id %s, the feed without a filter has %s", query, f.ID, plain.ID)
		}
	}
	if f := feed(t, h, "/findings/"+id+"?tag=nix"); !strings.Contains(f.Subtitle, "NO IMAGES with such a tag") {
		t.Errorf("with a tag that no image has: %q", f.Subtitle)
	}
}

// The order of parameters does not matter: the feeds and their URLs are equal.
func TestParameterOrderDoesNotMatter(t *testing.T) {
	_, h := start(t)
	id := add(t, h, "test/ubuntu")
	first := call(h, "GET", "/findings/"+id+"?tag=latest&severity=LOW&by=vulnerability&cve=CVE-2&cve=CVE-1&package=a", "", "")
	other := call(h, "GET", "/findings/"+id+"/?package=a&cve=cve-1&cve=CVE-2&cve=CVE-1&by=vulnerability&severity=low&tag=latest&page=1", "", "")
	if first.status != 200 || first.body != other.body || first.header.Get("ETag") != other.header.Get("ETag") {
		t.Errorf("two feeds for the same parameters:\n%.1500s\n%.1500s", first.body, other.body)
	}
}

func TestInvalidQueries(t *testing.T) {
	a, h := start(t)
	id := add(t, h, "test/ubuntu")
	many := ""
	for i := range 51 {
		many += fmt.Sprintf("&tag=t%d", i)
	}
	for _, test := range []struct {
		target   string
		pointers []string
		detail   string
	}{
		{"/findings/" + id + "?sevrity=HIGH", []string{"/sevrity"}, "the parameters are by, cve, digest, fixable, format, inuse, package, page, platform, repository, safe, severity, sort, suppressed, tag"},
		{"/findings/" + id + "?Severity=HIGH", []string{"/Severity"}, ""},
		{"/findings/" + id + "?severity=SEVERE", []string{"/severity"}, "CRITICAL, HIGH, MEDIUM, LOW, INFORMATIONAL, UNDEFINED, UNTRIAGED"},
		{"/findings/" + id + "?severity=", []string{"/severity"}, "CRITICAL"},
		{"/findings/" + id + "?severity=HIGH&severity=LOW", []string{"/severity"}, "is given twice"},
		{"/findings/" + id + "?tag=a+b&package=&cve=%00", []string{"/cve", "/package", "/tag"}, ""},
		{"/findings/" + id + "?" + many[1:], []string{"/tag"}, "50 times"},
		{"/findings/" + id + "?fixable=false", []string{"/fixable"}, "must be true"},
		{"/findings/" + id + "?by=tag", []string{"/by"}, "must be vulnerability"},
		{"/findings/" + id + "?format=rss", []string{"/format"}, "must be atom, json, csv, sarif or html, or omitted"},
		{"/findings/" + id + "?format=atom&format=json", []string{"/format"}, "is given twice"},
		{"/findings/" + id + "?page=0", []string{"/page"}, "from 1 to 40"},
		{"/findings/" + id + "?page=41", []string{"/page"}, "from 1 to 40"},
		{"/findings/" + id + "?page=two", []string{"/page"}, "from 1 to 40"},
		{"/findings/" + id + "?a~/b=1&page=-1&by=", []string{"/a~0~1b", "/page", "/by"}, ""},
		{"/findings/" + id + "?a=1;b=2", []string{""}, "name=value pairs"},
		{"/findings/all?x=1", []string{"/x"}, "severity, sort, suppressed, tag"},
		{"/findings?page=2&format=json", []string{"/format", "/page"}, "the parameters are by, cve, digest, fixable, inuse, owner, package, platform, repository, severity, suppressed, tag"},
		{"/summary?package=x&cve=CVE-1", []string{"/cve", "/package"}, "the parameters are digest, format, owner, platform, repository, safe, severity, since, tag"},
		{"/summary?format=atom", []string{"/format"}, "must be text, html, json or csv, or omitted"},
		{"/summary?since=", []string{"/since"}, "at most 30 days ago"},
		{"/summary?since=31d", []string{"/since"}, "at most 30 days ago"},
		{"/summary?since=-1h", []string{"/since"}, "not in the future"},
		{"/summary?since=2999-01-01", []string{"/since"}, "not in the future"},
		{"/summary?since=2019-10-01T11:27:17Z", []string{"/since"}, "at most 30 days ago"},
		{"/summary?since=99999999999d&tag=.", []string{"/since", "/tag"}, ""},
		{"/summary?since=yesterday", []string{"/since"}, ""},
		{"/summary?since=7d&since=8d", []string{"/since"}, "is given twice"},
		{"/findings/" + id + "?since=7d", []string{"/since"}, "is not a parameter"},
		{"/summary?repository=No", []string{"/repository"}, "must be the name of an ECR repository"},
		{"/summary?repository=", []string{"/repository"}, ""},
		{"/summary?format=html&severity=x&tag=", []string{"/severity"}, ""},
		{"/findings/" + id + "?sort=cve", []string{"/sort"}, "is allowed only with format=html"},
		{"/findings/" + id + "?sort=colour&format=html", []string{"/sort"}, "must be severity, -severity, cve"},
		{"/summary?severity=x", []string{"/severity"}, "CRITICAL, HIGH"},
		{"/summary?key=a&tag=.", []string{"/tag"}, ""},
	} {
		a.S3.ResetCount()
		got := call(h, "GET", test.target, "", "")
		if diff := cmp.Diff(test.pointers, checkProblem(t, got, 400)); diff != "" || !strings.Contains(got.body, test.detail) {
			t.Errorf("%.80s (-want +got):\n%s%s", test.target, diff, got.body)
		}
		if a.S3.Count().Total()+a.ECR.Count().Total() != 0 {
			t.Errorf("%.80s: calls to AWS", test.target)
		}
	}
}

// There is one entry for each vulnerability and package. Its id does not change when images are added.
func TestByVulnerability(t *testing.T) {
	a, h := start(t)
	repo := ecr.RepositoryID{Name: "team/app"}
	put := func(tag string, findings ...ecr.Finding) {
		a.ECR.PutImage(repo, ecr.Image{Tags: []string{tag}, ScannedAt: time.Now().Add(-time.Hour), Findings: findings})
	}
	named := func(severity, description string) ecr.Finding {
		return ecr.Finding{Name: "CVE-1", Severity: severity, Description: description, Attributes: []ecr.Attribute{{Key: "package_name", Value: "ssl"}}}
	}
	put("v1", named("LOW", "one"))
	id := add(t, h, "team/app")
	first := feed(t, h, "/findings/"+id+"?by=vulnerability").Entries
	put("v2", named("HIGH", "two"), ecr.Finding{Name: "CVE-1", Severity: "LOW"})
	a.Advance(refresh.ListingMaxAge)
	then := feed(t, h, "/findings/"+id+"?by=vulnerability").Entries
	if len(first) != 1 || len(then) != 2 || len(feed(t, h, "/findings/"+id).Entries) != 3 {
		t.Fatalf("%d entries, then %d", len(first), len(then))
	}
	at := slices.IndexFunc(then, func(e *atom.Entry) bool { return e.ID == first[0].ID })
	if at < 0 {
		t.Fatal("a second image changed the id")
	}
	if e := then[at]; e.Title != "[HIGH] in images of team/app found CVE-1 in ssl" || !strings.Contains(e.Content.Value, "<th>Tags</th> <td>v1, v2</td>") || !strings.Contains(e.Content.Value, "<p>two</p>") {
		t.Errorf("entry %q: %s", e.Title, e.Content.Value)
	}
}

// A client that follows the links from page to page gets every finding once.
func TestPages(t *testing.T) {
	a, h := start(t)
	const findings = 1203
	var list []ecr.Finding
	for i := range findings {
		list = append(list, ecr.Finding{Name: fmt.Sprintf("CVE-%04d", i), Severity: []string{"LOW", "HIGH", "MEDIUM"}[i%3]})
	}
	a.ECR.PutImage(ecr.RepositoryID{Name: "team/app"}, ecr.Image{Tags: []string{"v1"}, ScannedAt: time.Now().Add(-time.Hour), Findings: list})
	id := add(t, h, "team/app")
	for _, path := range []string{"/findings/" + id, "/findings/all"} {
		seen, previous, feedID := map[string]bool{}, "", ""
		next := path + "?severity=LOW"
		for n := 1; next != ""; n++ {
			f := feed(t, h, next)
			if len(f.Entries) > report.PageSize || linkOf(f, "self") != next || linkOf(f, "previous") != previous ||
				linkOf(f, "first") != path+"?severity=LOW" || linkOf(f, "last") != path+"?page=3&severity=LOW" || feedID != "" && f.ID != feedID {
				t.Errorf("page %d: %d entries, id %s, links %v", n, len(f.Entries), f.ID, f.Links)
			}
			for _, e := range f.Entries {
				seen[e.ID] = true
			}
			if n == 1 && !strings.Contains(f.Subtitle, "Lists the 500 most severe of 1203 findings") || n == 3 && !strings.Contains(f.Subtitle, "findings 1001 to 1203 of 1203") {
				t.Errorf("page %d: %s", n, f.Subtitle)
			}
			previous, next, feedID = next, linkOf(f, "next"), f.ID
		}
		if len(seen) != findings {
			t.Errorf("%s: %d different findings on its pages, want %d", path, len(seen), findings)
		}
		got := call(h, "GET", path+"?page=4", "", "")
		if checkProblem(t, got, 404); !strings.Contains(got.body, "The last page is 3.") {
			t.Errorf("after the last page: %s", got.body)
		}
		j := feedrules.JSON(t, []byte(call(h, "GET", path+"?format=json&page=2", "", "").body))
		if j.FeedURL != base+path+"?format=json&page=2" || j.NextURL != base+path+"?format=json&page=3" {
			t.Errorf("as JSON: %s, next %s", j.FeedURL, j.NextURL)
		}
	}
}

func TestFindingsNegotiation(t *testing.T) {
	_, h := start(t)
	id := add(t, h, "test/centos")
	const isCSV, isSARIF = "text/csv; charset=utf-8", "application/sarif+json"
	const isAtom, isFeed, isJSON = "application/atom+xml; charset=utf-8", "application/feed+json", "application/json"
	for accept, want := range map[string]string{
		"":              isAtom,
		"*/*":           isAtom,
		"application/*": isAtom,
		"text/html":     isAtom,
		"text/csv":      isCSV,
		"application/sarif+json, application/json;q=0.9": isSARIF,
		"text/*":                                                                  isCSV,
		"application/feed+json":                                                   isFeed,
		"APPLICATION/FEED+JSON":                                                   isFeed,
		"application/json":                                                        isJSON,
		"application/feed+json, application/json":                                 isFeed,
		"application/json, */*;q=0.1":                                             isJSON,
		"application/atom+xml, application/feed+json":                             isAtom,
		"application/atom+xml;q=0.5, application/feed+json;q=0.6":                 isFeed,
		"application/atom+xml;q=0.6, application/json;q=0.5":                      isAtom,
		"application/atom+xml;q=0, */*":                                           isFeed,
		"application/atom+xml;q=0, application/xml;q=0, text/*;q=0, */*;q=0.5":    isFeed,
		"application/feed+json;q=0":                                               isAtom,
		"application/feed+json;q=2, nonsense, /, ;q=1":                            isAtom,
		"application/feed+json;charset=utf-8;Q=0.9, application/xml;q=0.8":        isFeed,
		"application/rss+xml, application/json;q=0.9, text/xml":                   isAtom,
		"application/xml, application/atom+xml, application/feed+json, text/html": isAtom,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8":         isAtom,
	} {
		got := call(h, "GET", "/findings/"+id, "", "", "Accept", accept)
		if got.status != 200 || got.header.Get("Content-Type") != want || got.header.Get("Vary") != "Accept" {
			t.Errorf("Accept %q: %d %s, Vary %q", accept, got.status, got.header.Get("Content-Type"), got.header.Get("Vary"))
		}
		if want == isAtom {
			feedrules.Atom(t, []byte(got.body))
		} else if want == isCSV {
			feedrules.CSV(t, []byte(got.body))
		} else if want == isSARIF {
			feedrules.SARIF(t, []byte(got.body))
		} else if f := feedrules.JSON(t, []byte(got.body)); f.FeedURL != base+"/findings/"+id || len(f.Items) != 34 {
			t.Errorf("Accept %q: feed_url %s, %d items", accept, f.FeedURL, len(f.Items))
		}
		if again := call(h, "GET", "/findings/"+id, "", "", "Accept", accept, "If-None-Match", got.header.Get("ETag")); again.status != 304 || again.header.Get("Vary") != "Accept" {
			t.Errorf("Accept %q, again: %d %v", accept, again.status, again.header)
		}
		if head := call(h, "HEAD", "/findings/"+id, "", "", "Accept", accept); head.status != 200 || head.header.Get("ETag") != got.header.Get("ETag") || head.header.Get("Cache-Control") != got.header.Get("Cache-Control") {
			t.Errorf("Accept %q, HEAD: %d %v", accept, head.status, head.header)
		}
	}
	// The parameter format overrides Accept, and then the response has no Vary.
	got := call(h, "GET", "/findings/"+id+"?format=json", "", "", "Accept", "application/atom+xml")
	if f := feedrules.JSON(t, []byte(got.body)); got.header.Get("Content-Type") != isFeed || got.header.Get("Vary") != "" || f.FeedURL != base+"/findings/"+id+"?format=json" {
		t.Errorf("format=json: %v, feed_url %s", got.header, f.FeedURL)
	}
	if got := call(h, "GET", "/findings/"+id+"?format=atom", "", "", "Accept", "application/feed+json"); got.header.Get("Content-Type") != isAtom {
		t.Errorf("format=atom: %v", got.header)
	}
}

func TestVaryWithAnAllowedOrigin(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	api := a.Service(awstest.Silent()).API(base)
	api.Origin = "https://a.example"
	got := call(handler(t, api), "GET", "/findings/all", "", "", "Origin", "https://a.example")
	if vary := got.header.Values("Vary"); got.status != 200 || !slices.Equal(vary, []string{"Origin", "Accept"}) {
		t.Errorf("%d, Vary %q", got.status, vary)
	}
}

func TestFeedList(t *testing.T) {
	_, h := start(t)
	ubuntu, centos := add(t, h, "test/ubuntu", "latest"), add(t, h, "test/centos")
	got := call(h, "GET", "/findings/", "", "")
	console := "https://us-west-2.console.aws.amazon.com/ecr/repositories/private/123456789012/"
	want := []feedrules.Outline{
		{Text: "ECR repository test/ubuntu in us-west-2", XMLURL: "/findings/" + ubuntu, HTMLURL: console + "test/ubuntu?region=us-west-2"},
		{Text: "ECR repository test/ubuntu in us-west-2, what changed", XMLURL: "/findings/" + ubuntu + "/changes", HTMLURL: console + "test/ubuntu?region=us-west-2"},
		{Text: "ECR repository test/centos in us-west-2", XMLURL: "/findings/" + centos, HTMLURL: console + "test/centos?region=us-west-2"},
		{Text: "ECR repository test/centos in us-west-2, what changed", XMLURL: "/findings/" + centos + "/changes", HTMLURL: console + "test/centos?region=us-west-2"},
		{Text: "ECR image scan findings", XMLURL: "/findings/all", HTMLURL: base + "/summary"},
		{Text: "ECR image scan findings, what changed", XMLURL: "/changes", HTMLURL: base + "/summary"},
	}
	for i := range want {
		want[i].Title, want[i].Type, want[i].XMLURL = want[i].Text, "rss", base+want[i].XMLURL
	}
	if diff := cmp.Diff(want, feedrules.OPML(t, []byte(got.body))); diff != "" || got.header.Get("Content-Type") != "text/x-opml; charset=utf-8" {
		t.Errorf("%v (-want +got):\n%s", got.header, diff)
	}
	if again := call(h, "GET", "/findings", "", "", "If-None-Match", got.header.Get("ETag")); again.status != 304 {
		t.Errorf("again: %d", again.status)
	}
	// The URLs in the list contain the key and the filter, and are equal to the self links of the feeds.
	for _, o := range feedrules.OPML(t, []byte(call(h, "GET", "/findings?tag=latest&severity=low&by=vulnerability&key=a%26b", "", "").body)) {
		u, err := url.Parse(strings.TrimPrefix(o.XMLURL, base))
		if err != nil {
			t.Fatal(err)
		}
		if f := feed(t, h, u.String()); f.Title != o.Title || base+linkOf(f, "self") != o.XMLURL || u.Query().Get("key") != "a&b" || u.Query().Get("severity") != "LOW" {
			t.Errorf("outline %+v, feed %q at %s", o, f.Title, linkOf(f, "self"))
		}
	}
}

func TestFeedListNeedsTheBaseURL(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	api := a.Service(awstest.Silent()).API("")
	h := handler(t, api)
	if got := call(h, "POST", "/configs", "application/json", valid); !strings.HasPrefix(got.header.Get("Location"), "/configs/") {
		t.Errorf("Location %q", got.header.Get("Location"))
	}
	checkProblem(t, call(h, "GET", "/findings", "", ""), 500)
	if f := feed(t, h, "/findings/all"); linkOf(f, "self") != "" {
		t.Errorf("self %s", linkOf(f, "self"))
	}
}

func TestAllFindings(t *testing.T) {
	a, h := start(t)
	if f := feed(t, h, "/findings/all"); len(f.Entries) != 0 || linkOf(f, "self") != "/findings/all" || linkOf(f, "alternate") != "/summary" {
		t.Errorf("without configs: %+v", f)
	}
	one := add(t, h, "test/ubuntu")
	add(t, h, "test/ubuntu", "latest")
	add(t, h, "test/centos")
	add(t, h, "test/gone")
	f := feed(t, h, "/findings/all")
	if len(f.Entries) != 80+34 || f.Title != "ECR image scan findings" || !strings.HasSuffix(f.Subtitle, "Without a result: [test/gone in us-west-2] REPOSITORY NOT FOUND") {
		t.Errorf("%d entries, title %q, subtitle %q", len(f.Entries), f.Title, f.Subtitle)
	}
	ids := map[string]bool{}
	for _, e := range f.Entries {
		ids[e.ID] = true
	}
	single := feed(t, h, "/findings/"+one)
	for _, e := range single.Entries {
		if ids[e.ID] {
			t.Errorf("%s has the same id in the feed of all configs", e.Title)
		}
	}
	if f.ID == single.ID {
		t.Error("the feed of all configs has the id of a feed of one config")
	}
	if f := feed(t, h, "/findings/all?tag=latest&severity=MEDIUM"); len(f.Entries) != 7 || strings.Contains(f.Subtitle, "NO IMAGES") {
		t.Errorf("filtered: %d entries, %s", len(f.Entries), f.Subtitle)
	}

	// If ECR is temporarily unavailable, the feed contains the last known findings, and after two hours their date. Findings of
	// repositories to which ECR denies access are removed.
	h.visit(t) // starts the scans of the samples
	a.Advance(time.Minute)
	h.visit(t)
	a.Advance(3 * time.Hour)
	undo := a.ECR.InjectFault(awslocal.Fault{Resource: "test/ubuntu", Status: 500})
	if f := feed(t, h, "/findings/all"); len(f.Entries) != 80+34 || !strings.Contains(f.Subtitle, ". As of 20") || !strings.Contains(f.Subtitle, ", because ECR can't be read at the moment: ") {
		t.Errorf("one repository can't be read: %d entries, %s", len(f.Entries), f.Subtitle)
	}
	undo()
	a.ECR.InjectFault(ecr.Deny("", ecr.RepositoryID{}))
	a.Advance(refresh.ListingMaxAge)
	if f := feed(t, h, "/findings/all"); len(f.Entries) != 0 || !strings.Contains(f.Subtitle, "[test/centos in us-west-2] NO ACCESS") {
		t.Errorf("access denied: %d entries, %s", len(f.Entries), f.Subtitle)
	}
}

// Before the first visit there are no known findings. If ECR is temporarily unavailable for one repository, the feed lists the others.
// If it is unavailable for all existing repositories, the status is 503.
func TestOutageBeforeTheFirstVisit(t *testing.T) {
	a, h := start(t)
	for _, repo := range []string{"test/ubuntu", "test/centos", "test/gone"} {
		add(t, h, repo)
	}
	a.ECR.InjectFault(awslocal.Fault{Operation: "DescribeImageScanFindings", Status: 500})
	got := call(h, "GET", "/findings/all?page=2", "", "")
	if checkProblem(t, got, 503); got.header.Get("Retry-After") == "" {
		t.Errorf("an outage: %v", got.header)
	}
	for operation, want := range map[string]string{"DescribeImageScanFindings": "[test/ubuntu:16.04] UNAVAILABLE: ", "DescribeImages": "[test/ubuntu in us-west-2] UNAVAILABLE: "} {
		a.ECR.ClearFaults()
		a.ECR.InjectFault(awslocal.Fault{Operation: operation, Resource: "test/ubuntu", Status: 500})
		if f := feed(t, h, "/findings/all"); len(f.Entries) != 34 || !strings.Contains(f.Subtitle, want) {
			t.Errorf("%s of one repository fails: %d entries, %s", operation, len(f.Entries), f.Subtitle)
		}
	}
}

func TestFilteredSummary(t *testing.T) {
	_, h := start(t)
	for _, repo := range []string{"amazonlinux", "test/centos", "test/ubuntu", "test/gone"} {
		add(t, h, repo)
	}
	plain := call(h, "GET", "/summary", "", "").body
	if got := call(h, "GET", "/summary?key=x", "", "").body; got != plain || strings.Contains(plain, "Filtered") {
		t.Errorf("without a filter: %s", got)
	}
	want := `Filtered by severity HIGH and above: the rest is left out.


Results for test/centos:7 in us-west-2:
 HIGH: 7


Results for test/gone in us-west-2:
 REPOSITORY NOT FOUND


`
	got := call(h, "GET", "/summary?severity=HIGH", "", "").body
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got = call(h, "GET", "/summary?tag=latest&tag=2018.03", "", "").body
	if !strings.HasPrefix(got, "Filtered by tag 2018.03 or latest: ") || !strings.Contains(got, "\nResults for amazonlinux:2018.03 in us-west-2:\n\n\n") ||
		!strings.Contains(got, "\nResults for test/ubuntu:latest in us-west-2:\n MEDIUM: 7\n LOW: 13\n INFORMATIONAL: 9\n\n\n") || strings.Contains(got, "centos") || strings.Contains(got, "16.04") {
		t.Errorf("by tag:\n%s", got)
	}
}
