package usecases

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/gate"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// states returns the reports as lines of the form "config: tag state reason".
func states(reports []report.Report) []string {
	var lines []string
	for _, r := range reports {
		if r.Err != nil {
			lines = append(lines, fmt.Sprintf("%s: %s", r.Config.ID, scan.CodeOf(r.Err)))
		}
		for _, item := range r.Images {
			lines = append(lines, fmt.Sprintf("%s: %s %s %s", r.Config.ID, item.Image.Label(), item.Result.State, item.Result.Reason))
		}
	}
	return lines
}

func summary(t *testing.T, w *service) []report.Report {
	t.Helper()
	overview, err := w.Summary(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return overview.Reports
}

func TestSummaryShowsEachErrorAtItsConfigOrImage(t *testing.T) {
	r := &fakeRegistry{
		images: map[string][]scan.Image{
			"app": {
				{Tag: "b", Digest: "ok"}, {Tag: "a", Digest: "ok"}, {Tag: "index", Digest: "i", Kind: scan.Index},
				{Tag: "sig", Digest: "s", Kind: scan.Artifact}, {Tag: "slow", Digest: "slow"}, {Tag: "secret", Digest: "secret"},
				{Tag: "deleted", Digest: "deleted"}, {Tag: "old", Digest: "old", Kind: scan.Archived},
			},
			"other": {{Tag: "1", Digest: "ok"}},
			"empty": nil,
			"sigs":  {{Tag: "sig", Digest: "s", Kind: scan.Artifact}},
		},
		fail: map[string]error{
			"missing": &scan.Error{Code: scan.RepositoryNotFound}, "locked": &scan.Error{Code: scan.NoAccess}, "failing": &scan.Error{Code: scan.Unavailable, Message: "no answer in time"},
			"slow": &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}, "secret": &scan.Error{Code: scan.NoAccess, Message: "no access to x"},
			"deleted": &scan.Error{Code: scan.ImageNotFound},
		},
	}
	w := newService(r, config("all", "app"), config("missing", "missing"), config("named", "app", "sig", "a", "none"), config("locked", "locked"),
		config("failing", "failing"), config("other", "other"), config("empty", "empty"), config("sigs", "sigs"))
	r.results = map[string]scan.Result{"ok": completed(w, time.Hour, scan.Counts{scan.High: 1})}
	want := []string{
		"all: a completed ",
		"all: b completed ",
		"all: deleted tag not found ",
		"all: index not scanned image index",
		"all: old not scanned archived",
		"all: secret no access no access to x",
		"all: slow unavailable throttled by ECR",
		"missing: repository not found",
		"named: a completed ",
		"named: none tag not found ",
		"named: sig not scanned not an image",
		"locked: no access",
		"failing: unavailable",
		"other: 1 completed ",
	}
	reports := summary(t, w)
	if diff := cmp.Diff(want, states(reports)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if reports[0].Artifacts != 1 || reports[7].Artifacts != 1 {
		t.Errorf("hidden artifacts: %d and %d, want 1 and 1", reports[0].Artifacts, reports[7].Artifacts)
	}
}

func TestNoCallIsMadeTwice(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "1"}, {Tag: "c", Digest: "2"}}}}
	w := newService(r, config("1", "app"), config("2", "app", "a"), config("3", "app", "b", "c"))
	r.results = map[string]scan.Result{"1": completed(w, 30*time.Hour, nil), "2": completed(w, 30*time.Hour, nil)}
	summary(t, w)
	w.scheduleAndVisit(t)
	want := map[string]int{"images app": 2, "result 1": 2, "result 2": 2, "start 1": 1, "start 2": 1}
	if diff := cmp.Diff(want, r.calls); diff != "" {
		t.Errorf("calls of one summary and one visit (-want +got):\n%s", diff)
	}
}

// A signature's tag on an image must not hide the image, and a tag that ECR lists twice is one image.
func TestTagsOfOneDigest(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {
		{Tag: "a.sig", Digest: "1", Kind: scan.Artifact}, {Tag: "v1", Digest: "1"}, {Tag: "latest", Digest: "1"}, {Tag: "latest", Digest: "2"},
	}}}
	w := newService(r, config("1", "app"), config("2", "app", "a.sig", "latest"))
	r.results = map[string]scan.Result{"1": completed(w, time.Hour, nil), "2": completed(w, time.Hour, nil)}
	reports := summary(t, w)
	want := []string{"1: latest completed ", "1: v1 completed ", "2: a.sig not scanned not an image", "2: latest completed "}
	if diff := cmp.Diff(want, states(reports)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if latest := reports[0].Images[0].Image.Digest; latest != "2" {
		t.Errorf("latest is %s, want the digest that was listed last", latest)
	}
}

