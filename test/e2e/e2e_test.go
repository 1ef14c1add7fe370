// Package e2e tests the compiled functions. It starts them like Lambda does, with an embedded S3, ECR and SQS.
package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mmcdole/gofeed/atom"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/feedrules"
	"ecr-continuous-scan/test/lambdaruntime"
	"ecr-continuous-scan/test/openapi"
)

// functions returns the routes of the HTTP functions, by folder.
func functions() map[string]httpapi.Routes {
	api := new(httpapi.API)
	return map[string]httpapi.Routes{"configs": api.ConfigRoutes(), "summary": api.SummaryRoutes(), "findings": api.FindingsRoutes()}
}

func environment(a *awstest.AWS) map[string]string {
	return map[string]string{
		"ECR_SCAN_CONFIG_BUCKET": awstest.Bucket, "ECR_SCAN_API_KEY_SHA256": "none", "AWS_ENDPOINT_URL_S3": a.S3URL, "AWS_ENDPOINT_URL_ECR": a.ECRURL,
	}
}

func start(t *testing.T, a *awstest.AWS, function string) *lambdaruntime.Function {
	return lambdaruntime.Start(t, lambdaruntime.Build(t, function), environment(a))
}

// deploy starts the three HTTP functions behind a gateway and returns the API's URL.
func deploy(t *testing.T, a *awstest.AWS) string {
	g := &lambdaruntime.Gateway{Functions: map[string]*lambdaruntime.Function{}}
	for folder, routes := range functions() {
		f := start(t, a, folder)
		for _, path := range routes.Paths() {
			g.Functions[path] = f
		}
	}
	return serve(t, g)
}

// serve starts a server for the gateway and returns the API's URL. It checks all requests and responses against openapi.yaml.
func serve(t *testing.T, g *lambdaruntime.Gateway) string {
	server := httptest.NewServer(openapi.Handler(t, lambdaruntime.Stage, g))
	t.Cleanup(server.Close)
	return server.URL + "/Prod"
}

func walkthrough(t *testing.T) *awstest.AWS {
	a := awstest.Start(t, ecr.Options{ScanTime: -1})
	if err := samples.PutWalkthrough(a.ECR); err != nil {
		t.Fatal(err)
	}
	return a
}

func request(t *testing.T, method, url, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestWalkthrough(t *testing.T) {
	a := walkthrough(t)
	api := deploy(t, a)
	var ids []string
	for _, sample := range []string{"amazonlinux", "centos", "ubuntu"} {
		body, err := os.ReadFile("../../scan-config-" + sample + ".json")
		if err != nil {
			t.Fatal(err)
		}
		res, got := request(t, "POST", api+"/configs/", string(body))
		var c scan.Config
		if err := json.Unmarshal([]byte(got), &c); err != nil || res.StatusCode != 201 {
			t.Fatalf("POST %s: %d %s", sample, res.StatusCode, got)
		}
		// BaseURL always makes https URLs, because API Gateway supports only https.
		if want := strings.Replace(api, "http:", "https:", 1) + "/configs/" + c.ID; res.Header.Get("Location") != want {
			t.Errorf("Location %s, want %s", res.Header.Get("Location"), want)
		}
		ids = append(ids, c.ID)
	}
	if _, got := request(t, "GET", api+"/configs/", ""); strings.Count(got, `"id"`) != 3 || !strings.HasPrefix(got, "[\n  {\n    \"id\": \"") {
		t.Errorf("GET /configs/: %s", got)
	}
	if res, got := request(t, "GET", api+"/summary", ""); res.StatusCode != 200 || got != awstest.WalkthroughSummary || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("GET /summary: %d %v\n%s", res.StatusCode, res.Header, got)
	}
	res, got := request(t, "GET", api+"/findings/"+ids[2], "")
	feed, err := (&atom.Parser{}).Parse(strings.NewReader(got))
	if err != nil || res.Header.Get("Content-Type") != "application/atom+xml; charset=utf-8" || len(feed.Entries) != 80 || feed.Title != "ECR repository test/ubuntu in us-west-2" {
		t.Errorf("GET /findings: %d %v %v %.500s", res.StatusCode, res.Header, err, got)
	}
	if res, got := request(t, "DELETE", api+"/configs/"+ids[0], ""); res.StatusCode != 204 || got != "" {
		t.Errorf("DELETE: %d %s", res.StatusCode, got)
	}
	if res, got := request(t, "DELETE", api+"/configs/"+ids[0], ""); res.StatusCode != 404 || !strings.Contains(got, `"title": "Not Found"`) {
		t.Errorf("DELETE again: %d %s", res.StatusCode, got)
	}
	if res, _ := request(t, "HEAD", api+"/summary", ""); res.StatusCode != 200 {
		t.Errorf("HEAD: %d", res.StatusCode)
	}
	if res, got := request(t, "PUT", api+"/configs", "{}"); res.StatusCode != 405 || res.Header.Get("Allow") == "" || !strings.Contains(got, "405") {
		t.Errorf("PUT: %d %v %s", res.StatusCode, res.Header, got)
	}
}

