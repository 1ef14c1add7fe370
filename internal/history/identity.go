package history

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// Identify returns the listed images with the labels under which the record has them, so that ids and histories
// continue when an index spells a platform in another way, lists its images in another order, or gets or loses an
// image. An image that the record does not have gets a new label. The labels of a tag are unique. A listed tag that
// is not an image, or an index that can't be read, never gets the label of another image of the tag.
func (r *Record) Identify(listed []scan.Image) []scan.Image {
	images := slices.Clone(listed)
	tags := make(map[string]*tagMatcher)
	for _, i := range images {
		if (i.Platform != "" || i.Index != "") && tags[i.Tag] == nil {
			tags[i.Tag] = &tagMatcher{}
		}
	}
	for _, known := range r.Images {
		if (known.Platform != "" || known.Index != "") && tags[known.Tag] == nil {
			tags[known.Tag] = &tagMatcher{}
		}
	}
	if len(tags) == 0 {
		return images
	}
	for i := range images {
		if m := tags[images[i].Tag]; m != nil {
			m.add(&images[i])
		}
	}
	for _, known := range r.Images {
		if m := tags[known.Tag]; m != nil {
			m.known = append(m.known, newKnownImage(*known))
		}
	}
	for tag, m := range tags {
		m.assignLabels()
		delete(tags, tag) // a repository can have 100,000 tags
	}
	return images
}

// knownImage is what identifies an image of the record.
type knownImage struct {
	label, platform, digest, index string
	isMissing, isReplaceable       bool
	// missingSince is when a missing image was first missing.
	missingSince Stamp
}

func newKnownImage(r ImageRecord) *knownImage {
	return &knownImage{
		label: r.Platform, platform: r.platform(), digest: r.lastDigest(), index: r.Index,
		isMissing: r.Kind == scan.Missing && !r.mayReturn(), isReplaceable: r.isReplaceable(), missingSince: r.MissingSince,
	}
}

// tagMatcher matches the listed images of one tag with the images of the record.
type tagMatcher struct {
	known []*knownImage
	// listed are the listed images. others are the listed objects that can't be scanned: an index that can't be read,
	// and what is not an image.
	listed, others []*scan.Image
	// unmatched are the listed images that still have no image of the record. gone are the images of the record that
	// exist and still have no listed image, and missing are those that did not exist at the last listing.
	unmatched     []*scan.Image
	gone, missing []*knownImage
	lastMissing   Stamp // when the last of them became missing
	taken         map[string]bool
}

func (m *tagMatcher) add(i *scan.Image) {
	if i.Kind == scan.PlainImage || i.Kind == scan.Archived {
		m.listed = append(m.listed, i)
	} else {
		m.others = append(m.others, i)
	}
}

// assignLabels sets the platforms of the listed images. The order of the steps matters: what is certain comes first.
func (m *tagMatcher) assignLabels() {
	m.prepare()
	m.matchUnchanged()
	if len(m.others) == 0 && len(m.listed) == 1 && len(m.gone) == 1 {
		m.matchOnly(&m.gone) // the only image of a tag is the same image with or without an index around it
	}
	m.match(&m.gone, exactPlatform, sameDigest)
	m.match(&m.gone, sameDigest)
	m.match(&m.gone, exactPlatform)
	m.match(&m.gone, platformWithoutUpdate)
	m.matchReturned(knownPlatform)
	m.matchReturned(platformWithoutUpdate)
	m.match(&m.gone, platformWithoutVersion)
	if len(m.others) == 0 {
		m.matchOnly(&m.gone) // one went and one came
	}
	m.match(&m.missing, sameDigest)
	m.matchReturned(exactPlatform)
	if len(m.gone) == 0 && len(m.others) == 0 {
		m.matchOnlyReturned()
	}
	for _, i := range m.unmatched {
		i.Platform = m.newLabel(*i)
		m.taken[i.Platform] = true
	}
	m.labelOthers()
}

// prepare sorts everything, because the result must not depend on the order of a listing or of a map.
func (m *tagMatcher) prepare() {
	slices.SortFunc(m.known, func(a, b *knownImage) int { return strings.Compare(a.label, b.label) })
	slices.SortStableFunc(m.listed, func(a, b *scan.Image) int {
		return cmp.Or(strings.Compare(a.Platform, b.Platform), strings.Compare(a.Listed, b.Listed), strings.Compare(a.Digest, b.Digest))
	})
	m.unmatched = slices.Clone(m.listed)
	m.taken = make(map[string]bool, len(m.known)+len(m.listed))
	for _, known := range m.known {
		switch {
		case known.isReplaceable:
			continue
		case known.isMissing:
			m.missing = append(m.missing, known)
			m.lastMissing = max(m.lastMissing, known.missingSince)
		default:
			m.gone = append(m.gone, known)
		}
		m.taken[known.label] = true
	}
}

