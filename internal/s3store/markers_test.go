package s3store_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

func markers(t *testing.T) (*awstest.AWS, *s3store.Markers) {
	a := awstest.Start(t, awslocal.ECROptions{})
	return a, s3store.NewMarkers(a.S3Client(), awstest.Bucket)
}

// must stores a marker and gives it as it is read.
func must(t *testing.T, store *s3store.Markers, m scan.Marker) scan.Marker {
	t.Helper()
	if ok, err := store.Put(t.Context(), known, m); err != nil || !ok {
		t.Fatalf("put %+v: %t, %v", m, ok, err)
	}
	got, err := store.Get(t.Context(), known)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestMarkers(t *testing.T) {
	a, store := markers(t)
	if _, err := store.Get(t.Context(), known); scan.CodeOf(err) != scan.NotFound {
		t.Errorf("none yet: %v", err)
	}
	put := func(m scan.Marker, want bool) {
		t.Helper()
		if ok, err := store.Put(t.Context(), known, m); err != nil || ok != want {
			t.Errorf("put %+v: %t, %v, want %t", m, ok, err, want)
		}
	}
	put(scan.Marker{Chain: "a", Version: `"0123"`}, false)
	full := scan.Marker{Chain: "a", Hop: 3, Worker: "w", Until: time.Date(2026, 11, 24, 12, 0, 0, 5, time.UTC)}
	first := must(t, store, full)
	if diff := cmp.Diff(full, first, cmpopts.IgnoreFields(scan.Marker{}, "Version", "Written")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if first.Version == "" || time.Since(first.Written).Abs() > time.Minute {
		t.Errorf("version %q, written %v", first.Version, first.Written)
	}
	put(scan.Marker{Chain: "b"}, false) // there is one
	second := must(t, store, scan.Marker{Chain: "b", Version: first.Version})
	put(scan.Marker{Chain: "c", Version: first.Version}, false) // of the one before
	if err := store.Remove(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	put(scan.Marker{Chain: "c", Version: second.Version}, false) // of one that is gone
	if err := store.Remove(t.Context(), known); err != nil {
		t.Errorf("none to remove: %v", err)
	}
	if configs, err := a.Watch(awstest.Silent()).Configs.List(t.Context()); err != nil || len(configs) != 0 {
		t.Errorf("markers show as configs: %v, %v", configs, err)
	}
}

func TestBrokenMarkers(t *testing.T) {
	for _, body := range []string{"", "{", "[]", `{"chain":5}`, "null", strings.Repeat("x", 1<<20)} {
		a, store := markers(t)
		put(t, a, s3store.MarkerPrefix+known+".json", body)
		m, err := store.Get(t.Context(), known)
		if err != nil || m.Chain != "" || m.Worker != "" || m.Version == "" || m.Written.IsZero() {
			t.Errorf("%.10s: %+v, %v", body, m, err)
		}
		if ok, err := store.Put(t.Context(), known, scan.Marker{Chain: "a", Version: m.Version}); !ok || err != nil {
			t.Errorf("%.10s can't be replaced: %v", body, err)
		}
	}
}

// The answer to a write is lost and the SDK writes again: what it finds then is its own.
func TestMarkerWrittenTwice(t *testing.T) {
	a, _ := markers(t)
	var lost atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && lost.CompareAndSwap(false, true) {
			a.S3.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		a.S3.ServeHTTP(w, r)
	}))
	defer server.Close()
	client := s3.NewFromConfig(setup.Loopback(server.URL), func(o *s3.Options) { o.UsePathStyle = true })
	store := s3store.NewMarkers(client, awstest.Bucket)
	must(t, store, scan.Marker{Chain: "a", Worker: "x", Until: time.Now()})
	if puts := a.S3.Count().Calls["PutObject"]; puts != 2 {
		t.Errorf("%d writes, want it repeated", puts)
	}
	if ok, err := store.Put(t.Context(), known, scan.Marker{Chain: "b"}); ok || err != nil {
		t.Errorf("another: %t, %v", ok, err)
	}
}

func TestMarkersAtOnce(t *testing.T) {
	_, store := markers(t)
	var stored atomic.Int64
	var wg sync.WaitGroup
	for _, chain := range strings.Split("abcdefghij", "") {
		wg.Go(func() {
			ok, err := store.Put(t.Context(), known, scan.Marker{Chain: chain})
			if err != nil {
				t.Error(err)
			}
			if ok {
				stored.Add(1)
			}
		})
	}
	wg.Wait()
	if stored.Load() != 1 {
		t.Errorf("%d of 10 were stored", stored.Load())
	}
}

func TestMarkerOutage(t *testing.T) {
	for _, status := range []int{500, 403} {
		a, store := markers(t)
		a.S3.Disturb(awslocal.Fault{Status: status})
		_, got := store.Get(t.Context(), known)
		_, stored := store.Put(t.Context(), known, scan.Marker{Chain: "a"})
		for what, err := range map[string]error{"get": got, "put": stored, "remove": store.Remove(t.Context(), known)} {
			if scan.CodeOf(err) != scan.Unavailable {
				t.Errorf("%d, %s: %v", status, what, err)
			}
		}
	}
}
