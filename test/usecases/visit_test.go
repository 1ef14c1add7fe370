package usecases

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

func TestVisit(t *testing.T) {
	r := &fakeRegistry{
		images: map[string][]scan.Image{"app": {
			{Tag: "due", Digest: "due"}, {Tag: "recent", Digest: "recent"}, {Tag: "refused", Digest: "refused"}, {Tag: "running", Digest: "running"},
			{Tag: "never", Digest: "never"}, {Tag: "again", Digest: "never"}, {Tag: "enhanced", Digest: "enhanced"}, {Tag: "index", Digest: "i", Kind: scan.Index},
			{Tag: "throttled", Digest: "throttled"}, {Tag: "unread", Digest: "unread"}, {Tag: "sig", Digest: "sig", Kind: scan.Artifact}, {Tag: "failed", Digest: "failed"},
		}},
		fail:  map[string]error{"unread": &scan.Error{Code: scan.Unavailable, Message: "x"}},
		start: map[string]error{"refused": &scan.Error{Code: scan.ScannedRecently}, "throttled": &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}},
	}
	w := newService(r, config("1", "app"), config("2", "app", "due", "none"))
	r.results = map[string]scan.Result{
		"due": completed(w, 24*time.Hour, scan.Counts{scan.High: 2}), "recent": completed(w, 23*time.Hour, scan.Counts{scan.Low: 3}), "running": {State: scan.InProgress}, "never": {State: scan.NotScanned},
		"enhanced": {State: scan.Completed, Enhanced: true, CompletedAt: w.Now().Add(-999 * time.Hour)}, "failed": {State: scan.Failed}, "refused": {State: scan.NotScanned, Reason: "result not ready"},
	}
	oldest := w.Now().Add(-24 * time.Hour)
	want := rescan.VisitReport{
		Outcome: rescan.VisitEnded, Configs: 2, Known: rescan.Known{OldestScan: &oldest, Findings: scan.Counts{scan.High: 2, scan.Low: 3}},
		Tally: rescan.Tally{
			Images: 11, Started: 4, Recent: 2, InProgress: 1, Artifacts: 1,
			NotScannable: map[string]int{"image index": 1, "enhanced scanning": 1}, Failed: map[string]int{"throttled by ECR": 1, "tag not found": 1},
		},
	}
	if diff := cmp.Diff(want, w.visit(t, "app", "1", "2")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.calls["start recent"]+r.calls["start running"]+r.calls["start enhanced"] != 0 {
		t.Errorf("scans that are not due were started: %v", r.calls)
	}
}

// slow makes each result take the time d, or until the context ends.
func (f *fakeRegistry) slow(d time.Duration) {
	f.block = func(ctx context.Context, _ string) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
}

// hang makes each result take an hour. The last visit did not end, so that the next one reads the results before it starts scans.
func (w *service) hang() {
	w.registry.slow(time.Hour)
	w.records.set("app", func(r *history.Record) { r.Unfinished = true })
}

// ending is a way in which a visit ends: its report, and what it stores and calls.
type ending struct {
	change func(*service, *rescan.Received)
	want   rescan.VisitReport
	saves  int // the minimum number of saves; 0 means none
	sends  bool
	lists  bool
	starts bool
}

// endings returns the endings of visits that have loaded the record and must not drop the message.
func endings() map[string]ending {
	unavailable := &scan.Error{Code: scan.Unavailable, Message: "no answer"}
	return map[string]ending{
		"ended": {nil, rescan.VisitReport{Outcome: rescan.VisitEnded, Configs: 1}, 1, false, true, true},
		"continued": {
			func(w *service, _ *rescan.Received) { w.hang() }, rescan.VisitReport{Outcome: rescan.VisitContinued, Configs: 1}, 1, true, true, false,
		},
		"the 99th continuation": {
			func(w *service, m *rescan.Received) {
				w.hang()
				m.Continues = rescan.MaxContinuations - 1
			}, rescan.VisitReport{Outcome: rescan.VisitContinued, Configs: 1}, 1, true, true, false,
		},
		"cut off": {
			func(w *service, m *rescan.Received) {
				w.hang()
				m.Continues = rescan.MaxContinuations
			}, rescan.VisitReport{Outcome: rescan.VisitCutOff, Configs: 1}, 1, false, true, false,
		},
		"the queue is unavailable": {
			func(w *service, _ *rescan.Received) {
				w.hang()
				w.queue.fail = func(rescan.Message) error { return unavailable }
			}, rescan.VisitReport{Outcome: rescan.VisitEnded, Configs: 1}, 1, false, true, false,
		},
		"no repository": {
			func(w *service, _ *rescan.Received) {
				w.registry.fail["app"] = &scan.Error{Code: scan.RepositoryNotFound, Message: "repository not found"}
			},
			rescan.VisitReport{Outcome: rescan.VisitFailed, Code: scan.RepositoryNotFound, Reason: "repository not found", Configs: 1}, 1, false, true, false,
		},
		"no access": {
			func(w *service, _ *rescan.Received) {
				w.registry.fail["app"] = &scan.Error{Code: scan.NoAccess, Message: "no access to app"}
			},
			rescan.VisitReport{Outcome: rescan.VisitFailed, Code: scan.NoAccess, Reason: "no access to app", Configs: 1}, 1, false, true, false,
		},
		"ECR is unavailable": {
			func(w *service, _ *rescan.Received) { w.registry.fail["app"] = unavailable }, rescan.VisitReport{Outcome: rescan.VisitFailed, Code: scan.Unavailable, Reason: "no answer", Configs: 1}, 1, false, true, false,
		},
	}
}