type proxyResponse struct {
	StatusCode      int                 `json:"statusCode"`
	Headers         map[string][]string `json:"multiValueHeaders"`
	Body            string              `json:"body"`
	IsBase64Encoded bool                `json:"isBase64Encoded"`
}

// invoke sends an event directly to the function, without the gateway.
func invoke(t *testing.T, f *lambdaruntime.Function, event map[string]any) proxyResponse {
	t.Helper()
	payload, err := f.Invoke(t.Context(), event, maxTime)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, event, payload)
}

// decode decodes the response to an event, and checks both against openapi.yaml.
func decode(t *testing.T, event map[string]any, payload []byte) proxyResponse {
	t.Helper()
	var a proxyResponse
	if err := json.Unmarshal(payload, &a); err != nil {
		t.Fatalf("%v in %s", err, payload)
	}
	response := &http.Response{StatusCode: a.StatusCode, Header: a.Headers, Body: io.NopCloser(strings.NewReader(a.Body))}
	if err := document(t).Check(requestOf(t, event), response); err != nil {
		t.Errorf("openapi.yaml: %s %.200s: %d: %v", event["httpMethod"], event["path"], a.StatusCode, err)
	}
	return a
}

func document(t *testing.T) *openapi.Document {
	t.Helper()
	d, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// requestOf returns the request of an event, without the API's base path.
func requestOf(t *testing.T, event map[string]any) *http.Request {
	t.Helper()
	path := event["resource"].(string)
	if parameters, ok := event["pathParameters"].(map[string]string); ok {
		for name, value := range parameters {
			path = strings.Replace(path, "{"+name+"}", value, 1)
		}
	}
	body, _ := event["body"].(string)
	if event["isBase64Encoded"] == true {
		decoded, _ := base64.StdEncoding.DecodeString(body) // the function rejects an invalid body
		body = string(decoded)
	}
	r := httptest.NewRequest(event["httpMethod"].(string), path, strings.NewReader(body))
	if query, ok := event["multiValueQueryStringParameters"].(url.Values); ok {
		r.URL.RawQuery = query.Encode()
	}
	r.Header = event["multiValueHeaders"].(http.Header)
	return r
}

func TestUnusualEvents(t *testing.T) {
	a := walkthrough(t)
	f := start(t, a, "configs")
	event := func(method, path, body, base string) map[string]any {
		r := httptest.NewRequest(method, "https://scans.example.com"+base+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		e, err := lambdaruntime.APIEvent(r, base, "/configs", "/configs/{scanid}")
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	valid := `{"region":"us-west-2","registry":"123456789012","repository":"test/ubuntu"}`

	encoded := event("POST", "/configs", valid, "/Prod")
	encoded["body"], encoded["isBase64Encoded"] = "eyJyZWdpb24iOiJ1cy13ZXN0LTIiLCJyZWdpc3RyeSI6IjEyMzQ1Njc4OTAxMiIsInJlcG9zaXRvcnkiOiJ0ZXN0L3VidW50dSJ9", true
	if got := invoke(t, f, encoded); got.StatusCode != 201 {
		t.Errorf("a body in base64: %+v", got)
	}
	encoded["body"] = "%%%"
	if got := invoke(t, f, encoded); got.StatusCode != 400 {
		t.Errorf("a body in invalid base64: %+v", got)
	}
	if got := invoke(t, f, event("POST", "/configs", valid, "/scans")); got.StatusCode != 201 || !strings.HasPrefix(got.Headers["Location"][0], "https://scans.example.com/scans/configs/") {
		t.Errorf("a custom domain with a base path: %+v", got)
	}
	for _, id := range []string{"..%2Fx", "%00", strings.Repeat("a", 10<<10), "%252e"} {
		a.S3.ResetCount()
		got := invoke(t, f, event("DELETE", "/configs/"+id, "", "/Prod"))
		if got.StatusCode != 404 || a.S3.Count().Total() != 0 {
			t.Errorf("scan id %.20s: %d with %d calls to S3", id, got.StatusCode, a.S3.Count().Total())
		}
	}
	if _, err := f.Invoke(t.Context(), map[string]any{"Records": []any{}}, time.Minute); err == nil {
		t.Error("no error for an event of another service")
	}
	if got := invoke(t, f, event("GET", "/configs", "", "/Prod")); got.StatusCode != 200 {
		t.Errorf("a valid event after an error: %+v", got)
	}
}

// The links in a response begin with the URL that the client used: the API's own domain with the stage, or a custom domain with its base
// path. They contain the key of the request's URL.
func TestLinks(t *testing.T) {
	a := walkthrough(t)
	path := "/findings/" + a.Service(awstest.Silent()).AddConfig(t, "test/ubuntu").ID
	f := start(t, a, "findings")
	for base, domain := range map[string]string{"/Prod": "a1b2c3d4e5.execute-api.us-west-2.amazonaws.com", "/scans": "scans.example.com", "": "scans.example.com"} {
		get := func(target string) string {
			t.Helper()
			r := httptest.NewRequest("GET", "https://"+domain+base+target, nil)
			event, err := lambdaruntime.APIEvent(r, base, "/findings", "/findings/all", "/findings/{scanid}")
			if err != nil {
				t.Fatal(err)
			}
			got := invoke(t, f, event)
			if got.StatusCode != 200 {
				t.Fatalf("GET %s%s: %+v", base, target, got)
			}
			return got.Body
		}
		own := "https://" + domain + base
		for target, link := range map[string]string{
			path:                            own + path,
			path + "/":                      own + path,
			path + "?tag=b&tag=a&key=k%26":  own + path + "?key=k%26&amp;tag=a&amp;tag=b",
			"/findings/all?severity=medium": own + "/findings/all?severity=MEDIUM",
		} {
			feed := get(target)
			feedrules.Atom(t, []byte(feed))
			if !strings.Contains(feed, `<link href="`+link+`" rel="self"`) {
				t.Errorf("%s%s: no self link %s in %.1500s", base, target, link, feed)
			}
		}
		if feed := feedrules.JSON(t, []byte(get("/findings/all?format=json&key=k"))); feed.FeedURL != own+"/findings/all?format=json&key=k" || feed.HomePageURL != own+"/summary?key=k" {
			t.Errorf("%s, as JSON: %s, %s", base, feed.FeedURL, feed.HomePageURL)
		}
		for target, link := range map[string]string{"/findings": own + path, "/findings/?key=k": own + path + "?key=k"} {
			if feeds := feedrules.OPML(t, []byte(get(target))); len(feeds) != 4 || feeds[0].XMLURL != link {
				t.Errorf("%s%s: %+v, want %s", base, target, feeds, link)
			}
		}
	}
}

// With public badges, a badge needs no key, but a gate does.
func TestBadgeAndGate(t *testing.T) {
	a := walkthrough(t)
	id := a.Service(awstest.Silent()).AddConfig(t, "test/ubuntu").ID
	for public, want := range map[string]int{"true": 200, "false": 401, "": 401} {
		settings := environment(a)
		settings["ECR_SCAN_API_KEY_SHA256"], settings["ECR_SCAN_PUBLIC_BADGES"] = strings.Repeat("0", 64), public
		f := lambdaruntime.Start(t, lambdaruntime.Build(t, "summary"), settings)
		get := func(target string) proxyResponse {
			t.Helper()
			event, err := lambdaruntime.APIEvent(httptest.NewRequest("GET", "https://api.example/Prod"+target, nil), "/Prod", "/badge/{badge}", "/gate/{scanid}", "/summary")
			if err != nil {
				t.Fatal(err)
			}
			return invoke(t, f, event)
		}
		if got := get("/badge/" + id + ".svg"); got.StatusCode != want || want == 200 && (got.Headers["Content-Type"][0] != "image/svg+xml" || got.IsBase64Encoded || !strings.Contains(got.Body, ">15 MEDIUM<")) {
			t.Errorf("public %q: %+v", public, got)
		}
		for _, target := range []string{"/badge/..%2Fsummary", "/badge/%2e%2e%2fsummary.svg", "/summary", "/gate/" + id + "?max=LOW"} {
			if got := get(target); got.StatusCode != 401 {
				t.Errorf("public %q, %s: %+v", public, target, got)
			}
		}
	}
	api := deploy(t, a)
	if res, got := request(t, "GET", api+"/gate/"+id+"?max=MEDIUM", ""); res.StatusCode != 200 || !strings.Contains(got, `"passed": true`) {
		t.Errorf("%d %s", res.StatusCode, got)
	}
	if res, got := request(t, "GET", api+"/gate/"+id+"?max=LOW", ""); res.StatusCode != 409 || !strings.Contains(got, `"reason": "above max"`) {
		t.Errorf("%d %s", res.StatusCode, got)
	}
}

func TestMissingSettings(t *testing.T) {
	for folder := range map[string]bool{"configs": true, "summary": true, "findings": true, "startscan": true} {
		f := lambdaruntime.Start(t, lambdaruntime.Build(t, folder), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := f.Ready(ctx)
		cancel()
		if err == nil || !regexp.MustCompile(`ECR_SCAN_CONFIG_BUCKET is not set`).MatchString(f.Logs()) {
			t.Errorf("%s without its bucket: %v, log %s", folder, err, f.Logs())
		}
	}
	f := lambdaruntime.Start(t, lambdaruntime.Build(t, "startscan"), map[string]string{"ECR_SCAN_CONFIG_BUCKET": awstest.Bucket})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := f.Ready(ctx); err == nil || !strings.Contains(f.Logs(), "ECR_SCAN_QUEUE_URL is not set") {
		t.Errorf("startscan without its queue: %v, log %s", err, f.Logs())
	}
}
