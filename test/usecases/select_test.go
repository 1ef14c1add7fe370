package usecases

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

const day = 24 * time.Hour

// shop is a service with one repository whose images are pushed, pulled and deleted.
type shop struct {
	*service
	t *testing.T
}

func newShop(t *testing.T, configs ...scan.Config) *shop {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {}}, results: map[string]scan.Result{}}
	return &shop{newService(r, configs...), t}
}

// push adds an image, pushed now. ECR scanned it on push.
func (s *shop) push(tags ...string) {
	for _, tag := range tags {
		s.advance(time.Second)
		digest := tag
		if !scan.IsUntagged(tag) {
			digest = "sha256:" + tag
		}
		s.registry.images["app"] = append(s.registry.images["app"], scan.Image{Tag: tag, Digest: digest, PushedAt: s.at})
		s.scan(tag)
	}
}

// scan completes a scan of an image, with a finding of this moment.
func (s *shop) scan(tags ...string) {
	for _, i := range s.registry.images["app"] {
		if slices.Contains(tags, i.Tag) {
			s.registry.results[i.Digest] = scan.Result{
				State: scan.Completed, CompletedAt: s.at, Counts: scan.Counts{scan.High: 1}, Findings: []scan.Finding{{Name: fmt.Sprint("CVE-", s.at.Unix()), Severity: scan.High}},
			}
		}
	}
}

func (s *shop) remove(tags ...string) {
	s.registry.images["app"] = slices.DeleteFunc(s.registry.images["app"], func(i scan.Image) bool { return slices.Contains(tags, i.Tag) })
}

func (s *shop) pull(tag string) {
	for n := range s.registry.images["app"] {
		if i := &s.registry.images["app"][n]; i.Tag == tag {
			i.LastPulled = s.at
		}
	}
}

// checkScans visits, and checks whose results were read or whose scans were started.
func (s *shop) checkScans(want string, ids ...string) {
	s.t.Helper()
	s.registry.takeCalls()
	s.advance(time.Minute)
	handled := make(map[string]bool)
	s.visit(s.t, "app", ids...)
	for call := range s.registry.takeCalls() {
		if kind, digest, _ := strings.Cut(call, " "); kind == "result" || kind == "start" {
			handled[strings.TrimPrefix(digest, "sha256:")] = true
		}
	}
	if got := strings.Join(slices.Sorted(maps.Keys(handled)), " "); got != want {
		s.t.Errorf("results were read or scans were started of %q, want %q", got, want)
	}
}

// check checks the images that the summary shows of a config, and the changes that its feed lists.
func (s *shop) check(id, images string, changes ...string) report.Report {
	s.t.Helper()
	overview, err := s.Summary(s.t.Context(), time.Time{})
	if err != nil {
		s.t.Fatal(err)
	}
	var of report.Report
	var shown []string
	for _, r := range overview.Reports {
		if r.Config.ID != id {
			continue
		}
		of = r
		for _, i := range r.Images {
			text := i.Image.Label()
			if i.Result.State != scan.Completed {
				text += "=" + string(i.Result.State)
			}
			shown = append(shown, text)
		}
	}
	if got := strings.Join(shown, " "); got != images || of.Err != nil {
		s.t.Errorf("config %s has the images %q, want %q; error %v", id, got, images, of.Err)
	}
	if got := s.told(id); !slices.Equal(got, changes) {
		s.t.Errorf("config %s has the changes %q, want %q", id, got, changes)
	}
	return of
}

// told returns the changes that are not about findings, oldest first.
func (s *shop) told(id string) []string {
	s.t.Helper()
	l, err := s.Changes(s.t.Context(), id, report.View{})
	if err != nil {
		s.t.Fatal(err)
	}
	var told []string
	for _, c := range slices.Backward(l.Changes) {
		if c.Finding.Name == "" {
			told = append(told, fmt.Sprint(c.Kind, " ", c.Image.Label()))
		}
	}
	return told
}

func newest(id string, n int, tags ...string) scan.Config {
	c := config(id, "app", tags...)
	c.Newest = n
	return c
}

func used(c scan.Config, used string) scan.Config {
	c.Used = used
	return c
}

