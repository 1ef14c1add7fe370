package durability

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// Each change has its own date. If two had the same date, a client that polls between them would miss the second. A
// read does not change the date.
func TestEachChangeHasItsDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := addConfig(t, w.service(), repo)
		var last history.Stamp
		for _, tag := range []string{"one", "two", "three"} { // all within one second
			w.push(tag, "A:LOW")
			readGate(t, w.service(), c)
			if last > 0 && changedIn(t, w) != last {
				t.Errorf("%s: a read changed the date", tag)
			}
			visit(t, w.service())
			if changed := changedIn(t, w); changed <= last {
				t.Errorf("%s: changed at %d, before at %d", tag, changed, last)
			} else {
				last = changed
			}
		}
	})
}

func changedIn(t *testing.T, w *world) history.Stamp {
	t.Helper()
	r, err := store(w.s3).Load(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	return r.Changed
}

// paths returns one path for each kind of response about a config.
func paths(c scan.Config) []string {
	return []string{
		"/summary", "/summary?format=json", "/summary?format=html", "/findings/all", "/findings/" + c.ID, "/findings/" + c.ID + "?format=html", "/changes",
		"/findings/" + c.ID + "/changes", "/gate/" + c.ID, "/badge/" + c.ID + ".svg",
	}
}

// stored returns all objects of the bucket.
func stored(t *testing.T, w *world) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	for _, key := range keys(t, w.s3, "") {
		all[key] = get(t, w.s3, key)
	}
	return all
}

// Whatever has changed in ECR, a read does not change the stored objects.
func TestReadsStoreNothing(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *world){
		"nothing":      func(*testing.T, *world) {},
		"a push":       func(_ *testing.T, w *world) { w.push("two", "B:LOW") },
		"a moved tag":  func(_ *testing.T, w *world) { w.push("one", "B:LOW") },
		"a scan":       func(t *testing.T, w *world) { w.rescan(t, "one", "B:HIGH") },
		"a deletion":   func(_ *testing.T, w *world) { _ = w.ecr.DeleteImage(ecrID(repo), "one") },
		"an outage":    func(_ *testing.T, w *world) { w.ecr.InjectFault(awslocal.Fault{Status: 500}) },
		"broken index": func(t *testing.T, w *world) { put(t, w.s3, indexKey, "broken") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				c := addConfig(t, w.service(), repo)
				w.push("one", "A:LOW")
				visit(t, w.service())
				time.Sleep(25 * time.Hour)
				change(t, w)
				before := stored(t, w)
				w.s3.ResetCount()
				handler := w.service().Handler("https://api.example")
				for _, path := range paths(c) {
					handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
				}
				for call, n := range w.s3.Count().Calls {
					if call != "GetObject" && call != "ListObjectsV2" {
						t.Errorf("%d calls of %s", n, call)
					}
				}
				if diff := cmp.Diff(before, stored(t, w)); diff != "" {
					t.Errorf("(-before +after):\n%s", diff)
				}
			})
		})
	}
}

// A client that polls with If-Modified-Since never gets 304 if the response has changed.
func TestPollingByDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		service := w.service()
		c := addConfig(t, service, repo)
		w.push("one", "A:LOW")
		other := repo
		other.Name = "team/other"
		w.ecr.PutImage(ecrID(other), ecr.Image{Tags: []string{"x"}, ScannedAt: time.Now(), Findings: findings("X:LOW")})
		poll := &poller{handler: service.Handler("https://api.example"), seen: make(map[string]answer)}
		for _, step := range []func(){
			func() {},
			func() { visit(t, service) },
			func() { time.Sleep(time.Second) },
			func() { w.push("two", "B:LOW") },
			func() { time.Sleep(refresh.ListingMaxAge) },
			func() { visit(t, service) },
			func() { w.push("three", "C:LOW"); visit(t, service) },
			func() { w.rescan(t, "one", "A:HIGH"); time.Sleep(6 * time.Minute) },
			func() { w.push("one", "D:LOW"); time.Sleep(time.Minute) },
			func() { w.ecr.InjectFault(awslocal.Fault{Status: 500}) },
			func() { time.Sleep(3 * time.Hour) },
			func() { visit(t, service) },
			func() { w.ecr.ClearFaults() },
			func() { visit(t, service) },
			func() { time.Sleep(time.Minute) },
			func() { _ = w.ecr.DeleteImage(ecrID(repo), "two"); time.Sleep(refresh.ListingMaxAge) },
			func() { visit(t, service) },
			func() { replaceConfig(t, service, c.ID, repo, "one") }, // the response changes at once, the record does not
			func() { time.Sleep(time.Second) },
			func() { replaceConfig(t, service, c.ID, repo, "three"); time.Sleep(time.Minute) },
			func() { visit(t, service) },
			func() { time.Sleep(time.Minute) },
			func() { w.push("three", "E:LOW"); visit(t, service); time.Sleep(time.Minute) },
			func() { replaceConfig(t, service, c.ID, other); time.Sleep(time.Second) },
			func() { visit(t, service); time.Sleep(20 * time.Second) },
			func() { replaceConfig(t, service, c.ID, repo); time.Sleep(5 * time.Second) },
			func() { visit(t, service) },
			func() { w.push("three", "F:HIGH"); visit(t, service) }, // the record changes soon after the config
			func() { time.Sleep(time.Minute) },
			func() { w.ecr.InjectFault(noStarts); time.Sleep(49 * time.Hour) },
			func() { visit(t, service) },
			func() { time.Sleep(time.Second) },
		} {
			step()
			for _, path := range paths(c) {
				poll.get(t, path)
			}
		}
		if poll.unchanged == 0 || poll.changed == 0 {
			t.Errorf("%d responses were unchanged and %d changed, want both", poll.unchanged, poll.changed)
		}
	})
}

func replaceConfig(t *testing.T, w *awstest.Service, id string, r scan.Repository, tags ...string) {
	t.Helper()
	draft := scan.Config{Region: r.Region, Registry: r.Registry, Repository: r.Name, Tags: tags}
	err := w.Configs.Replace(t.Context(), id, func(stored scan.Config) (scan.Config, error) { return stored.Replace(draft, time.Now()) })
	if err != nil {
		t.Fatal(err)
	}
}

type answer struct {
	body     []byte
	modified string
}

// poller sends requests with the last Last-Modified of each path.
type poller struct {
	handler            http.Handler
	seen               map[string]answer
	unchanged, changed int
}

func (p *poller) get(t *testing.T, path string) {
	t.Helper()
	full := httptest.NewRecorder()
	p.handler.ServeHTTP(full, httptest.NewRequest("GET", path, nil))
	last := p.seen[path]
	if last.modified != "" {
		request, polled := httptest.NewRequest("GET", path, nil), httptest.NewRecorder()
		request.Header.Set("If-Modified-Since", last.modified)
		p.handler.ServeHTTP(polled, request)
		switch is304 := polled.Code == http.StatusNotModified; {
		case is304 && !bytes.Equal(full.Body.Bytes(), last.body):
			t.Errorf("%s, GET %s: not modified since %s (-last +now):\n%s", time.Now(), path, last.modified, cmp.Diff(string(last.body), full.Body.String()))
		case is304:
			p.unchanged++
		default:
			p.changed++
		}
	}
	if modified := full.Header().Get("Last-Modified"); full.Code == http.StatusOK && modified != "" {
		p.seen[path] = answer{full.Body.Bytes(), modified}
	}
}
