package usecases

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/gate"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// blocks returns the blocks of the text summary, each as one line.
func (w *service) blocks(t *testing.T, f scan.Filter) []string {
	t.Helper()
	o, err := w.Summary(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for block := range strings.SplitSeq(strings.TrimSpace(string(render.Summary(o, f))), "\n\n\n") {
		all = append(all, strings.TrimPrefix(strings.Join(strings.Fields(block), " "), "Results for "))
	}
	return all
}

// withResults gives each image of the registry a completed scan.
func (f *fakeRegistry) withResults(w *service, ago time.Duration) {
	for name := range f.images {
		f.results["digest of "+name] = completed(w, ago, scan.Counts{scan.High: 1})
		r := f.results["digest of "+name]
		r.Findings = []scan.Finding{{Name: "CVE-1", Severity: scan.High, Package: "a"}}
		f.results["digest of "+name] = r
	}
}

// A pattern has a block for each image of each recorded repository, in the order of the configs and then of the repositories.
func TestSummaryOfPatterns(t *testing.T) {
	r := registryOf("lib", "team/app", "team/web")
	r.images["team/empty"] = nil
	r.repositories = append(r.repositories, listed("team/empty")...)
	w := newService(r, config("1", "team/*"), config("2", "lib"), config("3", "*"))
	r.withResults(w, time.Hour)
	want := []string{"team/* in us-west-2: UNAVAILABLE: not visited yet", "lib:v1 in us-west-2: HIGH: 1", "* in us-west-2: UNAVAILABLE: not visited yet"}
	if diff := cmp.Diff(want, w.blocks(t, scan.Filter{})); diff != "" {
		t.Errorf("before the first visit (-want +got):\n%s", diff)
	}
	w.scheduleAndVisit(t)
	want = []string{
		"team/app:v1 in us-west-2: HIGH: 1", "team/empty in us-west-2: NO IMAGES", "team/web:v1 in us-west-2: HIGH: 1", "lib:v1 in us-west-2: HIGH: 1",
		"lib:v1 in us-west-2: HIGH: 1", "team/app:v1 in us-west-2: HIGH: 1", "team/empty in us-west-2: NO IMAGES", "team/web:v1 in us-west-2: HIGH: 1",
	}
	if diff := cmp.Diff(want, w.blocks(t, scan.Filter{})); diff != "" {
		t.Errorf("after it (-want +got):\n%s", diff)
	}
	f := scan.Filter{Repositories: []string{"team/web"}}
	want = []string{"Filtered by repository team/web: the rest is left out.", "team/web:v1 in us-west-2: HIGH: 1", "team/web:v1 in us-west-2: HIGH: 1"}
	if diff := cmp.Diff(want, w.blocks(t, f)); diff != "" {
		t.Errorf("filtered (-want +got):\n%s", diff)
	}
}

// What is known of a pattern that matches no recorded repository, or whose registry can't be listed.
func TestStatesOfPatterns(t *testing.T) {
	r := registryOf("lib")
	w := newService(r, config("1", "team/*"))
	state := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, w.blocks(t, scan.Filter{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	state("team/* in us-west-2: UNAVAILABLE: not visited yet")
	w.scheduleAndVisit(t)
	state("team/* in us-west-2: NO REPOSITORIES")
	changed := config("1", "team/*")
	changed.Exclude = []string{"team/x"}
	w.configs.set(changed)
	state("team/* in us-west-2: UNAVAILABLE: not visited yet")
	r.fail["repositories 123456789012 us-west-2"] = &scan.Error{Code: scan.NoAccess, Message: "no access to ecr:DescribeRepositories"}
	w.scheduleAndVisit(t)
	const denied = "team/* in us-west-2: NO ACCESS: the repositories of the registry can't be listed: no access to ecr:DescribeRepositories"
	state(denied)
	delete(r.fail, "repositories 123456789012 us-west-2")
	r.add(w, "team/app")
	r.withResults(w, time.Hour)
	w.scheduleAndVisit(t)
	state("team/app:v1 in us-west-2: HIGH: 1")
	r.fail["repositories 123456789012 us-west-2"] = &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}
	w.scheduleAndVisit(t)
	state("team/* in us-west-2: UNAVAILABLE: the repositories of the registry can't be listed: throttled by ECR", "team/app:v1 in us-west-2: HIGH: 1")
	delete(r.fail, "repositories 123456789012 us-west-2")
	r.add(w, "team/denied")
	r.fail["team/denied"] = &scan.Error{Code: scan.NoAccess, Message: "no access to ecr:DescribeImages"}
	w.scheduleAndVisit(t)
	state("team/app:v1 in us-west-2: HIGH: 1", "team/denied in us-west-2: NO ACCESS")
	w.records.pattern = &scan.Error{Code: scan.Unavailable, Message: "the stored record can't be read or written now"}
	state("team/app:v1 in us-west-2: HIGH: 1", "team/denied in us-west-2: NO ACCESS")
	w.configs.set(config("1", "none/*"))
	state("none/* in us-west-2: UNAVAILABLE: the stored record can't be read or written now")
}

// A repository that was deleted is not shown under a pattern, only in the changes. A config that names it says that it is not found.
func TestDeletedRepositoryOfAPattern(t *testing.T) {
	r := registryOf("team/app", "team/web")
	w := newService(r, config("1", "team/*"), config("2", "team/app"))
	r.withResults(w, time.Hour)
	w.scheduleAndVisit(t)
	r.remove("team/app")
	w.advance(time.Hour)
	want := []string{"team/web:v1 in us-west-2: HIGH: 1", "team/app in us-west-2: REPOSITORY NOT FOUND"}
	for _, when := range []string{"before the visit", "after it"} {
		if diff := cmp.Diff(want, w.blocks(t, scan.Filter{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
		w.scheduleAndVisit(t)
	}
	if diff := cmp.Diff([]string{"REPOSITORY GONE team/app"}, w.changeWords(t, "1")); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	w.log.Reset()
	w.blocks(t, scan.Filter{})
	if diff := cmp.Diff([]string{"2"}, w.configsInLog("could not read the images of a config")); diff != "" {
		t.Errorf("configs whose log lines say that the summary can't show them (-want +got):\n%s", diff)
	}
	r.remove("team/web")
	w.scheduleAndVisit(t)
	if diff := cmp.Diff("team/* in us-west-2: NO REPOSITORIES", w.blocks(t, scan.Filter{})[0]); diff != "" {
		t.Errorf("without any repository (-want +got):\n%s", diff)
	}
}

// configsInLog returns the attribute "config" of the log lines with a message.
func (w *service) configsInLog(message string) []string {
	var ids []string
	for line := range strings.Lines(w.log.String()) {
		if _, id, _ := strings.Cut(line, " config="); strings.Contains(line, fmt.Sprintf("msg=%q", message)) {
			id, _, _ = strings.Cut(id, " ")
			ids = append(ids, id)
		}
	}
	return ids
}

// changeWords returns the kinds of the changes of a config, newest first, with their repositories.
func (w *service) changeWords(t *testing.T, id string) []string {
	t.Helper()
	l, err := w.Changes(t.Context(), id, report.View{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range l.Changes {
		all = append(all, string(c.Kind)+" "+c.Repository.Name)
	}
	return all
}

// A repository that appears is told in the changes of the pattern. Those that were there before are not.
func TestNewRepositoryInChanges(t *testing.T) {
	r := registryOf("team/app")
	w := newService(r, config("1", "team/*"))
	r.withResults(w, time.Hour)
	w.scheduleAndVisit(t)
	if got := w.changeWords(t, "1"); len(got) != 0 {
		t.Errorf("after the first visit: %q", got)
	}
	w.advance(time.Hour)
	r.add(w, "team/new")
	r.withResults(w, time.Minute)
	w.advance(10 * time.Minute)
	w.scheduleAndVisit(t)
	if diff := cmp.Diff([]string{"NEW REPOSITORY team/new"}, w.changeWords(t, "1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	l, _ := w.Changes(t.Context(), "1", report.View{})
	id := l.Changes[0].ID()
	w.advance(24 * time.Hour)
	w.scheduleAndVisit(t)
	if l, _ := w.Changes(t.Context(), "1", report.View{}); l.Changes[0].ID() != id {
		t.Errorf("the id of the change is not the same")
	}
	w.advance(history.Retention)
	w.scheduleAndVisit(t)
	if slices.Contains(w.changeWords(t, "1"), "NEW REPOSITORY team/new") {
		t.Errorf("it is still listed after 30 days")
	}
}

// A config that came after a repository appeared does not list it as new, whether it has a pattern or a name. A listing of all configs still does.
func TestNewRepositoryOfALaterConfig(t *testing.T) {
	r := registryOf("team/app")
	created := func(id, repo string, at time.Time) scan.Config {
		c := config(id, repo)
		c.Created = at.Unix()
		return c
	}
	w := newService(r)
	first := created("first", "*", w.Now())
	w.configs.set(first)
	r.withResults(w, time.Hour)
	w.scheduleAndVisit(t)
	w.advance(time.Hour)
	r.add(w, "team/new")
	r.withResults(w, time.Minute)
	w.advance(10 * time.Minute)
	w.scheduleAndVisit(t)
	told := []string{"NEW REPOSITORY team/new"}
	before, err := w.Changes(t.Context(), "first", report.View{})
	if diff := cmp.Diff(told, w.changeWords(t, "first")); diff != "" || err != nil {
		t.Fatalf("(-want +got):\n%s\n%v", diff, err)
	}
	w.configs.set(first, created("same", "team/new", before.Changes[0].At))
	if diff := cmp.Diff(told, w.changeWords(t, "same")); diff != "" {
		t.Errorf("a config of the same second (-want +got):\n%s", diff)
	}
	w.advance(24 * time.Hour)
	w.configs.set(first, created("pattern", "team/*", w.Now()), created("name", "team/new", w.Now()))
	for range 2 {
		w.scheduleAndVisit(t)
		for id, want := range map[string][]string{"first": told, "pattern": nil, "name": nil} {
			if diff := cmp.Diff(want, w.changeWords(t, id)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", id, diff)
			}
		}
		all, err := w.AllChanges(t.Context(), report.View{})
		after, err2 := w.Changes(t.Context(), "first", report.View{})
		if err != nil || err2 != nil || len(all.Changes) != 1 || after.Changes[0].ID() != before.Changes[0].ID() || !after.Changes[0].At.Equal(before.Changes[0].At) {
			t.Errorf("all: %+v, first: %+v, before %+v, %v, %v", all.Changes, after.Changes, before.Changes, err, err2)
		}
		w.advance(time.Hour)
	}
}

// Findings of a pattern are those of all its repositories, each once. The ids are those of a config for one repository.
func TestFindingsOfAPattern(t *testing.T) {
	r := registryOf("lib", "team/app", "team/web")
	w := newService(r, config("1", "team/*"), config("2", "team/app"))
	r.withResults(w, time.Hour)
	w.scheduleAndVisit(t)
	names := func(l report.Listing) []string {
		var all []string
		for _, e := range l.Entries {
			all = append(all, e.Images[0].Repository.Name+" "+l.EntryID(e).String())
		}
		slices.Sort(all)
		return all
	}
	ofPattern, err := w.Findings(t.Context(), "1", report.View{})
	ofOne, err2 := w.Findings(t.Context(), "2", report.View{})
	if err != nil || err2 != nil || len(ofPattern.Entries) != 2 || names(ofPattern)[0] != names(ofOne)[0] {
		t.Errorf("%q and %q, %v, %v", names(ofPattern), names(ofOne), err, err2)
	}
	all, err := w.AllFindings(t.Context(), report.View{})
	if err != nil || len(all.Entries) != 2 {
		t.Errorf("all findings: %q, %v", names(all), err)
	}
	narrow := report.View{Filter: scan.Filter{Repositories: []string{"team/web"}}}
	if l, err := w.Findings(t.Context(), "1", narrow); err != nil || len(l.Entries) != 1 || l.Entries[0].Images[0].Repository.Name != "team/web" || l.FeedID() == ofPattern.FeedID() {
		t.Errorf("filtered: %q, %v", names(l), err)
	}
	if l, err := w.Findings(t.Context(), "1", report.View{Filter: scan.Filter{Repositories: []string{"lib"}}}); err != nil || len(l.Entries) != 0 || len(l.Reports) != 1 || l.Outage() != nil {
		t.Errorf("filtered by another repository: %+v, %v", l.Reports, err)
	}
	if l, err := w.AllFindings(t.Context(), narrow); err != nil || len(l.Entries) != 1 || len(l.Reports) != 1 {
		t.Errorf("all findings, filtered: %q of %d reports, %v", names(l), len(l.Reports), err)
	}
}

// Before the first visit of a pattern its feed has no entries and is no error, so that a feed reader can subscribe.
func TestFeedOfAPatternBeforeTheFirstVisit(t *testing.T) {
	w := newService(registryOf("team/app"), config("1", "team/*"))
	l, err := w.Findings(t.Context(), "1", report.View{})
	if err != nil || l.Outage() != nil || len(l.Reports) != 1 || !scan.IsNotVisited(l.Reports[0].Err) || !l.Changed.IsZero() {
		t.Errorf("%+v, %v, %v", l.Reports, l.Outage(), err)
	}
}

// A read of a pattern makes at most 100 calls to ECR, as a read of all configs does.
func TestCallsOfAReadOfAPattern(t *testing.T) {
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("team/%03d", i))
	}
	r := registryOf(names...)
	w := newService(r, config("1", "team/*"))
	r.withResults(w, time.Hour)
	w.scheduleAndVisit(t)
	w.advance(time.Hour) // the lists of tags are older than 5 minutes
	r.takeCalls()
	for name, read := range map[string]func() error{
		"findings": func() error { _, err := w.Findings(t.Context(), "1", report.View{}); return err },
		"badge":    func() error { _, err := w.Current(t.Context(), "1", nil); return err },
		"summary":  func() error { _, err := w.Summary(t.Context(), time.Time{}); return err },
	} {
		if err := read(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := total(r.takeCalls()); n == 0 || n > 100 {
			t.Errorf("%s: %d calls", name, n)
		}
	}
	if _, err := w.Changes(t.Context(), "1", report.View{}); err != nil || len(r.takeCalls()) != 0 {
		t.Errorf("changes called ECR: %v", err)
	}
	if diff := cmp.Diff([]string{"team/", "team/", "team/", "team/"}, w.records.listed); diff != "" {
		t.Errorf("lists of keys (-want +got):\n%s", diff)
	}
}

func total(calls map[string]int) int {
	n := 0
	for _, count := range calls {
		n += count
	}
	return n
}

// Only a request with a pattern lists keys, and once for each registry.
func TestListsOfKeys(t *testing.T) {
	w := newService(registryOf("team/app"), config("1", "team/*"), config("2", "team/a*"), config("3", "lib"), configInOtherRegion("4", "x*"))
	w.scheduleAndVisit(t)
	for id, want := range map[string][]string{"1": {"team/"}, "2": {"team/a"}, "3": nil} {
		w.records.listed = nil
		if _, err := w.Findings(t.Context(), id, report.View{}); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, w.records.listed); diff != "" {
			t.Errorf("config %s (-want +got):\n%s", id, diff)
		}
	}
	w.records.listed = nil
	_, _ = w.Summary(t.Context(), time.Time{})
	slices.Sort(w.records.listed)
	if diff := cmp.Diff([]string{"team/", "x"}, w.records.listed); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

// The gate of a pattern asks ECR about every repository, and names those that it can't read.
func TestGateOfAPattern(t *testing.T) {
	r := registryOf("lib", "team/app", "team/web")
	r.images["team/empty"] = nil
	r.repositories = append(r.repositories, listed("team/empty")...)
	w := newService(r, config("1", "team/*"), config("none", "none/*"))
	r.withResults(w, time.Hour)
	gate := func(id string, max scan.Severity, f scan.Filter) (failures []string, images int) {
		t.Helper()
		v, err := w.Gate(t.Context(), id, gate.Request{Max: max, Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		reasons, _ := render.GateReasons(v, nil)
		for _, reason := range reasons {
			failures = append(failures, reason.Image+": "+reason.Reason)
		}
		return failures, v.Images
	}
	named := func(names ...string) scan.Filter { return scan.Filter{Repositories: names} }
	check := func(name, id string, max scan.Severity, f scan.Filter, images int, want ...string) {
		t.Helper()
		got, n := gate(id, max, f)
		if diff := cmp.Diff(want, got); diff != "" || n != images {
			t.Errorf("%s: %d images, want %d (-want +got):\n%s", name, n, images, diff)
		}
	}
	check("before the first visit", "1", scan.High, scan.Filter{}, 0, "team/*: unavailable")
	check("before the first visit, named", "1", scan.High, named("team/app"), 1)
	w.scheduleAndVisit(t)
	check("all", "1", scan.High, scan.Filter{}, 2)
	check("above", "1", scan.Medium, scan.Filter{}, 2, "team/app:v1: above max", "team/web:v1: above max")
	check("one", "1", scan.Medium, named("team/web"), 1, "team/web:v1: above max")
	check("not watched", "1", scan.High, named("lib"), 0, "lib: repository not found")
	check("a named one has no images", "1", scan.High, named("team/app", "team/empty"), 1, "team/empty: no images")
	check("one tag", "1", scan.High, scan.Filter{Tags: []string{"v1"}}, 2)
	check("a tag that no image has", "1", scan.High, scan.Filter{Tags: []string{"v2"}}, 1, "team/*:v2: tag not found")
	check("no repository", "none", scan.High, scan.Filter{}, 0, "none/*: no repositories")
	r.add(w, "team/new")
	r.withResults(w, time.Minute)
	check("new and named", "1", scan.High, named("team/new"), 1)
	r.remove("team/nothing")
	check("does not exist", "1", scan.High, named("team/app", "team/nothing"), 1, "team/nothing: repository not found")
	r.fail["team/web"] = &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}
	check("one can't be read", "1", scan.High, scan.Filter{}, 1, "team/web: unavailable")
	r.remove("team/web")
	check("one was deleted", "1", scan.High, scan.Filter{}, 1)
	check("it is named", "1", scan.High, named("team/web"), 0, "team/web: repository not found")
	w.records.patterns.ByKey[config("", "team/*").PatternKey()] = history.Pattern{First: 1, Repositories: 3, Failure: history.Failure{Code: scan.NoAccess, Reason: "no access"}}
	check("not listed", "1", scan.High, scan.Filter{}, 1, "team/*: no access")
	check("not listed, but named", "1", scan.High, named("team/app"), 1)
}

// The repositories of a pattern can have no image to watch. They exist, and the answer names the pattern, not one of them.
func TestPatternWhoseRepositoriesHaveNoImages(t *testing.T) {
	for _, names := range [][]string{{"team/app"}, {"team/app", "team/web"}} {
		selects := config("1", "team/*")
		selects.Tags = []string{"release-*"}
		r := registryOf(names...)
		w := newService(r, selects)
		r.withResults(w, time.Hour)
		w.scheduleAndVisit(t)
		v, err := w.Gate(t.Context(), "1", gate.Request{Max: scan.High})
		if err != nil {
			t.Fatal(err)
		}
		want := "team/*: no images"
		if len(names) == 1 {
			want = "team/app: no images"
		}
		if reasons, _ := render.GateReasons(v, nil); len(reasons) != 1 || reasons[0].Image+": "+reasons[0].Reason != want {
			t.Errorf("gate of %v: %+v, want %s", names, reasons, want)
		}
		badge, err := w.Current(t.Context(), "1", nil)
		if err != nil || badge.Condition().State != report.NoImages {
			t.Errorf("badge of %v: %+v, %v", names, badge.Condition(), err)
		}
		listing, err := w.Findings(t.Context(), "1", report.View{})
		if err != nil {
			t.Fatal(err)
		}
		if without := slices.Collect(render.AllWithoutResult(listing)); len(without) != len(names) || without[0].State != "no images" {
			t.Errorf("findings of %v: without a result: %+v", names, without)
		}
	}
}

// The badge of a pattern is about all its images. It shows no findings only if all repositories were read.
func TestBadgeOfAPattern(t *testing.T) {
	r := registryOf("team/app", "team/web")
	w := newService(r, config("1", "team/*"))
	r.withResults(w, time.Hour)
	w.scheduleAndVisit(t)
	current, err := w.Current(t.Context(), "1", nil)
	if err != nil || len(current.Images) != 2 || !strings.Contains(string(render.Badge(current, w.Now())), "2 HIGH") {
		t.Errorf("%+v, %v", current, err)
	}
	r.add(w, "team/denied")
	r.fail["team/denied"] = &scan.Error{Code: scan.NoAccess, Message: "no access"}
	for name := range r.images {
		r.results["digest of "+name] = completed(w, time.Hour, scan.Counts{})
	}
	w.scheduleAndVisit(t)
	w.advance(5 * time.Minute)
	current, err = w.Current(t.Context(), "1", nil)
	if badge := string(render.Badge(current, w.Now())); err != nil || strings.Contains(badge, "no findings") {
		t.Errorf("%s, %v", badge, err)
	}
}

// A feed of a pattern is the same as before only if it has the same repositories.
func TestBasisOfAPattern(t *testing.T) {
	r := registryOf("team/app", "team/web")
	w := newService(r, config("1", "team/*"))
	w.configs.configs[0].Created = 1
	r.withResults(w, time.Hour)
	w.scheduleAndVisit(t)
	basis := func() string {
		t.Helper()
		var found string
		_, err := w.Unless(func(b report.Basis) bool { found = b.Hash; return true }).Findings(t.Context(), "1", report.View{})
		if err != nil && err != report.ErrKnown {
			t.Fatal(err)
		}
		return found
	}
	first := basis()
	if first == "" || first != basis() {
		t.Errorf("no basis, or another one: %q", first)
	}
	r.add(w, "team/new")
	r.withResults(w, time.Hour)
	w.scheduleAndVisit(t)
	second := basis()
	if second == first || second == "" {
		t.Errorf("a new repository: %q, before %q", second, first)
	}
	w.records.mu.Lock()
	delete(w.records.records, config("", "team/new").Repo())
	w.records.mu.Unlock()
	if third := basis(); third != first {
		t.Errorf("without it: %q, want %q", third, first)
	}
	w.records.patterns.ByKey[config("", "team/*").PatternKey()] = history.Pattern{First: 1, Repositories: 2, Failure: history.Failure{Code: scan.NoAccess, Reason: "no access"}}
	denied := basis()
	if denied == first || denied == "" {
		t.Errorf("a registry that can't be listed: %q", denied)
	}
	w.records.patterns.ByKey[config("", "team/*").PatternKey()] = history.Pattern{First: 1, Failure: history.Failure{Code: scan.Unavailable, Reason: "throttled"}}
	if got := basis(); got != "" {
		t.Errorf("a temporary error has the basis %q", got)
	}
}

// Two records can be stored some seconds after the times of their changes, in another order. So a feed of several repositories has a date only some
// time later.
func TestDateOfAPattern(t *testing.T) {
	r := registryOf("team/app")
	w := newService(r, config("1", "team/*"))
	r.withResults(w, time.Hour)
	w.scheduleAndVisit(t)
	if l, err := w.Findings(t.Context(), "1", report.View{}); err != nil || !l.Changed.IsZero() {
		t.Errorf("at once: %v, %v", l.Changed, err)
	}
	changed := w.Now()
	w.advance(31 * time.Second)
	if l, err := w.Findings(t.Context(), "1", report.View{}); err != nil || !l.Changed.Equal(changed) {
		t.Errorf("after 31 s: %v, want %v, %v", l.Changed, changed, err)
	}
}

// A pattern of which the exclusions leave out every repository says so, also before the first schedule and if the registry can't be listed.
func TestPatternThatExcludesEverything(t *testing.T) {
	c := config("1", "team/*")
	c.Exclude = []string{"team/*"}
	r := registryOf("team/app")
	w := newService(r, c)
	want := []string{"team/* in us-west-2: NO REPOSITORIES: exclude leaves out all of them"}
	for _, when := range []string{"before the first schedule", "after it", "if the registry can't be listed"} {
		if when == "if the registry can't be listed" {
			r.fail["repositories 123456789012 us-west-2"] = &scan.Error{Code: scan.NoAccess, Message: "no access"}
			w.scheduleAndVisit(t)
		}
		if diff := cmp.Diff(want, w.blocks(t, scan.Filter{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
		w.scheduleAndVisit(t)
	}
}
