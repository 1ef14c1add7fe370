package ecrscan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

const (
	// maxPlatform is the maximum length of a platform's name in bytes.
	maxPlatform = 128
	// noPlatform is the name of the platform of an image that an index lists without one.
	noPlatform = "no platform"
	// shortDigest is the number of hexadecimal digits of a digest in a name.
	shortDigest = 12
)

// bounded returns the platform with short copies of its texts. A part of a long text would keep the whole text in memory.
func (p platform) bounded() platform {
	short := func(s string) string { return strings.Clone(cut(s, maxPlatform)) }
	return platform{short(p.OS), short(p.Architecture), short(p.Variant), short(p.OSVersion)}
}

func cut(s string, max int) string { return strings.ToValidUTF8(s[:min(len(s), max)], "") }

func (p platform) compare(q platform) int {
	return cmp.Or(strings.Compare(p.OS, q.OS), strings.Compare(p.Architecture, q.Architecture), strings.Compare(p.Variant, q.Variant), strings.Compare(p.OSVersion, q.OSVersion))
}

func (p platform) normalized() string {
	return cut(scan.NormalizePlatform(strings.TrimSpace(p.name(fullVersion))), maxPlatform)
}

// The details of a name.
const (
	noVersion = iota
	windowsBuild
	fullVersion
)

// name returns os/architecture, the variant if there is one, and the version in the given detail.
func (p platform) name(detail int) string {
	name := strings.TrimSpace(strings.Trim(p.OS+"/"+p.Architecture+"/"+p.Variant, "/"))
	version := p.OSVersion
	if parts := strings.Split(version, "."); detail == windowsBuild && len(parts) > 3 {
		version = strings.Join(parts[:3], ".") // the fourth part changes with each monthly update
	}
	if name == "" || detail == noVersion || version == "" {
		return name
	}
	return name + " " + version
}

// platformNames returns the name of each image's platform. Names are unique, and the order of the images does not matter. They
// are never empty, because that is the name of the index itself. Names are part of the identity of a finding. Therefore they
// contain more details only if two images of the index would otherwise have the same name: first the Windows build, then the
// full version, then the digest.
func platformNames(images []entry) []string {
	names := make([]string, len(images))
	alike := make(map[string]int, len(images))
	for detail := range fullVersion + 1 {
		next := make(map[string]int, len(images))
		for i, image := range images {
			if detail == 0 || alike[names[i]] > 1 {
				names[i] = cmp.Or(cut(image.platform.name(detail), maxPlatform), noPlatform)
			}
			next[names[i]]++
		}
		alike = next
	}
	order := make([]int, len(images))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(strings.Compare(images[i].digest, images[j].digest), images[i].platform.compare(images[j].platform))
	})
	taken := make(map[string]bool, len(images))
	for _, i := range order {
		name := names[i]
		for n := 0; taken[name] || n == 0 && alike[name] > 1 || n > 0 && alike[name] > 0; n++ {
			suffix := " " + images[i].suffix(n)
			name = cut(names[i], maxPlatform-len(suffix)) + suffix
		}
		names[i], taken[name] = name, true
	}
	return names
}

// suffix returns what distinguishes an image from another one of the same name: a part of its digest, and if that is not
// enough, of a hash of its digest and platform.
func (e entry) suffix(n int) string {
	_, digits, _ := strings.Cut(e.digest, ":")
	if n > 0 {
		sum := sha256.Sum256(fmt.Append(nil, n, e.digest, e.platform))
		digits = hex.EncodeToString(sum[:])
	}
	return digits[:shortDigest]
}
