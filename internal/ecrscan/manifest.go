package ecrscan

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// Bounds of an index: what a registry need not store, nobody builds for so many platforms. Each image costs two calls a day.
const (
	maxManifest = 4 << 20 // bytes; what the OCI registries have to take at least
	maxChildren = 100     // images
	maxPlatform = 128     // bytes of a platform's name
)

// child is an image that an index lists for a platform.
type child struct {
	digest, platform string
}

// index is what an index lists: its images, and why it lists more than these, if it does.
type index struct {
	images []child
	err    error
}

// manifest is the JSON of an index: OCI's image index, or Docker's manifest list, which is the same as far as it is read here.
type manifest struct {
	Manifests []descriptor `json:"manifests"`
}

type descriptor struct {
	MediaType   string   `json:"mediaType"`
	Digest      string   `json:"digest"`
	Platform    platform `json:"platform"`
	Annotations struct {
		Type string `json:"vnd.docker.reference.type"`
	} `json:"annotations"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
	OSVersion    string `json:"os.version"`
}

var digestForm = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

// readIndex reads the manifest of the index with the given digest. What can be scanned of it is listed even if the rest is broken; an index
// within the index is not followed.
func readIndex(digest, text string) index {
	if len(text) > maxManifest {
		return index{err: lasting("broken image index", fmt.Errorf("a manifest of %d bytes", len(text)))}
	}
	var m manifest
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return index{err: lasting("broken image index", err)}
	}
	if m.Manifests == nil {
		return index{err: lasting("broken image index", errors.New("no list of manifests"))}
	}
	var x index
	x.images, x.err = m.children(digest)
	if len(x.images) > maxChildren {
		x.err = lasting(fmt.Sprintf("image index of %d images, of which %d are scanned", len(x.images), maxChildren), x.err)
		x.images = x.images[:maxChildren]
	}
	if len(x.images) == 0 && x.err == nil {
		x.err = lasting("image index without images", nil)
	}
	return x
}

// children lists the images, and tells of what else is there that may hold some.
func (m manifest) children(of string) ([]child, error) {
	var images []descriptor
	var err error
	listed := make(map[descriptorKey]bool, len(m.Manifests))
	for _, d := range m.Manifests {
		switch {
		case d.isAttestation(), !isIndex(d.MediaType) && !isImage(d.MediaType), listed[d.key()]:
		case !digestForm.MatchString(d.Digest), d.Digest == of:
			err = lasting("broken image index", fmt.Errorf("the digest %.150q of an image in it", d.Digest))
		case isIndex(d.MediaType):
			err = lasting("nested image index", nil)
		default:
			listed[d.key()] = true
			images = append(images, d)
		}
	}
	children := make([]child, len(images))
	for i, name := range platformNames(images) {
		children[i] = child{images[i].Digest, name}
	}
	return children, err
}

type descriptorKey struct {
	digest   string
	platform platform
}

func (d descriptor) key() descriptorKey { return descriptorKey{d.Digest, d.Platform} }

// isAttestation recognises what builders put beside the images, such as provenance: it is a manifest for an unknown platform.
func (d descriptor) isAttestation() bool {
	return d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown" ||
		d.Annotations.Type == "attestation-manifest"
}

// platformNames names each image's platform, os/architecture and a variant if there is one. Names are part of the identity of a finding, so
// they say no more than it takes to tell the images of an index apart: Windows' build, its full version, the place among those alike.
func platformNames(images []descriptor) []string {
	names := make([]string, len(images))
	seen := make(map[string]int, len(images))
	for detail := range 4 {
		alike := seen
		seen = make(map[string]int, len(images))
		nth := make(map[string]int)
		for i, d := range images {
			if old := names[i]; detail == 0 || alike[old] > 1 {
				nth[old]++
				names[i] = d.Platform.name(detail, nth[old])
			}
			seen[names[i]]++
		}
	}
	return names
}

// name is the platform's name in more and more detail; nth tells those apart that have all else in common.
func (p platform) name(detail, nth int) string {
	name := strings.Trim(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
	version := p.OSVersion
	if parts := strings.Split(version, "."); detail == 1 && len(parts) > 3 {
		version = strings.Join(parts[:3], ".") // the fourth changes with each month's update
	}
	if detail > 0 && version != "" {
		name += " " + version
	}
	if detail == 3 {
		name += fmt.Sprintf(" #%d", nth)
	}
	name = strings.TrimSpace(name)
	return strings.ToValidUTF8(name[:min(len(name), maxPlatform)], "")
}

// The media types of what an index may list as an image; an old builder may have given none.
const (
	dockerImage   = "application/vnd.docker.distribution.manifest.v2+json"
	dockerImageV1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	ociImage      = "application/vnd.oci.image.manifest.v1+json"
)

func isImage(mediaType string) bool {
	switch mediaType {
	case "", dockerImage, dockerImageV1, ociImage:
		return true
	}
	return false
}

func isIndex(mediaType string) bool { return mediaType == dockerList || mediaType == ociIndex }

// lasting is why an index can't be resolved, in words for people, when no other try will mend it.
func lasting(reason string, cause error) error {
	return &scan.Error{Code: scan.NotScannable, Message: reason, Err: cause}
}
