package usecases

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/gate"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// truth is a registry that changes at random. It knows what the service must say.
type truth struct {
	*testing.T
	*fakeRegistry
	*service
	random *rand.Rand
	// tags are the images of each tag: none if it is a chart.
	tags  map[string][]scan.Image
	told  map[string]bool // ids of changes
	story []string
}

const repositoryOfTruth = "app"

func newTruth(t *testing.T, seed uint64) *truth {
	r := &fakeRegistry{images: map[string][]scan.Image{}, results: map[string]scan.Result{}, fail: map[string]error{}}
	return &truth{
		T: t, fakeRegistry: r, service: newService(r, config("1", repositoryOfTruth)), random: rand.New(rand.NewPCG(seed, 15)),
		tags: map[string][]scan.Image{}, told: map[string]bool{},
	}
}

func (w *truth) note(format string, values ...any) {
	w.story = append(w.story, fmt.Sprintf("%s ", w.at.Format("02 15:04"))+fmt.Sprintf(format, values...))
}

// push moves a tag to another object, or deletes it.
func (w *truth) push() {
	tag := fmt.Sprint("v", w.random.IntN(3))
	digest := func(platform string) string {
		if w.random.IntN(4) == 0 && platform == "" {
			return fmt.Sprint("d", w.random.IntN(5)) // one that can have other tags
		}
		return fmt.Sprint("d", len(w.story)+100*w.random.IntN(90))
	}
	platforms := [][]string{{"linux/amd64"}, {"linux/amd64", "linux/arm64"}, {"linux/arm64", "linux/s390x"}, {"linux/arm64/v8", "linux/amd64"}}
	var images []scan.Image
	switch w.random.IntN(6) {
	case 0:
		delete(w.tags, tag)
		w.note("delete %s", tag)
		return
	case 1:
	case 2, 3:
		images = []scan.Image{{Tag: tag, Digest: digest("")}}
	default:
		index := fmt.Sprint("i", len(w.story))
		for _, p := range platforms[w.random.IntN(len(platforms))] {
			images = append(images, scan.Image{Tag: tag, Digest: digest(p), Platform: p, Listed: scan.NormalizePlatform(p), Index: index})
		}
	}
	w.tags[tag] = images
	w.note("push %s %v", tag, labelsOf(images))
}

func labelsOf(images []scan.Image) (labels []string) {
	for _, i := range images {
		labels = append(labels, i.Platform+" "+i.Digest)
	}
	return labels
}

// scanAll scans the images whose last scan is more than a day old, with random findings.
func (w *truth) scanAll() {
	for _, tag := range slices.Sorted(maps.Keys(w.tags)) {
		for _, i := range w.tags[tag] {
			if old := w.results[i.Digest]; w.random.IntN(3) == 0 || w.at.Sub(old.CompletedAt) < scan.RescanInterval {
				continue
			}
			r := scan.Result{State: scan.Completed, CompletedAt: w.at.Add(-time.Minute), Counts: scan.Counts{}}
			for n, severity := range []scan.Severity{scan.Critical, scan.Low, scan.Low} {
				if w.random.IntN(3) == 0 {
					r.Findings = append(r.Findings, scan.Finding{Name: fmt.Sprint("CVE-", n), Severity: severity})
					r.Counts[severity]++
				}
			}
			w.results[i.Digest] = r
			w.note("scan %s: %v", i.Digest, r.Counts)
		}
	}
}

