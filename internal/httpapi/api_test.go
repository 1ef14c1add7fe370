package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/openapi"
)

const (
	base  = "https://a1.execute-api.us-west-2.amazonaws.com/Prod"
	valid = `{"region":"us-west-2","registry":"123456789012","repository":"test/ubuntu","tags":["16.04","latest"]}`
	// exampleID is a valid scan ID. No config has it, except in tests that add one.
	exampleID = "4471c156-29f5-40fe-883b-3cd26738d5a6"
)

type response struct {
	status int
	header http.Header
	body   string
}

// problem contains the fields of a problem document.
type problem struct {
	Type, Title string
	Status      int
	Detail      string
	Errors      []scan.FieldError
}

// service is the whole API and the visits.
type service struct {
	http.Handler
	*awstest.Service
}

func start(t *testing.T) (*awstest.AWS, *service) {
	a := awstest.Start(t, ecr.Options{})
	if err := samples.PutWalkthrough(a.ECR); err != nil {
		t.Fatal(err)
	}
	s := a.Service(awstest.Silent())
	return a, &service{handler(t, s.API(base)), s}
}

// visit visits every repository.
func (s *service) visit(t *testing.T) awstest.Visits {
	t.Helper()
	visits, err := s.ScheduleAndVisit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return visits
}

// handler returns the whole API. It checks every request and response against openapi.yaml.
func handler(t *testing.T, api *httpapi.API) http.Handler {
	return openapi.Handler(t, "", api.Handler(api.Routes()))
}

func call(h http.Handler, method, target, contentType, body string, header ...string) response {
	r := httptest.NewRequest(method, "http://api.test/", strings.NewReader(body))
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	if unescaped, err := r.URL.Parse(target); err == nil && strings.Contains(target, "%") {
		r.URL = unescaped
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	got, _ := io.ReadAll(res.Body)
	return response{res.StatusCode, res.Header, string(got)}
}

// checkProblem checks a problem document and returns the pointers of its errors.
func checkProblem(t *testing.T, got response, status int) []string {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(got.body), &p); err != nil {
		t.Fatalf("status %d, body %.200q: %v", got.status, got.body, err)
	}
	if got.status != status || p.Status != status || p.Type != "about:blank" || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("status %d, want %d; problem %+v", got.status, status, p)
	}
	if ct := got.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type %q", ct)
	}
	var pointers []string
	for _, e := range p.Errors {
		pointers = append(pointers, e.Pointer)
	}
	return pointers
}

