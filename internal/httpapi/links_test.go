package httpapi_test

import (
	"net/url"
	"strings"
	"testing"

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
