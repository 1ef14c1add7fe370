package usecases

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

// A visit stores the record only if visible data has changed, or if the stored begin is more than an hour old.
func TestWhenARecordIsSaved(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}}
	w := newService(r, config("1", "app"), config("2", "app"))
	r.results = map[string]scan.Result{"1": completed(w, 0, nil)}
	steps := []struct {
		name   string
		after  time.Duration
		change func()
		saved  bool
		dated  bool // visible data changes
	}{
		{"first", 0, nil, true, true},
		{"nothing new", 30 * time.Minute, nil, false, false},
		{"an hour", 30 * time.Minute, nil, false, false},
		{"more than an hour", time.Second, nil, true, false},
		{"nothing new again", 59 * time.Minute, nil, false, false},
		{"another image", time.Minute, func() { r.images["app"] = append(r.images["app"], scan.Image{Tag: "b", Digest: "1"}) }, true, true},
		{"one more config", time.Minute, nil, true, false},
		{"one config less", time.Minute, func() { w.configs.set(config("2", "app")) }, true, false},
		{"a begin in the future", time.Minute, func() { w.records.set("app", func(r *history.Record) { r.Begin = r.Begin.Plus(time.Hour) }) }, true, false},
	}
	for i, step := range steps {
		w.advance(step.after)
		if step.change != nil {
			step.change()
		}
		before := w.records.of("app")
		saves := w.records.saves
		ids := []string{"1"}
		if i >= 6 {
			ids = append(ids, "2")
		}
		w.visit(t, "app", ids...)
		after := w.records.of("app")
		if saved := w.records.saves > saves; saved != step.saved || saved && after.Begin != history.StampOf(w.Now()) || after.Changed > before.Changed != step.dated {
			t.Errorf("%s: saved %t, begin %v, changed %v, want saved %t and dated %t", step.name, saved, after.Begin, after.Changed, step.saved, step.dated)
		}
	}
}

// A long visit saves the record every 20 seconds.
func TestLongVisitsSaveRegularly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRegistry{images: map[string][]scan.Image{}}
		for i := range 640 {
			r.images["app"] = append(r.images["app"], scan.Image{Tag: fmt.Sprintf("%03d", i), Digest: fmt.Sprint(i)})
		}
		r.slow(10 * time.Second) // two batches at once
		w := newServiceInBubble(r, config("1", "app"))
		began := time.Now()
		var at []time.Duration
		w.records.saving = func() { at = append(at, time.Since(began).Round(time.Second)) }
		w.visit(t, "app", "1")
		if took := time.Since(began); took != 100*time.Second || len(at) != 6 {
			t.Errorf("a visit of %v saves at %v", took, at)
		}
		for i := 1; i < len(at)-1; i++ {
			if since := at[i] - at[i-1]; since < saveTime || since > saveTime+10*time.Second {
				t.Errorf("saves at %v", at)
			}
		}
	})
}

// The error of failed visits is stored once for each reason, with the time of the first failure. It is deleted when a
// visit lists the repository.
func TestFailureIsRecordedOnce(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}, fail: map[string]error{}}
	w := newService(r, config("1", "app"))
	r.results = map[string]scan.Result{"1": completed(w, 0, nil)}
	denied, unavailable := &scan.Error{Code: scan.NoAccess, Message: "no access"}, &scan.Error{Code: scan.Unavailable, Message: "throttled"}
	first := history.StampOf(w.Now())
	for i, step := range []struct {
		fail  error
		saved bool
		since time.Duration
	}{
		{denied, true, 0}, {denied, false, 0}, {denied, false, 0}, {unavailable, true, 90 * time.Minute}, {denied, true, 120 * time.Minute}, {nil, true, -1}, {nil, false, -1},
		{unavailable, true, 210 * time.Minute},
	} {
		if r.fail["app"] = step.fail; step.fail == nil {
			delete(r.fail, "app")
		}
		saves := w.records.saves
		w.visit(t, "app", "1")
		want := history.Failure{}
		if step.fail != nil {
			want = history.Failure{Code: scan.CodeOf(step.fail), Reason: scan.MessageOf(step.fail), Since: first.Plus(step.since)}
		}
		if diff := cmp.Diff(want, w.records.of("app").Failure); diff != "" || w.records.saves > saves != step.saved {
			t.Errorf("visit %d: saved %t (-want +got):\n%s", i, w.records.saves > saves, diff)
		}
		w.advance(30 * time.Minute)
	}
}

