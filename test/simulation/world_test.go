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

// findingKey identifies a finding of an image.
type findingKey struct{ name, pkg string }

// details are the properties of a finding. text counts changes of its description and version, which are not
// reported as changes.
type details struct {
	severity       string
	text           int
	fix            bool
	first, changed time.Time
}

// content is the findings of a scan.
type content map[findingKey]details

// scanned is the result of an image's last scan.
type scanned struct {
	at               time.Time
	failed, enhanced bool
	found            content
}

// image is one digest. basic and inspector are what the next scan of each type will find. If inspector is nil,
// Amazon Inspector does not scan the image.
type image struct {
	repo             ecr.RepositoryID
	digest, manifest string
	pushed           time.Time
	basic, inspector content
	// failing is when its scans stop failing; zero if they do not fail.
	failing time.Time
	// last is the result of its last basic scan.
	last *scanned
}

// world is the state of AWS and a source of random numbers.
type world struct {
	testing.TB
	*awstest.AWS
	random *rand.Rand
	pushes int
	// images are by digest. labels contains the digest that each label of a repository points to.
	images map[string]*image
	labels map[ecr.RepositoryID]map[string]string
	// deleted is the image of the tag "old" when it was deleted, nil if the tag exists.
	deleted *image
	// enhanced is the scan type, which next changes at scanTypeUntil.
	enhanced      bool
	scanTypeUntil time.Time
	// outageUntil is when the current outage of ECR ends. endOutage ends it; it is nil if there is no outage.
	outageUntil time.Time
	endOutage   func()
	// clockSkew is how wrong the function's clock is, until clockSkewUntil.
	clockSkew      time.Duration
	clockSkewUntil time.Time
	// manyFindings makes the next pushed image have many findings.
	manyFindings bool
}

var (
	app = ecr.RepositoryID{Region: awslocal.DefaultRegion, Registry: awslocal.DefaultRegistry, Name: "team/app"}
	db  = ecr.RepositoryID{Region: awslocal.DefaultRegion, Registry: awslocal.DefaultRegistry, Name: "team/db"}
)

func severities() []string { return []string{"INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL"} }

// scanTime is long enough that the end of a scan and the visit that starts it have different dates.
const scanTime = time.Minute

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{
		TB: t, AWS: awstest.Start(t, ecr.Options{ScanTime: scanTime}), random: rand.New(rand.NewPCG(seed, 30)),
		images: map[string]*image{}, labels: map[ecr.RepositoryID]map[string]string{app: {}, db: {}},
	}
	w.scanTypeUntil = w.Now().Add(time.Duration(4+w.random.IntN(6)) * day)
	for _, tag := range []string{"v1", "v2", "old", "extra"} {
		w.push(app, tag)
	}
	w.pushIndex("amd64", "arm64")
	w.push(db, "latest")
	w.moveTag(db, "stable", w.labels[db]["latest"])
	return w
}

func (w *world) chance(percent int) bool { return w.random.IntN(100) < percent }

func (w *world) days(least, most int) time.Duration {
	return time.Duration(least)*day + time.Duration(w.random.IntN((most-least)*24))*time.Hour
}

func (w *world) randomContent() content {
	c := content{}
	for n := range 60 {
		if w.manyFindings {
			c[findingKey{fmt.Sprintf("CVE-2026-%04d", 2000+n), "ssl"}] = w.randomDetails()
		}
	}
	for range 2 + w.random.IntN(6) {
		c[w.randomFinding()] = w.randomDetails()
	}
	return c
}

func (w *world) randomFinding() findingKey {
	n := w.random.IntN(14)
	return findingKey{fmt.Sprintf("CVE-2026-%04d", 1000+n/2), []string{"ssl", "zlib"}[n%2]}
}

func (w *world) randomDetails() details {
	return details{severity: w.randomSeverity(), first: w.second(), changed: w.second()}
}

func (w *world) randomSeverity() string { return severities()[w.random.IntN(len(severities()))] }

// second returns the current time in whole seconds.
func (w *world) second() time.Time { return w.Now().UTC().Truncate(time.Second) }

