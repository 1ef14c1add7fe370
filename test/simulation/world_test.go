package simulation

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/awstest"
)

const day = 24 * time.Hour

// flaw is what makes findings of an image the same over time.
type flaw struct{ name, pkg string }

// trait is what a finding is like. text counts changes of its description and its version, which are nobody's news.
type trait struct {
	severity       string
	text           int
	fix            bool
	first, changed time.Time
}

// content is what a scan finds.
type content map[flaw]trait

// scanned is what the last scan of an image left behind.
type scanned struct {
	at               time.Time
	failed, enhanced bool
	found            content
}

// image is one digest. basic and inspector are what the next scan of each kind will find; Amazon Inspector doesn't scan it when inspector is nil.
type image struct {
	repo             ecr.RepositoryID
	digest, manifest string
	pushed           time.Time
	basic, inspector content
	// failing is until when its scans fail; zero when they don't.
	failing time.Time
	// last is its last basic scan.
	last *scanned
}

// world is what AWS holds, and chance.
type world struct {
	testing.TB
	*awstest.AWS
	random *rand.Rand
	pushes int
	// images are by digest; labels say which digest each label of a repository points to.
	images map[string]*image
	labels map[ecr.RepositoryID]map[string]string
	// deleted is what the tag "old" pointed to when it was deleted.
	deleted *image
	// enhanced is the kind of scanning, which changes next at turns.
	enhanced bool
	turns    time.Time
	// down is until when ECR is, calm what ends it.
	down time.Time
	calm func()
	// off is how wrong the function's clock is, until mended.
	off    time.Duration
	mended time.Time
	// wide is a time when an image with many flaws is pushed.
	wide bool
}

var (
	app = ecr.RepositoryID{Region: awslocal.DefaultRegion, Registry: awslocal.DefaultRegistry, Name: "team/app"}
	db  = ecr.RepositoryID{Region: awslocal.DefaultRegion, Registry: awslocal.DefaultRegistry, Name: "team/db"}
)

func severities() []string { return []string{"INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL"} }

// scanTime keeps the end of a scan apart from the look of the run that starts it: what is told of the one and of the other has different dates.
const scanTime = time.Minute

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{
		TB: t, AWS: awstest.Start(t, ecr.Options{ScanTime: scanTime}), random: rand.New(rand.NewPCG(seed, 30)),
		images: map[string]*image{}, labels: map[ecr.RepositoryID]map[string]string{app: {}, db: {}},
	}
	w.turns = w.Now().Add(time.Duration(4+w.random.IntN(6)) * day)
	for _, tag := range []string{"v1", "v2", "old", "extra"} {
		w.push(app, tag)
	}
	w.pushIndex("amd64", "arm64")
	w.push(db, "latest")
	w.point(db, "stable", w.labels[db]["latest"])
	return w
}

func (w *world) chance(percent int) bool { return w.random.IntN(100) < percent }

func (w *world) days(least, most int) time.Duration {
	return time.Duration(least)*day + time.Duration(w.random.IntN((most-least)*24))*time.Hour
}

func (w *world) draw() content {
	c := content{}
	for n := range 60 {
		if w.wide {
			c[flaw{fmt.Sprintf("CVE-2026-%04d", 2000+n), "ssl"}] = w.trait()
		}
	}
	for range 2 + w.random.IntN(6) {
		c[w.flaw()] = w.trait()
	}
	return c
}

func (w *world) flaw() flaw {
	n := w.random.IntN(14)
	return flaw{fmt.Sprintf("CVE-2026-%04d", 1000+n/2), []string{"ssl", "zlib"}[n%2]}
}

func (w *world) trait() trait {
	return trait{severity: w.severity(), first: w.second(), changed: w.second()}
}

func (w *world) severity() string { return severities()[w.random.IntN(len(severities()))] }

func (w *world) second() time.Time { return w.Now().UTC().Truncate(time.Second) }

// change changes a little of a content.
func (w *world) change(old content) content {
	c := maps.Clone(old)
	for range 1 + w.random.IntN(4) {
		f := w.flaw()
		t, there := c[f]
		switch {
		case !there && len(c) < 9:
			t = w.trait()
		case w.chance(40):
			delete(c, f)
			continue
		case w.chance(50):
			t.severity = w.severity()
		case w.chance(50):
			t.fix = !t.fix
		default:
			t.text++
		}
		if there {
			t.changed = w.second()
		}
		if there || len(c) < 9 {
			c[f] = t
		}
	}
	return c
}

// push pushes a new image under a tag.
func (w *world) push(repo ecr.RepositoryID, tag string) {
	w.point(repo, tag, w.newImage(repo, w.images[w.labels[repo][tag]], tag).digest)
}

