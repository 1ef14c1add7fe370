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

// odd has images of all shapes. later does not exist at first and is deleted for some days. never does not exist.
var (
	odd   = ecr.RepositoryID{Region: awslocal.DefaultRegion, Registry: awslocal.DefaultRegistry, Name: "team/odd"}
	later = ecr.RepositoryID{Region: awslocal.DefaultRegion, Registry: awslocal.DefaultRegistry, Name: "team/later"}
	never = ecr.RepositoryID{Region: awslocal.DefaultRegion, Registry: awslocal.DefaultRegistry, Name: "team/never"}
)

// build is one image as its team knows it, such as the arm64 build of a tag. Its digest, and the way in which its index
// lists it, change.
type build struct {
	repo ecr.RepositoryID
	tag  string
	// platform is the name of its platform in the index that lists it now, or empty without an index.
	platform string
	// image is nil while it does not exist or can't be scanned. absence is the name of the change that tells why.
	image   *image
	last    *image
	absence string
	truth   truth
}

// oddWorld is a world whose tags change their shape. Between two visits each tag changes at most once, because what
// nobody observed can't be reported.
type oddWorld struct {
	*world
	builds []*build
	// indexes are the digests of the current indexes by tag.
	indexes map[string]string
}

func newOddWorld(t testing.TB, seed uint64) *oddWorld {
	w := &oddWorld{
		world: &world{
			TB: t, AWS: awstest.Start(t, ecr.Options{ScanTime: scanTime}), random: rand.New(rand.NewPCG(seed, 31)),
			images: map[string]*image{}, labels: map[ecr.RepositoryID]map[string]string{odd: {}, later: {}},
		},
		indexes: map[string]string{},
	}
	if w.enhanced = seed%2 == 1; w.enhanced {
		w.ECR.SetScanType(odd.Region, odd.Registry, ecr.Enhanced)
	}
	for _, tag := range []string{"plain", "old", "kind", "arch", "single"} {
		w.pushPlain(w.add(odd, tag))
	}
	w.ECR.PutImage(odd, ecr.Image{Tags: []string{"old-keep"}, Digest: w.find("old", "").image.digest})
	kept := w.add(odd, "old-keep")
	kept.image = w.find("old", "").image
	w.pushReferrer(w.add(odd, "referrer"))
	for _, index := range []struct {
		tag       string
		platforms []string
	}{
		{"spelling", []string{"linux/amd64", "linux/arm64"}}, {"single2", []string{"linux/amd64"}}, {"arch2", []string{"linux/amd64", "linux/arm64"}},
		{"kind2", []string{"linux/amd64/v1", "linux/arm64/v8"}}, {"windows", []string{"windows/amd64 10.0.17763.100", "windows/amd64 10.0.20348.100"}},
		{"twins", []string{"linux/amd64", "linux/amd64"}}, {"late", []string{"linux/amd64", ""}}, {"nested", []string{"linux/amd64", "linux/arm64"}},
	} {
		for _, platform := range index.platforms {
			w.add(odd, index.tag).platform = platform
		}
		w.newImages(index.tag, 100)
		w.putIndex(index.tag)
	}
	w.pushArtifacts()
	return w
}

func (w *oddWorld) add(repo ecr.RepositoryID, tag string) *build {
	b := &build{repo: repo, tag: tag}
	w.builds = append(w.builds, b)
	return b
}

// of returns the builds of a tag.
func (w *oddWorld) of(tag string) []*build {
	return slices.DeleteFunc(slices.Clone(w.builds), func(b *build) bool { return b.tag != tag })
}

// find returns the build of a tag whose platform starts with a text, or nil.
func (w *oddWorld) find(tag, platform string) *build {
	for _, b := range slices.Backward(w.of(tag)) {
		if strings.HasPrefix(b.platform, platform) {
			return b
		}
	}
	return nil
}

// one returns one of the texts.
func (w *oddWorld) one(of ...string) string { return of[w.random.IntN(len(of))] }

// newImage makes the content of a new image of a build. Tags are for an image without an index.
func (w *oddWorld) newImage(b *build) *image {
	w.pushes++
	i := &image{repo: b.repo, manifest: fmt.Sprintf(`{"odd":%d}`, w.pushes), pushed: w.second(), basic: w.content(b.image)}
	i.inspector, i.digest = i.basic, ecr.DigestOf(i.manifest)
	w.images[i.digest] = i
	b.image, b.last, b.absence = i, i, ""
	return i
}

