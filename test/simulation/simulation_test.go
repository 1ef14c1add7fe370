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
	"ecr-continuous-scan/test/awstest"
)

// months is the number of simulated months. In the last one, an image is pushed that has more findings than the
// feed lists one by one.
const months = 4

// The feeds of a month report each change exactly once, and nothing else.
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
		history.TagGone, history.TagBack, history.PlatformGone, history.PlatformBack,
	} {
		if kinds[string(kind)] == 0 && !testing.Short() {
			t.Errorf("%s never happened", kind)
		}
	}
}

// subscription is a config with its feed and the tags that it covers.
type subscription struct {
	feed string
	repo ecr.RepositoryID
	tags []string // all tags if empty
}

func (s subscription) covers(id labelID) bool {
	return id.repo == s.repo && (len(s.tags) == 0 || slices.Contains(s.tags, id.tag()))
}

func month(t *testing.T, seed uint64) []event {
	w := newWorld(t, seed)
	service := awstest.NewService(awstest.Config(w.S3URL), awstest.Config(w.ECRURL), func() time.Time { return w.Now().Add(w.clockSkew) }, awstest.Silent())
	service.Queue.Now = w.Now
	visit := func() {
		if visits, err := service.ScheduleAndVisit(t.Context()); err != nil || visits.Count(rescan.VisitFailed) > 0 && w.endOutage == nil {
			t.Fatalf("%v, %+v", err, visits)
		}
	}
	r := newReader(t, service)
	expected := &model{world: w, labels: make(map[labelID]*label)}
	subscriptions := []subscription{
		{repo: app, tags: []string{"v1", "v2", "multi", "old"}}, {repo: app}, {repo: db, tags: []string{"latest", "stable"}},
	}
	for i := range subscriptions {
		s := &subscriptions[i]
		s.feed = r.addConfig(s.repo.Name, s.tags...)
	}
	for round := range 29 * 4 { // a little longer than 6 hours
		w.manyFindings = seed == months-1 && round == 40
		expected.advance(round)
		visit()
		w.Advance(2 * scanTime)
		w.recordScans()
		if round%4 == 3 {
			w.Advance(8*time.Minute + 30*time.Second)
			visit()
			expected.read(r, subscriptions)
			w.Advance(9*time.Minute + 30*time.Second)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	happened := expected.allEvents()
	r.compare("/changes", happened, r.all("/changes"))
	for _, s := range subscriptions {
		own := slices.DeleteFunc(slices.Clone(happened), func(e event) bool { return !s.covers(e.label) })
		r.compare(s.feed+"/changes", own, r.all(s.feed+"/changes"))
		r.compare(s.feed+"/changes at the end", own, r.pages(s.feed+"/changes"))
	}
	rolledUp := slices.ContainsFunc(r.all("/changes"), func(e *atom.Entry) bool { return e.Categories[0].Term == "ROLLED UP" })
	if want := seed == months-1; rolledUp != want {
		t.Errorf("changes were rolled up: %t, want %t", rolledUp, want)
	}
	t.Logf("%d events, %d comparisons", len(happened), r.compared)
	return happened
}
