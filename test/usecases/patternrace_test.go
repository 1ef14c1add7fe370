package usecases

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// slowListings waits before it returns the repositories that it has when a listing begins. The nth listing takes the nth time, and each later
// one the last time.
type slowListings struct {
	*fakeRegistry
	takes []time.Duration

	mu       sync.Mutex
	listings int
}

func (r *slowListings) Repositories(ctx context.Context, in scan.Registry) ([]scan.ListedRepository, error) {
	found, err := r.fakeRegistry.Repositories(ctx, in)
	r.mu.Lock()
	takes := r.takes[min(r.listings, len(r.takes)-1)]
	r.listings++
	r.mu.Unlock()
	time.Sleep(takes)
	return found, err
}

func newServiceWithSlowListings(r *fakeRegistry, takes []time.Duration, configs ...scan.Config) *service {
	w := newServiceInBubble(r, configs...)
	w.visitor.Scanner = &slowListings{fakeRegistry: r, takes: takes}
	return w
}

func (w *service) pattern(repository string) history.Pattern {
	return w.records.patterns.ByKey[config("", repository).PatternKey()]
}

// What schedules find at the same time is stored, all of it.
func TestSchedulesOfManyPatternsAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registryOf("p3/app")
		var configs []scan.Config
		for i := range 20 {
			configs = append(configs, config(fmt.Sprint(i), fmt.Sprintf("p%d/*", i)))
		}
		w := newServiceWithSlowListings(r, []time.Duration{time.Second}, configs...)
		r.withResults(w, time.Hour)
		var g sync.WaitGroup
		for _, c := range configs {
			g.Go(func() {
				if _, err := w.visitor.ScheduleConfig(t.Context(), c.ID, onceOf); err != nil {
					t.Error(err)
				}
			})
		}
		g.Go(func() {
			if _, err := w.visitor.Schedule(t.Context(), onceOf); err != nil {
				t.Error(err)
			}
		})
		g.Wait()
		for m, ok := w.queue.next(); ok; m, ok = w.queue.next() {
			w.visitor.Visit(t.Context(), m)
		}
		for i, block := range w.blocks(t, scan.Filter{}) {
			want := fmt.Sprintf("p%d/* in us-west-2: NO REPOSITORIES", i)
			if i == 3 {
				want = "p3/app:v1 in us-west-2: HIGH: 1"
			}
			if block != want {
				t.Errorf("%s, want %s", block, want)
			}
		}
		if strings.Contains(w.log.String(), "could not store") {
			t.Errorf("log: %s", w.log)
		}
		time.Sleep(time.Minute)
		r.repositories = append(r.repositories, scan.ListedRepository{Repository: config("", "p7/new").Repo(), Created: time.Now()})
		r.images["p7/new"] = []scan.Image{{Tag: "v1", Digest: "new"}}
		time.Sleep(time.Minute)
		w.scheduleAndVisit(t)
		if got := w.appeared(); len(got) != 1 || got[0] != "p7/new" {
			t.Errorf("new repositories: %v", got)
		}
	})
}

// Of two findings for one pattern, the one whose schedule began later is kept, whichever of the two is stored first. The pattern is known since
// the schedule that began first.
func TestTheLaterListingOfAPatternWins(t *testing.T) {
	for name, takes := range map[string][]time.Duration{"the earlier one is slow": {time.Minute, time.Second}, "both in order": {10 * time.Second, time.Minute}} {
		for _, fails := range []string{"none", "earlier", "later"} {
			t.Run(name+", fails: "+fails, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := registryOf("team/a", "team/b")
					w := newServiceWithSlowListings(r, takes, config("1", "team/*"), config("2", "team/*"))
					const key = "repositories 123456789012 us-west-2"
					denied := &scan.Error{Code: scan.NoAccess, Message: "no access"}
					first := history.StampOf(time.Now())
					var g sync.WaitGroup
					schedule := func(id string, fails bool) {
						if delete(r.fail, key); fails {
							r.fail[key] = denied
						}
						g.Go(func() {
							if _, err := w.visitor.ScheduleConfig(t.Context(), id, onceOf); err != nil {
								t.Error(err)
							}
						})
						time.Sleep(5 * time.Second)
						synctest.Wait()
					}
					schedule("1", fails == "earlier")
					r.remove("team/b")
					second := history.StampOf(time.Now())
					schedule("2", fails == "later")
					g.Wait()
					want := history.Pattern{First: first, Repositories: 1, Found: second}
					switch fails {
					case "earlier":
						want.First = second
					case "later":
						want = history.Pattern{First: first, Repositories: 2, Failure: history.Failure{Code: scan.NoAccess, Reason: "no access", Since: second}, Found: second}
						if strings.HasPrefix(name, "the earlier") {
							want.Repositories = 0 // what an earlier listing counted is not used after a later one failed
						}
					}
					if got := w.pattern("team/*"); got != want {
						t.Errorf("%+v, want %+v", got, want)
					}
				})
			})
		}
	}
}

