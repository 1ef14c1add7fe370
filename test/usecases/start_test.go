package usecases

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

// The scan of an image with a recorded result is started without reading the result again. If ECR refuses it, the same visit reads the
// result: another program has scanned the image, or Amazon Inspector scans it now. A start whose outcome is not known is not repeated
// before the result was read.
func TestStartOfARecordedImage(t *testing.T) {
	type outcome struct {
		starts, reads int
		state         scan.State
		enhanced      bool
	}
	recent := &scan.Error{Code: scan.ScannedRecently, Message: "scanned within 24 hours"}
	for name, test := range map[string]struct {
		change       func(*service)
		first, again outcome // of the visit in which the scan is due, and of the next one
	}{
		"started": {
			func(w *service) { w.registry.scans = true },
			outcome{1, 0, scan.Completed, false}, outcome{0, 1, scan.InProgress, false},
		},
		"scanned by another program": {
			func(w *service) { w.registry.results["1"] = completed(w, time.Hour, nil) },
			outcome{1, 1, scan.Completed, false}, outcome{0, 0, scan.Completed, false},
		},
		"a scan in progress": {
			func(w *service) { w.registry.results["1"] = scan.Result{State: scan.InProgress} },
			outcome{1, 1, scan.InProgress, false}, outcome{0, 1, scan.InProgress, false},
		},
		"refused without a newer result": {
			func(w *service) { w.registry.start["1"] = recent },
			outcome{1, 1, scan.Completed, false}, outcome{1, 1, scan.Completed, false},
		},
		"enhanced scanning": {
			func(w *service) {
				w.registry.results["1"] = scan.Result{State: scan.Completed, Enhanced: true, CompletedAt: w.Now()}
				w.registry.start["1"] = &scan.Error{Code: scan.EnhancedScanning, Message: "disabled"}
			},
			outcome{1, 1, scan.Completed, true}, outcome{0, 1, scan.Completed, true},
		},
		"no answer": {
			func(w *service) {
				w.registry.start["1"] = &scan.Error{Code: scan.Unavailable, Message: "no answer", Err: errors.New("EOF")}
			},
			outcome{1, 1, scan.Completed, false}, outcome{1, 1, scan.Completed, false},
		},
		"a record of an earlier version, after the start": {
			func(w *service) { w.registry.results["1"] = completed(w, time.Minute, nil) },
			outcome{1, 1, scan.Completed, false}, outcome{0, 0, scan.Completed, false},
		},
		"the last visit did not end": {
			func(w *service) {
				w.records.set("app", func(r *history.Record) { r.Unfinished = true })
				w.registry.results["1"] = completed(w, time.Minute, nil)
			},
			outcome{0, 1, scan.Completed, false}, outcome{0, 0, scan.Completed, false},
		},
		"the record can't be stored": {
			func(w *service) {
				w.records.save = &scan.Error{Code: scan.Unavailable, Message: "S3 is unavailable"}
				w.registry.scans = true
			},
			outcome{1, 1, scan.Completed, false}, outcome{1, 1, scan.InProgress, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "1"}}}, start: map[string]error{}}
			w := newService(r, config("1", "app"))
			r.results = map[string]scan.Result{"1": completed(w, 0, nil)}
			w.visit(t, "app", "1")
			w.advance(25 * time.Hour)
			r.results["1"] = completed(w, 25*time.Hour, nil)
			test.change(w)
			check := func(visit string, want outcome) {
				t.Helper()
				r.takeCalls()
				report := w.visit(t, "app", "1")
				calls, a := r.takeCalls(), w.records.of("app").Images["a"]
				if got := (outcome{calls["start 1"], calls["result 1"], a.Last.State, a.Last.Enhanced}); got != want {
					t.Errorf("%s: %+v, want %+v", visit, got, want)
				}
				if report.Images != 1 || report.Outcome != rescan.VisitEnded && w.records.save == nil {
					t.Errorf("%s: %+v", visit, report)
				}
			}
			check("due", test.first)
			w.advance(30 * time.Minute)
			w.records.save = nil
			check("next", test.again)
		})
	}
}

// A visit stores which scans it is going to start before it starts them. Responses do not change by this.
func TestStartsAreStoredFirst(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}}
	w := newService(r, config("1", "app"))
	r.results = map[string]scan.Result{"1": completed(w, 0, nil)}
	w.visit(t, "app", "1")
	before := w.records.of("app")
	w.advance(25 * time.Hour)
	r.images["app"] = append(r.images["app"], scan.Image{Tag: "b", Digest: "2"})
	stored := history.Record{}
	r.starts = func() {
		if stored.Version == "" {
			stored = w.records.of("app")
		}
	}
	w.visit(t, "app", "1")
	if stored.Version == before.Version || stored.Images["a"].Started != history.StampOf(w.Now()) || history.HasVisibleChange(before, stored) || stored.Changed != before.Changed {
		t.Errorf("stored before the first start: %+v", stored)
	}
}

// The first visit of a repository stores the results before it starts scans, because ECR does not return the last result while it scans an image. It
// stores the record only once if no image has a result.
func TestFirstVisitStoresResultsBeforeStarts(t *testing.T) {
	for name, test := range map[string]struct {
		result    func(*service) scan.Result
		isStored  bool // before the first start
		mostSaves int
	}{
		"old results":   {func(w *service) scan.Result { return completed(w, 25*time.Hour, nil) }, true, 2},
		"new results":   {func(w *service) scan.Result { return completed(w, time.Hour, nil) }, true, 1},
		"never scanned": {func(*service) scan.Result { return scan.Result{State: scan.NotScanned} }, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := &fakeRegistry{images: map[string][]scan.Image{}, results: map[string]scan.Result{}}
			w := newService(r, config("1", "app"))
			for i := range 300 { // more than are started at once
				digest := fmt.Sprint(i)
				r.images["app"] = append(r.images["app"], scan.Image{Tag: digest, Digest: digest})
				r.results[digest] = test.result(w)
			}
			var mu sync.Mutex
			isStored := true
			r.starts = func() {
				mu.Lock()
				defer mu.Unlock()
				isStored = isStored && len(w.records.of("app").Images) == 300
			}
			if report := w.visit(t, "app", "1"); report.Started+report.Recent != 300 {
				t.Errorf("%+v", report)
			}
			if isStored != test.isStored || w.records.saves > test.mostSaves {
				t.Errorf("stored before the starts: %t; %d saves, want at most %d", isStored, w.records.saves, test.mostSaves)
			}
		})
	}
}