// pushIndex pushes a new index, with an image for each of some platforms.
func (w *world) pushIndex(architectures ...string) {
	var children []ecr.Child
	old := maps.Clone(w.labels[app])
	w.unlabel(app, "multi")
	for _, arch := range architectures {
		label := "multi (linux/" + arch + ")"
		i := w.newImage(app, w.images[old[label]])
		children = append(children, ecr.Child{Digest: i.digest, OS: "linux", Arch: arch})
		w.labels[app][label] = i.digest
	}
	w.ECR.PutImage(app, ecr.Image{Tags: []string{"multi"}, MediaType: ecr.OCIIndex, Children: children})
}

// newImage puts an image: of what was there before, a little changed, or of something else altogether.
func (w *world) newImage(repo ecr.RepositoryID, old *image, tags ...string) *image {
	w.pushes++
	i := &image{repo: repo, manifest: fmt.Sprintf(`{"push":%d}`, w.pushes), basic: w.draw()}
	if old != nil && w.chance(70) {
		i.basic = w.change(old.basic)
	}
	if w.chance(70) {
		i.inspector = w.change(i.basic)
	}
	w.put(i, tags...)
	w.images[i.digest] = i
	return i
}

// put pushes an image, which ECR has not scanned then.
func (w *world) put(i *image, tags ...string) {
	i.pushed, i.last, i.failing = w.second(), nil, time.Time{}
	i.digest = w.ECR.PutImage(i.repo, ecr.Image{
		Tags: tags, Manifest: i.manifest, MediaType: ecr.OCIManifest, PushedAt: i.pushed,
		Findings: basicFindings(i.basic), Enhanced: enhancedFindings(i.inspector),
	})
}

// point makes a tag point to an image that is there.
func (w *world) point(repo ecr.RepositoryID, tag, digest string) {
	w.ECR.PutImage(repo, ecr.Image{Tags: []string{tag}, Digest: digest})
	w.unlabel(repo, tag)
	w.labels[repo][tag] = digest
}

func (w *world) unlabel(repo ecr.RepositoryID, tag string) {
	maps.DeleteFunc(w.labels[repo], func(label, _ string) bool { return label == tag || strings.HasPrefix(label, tag+" ") })
}

// toggle deletes the tag "old" with its image, or pushes it again: the same image or another.
func (w *world) toggle() {
	switch {
	case w.deleted == nil:
		w.deleted = w.images[w.labels[app]["old"]]
		if err := w.ECR.DeleteImage(app, "old"); err != nil {
			w.Fatal(err)
		}
		w.unlabel(app, "old")
		return
	case w.chance(50):
		w.put(w.deleted, "old")
		w.point(app, "old", w.deleted.digest)
	default:
		w.push(app, "old")
	}
	w.deleted = nil
}

// pointed are the images that labels point to, each once and in order, so that chance is the same each time.
func (w *world) pointed() []*image {
	var all []*image
	for _, repo := range []ecr.RepositoryID{app, db} {
		for _, label := range slices.Sorted(maps.Keys(w.labels[repo])) {
			if i := w.images[w.labels[repo][label]]; !slices.Contains(all, i) {
				all = append(all, i)
			}
		}
	}
	return all
}

// live lets happen what happens in a quarter of a day.
func (w *world) live(round int) {
	w.mend()
	if w.wide {
		w.point(app, "v1", w.newImage(app, nil, "v1").digest)
		return
	}
	if round < 4 || w.chance(25) {
		return // nothing does
	}
	for range w.random.IntN(3) {
		all := w.pointed()
		w.turn(all[w.random.IntN(len(all))])
	}
	switch n := w.random.IntN(100); {
	case n < 10:
		w.push(app, []string{"v1", "v2", "extra"}[w.random.IntN(3)])
	case n < 14:
		w.push(db, "latest")
	case n < 18:
		w.point(db, "stable", w.labels[db]["latest"])
	case n < 22:
		w.pushIndex("amd64", "arm64")
	case n < 25:
		w.pushIndex("amd64")
	case n < 28:
		w.back()
	case n < 33:
		w.toggle()
	case n < 36 && w.down.IsZero():
		w.down, w.calm = w.Now().Add(time.Duration(1+w.random.IntN(14))*time.Hour), w.ECR.Disturb(awslocal.Fault{Status: 501})
	case n < 40 && w.off == 0:
		w.off, w.mended = []time.Duration{-time.Hour, time.Hour}[w.random.IntN(2)], w.Now().Add(w.days(1, 3))
	}
	if w.Now().After(w.turns) {
		w.enhanced, w.turns = !w.enhanced, w.Now().Add(w.days(2, 6))
		w.ECR.SetScanType(app.Region, app.Registry, map[bool]ecr.ScanType{true: ecr.Enhanced, false: ecr.Basic}[w.enhanced])
	}
}