// concurrency measures the highest number of concurrent calls of hold.
type concurrency struct{ now, highest atomic.Int64 }

func (g *concurrency) hold(d time.Duration) {
	n := g.now.Add(1)
	for old := g.highest.Load(); n > old && !g.highest.CompareAndSwap(old, n); old = g.highest.Load() {
	}
	time.Sleep(d)
	g.now.Add(-1)
}

// The number of concurrent calls is limited, independently of the number of repositories and images.
func TestConcurrencyIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRegistry{images: map[string][]scan.Image{}}
		configs := []scan.Config{config("large", "large")}
		for i := range 1000 {
			digest := fmt.Sprint("large", i)
			r.images["large"] = append(r.images["large"], scan.Image{Tag: digest, Digest: digest})
		}
		for i := range 300 {
			repo := fmt.Sprint("app", i)
			configs = append(configs, config(repo, repo), configInOtherRegion("other "+repo, repo))
		}
		w := newServiceInBubble(r, configs...)
		var loads, reads, starts concurrency
		w.records.loading = func() { loads.hold(time.Second) }
		r.block = func(context.Context, string) { reads.hold(time.Second) }
		r.starts = func() { starts.hold(10 * time.Second) }
		if got := len(summary(t, w)); got != 601 || loads.highest.Load() != maxRepositories {
			t.Errorf("%d reports, %d records read at once, want %d", got, loads.highest.Load(), maxRepositories)
		}
		for name, do := range map[string]func(){
			"a gate":  func() { _, _ = w.Gate(t.Context(), "large", gate.Request{Max: scan.Low}) },
			"a visit": func() { w.visit(t, "large", "large") },
		} {
			reads.highest.Store(0)
			if do(); reads.highest.Load() != maxReads {
				t.Errorf("%s reads %d results at once, want %d", name, reads.highest.Load(), maxReads)
			}
		}
		if starts.highest.Load() != maxStarts {
			t.Errorf("%d scans are started at once, want %d", starts.highest.Load(), maxStarts)
		}
	})
}

func TestSummaryFailsWithoutConfigs(t *testing.T) {
	w := newService(&fakeRegistry{})
	w.configs.err = &scan.Error{Code: scan.Unavailable}
	if overview, err := w.Summary(t.Context(), time.Time{}); scan.CodeOf(err) != scan.Unavailable || overview.Reports != nil {
		t.Errorf("got %v, %v", overview.Reports, err)
	}
}

// reads are the functions of the reader, by name.
var reads = map[string]func(ctx context.Context, w *service) ([]report.Report, error){
	"summary": func(ctx context.Context, w *service) ([]report.Report, error) {
		o, err := w.Summary(ctx, time.Time{})
		return o.Reports, err
	},
	"findings": func(ctx context.Context, w *service) ([]report.Report, error) {
		l, err := w.Findings(ctx, "1", report.View{})
		return l.Reports, err
	},
	"all findings": func(ctx context.Context, w *service) ([]report.Report, error) {
		l, err := w.AllFindings(ctx, report.View{})
		return l.Reports, err
	},
	"changes": func(ctx context.Context, w *service) ([]report.Report, error) {
		l, err := w.Changes(ctx, "1", report.View{})
		return l.Reports, err
	},
	"all changes": func(ctx context.Context, w *service) ([]report.Report, error) {
		l, err := w.AllChanges(ctx, report.View{})
		return l.Reports, err
	},
	"current": func(ctx context.Context, w *service) ([]report.Report, error) {
		r, err := w.Current(ctx, "1", nil)
		return []report.Report{r}, err
	},
	"gate": func(ctx context.Context, w *service) ([]report.Report, error) {
		_, err := w.Gate(ctx, "1", gate.Request{Max: scan.Low})
		return nil, err
	},
}

