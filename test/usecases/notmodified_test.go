package usecases

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/scan"
)

// countedRecords counts the histories that are read.
type countedRecords struct {
	*fakeRecords
	read atomic.Int64
}

func (c *countedRecords) Histories(ctx context.Context, repo scan.Repository, names []string, use func(int, history.History, error)) {
	c.read.Add(int64(len(names)))
	c.fakeRecords.Histories(ctx, repo, names, use)
}

// feedService is a service with the feeds of its API.
type feedService struct {
	*service
	*httpapi.API
	records *countedRecords
}

func newFeedService(r *fakeRegistry, configs ...scan.Config) *feedService {
	w := newService(r, configs...)
	counted := &countedRecords{fakeRecords: w.service().records}
	w.Reader.Records = counted
	return &feedService{w, &httpapi.API{
		Reports: w.Reader, Access: httpapi.OpenAccess(), Now: w.Reader.Now, Log: slog.New(slog.DiscardHandler), Build: "1",
		BaseURL: func(*http.Request) string { return "https://api.example.org" },
	}, counted}
}

// service returns w, so that a field of the same name can be used where it is embedded.
func (w *service) service() *service { return w }

// get requests a URL. If tag is not empty, it is in If-None-Match.
func (s *feedService) get(target, tag string) (response *httptest.ResponseRecorder, histories int) {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	before, w := s.records.read.Load(), httptest.NewRecorder()
	s.API.Handler(s.API.FindingsRoutes()).ServeHTTP(w, r)
	return w, int(s.records.read.Load() - before)
}

// wantSame checks that the client has the response, and that no history is read to see that.
func (s *feedService) wantSame(t *testing.T, target, tag string) {
	t.Helper()
	if got, histories := s.get(target, tag); got.Code != http.StatusNotModified || got.Body.Len() > 0 || histories > 0 || got.Header().Get("ETag") != tag || got.Header().Get("Cache-Control") == "" {
		t.Errorf("%s: status %d, %d histories read, %v", target, got.Code, histories, got.Header())
	}
}

// wantChanged checks that the client gets a response with another ETag, and returns it.
func (s *feedService) wantChanged(t *testing.T, target, tag string) string {
	t.Helper()
	got, _ := s.get(target, tag)
	next := got.Header().Get("ETag")
	if got.Code != http.StatusOK || next == "" || next == tag {
		t.Errorf("%s: status %d, ETag %q, want another than %q", target, got.Code, next, tag)
	}
	return next
}

const (
	feedID   = "01a2268b-25dc-7a5d-a67f-17f6c51ecc13"
	feedPath = "/findings/" + feedID
)

func newUbuntuFeed(t *testing.T) *feedService {
	c := config(feedID, "ubuntu")
	c.Created = 1
	s := newFeedService(&fakeRegistry{images: map[string][]scan.Image{"ubuntu": {{Tag: "1", Digest: "a"}}}, results: map[string]scan.Result{}}, c)
	s.complete("a", "CVE-1", "CVE-2")
	s.scheduleAndVisit(t)
	return s
}

// complete completes a scan of a digest now, with these findings.
func (s *feedService) complete(digest string, names ...string) {
	r := scan.Result{State: scan.Completed, CompletedAt: s.at, Counts: scan.Counts{scan.High: len(names)}}
	for _, name := range names {
		r.Findings = append(r.Findings, scan.Finding{Name: name, Severity: scan.High})
	}
	s.registry.results[digest] = r
}

// A client that has a feed gets 304 without a read of histories, until something changes what the feed says.
func TestNotModified(t *testing.T) {
	s := newUbuntuFeed(t)
	feed, _ := s.get(feedPath, "")
	tag := feed.Header().Get("ETag")
	s.wantSame(t, feedPath, tag)
	s.advance(20 * time.Minute) // ECR is asked which digest the tag has, and returns the same one
	s.wantSame(t, feedPath, tag)
	if calls := s.registry.takeCalls(); calls["images ubuntu"] == 0 {
		t.Errorf("calls %v", calls)
	}
	if got, histories := s.get(feedPath, `"other", W/`+tag); got.Code != http.StatusNotModified || histories > 0 {
		t.Errorf("a list: status %d, %d histories read", got.Code, histories)
	}
	for _, target := range []string{feedPath + "?severity=HIGH", feedPath + "?format=json", feedPath + "?format=csv", feedPath + "?format=sarif", feedPath + "?by=vulnerability", feedPath + "?format=atom", "/findings/all"} {
		s.wantSame(t, target, s.wantChanged(t, target, tag))
	}
	for _, wrong := range []string{`""`, `"...."`, `"a.b.c.d"`, tag[1:], strings.Replace(tag, ".", "", 1)} {
		if got, _ := s.get(feedPath, wrong); got.Code != http.StatusOK {
			t.Errorf("%s: status %d", wrong, got.Code)
		}
	}
	s.API.Build = "2"
	if got, histories := s.get(feedPath, tag); histories == 0 || got.Code != http.StatusNotModified || got.Header().Get("ETag") != tag {
		t.Errorf("another build that writes the same: status %d, %d histories read", got.Code, histories)
	}
	s.API.Build = "1"
	s.registry.images["ubuntu"][0].Digest = "b" // a push
	s.complete("b", "CVE-1")
	s.wantChanged(t, feedPath, tag)
	s.advance(time.Hour)
	s.scheduleAndVisit(t)
	pushed := s.wantChanged(t, feedPath, tag)
	s.wantSame(t, feedPath, pushed)
	configs, _ := s.configs.List(t.Context())
	configs[0].Tags = []string{"1", "2"}
	s.configs.set(configs...)
	s.wantChanged(t, feedPath, pushed)
}

