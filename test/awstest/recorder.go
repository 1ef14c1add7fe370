package awstest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"ecr-continuous-scan/internal/scan"
)

// Recorder is a proxy between one client and the services. It records the names of the calls. The zero value is valid.
type Recorder struct {
	mu    sync.Mutex
	calls map[string]bool
}

// Start starts the proxy of an ECR or SQS and returns its URL. The proxy stops at the end of the test.
func (r *Recorder) Start(tb testing.TB, service http.Handler) string {
	return r.start(tb, service, func(request *http.Request) string {
		target := request.Header.Get("X-Amz-Target")
		return target[strings.LastIndex(target, ".")+1:]
	})
}

// S3 starts the proxy of an S3 and returns its URL. The proxy stops at the end of the test.
func (r *Recorder) S3(tb testing.TB, service http.Handler) string {
	return r.start(tb, service, s3Call)
}

// Calls returns the names of the called operations, sorted and without duplicates. Names of S3 operations contain the type of
// the object, such as "PutObject of a config".
func (r *Recorder) Calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.calls))
}

func (r *Recorder) start(tb testing.TB, service http.Handler, name func(*http.Request) string) string {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.add(name(request))
		service.ServeHTTP(w, request)
	}))
	tb.Cleanup(server.Close)
	return server.URL
}

func (r *Recorder) add(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = map[string]bool{}
	}
	r.calls[call] = true
}

// s3Call returns the name of a request to S3. For unknown requests, the name contains the method and the URL.
func s3Call(r *http.Request) string {
	key := strings.Trim(strings.TrimPrefix(r.URL.Path, "/"+Bucket), "/")
	id, isJSON := strings.CutSuffix(key, ".json")
	operations := map[string]string{http.MethodGet: "GetObject", http.MethodPut: "PutObject", http.MethodDelete: "DeleteObject"}
	operation, known := operations[r.Method]
	switch {
	case key == "" && r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2":
		return "ListObjectsV2"
	case key == "" || !known:
		return r.Method + " " + r.URL.String()
	case isJSON && scan.ValidID(id):
		return operation + " of a config"
	case strings.HasPrefix(key, "record/"):
		return operation + " of a record"
	}
	return operation + " of " + key
}