// largeRepository returns a registry with 3,000 images. One visit can read only some of them.
func largeRepository() *fakeRegistry {
	r := &fakeRegistry{images: map[string][]scan.Image{}, results: map[string]scan.Result{}, scans: true}
	for i := range 3000 {
		r.images["app"] = append(r.images["app"], scan.Image{Tag: fmt.Sprintf("%04d", i), Digest: fmt.Sprint(i)})
	}
	r.slow(10 * time.Second)
	return r
}

// visitWithContinuations runs the visit of a message and all continuing visits, each with five minutes. It calls
// between after each visit.
func (w *service) visitWithContinuations(t *testing.T, m rescan.Received, between func(visits int)) (visits int) {
	for ok := true; ok; m, ok = w.queue.next() {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		w.visitor.Visit(ctx, m)
		cancel()
		time.Sleep(time.Second)
		visits++
		between(visits)
	}
	return visits
}

// Images that a complete listing does not have are marked as missing, also in a repository that needs several visits.
func TestDeletedImagesAreMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := largeRepository()
		w := newServiceInBubble(r, config("1", "app"))
		visits := w.visitWithContinuations(t, w.message("app", "1"), func(visits int) {
			if visits == 1 { // the first image is deleted after it was read, the last one before
				r.images["app"] = r.images["app"][1:2999]
			}
		})
		record := w.records.of("app")
		if visits < 2 || len(record.PresentTags()) != 2998 || record.Images["0000"].Kind != scan.Missing || record.Images["2999"].Kind != scan.Missing {
			t.Errorf("%d images after %d visits: %+v", len(record.PresentTags()), visits, record.Images["0000"])
		}
		if r.calls["start 2999"] != 0 {
			t.Error("the scan of a deleted image was started")
		}
		r.images["app"] = r.images["app"][1:]
		w.visitWithContinuations(t, w.message("app", "1"), func(int) {})
		if record := w.records.of("app"); len(record.PresentTags()) != 2997 || record.Images["0001"].Kind != scan.Missing {
			t.Errorf("%d images: %+v", len(record.PresentTags()), record.Images["0001"])
		}
		w.configs.set(config("1", "app", "1234", "2345"))
		w.visit(t, "app", "1")
		if record := w.records.of("app"); tagsOf(record) != "1234 2345" || len(record.Images) != 2 {
			t.Errorf("with two watched tags: %d images", len(record.Images))
		}
	})
}

// digestsRead returns the digests whose results were read.
func digestsRead(calls map[string]int) map[string]bool {
	digests := map[string]bool{}
	for call := range calls {
		if digest, ok := strings.CutPrefix(call, "result "); ok {
			digests[digest] = true
		}
	}
	return digests
}

// Enhanced results are read at least every 6 hours. Earlier, a visit reads as many as it has time for, those that
// were not read for the longest time first.
func TestEnhancedResultsAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images = 1000
		r := &fakeRegistry{images: map[string][]scan.Image{}, results: map[string]scan.Result{}}
		w := newServiceInBubble(r, config("1", "app"))
		for i := range images {
			r.images["app"] = append(r.images["app"], scan.Image{Tag: fmt.Sprintf("%03d", i), Digest: fmt.Sprint(i)})
			r.results[fmt.Sprint(i)] = scan.Result{State: scan.Completed, Enhanced: true, CompletedAt: time.Now().Add(-time.Hour)}
		}
		r.slow(10 * time.Second)
		visit := func() (digests map[string]bool, took time.Duration) {
			began := time.Now()
			r.takeCalls()
			w.visit(t, "app", "1")
			calls := r.takeCalls()
			for call, n := range calls {
				if n > 1 {
					t.Errorf("%d calls in one visit: %s", n, call)
				}
			}
			return digestsRead(calls), time.Since(began).Round(time.Second)
		}
		if digests, _ := visit(); len(digests) != images {
			t.Fatalf("the first visit reads %d results", len(digests))
		}
		seen := map[string]bool{}
		for range 2 {
			time.Sleep(time.Hour)
			digests, took := visit()
			if len(digests) < 300 || len(digests) > 500 || took > readAgainTime+20*time.Second {
				t.Errorf("%d results in %v", len(digests), took)
			}
			for digest := range digests {
				if seen[digest] {
					t.Fatalf("%s is read again before the others", digest)
				}
				seen[digest] = true
			}
		}
		time.Sleep(6*time.Hour + 10*time.Minute)
		if digests, _ := visit(); len(digests) != images {
			t.Errorf("after 6 hours a visit reads %d results", len(digests))
		}
	})
}