// An error that is not recorded is not kept in an ETag.
func TestNotModifiedAfterAnOutage(t *testing.T) {
	s := newUbuntuFeed(t)
	s.records.history[s.records.of("ubuntu").Images["1"].History] = &scan.Error{Code: scan.Unavailable, Message: "no answer"}
	if got, _ := s.get(feedPath, ""); got.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", got.Code)
	}
	clear(s.records.history)
	feed, _ := s.get(feedPath, "")
	s.advance(3 * time.Hour)
	s.registry.fail = map[string]error{"ubuntu": &scan.Error{Code: scan.Unavailable, Message: "no answer"}}
	outage := s.wantChanged(t, feedPath, feed.Header().Get("ETag")) // As of …, because ECR can't be read
	s.registry.fail = nil
	if s.wantChanged(t, feedPath, outage) != feed.Header().Get("ETag") {
		t.Error("the feed after the outage is another one")
	}
}

// The ETag changes at each moment at which time alone changes a feed, and at no other time.
func TestNotModifiedUntil(t *testing.T) {
	const day = 24 * time.Hour
	t.Run("a resolved finding", func(t *testing.T) {
		s := newUbuntuFeed(t)
		s.advance(25 * time.Hour)
		s.complete("a", "CVE-1")
		s.scheduleAndVisit(t)
		s.until(t, feedPath, history.Retention)
	})
	t.Run("a change of a finding", func(t *testing.T) {
		s := newUbuntuFeed(t)
		s.advance(25 * time.Hour)
		s.complete("a", "CVE-1", "CVE-2", "CVE-3")
		s.scheduleAndVisit(t)
		s.until(t, feedPath+"/changes", 2*day) // then the image is not scanned for 48 hours
		s.until(t, feedPath+"/changes", history.Retention-2*day-2*time.Second)
	})
	t.Run("an image that is not scanned", func(t *testing.T) {
		s := newUbuntuFeed(t)
		s.until(t, feedPath+"/changes", 2*day)
		s.until(t, "/changes", history.Retention) // then its entry is too old
	})
}

// until checks that a feed stays the same until d after now or a second later, and then changes.
func (s *feedService) until(t *testing.T, target string, d time.Duration) {
	t.Helper()
	feed, _ := s.get(target, "")
	tag := feed.Header().Get("ETag")
	began := s.at
	for _, part := range []time.Duration{0, d / 2, d - 2*time.Second} {
		s.at = began.Add(part)
		s.wantSame(t, target, tag)
	}
	s.at = began.Add(d + 2*time.Second)
	s.wantChanged(t, target, tag)
}

// Whatever happens, a client that gets 304 has the bytes that it would get now.
func TestNotModifiedMeansTheSameBytes(t *testing.T) {
	withoutHistories := 0
	for seed := range uint64(20) {
		withoutHistories += newRandomFeeds(seed).run(t, 120)
	}
	if withoutHistories < 100 {
		t.Errorf("only %d answers needed no history", withoutHistories)
	}
}

// randomFeeds are feeds of repositories in which anything happens.
type randomFeeds struct {
	*feedService
	*rand.Rand
	known map[string][2]string // the ETag and the body that the client has, by URL
}

