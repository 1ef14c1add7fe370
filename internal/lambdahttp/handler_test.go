package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
)

const scanID = "01937c3a-5b6d-7e8f-9a0b-1c2d3e4f5061"

func load(t testing.TB, name string) events.APIGatewayProxyRequest {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var event events.APIGatewayProxyRequest
	if err := json.Unmarshal(data, &event); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return event
}

func call(t testing.TB, h http.Handler, event events.APIGatewayProxyRequest) events.APIGatewayProxyResponse {
	t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := Handler(h).Invoke(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, encoded)
}

func decode(t testing.TB, encoded []byte) (response events.APIGatewayProxyResponse) {
	t.Helper()
	if err := json.Unmarshal(encoded, &response); err != nil {
		t.Fatalf("%.200s: %v", encoded, err)
	}
	return response
}

func wantProblem(t *testing.T, got events.APIGatewayProxyResponse, status int, detail string) {
	t.Helper()
	want := events.APIGatewayProxyResponse{
		StatusCode:        status,
		MultiValueHeaders: map[string][]string{"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}},
		Body: fmt.Sprintf("{\n  \"type\": \"about:blank\",\n  \"title\": %q,\n  \"status\": %d,\n  \"detail\": %q\n}\n",
			http.StatusText(status), status, detail),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// captureLog redirects slog's default logger to the returned buffer until the test ends. The test must not be parallel.
func captureLog(t *testing.T) *bytes.Buffer {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &log
}

// receivedRequest contains the parts of a request that a handler received.
type receivedRequest struct {
	Pattern, Method, Host, RequestURI, RemoteAddr, ScanID, Body, Base string
	ContentLength                                                     int64
	Header                                                            http.Header
	Query                                                             map[string][]string
}

// recordRequest returns a handler with routes like those of the functions. It stores the last request in got.
func recordRequest(t testing.TB, got *receivedRequest) http.Handler {
	mux := http.NewServeMux()
	for _, pattern := range []string{"GET /configs", "POST /configs", "GET /configs/{scanid}", "DELETE /configs/{scanid}",
		"GET /summary", "GET /findings/{scanid}"} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if r.URL.Path == "" || r.Header.Get("Host") != "" {
				t.Errorf("path %q, Host header %q", r.URL.Path, r.Header.Get("Host"))
			}
			*got = receivedRequest{r.Pattern, r.Method, r.Host, r.RequestURI, r.RemoteAddr, r.PathValue("scanid"), string(body), BaseURL(r),
				r.ContentLength, http.Header{"Accept": r.Header["Accept"], "If-None-Match": r.Header["If-None-Match"], "Content-Type": r.Header["Content-Type"]},
				r.URL.Query()}
			fmt.Fprintln(w, "received")
		})
	}
	return mux
}

func TestRequest(t *testing.T) {
	const (
		host   = "a1b2c3d4e5.execute-api.us-west-2.amazonaws.com"
		base   = "https://" + host + "/Prod"
		config = `{"region": "us-west-2", "registry": "123456789012", "repository": "test/centos"}`
	)
	header := func(accept, contentType, ifNoneMatch []string) http.Header {
		return http.Header{"Accept": accept, "Content-Type": contentType, "If-None-Match": ifNoneMatch}
	}
	curl, jsonType := []string{"*/*"}, []string{"application/json"}
	tests := map[string]receivedRequest{
		"get": {Pattern: "GET /configs", RequestURI: "/configs", Header: header(curl, nil, nil)},
		"get-query": {Pattern: "GET /findings/{scanid}", RequestURI: "/findings/" + scanID + "?severity=HIGH&tag=7&tag=latest+%26+greatest", ScanID: scanID,
			Header: header([]string{"application/atom+xml"}, nil, []string{`"a1"`, `"b2"`}),
			Query:  map[string][]string{"severity": {"HIGH"}, "tag": {"7", "latest & greatest"}}},
		"post":          {Pattern: "POST /configs", RequestURI: "/configs", Header: header(curl, jsonType, nil), Body: config},
		"post-base64":   {Pattern: "POST /configs", RequestURI: "/configs", Header: header(curl, jsonType, nil), Body: config},
		"custom-domain": {Pattern: "GET /configs/{scanid}", RequestURI: "/configs/" + scanID, Header: header(curl, nil, nil), ScanID: scanID, Host: "api.example.com", Base: "https://api.example.com/scans"},
		"null-maps":     {Pattern: "GET /summary", RequestURI: "/summary", Header: header(nil, nil, nil)},
		"head":          {Pattern: "GET /summary", RequestURI: "/summary", Header: header(curl, nil, nil), Method: "HEAD"},
		"odd-parameter": {Pattern: "DELETE /configs/{scanid}", RequestURI: "/configs/..%2F..%2Fetc%00%25%20caf%C3%A9", Header: header(curl, nil, nil), ScanID: "../../etc\x00% café"},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			want.RemoteAddr = "203.0.113.7:0"
			want.ContentLength = int64(len(want.Body))
			if want.Host == "" {
				want.Host, want.Base = host, base
			}
			if want.Method == "" {
				want.Method, _, _ = strings.Cut(want.Pattern, " ")
			}
			if want.Query == nil {
				want.Query = map[string][]string{}
			}
			var got receivedRequest
			response := call(t, recordRequest(t, &got), load(t, name))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			wantBody := "received\n"
			if want.Method == "HEAD" {
				wantBody = ""
			}
			if response.StatusCode != 200 || response.Body != wantBody || response.MultiValueHeaders["Content-Type"][0] != "text/plain; charset=utf-8" {
				t.Errorf("response %+v", response)
			}
		})
	}
}