// change returns a content with a few random changes.
func (w *world) change(old content) content {
	c := maps.Clone(old)
	for range 1 + w.random.IntN(4) {
		f := w.randomFinding()
		t, present := c[f]
		switch {
		case !present && len(c) < 9:
			t = w.randomDetails()
		case w.chance(40):
			delete(c, f)
			continue
		case w.chance(50):
			t.severity = w.randomSeverity()
		case w.chance(50):
			t.fix = !t.fix
		default:
			t.text++
		}
		if present {
			t.changed = w.second()
		}
		if present || len(c) < 9 {
			c[f] = t
		}
	}
	return c
}

// push pushes a new image under a tag.
func (w *world) push(repo ecr.RepositoryID, tag string) {
	w.moveTag(repo, tag, w.newImage(repo, w.images[w.labels[repo][tag]], tag).digest)
}

// pushIndex pushes a new index with an image for each architecture.
func (w *world) pushIndex(architectures ...string) {
	var children []ecr.Child
	old := maps.Clone(w.labels[app])
	w.removeLabels(app, "multi")
	for _, arch := range architectures {
		label := "multi (linux/" + arch + ")"
		i := w.newImage(app, w.images[old[label]])
		children = append(children, ecr.Child{Digest: i.digest, OS: "linux", Arch: arch})
		w.labels[app][label] = i.digest
	}
	w.ECR.PutImage(app, ecr.Image{Tags: []string{"multi"}, MediaType: ecr.OCIIndex, Children: children})
}

