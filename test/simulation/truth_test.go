package simulation

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mmcdole/gofeed/atom"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/awstest"
)

// truth is what a reader may expect to read of a build. It follows from what the build's team did and from what ECR
// showed when the service called it. It knows nothing of records and histories.
type truth struct {
	name     string    // in the feeds, with the platform as it was first listed
	first    time.Time // when the service first met it
	told     string    // the change that was told because there is no image, or empty
	scan     *scanned  // the last scan that ECR showed
	of       string    // the digest of that scan
	known    content
	gone     map[findingKey]string // severities of resolved findings
	episodes map[findingKey]int
	past     []pastEpisode
	changes  []toldChange
}

// toldChange is a change that must be told exactly once, between two times.
type toldChange struct {
	kind, image, finding, severity string
	from, to                       time.Time
}

func (c toldChange) String() string {
	return strings.TrimSpace(fmt.Sprintf("[%s] %s %s of image %s", c.kind, c.severity, c.finding, c.image))
}

// endings are the names of the changes that end what another change began.
var endings = map[string]string{
	"SCANNED AGAIN": "NOT SCANNED", "SCAN RECOVERED": "SCAN FAILED", "REPOSITORY BACK": "REPOSITORY GONE", "TAG BACK": "TAG GONE",
	"PLATFORM BACK": "PLATFORM GONE", "RESTORED": "ARCHIVED", "IMAGE AGAIN": "NOT AN IMAGE", "INDEX READABLE": "INDEX UNREADABLE",
}

func endOf(beginning string) string {
	for end, begin := range endings {
		if begin == beginning {
			return end
		}
	}
	return ""
}

// observe is called when the service reads ECR. It adds what happened since the last time.
func (w *oddWorld) observe() {
	now := w.Now()
	for _, b := range w.builds {
		b.observe(w, now)
	}
}

func (b *build) observe(w *oddWorld, now time.Time) {
	t := &b.truth
	if b.image == nil {
		if t.scan != nil && t.told == "" {
			t.told = b.absence
			t.tell(b.subject(), t.told, now, now)
		}
		return
	}
	if t.name == "" {
		t.name, t.first, t.gone, t.episodes = b.repo.Name+":"+b.tag+w.labelOf(b), now, map[findingKey]string{}, map[findingKey]int{}
	}
	if t.told != "" {
		t.tell(b.subject(), endOf(t.told), now, now)
		t.told = ""
	}
	if s := w.resultOf(b.image); s != nil && (s.enhanced || t.scan == nil || t.of != b.image.digest || !t.scan.at.Equal(s.at)) {
		t.addScan(b.image.digest, s, now)
	}
}

// subject returns what a change of the build's existence is about.
func (b *build) subject() string {
	if b.truth.told == "REPOSITORY GONE" {
		return b.repo.Name
	}
	return b.truth.name
}

func (t *truth) tell(image, kind string, from, to time.Time) {
	t.changes = append(t.changes, toldChange{kind: kind, image: image, from: from.Add(-slack), to: to.Add(slack)})
}

// labelOf returns how a platform that is listed for the first time is named in titles.
func (w *oddWorld) labelOf(b *build) string {
	name, version, _ := strings.Cut(b.platform, " ")
	switch {
	case b.tag == "twins":
		name += " " + strings.TrimPrefix(b.image.digest, "sha256:")[:12]
	case version != "":
		name += " " + version[:strings.LastIndex(version, ".")]
	case b.tag == "late" && name == "":
		name = "no platform"
	}
	if name == "" {
		return ""
	}
	return " (" + name + ")"
}

// addScan adds what the completed scan of a digest tells. The first one tells nothing.
func (t *truth) addScan(digest string, s *scanned, now time.Time) {
	from := s.at
	if t.scan != nil {
		for f, is := range s.found {
			was, present := t.known[f]
			switch _, resolved := t.gone[f]; {
			case !present:
				if resolved {
					t.past = append(t.past, pastEpisode{findingKey: f, number: t.episodes[f], severity: t.gone[f]})
					t.episodes[f]++
				}
				t.add("NEW", f, is.severity, from, now)
			case rank(is.severity) > rank(was.severity):
				t.past = append(t.past, pastEpisode{findingKey: f, number: t.episodes[f], severity: was.severity, raisedTo: is.severity})
				t.episodes[f]++
				t.add("SEVERITY RAISED", f, is.severity, from, now)
			case rank(is.severity) < rank(was.severity):
				t.add("SEVERITY LOWERED", f, is.severity, from, now)
			}
			delete(t.gone, f)
		}
		for f, was := range t.known {
			if _, present := s.found[f]; !present {
				t.gone[f] = was.severity
				t.add("FIXED", f, was.severity, from, now)
			}
		}
	}
	t.scan, t.of, t.known = s, digest, maps.Clone(s.found)
}