func TestParameterIsOneSegment(t *testing.T) {
	values := map[string]string{ // value in the event: value of the path parameter
		"../x": "../x", "a/b": "a/b", "//": "//", "..": "..", ".": ".", "...": "...", "\x00": "\x00", "%00": "\x00", "%": "%", "100%": "100%",
		"%2e%2e": "..", "%2E": ".", "a%2Fb": "a/b", "%252F": "%2F", "?q#f": "?q#f", "{scanid}": "{scanid}", "a;b": "a;b", "\ufffd": "\ufffd",
		strings.Repeat("x", 10_000): strings.Repeat("x", 10_000),
	}
	for value, want := range values {
		for _, resource := range []string{"/configs/{scanid}", "/findings/{scanid}/changes"} {
			event := load(t, "custom-domain")
			event.Resource, event.PathParameters = resource, map[string]string{"scanid": value}
			got, mux := "", http.NewServeMux()
			mux.HandleFunc("GET "+resource, func(_ http.ResponseWriter, r *http.Request) { got = r.PathValue("scanid") })
			if response := call(t, mux, event); response.StatusCode != 200 || got != want {
				t.Errorf("%s with %.20q: status %d, value %.20q", resource, value, response.StatusCode, got)
			}
		}
	}
}

func TestPath(t *testing.T) {
	tests := []struct {
		name, resource, path string
		parameters           map[string]string
		want                 string
	}{
		{"without a resource the path is used", "", "/configs/a%2Fb/", nil, "/configs/a%2Fb/"},
		{"unescaped path", "", "/a b", nil, "/a%20b"},
		{"neither", "", "", nil, "/"},
		{"no leading slash", "configs", "", nil, "/configs"},
		{"missing parameter", "/configs/{scanid}", "/configs/", nil, "/configs/%7Bscanid%7D"},
		{"empty parameter", "/configs/{scanid}", "/configs/", map[string]string{"scanid": ""}, "/configs/%7Bscanid%7D"},
		{"root", "/", "/", nil, "/"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			event := events.APIGatewayProxyRequest{HTTPMethod: "GET", Resource: test.resource, Path: test.path, PathParameters: test.parameters}
			var got string
			call(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.URL.EscapedPath() }), event)
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestEventWithoutMultiValueFields(t *testing.T) {
	event := load(t, "get-query")
	event.MultiValueHeaders, event.MultiValueQueryStringParameters = nil, nil
	var got receivedRequest
	call(t, recordRequest(t, &got), event)
	if got.RequestURI != "/findings/"+scanID+"?severity=HIGH&tag=latest+%26+greatest" || got.Header.Get("If-None-Match") != `"b2"` {
		t.Errorf("got %+v", got)
	}
}

func TestBadRequest(t *testing.T) {
	tests := []struct {
		name   string
		change func(*events.APIGatewayProxyRequest)
		want   string
	}{
		{"base64", func(e *events.APIGatewayProxyRequest) { e.Body, e.IsBase64Encoded = "a===", true }, "the body is not valid base64"},
		{"method", func(e *events.APIGatewayProxyRequest) { e.HTTPMethod = "GE T" }, "the method is not valid"},
		{"path", func(e *events.APIGatewayProxyRequest) { e.Resource, e.Path = "", "/%zz" }, "the path contains an invalid escape"},
		{"header name", func(e *events.APIGatewayProxyRequest) { e.MultiValueHeaders["a b"] = []string{"c"} }, `the header name "a b" is not valid`},
		{"empty header name", func(e *events.APIGatewayProxyRequest) { e.MultiValueHeaders[""] = nil }, `the header name "" is not valid`},
		{"header value", func(e *events.APIGatewayProxyRequest) { e.MultiValueHeaders["X-A"] = []string{"a\r\nb"} }, "the value of the header X-A is not valid"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			event := load(t, "post")
			test.change(&event)
			called := false
			response := call(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }), event)
			if called {
				t.Error("the handler was called")
			}
			wantProblem(t, response, 400, "The request can't be read: "+test.want+".")
		})
	}
}