// list sets what the registry lists: an index of a tag can be unreadable now, and the tag can move while the pages are read.
func (w *truth) list() {
	unavailable := &scan.Error{Code: scan.Unavailable, Message: "throttled by ECR"}
	known := w.records.of(repositoryOfTruth)
	present := known.PresentTags()
	w.images[repositoryOfTruth], w.hidden, w.fail = nil, map[string]bool{}, map[string]error{}
	for _, tag := range slices.Sorted(maps.Keys(w.tags)) {
		images := w.tags[tag]
		switch fault := w.random.IntN(6); {
		case len(images) == 0:
			images = []scan.Image{{Tag: tag, Digest: "chart", Kind: scan.Artifact}}
		case fault == 0 && images[0].Index != "":
			w.note("unreadable index of %s", tag)
			images = []scan.Image{{Tag: tag, Digest: images[0].Index, Kind: scan.Index, Err: unavailable}}
		case fault == 1:
			w.note("unreadable result of %s", images[0].Digest)
			w.fail[images[0].Digest] = unavailable
		case fault == 2 && present[tag]:
			w.note("%s is on no page", tag)
			w.hidden[tag] = true
		}
		w.images[repositoryOfTruth] = append(w.images[repositoryOfTruth], images...)
	}
	for _, images := range w.tags {
		for _, i := range images {
			if _, scanned := w.results[i.Digest]; !scanned {
				w.results[i.Digest] = scan.Result{State: scan.NotScanned}
			}
		}
	}
}

// checkGate checks that the gate passes only if each image has a new enough result without a critical finding.
func (w *truth) checkGate() (passed int) {
	v, err := w.Gate(w.Context(), "1", gate.Request{Max: scan.Low})
	if err != nil || len(v.Failures) > 0 {
		return 0
	}
	for tag, images := range w.tags {
		for _, i := range images {
			r := w.results[i.Digest]
			if r.State != scan.Completed || r.Counts[scan.Critical] > 0 || w.at.Sub(r.CompletedAt) > report.StaleAfter {
				w.Fatalf("the gate passes with %s %s: %+v\n%s", tag, i.Digest, r, strings.Join(w.story, "\n"))
			}
		}
	}
	return 1
}

// checkChanges checks that each new change of the last visit is true.
func (w *truth) checkChanges() {
	l, err := w.Changes(w.Context(), "1", report.View{})
	if err != nil {
		w.Fatal(err)
	}
	for _, c := range l.Changes {
		if id := c.ID().String(); w.told[id] {
			continue
		} else if w.told[id] = true; !w.isTrue(c) {
			w.Fatalf("%s %s %s is not true\n%s", c.Kind, c.Image.Label(), c.Finding.Name, strings.Join(w.story, "\n"))
		}
	}
}

func (w *truth) isTrue(c history.Change) bool {
	images, exists := w.tags[c.Image.Tag]
	isListed := slices.ContainsFunc(images, func(i scan.Image) bool { return i.Digest == c.Image.Digest })
	switch c.Kind {
	case history.TagGone:
		return !exists
	case history.NotImage:
		return exists && len(images) == 0
	case history.PlatformGone:
		return len(images) > 0 && (c.Image.Listed == "" || !slices.ContainsFunc(images, func(i scan.Image) bool { return i.Listed == c.Image.Listed }))
	case history.TagBack, history.ImageAgain, history.PlatformBack:
		return isListed
	case history.New, history.Fixed:
		found := slices.ContainsFunc(w.results[c.Image.Digest].Findings, func(f scan.Finding) bool { return f.Name == c.Finding.Name })
		return isListed && found == (c.Kind == history.New)
	case history.Unscanned, history.Scanned:
		return true
	}
	return false
}

// Whatever moves, disappears or can't be read just now: the gate passes no image with a critical finding, and changes say only
// what is true.
func TestGateAndChangesAreTrue(t *testing.T) {
	passed, told := 0, 0
	for seed := range uint64(100) {
		w := newTruth(t, seed)
		for range 40 {
			for range w.random.IntN(3) {
				w.push()
			}
			w.scanAll()
			w.list()
			passed += w.checkGate()
			if w.random.IntN(2) == 0 {
				w.note("visit")
				w.visit(t, repositoryOfTruth, "1")
				w.checkChanges()
				passed += w.checkGate()
			}
			w.advance(time.Duration(1+w.random.IntN(20)) * 90 * time.Minute)
		}
		told += len(w.told)
	}
	if passed < 10 || told < 100 {
		t.Errorf("the gate passed %d times, and there are %d changes", passed, told)
	}
}