// Images leave the newest and return: nothing is told of the time between, and their histories continue.
func TestTheNewestImages(t *testing.T) {
	s := newShop(t, newest("1", 2))
	s.push("v1", "v2", "v3")
	s.checkScans("v2 v3", "1")
	if r := s.check("1", "v2 v3"); r.Older != 1 {
		t.Errorf("%d images are older", r.Older)
	}
	if n := len(s.records.of("app").Images); n != 2 {
		t.Errorf("the record has %d images that nobody watched", n)
	}
	since := s.records.of("app").Images["v2"].Since
	for range 9 {
		s.advance(25 * time.Hour)
		s.scan("v2", "v3")
		s.checkScans("v2 v3", "1")
	}
	s.push("v4")
	s.advance(time.Hour)
	s.checkScans("v4", "1")
	s.check("1", "v3 v4")
	for range 10 {
		s.advance(day + time.Hour)
		s.scan("v3", "v4")
		s.checkScans("v3 v4", "1")
	}
	s.check("1", "v3 v4")
	s.remove("v3")
	s.advance(time.Hour)
	s.checkScans("v2", "1")
	r := s.check("1", "v2 v4", "TAG GONE v3")
	if r.Images[0].KnownSince != since.Time() || r.Older != 1 {
		t.Errorf("v2 is known since %v, want %v; %d images are older", r.Images[0].KnownSince, since.Time(), r.Older)
	}
	s.advance(25 * time.Hour)
	s.scan("v2", "v4")
	s.checkScans("v2 v4", "1")
	s.check("1", "v2 v4", "TAG GONE v3")
	s.remove("v1") // nobody watched it
	s.push("v5")
	s.checkScans("v5", "1")
	s.remove("v2") // nobody watches it any more
	s.advance(time.Hour)
	s.checkScans("", "1")
	s.check("1", "v4 v5")
	s.configs.set(newest("1", 9))
	s.check("1", "v4 v5", "TAG GONE v3") // v2 was not watched when it was deleted
}

// An image that is not watched when its scans would be missing is not told, also if it returns later.
func TestNoGapIsToldOfTheTimeWithoutAConfig(t *testing.T) {
	s := newShop(t, newest("1", 1))
	s.push("v1")
	s.checkScans("v1", "1")
	s.push("v2")
	s.checkScans("v2", "1")
	for range 5 {
		s.advance(25 * time.Hour)
		s.scan("v2")
		s.checkScans("v2", "1")
	}
	s.configs.set(newest("1", 2))
	s.check("1", "v1 v2") // a read before the visit
	s.configs.set(newest("1", 1))
	s.remove("v2")
	s.advance(time.Hour)
	s.check("1", "v1")
	s.checkScans("v1", "1")
	s.advance(47 * time.Hour)
	s.check("1", "v1", "TAG GONE v2")
	s.advance(2 * time.Hour)
	s.check("1", "v1", "TAG GONE v2", "NOT SCANNED v1")
}

// A problem that lasts when an image leaves the watched ones is not told after that.
func TestProblemsEndWhenNobodyWatches(t *testing.T) {
	s := newShop(t, newest("1", 1), newest("2", 5))
	s.push("v1")
	s.checkScans("v1", "1")
	s.advance(3 * day)
	s.checkScans("v1", "1")
	s.check("1", "v1", "NOT SCANNED v1")
	s.push("v2")
	s.configs.set(newest("1", 1))
	s.advance(time.Hour)
	s.checkScans("v2", "1")
	s.check("1", "v2")
	for range 5 {
		s.advance(25 * time.Hour)
		s.scan("v2")
		s.checkScans("v2", "1")
	}
	s.configs.set(newest("1", 2))
	s.checkScans("v1", "1")
	if got := s.told("1"); !slices.Equal(got, []string{"NOT SCANNED v1"}) {
		t.Errorf("changes %q", got)
	}
}

func TestUsedImages(t *testing.T) {
	s := newShop(t, used(config("1", "app"), "5d"))
	s.push("old")
	s.advance(6 * day)
	s.push("new")
	s.checkScans("new", "1")
	if r := s.check("1", "new"); r.Unused != 1 || r.Older != 0 {
		t.Errorf("%d images are unused, %d older", r.Unused, r.Older)
	}
	s.pull("old")
	s.checkScans("old", "1")
	s.check("1", "new old")
	for range 4 {
		s.advance(25 * time.Hour)
		s.scan("new", "old")
		s.checkScans("new old", "1")
	}
	s.advance(26 * time.Hour)
	s.checkScans("old", "1")
	s.scan("old")
	s.advance(15 * time.Hour) // ECR can record the pull one day late
	s.check("1", "old")
	s.advance(4 * time.Hour)
	if r := s.check("1", ""); r.Unused != 2 || r.Condition().State != report.NoImages {
		t.Errorf("%d images are unused, %+v", r.Unused, r.Condition())
	}
	s.checkScans("", "1")
	s.remove("old")
	s.checkScans("", "1")
	s.check("1", "")
}

