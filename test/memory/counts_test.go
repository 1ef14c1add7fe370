package memory

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// calls are the calls to ECR that something makes.
func (w *world) calls(do func()) map[string]int {
	w.ecr.ResetCount()
	do()
	return w.ecr.Count().Calls
}

func (w *world) wantCalls(t *testing.T, what string, want map[string]int, do func()) {
	t.Helper()
	if got := w.calls(do); !maps.Equal(got, want) {
		t.Errorf("%s: calls %v, want %v", what, got, want)
	}
}

func summary(t *testing.T, w *scan.Watch) scan.Overview {
	t.Helper()
	o, err := w.Summary(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// states are the images of a summary's report in words.
func states(r scan.Report[scan.Result]) map[string]scan.State {
	shown := make(map[string]scan.State)
	for _, item := range r.Images {
		shown[item.Image.Label()] = item.Value.State
	}
	return shown
}

func TestWhatIsAskedOfECR(t *testing.T) {
	none, listing := map[string]int{}, map[string]int{"DescribeImages": 1}
	for _, skew := range []time.Duration{0, time.Hour, -time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				watch := (&process{skew: skew}).watch(w.s3, w.ecr)
				other := (&process{skew: -skew}).watch(w.s3, w.ecr)
				addConfig(t, watch, repo)
				w.push("one", "A:LOW")
				w.push("two", "B:LOW")
				want := read(t, watch)
				time.Sleep(scan.Trust - time.Second)
				w.wantCalls(t, "a summary within trust", none, func() { summary(t, other) })
				w.wantCalls(t, "a feed within trust", none, func() {
					if diff := cmp.Diff(want, read(t, other)); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				})
				time.Sleep(time.Second)
				w.wantCalls(t, "a summary after it", listing, func() { summary(t, other) })
				time.Sleep(scan.Trust)
				w.wantCalls(t, "a feed after it", listing, func() { read(t, watch) })
				for range 20 {
					time.Sleep(time.Hour)
					w.wantCalls(t, "a run in which nothing is due", listing, func() { run(t, watch) })
				}
				time.Sleep(5 * time.Hour) // to be due by all clocks
				w.wantCalls(t, "a run in which all is due", map[string]int{"DescribeImages": 1, "DescribeImageScanFindings": 2, "StartImageScan": 2}, func() { run(t, watch) })
				time.Sleep(time.Second)
				if got := states(summary(t, other).Reports[0]); got["one"] != scan.InProgress {
					t.Errorf("right after a scan was started: %v", got)
				}
				time.Sleep(scanTime + scan.Trust)
				if got := states(summary(t, other).Reports[0]); got["one"] != scan.Completed {
					t.Errorf("after the scan: %v", got)
				}
			})
		})
	}
}

// A tag that moved is not shown with its old result, once that it moved is known.
func TestMovedTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		watch := w.watch()
		addConfig(t, watch, repo)
		w.push("one", "A:LOW")
		read(t, watch)
		w.ecr.PutImage(ecrID(repo), awslocal.Image{Tags: []string{"one"}})
		time.Sleep(scan.Trust)
		w.ecr.Disturb(awslocal.Fault{Operation: "DescribeImageScanFindings", Status: 500})
		if got := states(summary(t, watch).Reports[0]); got["one"] != scan.Unread {
			t.Errorf("shown as %v while its result can't be read", got)
		}
		if got := read(t, watch); len(got) > 0 {
			t.Errorf("the feed has %v", got)
		}
		w.ecr.Calm()
		if got := states(summary(t, watch).Reports[0]); got["one"] != scan.NotScanned {
			t.Errorf("shown as %v", got)
		}
	})
}

// A config that was added a second ago shows its images at once, whatever was listed or forgotten just before.
func TestConfigOfASecondAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		watch := w.watch()
		w.push("one", "A:LOW")
		w.push("two", "B:LOW")
		last := func() scan.Report[scan.Result] {
			reports := summary(t, watch).Reports
			return reports[len(reports)-1]
		}
		addConfig(t, watch, repo, "one")
		summary(t, watch)
		time.Sleep(time.Second)
		addConfig(t, watch, repo, "two")
		if got := states(last()); got["two"] != scan.Completed {
			t.Errorf("another tag: %v", got)
		}
		time.Sleep(time.Second)
		w.push("other", "B:LOW")
		all := addConfig(t, watch, repo)
		if got := states(last()); len(got) != 3 {
			t.Errorf("all tags: %v", got)
		}
		time.Sleep(time.Second)
		w.push("three", "C:LOW")
		if err := watch.Configs.Delete(t.Context(), all.ID); err != nil {
			t.Fatal(err)
		}
		addConfig(t, watch, repo, "three")
		if got := states(last()); got["three"] != scan.Completed {
			t.Errorf("a tag that was pushed since all were listed: %v", got)
		}
		run(t, watch) // which forgets what is no longer watched, that is the other
		addConfig(t, watch, repo)
		if got := states(last()); len(got) != 4 {
			t.Errorf("all tags again: %v", got)
		}
	})
}

// Tags that some configs name and others don't make no difference to what a run meets.
func TestRunOfMixedConfigs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		watch := w.watch()
		addConfig(t, watch, repo)
		addConfig(t, watch, repo, "one", "nowhere")
		w.push("one", "A:LOW")
		w.push("two", "B:LOW")
		run(t, watch)
		w.wantCalls(t, "a summary after the run", map[string]int{}, func() {
			o := summary(t, watch)
			if diff := cmp.Diff(map[string]scan.State{"one": scan.Completed, "two": scan.Completed}, states(o.Reports[0])); diff != "" {
				t.Errorf("all tags (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]scan.State{"one": scan.Completed, "nowhere": scan.NoSuchTag}, states(o.Reports[1])); diff != "" {
				t.Errorf("some tags (-want +got):\n%s", diff)
			}
		})
	})
}