// earlyEndings returns the endings that depend on the record or the configs.
func earlyEndings() map[string]ending {
	unavailable := &scan.Error{Code: scan.Unavailable, Message: "no answer"}
	later := &scan.Error{Code: scan.Unavailable, Message: "a later version", Err: history.ErrLaterFormat}
	repo := config("", "app").Repo()
	return map[string]ending{
		"no record": {
			func(w *service, _ *rescan.Received) { w.records.load[repo] = unavailable }, rescan.VisitReport{Outcome: rescan.VisitFailed, Code: scan.Unavailable, Reason: "no answer"}, 0, false, false, false,
		},
		"the record can't be saved": {
			func(w *service, _ *rescan.Received) { w.records.save = unavailable }, rescan.VisitReport{Outcome: rescan.VisitFailed, Code: scan.Unavailable, Reason: "no answer", Configs: 1}, 0, false, true, true,
		},
		"stale": {
			func(w *service, m *rescan.Received) { m.Sent = w.records.of("app").Begin.Time().Add(-time.Millisecond) }, rescan.VisitReport{Outcome: rescan.VisitDropped, Configs: 1}, 0, false, false, false,
		},
		"sent before a visit that did not end": { // its message is delivered again
			func(w *service, m *rescan.Received) {
				m.Sent = w.records.of("app").Begin.Time().Add(-time.Millisecond)
				w.records.set("app", func(r *history.Record) { r.Unfinished = true })
			},
			rescan.VisitReport{Outcome: rescan.VisitEnded, Configs: 1}, 1, false, true, true,
		},
		"sent in the second of the begin": {
			func(w *service, m *rescan.Received) { m.Sent = w.records.of("app").Begin.Time() }, rescan.VisitReport{Outcome: rescan.VisitEnded, Configs: 1}, 1, false, true, true,
		},
		"a begin in the future": {
			func(w *service, _ *rescan.Received) {
				w.records.set("app", func(r *history.Record) { r.Begin = history.StampOf(time.Now().Add(time.Hour)) })
			},
			rescan.VisitReport{Outcome: rescan.VisitEnded, Configs: 1}, 1, false, true, true,
		},
		"a record of a later format": {
			func(w *service, _ *rescan.Received) { w.records.load[repo] = later }, rescan.VisitReport{Outcome: rescan.VisitEnded, Configs: 1}, 0, false, true, true,
		},
		"no config remains": {
			func(w *service, _ *rescan.Received) { w.configs.set() }, rescan.VisitReport{Outcome: rescan.VisitEnded}, 0, false, false, false,
		},
	}
}

func TestHowVisitsEnd(t *testing.T) {
	for _, all := range []map[string]ending{endings(), earlyEndings()} {
		for name, e := range all {
			t.Run(name, func(t *testing.T) { synctest.Test(t, e.check) })
		}
	}
}

