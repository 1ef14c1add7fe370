package simulation

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mmcdole/gofeed/atom"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

// months is how many there are; in the last of them an image is pushed that has more flaws than are told one by one.
const months = 4

// What a month tells is what happened in it: each change once, and nothing else.
func TestMonth(t *testing.T) {
	var (
		mu    sync.Mutex
		kinds = make(map[string]int)
	)
	t.Run("months", func(t *testing.T) {
		few := uint64(months)
		if testing.Short() {
			few = 1
		}
		for seed := range few {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				events := month(t, seed)
				mu.Lock()
				defer mu.Unlock()
				for _, e := range events {
					kinds[e.kind]++
				}
			})
		}
	})
	t.Logf("%v", kinds)
	for _, kind := range []history.EventKind{
		history.New, history.Fixed, history.Raised, history.Lowered, history.FixAvailable, history.Unscanned, history.Scanned, history.Failing, history.Recovered,
	} {
		if kinds[string(kind)] == 0 && !testing.Short() {
			t.Errorf("%s never happened", kind)
		}
	}
}

// subscription is a config with its feed, and what it watches.
type subscription struct {
	feed string
	repo ecr.RepositoryID
	tags []string // all when empty
}

func (s subscription) watches(id labelID) bool {
	return id.repo == s.repo && (len(s.tags) == 0 || slices.Contains(s.tags, id.tag()))
}

func month(t *testing.T, seed uint64) []event {
	w := newWorld(t, seed)
	service := awstest.NewService(setup.Loopback(w.S3URL), setup.Loopback(w.ECRURL), func() time.Time { return w.Now().Add(w.off) }, awstest.Silent())
	service.Queue.Now = w.Now
	visit := func() {
		if visits, err := service.ScheduleAndVisit(t.Context()); err != nil || visits.Count(rescan.VisitFailed) > 0 && w.calm == nil {
			t.Fatalf("%v, %+v", err, visits)
		}
	}
	r := newReader(t, service)
	known := &truth{world: w, labels: make(map[labelID]*label)}
	subscriptions := []subscription{
		{repo: app, tags: []string{"v1", "v2", "multi", "old"}}, {repo: app}, {repo: db, tags: []string{"latest", "stable"}},
	}
	for i := range subscriptions {
		s := &subscriptions[i]
		s.feed = r.watch(s.repo.Name, s.tags...)
	}
	for round := range 29 * 4 { // a little longer than 6 hours
		w.wide = seed == months-1 && round == 40
		known.live(round)
		visit()
		w.Later(2 * scanTime)
		w.settle()
		if round%4 == 3 {
			w.Later(8*time.Minute + 30*time.Second)
			visit()
			known.read(r, subscriptions)
			w.Later(9*time.Minute + 30*time.Second)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	happened := known.told()
	r.compare("/changes", happened, r.all("/changes"))
	for _, s := range subscriptions {
		own := slices.DeleteFunc(slices.Clone(happened), func(e event) bool { return !s.watches(e.label) })
		r.compare(s.feed+"/changes", own, r.all(s.feed+"/changes"))
		r.compare(s.feed+"/changes at the end", own, r.pages(s.feed+"/changes"))
	}
	rolled := slices.ContainsFunc(r.all("/changes"), func(e *atom.Entry) bool { return e.Categories[0].Term == "ROLLED UP" })
	if wide := seed == months-1; rolled != wide {
		t.Errorf("changes were rolled up: %t, want %t", rolled, wide)
	}
	t.Logf("%d events, %d comparisons", len(happened), r.compared)
	return happened
}