func newRandomFeeds(seed uint64) *randomFeeds {
	r := &fakeRegistry{images: map[string][]scan.Image{}, results: map[string]scan.Result{}, fail: map[string]error{}}
	var configs []scan.Config
	for i, tags := range [][]string{nil, {"1", "missing"}, nil} {
		c := config(fmt.Sprintf("01a2268b-25dc-7a5d-a67f-17f6c51ecc1%d", i), []string{"one", "one", "two"}[i], tags...)
		c.Created = int64(i + 1)
		configs = append(configs, c)
	}
	for i, c := range []scan.Config{newest("3", 1), used(config("4", "two"), "2d"), newest("5", 2, "1", "2*"), used(newest("6", 2), "9d")} {
		c.ID, c.Created = fmt.Sprintf("01a2268b-25dc-7a5d-a67f-17f6c51ecc2%d", i), int64(10+i)
		c.Repository = []string{"one", "two"}[i%2]
		configs = append(configs, c)
	}
	return &randomFeeds{newFeedService(r, configs...), rand.New(rand.NewPCG(seed, 1)), map[string][2]string{}}
}

func (f *randomFeeds) run(t *testing.T, steps int) (withoutHistories int) {
	targets := []string{"/findings/all", "/changes", "/changes?tag=1", "/findings/all?by=vulnerability&format=json"}
	for _, c := range f.configs.configs {
		for _, suffix := range []string{"", "?format=csv", "?severity=HIGH", "?by=vulnerability", "/changes", "?format=sarif"} {
			targets = append(targets, "/findings/"+c.ID+suffix)
		}
	}
	for step := range steps {
		f.step(t)
		for range 4 {
			withoutHistories += f.request(t, step, targets[f.IntN(len(targets))])
		}
	}
	return withoutHistories
}

// request compares the answer to a client that has an earlier answer with the complete one. It returns 1 if the former needed no history.
func (f *randomFeeds) request(t *testing.T, step int, target string) int {
	known := f.known[target]
	got, histories := f.get(target, known[0])
	failing := maps.Clone(f.records.history)
	if got.Code == http.StatusNotModified && histories == 0 {
		clear(f.records.history) // the client has what is in a history that can't be read now
	}
	now, needed := f.get(target, "")
	maps.Copy(f.records.history, failing)
	switch {
	case got.Code == http.StatusNotModified && (now.Code != http.StatusOK || known[1] != now.Body.String()):
		t.Fatalf("step %d: %s: 304, but the bytes changed:\n%s\nnow:\n%s", step, target, known[1], now.Body)
	case got.Code == http.StatusNotModified && histories == 0 && needed > 0:
		return 1
	}
	if now.Code == http.StatusOK {
		f.known[target] = [2]string{now.Header().Get("ETag"), now.Body.String()}
	}
	return 0
}

// step lets time pass, and something happen.
func (f *randomFeeds) step(t *testing.T) {
	f.advance([]time.Duration{time.Second, time.Minute, 10 * time.Minute, 5 * time.Hour, 26 * time.Hour, 8 * 24 * time.Hour}[f.IntN(6)].Round(time.Second))
	repo := []string{"one", "two"}[f.IntN(2)]
	tag := fmt.Sprint(f.IntN(3))
	switch f.IntN(12) {
	case 0: // a push
		f.registry.images[repo] = append(slices.DeleteFunc(slices.Clone(f.registry.images[repo]), func(i scan.Image) bool { return i.Tag == tag }), scan.Image{
			Tag: tag, Digest: fmt.Sprint(repo, f.IntN(4)), PushedAt: f.at, LastPulled: f.at.Add(-time.Duration(f.IntN(5)) * 24 * time.Hour),
		})
	case 1:
		f.registry.images[repo] = slices.DeleteFunc(slices.Clone(f.registry.images[repo]), func(i scan.Image) bool { return i.Tag == tag })
	case 2, 3, 4:
		var names []string
		for i := range 5 {
			if f.IntN(2) == 0 {
				names = append(names, fmt.Sprint("CVE-", i))
			}
		}
		f.complete(fmt.Sprint(repo, f.IntN(4)), names...)
	case 5:
		f.registry.results[fmt.Sprint(repo, f.IntN(4))] = scan.Result{State: scan.Failed, Reason: "why"}
	case 6:
		f.registry.fail[repo] = &scan.Error{Code: []scan.Code{scan.Unavailable, scan.NoAccess, scan.RepositoryNotFound}[f.IntN(3)], Message: "why"}
	case 7:
		clear(f.registry.fail)
	case 8:
		for _, name := range slices.Sorted(maps.Keys(f.records.histories)) {
			if f.IntN(10) == 0 {
				f.records.history[name] = &scan.Error{Code: []scan.Code{scan.Unavailable, scan.NotFound}[f.IntN(2)], Message: "why"}
			}
		}
	case 9:
		clear(f.records.history)
	default:
		f.scheduleAndVisit(t)
	}
}