// newImage pushes an image. Its findings are either those of the old image with a few changes, or new ones.
func (w *world) newImage(repo ecr.RepositoryID, old *image, tags ...string) *image {
	w.pushes++
	i := &image{repo: repo, manifest: fmt.Sprintf(`{"push":%d}`, w.pushes), basic: w.randomContent()}
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

// put pushes an image that has not been scanned.
func (w *world) put(i *image, tags ...string) {
	i.pushed, i.last, i.failing = w.second(), nil, time.Time{}
	i.digest = w.ECR.PutImage(i.repo, ecr.Image{
		Tags: tags, Manifest: i.manifest, MediaType: ecr.OCIManifest, PushedAt: i.pushed,
		Findings: basicFindings(i.basic), Enhanced: enhancedFindings(i.inspector),
	})
}

// moveTag makes a tag point to an existing image.
func (w *world) moveTag(repo ecr.RepositoryID, tag, digest string) {
	w.ECR.PutImage(repo, ecr.Image{Tags: []string{tag}, Digest: digest})
	w.removeLabels(repo, tag)
	w.labels[repo][tag] = digest
}

func (w *world) removeLabels(repo ecr.RepositoryID, tag string) {
	maps.DeleteFunc(w.labels[repo], func(label, _ string) bool { return label == tag || strings.HasPrefix(label, tag+" ") })
}

// deleteOrPushOld deletes the tag "old" with its image. If it is already deleted, it pushes the same or another
// image with this tag.
func (w *world) deleteOrPushOld() {
	switch {
	case w.deleted == nil:
		w.deleted = w.images[w.labels[app]["old"]]
		if err := w.ECR.DeleteImage(app, "old"); err != nil {
			w.Fatal(err)
		}
		w.removeLabels(app, "old")
		return
	case w.chance(50):
		w.put(w.deleted, "old")
		w.moveTag(app, "old", w.deleted.digest)
	default:
		w.push(app, "old")
	}
	w.deleted = nil
}

// labelled returns the images that labels point to, each once. The order is always the same, so that the random
// events are reproducible.
func (w *world) labelled() []*image {
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

// randomEvents makes the random events of a quarter of a day happen.
func (w *world) randomEvents(round int) {
	w.endTemporaryStates()
	if w.manyFindings {
		w.moveTag(app, "v1", w.newImage(app, nil, "v1").digest)
		return
	}
	if round < 4 || w.chance(25) {
		return // nothing happens
	}
	for range w.random.IntN(3) {
		all := w.labelled()
		w.changeFindings(all[w.random.IntN(len(all))])
	}
	switch n := w.random.IntN(100); {
	case n < 10:
		w.push(app, []string{"v1", "v2", "extra"}[w.random.IntN(3)])
	case n < 14:
		w.push(db, "latest")
	case n < 18:
		w.moveTag(db, "stable", w.labels[db]["latest"])
	case n < 22:
		w.pushIndex("amd64", "arm64")
	case n < 25:
		w.pushIndex("amd64")
	case n < 28:
		w.moveV2Back()
	case n < 33:
		w.deleteOrPushOld()
	case n < 36 && w.outageUntil.IsZero():
		w.outageUntil, w.endOutage = w.Now().Add(time.Duration(1+w.random.IntN(14))*time.Hour), w.ECR.InjectFault(awslocal.Fault{Status: 501})
	case n < 40 && w.clockSkew == 0:
		w.clockSkew, w.clockSkewUntil = []time.Duration{-time.Hour, time.Hour}[w.random.IntN(2)], w.Now().Add(w.days(1, 3))
	}
	if w.Now().After(w.scanTypeUntil) {
		w.enhanced, w.scanTypeUntil = !w.enhanced, w.Now().Add(w.days(2, 6))
		w.ECR.SetScanType(app.Region, app.Registry, map[bool]ecr.ScanType{true: ecr.Enhanced, false: ecr.Basic}[w.enhanced])
	}
}

// moveV2Back points v2 to the image of v1 or to a random older image that still exists.
func (w *world) moveV2Back() {
	digest := w.labels[app]["v1"]
	for _, i := range w.ECR.Images(app) {
		if old := w.images[i.Digest]; old != nil && old != w.deleted && old.failing.IsZero() && w.chance(20) {
			digest = i.Digest
		}
	}
	w.moveTag(app, "v2", digest)
}

// changeFindings changes what an image's scans will find, or makes them fail for some days.
func (w *world) changeFindings(i *image) {
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

// endTemporaryStates ends outages, wrong clocks and failures whose time is over.
func (w *world) endTemporaryStates() {
	now := w.Now()
	if w.endOutage != nil && now.After(w.outageUntil) {
		w.endOutage()
		w.endOutage, w.outageUntil = nil, time.Time{}
	}
	if w.clockSkew != 0 && now.After(w.clockSkewUntil) {
		w.clockSkew = 0
	}
	for _, i := range w.labelled() {
		if !i.failing.IsZero() && now.After(i.failing) {
			i.failing = time.Time{}
			w.update(i)
		}
	}
}

// recordScans stores the results of basic scans that have completed since the last call.
func (w *world) recordScans() {
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

// visible returns the result that ECR shows for an image, or nil.
func (w *world) visible(i *image) *scanned {
	if !w.enhanced {
		return i.last
	}
	if i.inspector == nil && i.failing.IsZero() {
		return nil
	}
	s := scanned{at: i.pushed, failed: !i.failing.IsZero(), enhanced: true, found: i.inspector.merged()}
	if i.last != nil {
		s.at = i.last.at
	}
	return &s
}

// inEvery is the first package of each finding of Amazon Inspector.
const inEvery = "all"

// merged returns the content as Amazon Inspector's findings count: one for each vulnerability, with all its packages. Of
// merged findings the worse holds.
func (c content) merged() content {
	if c == nil {
		return nil
	}
	merged := content{}
	for f, t := range c {
		key := findingKey{f.name, inEvery}
		if other, known := merged[key]; known {
			if rank(other.severity) > rank(t.severity) {
				t.severity = other.severity
			}
			t.fix = t.fix && other.fix
			t.first = slices.MinFunc([]time.Time{t.first, other.first}, time.Time.Compare)
			t.changed = slices.MaxFunc([]time.Time{t.changed, other.changed}, time.Time.Compare)
		}
		merged[key] = t
	}
	return merged
}

func (c content) sorted() []findingKey {
	return slices.SortedFunc(maps.Keys(c), func(a, b findingKey) int { return strings.Compare(a.name+a.pkg, b.name+b.pkg) })
}

func basicFindings(c content) []ecr.Finding {
	findings := []ecr.Finding{}
	for _, f := range c.sorted() {
		t := c[f]
		one := ecr.Finding{Name: f.name, Severity: t.severity, Description: fmt.Sprintf("Text %d.", t.text), Attributes: []ecr.Attribute{
			{Key: "package_name", Value: f.pkg}, {Key: "package_version", Value: fmt.Sprintf("1.%d", t.text)},
		}}
		findings = append(findings, one)
		if t.text%3 == 1 { // a second copy of the package with a lower severity
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
			PackageDetails: &ecr.PackageVulnerability{VulnerabilityID: f.name, VulnerablePackages: []ecr.VulnerablePackage{{Name: inEvery, Version: "1"}, {Name: f.pkg, Version: "1"}}},
		})
	}
	return findings
}