func TestWalkthrough(t *testing.T) {
	_, h := start(t)
	var ids []string
	for _, body := range []string{
		`{"region":"us-west-2","registry":"123456789012","repository":"amazonlinux","tags":["2018.03"]}`,
		`{"region":"us-west-2","registry":"123456789012","repository":"test/centos"}`, valid,
	} {
		got := call(h, "POST", "/configs/", "application/json", body)
		var c scan.Config
		if err := json.Unmarshal([]byte(got.body), &c); err != nil || got.status != 201 || got.header.Get("Location") != base+"/configs/"+c.ID {
			t.Fatalf("POST: %+v, %v", got, err)
		}
		if one := call(h, "GET", "/configs/"+c.ID, "", ""); one.status != 200 || one.body != got.body {
			t.Errorf("GET of the new config: %+v", one)
		}
		ids = append(ids, c.ID)
	}
	list := call(h, "GET", "/configs/", "", "")
	masked := regexp.MustCompile(`"(id|created)": "[^"]+"`).ReplaceAllString(list.body, `"$1": "…"`)
	want := `[
  {
    "id": "…",
    "created": "…",
    "region": "us-west-2",
    "registry": "123456789012",
    "repository": "amazonlinux",
    "tags": [
      "2018.03"
    ]
  },
  {
    "id": "…",
    "created": "…",
    "region": "us-west-2",
    "registry": "123456789012",
    "repository": "test/centos",
    "tags": null
  },
  {
    "id": "…",
    "created": "…",
    "region": "us-west-2",
    "registry": "123456789012",
    "repository": "test/ubuntu",
    "tags": [
      "16.04",
      "latest"
    ]
  }
]
`
	if diff := cmp.Diff(want, masked); diff != "" || list.header.Get("Content-Type") != "application/json" {
		t.Errorf("GET /configs/ (-want +got):\n%s", diff)
	}
	summary := call(h, "GET", "/summary", "", "")
	if diff := cmp.Diff(awstest.WalkthroughSummary, summary.body); diff != "" || summary.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("GET /summary (-want +got):\n%s", diff)
	}
	feed := call(h, "GET", "/findings/"+ids[2], "", "")
	if feed.status != 200 || feed.header.Get("Content-Type") != "application/atom+xml; charset=utf-8" || strings.Count(feed.body, "<entry>") != 80 ||
		!strings.Contains(feed.body, "<title>[MEDIUM] in image test/ubuntu:16.04 found CVE-2016-1585</title>") ||
		!strings.Contains(feed.body, `<link href="`+base+"/findings/"+ids[2]+`" rel="self"`) {
		t.Errorf("GET /findings: %d %v %.2000s", feed.status, feed.header, feed.body)
	}
	if again := call(h, "GET", "/findings/"+ids[2]+"/", "", "", "If-None-Match", feed.header.Get("ETag")); again.status != 304 || again.body != "" {
		t.Errorf("the same feed again: %d", again.status)
	}
	for _, header := range []string{"Range", "If-Range", "If-Match", "If-Unmodified-Since"} {
		if got := call(h, "GET", "/findings/"+ids[2], "", "", header, "bytes=999999999-"); got.status != 200 || got.body != feed.body || got.header.Get("Accept-Ranges") != "" {
			t.Errorf("with %s: %d", header, got.status)
		}
	}
	if got := call(h, "DELETE", "/configs/"+ids[0], "", ""); got.status != 204 || got.body != "" {
		t.Errorf("DELETE: %+v", got)
	}
	checkProblem(t, call(h, "DELETE", "/configs/"+ids[0], "", ""), 404)
}

func TestSummaryOfImagesWithoutResult(t *testing.T) {
	a, h := start(t)
	for _, repo := range []string{"test/hardcases", "test/gone", "test/locked", "test/empty", "test/centos"} {
		call(h, "POST", "/configs", "application/json", strings.Replace(valid, `"test/ubuntu","tags":["16.04","latest"]`, `"`+repo+`"`, 1))
	}
	a.ECR.PutRepository(ecr.RepositoryID{Name: "test/locked"}, ecr.Repository{})
	a.ECR.PutRepository(ecr.RepositoryID{Name: "test/empty"}, ecr.Repository{})
	a.ECR.InjectFault(ecr.Deny("", ecr.RepositoryID{Name: "test/locked"}))
	got := call(h, "GET", "/summary/", "", "").body
	for _, block := range []string{
		"Results for test/hardcases:archived in us-west-2:\n NOT SCANNED: archived\n\n\n",
		"Results for test/hardcases:multi (linux/amd64) in us-west-2:\n",
		"Results for test/hardcases:multi (linux/arm64/v8) in us-west-2:\n",
		"Results for test/hardcases:never-scanned in us-west-2:\n NOT SCANNED\n\n\n",
		"Results for test/gone in us-west-2:\n REPOSITORY NOT FOUND\n\n\n",
		"Results for test/locked in us-west-2:\n NO ACCESS\n\n\n",
		"Results for test/empty in us-west-2:\n NO IMAGES\n\n\n",
		"Results for test/centos:7 in us-west-2:\n HIGH: 7\n MEDIUM: 20\n LOW: 7\n\n\n",
	} {
		if !strings.Contains(got, block) {
			t.Errorf("no block\n%sin\n%s", block, got)
		}
	}
	if strings.Contains(got, "sha256-") {
		t.Errorf("the summary lists a signature as an image:\n%s", got)
	}
}