// While images are not handled yet, enhanced results are not read again.
func TestEnhancedResultsAreReadLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "enhanced"}}}, results: map[string]scan.Result{}}
		w := newServiceInBubble(r, config("1", "app"))
		r.results["enhanced"] = scan.Result{State: scan.Completed, Enhanced: true, CompletedAt: time.Now()}
		w.visit(t, "app", "1")
		r.images["app"] = append(r.images["app"], scan.Image{Tag: "b", Digest: "new"})
		r.slow(time.Hour)
		time.Sleep(time.Minute)
		r.takeCalls()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		report := w.visitor.Visit(ctx, w.message("app", "1"))
		if digests := digestsRead(r.takeCalls()); report.NotReached != 1 || digests["enhanced"] || !digests["new"] {
			t.Errorf("not reached %d, read %v", report.NotReached, digests)
		}
	})
}

// findingsOf returns a completed result with findings.
func findingsOf(w *service, ago time.Duration, names ...string) scan.Result {
	r := completed(w, ago, scan.Counts{scan.High: len(names)})
	for _, name := range names {
		r.Findings = append(r.Findings, scan.Finding{Name: name, Severity: scan.High})
	}
	return r
}

// If a history can't be read or stored, the next visit reads the findings again.
func TestHistoriesThatCantBeStored(t *testing.T) {
	unavailable := &scan.Error{Code: scan.Unavailable, Message: "S3 is unavailable"}
	for name, breaks := range map[string]func(*service){
		"not written":     func(w *service) { w.records.add["a"] = unavailable },
		"not read":        func(w *service) { w.records.history[w.records.of("app").Images["a"].History] = unavailable },
		"no record saved": func(w *service) { w.records.save = unavailable },
	} {
		r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "1"}}}}
		w := newService(r, config("1", "app"))
		r.results = map[string]scan.Result{"1": findingsOf(w, 0, "old")}
		w.visit(t, "app", "1")
		before := w.records.of("app").Images["a"]
		w.advance(25 * time.Hour)
		r.results["1"] = findingsOf(w, time.Minute, "old", "new")
		breaks(w)
		w.visit(t, "app", "1")
		a := w.records.of("app").Images["a"]
		if a.Scan != before.Scan || a.History != before.History || a.IsRecorded() && a.Last.Completed > before.Last.Completed {
			t.Errorf("%s: %+v", name, a)
		}
		w.records.save = nil
		clear(w.records.add)
		clear(w.records.history)
		w.advance(time.Hour)
		r.takeCalls()
		w.visit(t, "app", "1")
		a = w.records.of("app").Images["a"]
		if r.takeCalls()["result 1"] != 1 || a.Scan.Completed != history.StampOf(r.results["1"].CompletedAt) || a.EventCount != 1 {
			t.Errorf("%s, after the next visit: %+v", name, a)
		}
		w.advance(time.Hour)
		w.visit(t, "app", "1")
		if n := r.takeCalls()["result 1"]; n != 0 {
			t.Errorf("%s: read again %d times", name, n)
		}
	}
}

// If a sweep finds a lost history, the same visit reads the findings again and starts a new history.
func TestLostHistoriesAreReadAgain(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "2"}}}}
	w := newService(r, config("1", "app"))
	r.results = map[string]scan.Result{"1": findingsOf(w, 0, "A"), "2": findingsOf(w, 0, "B")}
	w.visit(t, "app", "1")
	lost := w.records.of("app").Images["a"].History
	delete(w.records.histories, lost)
	w.records.lost = []string{"a"}
	w.advance(sweepTime + time.Minute)
	r.takeCalls()
	report := w.visit(t, "app", "1")
	a := w.records.of("app").Images["a"]
	if a.History == lost || w.records.histories[a.History].Completed == 0 || report.Outcome != rescan.VisitEnded || report.Images != 2 {
		t.Errorf("%+v, %+v", a, report)
	}
	if diff := cmp.Diff(map[string]bool{"1": true}, digestsRead(r.takeCalls())); diff != "" {
		t.Errorf("results read (-want +got):\n%s", diff)
	}
}

