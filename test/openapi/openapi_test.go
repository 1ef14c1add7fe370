package openapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"ecr-continuous-scan/test/openapi"
)

const (
	id       = "01a21034-4364-7edd-b2e3-8637732cb583"
	config   = `{"id":"` + id + `","created":"1795568190","region":"us-west-2","registry":"123456789012","repository":"test/ubuntu","tags":null}`
	draft    = `{"region":"us-west-2","registry":"123456789012","repository":"test/ubuntu","tags":["latest"]}`
	notFound = `{"type":"about:blank","title":"Not Found","status":404,"detail":"There is nothing at this path."}`
	etag     = `"5560f9dc693dba9bdc22685835a30e03"`
	atom     = `<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom"></feed>` + "\n"
)

// Each invalid case differs from a valid one in only one thing.
func TestCheck(t *testing.T) {
	d, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	feed := []string{"Content-Type", "application/atom+xml; charset=utf-8", "ETag", etag, "Cache-Control", "private, max-age=900", "Vary", "Accept"}
	etagged := []string{"Content-Type", "application/json", "Cache-Control", "no-store", "ETag", etag}
	isJSON, isProblem := []string{"Content-Type", "application/json", "Cache-Control", "no-store"}, []string{"Content-Type", "application/problem+json"}
	problem := func(status string) string { return strings.Replace(notFound, "404", status, 1) }
	for name, test := range map[string]struct {
		method, target, sent string
		status               int
		header               []string
		body                 string
		wantError            string // "" for none
	}{
		"a config":                      {"GET", "/configs/" + id, "", 200, etagged, config, ""},
		"with a slash":                  {"GET", "/configs/" + id + "/", "", 200, etagged, config, ""},
		"HEAD":                          {"HEAD", "/configs/" + id, "", 200, etagged, "", ""},
		"HEAD without its type":         {"HEAD", "/configs/" + id, "", 200, etagged[2:], "", "content type"},
		"a field of another type":       {"GET", "/configs/" + id, "", 200, etagged, strings.Replace(config, `"1795568190"`, "1795568190", 1), "created"},
		"an unknown field":              {"GET", "/configs/" + id, "", 200, etagged, strings.Replace(config, "{", `{"color":"red",`, 1), "color"},
		"a missing field":               {"GET", "/configs/" + id, "", 200, etagged, strings.Replace(config, `,"tags":null`, "", 1), "tags"},
		"a type array's other type":     {"GET", "/configs/" + id, "", 200, etagged, strings.Replace(config, "null", `["latest"]`, 1), ""},
		"a type that isn't in it":       {"GET", "/configs/" + id, "", 200, etagged, strings.Replace(config, "null", `"latest"`, 1), "tags"},
		"in a list":                     {"GET", "/configs", "", 200, isJSON, "[" + strings.Replace(config, "us-west-2", "Oregon", 1) + "]", "region"},
		"not JSON":                      {"GET", "/configs", "", 200, isJSON, "[", "decode"},
		"another content type":          {"GET", "/configs", "", 200, []string{"Content-Type", "text/plain", "Cache-Control", "no-store"}, "[]", "content type"},
		"another charset":               {"GET", "/findings/all", "", 200, append([]string{"Content-Type", "application/atom+xml"}, feed[2:]...), atom, "content type"},
		"unknown status":                {"GET", "/configs", "", 206, isJSON, "[]", "status"},
		"a replaced config":             {"PUT", "/configs/" + id, draft, 200, isJSON, strings.Replace(config, "}", `,"updated":"1795568191"}`, 1), ""},
		"a wrong draft replaces":        {"PUT", "/configs/" + id, config, 200, isJSON, config, "accepted"},
		"without an ETag":               {"GET", "/configs/" + id, "", 200, isJSON, config, "ETag"},
		"a created config":              {"POST", "/configs", draft, 201, append([]string{"Location", "/configs/" + id}, isJSON...), config, ""},
		"without Location":              {"POST", "/configs", draft, 201, isJSON, config, "Location"},
		"a wrong draft, accepted":       {"POST", "/configs", `{"region":"us-west-2"}`, 201, append([]string{"Location", "/configs/" + id}, isJSON...), config, "accepted"},
		"no draft, accepted":            {"POST", "/configs", "", 201, append([]string{"Location", "/configs/" + id}, isJSON...), config, "accepted"},
		"a draft with an id, accepted":  {"POST", "/configs", config, 201, append([]string{"Location", "/configs/" + id}, isJSON...), config, "accepted"},
		"a wrong draft, rejected":       {"POST", "/configs", "{}", 400, append([]string{"Cache-Control", "no-store"}, isProblem...), problem("400"), ""},
		"rejected, without no-store":    {"POST", "/configs", "{}", 400, isProblem, problem("400"), "Cache-Control"},
		"two asterisks in path":         {"POST", "/suppressions", `{"package":"a","reason":"r","path":"**"}`, 201, isJSON, "{}", "accepted"},
		"two asterisks in repository":   {"POST", "/suppressions", `{"package":"a","reason":"r","repository":"**"}`, 201, isJSON, "{}", "accepted"},
		"two asterisks in tag":          {"POST", "/suppressions", `{"package":"a","reason":"r","tag":"**"}`, 201, isJSON, "{}", "accepted"},
		"two asterisks in registry":     {"POST", "/suppressions", `{"package":"a","reason":"r","registry":"**"}`, 201, isJSON, "{}", "accepted"},
		"two asterisks in region":       {"POST", "/suppressions", `{"package":"a","reason":"r","region":"**"}`, 201, isJSON, "{}", "accepted"},
		"deleted":                       {"DELETE", "/configs/" + id, "", 204, isJSON[2:], "", ""},
		"deleted, with a body":          {"DELETE", "/configs/" + id, "", 204, isJSON[2:], "gone", "a body"},
		"a feed":                        {"GET", "/findings/all?severity=high&tag=a&tag=b&page=2&key=k", "", 200, feed, atom, ""},
		"invalid feed":                  {"GET", "/findings/all", "", 200, feed, "<feed>", "schema"},
		"without ETag":                  {"GET", "/findings/all", "", 200, append(feed[:2:2], feed[4:]...), atom, "ETag"},
		"another ETag":                  {"GET", "/findings/all", "", 200, append(feed[:2:2], "ETag", "W/"+etag, "Cache-Control", feed[5]), atom, "ETag"},
		"unknown header":                {"GET", "/findings/all", "", 200, append(feed[:8:8], "X-Powered-By", "us"), atom, "X-Powered-By"},
		"a parameter, accepted":         {"GET", "/findings/all?sevrity=HIGH", "", 200, feed, atom, "sevrity"},
		"a severity, accepted":          {"GET", "/findings/all?severity=SEVERE", "", 200, feed, atom, "severity"},
		"page 41, accepted":             {"GET", "/findings/all?page=41", "", 200, feed, atom, "page"},
		"an id, accepted":               {"GET", "/findings/x", "", 200, feed, atom, "scanid"},
		"not modified":                  {"GET", "/findings/all", "", 304, feed[2:], "", ""},
		"not modified, without ETag":    {"GET", "/findings/all", "", 304, feed[4:], "", "ETag"},
		"without Retry-After":           {"GET", "/summary", "", 503, append([]string{"Cache-Control", "no-store"}, isProblem...), problem("503"), "Retry-After"},
		"unknown path":                  {"GET", "/nowhere", "", 404, isProblem, notFound, ""},
		"unknown path, HTML":            {"GET", "/nowhere", "", 404, []string{"Content-Type", "text/html"}, "", "content type"},
		"unknown path, 200":             {"GET", "/nowhere", "", 200, isJSON, "{}", "status"},
		"unknown method":                {"PUT", "/configs", "", 405, append([]string{"Cache-Control", "no-store", "Allow", "GET"}, isProblem...), problem("405"), ""},
		"unknown method, without Allow": {"PUT", "/configs", "", 405, append([]string{"Cache-Control", "no-store"}, isProblem...), problem("405"), "Allow"},
		"unknown method, 200":           {"PUT", "/configs", "", 200, isJSON, "[]", "status"},
		"invalid problem":               {"GET", "/nowhere", "", 404, isProblem, `{"message":"Not Found"}`, "schema"},
	} {
		r := httptest.NewRequest(test.method, test.target, strings.NewReader(test.sent))
		r.Header.Set("Content-Type", "application/json")
		response := &http.Response{StatusCode: test.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(test.body))}
		for i := 0; i+1 < len(test.header); i += 2 {
			response.Header.Add(test.header[i], test.header[i+1])
		}
		err := d.Check(r, response)
		if (err == nil) != (test.wantError == "") || err != nil && !strings.Contains(err.Error(), test.wantError) {
			t.Errorf("%s: %v, want %q", name, err, test.wantError)
		}
	}
}

