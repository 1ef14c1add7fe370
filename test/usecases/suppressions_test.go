package usecases

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/figures"
	"ecr-continuous-scan/internal/gate"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// fakeSuppressions is a store of suppressions in memory.
type fakeSuppressions struct {
	mu    sync.Mutex
	all   []suppress.Suppression
	err   error
	loads int
}

func (f *fakeSuppressions) Rules(context.Context) (*suppress.Rules, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.loads++; f.err != nil {
		return nil, f.err
	}
	return suppress.NewRules(suppress.List{All: slices.Clone(f.all), Version: fmt.Sprint(f.all)}), nil
}

// suppressing is a service with suppressions.
type suppressing struct {
	*service
	reads        *countedRecords
	suppressions *fakeSuppressions
}

// newSuppressing returns a service with two images that were scanned on two days. The second scans found CVE-NEW.
func newSuppressing(t *testing.T) *suppressing {
	r := &fakeRegistry{images: map[string][]scan.Image{
		"app": {{Tag: "a", Digest: "1"}, {Tag: "b", Digest: "2"}}, "other": {{Tag: "o", Digest: "3"}},
	}}
	w := &suppressing{newService(r, config("1", "app"), config("2", "other")), nil, &fakeSuppressions{}}
	w.reads = &countedRecords{fakeRecords: w.records}
	w.Reader.Records, w.Reader.Suppressions, w.visitor.Suppressions = w.reads, w.suppressions, w.suppressions
	old := []scan.Finding{{Name: "CVE-KERNEL", Package: "linux", Severity: scan.High}, {Name: "CVE-SSL", Package: "openssl", Severity: scan.Medium}}
	fresh := append(slices.Clone(old), scan.Finding{Name: "CVE-NEW", Package: "linux", Severity: scan.High})
	for day, found := range [][]scan.Finding{old, fresh} {
		if day > 0 {
			w.advance(24 * time.Hour)
		}
		w.registry.results = map[string]scan.Result{}
		for i, digest := range []string{"1", "2", "3"} {
			result := completed(w.service, time.Hour+time.Duration(i)*time.Minute, scan.Counts{scan.High: len(found) - 1, scan.Medium: 1})
			result.Findings = slices.Clone(found)
			w.registry.results[digest] = result
		}
		w.scheduleAndVisit(t)
	}
	return w
}

// suppress adds a suppression of the kernel that begins now and ends after a time; 0 means no end. It changes its fields with change.
func (w *suppressing) suppress(id string, ends time.Duration, change func(*suppress.Suppression)) {
	s := suppress.Suppression{ID: id, Created: w.at.Unix(), Package: "linux*", Repository: "app", Reason: "the host's kernel runs"}
	if ends > 0 {
		s.Until = w.at.Add(ends)
	}
	if change != nil {
		change(&s)
	}
	w.suppressions.all = append(w.suppressions.all, s)
}

