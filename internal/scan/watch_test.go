package scan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// states flattens reports to "config: tag state reason" lines.
func states(reports []Report[Result]) []string {
	var lines []string
	for _, r := range reports {
		if r.Err != nil {
			lines = append(lines, fmt.Sprintf("%s: %s", r.Config.ID, CodeOf(r.Err)))
		}
		for _, item := range r.Images {
			lines = append(lines, fmt.Sprintf("%s: %s %s %s", r.Config.ID, item.Image.Label(), item.Value.State, item.Value.Reason))
		}
	}
	return lines
}

func TestSummaryShowsEachFailureWhereItBelongs(t *testing.T) {
	r := &fakeRegistry{
		images: map[string][]Image{
			"app": {
				{Tag: "b", Digest: "ok"}, {Tag: "a", Digest: "ok"}, {Tag: "index", Digest: "i", Kind: Index},
				{Tag: "sig", Digest: "s", Kind: Artifact}, {Tag: "slow", Digest: "slow"}, {Tag: "secret", Digest: "secret"},
				{Tag: "deleted", Digest: "deleted"}, {Tag: "old", Digest: "old", Kind: Archived},
			},
			"other": {{Tag: "1", Digest: "ok"}},
			"empty": nil,
			"sigs":  {{Tag: "sig", Digest: "s", Kind: Artifact}},
		},
		fail: map[string]error{
			"gone": &Error{Code: RepositoryNotFound}, "locked": &Error{Code: NoAccess}, "dead": &Error{Code: Unavailable, Message: "no answer in time"},
			"slow": &Error{Code: Unavailable, Message: "throttled by ECR"}, "secret": &Error{Code: NoAccess, Message: "no access to x"},
			"deleted": &Error{Code: ImageNotFound},
		},
	}
	w := watchOf(r, config("all", "app"), config("gone", "gone"), config("named", "app", "sig", "a", "nix"), config("locked", "locked"),
		config("dead", "dead"), config("other", "other"), config("empty", "empty"), config("sigs", "sigs"))
	r.results = map[string]Result{"ok": completed(w, time.Hour, Counts{High: 1})}

	overview, err := w.Summary(t.Context(), time.Time{})
	reports := overview.Reports
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"all: a completed ",
		"all: b completed ",
		"all: deleted tag not found ",
		"all: index not scanned image index",
		"all: old not scanned archived",
		"all: secret no access no access to x",
		"all: slow unavailable throttled by ECR",
		"gone: repository not found",
		"named: a completed ",
		"named: nix tag not found ",
		"named: sig not scanned not an image",
		"locked: no access",
		"dead: unavailable",
		"other: 1 completed ",
	}
	if diff := cmp.Diff(want, states(reports)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if reports[0].Artifacts != 1 || reports[7].Artifacts != 1 {
		t.Errorf("artifacts left out: %d and %d, want 1 and 1", reports[0].Artifacts, reports[7].Artifacts)
	}
}