// With enhanced scanning, an image that runs is used.
func TestRunningImagesAreUsed(t *testing.T) {
	s := newShop(t, used(config("1", "app"), "5d"))
	s.push("a", "b")
	enhanced := func(tag string, inUse time.Time) {
		result := s.registry.results["sha256:"+tag]
		result.Enhanced, result.LastInUse = true, inUse
		s.registry.results["sha256:"+tag] = result
	}
	enhanced("a", time.Time{})
	enhanced("b", time.Time{})
	s.checkScans("a b", "1")
	s.advance(4 * day)
	enhanced("a", s.at)
	s.checkScans("a b", "1")
	s.advance(4 * day)
	s.check("1", "a")
}

// The newest are counted before the used ones, and the record knows those of the newest that nobody uses.
func TestNewestAndUsed(t *testing.T) {
	s := newShop(t, used(newest("1", 2), "5d"))
	s.push("v1", "v2")
	s.advance(6 * day)
	s.push("v3")
	s.pull("v1") // it is not one of the newest
	s.checkScans("v3", "1")
	if r := s.check("1", "v3"); r.Unused != 1 || r.Older != 1 {
		t.Errorf("%d images are unused, %d older", r.Unused, r.Older)
	}
	s.push("v4")
	s.checkScans("v4", "1")
	s.check("1", "v3 v4")
	s.remove("v4")
	s.advance(time.Hour)
	s.checkScans("", "1")
	if r := s.check("1", "v3", "TAG GONE v4"); r.Unused != 1 || r.Older != 1 {
		t.Errorf("%d images are unused, %d older", r.Unused, r.Older)
	}
}

// Two configs select different images of one repository. Each image is scanned once, and each config has its own.
func TestConfigsWithDifferentSelections(t *testing.T) {
	s := newShop(t, newest("1", 1, "v*"), newest("2", 2), config("3", "app", "old"))
	s.push("old", "v1", "v2", "x")
	s.checkScans("old v2 x", "1", "2", "3")
	s.check("1", "v2")
	s.check("2", "v2 x")
	s.check("3", "old")
	s.remove("v2")
	s.advance(time.Hour)
	s.checkScans("v1", "1", "2", "3")
	s.check("1", "v1", "TAG GONE v2")
	s.check("2", "v1 x", "TAG GONE v2")
	s.check("3", "old")
	s.remove("x")
	s.advance(time.Hour)
	s.checkScans("", "1", "2", "3")
	s.check("1", "v1", "TAG GONE v2")
	s.check("2", "old v1", "TAG GONE v2", "TAG GONE x")
}

// A config that can't be read keeps what it watched, and nothing else is watched for it.
func TestAnUnreadableConfigKeepsItsSelection(t *testing.T) {
	s := newShop(t, newest("1", 1, "v*"), newest("2", 1, "w*"))
	s.push("v1", "w1")
	s.checkScans("v1 w1", "1", "2")
	s.push("v2", "w2")
	s.checkScans("v2 w2", "1", "2")
	s.configs.refused = map[string]error{"2": &scan.Error{Code: scan.Unavailable}}
	s.advance(25 * time.Hour)
	s.push("v3", "w3")
	s.checkScans("v2 v3 w2", "1", "2") // the other config can watch v2
	s.configs.refused = nil
	s.checkScans("w3", "1", "2")
	s.check("1", "v3")
	s.check("2", "w3")
}

// A named tag is not "not found" because it is too old. Patterns without a match are not an error.
func TestNamedTags(t *testing.T) {
	s := newShop(t, newest("1", 1, "a", "b", "v*"), config("2", "app", "none*"), used(config("3", "app", "a", "b"), "2d"))
	s.push("a")
	s.advance(3 * day)
	s.push("v1")
	s.check("1", "b=tag not found v1")
	s.checkScans("v1", "1", "2", "3")
	s.check("1", "b=tag not found v1")
	if r := s.check("2", ""); r.Condition().State != report.NoImages {
		t.Errorf("%+v", r.Condition())
	}
	s.check("3", "b=tag not found")
	report := s.visit(t, "app", "1", "2", "3")
	if report.Images != 2 || report.Failed["tag not found"] != 1 {
		t.Errorf("tally %+v", report.Tally)
	}
}