// blocks returns the images of the summary as text: label, counts, change of the counts since a day, and what is suppressed.
func (w *suppressing) blocks(t *testing.T) string {
	t.Helper()
	o, err := w.Summary(t.Context(), w.at.Add(-26*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range o.Reports {
		for _, i := range r.Images {
			added, fixed := i.ChangedSince(o.Since)
			lines = append(lines, fmt.Sprint(i.Image.Label(), i.Result.Counts.Ordered(), "+", added.Ordered(), "-", fixed.Ordered(), " suppressed ", i.Suppressed, " ", i.Unsuppressed))
		}
	}
	return strings.Join(lines, "\n")
}

// entries returns the ids and titles of the entries of the findings and of the changes of the config 1, sorted.
func (w *suppressing) entries(t *testing.T, f scan.Filter) (found, changed []string) {
	t.Helper()
	l := findings(t, w.service, "1", report.View{Filter: f})
	for i, line := range lines(l) {
		found = append(found, fmt.Sprint(line, " ", l.EntryID(l.Entries[i]), " ", l.Entries[i].Published.Unix(), " ", l.Entries[i].Note))
	}
	c, err := w.Changes(t.Context(), "1", report.View{Filter: f})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range c.Changes {
		what := one.Finding.Name
		if one.Suppression != nil {
			what = one.Suppression.What
		}
		label := ""
		if one.Image != nil {
			label = one.Image.Label()
		}
		changed = append(changed, strings.Join(strings.Fields(fmt.Sprint(one.Kind, " ", label, " ", what, " ", one.Reason, " ", one.ID(), " ", one.At.Unix())), " "))
	}
	slices.Sort(found)
	slices.Sort(changed)
	return found, changed
}

// without returns the values of a that b does not have.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// starts returns the first n words of each text.
func starts(texts []string, n int) []string {
	var all []string
	for _, s := range texts {
		all = append(all, strings.Join(strings.Fields(s)[:n], " "))
	}
	return all
}

// A suppressed finding is not counted, listed, told or judged. A suppression adds no entry to a feed, except that it was added.
func TestSuppressedFindings(t *testing.T) {
	w := newSuppressing(t)
	found, changed := w.entries(t, scan.Filter{})
	if got, want := w.blocks(t), "a[{HIGH 2} {MEDIUM 1}]+[{HIGH 1}]-[] suppressed 0 false\nb[{HIGH 2} {MEDIUM 1}]+[{HIGH 1}]-[] suppressed 0 false\no[{HIGH 2} {MEDIUM 1}]+[{HIGH 1}]-[] suppressed 0 false"; got != want {
		t.Fatalf("before\n%s\nwant\n%s", got, want)
	}
	w.suppress("s", 0, func(s *suppress.Suppression) { s.Tag = "a" })
	if got, want := w.blocks(t), "a[{MEDIUM 1}]+[]-[] suppressed 2 false\nb[{HIGH 2} {MEDIUM 1}]+[{HIGH 1}]-[] suppressed 0 false\no[{HIGH 2} {MEDIUM 1}]+[{HIGH 1}]-[] suppressed 0 false"; got != want {
		t.Errorf("suppressed\n%s\nwant\n%s", got, want)
	}
	nowFound, nowChanged := w.entries(t, scan.Filter{})
	if got := without(nowFound, found); len(got) > 0 {
		t.Errorf("new entries: %v", got)
	}
	if diff := cmp.Diff([]string{"a HIGH CVE-KERNEL", "a HIGH CVE-NEW"}, starts(without(found, nowFound), 3)); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"SUPPRESSION ADDED every vulnerability in package linux* in repository app with tag a the"}, starts(without(nowChanged, changed), 14)); diff != "" {
		t.Errorf("new changes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"NEW a CVE-NEW"}, starts(without(changed, nowChanged), 3)); diff != "" {
		t.Errorf("changes left out (-want +got):\n%s", diff)
	}
	for _, test := range []struct {
		include          bool
		high, suppressed int
	}{{false, 2, 2}, {true, 4, 0}} {
		request := gate.Request{Max: scan.Medium}
		if test.include {
			request.Filter.Suppressed = scan.IncludeSuppressed
		}
		v, err := w.Gate(t.Context(), "1", request)
		high := 0
		for _, f := range v.Failures {
			high += f.Counts[scan.High]
		}
		if err != nil || high != test.high || v.Suppressed != test.suppressed {
			t.Errorf("gate with suppressed findings %v: %+v, %v", test.include, v, err)
		}
	}
	current, err := w.Current(t.Context(), "1", nil)
	if err != nil || fmt.Sprint(current.Images[0].Result.Counts.Ordered()) != "[{MEDIUM 1}]" {
		t.Errorf("badge: %+v, %v", current, err)
	}
	for _, day := range figures.Trend([]report.Report{current}, w.at)[30:] {
		if got := fmt.Sprint(day.Counts.Ordered()); got != "[{HIGH 2} {MEDIUM 2}]" {
			t.Errorf("trend: %s", got)
		}
	}
}

// The parameter suppressed selects what is listed, and each suppressed finding says why.
func TestSuppressedFilter(t *testing.T) {
	w := newSuppressing(t)
	w.suppress("s", 0, func(s *suppress.Suppression) { s.Tag = "a" })
	for value, want := range map[string][]string{
		"":                     {"a MEDIUM CVE-SSL", "b HIGH CVE-KERNEL", "b HIGH CVE-NEW", "b MEDIUM CVE-SSL"},
		scan.OnlySuppressed:    {"a HIGH CVE-KERNEL suppressed", "a HIGH CVE-NEW suppressed"},
		scan.IncludeSuppressed: {"a HIGH CVE-KERNEL suppressed", "a HIGH CVE-NEW suppressed", "a MEDIUM CVE-SSL", "b HIGH CVE-KERNEL", "b HIGH CVE-NEW", "b MEDIUM CVE-SSL"},
	} {
		l := findings(t, w.service, "1", report.View{Filter: scan.Filter{Suppressed: value}})
		got := starts(lines(l), 3)
		for i, e := range l.Entries {
			if e.Suppression != nil {
				got[i] += " suppressed"
			}
		}
		if slices.Sort(got); cmp.Diff(want, got) != "" {
			t.Errorf("suppressed=%s (-want +got):\n%s", value, cmp.Diff(want, got))
		}
	}
	for value, want := range map[string][]string{
		scan.OnlySuppressed:    {"NEW a CVE-NEW suppressed: the"},
		scan.IncludeSuppressed: {"NEW a CVE-NEW suppressed: the", "NEW b CVE-NEW 09", "SUPPRESSION ADDED every vulnerability in"},
	} {
		_, changed := w.entries(t, scan.Filter{Suppressed: value})
		for i, s := range starts(changed, 5) {
			if i >= len(want) || !strings.HasPrefix(want[i], strings.Join(strings.Fields(s)[:3], " ")) {
				t.Errorf("suppressed=%s: changes %v", value, changed)
			}
		}
		if len(changed) != len(want) {
			t.Errorf("suppressed=%s: %d changes", value, len(changed))
		}
	}
	// Grouped findings are suppressed if they are in all images.
	l := findings(t, w.service, "1", report.View{ByVulnerability: true, Filter: scan.Filter{Suppressed: scan.IncludeSuppressed}})
	for _, e := range l.Entries {
		if e.Suppression != nil {
			t.Errorf("group %s is suppressed by %+v", e.Finding.Name, e.Suppression)
		}
	}
}

// A repository that no suppression can match reads no history more than before, and each read reads the suppressions once.
func TestReadsOfSuppressions(t *testing.T) {
	w := newSuppressing(t)
	read := func() (histories int64, loads int) {
		before, loaded := w.reads.read.Load(), w.suppressions.loads
		w.blocks(t)
		return w.reads.read.Load() - before, w.suppressions.loads - loaded
	}
	if n, loads := read(); n != 0 || loads != 1 {
		t.Errorf("without suppressions: %d histories, %d reads of suppressions", n, loads)
	}
	w.suppress("s", 0, func(s *suppress.Suppression) { s.Tag = "a" })
	if n, loads := read(); n != 1 || loads != 1 {
		t.Errorf("a suppression of one image: %d histories, %d reads of suppressions", n, loads)
	}
	w.suppressions.all[0].Tag = "other"
	if n, _ := read(); n != 0 {
		t.Errorf("a suppression of another tag: %d histories", n)
	}
}

// When a suppression ends, its findings are new for readers. The next visit stores this. A request before it computes the same ids and dates.
func TestEndOfASuppression(t *testing.T) {
	for name, end := range map[string]func(w *suppressing){
		"its end": func(w *suppressing) { w.advance(time.Hour) },
		"a deletion": func(w *suppressing) {
			w.advance(30 * time.Minute)
			w.suppressions.all[0].Deleted = w.at.Unix()
		},
		"another suppression": func(w *suppressing) {
			w.advance(30 * time.Minute)
			w.suppressions.all[0].Replaced = w.at.Unix()
			w.suppress("s", 0, func(s *suppress.Suppression) { s.Tag, s.Updated = "x", w.at.Unix() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSuppressing(t)
			before, changesBefore := w.entries(t, scan.Filter{})
			w.suppress("s", time.Hour, nil)
			hidden, _ := w.entries(t, scan.Filter{})
			w.scheduleAndVisit(t)
			if again, _ := w.entries(t, scan.Filter{}); cmp.Diff(hidden, again) != "" || len(hidden) != 2 {
				t.Fatalf("a visit during the suppression (-before +after):\n%s", cmp.Diff(hidden, again))
			}
			end(w)
			counts := w.blocks(t)
			w.advance(2 * time.Minute)
			read, changesRead := w.entries(t, scan.Filter{})
			if diff := cmp.Diff([]string{"a HIGH CVE-KERNEL", "a HIGH CVE-NEW", "b HIGH CVE-KERNEL", "b HIGH CVE-NEW"}, starts(without(read, before), 3)); diff != "" {
				t.Errorf("new findings (-want +got):\n%s", diff)
			}
			added := slices.DeleteFunc(without(changesRead, changesBefore), func(s string) bool { return strings.HasPrefix(s, "SUPPRESSION") })
			if diff := cmp.Diff([]string{"NEW a CVE-KERNEL", "NEW a CVE-NEW", "NEW b CVE-KERNEL", "NEW b CVE-NEW"}, starts(added, 3)); diff != "" {
				t.Errorf("new changes (-want +got):\n%s", diff)
			}
			w.advance(20 * time.Minute)
			saves := w.records.saves
			w.scheduleAndVisit(t)
			if w.records.saves == saves {
				t.Error("the visit stored nothing")
			}
			stored, changesStored := w.entries(t, scan.Filter{})
			if diff := cmp.Diff(read, stored) + cmp.Diff(changesRead, changesStored); diff != "" {
				t.Errorf("the request and the visit differ (-request +visit):\n%s", diff)
			}
			if got := w.blocks(t); got != counts {
				t.Errorf("counts after the visit\n%s\nbefore\n%s", got, counts)
			}
			w.suppressions.all = nil // nothing depends on the suppression any more
			w.scheduleAndVisit(t)
			if later, _ := w.entries(t, scan.Filter{}); cmp.Diff(stored, later) != "" {
				t.Errorf("without the suppression (-before +after):\n%s", cmp.Diff(stored, later))
			}
			reads := w.reads.read.Load()
			w.blocks(t)
			if n := w.reads.read.Load() - reads; n != 0 {
				t.Errorf("%d histories are read after all", n)
			}
		})
	}
}

// If a visit can't read or store a history, nothing is lost: the next visit stores what is missing, and the ids stay the same.
func TestEndOfASuppressionAfterErrors(t *testing.T) {
	unavailable := &scan.Error{Code: scan.Unavailable}
	for name, fail := range map[string]func(w *suppressing, err error){
		"a history can't be stored":      func(w *suppressing, err error) { w.records.add["b"] = err },
		"the record can't be stored":     func(w *suppressing, err error) { w.records.save = err },
		"the suppressions can't be read": func(w *suppressing, err error) { w.suppressions.err = err },
		"a history can't be read": func(w *suppressing, err error) {
			known := w.records.of("app").Images["b"]
			if w.records.history = map[string]error{}; err != nil {
				w.records.history[known.History] = err
			}
		},
		"the repository can't be listed": func(w *suppressing, err error) { w.registry.fail = map[string]error{"app": err} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newSuppressing(t)
			w.suppress("s", time.Hour, nil)
			w.advance(time.Hour + 2*time.Minute)
			read, changesRead := w.entries(t, scan.Filter{})
			fail(w, unavailable)
			w.scheduleAndVisit(t)
			fail(w, nil)
			if name == "the repository can't be listed" {
				w.registry.fail = nil
			}
			between, changesBetween := w.entries(t, scan.Filter{})
			if diff := cmp.Diff(read, between) + cmp.Diff(changesRead, changesBetween); diff != "" {
				t.Errorf("after the failed visit (-before +after):\n%s", diff)
			}
			w.advance(time.Minute)
			w.scheduleAndVisit(t)
			stored, changesStored := w.entries(t, scan.Filter{})
			if diff := cmp.Diff(read, stored) + cmp.Diff(changesRead, changesStored); diff != "" {
				t.Errorf("after the next visit (-before +after):\n%s", diff)
			}
			if got := w.records.of("app").Returned; got != history.StampOf(w.suppressions.all[0].Until) {
				t.Errorf("the record has the ends until %d", got)
			}
		})
	}
}

// A visit that finds something at the same time gives the same ids and dates as a request before it.
func TestEndOfASuppressionWithANewScan(t *testing.T) {
	w := newSuppressing(t)
	w.suppress("s", 24*time.Hour, nil)
	w.advance(24*time.Hour + 5*time.Minute)
	result := completed(w.service, 10*time.Minute, scan.Counts{scan.High: 2, scan.Low: 1})
	result.Findings = []scan.Finding{{Name: "CVE-KERNEL", Package: "linux", Severity: scan.High}, {Name: "CVE-NEW", Package: "linux", Severity: scan.High}, {Name: "CVE-LATE", Package: "tar", Severity: scan.Low}}
	w.registry.results["1"] = result
	w.scheduleAndVisit(t)
	found, _ := w.entries(t, scan.Filter{})
	if diff := cmp.Diff([]string{"a HIGH CVE-KERNEL", "a HIGH CVE-NEW", "a LOW CVE-LATE", "a MEDIUM CVE-SSL", "b HIGH CVE-KERNEL", "b HIGH CVE-NEW", "b MEDIUM CVE-SSL"}, starts(found, 3)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, line := range found {
		if strings.Contains(line, "HIGH") != strings.HasSuffix(line, "no longer suppressed") {
			t.Errorf("%s", line)
		}
	}
	if got := w.blocks(t); !strings.HasPrefix(got, "a[{HIGH 2} {LOW 1}]+[{HIGH 2} {LOW 1}]-[{MEDIUM 1}] suppressed 0") {
		t.Errorf("%s", got)
	}
}

// A config that is added after the end of a suppression has findings that nobody knew. They are not new.
func TestEndOfASuppressionBeforeTheFirstVisit(t *testing.T) {
	w := newSuppressing(t)
	w.suppress("s", time.Hour, func(s *suppress.Suppression) { s.Repository = "" })
	w.advance(90 * time.Minute)
	w.registry.images["late"] = []scan.Image{{Tag: "l", Digest: "3"}}
	w.configs.set(config("1", "late"))
	w.scheduleAndVisit(t)
	w.advance(time.Hour)
	w.scheduleAndVisit(t)
	found, changed := w.entries(t, scan.Filter{})
	if len(found) != 3 {
		t.Errorf("findings %q", found)
	}
	for _, line := range append(found, changed...) {
		if strings.Contains(line, "no longer suppressed") || strings.HasPrefix(line, "NEW") {
			t.Error(line)
		}
	}
}

// If the suppressions can't be read, nothing is shown as if it were known: neither with nor without them.
func TestUnreadableSuppressions(t *testing.T) {
	w := newSuppressing(t)
	w.suppressions.err = &scan.Error{Code: scan.Unavailable, Message: "The suppressions can't be read."}
	o, err := w.Summary(t.Context(), time.Time{})
	if err != nil || scan.CodeOf(o.Reports[0].Err) != scan.Unavailable || len(o.Reports[0].Images) > 0 {
		t.Errorf("summary: %+v, %v", o.Reports, err)
	}
	if l := findings(t, w.service, "1", report.View{}); scan.CodeOf(l.Outage()) != scan.Unavailable || len(l.Entries) > 0 {
		t.Errorf("findings: %v", l.Outage())
	}
	if l, err := w.Changes(t.Context(), "1", report.View{}); err != nil || scan.CodeOf(l.Outage()) != scan.Unavailable {
		t.Errorf("changes: %v, %v", l.Outage(), err)
	}
	if v, err := w.Gate(t.Context(), "1", gate.Request{Max: scan.Critical}); err != nil || len(v.Failures) == 0 {
		t.Errorf("gate: %+v, %v", v, err)
	}
	if v, err := w.Gate(t.Context(), "1", gate.Request{Max: scan.Critical, Filter: scan.Filter{Suppressed: scan.IncludeSuppressed}}); err != nil || len(v.Failures) > 0 {
		t.Errorf("gate that judges all: %+v, %v", v, err)
	}
	if n := strings.Count(w.log.String(), "could not read the suppressions"); n != 4 {
		t.Errorf("%d lines in the log:\n%s", n, w.log)
	}
	if reports := w.scheduleAndVisit(t); len(reports) != 2 || reports[0].Outcome != rescan.VisitFailed || reports[0].Reason != "The suppressions can't be read." {
		t.Errorf("visits: %+v", reports)
	}
}

// If only the counts of an image are known, they stay as they are, and the summary says so.
func TestCountsWithoutFindings(t *testing.T) {
	w := newSuppressing(t)
	w.suppress("s", 0, nil)
	w.records.history[w.records.of("app").Images["a"].History] = &scan.Error{Code: scan.Unavailable}
	if got, want := w.blocks(t), "a[{HIGH 2} {MEDIUM 1}]+[{HIGH 1}]-[] suppressed 0 true\nb[{MEDIUM 1}]+[]-[] suppressed 2 false\no[{HIGH 2} {MEDIUM 1}]+[{HIGH 1}]-[] suppressed 0 false"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	v, err := w.Gate(t.Context(), "1", gate.Request{Max: scan.High})
	if err != nil || len(v.Failures) != 1 || v.Failures[0].Reason != string(scan.Unread) {
		t.Errorf("gate: %+v, %v", v, err)
	}
}

// The change feed tells additions, changes, deletions and coming ends of suppressions, with the reason, in the feeds of the configs that they can match.
func TestChangesOfSuppressions(t *testing.T) {
	w := newSuppressing(t)
	kinds := func(id string) (kinds []string) {
		l, err := w.Changes(t.Context(), id, report.View{})
		if id == "" {
			l, err = w.AllChanges(t.Context(), report.View{})
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range l.Changes {
			if c.Suppression != nil {
				kinds = append(kinds, strings.TrimPrefix(string(c.Kind), "SUPPRESSION ")+" "+c.Suppression.ID+" "+c.Reason)
			}
		}
		slices.Sort(kinds)
		return kinds
	}
	want := func(when string, app, all []string) {
		t.Helper()
		if got := kinds("1"); !slices.Equal(got, app) {
			t.Errorf("%s: %q, want %q", when, got, app)
		}
		if got := kinds(""); !slices.Equal(got, all) {
			t.Errorf("%s, all configs: %q, want %q", when, got, all)
		}
		if got := kinds("2"); len(got) > 0 {
			t.Errorf("%s, another repository: %q", when, got)
		}
	}
	with := func(reason, repository string) func(*suppress.Suppression) {
		return func(s *suppress.Suppression) { s.Reason, s.Repository = reason, repository }
	}
	w.suppress("a", 10*24*time.Hour, with("why", "app"))
	w.suppress("b", 24*time.Hour, with("short", "app"))
	w.suppress("c", 0, with("nobody watches it", "nobody"))
	added := []string{"ADDED a why", "ADDED b short"}
	want("added", added, append(slices.Clone(added), "ADDED c nobody watches it"))
	w.advance(3*24*time.Hour - time.Second)
	want("before the notice", added, append(slices.Clone(added), "ADDED c nobody watches it"))
	w.advance(time.Second)
	want("seven days before the end", append(slices.Clone(added), "ENDS a why"), append(slices.Clone(added), "ADDED c nobody watches it", "ENDS a why"))
	w.advance(time.Second)
	w.suppressions.all[0].Replaced = w.at.Unix()
	w.suppress("a", 0, func(s *suppress.Suppression) { s.Created, s.Updated, s.Reason = s.Created-5, w.at.Unix(), "longer" })
	w.suppressions.all[2].Deleted = w.at.Unix()
	app := []string{"ADDED a why", "ADDED b short", "CHANGED a longer", "ENDS a why"}
	w.advance(time.Second)
	slices.Sort(app)
	want("replaced and deleted", app, []string{"ADDED a why", "ADDED b short", "ADDED c nobody watches it", "CHANGED a longer", "DELETED c nobody watches it", "ENDS a why"})
	l, err := w.AllChanges(t.Context(), report.View{})
	seconds := map[time.Time]bool{}
	for _, c := range l.Changes {
		if c.Suppression != nil && seconds[c.At] {
			t.Errorf("two changes at %v", c.At)
		}
		seconds[c.At] = true
	}
	if w.advance(40 * 24 * time.Hour); err != nil || len(kinds("1")) > 0 {
		t.Errorf("after 40 days: %q, %v", kinds("1"), err)
	}
}

// A file adds many suppressions at once. They do not push what a scan found off the first page of the change feed, which is all that feed readers read. What
// a reader has keeps its id.
func TestManySuppressionsAtOnce(t *testing.T) {
	w := newSuppressing(t)
	const many = 2000
	for i := range many {
		w.suppress(fmt.Sprintf("s%04d", i), 8*24*time.Hour, func(s *suppress.Suppression) { s.Package = fmt.Sprint("unused", i) })
	}
	read := func(want ...string) map[string]time.Time {
		t.Helper()
		ids, told, findings := map[string]time.Time{}, map[string]int{}, 0
		for name, l := range map[string]func() (report.Listing, error){
			"config": func() (report.Listing, error) { return w.Changes(t.Context(), "1", report.View{}) },
			"all":    func() (report.Listing, error) { return w.AllChanges(t.Context(), report.View{}) },
		} {
			l, err := l()
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range l.Changes {
				if c.Suppression == nil {
					findings++
					continue
				}
				ids[fmt.Sprint(name, " ", c.ID())] = c.At
				told[name+" "+string(c.Kind)] += max(1, len(c.RolledUp))
			}
			for _, kind := range want {
				if n := told[name+" "+kind]; n != many {
					t.Errorf("%s: %d of %d changes of the kind %s are on the first page", name, n, many, kind)
				}
			}
		}
		if findings == 0 {
			t.Error("the change of a finding is not on the first page")
		}
		return ids
	}
	added := read("SUPPRESSION ADDED")
	w.advance(2 * 24 * time.Hour)
	for id, at := range read("SUPPRESSION ADDED", "SUPPRESSION ENDS") {
		if was, isKnown := added[id]; isKnown && !was.Equal(at) {
			t.Errorf("the date %v became %v", was, at)
		}
		delete(added, id)
	}
	if len(added) > 0 {
		t.Errorf("%d changes that a reader has are missing or have another id", len(added))
	}
	l, err := w.AllChanges(t.Context(), report.View{Filter: scan.Filter{Packages: []string{"linux"}}})
	if err != nil || slices.ContainsFunc(l.Changes, func(c history.Change) bool { return c.Suppression != nil }) {
		t.Errorf("a filter of findings lists changes of suppressions, or %v", err)
	}
}

// A feed that a client has is the same until a suppression changes what it says: when one is added, before its end, and when it ends.
func TestNotModifiedWithSuppressions(t *testing.T) {
	for name, path := range map[string]string{"findings": feedPath, "changes": feedPath + "/changes", "all findings": "/findings/all"} {
		t.Run(name, func(t *testing.T) {
			s := newUbuntuFeed(t)
			suppressions := &fakeSuppressions{}
			s.Reader.Suppressions, s.visitor.Suppressions = suppressions, suppressions
			s.advance(20 * time.Minute)
			tag := s.wantChanged(t, path, "")
			suppressions.all = []suppress.Suppression{{ID: "s", Created: s.at.Unix(), Vulnerability: "CVE-1", Reason: "why", Until: s.at.Add(10 * 24 * time.Hour)}}
			tag = s.wantChanged(t, path, tag)
			s.wantSame(t, path, tag)
			s.advance(2*24*time.Hour - time.Hour)
			s.complete("a", "CVE-1", "CVE-2") // otherwise the image is not scanned for two days, which is a change
			s.scheduleAndVisit(t)
			tag = s.wantChanged(t, path, "")
			s.wantSame(t, path, tag)
			s.advance(24*time.Hour + 2*time.Hour)
			if path == feedPath+"/changes" {
				tag = s.wantChanged(t, path, tag) // the end is announced
			}
			suppressions.all[0].Deleted = s.at.Unix()
			next := s.wantChanged(t, path, tag)
			s.advance(2 * time.Minute)
			s.scheduleAndVisit(t)
			s.wantSame(t, path, s.wantChanged(t, path, ""))
			if got, _ := s.get(path, ""); got.Header().Get("ETag") == next && path == feedPath {
				t.Log("the visit stored the same entries")
			}
		})
	}
}

// A listing has a date only when a suppression that changed it has been stored for some time. The end of a suppression changes the date.
func TestDateOfAListingWithSuppressions(t *testing.T) {
	w := newSuppressing(t)
	changed := func() time.Time { return findings(t, w.service, "2", report.View{}).Changed }
	w.configs.configs[1].Created = 1
	w.advance(time.Minute)
	before := changed()
	if before.IsZero() {
		t.Fatal("no date before")
	}
	w.suppress("s", 2*time.Minute, nil)
	w.advance(10 * time.Second)
	if got := changed(); !got.IsZero() {
		t.Errorf("10 seconds after the begin: %v", got)
	}
	w.advance(50 * time.Second)
	begun := changed()
	if !begun.After(before) {
		t.Errorf("a minute after the begin: %v, before %v", begun, before)
	}
	w.advance(2 * time.Minute)
	if got := changed(); !got.After(begun) {
		t.Errorf("after the end: %v, before %v", got, begun)
	}
}

// A tag that points to a new digest at the same time: a request that reads its result from ECR gives the same ids and dates as the visit after it.
func TestEndOfASuppressionWithANewDigest(t *testing.T) {
	w := newSuppressing(t)
	w.suppress("s", 24*time.Hour, nil)
	w.advance(24*time.Hour + 5*time.Minute)
	w.registry.images["app"][0].Digest = "9"
	w.registry.results["9"] = w.registry.results["1"]
	read, _ := w.entries(t, scan.Filter{})
	if n := strings.Count(strings.Join(read, "\n"), "no longer suppressed"); n != 4 {
		t.Errorf("%d findings came back:\n%s", n, strings.Join(read, "\n"))
	}
	w.scheduleAndVisit(t)
	if stored, _ := w.entries(t, scan.Filter{}); cmp.Diff(read, stored) != "" {
		t.Errorf("the request and the visit differ (-request +visit):\n%s", cmp.Diff(read, stored))
	}
}

// The findings of a baseline are not changes, but they are when they come back.
func TestEndOfASuppressionOfABaseline(t *testing.T) {
	w := newSuppressing(t)
	w.registry.images["fresh"] = []scan.Image{{Tag: "f", Digest: "3"}}
	w.configs.set(config("1", "fresh"))
	w.scheduleAndVisit(t)
	w.suppress("s", time.Hour, func(s *suppress.Suppression) { s.Repository = "fresh" })
	w.advance(time.Hour + time.Minute)
	_, read := w.entries(t, scan.Filter{})
	if diff := cmp.Diff([]string{"NEW f CVE-KERNEL", "NEW f CVE-NEW", "SUPPRESSION ADDED every"}, starts(read, 3)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A visit right after an end, in which the tag also moves to an image that the suppression does not match, tells the findings once: with the ids and dates of a
// request before it.
func TestVisitRightAfterAnEnd(t *testing.T) {
	w := newSuppressing(t)
	before, changesBefore := w.entries(t, scan.Filter{})
	w.suppress("s", 24*time.Hour, func(s *suppress.Suppression) { s.Digest = "1" })
	w.entries(t, scan.Filter{})
	w.advance(24*time.Hour + 10*time.Second)
	_, changesRead := w.entries(t, scan.Filter{})
	w.registry.images["app"][0].Digest = "9"
	w.registry.results["9"] = w.registry.results["1"]
	read, _ := w.entries(t, scan.Filter{})
	if diff := cmp.Diff([]string{"a HIGH CVE-KERNEL", "a HIGH CVE-NEW"}, starts(without(read, before), 3)); diff != "" {
		t.Errorf("new findings (-want +got):\n%s", diff)
	}
	for range 2 {
		w.scheduleAndVisit(t)
		stored, changesStored := w.entries(t, scan.Filter{})
		if diff := cmp.Diff(read, stored) + cmp.Diff(changesRead, changesStored); diff != "" {
			t.Errorf("the request and the visit differ (-request +visit):\n%s", diff)
		}
		if n := len(without(changesStored, changesBefore)); n != 3 { // the addition, and the two findings
			t.Errorf("%d new changes: %q", n, changesStored)
		}
		w.advance(30 * time.Minute)
	}
}

// A deletion is stored some seconds after its time. A visit that knows a later end and not the deletion does not hide it from the next one.
func TestDeletionThatIsStoredLate(t *testing.T) {
	w := newSuppressing(t)
	before, _ := w.entries(t, scan.Filter{})
	w.suppress("s", 0, func(s *suppress.Suppression) { s.Tag = "a" })
	w.suppress("later", 24*time.Hour, func(s *suppress.Suppression) { s.Tag, s.Package = "a", "openssl" })
	w.advance(24*time.Hour + 10*time.Second)
	w.scheduleAndVisit(t)
	w.suppressions.all[0].Deleted = w.at.Add(-15 * time.Second).Unix()
	w.advance(20 * time.Minute)
	for _, when := range []string{"a request", "the visit after it"} {
		got, _ := w.entries(t, scan.Filter{})
		if diff := cmp.Diff([]string{"a HIGH CVE-KERNEL", "a HIGH CVE-NEW", "a MEDIUM CVE-SSL"}, starts(without(got, before), 3)); diff != "" {
			t.Errorf("%s: new findings (-want +got):\n%s", when, diff)
		}
		w.scheduleAndVisit(t)
	}
}

// A finding that leaves a suppression without an end is told as new, once: because the tag moves to another image or index, or because the package has another
// version. What else happened while it was suppressed stays hidden.
func TestFindingThatASuppressionNoLongerMatches(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*suppress.Suppression)
		move   func(*scan.Image, *scan.Result)
	}{
		"another digest":                  {func(s *suppress.Suppression) { s.Digest = "1" }, func(i *scan.Image, _ *scan.Result) { i.Digest = "9" }},
		"another index":                   {func(s *suppress.Suppression) { s.Digest = "index" }, func(i *scan.Image, _ *scan.Result) { i.Digest, i.Index = "9", "other" }},
		"the same image in another index": {func(s *suppress.Suppression) { s.Digest = "index" }, func(i *scan.Image, _ *scan.Result) { i.Index = "other" }},
		"another version": {func(s *suppress.Suppression) { s.Version = "1" }, func(_ *scan.Image, r *scan.Result) {
			for i := range r.Findings {
				r.Findings[i].Versions = []string{"2"}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSuppressing(t)
			before, changesBefore := w.entries(t, scan.Filter{})
			image := &w.registry.images["app"][0]
			image.Index = "index"
			scanned := func(names ...string) scan.Result {
				r := completed(w.service, time.Minute, scan.Counts{scan.High: len(names)})
				for _, name := range names {
					r.Findings = append(r.Findings, scan.Finding{Name: name, Package: "linux", Versions: []string{"1"}, Severity: scan.High})
				}
				return r
			}
			w.suppress("s", 0, func(s *suppress.Suppression) { s.Tag = "a"; test.change(s) })
			w.advance(24 * time.Hour)
			w.registry.results["1"] = scanned("CVE-KERNEL", "CVE-NEW", "CVE-HIDDEN", "CVE-GONE")
			w.scheduleAndVisit(t)
			w.advance(24 * time.Hour)
			r := scanned("CVE-KERNEL", "CVE-NEW", "CVE-HIDDEN", "CVE-LATE")
			test.move(image, &r)
			w.registry.results[image.Digest] = r
			read, _ := w.entries(t, scan.Filter{})
			w.advance(time.Minute)
			for range 2 {
				w.scheduleAndVisit(t)
				stored, changed := w.entries(t, scan.Filter{})
				if diff := cmp.Diff(read, stored); diff != "" && image.Digest != "1" { // a request does not read a recorded result again
					t.Errorf("the request and the visit differ (-request +visit):\n%s", diff)
				}
				want := []string{"a HIGH CVE-HIDDEN", "a HIGH CVE-KERNEL", "a HIGH CVE-LATE", "a HIGH CVE-NEW"}
				if got := slices.DeleteFunc(starts(without(stored, before), 3), func(s string) bool { return strings.HasPrefix(s, "a MEDIUM") }); cmp.Diff(want, got) != "" {
					t.Errorf("new findings (-want +got):\n%s", cmp.Diff(want, got))
				}
				want = []string{"NEW a CVE-HIDDEN", "NEW a CVE-KERNEL", "NEW a CVE-LATE", "NEW a CVE-NEW"}
				got := slices.DeleteFunc(starts(without(changed, changesBefore), 3), func(s string) bool { return !strings.HasPrefix(s, "NEW") && !strings.HasSuffix(s, "CVE-GONE") })
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("new changes (-want +got):\n%s", diff)
				}
				w.advance(time.Hour)
			}
		})
	}
}

// While a tag points to an image that is not scanned yet, what happened to the findings of the image before stays hidden. So it does after the tag is deleted.
func TestHiddenChangesOfAnEarlierImage(t *testing.T) {
	for name, move := range map[string]func(*suppressing){
		"another image": func(w *suppressing) { w.registry.images["app"][0].Digest = "not scanned" },
		"no image":      func(w *suppressing) { w.registry.images["app"] = w.registry.images["app"][1:] },
	} {
		t.Run(name, func(t *testing.T) {
			w := newSuppressing(t)
			w.suppress("s", 0, func(s *suppress.Suppression) { s.Digest = "1" })
			w.advance(time.Hour)
			move(w)
			w.scheduleAndVisit(t)
			if _, changed := w.entries(t, scan.Filter{}); strings.Contains(strings.Join(changed, "\n"), "NEW a ") {
				t.Errorf("%q", changed)
			}
		})
	}
}

// A visit that can't read the suppressions right after an end records no scan: later nobody could tell what came back at the end, and what the scan changed. So a
// finding whose severity rose in this scan is told twice, with two ids.
func TestScanWhileTheSuppressionsCantBeRead(t *testing.T) {
	w := newSuppressing(t)
	w.suppress("s", 23*time.Hour, nil)
	w.advance(23*time.Hour + time.Minute)
	cameBack, toldBack := w.entries(t, scan.Filter{})
	w.advance(time.Hour)
	result := completed(w.service, time.Minute, scan.Counts{scan.Critical: 1})
	result.Findings = []scan.Finding{{Name: "CVE-KERNEL", Package: "linux", Severity: scan.Critical}}
	w.registry.results["1"] = result
	w.suppressions.err = &scan.Error{Code: scan.Unavailable, Message: "no suppressions"}
	saves, reports := w.records.saves, w.scheduleAndVisit(t)
	if w.records.saves != saves || reports[0].Outcome != rescan.VisitFailed || reports[0].Reason != "no suppressions" || reports[0].Recent == 0 {
		t.Errorf("%d saves, %+v", w.records.saves-saves, reports[0])
	}
	w.suppressions.err = nil
	for range 2 {
		w.advance(time.Hour)
		w.scheduleAndVisit(t)
		found, told := w.entries(t, scan.Filter{})
		if diff := cmp.Diff([]string{"a CRITICAL CVE-KERNEL", "a HIGH CVE-KERNEL", "a HIGH CVE-NEW"}, starts(slices.DeleteFunc(without(found, cameBack), func(s string) bool { return strings.Contains(s, "SSL") }), 3)); diff != "" {
			t.Errorf("new and changed findings (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"FIXED a CVE-NEW", "FIXED a CVE-SSL", "SEVERITY RAISED a"}, starts(without(told, toldBack), 3)); diff != "" {
			t.Errorf("new changes (-want +got):\n%s", diff)
		}
		if lost := without(toldBack, told); len(lost) > 0 {
			t.Errorf("changes that are no longer told: %q", lost)
		}
	}
}

// A record that was rebuilt does not know which ends are in the histories. Nothing is told again.
func TestEndsOfARebuiltRecord(t *testing.T) {
	w := newSuppressing(t)
	w.suppress("s", time.Hour, nil)
	w.advance(2 * time.Hour)
	w.scheduleAndVisit(t)
	w.advance(23 * time.Hour)
	r := completed(w.service, time.Minute, scan.Counts{scan.High: 1})
	r.Findings = []scan.Finding{{Name: "CVE-KERNEL", Package: "linux", Severity: scan.High}}
	w.registry.results["1"] = r
	w.scheduleAndVisit(t)
	found, changed := w.entries(t, scan.Filter{})
	repo := config("1", "app").Repo()
	rebuilt := w.records.records[repo]
	rebuilt.Returned = 0
	w.records.records[repo] = rebuilt
	for range 2 {
		nowFound, nowChanged := w.entries(t, scan.Filter{})
		if diff := cmp.Diff(found, nowFound) + cmp.Diff(changed, nowChanged); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
		w.advance(30 * time.Minute)
		w.scheduleAndVisit(t)
	}
}