// A client that gets Last-Modified can send it back.
func TestIfModifiedSince(t *testing.T) {
	d, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for path, item := range d.Paths.Map() {
		if item.Get == nil || item.Get.Responses.Value("200") == nil || item.Get.Responses.Value("200").Value.Headers["Last-Modified"] == nil {
			continue
		}
		found++
		if item.Parameters.GetByInAndName("header", "If-Modified-Since") == nil {
			t.Errorf("%s lacks If-Modified-Since", path)
		}
	}
	if found != 4 {
		t.Errorf("%d paths answer with Last-Modified, want 4", found)
	}
}

// New rejects an invalid document, and one with an example that its schema does not allow.
func TestNew(t *testing.T) {
	const document = `
openapi: 3.1.0
info: {title: test, version: "1"}
paths:
  /a:
    get:
      responses:
        "200":
          description: OK
          content:
            application/json:
              schema: {$ref: "#/components/schemas/A"}
              examples: {one: {value: {a: null}}}
components:
  schemas:
    A: {type: object, properties: {a: {type: [string, "null"]}}}
`
	for from, to := range map[string]string{
		"":                                    "",
		"value: {a: null}":                    "value: {a: 1}",
		"examples: {one: {value: {a: null}}}": "example: {a: null, b: null}",
		"description: OK":                     "headers: {}",
	} {
		loaded, err := openapi3.NewLoader().LoadFromData([]byte(strings.Replace(document, from, to, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openapi.New(loaded); (err == nil) != (from == "") {
			t.Errorf("%q: %v", to, err)
		}
	}
}
