package usecases

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

// created is when the repositories of the tests were created, long before the configs.
var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func listed(names ...string) []scan.ListedRepository {
	var all []scan.ListedRepository
	for _, name := range names {
		all = append(all, scan.ListedRepository{Repository: config("", name).Repo(), Created: created})
	}
	return all
}

func registryOf(names ...string) *fakeRegistry {
	r := &fakeRegistry{repositories: listed(names...), images: map[string][]scan.Image{}, results: map[string]scan.Result{}, fail: map[string]error{}, start: map[string]error{}}
	for _, name := range names {
		r.images[name] = []scan.Image{{Tag: "v1", Digest: "digest of " + name}}
	}
	return r
}

// messages returns the sent messages as "repository: ids".
func (q *fakeQueue) messages() []string {
	var all []string
	for _, s := range q.sent {
		all = append(all, strings.TrimSpace(s.Schedule+s.Repository+": "+strings.Join(s.Configs, " ")))
	}
	q.sent = nil
	return all
}

// A schedule visits each repository that a pattern matches, once, for all configs that watch it.
func TestScheduleResolvesPatterns(t *testing.T) {
	r := registryOf("lib/a", "team/app", "team/old", "team/web", "teams")
	all := config("3", "*")
	all.Exclude = []string{"team/*", "lib/a"}
	team := config("1", "team/*")
	team.Exclude = []string{"*/old"}
	w := newService(r, team, config("2", "team/app"), all, config("4", "team/later"))
	w.records.set("team/gone", func(*history.Record) {})
	w.records.set("other", func(*history.Record) {})
	report, err := w.visitor.Schedule(t.Context(), onceOf)
	if err != nil || report.Repositories != 6 || report.Sent != 6 || report.NotListed != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	want := []string{"other: 3", "team/app: 1 2", "team/gone: 1", "team/later: 4", "team/web: 1", "teams: 3"}
	if diff := cmp.Diff(want, w.queue.messages()); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"repositories 123456789012 us-west-2": 1}, r.takeCalls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	found := w.records.patterns.ByKey
	if len(found) != 2 || found[team.PatternKey()] != (history.Pattern{First: history.StampOf(w.at), Repositories: 2, Found: history.StampOf(w.at)}) || found[all.PatternKey()].Repositories != 1 {
		t.Errorf("patterns: %+v", found)
	}
}

// Without a pattern no registry is listed, and nothing about patterns is read or stored.
func TestScheduleWithoutPatternsListsNoRegistry(t *testing.T) {
	r := registryOf("app")
	w := newService(r, config("1", "app"))
	w.records.pattern = &scan.Error{Code: scan.Unavailable}
	if report, err := w.visitor.Schedule(t.Context(), onceOf); err != nil || report.Sent != 1 || len(r.takeCalls()) != 0 || w.records.patterns.Version != "" {
		t.Errorf("%+v, %v", report, err)
	}
	if strings.Contains(w.log.String(), "pattern") {
		t.Errorf("log: %s", w.log)
	}
}

// If a registry can't be listed, its recorded repositories are visited, and all other messages are sent.
func TestScheduleOfARegistryThatCantBeListed(t *testing.T) {
	r := registryOf("team/app", "team/web")
	west := r.repositories
	for _, l := range listed("east") {
		l.Region = "eu-west-1"
		r.repositories = append(west, l)
	}
	w := newService(r, config("1", "team/*"), configInOtherRegion("2", "*"), config("3", "lib"))
	w.scheduleAndVisit(t)
	w.queue.messages()
	r.fail["repositories 123456789012 us-west-2"] = &scan.Error{Code: scan.NoAccess, Message: "no access to ecr:DescribeRepositories"}
	w.advance(time.Hour)
	report, err := w.visitor.Schedule(t.Context(), onceOf)
	if err != nil || report.Sent != 4 || report.NotListed != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if diff := cmp.Diff([]rescan.ScheduleProblem{{Registry: "123456789012", Region: "us-west-2", Error: "no access to ecr:DescribeRepositories"}}, report.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"east: 2", "lib: 3", "team/app: 1", "team/web: 1"}, w.queue.messages()); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	got := w.records.patterns.ByKey[config("", "team/*").PatternKey()]
	failed := history.StampOf(w.at)
	want := history.Pattern{First: failed.Plus(-time.Hour), Repositories: 2, Failure: history.Failure{Code: scan.NoAccess, Reason: "no access to ecr:DescribeRepositories", Since: failed}, Found: failed}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	delete(r.fail, "repositories 123456789012 us-west-2")
	w.scheduleAndVisit(t)
	if got := w.records.patterns.ByKey[config("", "team/*").PatternKey()]; got != (history.Pattern{First: want.First, Repositories: 2, Found: failed}) {
		t.Errorf("after the next listing: %+v", got)
	}
}

