package httpapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/render/page"
	"ecr-continuous-scan/test/awstest"
)

// checkErrorPage checks that an answer is a page with the texts.
func checkErrorPage(t *testing.T, name string, got response, status int, texts ...string) {
	t.Helper()
	for header, want := range map[string]string{
		"Content-Type": isHTML, "Content-Security-Policy": page.Policy(), "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"Cache-Control": "no-store", "Vary": "Accept",
	} {
		if got.status != status || got.header.Get(header) != want {
			t.Errorf("%s: %d, %s: %q", name, got.status, header, got.header.Get(header))
		}
	}
	for _, text := range texts {
		if !strings.Contains(got.body, text) {
			t.Errorf("%s: the page has no %q: %s", name, text, got.body)
		}
	}
}

// A browser gets each error as a page. A program gets the problem document.
func TestErrorPages(t *testing.T) {
	a, h := start(t)
	putGateImages(a.ECR)
	id := add(t, h, "team/app")
	for _, test := range []struct {
		method, target string
		status         int
		texts          []string
	}{
		{"GET", "/findings/" + id + "?format=html&page=0&nosuch=1&severity=%3Cscript%3E", 400, []string{"<h1>400 Bad Request</h1>", "<code>page</code>", "must be a number from 1 to 40", "<code>nosuch</code>", "<code>severity</code>"}},
		{"GET", "/summary?%3Cscript%3E=1", 400, []string{"<code>&lt;script&gt;</code>"}},
		{"GET", "/findings/" + exampleID, 404, []string{"<h1>404 Not Found</h1>", "There is no scan config with this id."}},
		{"GET", "/configs/" + exampleID, 404, []string{"There is no scan config with this id."}},
		{"GET", "/badge/nix", 404, []string{"There is no badge with this name."}},
		{"GET", "/no/such/path", 404, []string{"There is nothing at this path.", base + "/summary?format=html"}},
		{"GET", "/changes?format=html&page=2", 404, []string{"The last page is 1."}},
		{"PUT", "/summary", 405, []string{"<h1>405 Method Not Allowed</h1>", "GET, HEAD, OPTIONS"}},
		{"GET", "/gate/" + id, 400, []string{"<code>max</code>", "is required"}},
		{"GET", "/gate/" + id + "?max=MEDIUM", 409, []string{"<h1>409 Conflict</h1>", "Gate failed", "team/app:high", "above max", "HIGH: 2", "team/app:stale", "team/app:new"}},
		{"POST", "/configs", 415, []string{"Content-Type: application/json"}},
	} {
		got := call(h, test.method, test.target, "", "", "Accept", browser)
		checkErrorPage(t, test.target, got, test.status, test.texts...)
		if strings.Contains(got.body, "<script") || strings.Contains(got.body, `rel="alternate"`) {
			t.Errorf("%s: %s", test.target, got.body)
		}
		program := call(h, test.method, test.target, "", "")
		checkProblem(t, program, test.status)
		if strings.Join(program.header.Values("Vary"), ", ") != "Accept" {
			t.Errorf("%s: Vary %q", test.target, program.header.Values("Vary"))
		}
	}
	checkErrorPage(t, "HEAD", call(h, "HEAD", "/no/such/path", "", "", "Accept", browser), 404)
	if got := call(h, "PUT", "/summary", "", "", "Accept", browser); got.header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("Allow %q", got.header.Get("Allow"))
	}
}

// Only a client that likes a page best gets one. A change of these rows changes what programs get.
func TestWhoGetsAnErrorPage(t *testing.T) {
	_, h := start(t)
	want := call(h, "GET", "/configs/"+exampleID, "", "").body
	for accept, isPage := range map[string]bool{
		browser: true, "text/html": true, "text/html, */*;q=0.1": true, "text/html;q=0.9, application/json;q=0.5": true,
		"": false, "*/*": false, "text/*": false, "application/json": false, "text/html, */*": false, "application/problem+json, text/html": false,
		"text/html;q=0.5, application/problem+json": false, "text/html;q=0": false, "application/atom+xml, text/html;q=0.8": false, "text/html;q=0.2, */*;q=0.2": false,
		"application/atom+xml, application/rss+xml, application/xml;q=0.9, text/html;q=0.2, */*;q=0.1": false,
	} {
		got := call(h, "GET", "/configs/"+exampleID, "", "", "Accept", accept)
		if strings.HasPrefix(got.body, "<!doctype html>") != isPage || !isPage && got.body != want {
			t.Errorf("Accept %q: %s", accept, got.body)
		}
	}
}

// The page of 401 says how to give a key. No error page contains the key of a header, or a wrong key.
func TestKeysInErrorPages(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	api := a.Service(awstest.Silent()).API(base)
	access, err := httpapi.ParseAccess(hash("the-full-key"), hash("the-read-key"))
	if err != nil {
		t.Fatal(err)
	}
	api.Access = access
	h := handler(t, api)
	for _, test := range []struct{ target, authorization string }{{"/summary", ""}, {"/summary?key=the-full-key", ""}, {"/summary?key=wrong-key", ""}, {"/no/such/path", "Bearer wrong-key"}} {
		got := call(h, "GET", test.target, "", "", "Accept", browser, "Authorization", test.authorization)
		checkErrorPage(t, test.target, got, 401, "<h1>401 Unauthorized</h1>", "?key=", "the key is missing or wrong")
		if strings.Contains(got.body, "-key") || strings.Contains(got.body, "/findings") || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %v %s", test.target, got.header, got.body)
		}
	}
	if got := call(h, "GET", "/nix", "", "", "Accept", browser, "Authorization", "Bearer the-full-key"); got.status != 404 || strings.Contains(got.body, "-key") {
		t.Errorf("%d: a page contains the key of a header: %s", got.status, got.body)
	}
	if got := call(h, "GET", "/nix?key=the-read-key", "", "", "Accept", browser); got.status != 404 || !strings.Contains(got.body, "/summary?format=html&amp;key=the-read-key") {
		t.Errorf("%d: the links have no read key: %s", got.status, got.body)
	}
	checkErrorPage(t, "the read key", call(h, "POST", "/configs", "application/json", valid, "Accept", browser, "Authorization", "Bearer the-read-key"), 403, "The read key may only read")
}

// A temporary error says when to try again. Without the API's own URL, a browser gets the problem document.
func TestErrorPagesOfFailures(t *testing.T) {
	a := awstest.Start(t, ecr.Options{})
	a.S3.InjectFault(awslocal.Fault{Code: "AccessDenied", Message: "User: arn:aws:iam::1:role/secret is not authorized"})
	api := a.Service(awstest.Silent()).API(base)
	got := call(handler(t, api), "GET", "/summary", "", "", "Accept", browser)
	checkErrorPage(t, "503", got, 503, "<h1>503 Service Unavailable</h1>", "in 30 seconds")
	if got.header.Get("Retry-After") != "30" || strings.Contains(got.body, "secret") {
		t.Errorf("%v %s", got.header, got.body)
	}
	h := handler(t, a.Service(awstest.Silent()).API(""))
	if got := call(h, "GET", "/nix", "", "", "Accept", browser); !json.Valid([]byte(got.body)) || got.status != 404 {
		t.Errorf("%d %s", got.status, got.body)
	}
}