// A pattern that is posted again while a schedule runs, which has read the configs before, stays known.
func TestAPatternThatIsPostedDuringASchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newServiceWithSlowListings(registryOf("team/a"), []time.Duration{time.Second, time.Minute, time.Second}, config("1", "team/*"), config("2", "lib/*"))
		w.scheduleAndVisit(t)
		time.Sleep(48 * time.Hour)
		w.configs.set(config("2", "lib/*"))
		var g sync.WaitGroup
		g.Go(func() { w.scheduleAndVisit(t) })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		w.configs.set(config("2", "lib/*"), config("3", "team/*"))
		if _, err := w.visitor.ScheduleConfig(t.Context(), "3", onceOf); err != nil {
			t.Error(err)
		}
		g.Wait()
		if got := w.pattern("team/*"); got.Repositories != 1 {
			t.Errorf("after the schedule: %+v", got)
		}
	})
}

// refusingRecords returns the results of refusals before it stores patterns.
type refusingRecords struct {
	*fakeRecords
	refusals []error // nil stands for another writer
	calls    int
}

func (f *refusingRecords) SavePatterns(ctx context.Context, p history.Patterns) (bool, error) {
	if f.calls++; f.calls <= len(f.refusals) {
		return false, f.refusals[f.calls-1]
	}
	return f.fakeRecords.SavePatterns(ctx, p)
}

// A schedule that can't store what it found sends its messages, and the next schedule stores what it finds itself.
func TestPatternsThatCantBeStored(t *testing.T) {
	unavailable := errors.New("unavailable")
	for name, test := range map[string]struct {
		refusals  []error
		saves     int
		isPrinted bool
	}{
		"another writer": {make([]error, 19), 20, false}, "too many writers": {make([]error, 20), 20, true}, "an outage": {[]error{unavailable}, 1, true},
		"an outage after another writer": {[]error{nil, unavailable}, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newServiceInBubble(registryOf("team/a"), config("1", "team/*"))
				records := &refusingRecords{fakeRecords: w.records, refusals: test.refusals}
				w.visitor.Records = records
				report, err := w.visitor.ScheduleConfig(t.Context(), "1", onceOf)
				if err != nil || report.Sent != 1 || records.calls != test.saves || strings.Contains(w.log.String(), "could not store") != test.isPrinted {
					t.Errorf("%+v, %v, %d saves: %s", report, err, records.calls, w.log)
				}
				if got := w.pattern("team/*"); (got.First == 0) != test.isPrinted {
					t.Errorf("%+v", got)
				}
				w.scheduleAndVisit(t)
				if got := w.pattern("team/*"); got.First == 0 || got.Repositories != 1 {
					t.Errorf("after the next schedule: %+v", got)
				}
			})
		})
	}
}

// A schedule that ends does not wait for its turn to store.
func TestAScheduleEndsWhileOthersStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newServiceInBubble(registryOf("team/a"), config("1", "team/*"))
		ctx, cancel := context.WithCancel(t.Context())
		records := &refusingRecords{fakeRecords: w.records, refusals: make([]error, 20)}
		w.visitor.Records = endingRecords{records, cancel}
		if _, err := w.visitor.ScheduleConfig(ctx, "1", onceOf); records.calls != 1 {
			t.Errorf("%v, %d saves", err, records.calls)
		}
	})
}

// endingRecords ends the context of a schedule with the first save.
type endingRecords struct {
	*refusingRecords
	end func()
}

func (f endingRecords) SavePatterns(ctx context.Context, p history.Patterns) (bool, error) {
	f.end()
	return f.refusingRecords.SavePatterns(ctx, p)
}
