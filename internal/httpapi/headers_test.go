package httpapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Only feeds may be taken from a cache without a question, because readers poll them. Configs are never stored in a cache.
func TestCacheControl(t *testing.T) {
	_, h := start(t)
	id := add(t, h, "test/ubuntu")
	const feedAge, ask, never = "private, max-age=900", "private, no-cache", "no-store"
	for target, want := range map[string]string{
		"/findings/" + id: feedAge, "/findings/" + id + "?format=json": feedAge, "/findings/all?format=json": feedAge, "/changes": feedAge, "/changes?format=json": feedAge,
		"/findings/" + id + "?format=csv": ask, "/findings/" + id + "?format=sarif": ask, "/findings/all?format=html": ask, "/findings": ask,
		"/summary": ask, "/summary?format=json": ask, "/summary?format=csv": ask, "/summary?format=html": ask,
		"/badge/" + id + ".svg": "public, max-age=300", "/gate/" + id + "?max=CRITICAL": never,
		"/configs": never, "/configs/" + id: never, "/": never,
	} {
		got := call(h, "GET", target, "", "")
		if got.status >= 400 && !strings.HasPrefix(target, "/gate") || got.header.Get("Cache-Control") != want {
			t.Errorf("GET %s: %d, Cache-Control %q, want %q", target, got.status, got.header.Get("Cache-Control"), want)
		}
		if hasETag := got.header.Get("ETag") != ""; hasETag != (want != never || target == "/configs/"+id) {
			t.Errorf("GET %s: ETag %q", target, got.header.Get("ETag"))
		}
	}
	if got := call(h, "POST", "/configs", "application/json", valid); got.status != 201 || got.header.Get("Cache-Control") != never {
		t.Errorf("POST: %d, %q", got.status, got.header.Get("Cache-Control"))
	}
	if got := call(h, "DELETE", "/configs/"+id, "", ""); got.status != 204 || got.header.Get("Cache-Control") != never {
		t.Errorf("DELETE: %d, %q", got.status, got.header.Get("Cache-Control"))
	}
}

// The root leads to the summary, with an absolute URL, because a relative one would be wrong after /Prod. The key of the URL stays.
func TestRootLeadsToTheSummary(t *testing.T) {
	_, h := start(t)
	for _, method := range []string{"GET", "HEAD"} {
		if got := call(h, method, "/", "", "", "Accept", "text/html"); got.status != http.StatusSeeOther || got.header.Get("Location") != base+"/summary" || got.body != "" {
			t.Errorf("%s /: %d %q %q", method, got.status, got.header.Get("Location"), got.body)
		}
	}
	checkProblem(t, call(h, "GET", "/?x=1", "", ""), 400)
	if got := call(h, "OPTIONS", "/", "", ""); got.status != http.StatusNoContent || got.header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("OPTIONS: %d %q", got.status, got.header.Get("Allow"))
	}
	protected, _, _ := withAccess(t, hash(fullKey), hash(readKey))
	got := call(protected, "GET", inURL("/", readKey), "", "")
	location, err := url.Parse(got.header.Get("Location"))
	if err != nil || got.status != http.StatusSeeOther || location.Query().Get("key") != readKey || !strings.HasPrefix(location.String(), base+"/summary?") {
		t.Errorf("with a key: %d %s, %v", got.status, location, err)
	}
	checkProblem(t, call(protected, "GET", "/", "", ""), 401)
}
