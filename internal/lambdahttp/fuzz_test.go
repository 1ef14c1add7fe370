package lambdahttp

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// FuzzEvent checks that the gateway gets a response that it accepts for any event in JSON.
func FuzzEvent(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.json")
	if err != nil || len(seeds) == 0 {
		f.Fatal(len(seeds), err)
	}
	for _, seed := range seeds {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"httpMethod":"GET","resource":"/findings/{scanid}","pathParameters":{"scanid":"%zz"},"headers":{"X-A":"\u0000"}}`))
	f.Add([]byte(`{"httpMethod":"CONNECT","path":"//evil.example/../configs","queryStringParameters":{"a":"b;c"}}`))

	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	f.Cleanup(func() { slog.SetDefault(before) })
	h := Handler(echo())
	f.Fuzz(func(t *testing.T, data []byte) {
		var event events.APIGatewayProxyRequest
		isEvent := json.Unmarshal(data, &event) == nil && event.HTTPMethod != ""
		encoded, err := h.Invoke(t.Context(), data)
		if (err == nil) != isEvent {
			t.Errorf("an event of API Gateway: %t, error: %v", isEvent, err)
		}
		if err == nil {
			checkResponse(t, event, encoded)
		}
	})
}

// echo responds with the headers, the URL and the body of the request.
func echo() http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/configs", "/configs/{scanid}", "/summary", "/findings", "/findings/all", "/findings/{scanid}", "/findings/{scanid}/changes"} {
		for _, method := range []string{"GET ", "POST ", "DELETE ", "OPTIONS "} {
			mux.HandleFunc(method+path, func(w http.ResponseWriter, r *http.Request) {
				for name, values := range r.Header {
					w.Header()[name] = values
				}
				w.Header().Set("X-Scan-Id", r.PathValue("scanid"))
				w.Header().Set("Location", BaseURL(r)+r.RequestURI)
				_, _ = io.WriteString(w, r.URL.String())
				_, _ = io.Copy(w, r.Body)
			})
		}
	}
	return mux
}

func checkResponse(t *testing.T, event events.APIGatewayProxyRequest, encoded []byte) {
	t.Helper()
	response := decode(t, encoded)
	if response.StatusCode < 100 || response.StatusCode > 599 {
		t.Errorf("status %d", response.StatusCode)
	}
	for name, values := range response.MultiValueHeaders {
		if _, err := http.NewRequest(name, "/", nil); name == "" || err != nil { // methods and header names have the same syntax
			t.Errorf("header name %q", name)
		}
		if strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
			t.Errorf("header %s: %q", name, values)
		}
	}
	if _, err := base64.StdEncoding.DecodeString(response.Body); response.IsBase64Encoded && err != nil {
		t.Errorf("body: %v", err)
	}
	if !utf8.ValidString(response.Body) {
		t.Error("the body is not UTF-8")
	}
	if event.HTTPMethod == "HEAD" && response.Body != "" {
		t.Error("HEAD with a body")
	}
	if len(encoded) > maxResponse {
		t.Errorf("%d bytes", len(encoded))
	}
}