// The calls to ECR of each kind of request some time after the last visit, for images in different states.
func TestCallsOfRequests(t *testing.T) {
	unfinished := map[string]int{"images app": 1, "result new": 1, "result running": 1}
	all := map[string]int{"images app": 1, "result new": 1, "result running": 1, "result old": 1, "result enhanced": 1, "result failed": 1}
	for name, later := range map[string]map[string]int{
		"summary": unfinished, "findings": unfinished, "all findings": unfinished, "current": unfinished, "changes": nil, "all changes": nil, "gate": all,
	} {
		t.Run(name, func(t *testing.T) {
			r := &fakeRegistry{images: map[string][]scan.Image{"app": {
				{Tag: "final", Digest: "final"}, {Tag: "old", Digest: "old"}, {Tag: "running", Digest: "running"}, {Tag: "enhanced", Digest: "enhanced"},
				{Tag: "failed", Digest: "failed"},
			}}}
			w := newService(r, config("1", "app"))
			r.results = map[string]scan.Result{
				"final": completed(w, time.Hour, nil), "old": completed(w, 30*time.Hour, nil), "running": {State: scan.InProgress}, "failed": {State: scan.Failed},
				"enhanced": {State: scan.Completed, Enhanced: true, CompletedAt: w.Now().Add(-time.Hour)}, "new": {State: scan.NotScanned},
			}
			w.visit(t, "app", "1")
			saves := w.records.saves
			r.takeCalls()
			w.advance(4 * time.Minute)
			read := func() map[string]int {
				if _, err := reads[name](t.Context(), w); err != nil {
					t.Error(err)
				}
				return r.takeCalls()
			}
			if got := read(); name != "gate" && len(got) != 0 {
				t.Errorf("4 minutes after the visit: %v", got)
			}
			r.images["app"] = append(r.images["app"], scan.Image{Tag: "new", Digest: "new"})
			w.advance(2 * time.Minute)
			for range 2 { // the second request makes the same calls, because requests store nothing
				if diff := cmp.Diff(later, read()); diff != "" {
					t.Errorf("6 minutes after the visit (-want +got):\n%s", diff)
				}
			}
			if w.records.saves != saves {
				t.Error("a request stored something")
			}
		})
	}
}

// Requests show the result of a scan that is completed between two visits.
func TestScanIsCompletedBetweenVisits(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}, results: map[string]scan.Result{"1": {State: scan.NotScanned}}}
	w := newService(r, config("1", "app"))
	w.visit(t, "app", "1")
	w.advance(time.Minute)
	if diff := cmp.Diff([]string{"1: a in progress "}, states(summary(t, w))); diff != "" {
		t.Errorf("after the visit (-want +got):\n%s", diff)
	}
	r.results["1"] = completed(w, 0, nil)
	w.advance(5 * time.Minute)
	if diff := cmp.Diff([]string{"1: a completed "}, states(summary(t, w))); diff != "" {
		t.Errorf("6 minutes later (-want +got):\n%s", diff)
	}
}

// A new config lists a tag that no visit has listed. Requests read it from ECR although the record is fresh.
func TestTagThatNoVisitHasListed(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "1"}}}}
	w := newService(r, config("1", "app", "a"))
	r.results = map[string]scan.Result{"1": completed(w, time.Hour, nil)}
	w.visit(t, "app", "1")
	w.configs.set(config("1", "app", "a"), config("2", "app", "b"))
	r.takeCalls()
	if diff := cmp.Diff([]string{"1: a completed ", "2: b completed "}, states(summary(t, w))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.fail = map[string]error{"app": &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}}
	if diff := cmp.Diff([]string{"1: a completed ", "2: unavailable"}, states(summary(t, w))); diff != "" {
		t.Errorf("while ECR is unavailable (-want +got):\n%s", diff)
	}
}

// A listing of all tags is not used after a later visit has listed only some of the tags.
func TestOldListingOfAllTags(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}, results: map[string]scan.Result{}}
	w := newService(r, config("1", "app"))
	r.results["1"] = completed(w, 0, nil)
	w.visit(t, "app", "1")
	w.advance(time.Hour)
	w.configs.set(config("2", "app", "a"))
	w.visit(t, "app", "2")
	r.images["app"] = append(r.images["app"], scan.Image{Tag: "b", Digest: "1"})
	w.configs.set(config("2", "app", "a"), config("3", "app"))
	if diff := cmp.Diff([]string{"2: a completed ", "3: a completed ", "3: b completed "}, states(summary(t, w))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.configs.refused = map[string]error{"3": &scan.Error{Code: scan.Unavailable}}
	if w.visit(t, "app", "2", "3"); tagsOf(w.records.of("app")) != "a" {
		t.Errorf("a visit that can't read the config lists %s", tagsOf(w.records.of("app")))
	}
}

