package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
)

// scanTime is the duration of a scan. A visit that comes half an hour later reads its result.
const scanTime = 2 * time.Minute

// Demo is an embedded ECR in which the story happens. Its methods must not be called concurrently. Those of ECR and Clock may.
type Demo struct {
	Clock *Clock
	ECR   *ecr.ECR
	// Configs are what a user of the demo watches. Some of them are wrong, as configs sometimes are.
	Configs []Config

	start        time.Time
	repositories map[string]repository
	builds       map[string][]string
	events       []event // those that have not happened
	scanner      *scanner
	images       []*image
	outages      []*running
}

// image is an image that the story has pushed.
type image struct {
	repository
	id       ecr.RepositoryID
	digest   string
	pushed   time.Time
	packages []string
	recorded []ecr.Finding
	failure  string
	inUse    int64
}

// running is an outage that has not ended.
type running struct {
	ends time.Time
	end  func()
}

// Happened is an event that happened.
type Happened struct {
	Day  float64
	At   time.Time
	Text string
}

// New returns a demo whose clock stands still, Days before the time of the real clock. Its ECR has no images.
func New(real func() time.Time) (*Demo, error) {
	s, vulnerabilities, err := loadStory()
	if err != nil {
		return nil, err
	}
	start := real().Add(-days(Days)).UTC().Truncate(time.Second)
	clock := NewClock(real, start)
	d := &Demo{
		Clock: clock, ECR: ecr.New(ecr.Options{Now: clock.Now, ScanTime: scanTime}), Configs: s.Configs, start: start,
		repositories: map[string]repository{}, builds: s.Builds, events: s.Events, scanner: newScanner(vulnerabilities, s.Events, start),
	}
	for _, r := range s.Repositories {
		d.repositories[r.Name] = r
		if r.Enhanced {
			d.ECR.SetScanType(r.Region, r.Registry, ecr.Enhanced)
		}
		d.ECR.PutRepository(r.id(), ecr.Repository{ScanOnPush: r.ScanOnPush, CreatedAt: start})
	}
	return d, nil
}

func (r repository) id() ecr.RepositoryID {
	return ecr.RepositoryID{Region: r.Region, Registry: r.Registry, Name: r.Name}
}

// Play makes everything happen that is due by the clock, in the order of the story. It returns what happened.
func (d *Demo) Play() ([]Happened, error) {
	now := d.Clock.Now()
	var happened []Happened
	for len(d.events) > 0 && !d.start.Add(days(d.events[0].Day)).After(now) {
		e := d.events[0]
		at := d.start.Add(days(e.Day))
		if err := d.play(e, at); err != nil {
			return happened, fmt.Errorf("day %v of the demo: %w", e.Day, err)
		}
		d.events = d.events[1:]
		happened = append(happened, Happened{e.Day, at, e.Text})
	}
	d.endOutages(now)
	return happened, d.useImages(now)
}

func (d *Demo) play(e event, at time.Time) error {
	d.endOutages(at)
	if d.scanner.apply(e, at) {
		if err := d.updateAll(at); err != nil {
			return err
		}
	}
	for _, p := range e.Push {
		if err := d.push(p, at); err != nil {
			return err
		}
	}
	for _, o := range e.Outage {
		d.outages = append(d.outages, &running{at.Add(days(o.Hours / 24)), d.ECR.InjectFault(awslocal.Fault{Region: o.Region, Status: 501})})
	}
	for _, c := range e.Chart {
		const chart = "application/vnd.cncf.helm.config.v1+json"
		d.ECR.PutImage(d.id(c), ecr.Image{Tags: []string{c.Tag}, MediaType: ecr.OCIManifest, ArtifactMediaType: chart, PushedAt: at})
	}
	for _, s := range e.Sign {
		if err := d.sign(s, at); err != nil {
			return err
		}
	}
	for _, r := range e.Delete {
		if err := d.ECR.DeleteImage(d.id(r), r.Tag); err != nil {
			return err
		}
	}
	return d.changeImages(e, at)
}