// If a pending history can't be stored, only ECR's answer in the image's record changes.
func TestSetStored(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}}
	w := newService(r, config("1", "app"))
	r.results = map[string]scan.Result{"1": findingsOf(w, 0, "old")}
	w.visit(t, "app", "1")
	w.advance(5 * 24 * time.Hour) // long enough for a gap
	r.results["1"] = findingsOf(w, time.Minute, "new")
	for name, tt := range map[string]struct {
		err  error
		same bool
	}{"stored": {nil, false}, "not stored": {&scan.Error{Code: scan.Unavailable}, true}} {
		refresher, err := w.Open(t.Context(), config("1", "app").Repo())
		if err != nil {
			t.Fatal(err)
		}
		before := refresher.Record.Images["a"]
		f := refresh.Fetcher{Refresher: refresher, Context: t.Context(), ShouldRead: func(refresh.Group) (context.Context, bool) { return t.Context(), true }}
		f.Run(refresher.Groups(refresher.Images(func(*history.ImageRecord) bool { return true })))
		if len(refresher.Pending()) != 1 {
			t.Fatal("nothing is pending")
		}
		refresher.SetStored("a", "its name", tt.err)
		after := refresher.Record.Images["a"]
		diff := cmp.Diff(before, after, cmpopts.IgnoreFields(history.ImageRecord{}, "Last", "AnsweredAt", "Read"))
		if (diff == "") != tt.same || len(refresher.Pending()) != 0 || (after.History == "its name") == tt.same || after.IsRecorded() == tt.same {
			t.Errorf("%s: recorded %t (-before +after):\n%s", name, after.IsRecorded(), diff)
		}
	}
}

// Images with equal counts share them in memory. Others have their own.
func TestEqualCountsAreShared(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "2"}, {Tag: "c", Digest: "3"}}}}
	w := newService(r, config("1", "app"))
	r.results = map[string]scan.Result{"1": findingsOf(w, 0, "A"), "2": findingsOf(w, 0, "B"), "3": findingsOf(w, 0, "A", "B")}
	w.visit(t, "app", "1")
	counts := func(tag string) scan.Counts { return w.records.of("app").Images[tag].Last.Counts }
	same := func(a, b scan.Counts) bool { return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() }
	if len(counts("a")) == 0 || !same(counts("a"), counts("b")) || same(counts("a"), counts("c")) || cmp.Equal(counts("a"), counts("c")) {
		t.Errorf("a: %v, b: %v, c: %v", counts("a"), counts("b"), counts("c"))
	}
}

// A visit reaches all images even if the scans of many images fail each time.
func TestEveryImageIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images = 1000
		r := &fakeRegistry{images: map[string][]scan.Image{}, results: map[string]scan.Result{}}
		for i := range images {
			r.images["app"] = append(r.images["app"], scan.Image{Tag: fmt.Sprintf("%03d", i), Digest: fmt.Sprint(i)})
			r.results[fmt.Sprint(i)] = scan.Result{State: scan.Failed, Reason: "unsupported"}
		}
		w := newServiceInBubble(r, config("1", "app"))
		w.visit(t, "app", "1")
		r.slow(time.Minute) // 256 images in a visit
		r.takeCalls()
		w.queue.fail = func(m rescan.Message) error {
			if m.Continues > 4 {
				return &scan.Error{Code: scan.Unavailable}
			}
			return nil
		}
		time.Sleep(30 * time.Minute)
		w.visitWithContinuations(t, w.message("app", "1"), func(int) {})
		if n := len(digestsRead(r.takeCalls())); n != images {
			t.Errorf("%d of %d images are reached", n, images)
		}
	})
}

// Results are recorded in the order of their completion, then of their labels. Earlier ones reserve their second first.
func TestResultsAreRecordedByCompletion(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "2"}, {Tag: "c", Digest: "3"}}}}
	w := newService(r, config("1", "app"))
	r.results = map[string]scan.Result{"1": findingsOf(w, 0, "A", "B"), "2": findingsOf(w, time.Second, "A"), "3": findingsOf(w, time.Second, "A")}
	w.visit(t, "app", "1")
	now := history.StampOf(w.Now())
	want := map[string][]history.Stamp{"a": {now, now - 3}, "b": {now - 1}, "c": {now - 2}}
	got := map[string][]history.Stamp{}
	for _, h := range w.records.histories {
		for _, f := range h.Findings {
			got[h.Tag] = append(got[h.Tag], f.Published)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Each history is stored once.
func TestHistoriesAreStoredOnce(t *testing.T) {
	for _, images := range []int{1, batch, 3*batch + 1} {
		r := &fakeRegistry{images: map[string][]scan.Image{}, results: map[string]scan.Result{}}
		w := newService(r, config("1", "app"))
		for i := range images {
			r.images["app"] = append(r.images["app"], scan.Image{Tag: fmt.Sprint(i), Digest: fmt.Sprint(i)})
			r.results[fmt.Sprint(i)] = findingsOf(w, time.Hour, "A")
		}
		w.visit(t, "app", "1")
		if n := len(w.records.histories); n != images {
			t.Errorf("%d histories of %d images are stored", n, images)
		}
	}
}