// While an index is unavailable, requests and visits use its recorded images.
func TestUnavailableIndexKeepsItsImages(t *testing.T) {
	platforms := []scan.Image{{Tag: "v1", Digest: "amd", Platform: "linux/amd64", Index: "i1"}, {Tag: "v1", Digest: "arm", Platform: "linux/arm64", Index: "i1"}}
	unavailable := &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}
	for name, tt := range map[string]struct {
		listed scan.Image
		want   []string
	}{
		"the same":  {scan.Image{Tag: "v1", Digest: "i1", Kind: scan.Index, Err: unavailable}, []string{"1: v1 (linux/amd64) completed ", "1: v1 (linux/arm64) completed "}},
		"another":   {scan.Image{Tag: "v1", Digest: "i2", Kind: scan.Index, Err: unavailable}, []string{"1: v1 unavailable throttled by ECR"}},
		"no images": {scan.Image{Tag: "v1", Digest: "i1", Kind: scan.Index, Err: &scan.Error{Code: scan.NotScannable, Message: "nested"}}, []string{"1: v1 not scanned nested"}},
	} {
		r := &fakeRegistry{images: map[string][]scan.Image{"app": platforms}}
		w := newService(r, config("1", "app"))
		r.results = map[string]scan.Result{"amd": completed(w, 0, nil), "arm": completed(w, 0, nil)}
		w.visit(t, "app", "1")
		r.images["app"] = []scan.Image{tt.listed}
		w.advance(10 * time.Minute)
		if diff := cmp.Diff(tt.want, states(summary(t, w))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		w.visit(t, "app", "1")
		if diff := cmp.Diff(tt.want, states(summary(t, w))); diff != "" {
			t.Errorf("%s, after a visit (-want +got):\n%s", name, diff)
		}
	}
}

// While the manifest of a tag can't be read, requests and visits use the recorded kind of its digest. Without one, it is an
// unavailable image.
func TestUnavailableManifestKeepsItsKind(t *testing.T) {
	unavailable := &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {
		{Tag: "own", Digest: "own"}, {Tag: "sig", Digest: "sig", Kind: scan.Artifact}, {Tag: "moved", Digest: "old", Kind: scan.Artifact},
	}}}
	w := newService(r, config("1", "app"))
	r.results = map[string]scan.Result{"own": completed(w, 0, nil)}
	w.visit(t, "app", "1")
	r.images["app"] = []scan.Image{
		{Tag: "own", Digest: "own", Err: unavailable}, {Tag: "sig", Digest: "sig", Err: unavailable}, {Tag: "moved", Digest: "new", Err: unavailable},
		{Tag: "new", Digest: "new", Err: unavailable},
	}
	want := []string{"1: moved unavailable throttled by ECR", "1: new unavailable throttled by ECR", "1: own completed "}
	w.advance(10 * time.Minute)
	if diff := cmp.Diff(want, states(summary(t, w))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.visit(t, "app", "1")
	if diff := cmp.Diff(want, states(summary(t, w))); diff != "" {
		t.Errorf("after a visit (-want +got):\n%s", diff)
	}
}

// A request for all configs makes at most 100 calls: first for repositories without a record, then for those with the
// oldest visits.
func TestCallsOfARequestForAllConfigs(t *testing.T) {
	r := &fakeRegistry{}
	var configs []scan.Config
	for i := range 300 {
		repo := fmt.Sprintf("app%03d", i)
		configs = append(configs, config(repo, repo))
	}
	w := newService(r, configs...)
	read := func() (notVisited int, calls map[string]int) {
		for _, report := range summary(t, w) {
			if errors.Is(report.Err, scan.ErrNotVisited) {
				notVisited++
			}
		}
		return notVisited, r.takeCalls()
	}
	if n, calls := read(); n != 200 || len(calls) != maxCalls || calls["images app099"] != 1 {
		t.Errorf("without records: %d not visited, calls %v", n, calls)
	}
	for i := range 290 { // the visits begin with the highest numbers
		c := configs[289-i]
		w.visit(t, c.Repository, c.ID)
		w.advance(time.Second)
	}
	w.advance(time.Hour)
	r.takeCalls()
	want := map[string]int{}
	for i := range 100 {
		want["images "+configs[200+i].Repository] = 1
	}
	for range 2 { // the second request makes the same calls, because requests store nothing
		n, calls := read()
		if diff := cmp.Diff(want, calls); diff != "" || n != 0 {
			t.Errorf("%d not visited (-want +got):\n%s", n, diff)
		}
	}
	w.scheduleAndVisit(t)
	r.takeCalls()
	if n, calls := read(); n != 0 || len(calls) != 0 {
		t.Errorf("after the visits: %d not visited, calls %v", n, calls)
	}
}