// isReplaceable reports whether the record has no image with the label: only a tag that never was an image, or that
// no listing ever had.
func (r ImageRecord) isReplaceable() bool {
	return r.Kind != scan.PlainImage && r.Scan.Completed == 0 && r.History == "" && len(r.Gaps)+len(r.Failures) == 0
}

// platform returns the normalized platform under which the image was last listed, or an empty string if it is not
// known. Earlier versions recorded only the label.
func (r ImageRecord) platform() string {
	if r.Listed != "" || !strings.Contains(r.Platform, "/") {
		return r.Listed
	}
	label, _, _ := strings.Cut(r.Platform, " #")
	return scan.NormalizePlatform(label)
}

// lastDigest returns the digest of the image. For a missing image it is the last digest that was scanned.
func (r ImageRecord) lastDigest() string { return cmp.Or(r.Digest, r.Scan.Digest) }

// identityKey returns what must be equal in an image of the record and a listed image, or false if it is not known.
type identityKey func(platform, digest string) (string, bool)

func sameDigest(_, digest string) (string, bool) { return digest, digest != "" }

func exactPlatform(platform, _ string) (string, bool) { return platform, true }

func knownPlatform(platform, _ string) (string, bool) { return platform, platform != "" }

// platformWithoutUpdate ignores the fourth part of a Windows version, which changes with each monthly update.
func platformWithoutUpdate(platform, _ string) (string, bool) {
	name, version, _ := strings.Cut(platform, " ")
	if build, hasBuild := windowsBuild(platform); hasBuild {
		version = build
	}
	return name + " " + version, version != ""
}

func platformWithoutVersion(platform, _ string) (string, bool) {
	name, _, _ := strings.Cut(platform, " ")
	return name, name != ""
}

// match matches the images of the record with the listed images whose keys are equal, if no other image has these
// keys.
func (m *tagMatcher) match(from *[]*knownImage, keys ...identityKey) {
	if len(*from) == 0 || len(m.unmatched) == 0 {
		return
	}
	known, images := make(map[string][]*knownImage), make(map[string][]*scan.Image)
	for _, one := range *from {
		if key, ok := joinKeys(keys, one.platform, one.digest); ok {
			known[key] = append(known[key], one)
		}
	}
	for _, one := range m.unmatched {
		if key, ok := joinKeys(keys, one.Listed, one.Digest); ok {
			images[key] = append(images[key], one)
		}
	}
	for key, candidates := range known {
		if len(candidates) == 1 && len(images[key]) == 1 {
			m.assign(candidates[0], images[key][0], from)
		}
	}
}

func joinKeys(keys []identityKey, platform, digest string) (string, bool) {
	var joined string
	for _, key := range keys {
		part, ok := key(platform, digest)
		if !ok {
			return "", false
		}
		joined += part + "\x00"
	}
	return joined, true
}

// matchUnchanged matches images whose digest and suggested label are those of the record. It is certain also for one
// digest that an index lists several times.
func (m *tagMatcher) matchUnchanged() {
	for _, i := range slices.Clone(m.unmatched) {
		isSame := func(known *knownImage) bool { return known.label == i.Platform && known.digest == i.Digest }
		if n := slices.IndexFunc(m.gone, isSame); n >= 0 {
			m.assign(m.gone[n], i, &m.gone)
		}
	}
}

// matchReturned is like match for missing images of the record. An image that exists and has the same key makes it
// ambiguous. The images that became missing last are first.
func (m *tagMatcher) matchReturned(key identityKey) {
	m.matchMissing(m.missingLast(), key)
	m.matchMissing(m.missing, key)
}

func (m *tagMatcher) matchMissing(missing []*knownImage, key identityKey) {
	all := slices.Concat(m.gone, missing)
	rest := slices.Clone(all)
	m.match(&rest, key)
	isMatched := func(one *knownImage) bool { return slices.Contains(all, one) && !slices.Contains(rest, one) }
	m.gone, m.missing = slices.DeleteFunc(m.gone, isMatched), slices.DeleteFunc(m.missing, isMatched)
}

// missingLast returns the missing images that became missing last.
func (m *tagMatcher) missingLast() []*knownImage {
	return slices.DeleteFunc(slices.Clone(m.missing), func(known *knownImage) bool { return known.missingSince < m.lastMissing })
}