// content returns the findings of a new image, which are similar to those of the old one.
func (w *oddWorld) content(old *image) content {
	c := content{}
	if old != nil {
		c = maps.Clone(old.basic)
	}
	if old != nil && w.chance(6) {
		for n := range 40 { // more than the feeds list one by one
			c[findingKey{fmt.Sprintf("CVE-2026-%04d", 3000+n), "ssl"}] = w.randomDetails()
		}
	}
	for range 2 + w.random.IntN(6) {
		f := findingKey{fmt.Sprintf("CVE-2026-%04d", 1000+w.random.IntN(12)), "ssl"}
		is, present := c[f]
		switch {
		case !present:
			is = w.randomDetails()
		case w.chance(50):
			delete(c, f)
			continue
		default:
			is.severity, is.changed = w.randomSeverity(), w.second()
		}
		c[f] = is
	}
	return c
}

// definition returns an image for the embedded ECR.
func (i *image) definition(tags ...string) ecr.Image {
	return ecr.Image{
		Tags: tags, Manifest: i.manifest, MediaType: ecr.OCIManifest, PushedAt: i.pushed, Findings: basicFindings(i.basic), Enhanced: enhancedFindings(i.inspector),
	}
}

// pushPlain pushes a new image without an index.
func (w *oddWorld) pushPlain(b *build) {
	b.platform = ""
	w.ECR.PutImage(b.repo, w.newImage(b).definition(b.tag))
}

// pushReferrer pushes an image that can run and has a subject and an artifact type of its own.
func (w *oddWorld) pushReferrer(b *build) {
	i := w.newImage(b)
	i.manifest = fmt.Sprintf(`{"odd":%d,"artifactType":"application/vnd.team.release.v1","config":{"mediaType":"%s"}}`, w.pushes, ecr.OCIImageConfig)
	delete(w.images, i.digest)
	i.digest = ecr.DigestOf(i.manifest)
	w.images[i.digest] = i
	def := i.definition(b.tag)
	def.ArtifactMediaType, def.ConfigMediaType, def.Subject = "application/vnd.team.release.v1", ecr.OCIImageConfig, w.find("plain", "").image.digest
	w.ECR.PutImage(b.repo, def)
}

// newImages gives the builds of a tag new images. With a lower percentage some of them keep their image.
func (w *oddWorld) newImages(tag string, percent int) {
	for _, b := range w.of(tag) {
		if b.absence != "" && b.absence != "NOT AN IMAGE" && b.absence != "ARCHIVED" {
			continue
		}
		if b.absence, b.image = "", b.last; b.image == nil || w.chance(percent) {
			w.ECR.PutImage(b.repo, w.newImage(b).definition())
		}
	}
}

// putIndex points a tag to an index of its builds that are not absent, in any order. Some indexes have artifacts and
// attestations too, and those of the tag "nested" are sometimes in another index.
func (w *oddWorld) putIndex(tag string) {
	var children []ecr.Child
	for _, b := range w.of(tag) {
		if b.image != nil {
			children = append(children, childOf(b.image.digest, b.platform))
		}
	}
	if w.chance(40) {
		children = append(children, ecr.Child{Digest: ecr.DigestOf(fmt.Sprint("attestation of ", w.pushes)), OS: "unknown", Arch: "unknown"})
	}
	if w.chance(40) {
		for _, child := range slices.Clone(children) { // soci convert adds one for each image
			child.ArtifactType = "application/vnd.amazon.soci.index.v2+json"
			child.Digest = w.ECR.PutImage(odd, ecr.Image{
				MediaType: ecr.OCIManifest, ArtifactMediaType: child.ArtifactType, ConfigMediaType: "application/vnd.oci.empty.v1+json",
			})
			if child.OS != "unknown" {
				children = append(children, child)
			}
		}
	}
	if w.chance(30) {
		const chart = "application/vnd.cncf.helm.config.v1+json"
		children = append(children, ecr.Child{ArtifactType: chart, Digest: w.ECR.PutImage(odd, ecr.Image{MediaType: ecr.OCIManifest, ArtifactMediaType: chart})})
	}
	w.random.Shuffle(len(children), func(i, j int) { children[i], children[j] = children[j], children[i] })
	if tag == "nested" && w.chance(60) {
		inner := w.ECR.PutImage(odd, ecr.Image{MediaType: ecr.OCIIndex, Children: children})
		children = []ecr.Child{{Digest: inner, MediaType: ecr.OCIIndex}}
	}
	w.indexes[tag] = w.ECR.PutImage(odd, ecr.Image{Tags: []string{tag}, MediaType: ecr.OCIIndex, Children: children})
}

// childOf returns an entry of an index for a platform such as "linux/arm64/v8" or "windows/amd64 10.0.17763.100".
func childOf(digest, platform string) ecr.Child {
	name, version, _ := strings.Cut(platform, " ")
	parts := append(strings.Split(name, "/"), "", "")
	return ecr.Child{Digest: digest, OS: parts[0], Arch: parts[1], Variant: parts[2], OSVersion: version}
}

