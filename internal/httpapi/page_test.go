package httpapi_test

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/render/page"
	"ecr-continuous-scan/test/awstest"
)

const (
	isHTML  = "text/html; charset=utf-8"
	isText  = "text/plain; charset=utf-8"
	browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
)

func TestSummaryPageNegotiation(t *testing.T) {
	_, h := start(t)
	for _, test := range []struct{ target, accept, want string }{
		{"/summary", "", isText}, {"/summary", "*/*", isText}, {"/summary", "text/*", isText}, {"/summary", "text/plain, text/html", isText},
		{"/summary", "application/json;q=0", isText}, {"/summary", browser, isHTML}, {"/summary/", "text/html", isHTML},
		{"/summary?format=html", "*/*", isHTML}, {"/summary?format=text", browser, isText},
	} {
		got := call(h, "GET", test.target, "", "", "Accept", test.accept)
		if got.status != 200 || got.header.Get("Content-Type") != test.want {
			t.Errorf("%s for %q: %d %s", test.target, test.accept, got.status, got.header.Get("Content-Type"))
		}
		if varies := got.header.Get("Vary") == "Accept"; varies == strings.Contains(test.target, "format=") {
			t.Errorf("%s: Vary %q", test.target, got.header.Values("Vary"))
		}
	}
}

func TestPageHeaders(t *testing.T) {
	_, h := start(t)
	id := add(t, h, "test/ubuntu")
	for _, target := range []string{"/summary?format=html", "/findings/" + id + "?format=html", "/findings/all?format=html&sort=-cve&page=1", "/changes?format=html", "/findings/" + id + "/changes?format=html&severity=&tag="} {
		got := call(h, "GET", target, "", "")
		for name, want := range map[string]string{
			"Content-Type": isHTML, "Content-Security-Policy": page.Policy(), "Referrer-Policy": "no-referrer",
			"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache",
		} {
			if got.status != 200 || got.header.Get(name) != want {
				t.Errorf("%s: %d, %s: %q", target, got.status, name, got.header.Get(name))
			}
		}
		if !strings.Contains(got.body, `<link rel="alternate" type="application/atom+xml"`) {
			t.Errorf("%s names no feed", target)
		}
		for _, method := range []string{"GET", "HEAD"} {
			if again := call(h, method, target, "", "", "If-None-Match", got.header.Get("ETag")); again.status != 304 {
				t.Errorf("%s %s again: %d", method, target, again.status)
			}
		}
	}
	for _, path := range []string{"/findings/" + id, "/changes"} {
		if feed := call(h, "GET", path, "", "", "Accept", browser); feed.header.Get("Content-Security-Policy") != "" || !strings.Contains(feed.body, "<feed") {
			t.Errorf("%s for a browser: %v", path, feed.header)
		}
	}
}

// The links of a page contain the key of the request's URL, unless a header contains a key. They never contain the key of a header.
func TestKeysInPages(t *testing.T) {
	_, h := start(t)
	id := add(t, h, "test/ubuntu")
	for _, path := range []string{"/summary", "/findings/" + id, "/changes"} {
		page := call(h, "GET", path+"?format=html&key=a%26b", "", "")
		if !strings.Contains(page.body, `<input type="hidden" name="key" value="a&amp;b">`) || strings.Contains(page.body, "console.aws.amazon.com/ecr/repositories/private/123456789012/test/ubuntu?key") {
			t.Errorf("%s: the key is missing in links to the API, or is in a link to AWS: %s", path, page.body)
		}
		if page = call(h, "GET", path+"?format=html&key=a%26b", "", "", "Authorization", "Bearer secret"); strings.Contains(page.body, "key=") || strings.Contains(page.body, `name="key"`) || strings.Contains(page.body, "secret") {
			t.Errorf("%s: the page contains a key, though a header has one", path)
		}
	}
}

// Every link of a page to the API works.
func TestLinksOfPages(t *testing.T) {
	_, h := start(t)
	id := add(t, h, "test/ubuntu", "16.04", "latest")
	for _, target := range []string{"/summary?format=html&since=7d&tag=16.04&severity=LOW&repository=test/ubuntu", "/findings/" + id + "?format=html&sort=-cve&by=vulnerability&fixable=true", "/findings/all?format=html", "/findings/" + id + "/changes?format=html&severity=LOW", "/changes?format=html"} {
		links := regexp.MustCompile(`(?:href|action)="`+regexp.QuoteMeta(base)+`([^"]*)"`).FindAllStringSubmatch(call(h, "GET", target, "", "").body, -1)
		if len(links) < 8 {
			t.Errorf("%s: %d links", target, len(links))
		}
		for _, link := range links {
			if got := call(h, "GET", html.UnescapeString(link[1]), "", ""); got.status != 200 {
				t.Errorf("%s has a link to %s: %d %s", target, link[1], got.status, got.body)
			}
		}
	}
}

// A browser's form also sends its empty fields.
func TestEmptyFormFields(t *testing.T) {
	_, h := start(t)
	id := add(t, h, "test/ubuntu")
	add(t, h, "test/centos")
	all := call(h, "GET", "/summary?format=html", "", "")
	if got := call(h, "GET", "/summary?format=html&severity=&repository=&tag=+", "", ""); got.body != all.body {
		t.Errorf("an empty form: %d %s", got.status, got.body)
	}
	if got := call(h, "GET", "/findings/"+id+"?format=html&severity=&tag=&package=&cve=", "", ""); got.status != 200 || !strings.Contains(got.body, "80 findings") {
		t.Errorf("an empty form: %d", got.status)
	}
	if got := call(h, "GET", "/summary?repository=test/centos&repository=test/none", "", ""); !strings.HasPrefix(got.body, "Filtered by repository test/centos or test/none: the rest is left out.\n\n\nResults for test/centos:7") || strings.Contains(got.body, "ubuntu") {
		t.Errorf("by repository, as text: %s", got.body)
	}
}

// The whole list is sorted, not only the findings of one page.
func TestSortedFindings(t *testing.T) {
	_, h := start(t)
	id := add(t, h, "test/ubuntu", "16.04")
	for sort, first := range map[string]string{"": "CVE-2016-1585", "&sort=-severity": "Informational", "&sort=package": "apparmor", "&sort=-package": "util-<wbr>linux"} {
		got := call(h, "GET", "/findings/"+id+"?format=html"+sort, "", "")
		_, table, _ := strings.Cut(got.body, "<tbody")
		row, _, _ := strings.Cut(table, "</tr>")
		if !strings.Contains(row, first) {
			t.Errorf("sorted by %s, the first isn't %s: %s", sort, first, row)
		}
	}
}

func TestPagesNeedTheBaseURL(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	api := a.Service(awstest.Silent()).API("")
	h := handler(t, api)
	checkProblem(t, call(h, "GET", "/summary?format=html", "", ""), 500)
	checkProblem(t, call(h, "GET", "/findings/all?format=html", "", ""), 500)
	if got := call(h, "GET", "/summary", "", ""); got.status != 200 {
		t.Errorf("the text: %d", got.status)
	}
}