// matchOnlyReturned matches the only listed image with the image that became missing last, if it was the only one. Known
// platforms that are equal are already matched. An image of another variant or Windows version is another image, because it
// did not come when the missing one went.
func (m *tagMatcher) matchOnlyReturned() {
	lost := m.missingLast()
	if len(lost) != 1 || len(m.unmatched) != 1 {
		return
	}
	known, listed := lost[0].platform, m.unmatched[0].Listed
	oneHasNoVersion := strings.Contains(known, " ") != strings.Contains(listed, " ")
	if known == "" || listed == "" || oneHasNoVersion {
		m.assign(lost[0], m.unmatched[0], &m.missing)
	}
}

// matchOnly matches the only image of the record with the only listed image.
func (m *tagMatcher) matchOnly(from *[]*knownImage) {
	if len(*from) == 1 && len(m.unmatched) == 1 {
		m.assign((*from)[0], m.unmatched[0], from)
	}
}

// assign gives a listed image the label of an image of the record, unless their platforms are known to be different, or
// the label has another Windows build. Without a build in the label, the image can move to another build.
func (m *tagMatcher) assign(known *knownImage, listed *scan.Image, from *[]*knownImage) {
	if !canBeSame(known.platform, listed.Listed) || known.digest != listed.Digest && hasOtherBuild(known.label, listed.Listed) {
		return
	}
	listed.Platform = known.label
	m.unmatched = slices.DeleteFunc(m.unmatched, func(i *scan.Image) bool { return i == listed })
	*from = slices.DeleteFunc(*from, func(other *knownImage) bool { return other == known })
}

// hasOtherBuild reports whether a label and a platform have different Windows builds.
func hasOtherBuild(label, platform string) bool {
	named, inLabel := windowsBuild(label)
	listed, isKnown := windowsBuild(platform)
	return inLabel && isKnown && named != listed
}

// windowsBuild returns the first three parts of the Windows version in a platform or a label.
func windowsBuild(platform string) (string, bool) {
	_, version, _ := strings.Cut(platform, " ")
	version, _, _ = strings.Cut(version, " ")
	parts := strings.Split(version, ".")
	if len(parts) < 3 {
		return "", false
	}
	return strings.Join(parts[:3], "."), true
}

// canBeSame reports whether two platforms have the same operating system and architecture, or one of them is unknown.
func canBeSame(a, b string) bool {
	return a == "" || b == "" || systemOf(a) == systemOf(b)
}

func systemOf(platform string) string {
	name, _, _ := strings.Cut(platform, " ")
	if parts := strings.SplitN(name, "/", 3); len(parts) == 3 {
		return parts[0] + "/" + parts[1]
	}
	return name
}

// shortDigest is the number of hexadecimal digits of a digest in a label. maxLabel is the maximum length of a label
// to which a digest is added, in bytes.
const (
	shortDigest = 12
	maxLabel    = 100
)

// newLabel returns a platform label that no other image of the tag has: the suggested one, the full platform, or one
// with the digest.
func (m *tagMatcher) newLabel(i scan.Image) string {
	if !m.taken[i.Platform] {
		return i.Platform
	}
	isAlike := func(other *scan.Image) bool { return other.Listed == i.Listed && other.Digest != i.Digest }
	if i.Listed != "" && !m.taken[i.Listed] && !slices.ContainsFunc(m.listed, isAlike) {
		return i.Listed
	}
	_, hex, _ := strings.Cut(i.Digest, ":")
	hex = cmp.Or(hex, i.Digest)
	base := strings.ToValidUTF8(i.Platform[:min(len(i.Platform), maxLabel)], "")
	return m.numbered(strings.TrimSpace(base + " " + hex[:min(len(hex), shortDigest)]))
}

// numbered returns the label, with a number if another image of the tag has it.
func (m *tagMatcher) numbered(label string) string {
	numbered := label
	for n := 2; m.taken[numbered]; n++ {
		numbered = label + " #" + strconv.Itoa(n)
	}
	return numbered
}

// labelOthers gives labels to what is listed and can't be scanned. It usually has the label of its tag. An index that
// can't be read does not get the label of its own image, because that image can still be known.
func (m *tagMatcher) labelOthers() {
	for n, i := range m.others {
		i.Platform = ""
		holder := slices.IndexFunc(m.known, func(known *knownImage) bool { return known.label == "" })
		isReplaced := n == 0 && len(m.listed) == 0 && holder >= 0 && !m.known[holder].isMissing && m.known[holder].index != i.Digest
		if m.taken[""] && !isReplaced {
			i.Platform = m.numbered(string(i.Kind))
		}
		m.taken[i.Platform] = true
	}
}