func TestECRIsDown(t *testing.T) {
	for name, f := range map[string]awslocal.Fault{
		"all":             {Status: 500},
		"the listing":     {Operation: "DescribeImages", Status: 500},
		"the results":     {Operation: "DescribeImageScanFindings", Status: 500},
		"it doesn't tell": {Hang: true},
		"it throttles":    {Code: "ThrottlingException"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				watch := w.watch()
				addConfig(t, watch, repo)
				w.push("one", "A:LOW")
				want := read(t, watch)
				asked := time.Now()
				time.Sleep(30 * time.Hour)
				w.ecr.Disturb(f)
				for range 3 {
					began := time.Now()
					item := summary(t, watch).Reports[0].Images[0]
					if age := item.Value.AsOf.Sub(asked).Abs(); item.Value.State != scan.Completed || age > time.Minute || item.Value.Reason == "" || item.Value.Counts[scan.Low] != 1 {
						t.Errorf("%+v", item.Value)
					}
					if took := time.Since(began); took > 20*time.Second {
						t.Errorf("a reader waits for %s", took)
					}
					if diff := cmp.Diff(want, read(t, watch)); diff != "" {
						t.Errorf("the feed (-want +got):\n%s", diff)
					}
				}
				w.ecr.Calm()
				if item := summary(t, watch).Reports[0].Images[0]; !item.Value.AsOf.IsZero() {
					t.Errorf("when it answers again: %+v", item.Value)
				}
			})
		})
	}
}

// sent takes messages and does nothing with them.
type sent struct{ scan.Queue }

func (sent) Send(context.Context, []scan.Message) []error { return nil }

func TestWhatNobodyWatchesAnyMore(t *testing.T) {
	other := scan.Repository{Region: "eu-central-1", Registry: awslocal.DefaultRegistry, Name: "other/app"}
	for name, tidy := range map[string]func(*testing.T, *world, *scan.Watch){
		"run": func(t *testing.T, _ *world, watch *scan.Watch) { run(t, watch) },
		"schedule": func(t *testing.T, w *world, watch *scan.Watch) {
			chains := &scan.Chains{Watch: watch, Queue: sent{}, Markers: s3store.NewMarkers(client(w.s3), awstest.Bucket)}
			if _, err := chains.Schedule(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				watch := w.watch()
				whole := addConfig(t, watch, repo)
				addConfig(t, watch, repo, "one")
				elsewhere := addConfig(t, watch, other)
				w.push("one", "A:LOW")
				w.push("two", "B:LOW")
				w.ecr.PutImage(ecrID(other), awslocal.Image{Tags: []string{"x"}, ScannedAt: time.Now(), Findings: findings("A:LOW")})
				foreign := []string{
					"record/readme", "record/123456789012/readme", "record/123456789012/us-west-2/readme", "record/123456789012/us-west-2/nobody/notes.txt",
					"record/123456789012/us-west-2/team~app/notes.txt", "record/123456789012/us-west-2/team~app/old/index", "record/a/b/c/index",
				}
				for _, key := range foreign {
					put(t, w.s3, key, "not ours")
				}
				read(t, watch)
				for _, c := range []scan.Config{whole, elsewhere} {
					if err := watch.Configs.Delete(t.Context(), c.ID); err != nil {
						t.Fatal(err)
					}
				}
				before := remembered(t, w.s3)
				tidy(t, w, watch)
				if got := keys(t, w.s3, "record/123456789012/eu-central-1/"); len(got) > 0 {
					t.Errorf("of another repository there is still %v", got)
				}
				want := slices.DeleteFunc(before, func(line string) bool { return strings.HasPrefix(line, "two") })
				if diff := cmp.Diff(want, remembered(t, w.s3)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				time.Sleep(7 * time.Hour)
				run(t, watch)
				got := keys(t, w.s3, "record/")
				for _, key := range foreign {
					if !slices.Contains(got, key) {
						t.Errorf("%s is gone", key)
					}
				}
				if n := len(got) - len(foreign); n != 2 {
					t.Errorf("an index and a history are needed, and there are %d objects: %v", n, got)
				}
			})
		})
	}
}

// What a run removes may just be read by a reader who began before it.
func TestReaderOfWhatIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		addConfig(t, w.watch(), repo)
		w.push("one", "A:LOW")
		read(t, w.watch())
		for _, found := range []string{"", "A:LOW"} { // which is another episode then
			time.Sleep(25 * time.Hour)
			w.rescan(t, "one", found)
			run(t, w.watch())
		}
		time.Sleep(25 * time.Hour)
		read(t, w.watch())
		w.rescan(t, "one", "A:LOW B:LOW")
		var (
			l    log
			once sync.Once
			wg   sync.WaitGroup
			got  []string
		)
		slow := &process{log: l.logger(), pause: func(r *http.Request) {
			if strings.Contains(r.URL.Path, "/team~app/") && !strings.HasSuffix(r.URL.Path, "/index") {
				once.Do(func() { time.Sleep(10 * time.Second) })
			}
		}}
		wg.Go(func() { got = read(t, slow.watch(w.s3, w.ecr)) })
		time.Sleep(time.Second)
		run(t, w.watch())
		wg.Wait()
		if l.has("lost") || len(got) == 0 || !strings.HasPrefix(got[0], "one A LOW #1") {
			t.Errorf("the feed has %v, the log %s", got, l.String())
		}
	})
}