// changeImages makes what happens to single images happen.
func (d *Demo) changeImages(e event, at time.Time) error {
	changes := []change{}
	for _, r := range e.Archive {
		changes = append(changes, change{r, func(*image) {}, func(i *ecr.Image) { i.Status = ecr.Archived }})
	}
	for _, r := range e.Restore {
		changes = append(changes, change{r, func(*image) {}, func(i *ecr.Image) { i.Status = ecr.Active }})
	}
	for _, f := range e.Fail {
		changes = append(changes, change{f.imageRef, func(i *image) { i.failure = f.Reason }, nil})
	}
	for _, r := range e.Recover {
		changes = append(changes, change{r, func(i *image) { i.failure = "" }, nil})
	}
	for _, u := range e.Use {
		changes = append(changes, change{u.imageRef, func(i *image) { i.inUse = u.Count }, nil})
	}
	for _, c := range changes {
		i, err := d.image(c.imageRef)
		if err != nil {
			return err
		}
		c.story(i)
		if err := d.update(i, at, c.ecr); err != nil {
			return err
		}
	}
	return nil
}

// change is a change of an image in the story, and, if it is not nil, one in ECR.
type change struct {
	imageRef
	story func(*image)
	ecr   func(*ecr.Image)
}

func (d *Demo) id(r imageRef) ecr.RepositoryID { return d.repositories[r.Repository].id() }

// digest returns the digest of a tag.
func (d *Demo) digest(r imageRef) (string, error) {
	for _, state := range d.ECR.Images(d.id(r)) {
		if slices.Contains(state.Tags, r.Tag) {
			return state.Digest, nil
		}
	}
	return "", fmt.Errorf("%s has no tag %s", r.Repository, r.Tag)
}

// image returns the image of a tag.
func (d *Demo) image(r imageRef) (*image, error) {
	digest, err := d.digest(r)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(d.images, func(i *image) bool { return i.id == d.id(r) && i.digest == digest })
	if at < 0 {
		return nil, fmt.Errorf("%s:%s is not an image of the story", r.Repository, r.Tag)
	}
	return d.images[at], nil
}

func (d *Demo) push(p push, at time.Time) error {
	if len(p.Platforms) == 0 {
		return d.pushBuild(p, p.Build, p.Tags, at)
	}
	r := d.repositories[p.Repository]
	var children []ecr.Child
	for _, platform := range slices.Sorted(maps.Keys(p.Platforms)) {
		build := p.Platforms[platform]
		if err := d.pushBuild(p, build, nil, at); err != nil {
			return err
		}
		os, arch, _ := strings.Cut(platform, "/")
		children = append(children, ecr.Child{Digest: r.digest(build), OS: os, Arch: arch, Size: 1 << 10})
		attestation := ecr.DigestOf("attestation of " + r.digest(build))
		d.ECR.PutImage(r.id(), ecr.Image{Digest: attestation, MediaType: ecr.OCIManifest, ArtifactMediaType: ecr.OCIImageConfig, PushedAt: at})
		children = append(children, ecr.Child{Digest: attestation, OS: "unknown", Arch: "unknown", Size: 1 << 10})
	}
	d.ECR.PutImage(r.id(), ecr.Image{Tags: p.Tags, MediaType: ecr.OCIIndex, Children: children, PushedAt: at})
	return nil
}

func (r repository) digest(build string) string { return ecr.DigestOf(r.Name + " " + build) }