func (t *truth) add(kind string, f findingKey, severity string, from, to time.Time) {
	if t.scan.at.Before(from) {
		from = t.scan.at
	}
	t.changes = append(t.changes, toldChange{kind, t.name, f.name, severity, from.Add(-slack), to.Add(slack)})
}

// watch is a config of the odd world.
type watch struct {
	repo ecr.RepositoryID
	tags []string // all tags if empty
	feed string
}

func (s watch) covers(b *build) bool {
	return b.repo == s.repo && (len(s.tags) == 0 || slices.Contains(s.tags, b.tag))
}

// changeForms are the titles of changes. Each has the image or the repository, and those of findings the severity and
// the vulnerability.
var changeForms = []*regexp.Regexp{
	regexp.MustCompile(`^\[(?P<kind>NEW|SEVERITY RAISED|SEVERITY LOWERED)\] \[(?P<severity>\w+)\] in image (?P<image>.+) found (?P<finding>(?:CVE|RHSA)-\S+?)(?: in \S+)?(?:, was \w+)?$`),
	regexp.MustCompile(`^\[(?P<kind>FIXED)\] \[(?P<severity>\w+)\] in image (?P<image>.+): (?P<finding>(?:CVE|RHSA)-\S+)(?: in \S+)? is no longer found$`),
	regexp.MustCompile(`^\[(?P<kind>FIX AVAILABLE)\] \[(?P<severity>\w+)\] in image (?P<image>.+) for (?P<finding>(?:CVE|RHSA)-\S+)(?: in \S+)?$`),
	regexp.MustCompile(`^\[(?P<kind>REPOSITORY [A-Z]+)\] .* (?P<image>[a-z]+/\S+) in .*$`),
	regexp.MustCompile(`^\[(?P<kind>[A-Z ]+)\] [^/]*?(?P<image>[a-z]+/[^ ,:]+:[^ ,]+(?: \([^)]*\))?).*$`),
}

// toldChanges returns the changes in the entries of a feed, oldest first.
func (r *reader) toldChanges(what string, entries []*atom.Entry) []toldChange {
	var all []toldChange
	for _, one := range r.changesOf(entries) {
		c := toldChange{from: one.at, to: one.at}
		for _, form := range changeForms {
			m := form.FindStringSubmatch(one.title)
			if m == nil {
				continue
			}
			for i, group := range form.SubexpNames() {
				if p := map[string]*string{"kind": &c.kind, "severity": &c.severity, "image": &c.image, "finding": &c.finding}[group]; p != nil {
					*p = m[i]
				}
			}
			break
		}
		if c.kind == "" {
			r.Errorf("%s: unknown change %q", what, one.title)
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b toldChange) int { return a.from.Compare(b.from) })
	return all
}

// checkEnds checks that each change that ends something follows the change that began it.
func (r *reader) checkEnds(what string, told []toldChange) {
	open := make(map[string]int)
	for _, c := range told {
		if _, isEnd := endings[c.kind]; !isEnd {
			open[c.kind+c.image]++
		}
		if began, isEnd := endings[c.kind]; isEnd {
			if open[began+c.image] == 0 {
				r.Errorf("%s: %v of %s has no beginning", what, c, c.from.UTC().Format(time.RFC3339))
			}
			open[began+c.image] = 0
		}
	}
}

// checkTruth checks that a feed of changes tells everything that happened to some builds once, and nothing else.
func (r *reader) checkTruth(what string, builds []*build, entries []*atom.Entry) {
	r.Helper()
	told := r.toldChanges(what, entries)
	r.checkEnds(what, told)
	first := make(map[string]time.Time)
	var happened []toldChange
	for _, b := range builds {
		happened = append(happened, b.truth.changes...)
		first[b.truth.name], first[b.repo.Name] = b.truth.first, b.truth.first
	}
	for _, c := range told {
		if met, known := first[c.image]; !known || c.from.Before(met.Add(-slack)) {
			r.Errorf("%s: %v of %s is from before %v, when the image was first met", what, c, c.from.UTC().Format(time.RFC3339), met.UTC())
		}
	}
	for _, want := range happened {
		at := slices.IndexFunc(told, func(c toldChange) bool {
			return c.kind == want.kind && c.image == want.image && c.finding == want.finding && c.severity == want.severity && !c.from.Before(want.from) && !c.from.After(want.to)
		})
		if at < 0 {
			r.Errorf("%s: %v was not told between %s and %s", what, want, want.from.UTC().Format(time.RFC3339), want.to.UTC().Format(time.RFC3339))
			continue
		}
		told = slices.Delete(told, at, at+1)
		r.compared++
	}
	for _, c := range told {
		r.Errorf("%s: %v of %s did not happen or was told twice", what, c, c.from.UTC().Format(time.RFC3339))
	}
}