func TestInvalidConfigs(t *testing.T) {
	tags := func(n int) string { return "[" + strings.Repeat(`"x",`, n-1) + `"x"]` }
	with := func(field, value string) string {
		return regexp.MustCompile(`"`+field+`":("[^"]*"|\[.*\])`).ReplaceAllLiteralString(valid, `"`+field+`":`+value)
	}
	given := func(field, value string) string { return strings.Replace(valid, "{", `{"`+field+`":`+value+`,`, 1) }
	for name, test := range map[string]struct {
		contentType, body string
		status            int
		pointers          []string
	}{
		"nothing":               {"application/json", "", 400, []string{""}},
		"not JSON":              {"application/json", "region=us-west-2", 400, []string{""}},
		"half":                  {"application/json", valid[:40], 400, []string{""}},
		"a list":                {"application/json", "[" + valid + "]", 400, []string{""}},
		"a string":              {"application/json", `"x"`, 400, []string{""}},
		"null":                  {"application/json", "null", 400, []string{""}},
		"base64":                {"application/json", "eyJyZWdpb24iOiJ1cy13ZXN0LTIifQ==", 400, []string{""}},
		"a byte order mark":     {"application/json", "\ufeff" + valid, 400, []string{""}},
		"a second value":        {"application/json", valid + valid, 400, []string{""}},
		"a trailing bracket":    {"application/json", valid + "]", 400, []string{""}},
		"invalid UTF-8":         {"application/json", strings.Replace(valid, "ubuntu", "ubun\xfftu", 1), 400, []string{""}},
		"deep":                  {"application/json", strings.Repeat(`{"a":`, 10001), 400, []string{""}},
		"empty":                 {"application/json", "{}", 400, []string{"/region", "/registry", "/repository"}},
		"unknown field":         {"application/json", strings.Replace(valid, "{", `{"a/b~c":1,`, 1), 400, []string{"/a~1b~0c"}},
		"another case":          {"application/json", strings.Replace(valid, `"region"`, `"Region"`, 1), 400, []string{"/Region", "/region"}},
		"duplicate field":       {"application/json", strings.Replace(valid, "{", `{"region":"us-west-2",`, 1), 400, []string{"/region"}},
		"duplicate, escaped":    {"application/json", strings.Replace(valid, "{", `{"\u0072egion":"us-west-2",`, 1), 400, []string{"/region"}},
		"id given":              {"application/json", strings.Replace(valid, "{", `{"id":"`+exampleID+`",`, 1), 400, []string{"/id"}},
		"updated given":         {"application/json", strings.Replace(valid, "{", `{"updated":"1",`, 1), 400, []string{"/updated"}},
		"created given":         {"application/json", strings.Replace(valid, "{", `{"created":"1",`, 1), 400, []string{"/created"}},
		"registry, a number":    {"application/json", with("registry", "123456789012"), 400, []string{"/registry"}},
		"registry of 11 digits": {"application/json", with("registry", `"12345678901"`), 400, []string{"/registry"}},
		"region null":           {"application/json", with("region", "null"), 400, []string{"/region"}},
		"region a host":         {"application/json", with("region", `"evil.example/#"`), 400, []string{"/region"}},
		"repository in upper":   {"application/json", with("repository", `"Test/Ubuntu"`), 400, []string{"/repository"}},
		"tags a string":         {"application/json", with("tags", `"latest"`), 400, []string{"/tags"}},
		"tag a number":          {"application/json", with("tags", `["a",1,null]`), 400, []string{"/tags/1", "/tags/2"}},
		"tag empty":             {"application/json", with("tags", `[""]`), 400, []string{"/tags/0"}},
		"tag of 301":            {"application/json", with("tags", `["`+strings.Repeat("x", 301)+`"]`), 400, []string{"/tags/0"}},
		"tag twice":             {"application/json", with("tags", `["a","a"]`), 400, []string{"/tags/1"}},
		"1,001 tags":            {"application/json", with("tags", tags(1001)), 400, []string{"/tags"}},
		"name a number":         {"application/json", given("name", "1"), 400, []string{"/name"}},
		"name null":             {"application/json", given("name", "null"), 400, []string{"/name"}},
		"name empty":            {"application/json", given("name", `""`), 400, []string{"/name"}},
		"name of 101":           {"application/json", given("name", `"`+strings.Repeat("é", 101)+`"`), 400, []string{"/name"}},
		"name with a space":     {"application/json", given("name", `"a "`), 400, []string{"/name"}},
		"name of two lines":     {"application/json", given("name", `"a\nb"`), 400, []string{"/name"}},
		"name with a NUL":       {"application/json", given("name", `"a\u0000b"`), 400, []string{"/name"}},
		"name, half a pair":     {"application/json", given("name", `"\ud800"`), 400, []string{"/name"}},
		"owner a list":          {"application/json", given("owner", `["a"]`), 400, []string{"/owner"}},
		"owner empty":           {"application/json", given("owner", `""`), 400, []string{"/owner"}},
		"owner of 101":          {"application/json", given("owner", `"`+strings.Repeat("x", 101)+`"`), 400, []string{"/owner"}},
		"owner with DEL":        {"application/json", given("owner", `"a\u007fb"`), 400, []string{"/owner"}},
		"owner right to left":   {"application/json", given("owner", `"a\u202eb"`), 400, []string{"/owner"}},
		"newest a string":       {"application/json", given("newest", `"5"`), 400, []string{"/newest"}},
		"newest a fraction":     {"application/json", given("newest", "1.5"), 400, []string{"/newest"}},
		"newest null":           {"application/json", given("newest", "null"), 400, []string{"/newest"}},
		"newest 0":              {"application/json", given("newest", "0"), 400, []string{"/newest"}},
		"newest negative":       {"application/json", given("newest", "-1"), 400, []string{"/newest"}},
		"newest 1,001":          {"application/json", given("newest", "1001"), 400, []string{"/newest"}},
		"newest too large":      {"application/json", given("newest", "99999999999999999999"), 400, []string{"/newest"}},
		"used a number":         {"application/json", given("used", "30"), 400, []string{"/used"}},
		"used empty":            {"application/json", given("used", `""`), 400, []string{"/used"}},
		"used null":             {"application/json", given("used", "null"), 400, []string{"/used"}},
		"used for a day":        {"application/json", given("used", `"1d"`), 400, []string{"/used"}},
		"used for 366 days":     {"application/json", given("used", `"366d"`), 400, []string{"/used"}},
		"used for -5 days":      {"application/json", given("used", `"-5d"`), 400, []string{"/used"}},
		"used for hours":        {"application/json", given("used", `"48h"`), 400, []string{"/used"}},
		"used for 030 days":     {"application/json", given("used", `"030d"`), 400, []string{"/used"}},
		"used of two lines":     {"application/json", given("used", `"30d\n"`), 400, []string{"/used"}},
		"untagged a string":     {"application/json", given("untagged", `"true"`), 400, []string{"/untagged"}},
		"untagged null":         {"application/json", given("untagged", "null"), 400, []string{"/untagged"}},
		"untagged 1":            {"application/json", given("untagged", "1"), 400, []string{"/untagged"}},
		"repository, two *":     {"application/json", with("repository", `"test/**"`), 400, []string{"/repository"}},
		"repository, 300":       {"application/json", with("repository", `"`+strings.Repeat("x", 299)+`*"`), 400, []string{"/repository"}},
		"repository, NUL and *": {"application/json", with("repository", `"a\u0000*"`), 400, []string{"/repository"}},
		"tag of two *":          {"application/json", with("tags", `["v**"]`), 400, []string{"/tags/0"}},
		"tag pattern of 300":    {"application/json", with("tags", `["`+strings.Repeat("x", 299)+`*"]`), 400, []string{"/tags/0"}},
		"tag pattern, line":     {"application/json", with("tags", `["v*\n"]`), 400, []string{"/tags/0"}},
		"tag pattern, space":    {"application/json", with("tags", `["v *"]`), 400, []string{"/tags/0"}},
		"exclude a string":      {"application/json", given("exclude", `"a*"`), 400, []string{"/exclude"}},
		"exclude a number":      {"application/json", given("exclude", `[1]`), 400, []string{"/exclude/0", "/exclude"}},
		"exclude of one":        {"application/json", given("exclude", `["test/a*"]`), 400, []string{"/exclude"}},
		"exclude wrong":         {"application/json", given("exclude", `["A*","x**","`+strings.Repeat("x", 299)+`*","ok*","ok*","a\tb*"]`), 400, []string{"/exclude", "/exclude/0", "/exclude/1", "/exclude/2", "/exclude/4", "/exclude/5"}},
		"exclude of 101":        {"application/json", given("exclude", "["+strings.Repeat(`"xx",`, 100)+`"xx"]`), 400, []string{"/exclude", "/exclude"}},
		"several things":        {"application/json", `{"region":1,"registry":"x","tags":[""]}`, 400, []string{"/region", "/registry", "/repository", "/tags/0"}},
		"64 KiB + 1":            {"application/json", valid + strings.Repeat(" ", 64<<10+1-len(valid)), 413, []string{""}},
		"no Content-Type":       {"", valid, 415, []string{""}},
		"another Content-Type":  {"application/x-www-form-urlencoded", valid, 415, []string{""}},
		"another charset":       {"application/json; charset=utf-16", valid, 415, []string{""}},
		"an odd Content-Type":   {"application/json;;;=", valid, 415, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			a, h := start(t)
			pointers := checkProblem(t, call(h, "POST", "/configs", test.contentType, test.body), test.status)
			if diff := cmp.Diff(test.pointers, pointers); diff != "" {
				t.Errorf("named fields (-want +got):\n%s", diff)
			}
			if n := a.S3.Count().Total(); n != 0 {
				t.Errorf("%d calls to S3", n)
			}
		})
	}
}