// pushBuild pushes an image, or moves tags to it if it was already pushed. A rebuilt image is used as the one before it.
func (d *Demo) pushBuild(p push, build string, tags []string, at time.Time) error {
	r := d.repositories[p.Repository]
	i := &image{repository: r, id: r.id(), digest: r.digest(build), pushed: at, packages: d.builds[build]}
	if name, tag, found := strings.Cut(p.Recorded, ":"); found {
		recorded, err := samples.Findings(name, tag)
		if err != nil {
			return err
		}
		i.recorded = recorded
	}
	for _, tag := range tags {
		if old, err := d.image(imageRef{r.Name, tag}); err == nil {
			i.inUse, old.inUse = old.inUse, 0
		}
	}
	known := slices.ContainsFunc(d.images, func(other *image) bool { return other.id == i.id && other.digest == i.digest })
	if !known {
		d.images = append(d.images, i)
	}
	d.ECR.PutImage(i.id, ecr.Image{
		Digest: i.digest, Tags: tags, MediaType: ecr.OCIManifest, ArtifactMediaType: ecr.OCIImageConfig, Size: 80 << 20, PushedAt: at,
		Findings: d.basic(i), Enhanced: d.enhanced(i, at),
	})
	return nil
}

// sign pushes a signature of cosign and an SBOM beside an image.
func (d *Demo) sign(r imageRef, at time.Time) error {
	digest, err := d.digest(r)
	if err != nil {
		return err
	}
	d.ECR.PutImage(d.id(r), ecr.Image{
		Tags: []string{strings.Replace(digest, ":", "-", 1) + ".sig"}, MediaType: ecr.OCIManifest, ArtifactMediaType: ecr.OCIImageConfig, PushedAt: at,
		Manifest: fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q},"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","annotations":{"of":%q}}]}`,
			ecr.OCIManifest, ecr.OCIImageConfig, digest),
	})
	d.ECR.PutImage(d.id(r), ecr.Image{
		Digest: ecr.DigestOf("SBOM of " + digest), MediaType: ecr.OCIManifest, ArtifactMediaType: "application/spdx+json",
		ConfigMediaType: "application/vnd.oci.empty.v1+json", Subject: digest, PushedAt: at,
	})
	return nil
}

func (d *Demo) basic(i *image) []ecr.Finding {
	return append(slices.Clip(i.recorded), d.scanner.basic(i.packages)...)
}

// enhanced returns nil for registries with basic scanning.
func (d *Demo) enhanced(i *image, now time.Time) []ecr.EnhancedFinding {
	if !i.Enhanced {
		return nil
	}
	in := ecr.ResourceImage{ImageHash: i.digest, Registry: i.Registry, RepositoryName: i.Name, PushedAt: ecr.Time{Time: i.pushed}, Platform: "DEBIAN_12", Architecture: "amd64"}
	if i.inUse > 0 {
		in.InUseCount, in.LastInUseAt = i.inUse, ecr.Time{Time: now.Truncate(time.Hour)}
	}
	return d.scanner.enhanced(i.packages, i.pushed, in)
}

// update changes an image in ECR to what the story and the scanner say. With basic scanning, the next scan shows the findings.
func (d *Demo) update(i *image, now time.Time, change func(*ecr.Image)) error {
	return d.ECR.UpdateImage(i.id, i.digest, func(def *ecr.Image) {
		def.Findings, def.Enhanced, def.ScanStatus, def.ScanDescription = d.basic(i), d.enhanced(i, now), "", ""
		if i.failure != "" {
			def.ScanStatus, def.ScanDescription = "FAILED", i.failure
		}
		if change != nil {
			change(def)
		}
	})
}

func (d *Demo) updateAll(now time.Time) error {
	for _, i := range d.images {
		if !d.exists(i) {
			continue
		}
		if err := d.update(i, now, nil); err != nil {
			return err
		}
	}
	return nil
}

func (d *Demo) exists(i *image) bool {
	return slices.ContainsFunc(d.ECR.Images(i.id), func(s ecr.ImageState) bool { return s.Digest == i.digest })
}

// useImages updates the time at which images were in use.
func (d *Demo) useImages(now time.Time) error {
	for _, i := range d.images {
		if i.inUse > 0 && d.exists(i) {
			if err := d.update(i, now, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Demo) endOutages(now time.Time) {
	d.outages = slices.DeleteFunc(d.outages, func(o *running) bool {
		if now.Before(o.ends) {
			return false
		}
		o.end()
		return true
	})
}