// checkFindings checks that a feed of findings lists what the last scans of some builds found and what they no longer
// found, and that its ids stay.
func (r *reader) checkFindings(feed string, builds []*build, now time.Time) {
	r.Helper()
	var want []expectedEntry
	for _, b := range builds {
		t := b.truth
		if b.image == nil || t.of != b.image.digest {
			continue
		}
		add := func(f findingKey, episode int, form string, values ...any) {
			want = append(want, expectedEntry{title: fmt.Sprintf(form, values...), finding: fmt.Sprint(t.name, f), episode: episode})
		}
		for f, is := range t.known {
			add(f, t.episodes[f], "[%s] in image %s found %s", is.severity, t.name, f.name)
		}
		for f, severity := range t.gone {
			add(f, t.episodes[f], "[RESOLVED] [%s] in image %s found %s", severity, t.name, f.name)
		}
		for _, e := range t.past {
			title := fmt.Sprintf("[RESOLVED] [%s] in image %s found %s", e.severity, t.name, e.name)
			if e.raisedTo != "" {
				title += " (now " + e.raisedTo + ")"
			}
			add(e.findingKey, e.number, "%s", title)
		}
	}
	r.compareEntries(feed, want, now)
}

// oddMonths is the number of simulated months with images of all shapes: with basic and with enhanced scanning.
const oddMonths = 2

// The feeds of a month tell what happened, whatever the shapes of the images are.
func TestOddMonth(t *testing.T) {
	few := uint64(oddMonths)
	if testing.Short() {
		few = 1
	}
	for seed := range few {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			oddMonth(t, seed)
		})
	}
}

func oddMonth(t *testing.T, seed uint64) {
	w := newOddWorld(t, seed)
	service := awstest.NewService(awstest.Config(w.S3URL), awstest.Config(w.ECRURL), w.Now, awstest.Silent())
	service.Queue.Now = w.Now
	visit := func() {
		if _, err := service.ScheduleAndVisit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r := newReader(t, service)
	watches := []watch{
		{repo: odd}, {repo: odd, tags: []string{"spelling", "single", "windows", "arch2", "twins", "ghost"}}, {repo: later}, {repo: never},
	}
	for i := range watches {
		watches[i].feed = r.addConfig(watches[i].repo.Name, watches[i].tags...)
	}
	for round := range 29 * 2 {
		w.Advance(12*time.Hour + time.Duration(1+w.random.IntN(9))*time.Minute)
		if round%19 == 18 {
			endOutage := w.ECR.InjectFault(awslocal.Fault{Status: 501})
			visit()
			endOutage()
			w.Advance(3 * time.Hour)
		}
		w.change(round)
		w.observe()
		visit()
		if round%6 == 5 {
			w.read(r, watches)
		}
		w.Advance(2 * scanTime)
		w.recordScans()
		if t.Failed() {
			t.FailNow()
		}
	}
	r.readChanges("/changes", w.Now())
	r.checkTruth("/changes", w.builds, r.all("/changes"))
	for _, s := range watches {
		r.readChanges(s.feed+"/changes", w.Now())
		r.checkTruth(s.feed+"/changes", w.watched(s), r.all(s.feed+"/changes"))
	}
	kinds := make(map[string]int)
	for _, b := range w.builds {
		for _, c := range b.truth.changes {
			kinds[c.kind]++
		}
	}
	t.Logf("%v, %d comparisons", kinds, r.compared)
}

func (w *oddWorld) watched(s watch) []*build {
	return slices.DeleteFunc(slices.Clone(w.builds), func(b *build) bool { return !s.covers(b) })
}

// read reads the feeds, as a reader does every third day.
func (w *oddWorld) read(r *reader, watches []watch) {
	r.readChanges("/changes", w.Now())
	r.checkTruth("/changes", w.builds, r.all("/changes"))
	for _, s := range watches {
		r.checkFindings(s.feed, w.watched(s), w.Now())
	}
}