// pushArtifacts pushes tags that never are images.
func (w *oddWorld) pushArtifacts() {
	const chart = "application/vnd.cncf.helm.config.v1+json"
	signature := strings.Replace(w.find("plain", "").image.digest, ":", "-", 1) + ".sig"
	w.ECR.PutImage(odd, ecr.Image{Tags: []string{"chart"}, MediaType: ecr.OCIManifest, ArtifactMediaType: chart})
	w.ECR.PutImage(odd, ecr.Image{Tags: []string{"sbom"}, MediaType: ecr.OCIManifest, ArtifactMediaType: "application/spdx+json", ConfigMediaType: "application/vnd.oci.empty.v1+json"})
	w.ECR.PutImage(odd, ecr.Image{Tags: []string{signature}, MediaType: ecr.OCIManifest, Manifest: fmt.Sprintf(
		`{"config":{"mediaType":"%s"},"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json"}]}`, ecr.OCIImageConfig)})
}

// change makes the random changes of half a day.
func (w *oddWorld) change(round int) {
	w.changeLater(round)
	if round == 0 {
		return
	}
	for _, b := range w.builds {
		if b.image != nil && w.chance(15) {
			b.image.basic = w.content(b.image)
			b.image.inspector = b.image.basic
			w.world.update(b.image)
		}
	}
	changes := map[string]func(){
		"plain": func() { w.pushPlain(w.find("plain", "")) }, "referrer": func() { w.pushReferrer(w.find("referrer", "")) }, "old": w.changeOld,
		"kind": w.changeKind, "kind2": w.changeKind2, "arch": w.changeArchived, "arch2": w.changeArchivedIndex, "spelling": w.changeSpelling,
		"single": func() { w.changeSingle("single") }, "single2": func() { w.changeSingle("single2") }, "windows": w.changeWindows,
		"twins": w.changeTwins, "late": w.changeLatePlatform, "nested": func() { w.newImages("nested", 40); w.putIndex("nested") },
	}
	tags := slices.Sorted(maps.Keys(changes))
	w.random.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
	for _, tag := range tags[:2+w.random.IntN(4)] {
		if w.isScanned(tag) {
			changes[tag]()
		}
	}
	if w.chance(10) {
		w.pushArtifacts()
	}
}

// changeLater creates, deletes and again creates the repository later.
func (w *oddWorld) changeLater(round int) {
	switch round {
	case 10:
		w.pushPlain(w.add(later, "v1"))
	case 24:
		w.ECR.DeleteRepository(later)
		w.find("v1", "").image, w.find("v1", "").absence = nil, "REPOSITORY GONE"
	case 34:
		b := w.find("v1", "")
		b.image = b.last // the new image has similar findings
		w.pushPlain(b)
	}
}

// changeOld deletes the tag "old", or pushes it again, with its old image or another one.
func (w *oddWorld) changeOld() {
	switch b := w.find("old", ""); {
	case b.image != nil:
		if err := w.ECR.DeleteImage(odd, "old"); err != nil {
			w.Fatal(err)
		}
		b.image, b.absence = nil, "TAG GONE"
	case w.chance(50):
		b.image, b.absence = w.find("old-keep", "").image, ""
		w.ECR.PutImage(odd, ecr.Image{Tags: []string{"old"}, Digest: b.image.digest})
	default:
		b.image = b.last
		w.pushPlain(b)
	}
}

func (w *oddWorld) pushChart(tag string) {
	w.ECR.PutImage(odd, ecr.Image{Tags: []string{tag}, MediaType: ecr.OCIManifest, ArtifactMediaType: "application/vnd.cncf.helm.config.v1+json"})
	for _, b := range w.of(tag) {
		b.image, b.absence = nil, "NOT AN IMAGE"
	}
}

func (w *oddWorld) changeKind() {
	b := w.find("kind", "")
	if b.image != nil {
		w.pushChart("kind")
		return
	}
	b.image = b.last
	w.pushPlain(b)
}

func (w *oddWorld) changeKind2() {
	if w.of("kind2")[0].image != nil {
		w.pushChart("kind2")
		return
	}
	w.newImages("kind2", 50)
	w.putIndex("kind2")
}

func (w *oddWorld) setStatus(ref, status string) {
	if err := w.ECR.UpdateImage(odd, ref, func(i *ecr.Image) { i.Status = status }); err != nil {
		w.Fatal(err)
	}
}

func (w *oddWorld) changeArchived() {
	b := w.find("arch", "")
	if b.image != nil {
		w.setStatus("arch", ecr.Archived)
		b.image, b.absence = nil, "ARCHIVED"
		return
	}
	w.setStatus("arch", ecr.Active)
	b.image, b.absence = b.last, ""
}

func (w *oddWorld) changeArchivedIndex() {
	isArchived := w.of("arch2")[0].image == nil
	w.setStatus("arch2", map[bool]string{true: ecr.Active, false: ecr.Archived}[isArchived])
	for _, b := range w.of("arch2") {
		if b.image, b.absence = b.last, ""; !isArchived {
			b.image, b.absence = nil, "ARCHIVED"
		}
	}
}