// Reading a result counts as a call. Images that are not read because of the limit are shown as not visited. A
// request for one config has no limit.
func TestResultsCountAsCalls(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{}}
	for i := range 300 {
		r.images["app"] = append(r.images["app"], scan.Image{Tag: fmt.Sprintf("%03d", i), Digest: fmt.Sprint(i)})
	}
	r.results = map[string]scan.Result{}
	w := newService(r, config("1", "app"))
	for i := range 300 {
		r.results[fmt.Sprint(i)] = completed(w, time.Hour, nil)
	}
	unread := 0
	for _, item := range summary(t, w)[0].Images {
		if item.Result.State == scan.Unread && item.Result.Reason == scan.ErrNotVisited.Message {
			unread++
		}
	}
	if calls := len(r.takeCalls()); calls != maxCalls || unread != 300-(maxCalls-1) {
		t.Errorf("%d calls, %d images not visited", calls, unread)
	}
	findings(t, w, "1", report.View{})
	if calls := len(r.takeCalls()); calls != 301 {
		t.Errorf("%d calls for one config", calls)
	}
}

// If the record has a result, a request waits at most two seconds for ECR. The time of the recorded result is shown
// only if the last visit began more than two hours ago.
func TestECRDoesNotAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		after time.Duration
		asOf  bool
	}{
		"20 minutes": {20 * time.Minute, false}, "almost two hours": {119 * time.Minute, false}, "3 hours": {3 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &hangingRegistry{fakeRegistry: &fakeRegistry{images: map[string][]scan.Image{}, results: map[string]scan.Result{}}}
				w := newServiceInBubble(r.fakeRegistry)
				for i := range 20 {
					repo := fmt.Sprint("app", i)
					r.images[repo], r.results[repo] = []scan.Image{{Tag: "a", Digest: repo}}, completed(w, time.Hour, nil)
					w.configs.configs = append(w.configs.configs, config(repo, repo))
				}
				began := time.Now().Truncate(time.Second).UTC()
				w.scheduleAndVisit(t)
				time.Sleep(time.Until(began.Add(tt.after)))
				w.Registry = r
				started := time.Now()
				reports := summary(t, w)
				if took := time.Since(started); took != ecrWait {
					t.Errorf("waited %v, want %v", took, ecrWait)
				}
				for _, report := range reports {
					if report.Err != nil || len(report.Images) != 1 || report.Images[0].Result.State != scan.Completed {
						t.Fatalf("%+v", report)
					}
					item := report.Images[0]
					if tt.asOf != item.AsOf.Equal(began) || tt.asOf == item.AsOf.IsZero() || tt.asOf != (item.AsOfReason != "") {
						t.Errorf("as of %v (%s), want the begin %v: %t", item.AsOf, item.AsOfReason, began, tt.asOf)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 22*time.Second)
				defer cancel()
				if v, err := w.Gate(ctx, "app0", gate.Request{Max: scan.Low}); err != nil || len(v.Failures) != 1 || v.Failures[0].Reason != string(scan.Unavailable) || ctx.Err() != nil {
					t.Errorf("gate: %+v, %v", v, err)
				}
			})
		})
	}
}

// hangingRegistry returns only when the context ends.
type hangingRegistry struct{ *fakeRegistry }

func (hangingRegistry) Images(ctx context.Context, _ scan.Repository, _ scan.Wanted) (scan.Listing, error) {
	<-ctx.Done()
	return scan.Listing{}, &scan.Error{Code: scan.Unavailable, Message: "no answer in time", Err: ctx.Err()}
}