// A registry that does not answer takes at most half of the schedule's time. The messages are sent.
func TestScheduleOfARegistryThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := registryOf("lib")
		w := newServiceInBubble(r, config("1", "team/*"), config("2", "lib"))
		w.visitor.Scanner = hangingRegistry{r}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		began := time.Now()
		report, err := w.visitor.Schedule(ctx, onceOf)
		if err != nil || report.Sent != 1 || report.NotListed != 1 || time.Since(began) > 150*time.Second {
			t.Errorf("%+v, %v after %v", report, err, time.Since(began))
		}
	})
}

// A message for a config runs the schedule for this config only.
func TestScheduleOfOneConfig(t *testing.T) {
	r := registryOf("lib", "team/app", "team/web")
	w := newService(r, config("1", "team/*"), config("2", "*"), config("3", "lib"))
	w.records.set("team/web", func(*history.Record) {})
	w.records.set("team", func(*history.Record) {})
	report, err := w.visitor.ScheduleConfig(t.Context(), "1", onceOf)
	if err != nil || report.Sent != 2 || report.Configs != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if diff := cmp.Diff([]string{"team/app: 1", "team/web: 1"}, w.queue.messages()); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"team/"}, w.records.listed); diff != "" {
		t.Errorf("listed records (-want +got):\n%s", diff)
	}
	if _, err := w.visitor.ScheduleConfig(t.Context(), "2", onceOf); err != nil || len(w.records.patterns.ByKey) != 2 {
		t.Errorf("%v, the patterns: %+v", err, w.records.patterns)
	}
	w.queue.messages()
	for id, want := range map[string][]string{"3": {"lib: 3"}, "deleted": nil} {
		if _, err := w.visitor.ScheduleConfig(t.Context(), id, onceOf); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if diff := cmp.Diff(want, w.queue.messages()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

// POST and PUT of a pattern request one schedule, and PUT also a visit of the repository that was watched before.
func TestRequestsOfPatterns(t *testing.T) {
	w := newService(registryOf())
	requests := rescan.Requests{Queue: w.queue, Log: w.Log}
	requests.Request(t.Context(), config("1", "team/*"))
	requests.Request(t.Context(), config("2", "team/*"), config("", "lib").Repo())
	if diff := cmp.Diff([]string{"1:", "2:", "lib: 2"}, w.queue.messages()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What was found for a pattern is deleted some time after the last config with it.
func TestPatternsWithoutAConfigAreDeleted(t *testing.T) {
	r := registryOf("team/app")
	w := newService(r, config("1", "team/*"), config("2", "lib/*"))
	w.scheduleAndVisit(t)
	w.configs.set(config("1", "team/*"))
	w.advance(23 * time.Hour) // a config that was just added can be missing in the list of configs
	w.scheduleAndVisit(t)
	if len(w.records.patterns.ByKey) != 2 {
		t.Errorf("after 23 hours: %+v", w.records.patterns)
	}
	w.advance(2 * time.Hour)
	w.scheduleAndVisit(t)
	if _, isKept := w.records.patterns.ByKey[config("", "team/*").PatternKey()]; len(w.records.patterns.ByKey) != 1 || !isKept {
		t.Errorf("after 25 hours: %+v", w.records.patterns)
	}
}

// A repository that a config no longer watches loses its record at the visit of the next schedule.
func TestRecordsOfAReplacedPatternAreDeleted(t *testing.T) {
	r := registryOf("lib/a", "team/app", "team/web")
	w := newService(r, config("1", "*"))
	w.scheduleAndVisit(t)
	w.configs.set(config("1", "team/*"))
	w.scheduleAndVisit(t)
	repositories, _ := w.records.Repositories(t.Context())
	slices.SortFunc(repositories, scan.CompareRepositories)
	if len(repositories) != 2 || repositories[0].Name != "team/app" || repositories[1].Name != "team/web" {
		t.Errorf("recorded: %v", repositories)
	}
}

// 10,000 repositories get one message each.
func TestScheduleOfManyRepositories(t *testing.T) {
	var names []string
	for i := range 10_000 {
		names = append(names, fmt.Sprintf("team/%05d", i))
	}
	w := newService(registryOf(names...), config("1", "team/*"), config("2", "lib/*"))
	report, err := w.visitor.Schedule(t.Context(), onceOf)
	if err != nil || report.Sent != 10_000 || report.Repositories != 10_000 {
		t.Errorf("%+v, %v", report, err)
	}
}

// appeared returns the repositories whose record says that they are new.
func (w *service) appeared() []string {
	var names []string
	for repo, r := range w.records.records {
		if r.Appeared > 0 {
			names = append(names, repo.Name)
		}
	}
	slices.Sort(names)
	return names
}

// A repository that appears after the first visit of a pattern is new. Those that were there before are not, whatever configs
// watch them.
func TestNewRepositories(t *testing.T) {
	r := registryOf("team/app", "team/web")
	r.remove("team/named")
	w := newService(r, config("1", "team/*"))
	w.scheduleAndVisit(t)
	w.advance(time.Hour)
	r.add(w, "team/new")
	r.add(w, "other")
	w.configs.set(config("1", "team/*"), config("2", "*"), config("3", "team/named"))
	w.advance(time.Minute)
	w.scheduleAndVisit(t)
	if diff := cmp.Diff([]string{"team/new"}, w.appeared()); diff != "" {
		t.Errorf("new repositories (-want +got):\n%s", diff)
	}
	before := w.records.of("team/new").Appeared
	for range 3 {
		w.advance(time.Hour)
		w.scheduleAndVisit(t)
	}
	if after := w.records.of("team/new").Appeared; after != before {
		t.Errorf("the time changed from %v to %v", before, after)
	}
	r.add(w, "team/named") // a config names it, and a pattern matches it
	w.advance(time.Minute)
	w.scheduleAndVisit(t)
	if diff := cmp.Diff([]string{"team/named", "team/new"}, w.appeared()); diff != "" {
		t.Errorf("new repositories (-want +got):\n%s", diff)
	}
}

// add creates a repository with an image.
func (f *fakeRegistry) add(w *service, name string) {
	f.repositories = append(f.repositories, scan.ListedRepository{Repository: config("", name).Repo(), Created: w.at})
	f.images[name] = []scan.Image{{Tag: "v1", Digest: "digest of " + name}}
	delete(f.fail, name)
}

// remove deletes a repository.
func (f *fakeRegistry) remove(name string) {
	f.repositories = slices.DeleteFunc(f.repositories, func(l scan.ListedRepository) bool { return l.Name == name })
	f.fail[name] = &scan.Error{Code: scan.RepositoryNotFound, Message: "repository not found"}
}

// A repository that is deleted keeps its record for 30 days, so that changes list it. If a config names it, the record stays.
func TestRecordOfADeletedRepository(t *testing.T) {
	r := registryOf("team/app", "team/named", "team/web")
	w := newService(r, config("1", "team/*"), config("2", "team/named"))
	w.scheduleAndVisit(t)
	r.remove("team/app")
	r.remove("team/named")
	w.advance(time.Hour)
	w.scheduleAndVisit(t)
	w.advance(history.Retention)
	w.scheduleAndVisit(t)
	if got := w.records.of("team/app"); got.MissingSince == 0 {
		t.Errorf("the record is deleted too early")
	}
	w.advance(time.Hour)
	w.scheduleAndVisit(t)
	if got := w.records.of("team/app"); got.Version != "" {
		t.Errorf("the record is still there: missing since %v", got.MissingSince)
	}
	if got := w.records.of("team/named"); got.MissingSince == 0 {
		t.Errorf("the record of the repository that a config names: %+v", got)
	}
}