// changeSpelling spells the platforms of an index in another way, and adds or removes a platform.
func (w *oddWorld) changeSpelling() {
	for _, b := range w.of("spelling") {
		switch {
		case strings.HasPrefix(b.platform, "linux/amd64"):
			b.platform = w.one("linux/amd64", "linux/amd64/v1", "linux/x86_64")
		case strings.HasPrefix(b.platform, "linux/arm64"):
			b.platform = w.one("linux/arm64", "linux/arm64/v8")
		case strings.HasPrefix(b.platform, "linux/arm"):
			b.platform = w.one("linux/arm", "linux/arm/v7")
		}
	}
	if w.chance(50) {
		w.toggle("spelling", w.one("linux/arm", "linux/s390x"), 2)
	}
	w.newImages("spelling", 40)
	w.putIndex("spelling")
}

// toggle removes the build of a platform if it is listed, and else adds it. least is the number of builds that stay.
func (w *oddWorld) toggle(tag, platform string, least int) {
	for _, b := range w.of(tag) {
		if b.platform == platform || strings.HasPrefix(b.platform, platform+"/v7") || strings.HasPrefix(b.platform, platform+".") {
			present := 0
			for _, other := range w.of(tag) {
				if other.image != nil {
					present++
				}
			}
			switch {
			case b.image == nil:
				b.image, b.absence = b.last, ""
			case present > least:
				b.image, b.absence = nil, "PLATFORM GONE"
			}
			return
		}
	}
	b := w.add(odd, tag)
	if b.platform = platform; strings.HasPrefix(platform, "windows") {
		b.platform += ".100"
	}
}

// changeSingle changes a tag between an image without an index and an index of one.
func (w *oddWorld) changeSingle(tag string) {
	b := w.of(tag)[0]
	if w.chance(40) {
		w.newImage(b)
	}
	if b.platform = w.one("", "linux/amd64", "linux/amd64/v1", "no platform"); b.platform == "" {
		w.ECR.PutImage(odd, b.image.definition(tag))
		w.ECR.PutImage(odd, ecr.Image{Tags: []string{tag}, Digest: b.image.digest})
		return
	}
	if b.platform == "no platform" {
		b.platform = ""
	}
	w.ECR.PutImage(odd, b.image.definition())
	w.putIndex(tag)
}

// changeWindows updates Windows builds, and adds or removes one.
func (w *oddWorld) changeWindows() {
	for _, b := range w.of("windows") {
		if w.chance(50) {
			version := b.platform[:strings.LastIndex(b.platform, ".")]
			b.platform = fmt.Sprintf("%s.%d", version, 100+w.pushes)
		}
	}
	if w.chance(40) {
		w.toggle("windows", "windows/amd64 "+w.one("10.0.17763", "10.0.20348", "10.0.26100"), 1)
	}
	w.newImages("windows", 60)
	w.putIndex("windows")
}

// changeTwins changes the places of two images of the same platform. Either one of them is new or both are. If both
// are new, nobody can know which of them continues which, so they are other builds.
func (w *oddWorld) changeTwins() {
	twins := slices.DeleteFunc(w.of("twins"), func(b *build) bool { return b.image == nil })
	switch n := w.random.IntN(3); n {
	case 0:
		w.ECR.PutImage(odd, w.newImage(twins[w.random.IntN(2)]).definition())
	case 1:
		for _, b := range twins {
			b.image, b.absence = nil, "PLATFORM GONE"
			next := w.add(odd, "twins")
			next.platform = b.platform
			w.ECR.PutImage(odd, w.newImage(next).definition())
		}
	}
	w.putIndex("twins")
}

// changeLatePlatform adds or removes the platform of an image of an index.
func (w *oddWorld) changeLatePlatform() {
	late := w.of("late")[1]
	late.platform = map[bool]string{true: "linux/arm64", false: ""}[late.platform == ""]
	w.newImages("late", 50)
	w.putIndex("late")
}

// isScanned reports whether the service knows a recent scan of each image of a tag. A tag that always changes before the
// service has read its scan is rightly reported as not scanned.
func (w *oddWorld) isScanned(tag string) bool {
	return !slices.ContainsFunc(w.of(tag), func(b *build) bool {
		return b.image != nil && !w.enhanced && (b.truth.scan == nil || w.Now().Sub(b.truth.scan.at) > 32*time.Hour)
	})
}

// resultOf returns the result that ECR has for an image now, or nil.
func (w *oddWorld) resultOf(i *image) *scanned {
	if !w.enhanced {
		return i.last
	}
	return &scanned{at: i.pushed, enhanced: true, found: i.inspector}
}