func (hangingRegistry) Findings(ctx context.Context, _ scan.Repository, _ string) (scan.Result, error) {
	<-ctx.Done()
	return scan.Result{}, &scan.Error{Code: scan.Unavailable, Message: "no answer in time", Err: ctx.Err()}
}

func (hangingRegistry) Repositories(ctx context.Context, _ scan.Registry) ([]scan.ListedRepository, error) {
	<-ctx.Done()
	return nil, &scan.Error{Code: scan.Unavailable, Message: "no answer in time", Err: ctx.Err()}
}

// A gate fails if ECR does not return a result now, even if the record has one.
func TestGateFailsWhenECRIsUnavailable(t *testing.T) {
	unavailable := &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}
	for name, tt := range map[string]struct {
		fail map[string]error
		want []string
	}{
		"no error":       {nil, nil},
		"no listing":     {map[string]error{"app": unavailable}, []string{"config: unavailable"}},
		"no result":      {map[string]error{"due": unavailable}, []string{"due: unavailable"}},
		"a final result": {map[string]error{"final": unavailable}, nil},
		"enhanced":       {map[string]error{"enhanced": unavailable}, []string{"enhanced: unavailable"}},
		"deleted":        {map[string]error{"app": &scan.Error{Code: scan.RepositoryNotFound}}, []string{"config: repository not found"}},
		"no access":      {map[string]error{"due": &scan.Error{Code: scan.NoAccess}}, []string{"due: no access"}},
	} {
		r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "due", Digest: "due"}, {Tag: "enhanced", Digest: "enhanced"}, {Tag: "final", Digest: "final"}}}}
		w := newService(r, config("1", "app"))
		r.results = map[string]scan.Result{
			"due": completed(w, 30*time.Hour, nil), "final": completed(w, time.Hour, nil),
			"enhanced": {State: scan.Completed, Enhanced: true, CompletedAt: w.Now().Add(-time.Hour)},
		}
		w.visit(t, "app", "1")
		r.fail = tt.fail
		v, err := w.Gate(t.Context(), "1", gate.Request{Max: scan.Low})
		var got []string
		for _, o := range v.Failures {
			name := "config"
			if o.Image != nil {
				name = o.Image.Tag
			}
			got = append(got, name+": "+o.Reason)
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// Until a visit rebuilds them, an invalid record makes its repository unavailable and an invalid history makes its
// image unavailable.
func TestInvalidRecords(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "2"}}, "other": {{Tag: "c", Digest: "2"}}}}
	w := newService(r, config("1", "app"), config("2", "other"))
	r.results = map[string]scan.Result{"1": completed(w, time.Hour, nil), "2": completed(w, time.Hour, nil)}
	w.scheduleAndVisit(t)
	w.records.load[config("1", "app").Repo()] = &scan.Error{Code: scan.Unavailable, Message: "the record is invalid"}
	if diff := cmp.Diff([]string{"1: unavailable", "2: c completed "}, states(summary(t, w))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, read := range []func(context.Context, string, report.View) (report.Listing, error){w.Findings, w.Changes} {
		if l, err := read(t.Context(), "1", report.View{}); err != nil || scan.CodeOf(l.Outage()) != scan.Unavailable {
			t.Errorf("%v, outage %v", err, l.Outage())
		}
	}
	clear(w.records.load)
	w.records.history[w.records.of("app").Images["a"].History] = &scan.Error{Code: scan.NotFound}
	l := findings(t, w, "1", report.View{})
	want := []string{"1: a unavailable its stored history is damaged; the next visit rebuilds it", "1: b completed "}
	if diff := cmp.Diff(want, states(l.Reports)); diff != "" || !l.Changed.IsZero() {
		t.Errorf("changed %v (-want +got):\n%s", l.Changed, diff)
	}
}