func TestNothingIsAskedTwice(t *testing.T) {
	r := &fakeRegistry{images: map[string][]Image{"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "1"}, {Tag: "c", Digest: "2"}}}}
	w := watchOf(r, config("1", "app"), config("2", "app", "a"), config("3", "app", "b", "c"))
	r.results = map[string]Result{"1": completed(w, 30*time.Hour, nil), "2": completed(w, 30*time.Hour, nil)}
	if _, err := w.Summary(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"images app": 2, "result 1": 2, "result 2": 2, "start 1": 1, "start 2": 1}
	if diff := cmp.Diff(want, r.calls); diff != "" {
		t.Errorf("calls of one summary and one run (-want +got):\n%s", diff)
	}
}

// A tag that marks a signature must not hide the image that it was put on, and a tag that is listed twice is one image.
func TestTagsOfOneDigest(t *testing.T) {
	r := &fakeRegistry{images: map[string][]Image{"app": {
		{Tag: "a.sig", Digest: "1", Kind: Artifact}, {Tag: "v1", Digest: "1"}, {Tag: "latest", Digest: "1"}, {Tag: "latest", Digest: "2"},
	}}}
	w := watchOf(r, config("1", "app"), config("2", "app", "a.sig", "latest"))
	r.results = map[string]Result{"1": completed(w, time.Hour, nil), "2": completed(w, time.Hour, nil)}
	overview, err := w.Summary(t.Context(), time.Time{})
	reports := overview.Reports
	want := []string{"1: latest completed ", "1: v1 completed ", "2: a.sig not scanned not an image", "2: latest completed "}
	if diff := cmp.Diff(want, states(reports)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if latest := reports[0].Images[0].Image.Digest; latest != "2" {
		t.Errorf("latest is %s, want what was listed last", latest)
	}
}

// However many repositories and images there are, no more are worked on at once than there is room for, in each Region.
func TestWorkIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRegistry{images: map[string][]Image{}}
		var configs []Config
		for i := range 300 {
			repo := fmt.Sprint("app", i)
			for tag := range 5 {
				digest := fmt.Sprint(repo, tag)
				r.images[repo] = append(r.images[repo], Image{Tag: digest, Digest: digest})
			}
			configs = append(configs, config(repo, repo), elsewhere("other "+repo, repo))
		}
		var visits, lists gauge
		r.block = func(context.Context, string) { visits.hold(time.Second) }
		r.list = func() { lists.hold(time.Minute) }
		overview, err := watchOf(r, configs...).Summary(t.Context(), time.Time{})
		reports := overview.Reports
		if err != nil || len(reports) != 600 || len(states(reports)) != 3000 {
			t.Errorf("%d reports, %d images, %v", len(reports), len(states(reports)), err)
		}
		if visits.most.Load() != 2*imagesAtOnce || lists.most.Load() != 2*repositoriesAtOnce {
			t.Errorf("%d images and %d repositories at once in two Regions, want %d and %d in each", visits.most.Load(), lists.most.Load(), imagesAtOnce, repositoriesAtOnce)
		}
	})
}

// A repository whose images were all visited is done, whoever else holds the room that it had.
func TestNoRepositoryWaitsForRoomInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, quickBegan := time.Now(), make(chan struct{})
		done := make(map[string]time.Duration)
		var mu sync.Mutex
		walker[int]{
			configs: []Config{config("1", "slow"), config("2", "quick")}, rooms: newRooms(1),
			list: func(_ context.Context, repo Repository, _ []string) ([]Image, error) {
				if repo.Name == "slow" {
					<-quickBegan
				}
				return []Image{{Repository: repo, Tag: "x", Digest: repo.Name}}, nil
			},
			visit: func(_ context.Context, same []Image) int {
				if same[0].Repository.Name == "quick" {
					close(quickBegan)
					time.Sleep(time.Second)
				} else {
					time.Sleep(time.Minute)
				}
				return 1
			},
			done: func(_ context.Context, repo Repository, _ []Item[int]) {
				mu.Lock()
				defer mu.Unlock()
				done[repo.Name] = time.Since(began)
			},
		}.walk(t.Context())
		if want := map[string]time.Duration{"quick": time.Second, "slow": time.Minute + time.Second}; !maps.Equal(done, want) {
			t.Errorf("done after %v, want %v", done, want)
		}
	})
}

// gauge knows how many held it at once.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) hold(d time.Duration) {
	n := g.now.Add(1)
	for old := g.most.Load(); n > old && !g.most.CompareAndSwap(old, n); old = g.most.Load() {
	}
	time.Sleep(d)
	g.now.Add(-1)
}

func TestSummaryFailsWithoutConfigs(t *testing.T) {
	w := watchOf(&fakeRegistry{})
	w.Configs = fakeStore{err: &Error{Code: Unavailable}}
	if overview, err := w.Summary(t.Context(), time.Time{}); CodeOf(err) != Unavailable || overview.Reports != nil {
		t.Errorf("got %v, %v", overview.Reports, err)
	}
}