func TestNotAnAPIGatewayEvent(t *testing.T) {
	called := false
	h := Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	event, err := os.ReadFile(filepath.Join("testdata", "schedule.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range [][]byte{event, []byte(`[]`), []byte(`{"httpMethod":"GET"`), nil} {
		if response, err := h.Invoke(t.Context(), payload); err == nil || called {
			t.Errorf("%.20s: response %s, error %v, called %v", payload, response, err, called)
		}
	}
}

func TestPanicBecomesAProblemDocument(t *testing.T) {
	log := captureLog(t)
	event := load(t, "get")
	response := call(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Half", "done")
		fmt.Fprint(w, "half an answer")
		panic("secret cause")
	}), event)
	wantProblem(t, response, 500, "The request could not be served.")
	for _, want := range []string{`"level":"ERROR"`, "secret cause", "handler_test.go", `"path":"/configs"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in the log: %s", want, log)
		}
	}

	log.Reset()
	response = call(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), event)
	wantProblem(t, response, 500, "The request could not be served.")
	if log.Len() > 0 {
		t.Errorf("ErrAbortHandler was logged: %s", log)
	}

	event.HTTPMethod = "HEAD"
	if response = call(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("again") }), event); response.StatusCode != 500 || response.Body != "" {
		t.Errorf("HEAD: %+v", response)
	}
}

func TestTooLargeResponse(t *testing.T) {
	tests := []struct {
		name string
		body string
		ok   bool
	}{
		{"text within the limit", strings.Repeat("<", maxResponse-200), true},
		{"text over the limit", strings.Repeat("x", maxResponse), false},
		{"small, but not when encoded", strings.Repeat("\x01", maxResponse/5), false},
		{"bytes over the limit in base64", strings.Repeat("\xff", maxResponse*3/4), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			log := captureLog(t)
			response := call(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, test.body) }), load(t, "get"))
			if test.ok {
				if response.StatusCode != 200 || response.Body != test.body || log.Len() > 0 {
					t.Errorf("status %d, %d bytes, log %s", response.StatusCode, len(response.Body), log)
				}
				return
			}
			wantProblem(t, response, 500, "The response is too large: the limit is 6 MB. Parameters such as repository, tag and severity make it smaller.")
			if !strings.Contains(log.String(), "too large") || !strings.Contains(log.String(), `"path":"/configs"`) {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// The memory of a large response is its body and its JSON.
func TestResponseIsWrittenOnce(t *testing.T) {
	body := strings.Repeat("<title>\"a\" &amp; b</title>\n", 40_000)
	h := Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
	}))
	event, err := json.Marshal(load(t, "get"))
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	encoded, err := h.Invoke(t.Context(), event)
	runtime.ReadMemStats(&after)
	if err != nil || decode(t, encoded).Body != body {
		t.Fatal(err)
	}
	if allocated, limit := after.TotalAlloc-before.TotalAlloc, uint64(len(body)+len(encoded)+len(encoded)/4); allocated > limit {
		t.Errorf("%d bytes of memory for a response of %d bytes, want at most %d", allocated, len(encoded), limit)
	}
}

func TestEvent(t *testing.T) {
	want := load(t, "get-query")
	call(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, ok := Event(r.Context())
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Error(ok, diff)
		}
	}), want)
	if _, ok := Event(context.Background()); ok {
		t.Error("a context without an event returned one")
	}
}

// A handler gets the same response as behind net/http, whatever it does with its ResponseWriter.
func TestResponseEqualsNetHTTP(t *testing.T) {
	tests := map[string]http.HandlerFunc{
		"nothing":       func(http.ResponseWriter, *http.Request) {},
		"only a status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"text":          func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "grüße <&> \u2028") },
		"in pieces":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a"); fmt.Fprint(w, "b") },
		"http.Error":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/configs", http.StatusPermanentRedirect)
		},
		"bytes":              func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("\x89PNG\r\n\x1a\n\xff\x00")) },
		"html is recognised": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><p>hello") },
		"no content type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			fmt.Fprint(w, "hello")
		},
		"headers twice": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Link", "</a>; rel=a")
			w.Header().Add("Link", "</b>; rel=b")
			w.Header().Set("ETag", `"x"`)
			w.WriteHeader(201)
		},
		"too late": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(202)
			w.Header().Set("X-Late", "1")
			w.WriteHeader(500)
		},
		"informational first": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(103)
			w.WriteHeader(201)
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(204)
			if _, err := fmt.Fprint(w, "body"); !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("writing a body to a 204: %v", err)
			}
		},
		"bad headers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("bad name", "1")
			w.Header().Set("", "1")
			w.Header().Set("X-Split", "a\r\nInjected: yes")
		},
		"own length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			fmt.Fprint(w, "ok")
		},
	}
	for name, h := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(h)
			defer server.Close()
			request, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/configs", nil)
			if err != nil {
				t.Fatal(err)
			}
			want, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			defer want.Body.Close()
			wantBody, err := io.ReadAll(want.Body)
			if err != nil {
				t.Fatal(err)
			}
			want.Header.Del("Date")
			want.Header.Del("Content-Length")

			got := call(t, h, load(t, "get"))
			body := []byte(got.Body)
			if got.IsBase64Encoded {
				if body, err = base64.StdEncoding.DecodeString(got.Body); err != nil {
					t.Fatal(err)
				}
			}
			if got.StatusCode != want.StatusCode || !bytes.Equal(body, wantBody) {
				t.Errorf("got %d %q, net/http gives %d %q", got.StatusCode, body, want.StatusCode, wantBody)
			}
			if diff := cmp.Diff(want.Header, http.Header(got.MultiValueHeaders)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInvalidStatusPanics(t *testing.T) {
	for _, status := range []int{-1, 0, 99, 600, 1000} {
		log := captureLog(t)
		response := call(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }), load(t, "get"))
		if response.StatusCode != 500 || !strings.Contains(log.String(), fmt.Sprintf("invalid status %d", status)) {
			t.Errorf("%d: answered %d, log %s", status, response.StatusCode, log)
		}
	}
}

func TestBaseURL(t *testing.T) {
	const host = "api.example.com"
	tests := []struct{ name, domain, path, resource, want string }{
		{"stage", "x1.execute-api.eu-central-1.amazonaws.com", "/Prod/configs", "/configs", "https://x1.execute-api.eu-central-1.amazonaws.com/Prod"},
		{"trailing slash", host, "/Prod/configs/", "/configs", "https://api.example.com/Prod"},
		{"parameter", host, "/Prod/findings/x/changes", "/findings/{scanid}/changes", "https://api.example.com/Prod"},
		{"escaped slash in a parameter", host, "/Prod/configs/a%2Fb", "/configs/{scanid}", "https://api.example.com/Prod"},
		{"custom domain", host, "/configs/x", "/configs/{scanid}", "https://api.example.com"},
		{"base path", host, "/scans/configs/x", "/configs/{scanid}", "https://api.example.com/scans"},
		{"long base path", host, "/a/b/configs", "/configs", "https://api.example.com/a/b"},
		{"base path like the resource", host, "/configs/configs", "/configs", "https://api.example.com/configs"},
		{"root resource", host, "/Prod/", "/", "https://api.example.com/Prod"},
		{"odd base path", host, `/a"b/configs`, "/configs", "https://api.example.com/a%22b"},
		{"port", "localhost:4566", "/Prod/configs", "/configs", "https://localhost:4566/Prod"},
		{"address", "127.0.0.1:4566", "/Prod/configs", "/configs", "https://127.0.0.1:4566/Prod"},
		{"slash in a parameter", host, "/Prod/configs/a/b", "/configs/{scanid}", ""},
		{"path too short", host, "/configs", "/configs/{scanid}", ""},
		{"no path", host, "", "/configs", ""},
		{"no resource", host, "/Prod/configs", "", ""},
		{"no domain", "", "/Prod/configs", "/configs", ""},
		{"domain with a path", "evil.example/x", "/Prod/configs", "/configs", ""},
		{"domain with a user", "a@evil.example", "/Prod/configs", "/configs", ""},
		{"domain with a space", "evil .example", "/Prod/configs", "/configs", ""},
		{"domain with a line break", "evil.example\n", "/Prod/configs", "/configs", ""},
		{"domain with markup", "<b>", "/Prod/configs", "/configs", ""},
		{"empty label", "a..b", "/Prod/configs", "/configs", ""},
		{"only a port", ":80", "/Prod/configs", "/configs", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			event := load(t, "get")
			event.MultiValueHeaders["Host"] = []string{"forged.example"}
			event.Resource, event.RequestContext.DomainName, event.RequestContext.Path = test.resource, test.domain, test.path
			got := "not called"
			call(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = BaseURL(r) }), event)
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if got := BaseURL(httptest.NewRequest("GET", "/configs", nil)); got != "" {
		t.Errorf("a request without an event: %q", got)
	}
}
