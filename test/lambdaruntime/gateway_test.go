package lambdaruntime

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
)

func roundTrip(t *testing.T, f *Function, r *http.Request) (status int) {
	t.Helper()
	w := httptest.NewRecorder()
	f.runtimeAPI().ServeHTTP(w, r)
	return w.Code
}

// resources are the resources of a small API.
var resources = []string{"/configs", "/configs/{scanid}", "/findings/all", "/findings/{scanid}", "/findings/{scanid}/changes"}

func TestAPIEvent(t *testing.T) {
	tests := []struct {
		name, target, base, path, resource string
		parameters                         any
	}{
		{"collection", "/Prod/configs", Stage, "/configs", "/configs", nil},
		{"trailing slash", "/Prod/configs/", Stage, "/configs/", "/configs", nil},
		{"parameter", "/Prod/configs/x", Stage, "/configs/x", "/configs/{scanid}", map[string]string{"scanid": "x"}},
		{"parameter and slash", "/Prod/configs/x/", Stage, "/configs/x/", "/configs/{scanid}", map[string]string{"scanid": "x"}},
		{"literal before parameter", "/Prod/findings/all", Stage, "/findings/all", "/findings/all", nil},
		{"below a parameter", "/Prod/findings/all/changes", Stage, "/findings/all/changes", "/findings/{scanid}/changes", map[string]string{"scanid": "all"}},
		{"escapes are kept", "/Prod/configs/..%2f%00%25", Stage, "/configs/..%2f%00%25", "/configs/{scanid}", map[string]string{"scanid": "..%2f%00%25"}},
		{"custom domain", "/configs", "", "/configs", "/configs", nil},
		{"base path", "/scans/configs", "/scans", "/scans/configs", "/configs", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "https://api.example.com"+test.target+"?tag=1&tag=2", nil)
			event, err := APIEvent(r, test.base, resources...)
			if err != nil {
				t.Fatal(err)
			}
			if event["path"] != test.path || event["resource"] != test.resource {
				t.Errorf("path %v, resource %v", event["path"], event["resource"])
			}
			if diff := cmp.Diff(test.parameters, event["pathParameters"]); diff != "" {
				t.Error(diff)
			}
			target, _, _ := strings.Cut(test.target, "?")
			if context := event["requestContext"].(map[string]any); context["path"] != target || context["domainName"] != "api.example.com" {
				t.Errorf("context %v", context)
			}
			if diff := cmp.Diff(map[string]string{"tag": "2"}, event["queryStringParameters"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPIEventWithoutResource(t *testing.T) {
	for _, target := range []string{"/", "/configs", "/Prod", "/Prod/", "/Production/configs", "/Prod/nothing", "/Prod/configs/a/b", "/Prod/findings", "/Prod/findings//changes"} {
		if event, err := APIEvent(httptest.NewRequest("GET", target, nil), Stage, resources...); !errors.Is(err, ErrNoResource) {
			t.Errorf("%s: %v, %v", target, event, err)
		}
	}
}

// The event has the same members as recorded events, and decodes as the SDK's type.
func TestAPIEventHasTheFormatOfARealEvent(t *testing.T) {
	r := httptest.NewRequest("POST", "https://api.example.com/Prod/configs", strings.NewReader("{}"))
	r.Header.Add("Accept", "a")
	r.Header.Add("Accept", "b")
	r.Header.Set("Connection", "close")
	event, err := APIEvent(r, Stage, resources...)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	var got events.APIGatewayProxyRequest
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.HTTPMethod != "POST" || got.Body != "{}" || got.Headers["Accept"] != "b" || len(got.MultiValueHeaders["Accept"]) != 2 ||
		got.Headers["Host"] != "api.example.com" || got.Headers["Connection"] != "" || got.RequestContext.Stage != "Prod" ||
		got.RequestContext.Identity.SourceIP != "192.0.2.1" || got.RequestContext.RequestTimeEpoch == 0 {
		t.Errorf("got %+v", got)
	}
	for _, null := range []string{`"queryStringParameters":null`, `"multiValueQueryStringParameters":null`, `"pathParameters":null`, `"stageVariables":null`, `"isBase64Encoded":false`} {
		if !strings.Contains(string(data), null) {
			t.Errorf("%s is not in %s", null, data)
		}
	}
}

func TestScheduleEvent(t *testing.T) {
	data, err := json.Marshal(ScheduleEvent())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"detail-type":"Scheduled Event"`, `"source":"aws.events"`, `"detail":{}`, `"region":"us-west-2"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is not in %s", want, data)
		}
	}
}

// gateway serves the given functions. It returns the base URL and a client for it.
func gateway(t *testing.T, g *Gateway) (string, *http.Client) {
	server := httptest.NewTLSServer(g)
	t.Cleanup(server.Close)
	return server.URL + "/Prod", server.Client()
}

func do(t *testing.T, client *http.Client, method, url, body string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

func TestGateway(t *testing.T) {
	f := Start(t, Build(t, echo), nil)
	base, client := gateway(t, &Gateway{Functions: map[string]*Function{
		"/echo": f, "/echo/{name}": f, "/panic": f, "/large": f, "/bytes": f, "/password": f,
	}})

	t.Run("echo", func(t *testing.T) {
		response, body := do(t, client, "PUT", base+"/echo/a%2Fb/?q=1&q=2", "grüße <&>")
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		want := map[string]any{"method": "PUT", "path": "/echo/a%2Fb/", "name": "a/b", "query": map[string]any{"q": []any{"1", "2"}},
			"body": "grüße <&>", "base": base, "accept": []any{"application/json"}, "remote": "127.0.0.1:0"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if response.StatusCode != 201 || response.Header.Get("Content-Type") != "application/json" || response.Header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%d %v", response.StatusCode, response.Header)
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		if response, body := do(t, client, "HEAD", base+"/echo", ""); response.StatusCode != 201 || body != "" {
			t.Errorf("%d %q", response.StatusCode, body)
		}
	})
	t.Run("headers", func(t *testing.T) {
		response, _ := do(t, client, "GET", base+"/password", "")
		if response.StatusCode != 401 || response.Header.Get("WWW-Authenticate") != "" || response.Header.Get("X-Amzn-Remapped-Www-Authenticate") != "Basic" ||
			len(response.Header["Link"]) != 2 {
			t.Errorf("%d %v", response.StatusCode, response.Header)
		}
	})

	tests := []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"undefined path", "/nothing", "", 403, `{"message":"Missing Authentication Token"}`},
		{"base64 is not decoded", "/bytes", "", 200, "//4="},
		{"panic", "/panic", "", 500, "could not be served"},
		{"response over 6 MB", "/large", "", 500, "too large"},
		{"request over 10 MB", "/echo", strings.Repeat("x", maxRequest+1), 413, `{"message":"Request Too Long"}`},
		{"event over 6 MB", "/echo", strings.Repeat("x", maxPayload), 413, `{"message":"Request Too Long"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			response, body := do(t, client, "POST", base+test.path, test.body)
			if response.StatusCode != test.status || !strings.Contains(body, test.want) {
				t.Errorf("%d %.200q", response.StatusCode, body)
			}
		})
	}
	if logs := f.Logs(); !strings.Contains(logs, "on purpose") || !strings.Contains(logs, "too large") {
		t.Errorf("logs %q", logs)
	}
}

func TestGatewayWithAFailingFunction(t *testing.T) {
	binary := Build(t, faulty)
	exits := Start(t, binary, map[string]string{"INIT": "exit"})
	refuses := Start(t, binary, nil) // expects a string as the event
	otherResponse := Start(t, Build(t, bare), nil)
	base, client := gateway(t, &Gateway{Functions: map[string]*Function{"/exits": exits, "/refuses": refuses, "/other": otherResponse}})
	for _, path := range []string{"/exits", "/refuses", "/other"} {
		if response, body := do(t, client, "GET", base+path, ""); response.StatusCode != 502 || body != `{"message":"Internal server error"}` {
			t.Errorf("%s: %d %q", path, response.StatusCode, body)
		}
	}
}

func TestGatewayWithAHangingFunction(t *testing.T) {
	f := Start(t, Build(t, echo), nil)
	if _, err := f.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	base, client := gateway(t, &Gateway{Functions: map[string]*Function{"/sleep": f}, Timeout: 50 * time.Millisecond})
	if response, body := do(t, client, "GET", base+"/sleep", ""); response.StatusCode != 504 || body != `{"message":"Endpoint request timed out"}` {
		t.Errorf("%d %q", response.StatusCode, body)
	}
}

func TestDecodeAnswer(t *testing.T) {
	tests := []struct {
		payload string
		ok      bool
	}{
		{`{"statusCode":200}`, true},
		{`{"statusCode":204,"headers":null,"multiValueHeaders":{"A":["b"]},"body":"","isBase64Encoded":false}`, true},
		{`{}`, false},
		{`"text"`, false},
		{`null`, false},
		{``, false},
		{`{"statusCode":600}`, false},
		{`{"statusCode":100}`, false},
		{`{"statusCode":200,"cookies":[]}`, false},
		{`{"statusCode":200,"body":{}}`, false},
	}
	for _, test := range tests {
		if _, err := decodeAnswer([]byte(test.payload)); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.payload, err)
		}
	}
}

func TestHeadersOfAResponseAreMerged(t *testing.T) {
	w := httptest.NewRecorder()
	answer{StatusCode: 200, Headers: map[string]string{"A": "1", "B": "2", "Server": "x"}, MultiValueHeaders: map[string][]string{"A": {"1", "3"}}}.write(w)
	w.Header().Del("x-amzn-RequestId")
	want := http.Header{"A": {"1", "3"}, "B": {"2"}, "X-Amzn-Remapped-Server": {"x"}, "Content-Type": {"application/json"}}
	if diff := cmp.Diff(want, w.Header()); diff != "" {
		t.Error(diff)
	}
}