// check runs the second visit of a repository with one image whose scan is due.
func (e ending) check(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}, results: map[string]scan.Result{}, fail: map[string]error{}}
	w := newServiceInBubble(r, config("1", "app"))
	r.results["1"] = completed(w, 0, nil)
	w.visit(t, "app", "1")
	time.Sleep(25 * time.Hour)
	r.takeCalls()
	saves := w.records.saves
	m := w.message("app", "1")
	if e.change != nil {
		e.change(w, &m)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	got := w.visitor.Visit(ctx, m)
	if ctx.Err() != nil {
		t.Error("the visit did not end before its deadline")
	}
	if diff := cmp.Diff(e.want, got, cmpopts.IgnoreFields(rescan.VisitReport{}, "Tally", "Known")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	calls := r.takeCalls()
	if saved := w.records.saves - saves; saved < e.saves || e.saves == 0 && saved > 0 {
		t.Errorf("saved %d times, want %d", saved, e.saves)
	}
	if sends, lists, starts := len(w.queue.sent) > 0, calls["images app"] > 0, calls["start 1"] > 0; sends != e.sends || lists != e.lists || starts != e.starts {
		t.Errorf("sends %t, lists %t, starts %t, want %t, %t and %t", sends, lists, starts, e.sends, e.lists, e.starts)
	}
}

// If a later version wrote the record, a visit stores and deletes nothing, with or without configs.
func TestRecordOfALaterVersionIsNotChanged(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}}
	w := newService(r, config("1", "app"))
	result := completed(w, 30*time.Hour, scan.Counts{scan.High: 1})
	result.Findings = []scan.Finding{{Name: "CVE-1", Severity: scan.High}}
	r.results = map[string]scan.Result{"1": result}
	w.records.set("app", func(r *history.Record) { r.Configs = []string{"1"} })
	before := w.records.of("app")
	w.records.load[config("", "app").Repo()] = fmt.Errorf("%w", history.ErrLaterFormat)
	if report := w.visit(t, "app", "1"); report.Started != 1 {
		t.Errorf("%+v", report)
	}
	w.configs.set()
	w.visit(t, "app", "1")
	if diff := cmp.Diff(before, w.records.of("app"), cmpopts.IgnoreUnexported(history.Record{})); diff != "" || len(w.records.histories) != 0 {
		t.Errorf("%d histories (-before +after):\n%s", len(w.records.histories), diff)
	}
}

// A visit that can't handle all images before its deadline counts the rest, and continuing visits handle them.
func TestVisitStopsBeforeItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images = 1000
		r := &fakeRegistry{images: map[string][]scan.Image{}, results: map[string]scan.Result{}, scans: true}
		for i := range images {
			r.images["app"] = append(r.images["app"], scan.Image{Tag: fmt.Sprint(i), Digest: fmt.Sprint(i)})
		}
		r.slow(time.Minute)
		w := newServiceInBubble(r, config("1", "app"))
		m, visits := w.message("app", "1"), 0
		for ok := true; ok; m, ok = w.queue.next() {
			if m.Continues != visits || !slices.Equal(m.Configs, []string{"1"}) || visits > 0 && w.queue.sent[visits-1].Once == "" {
				t.Errorf("message %+v of visit %d", m, visits)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			report := w.visitor.Visit(ctx, m)
			if ctx.Err() != nil {
				t.Error("the visit ended after its deadline")
			}
			cancel()
			if visits++; report.Images != images || (report.NotReached > 0) != (report.Outcome == rescan.VisitContinued) || report.IsComplete() != (report.NotReached == 0) {
				t.Errorf("%+v", report)
			}
			time.Sleep(time.Second)
		}
		if visits < 3 || visits > 8 || r.calls["images app"] != visits {
			t.Errorf("%d visits, %d listings", visits, r.calls["images app"])
		}
		for i := range images {
			if r.calls[fmt.Sprint("start ", i)] != 1 {
				t.Fatalf("image %d was started %d times", i, r.calls[fmt.Sprint("start ", i)])
			}
		}
		for i, s := range w.queue.sent { // the deduplication id is the id of the message of the visit that is continued
			if want := fmt.Sprint("message", i); i > 0 && s.Once != want || i == 0 && s.Once != "by hand" {
				t.Errorf("deduplication id %s of message %d", s.Once, i)
			}
		}
	})
}

// If another writer stores the record before a save, the visit ends and stores nothing more.
func TestConflictEndsAVisit(t *testing.T) {
	for _, at := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			r := &fakeRegistry{images: map[string][]scan.Image{}}
			for i := range 1000 {
				r.images["app"] = append(r.images["app"], scan.Image{Tag: fmt.Sprintf("%03d", i), Digest: fmt.Sprint(i)})
			}
			r.slow(10 * time.Second)
			w := newServiceInBubble(r, config("1", "app"))
			saves := 0
			w.records.saving = func() {
				if saves++; saves == at {
					w.records.set("app", func(r *history.Record) { r.Changed = 42 })
				}
			}
			report := w.visit(t, "app", "1")
			if report.Outcome != rescan.VisitEnded || report.IsComplete() || len(w.queue.sent) > 0 {
				t.Errorf("%+v, sent %v", report, w.queue.sent)
			}
			if saves != at || w.records.of("app").Changed != 42 {
				t.Errorf("%d saves, changed %d, want those of the other writer", saves, w.records.of("app").Changed)
			}
		})
	}
}