// A recorded error of visits is shown. ECR is called again only if the error is temporary.
func TestRecordedFailure(t *testing.T) {
	for name, tt := range map[string]struct {
		fail  error
		calls bool
		want  []string
	}{
		"repository not found": {&scan.Error{Code: scan.RepositoryNotFound, Message: "repository not found"}, false, []string{"1: repository not found"}},
		"no access":            {&scan.Error{Code: scan.NoAccess, Message: "no access to app"}, false, []string{"1: no access"}},
		"unavailable":          {&scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}, true, []string{"1: unavailable"}},
	} {
		r := &fakeRegistry{fail: map[string]error{"app": tt.fail}}
		w := newService(r, config("1", "app"))
		w.visit(t, "app", "1")
		r.takeCalls()
		w.advance(time.Hour)
		reports := summary(t, w)
		if diff := cmp.Diff(tt.want, states(reports)); diff != "" || scan.MessageOf(reports[0].Err) != scan.MessageOf(tt.fail) {
			t.Errorf("%s: %v (-want +got):\n%s", name, reports[0].Err, diff)
		}
		if calls := len(r.takeCalls()) > 0; calls != tt.calls {
			t.Errorf("%s: calls ECR: %t", name, calls)
		}
		r.fail, r.images = nil, map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}
		w.visit(t, "app", "1")
		if diff := cmp.Diff([]string{"1: a in progress "}, states(summary(t, w))); diff != "" {
			t.Errorf("%s, after a successful visit: (-want +got):\n%s", name, diff)
		}
	}
}

// A response has a date only if all its data is from the record.
func TestDateOfAResponse(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}}
	w := newService(r, config("1", "app"))
	r.results = map[string]scan.Result{"1": completed(w, time.Hour, nil)}
	if l := findings(t, w, "1", report.View{}); !l.Changed.IsZero() {
		t.Errorf("without a record: %v", l.Changed)
	}
	w.visit(t, "app", "1")
	at := w.Now()
	w.advance(time.Minute)
	if l := findings(t, w, "1", report.View{}); !l.Changed.Equal(at) {
		t.Errorf("from the record: %v, want %v", l.Changed, at)
	}
	w.advance(5 * time.Minute)
	if l := findings(t, w, "1", report.View{}); !l.Changed.IsZero() {
		t.Errorf("with ECR's answer: %v", l.Changed)
	}
	if l, err := w.Changes(t.Context(), "1", report.View{}); err != nil || !l.Changed.Equal(at) {
		t.Errorf("changes: %v, %v, want %v", l.Changed, err, at)
	}
}

// answerInRandomOrder makes the registry return results in random order.
func answerInRandomOrder(seed uint64, r *fakeRegistry) {
	random := rand.New(rand.NewPCG(seed, 1))
	r.block = func(context.Context, string) {
		r.mu.Lock()
		late := time.Duration(random.Int64N(int64(time.Second)))
		r.mu.Unlock()
		time.Sleep(late)
	}
}

// entryLines returns the entries of a list of findings as text.
func entryLines(l report.Listing) []string {
	var lines []string
	for _, e := range l.Entries {
		lines = append(lines, strings.Join([]string{
			l.EntryID(e).String(), e.Images[0].Label(), e.Finding.Name, e.Published.String(), e.Updated.String(), e.Resolved.String(), e.Note,
		}, " "))
	}
	return lines
}

// A request and a visit with the same results from ECR give the same ids and dates, in any order of the results.
func TestRequestAndVisitGiveTheSameDates(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			r := &fakeRegistry{images: map[string][]scan.Image{}, results: map[string]scan.Result{}}
			w := newServiceInBubble(r, config("1", "app"))
			push := func(step int, names []string) { // each tag points to a new image
				r.images["app"] = nil
				for i := range 100 {
					digest := fmt.Sprint(step, "-", i)
					r.images["app"] = append(r.images["app"], scan.Image{Tag: fmt.Sprintf("tag%03d", (i*37)%100), Digest: digest})
					result := completed(w, time.Duration(i%7)*time.Second, nil) // some in the same second
					for _, name := range names {
						result.Findings = append(result.Findings, scan.Finding{Name: name, Package: "p", Severity: scan.High})
					}
					r.results[digest] = result
				}
			}
			answerInRandomOrder(seed, r)
			for step, names := range [][]string{{"A", "B"}, {"B", "C"}, {"A"}} {
				time.Sleep(25 * time.Hour)
				push(step, names)
				before := entryLines(findings(t, w, "1", report.View{}))
				w.scheduleAndVisit(t)
				if diff := cmp.Diff(before, entryLines(findings(t, w, "1", report.View{}))); diff != "" || len(before) < 100 {
					t.Fatalf("seed %d, step %d: %d entries (-before the visit +after the visit):\n%s", seed, step, len(before), diff)
				}
			}
		})
	}
}