func TestRun(t *testing.T) {
	r := &fakeRegistry{
		images: map[string][]Image{
			"app": {
				{Tag: "due", Digest: "due"}, {Tag: "recent", Digest: "recent"}, {Tag: "refused", Digest: "refused"}, {Tag: "running", Digest: "running"},
				{Tag: "never", Digest: "never"}, {Tag: "enhanced", Digest: "enhanced"}, {Tag: "index", Digest: "i", Kind: Index},
				{Tag: "throttled", Digest: "throttled"}, {Tag: "unread", Digest: "unread"}, {Tag: "sig", Digest: "sig", Kind: Artifact}, {Tag: "failed", Digest: "failed"},
			},
			"other":    {{Tag: "1", Digest: "never"}},
			"disabled": {{Tag: "1", Digest: "disabled"}},
		},
		fail: map[string]error{"gone": &Error{Code: RepositoryNotFound, Message: "repository not found"}, "unread": &Error{Code: Unavailable, Message: "x"}},
		start: map[string]error{
			"refused": &Error{Code: ScannedRecently}, "disabled": &Error{Code: EnhancedScanning, Message: "x"},
			"throttled": &Error{Code: Unavailable, Message: "throttled by ECR"},
		},
	}
	w := watchOf(r, config("1", "app"), config("2", "gone"), config("3", "app", "due", "nix"), config("4", "other"), elsewhere("5", "disabled"))
	r.results = map[string]Result{
		"due": completed(w, 24*time.Hour, Counts{High: 2}), "recent": completed(w, 23*time.Hour, Counts{Low: 3}), "running": {State: InProgress}, "never": {State: NotScanned},
		"enhanced": {State: Completed, Enhanced: true, CompletedAt: w.Now().Add(-999 * time.Hour)}, "failed": {State: Failed}, "refused": {State: NotScanned, Reason: "result not ready"},
	}
	report, err := w.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	due, oldest := w.Now().Add(time.Hour), w.Now().Add(-24*time.Hour)
	want := RunReport{
		Configs: 5, ConfigsFailed: 1, NextDue: &due, Known: Known{OldestScan: &oldest, Findings: Counts{High: 2, Low: 3}},
		Tally: Tally{
			Images: 13, Started: 5, Recent: 2, InProgress: 1, Artifacts: 1,
			NotScannable: map[string]int{"image index": 1, "enhanced scanning": 2}, Failed: map[string]int{"throttled by ECR": 1, "tag not found": 1},
		},
		Problems: []ConfigRun{
			{ID: "1", Region: "us-west-2", Registry: "123456789012", Repository: "app", Tally: Tally{
				Images: 10, Started: 4, Recent: 2, InProgress: 1, Artifacts: 1,
				NotScannable: map[string]int{"image index": 1, "enhanced scanning": 1}, Failed: map[string]int{"throttled by ECR": 1},
			}},
			{ID: "2", Region: "us-west-2", Registry: "123456789012", Repository: "gone", Error: "repository not found", Tally: newTally()},
			{ID: "3", Region: "us-west-2", Registry: "123456789012", Repository: "app", Tally: Tally{
				Images: 2, Started: 1, NotScannable: map[string]int{}, Failed: map[string]int{"tag not found": 1},
			}},
		},
	}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.calls["start recent"]+r.calls["start running"]+r.calls["start enhanced"] != 0 {
		t.Errorf("images that aren't due cost a start: %v", r.calls)
	}
}

func TestRunFailsOnlyAsAWhole(t *testing.T) {
	r := &fakeRegistry{fail: map[string]error{"gone": &Error{Code: RepositoryNotFound}}}
	if _, err := watchOf(r).Run(t.Context()); err != nil {
		t.Errorf("no configs: %v", err)
	}
	report, err := watchOf(r, config("1", "gone"), config("2", "gone")).Run(t.Context())
	if err == nil || report.ConfigsFailed != 2 {
		t.Errorf("every config failed: report %+v, error %v", report, err)
	}
	w := watchOf(r)
	w.Configs = fakeStore{err: errors.New("S3 is down")}
	if _, err := w.Run(t.Context()); err == nil {
		t.Error("unreadable configs: no error")
	}
}

// The deadline falls in the middle of the run: what is left is counted, and everything is accounted for.
func TestRunStopsBeforeItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRegistry{images: map[string][]Image{"app": {}}}
		const images = 1000
		for i := range images {
			r.images["app"] = append(r.images["app"], Image{Tag: fmt.Sprint(i), Digest: fmt.Sprint(i)})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
		defer cancel()
		r.block = func(ctx context.Context, _ string) {
			select {
			case <-time.After(3 * time.Minute):
			case <-ctx.Done():
			}
		}
		report, err := watchOf(r, config("1", "app")).Run(ctx)
		if err != nil || ctx.Err() != nil {
			t.Fatalf("the run ended with %v, its deadline: %v", err, ctx.Err())
		}
		if report.Left == 0 || report.Started == 0 || report.Started+report.Left != images {
			t.Errorf("started %d, left %d of %d", report.Started, report.Left, images)
		}
		if len(report.Problems) != 1 || report.Problems[0].Left != report.Left {
			t.Errorf("problems %+v don't say what was left", report.Problems)
		}
	})
}