func tagsOf(r history.Record) string {
	return strings.Join(slices.Sorted(maps.Keys(r.PresentTags())), " ")
}

// The tags of a config remain in the record if the config can't be read. They are deleted only if the config is
// deleted.
func TestConfigsThatCantBeRead(t *testing.T) {
	refused := &scan.Error{Code: scan.Unavailable, Message: "the config can't be read"}
	one, two, all := config("1", "app", "a"), config("2", "app", "b"), config("2", "app")
	for name, tt := range map[string]struct {
		configs []scan.Config    // the configs before
		after   []scan.Config    // the readable configs afterwards
		refused map[string]error // those that can't be read
		tags    string
		ids     string
		failed  bool
	}{
		"both are stored":        {[]scan.Config{one, two}, []scan.Config{one, two}, nil, "a b", "1 2", false},
		"one is deleted":         {[]scan.Config{one, two}, []scan.Config{one}, nil, "a", "1", false},
		"one can't be read":      {[]scan.Config{one, two}, []scan.Config{one}, map[string]error{"2": refused}, "a b", "1 2", false},
		"none can be read":       {[]scan.Config{one, two}, nil, map[string]error{"1": refused, "2": refused}, "a b", "1 2", false},
		"another repository":     {[]scan.Config{one, two}, []scan.Config{one, config("2", "lib", "b")}, nil, "a", "1", false},
		"one watches other tags": {[]scan.Config{one, two}, []scan.Config{one, config("2", "app", "c")}, nil, "a c", "1 2", false},
		"deleted and unreadable": {[]scan.Config{one, two}, nil, map[string]error{"2": refused}, "a b", "2", false},
		"all tags can't be read": {[]scan.Config{one, all}, []scan.Config{one}, map[string]error{"2": refused}, "a b c", "1 2", false},
		"all tags are deleted":   {[]scan.Config{one, all}, []scan.Config{one}, nil, "a", "1", false},
		"both are deleted":       {[]scan.Config{one, two}, nil, nil, "", "", false},
		"no record":              {nil, nil, map[string]error{"1": refused}, "", "", true},
	} {
		r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "2"}, {Tag: "c", Digest: "3"}}}}
		w := newService(r, tt.configs...)
		if len(tt.configs) > 0 {
			w.visit(t, "app", "1", "2")
		}
		for range 2 { // the second visit uses the record of the first one
			w.advance(time.Hour)
			w.configs.set(tt.after...)
			w.configs.refused = tt.refused
			report := w.visit(t, "app", "1", "2")
			record := w.records.of("app")
			if tags, ids := tagsOf(record), strings.Join(record.Configs, " "); tags != tt.tags || ids != tt.ids || (report.Outcome == rescan.VisitFailed) != tt.failed {
				t.Errorf("%s: tags %q, configs %q, %s, want %q and %q", name, tags, ids, report.Outcome, tt.tags, tt.ids)
			}
		}
		if _, stored := w.records.records[config("", "app").Repo()]; stored != (tt.ids != "") {
			t.Errorf("%s: a record is stored: %t", name, stored)
		}
	}
}

// If a message does not have the id of a config, the tags of the config remain in the record.
func TestMessageWithoutAnID(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "2"}}}}
	w := newService(r, config("1", "app", "a"), config("2", "app", "b"))
	w.visit(t, "app", "2")
	for _, ids := range [][]string{{"1"}, {}, {"1"}, {"2"}, {"deleted"}} {
		w.advance(time.Second)
		w.visit(t, "app", ids...)
		if record := w.records.of("app"); tagsOf(record) != "a b" || !slices.Equal(record.Configs, []string{"1", "2"}) {
			t.Errorf("after a message of %v: tags %q, configs %q", ids, tagsOf(record), record.Configs)
		}
	}
}

