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

// Each exchange that is wrong is one that openapi.yaml allows, but for one thing.
func TestCheck(t *testing.T) {
	d, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	feed := []string{"Content-Type", "application/atom+xml; charset=utf-8", "ETag", etag, "Cache-Control", "private, max-age=900", "Vary", "Accept"}
	isJSON, isProblem := []string{"Content-Type", "application/json"}, []string{"Content-Type", "application/problem+json"}
	problem := func(status string) string { return strings.Replace(notFound, "404", status, 1) }
	for name, test := range map[string]struct {
		method, target, sent string
		status               int
		header               []string
		body                 string
		says                 string // "" for nothing
	}{
		"a config":                   {"GET", "/configs/" + id, "", 200, isJSON, config, ""},
		"with a slash":               {"GET", "/configs/" + id + "/", "", 200, isJSON, config, ""},
		"HEAD":                       {"HEAD", "/configs/" + id, "", 200, isJSON, "", ""},
		"HEAD without its type":      {"HEAD", "/configs/" + id, "", 200, nil, "", "content type"},
		"a field of another type":    {"GET", "/configs/" + id, "", 200, isJSON, strings.Replace(config, `"1795568190"`, "1795568190", 1), "created"},
		"a field too many":           {"GET", "/configs/" + id, "", 200, isJSON, strings.Replace(config, "{", `{"owner":"me",`, 1), "owner"},
		"a field too few":            {"GET", "/configs/" + id, "", 200, isJSON, strings.Replace(config, `,"tags":null`, "", 1), "tags"},
		"a type array's other type":  {"GET", "/configs/" + id, "", 200, isJSON, strings.Replace(config, "null", `["latest"]`, 1), ""},
		"a type that isn't in it":    {"GET", "/configs/" + id, "", 200, isJSON, strings.Replace(config, "null", `"latest"`, 1), "tags"},
		"in a list":                  {"GET", "/configs", "", 200, isJSON, "[" + strings.Replace(config, "us-west-2", "Oregon", 1) + "]", "region"},
		"no JSON":                    {"GET", "/configs", "", 200, isJSON, "[", "decode"},
		"a type of content":          {"GET", "/configs", "", 200, []string{"Content-Type", "text/plain"}, "[]", "content type"},
		"another charset":            {"GET", "/findings/all", "", 200, append([]string{"Content-Type", "application/atom+xml"}, feed[2:]...), atom, "content type"},
		"a status":                   {"GET", "/configs", "", 206, isJSON, "[]", "status"},
		"a created config":           {"POST", "/configs", draft, 201, append([]string{"Location", "/configs/" + id}, isJSON...), config, ""},
		"without Location":           {"POST", "/configs", draft, 201, isJSON, config, "Location"},
		"a wrong draft, taken":       {"POST", "/configs", `{"region":"us-west-2"}`, 201, append([]string{"Location", "/configs/" + id}, isJSON...), config, "taken"},
		"no draft, taken":            {"POST", "/configs", "", 201, append([]string{"Location", "/configs/" + id}, isJSON...), config, "taken"},
		"a draft with an id, taken":  {"POST", "/configs", config, 201, append([]string{"Location", "/configs/" + id}, isJSON...), config, "taken"},
		"a wrong draft, refused":     {"POST", "/configs", "{}", 400, append([]string{"Cache-Control", "no-store"}, isProblem...), problem("400"), ""},
		"refused, may be kept":       {"POST", "/configs", "{}", 400, isProblem, problem("400"), "Cache-Control"},
		"deleted":                    {"DELETE", "/configs/" + id, "", 204, nil, "", ""},
		"deleted, with a body":       {"DELETE", "/configs/" + id, "", 204, nil, "gone", "a body"},
		"a feed":                     {"GET", "/findings/all?severity=high&tag=a&tag=b&page=2&key=k", "", 200, feed, atom, ""},
		"no feed":                    {"GET", "/findings/all", "", 200, feed, "<feed>", "schema"},
		"without ETag":               {"GET", "/findings/all", "", 200, append(feed[:2:2], feed[4:]...), atom, "ETag"},
		"another ETag":               {"GET", "/findings/all", "", 200, append(feed[:2:2], "ETag", "W/"+etag, "Cache-Control", feed[5]), atom, "ETag"},
		"a header":                   {"GET", "/findings/all", "", 200, append(feed[:8:8], "X-Powered-By", "us"), atom, "X-Powered-By"},
		"a parameter, taken":         {"GET", "/findings/all?sevrity=HIGH", "", 200, feed, atom, "sevrity"},
		"a severity, taken":          {"GET", "/findings/all?severity=SEVERE", "", 200, feed, atom, "severity"},
		"page 41, taken":             {"GET", "/findings/all?page=41", "", 200, feed, atom, "page"},
		"an id, taken":               {"GET", "/findings/x", "", 200, feed, atom, "scanid"},
		"not modified":               {"GET", "/findings/all", "", 304, feed[2:], "", ""},
		"not modified, without ETag": {"GET", "/findings/all", "", 304, feed[4:], "", "ETag"},
		"no retry":                   {"GET", "/summary", "", 503, append([]string{"Cache-Control", "no-store"}, isProblem...), problem("503"), "Retry-After"},
		"no path":                    {"GET", "/nowhere", "", 404, isProblem, notFound, ""},
		"no path, a page":            {"GET", "/nowhere", "", 404, []string{"Content-Type", "text/html"}, "", "content type"},
		"no path, found":             {"GET", "/nowhere", "", 200, isJSON, "{}", "status"},
		"no method":                  {"PUT", "/configs", "", 405, append([]string{"Cache-Control", "no-store", "Allow", "GET"}, isProblem...), problem("405"), ""},
		"no method, without Allow":   {"PUT", "/configs", "", 405, append([]string{"Cache-Control", "no-store"}, isProblem...), problem("405"), "Allow"},
		"no method, answered":        {"PUT", "/configs", "", 200, isJSON, "[]", "status"},
		"no problem":                 {"GET", "/nowhere", "", 404, isProblem, `{"message":"Not Found"}`, "schema"},
	} {
		r := httptest.NewRequest(test.method, test.target, strings.NewReader(test.sent))
		r.Header.Set("Content-Type", "application/json")
		answer := &http.Response{StatusCode: test.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(test.body))}
		for i := 0; i+1 < len(test.header); i += 2 {
			answer.Header.Add(test.header[i], test.header[i+1])
		}
		err := d.Check(r, answer)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
	}
}

// An example that its schema doesn't allow is found when the document is read, and so is a document that isn't one.
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