// A config that is replaced is read with what it selects now, although the record is fresh, and an outdated message visits it.
func TestAReplacedSelection(t *testing.T) {
	s := newShop(t, newest("1", 1))
	s.push("v1", "v2", "v3")
	sent := s.message("app", "1")
	s.checkScans("v3", "1")
	s.configs.set(newest("1", 2))
	s.check("1", "v2 v3")
	if report := s.visitor.Visit(t.Context(), sent); report.Outcome != "ended" || report.Images != 2 {
		t.Errorf("%+v", report)
	}
	s.check("1", "v2 v3")
	if report := s.visitor.Visit(t.Context(), sent); report.Outcome != "dropped" {
		t.Errorf("%+v", report)
	}
	s.configs.set(config("1", "app"))
	s.checkScans("v1", "1")
	s.check("1", "v1 v2 v3")
	s.configs.set(config("1", "app", "v3"))
	s.checkScans("", "1")
	if n := len(s.records.of("app").Images); n != 1 {
		t.Errorf("the record has %d images", n)
	}
}

// An image without a tag has its digest as the tag. When it gets a tag, it is the image of the tag.
func TestUntaggedImages(t *testing.T) {
	all, tagged := config("1", "app"), config("2", "app")
	all.Untagged = true
	s := newShop(t, all, tagged)
	s.registry.notWatched = new(2)
	s.push("v1", "sha256:aa", "sha256:bb")
	s.checkScans("aa bb v1", "1", "2")
	s.check("1", "sha256:aa sha256:bb v1")
	if r := s.check("2", "v1"); r.NotWatched == nil || *r.NotWatched != 2 {
		t.Errorf("%v images are not watched", r.NotWatched)
	}
	s.remove("sha256:bb")
	s.registry.images["app"][1].Tag = "v2"
	s.advance(time.Hour)
	s.checkScans("aa", "1", "2") // for the tag
	s.check("1", "v1 v2", "TAG GONE sha256:bb")
	s.check("2", "v1 v2")
	s.push("sha256:cc", "sha256:part") // an index is pushed after its parts
	s.checkScans("cc part", "1", "2")
	s.remove("sha256:part")
	s.registry.parts = map[string]bool{"sha256:part": true}
	s.advance(time.Hour)
	s.checkScans("", "1", "2")
	s.registry.notWatched = nil // ECR can't tell which are parts of an index
	s.registry.images["app"] = s.registry.images["app"][:2]
	s.advance(time.Hour)
	s.checkScans("", "1", "2")
	s.check("1", "sha256:cc v1 v2", "TAG GONE sha256:bb")
	s.configs.set(tagged)
	s.checkScans("", "2")
	if n := len(s.records.of("app").Images); n != 2 {
		t.Errorf("the record has %d images", n)
	}
}

// A config with the pattern * watches, shows and counts the same as one without tags.
func TestAllTagsAsAPattern(t *testing.T) {
	for name, change := range map[string]func(*scan.Config){
		"plain": func(*scan.Config) {}, "untagged": func(c *scan.Config) { c.Untagged = true }, "newest": func(c *scan.Config) { c.Newest = 1 }, "used": func(c *scan.Config) { c.Used = "30d" },
	} {
		r := registryOf("app")
		r.notWatched = new(3)
		r.images["app"] = []scan.Image{
			{Tag: "v1", Digest: "1", PushedAt: created}, {Tag: "v2", Digest: "2", PushedAt: created.Add(time.Hour)}, {Tag: "sha256:3", Digest: "sha256:3", PushedAt: created},
			{Tag: "signature", Digest: "4", Kind: scan.Artifact, PushedAt: created},
		}
		none, all := config("1", "app"), config("2", "app", "*")
		change(&none)
		change(&all)
		if !none.WatchesSame(all) {
			t.Errorf("%s: the configs do not watch the same", name)
		}
		w := newService(r, none, all)
		for _, when := range []string{"before a visit", "after it", "after a tag is gone"} {
			o, err := w.Summary(t.Context(), time.Time{})
			if err != nil || len(o.Reports) != 2 {
				t.Fatalf("%s, %s: %v", name, when, err)
			}
			a, b := o.Reports[0], o.Reports[1]
			a.Config, b.Config = scan.Config{}, scan.Config{}
			if diff := cmp.Diff(a, b, cmpopts.IgnoreUnexported(report.Report{}, report.Item{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s, %s (-without tags +with *):\n%s", name, when, diff)
			}
			if when == "after it" {
				r.images["app"] = r.images["app"][1:]
			}
			w.advance(time.Hour)
			w.scheduleAndVisit(t)
		}
	}
}