func TestValidConfigs(t *testing.T) {
	_, h := start(t)
	for name, test := range map[string]struct{ contentType, body string }{
		"64 KiB":           {"application/json", valid + strings.Repeat(" ", 64<<10-len(valid))},
		"a charset":        {"Application/JSON; charset=UTF-8", valid},
		"tags null":        {"application/json", strings.Replace(valid, `["16.04","latest"]`, "null", 1)},
		"tags empty":       {"application/json", strings.Replace(valid, `["16.04","latest"]`, "[]", 1)},
		"space around":     {"application/json", "\r\n " + valid + "\n"},
		"the same, again":  {"application/json", valid},
		"name and owner":   {"application/json", strings.Replace(valid, "{", `{"name":"`+strings.Repeat("é", 100)+`","owner":"Team A (🚀) <b>",`, 1)},
		"which images":     {"application/json", strings.Replace(valid, `"latest"`, `"v*","*"],"newest":1000,"used":"365d","untagged":true,"exclude":[`, 1)},
		"untagged false":   {"application/json", strings.Replace(valid, "{", `{"untagged":false,"newest":1,"used":"2d","exclude":null,`, 1)},
		"escaped, in UTF8": {"application/json", strings.Replace(valid, "latest", `l\u0061test`, 1)},
	} {
		if got := call(h, "POST", "/configs", test.contentType, test.body); got.status != 201 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	var configs []scan.Config
	if err := json.Unmarshal([]byte(call(h, "GET", "/configs", "", "").body), &configs); err != nil || len(configs) != 10 {
		t.Errorf("%d configs, %v", len(configs), err)
	}
}

func TestPathsAndMethods(t *testing.T) {
	for _, test := range []struct {
		method, target string
		status         int
		allow          string
	}{
		{"POST", "/", 405, "GET, HEAD, OPTIONS"},
		{"GET", "/nothing", 404, ""},
		{"GET", "/configs/a/b", 404, ""},
		{"GET", "/findings/all/x", 404, ""},
		{"GET", "/findings/All", 404, ""},
		{"POST", "/findings", 405, "GET, HEAD, OPTIONS"},
		{"DELETE", "/findings/all", 405, "GET, HEAD, OPTIONS"},
		{"GET", "//configs", 404, ""},
		{"GET", "/configs//", 404, ""},
		{"GET", "/summary/../configs", 404, ""},
		{"GET", "/configs/../x", 404, ""},
		{"GET", "/configs/%2e%2e%2fx", 404, ""},
		{"GET", "/configs/%00", 404, ""},
		{"DELETE", "/configs/" + exampleID + "%2F", 404, ""},
		{"DELETE", "/configs/%00", 404, ""},
		{"GET", "/findings/%00", 404, ""},
		{"GET", "/findings/x", 404, ""},
		{"GET", "/configs/" + strings.Repeat("a", 10<<10), 404, ""},
		{"DELETE", "/configs/" + strings.ToUpper(exampleID), 404, ""},
		{"PUT", "/configs", 405, "GET, HEAD, OPTIONS, POST"},
		{"DELETE", "/configs/", 405, "GET, HEAD, OPTIONS, POST"},
		{"POST", "/configs/" + exampleID, 405, "DELETE, GET, HEAD, OPTIONS, PUT"},
		{"POST", "/summary", 405, "GET, HEAD, OPTIONS"},
		{"PATCH", "/findings/" + exampleID, 405, "GET, HEAD, OPTIONS"},
		{"BREW", "/summary", 405, "GET, HEAD, OPTIONS"},
	} {
		a, h := start(t)
		got := call(h, test.method, test.target, "", "")
		checkProblem(t, got, test.status)
		if got.header.Get("Allow") != test.allow {
			t.Errorf("%s %.50s: Allow %q", test.method, test.target, got.header.Get("Allow"))
		}
		if n := a.S3.Count().Total() + a.ECR.Count().Total(); n != 0 {
			t.Errorf("%s %.50s: %d calls to AWS", test.method, test.target, n)
		}
	}
	_, h := start(t)
	for _, path := range []string{"/configs", "/configs/", "/summary", "/summary/", "/findings", "/findings/", "/findings/all", "/findings/all/"} {
		if got := call(h, "HEAD", path, "", ""); got.status != 200 {
			t.Errorf("HEAD %s: %d", path, got.status)
		}
		if got := call(h, "OPTIONS", path, "", ""); got.status != 204 || !strings.Contains(got.header.Get("Allow"), "GET") || got.body != "" {
			t.Errorf("OPTIONS %s: %+v", path, got)
		}
	}
	checkProblem(t, call(h, "GET", "/configs/"+exampleID, "", ""), 404)
	checkProblem(t, call(h, "GET", "/findings/"+exampleID, "", ""), 404)
}

func TestWhenS3IsUnavailable(t *testing.T) {
	a, h := start(t)
	a.S3.InjectFault(awslocal.Fault{Code: "AccessDenied", Message: "User: arn:aws:iam::1:role/secret is not authorized"})
	for _, c := range [][3]string{
		{"GET", "/configs", ""}, {"POST", "/configs", valid}, {"GET", "/configs/" + exampleID, ""}, {"PUT", "/configs/" + exampleID, valid}, {"DELETE", "/configs/" + exampleID, ""},
		{"GET", "/summary", ""}, {"GET", "/findings/" + exampleID, ""}, {"GET", "/findings", ""}, {"GET", "/findings/all", ""},
	} {
		got := call(h, c[0], c[1], "application/json", c[2])
		checkProblem(t, got, 503)
		if got.header.Get("Retry-After") == "" || strings.Contains(got.body, "secret") || strings.Contains(got.body, "AccessDenied") {
			t.Errorf("%s %s: %v %s", c[0], c[1], got.header, got.body)
		}
	}
}

func TestFeedWhenECRFails(t *testing.T) {
	a, h := start(t)
	var c scan.Config
	if err := json.Unmarshal([]byte(call(h, "POST", "/configs", "application/json", valid).body), &c); err != nil {
		t.Fatal(err)
	}
	undo := a.ECR.InjectFault(awslocal.Fault{Code: "ServerException", Status: 500})
	if got := call(h, "GET", "/findings/"+c.ID, "", ""); got.header.Get("Retry-After") == "" {
		t.Errorf("temporary error: %+v", got)
	} else {
		checkProblem(t, got, 503)
	}
	undo()
	a.ECR.InjectFault(ecr.Deny("DescribeImageScanFindings", ecr.RepositoryID{}))
	got := call(h, "GET", "/findings/"+c.ID, "", "")
	if got.status != 200 || !strings.Contains(got.body, "Without a result: [16.04] UNAVAILABLE: no access to ecr:DescribeImageScanFindings, [latest] UNAVAILABLE") {
		t.Errorf("permanent error: %d %.1500s", got.status, got.body)
	}
	a.ECR.ClearFaults()
	a.ECR.DeleteRepository(ecr.RepositoryID{Name: "test/ubuntu"})
	a.Advance(refresh.ListingMaxAge)
	got = call(h, "GET", "/findings/"+c.ID, "", "")
	if got.status != 200 || !strings.Contains(got.body, "Without a result: REPOSITORY NOT FOUND</subtitle>") {
		t.Errorf("deleted repository: %d %.1500s", got.status, got.body)
	}
	if _, err := a.S3Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(awstest.Bucket), Key: aws.String(c.ID + ".json")}); err != nil {
		t.Fatal(err)
	}
	checkProblem(t, call(h, "GET", "/findings/"+c.ID, "", ""), 404)
}