// back points v2 to what v1 points to, or to the oldest image that is still there.
func (w *world) back() {
	digest := w.labels[app]["v1"]
	for _, i := range w.ECR.Images(app) {
		if old := w.images[i.Digest]; old != nil && old != w.deleted && old.failing.IsZero() && w.chance(20) {
			digest = i.Digest
		}
	}
	w.point(app, "v2", digest)
}

// turn changes what an image's scans will find, or makes them fail for some days.
func (w *world) turn(i *image) {
	if w.chance(8) && i.failing.IsZero() {
		i.failing = w.Now().Add(w.days(1, 4))
	} else {
		i.basic = w.change(i.basic)
		if i.inspector != nil {
			i.inspector = w.change(i.inspector)
		}
	}
	w.update(i)
}

func (w *world) update(i *image) {
	err := w.ECR.UpdateImage(i.repo, i.digest, func(def *ecr.Image) {
		def.Findings, def.Enhanced, def.ScanStatus, def.ScanDescription = basicFindings(i.basic), enhancedFindings(i.inspector), "", ""
		if !i.failing.IsZero() {
			def.ScanStatus, def.ScanDescription = "FAILED", ecr.UnsupportedOS
		}
	})
	if err != nil {
		w.Fatal(err)
	}
}

// mend ends what lasts for a time only.
func (w *world) mend() {
	now := w.Now()
	if w.calm != nil && now.After(w.down) {
		w.calm()
		w.calm, w.down = nil, time.Time{}
	}
	if w.off != 0 && now.After(w.mended) {
		w.off = 0
	}
	for _, i := range w.pointed() {
		if !i.failing.IsZero() && now.After(i.failing) {
			i.failing = time.Time{}
			w.update(i)
		}
	}
}

// settle notes what the scans found that were completed since.
func (w *world) settle() {
	for repo := range w.labels {
		for _, state := range w.ECR.Images(repo) {
			i := w.images[state.Digest]
			if i == nil || state.ScannedAt.IsZero() || i.last != nil && state.ScannedAt.Equal(i.last.at) {
				continue
			}
			i.last = &scanned{at: state.ScannedAt, failed: !i.failing.IsZero(), found: i.basic}
		}
	}
}

// visible is what ECR shows of an image's scans, nil when nothing.
func (w *world) visible(i *image) *scanned {
	if !w.enhanced {
		return i.last
	}
	if i.inspector == nil && i.failing.IsZero() {
		return nil
	}
	s := scanned{at: i.pushed, failed: !i.failing.IsZero(), enhanced: true, found: i.inspector}
	if i.last != nil {
		s.at = i.last.at
	}
	return &s
}

func (c content) sorted() []flaw {
	return slices.SortedFunc(maps.Keys(c), func(a, b flaw) int { return strings.Compare(a.name+a.pkg, b.name+b.pkg) })
}

func basicFindings(c content) []ecr.Finding {
	findings := []ecr.Finding{}
	for _, f := range c.sorted() {
		t := c[f]
		one := ecr.Finding{Name: f.name, Severity: t.severity, Description: fmt.Sprintf("Text %d.", t.text), Attributes: []ecr.Attribute{
			{Key: "package_name", Value: f.pkg}, {Key: "package_version", Value: fmt.Sprintf("1.%d", t.text)},
		}}
		findings = append(findings, one)
		if t.text%3 == 1 { // a second copy of the package, which seems less severe
			one.Severity, one.Attributes = "INFORMATIONAL", []ecr.Attribute{{Key: "package_name", Value: f.pkg}, {Key: "package_version", Value: "0.9"}}
			findings = append(findings, one)
		}
	}
	return findings
}

func enhancedFindings(c content) []ecr.EnhancedFinding {
	if c == nil {
		return nil
	}
	findings := []ecr.EnhancedFinding{}
	for _, f := range c.sorted() {
		t := c[f]
		findings = append(findings, ecr.EnhancedFinding{
			Severity: t.severity, Description: fmt.Sprintf("Text %d.", t.text), FixAvailable: map[bool]string{true: "YES", false: "NO"}[t.fix],
			FirstObservedAt: ecr.Time{Time: t.first}, UpdatedAt: ecr.Time{Time: t.changed},
			PackageDetails: &ecr.PackageVulnerability{VulnerabilityID: f.name, VulnerablePackages: []ecr.VulnerablePackage{{Name: f.pkg, Version: "1"}}},
		})
	}
	return findings
}