// A config that is stored during a visit leads to another visit.
func TestRequestDuringAVisit(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "2"}}}}
	w := newService(r, config("1", "app", "a"))
	old := w.message("app", "1")
	w.advance(time.Second)
	posted := false
	r.list = func() {
		if w.advance(3 * time.Second); !posted {
			posted = true
			w.configs.set(config("1", "app", "a"), config("2", "app", "b"))
			rescan.Requests{Queue: w.queue, Log: w.Log}.Request(t.Context(), config("2", "app", "b"))
		}
	}
	w.visit(t, "app", "1")
	if tags := tagsOf(w.records.of("app")); tags != "a" {
		t.Errorf("tags %q after the first visit", tags)
	}
	m, _ := w.queue.next()
	if report := w.visitor.Visit(t.Context(), m); report.Outcome != rescan.VisitEnded || r.calls["start 2"] != 1 {
		t.Errorf("the visit of the new config: %+v", report)
	}
	if report := w.visitor.Visit(t.Context(), old); report.Outcome != rescan.VisitDropped {
		t.Errorf("a message that was sent before the first visit: %+v", report)
	}
	if tags := tagsOf(w.records.of("app")); tags != "a b" {
		t.Errorf("tags %q", tags)
	}
}

// The clocks of the queue and of S3 differ by seconds, so the message of a replaced config can look older than the last visit, which read the
// config before. It leads to a visit if the config watches more, or another repository.
func TestReplacedConfigWithALateClock(t *testing.T) {
	for name, test := range map[string]struct {
		before, after scan.Config
		want          rescan.Outcome
		tags          string
	}{
		"more tags":          {config("1", "app", "a"), config("1", "app", "a", "b"), rescan.VisitEnded, "a b"},
		"another tag":        {config("1", "app", "a"), config("1", "app", "b"), rescan.VisitEnded, "b"},
		"all tags":           {config("1", "app", "a"), config("1", "app"), rescan.VisitEnded, "a b"},
		"fewer tags":         {config("1", "app", "a", "b"), config("1", "app", "a"), rescan.VisitDropped, "a b"}, // the next schedule removes the other
		"another repository": {config("1", "app", "a"), config("1", "web"), rescan.VisitEnded, ""},
		"another owner":      {config("1", "app", "a"), config("1", "app", "a"), rescan.VisitDropped, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "2"}}}}
			w := newService(r, test.before)
			m := w.message("app", "1")
			w.advance(3 * time.Second)
			w.visit(t, "app", "1")
			w.configs.set(test.after)
			if report := w.visitor.Visit(t.Context(), m); report.Outcome != test.want {
				t.Errorf("outcome %s, want %s", report.Outcome, test.want)
			}
			if tags := tagsOf(w.records.of("app")); tags != test.tags {
				t.Errorf("the record has the tags %q, want %q", tags, test.tags)
			}
		})
	}
}

// A visit reads the configs that its message and the record name. If messages for other configs were sent during the
// visit, each leads to a visit, unless the record already has the tags of the config.
func TestPostsDuringAVisitWithDifferentTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRegistry{
			images: map[string][]scan.Image{"app": {{Tag: "1", Digest: "1"}, {Tag: "2", Digest: "2"}, {Tag: "3", Digest: "3"}}},
			list:   func() { time.Sleep(20 * time.Second) },
		}
		w := newServiceInBubble(r)
		requests := rescan.Requests{Queue: w.queue, Log: w.Log}
		post := func(id, tag string) {
			c := config(id, "app", tag)
			w.configs.set(append(slices.Clone(w.configs.configs), c)...)
			requests.Request(t.Context(), c)
			time.Sleep(2 * time.Second)
		}
		go func() {
			for _, tag := range []string{"1", "2", "3"} {
				post(tag, tag)
			}
			post("4", "1") // the record has its tag when its message is delivered
		}()
		synctest.Wait()
		var outcomes []rescan.Outcome
		for m, ok := w.queue.next(); ok; m, ok = w.queue.next() {
			outcomes = append(outcomes, w.visitor.Visit(t.Context(), m).Outcome)
		}
		if tags := tagsOf(w.records.of("app")); tags != "1 2 3" {
			t.Errorf("the record has the tags %q", tags)
		}
		if diff := cmp.Diff([]rescan.Outcome{rescan.VisitEnded, rescan.VisitEnded, rescan.VisitEnded, rescan.VisitDropped}, outcomes); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A visit needs the configs as they were when its message was sent, or later, and at most ten seconds before it begins.
func TestAgeOfConfigsInAVisit(t *testing.T) {
	w := newService(&fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}}, config("1", "app"))
	for ago, want := range map[time.Duration]time.Duration{0: 0, 2 * time.Second: 2 * time.Second, time.Minute: 10 * time.Second} {
		m := w.message("app", "1")
		m.Sent = m.Sent.Add(-ago)
		w.visitor.Visit(t.Context(), m)
		if got := w.Now().Sub(w.configs.since); got != want {
			t.Errorf("%v after the message: configs of the last %v, want %v", ago, got, want)
		}
	}
}
