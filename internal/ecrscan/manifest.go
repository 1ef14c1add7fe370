package ecrscan

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// Limits of an index. They exceed what real indexes need. Each image costs two calls a day.
const (
	maxManifest = 4 << 20 // bytes; OCI registries must accept at least this size
	maxChildren = 100     // images
	maxPlatform = 128     // bytes; maximum length of a platform's name
)

// child is an image that an index lists for a platform. listed is the normalized platform.
type child struct {
	digest, platform, listed string
}

// imageIndex contains the images that an index lists. err is set if the list is not complete.
type imageIndex struct {
	images []child
	err    error
}

// manifest is the JSON of an OCI image index or a Docker manifest list. The fields used here are the same in both.
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

// readIndex parses the manifest of the index with the given digest. It lists the valid images even if other entries are
// invalid. It does not resolve nested indexes.
func readIndex(digest, text string) imageIndex {
	if len(text) > maxManifest {
		return imageIndex{err: permanentError("broken image index", fmt.Errorf("the manifest has %d bytes, more than %d", len(text), maxManifest))}
	}
	var m manifest
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return imageIndex{err: permanentError("broken image index", err)}
	}
	if m.Manifests == nil {
		return imageIndex{err: permanentError("broken image index", errors.New("no list of manifests"))}
	}
	var x imageIndex
	x.images, x.err = m.children(digest)
	if len(x.images) > maxChildren {
		x.err = permanentError(fmt.Sprintf("image index of %d images, only the first %d are scanned", len(x.images), maxChildren), x.err)
		x.images = x.images[:maxChildren]
	}
	if len(x.images) == 0 && x.err == nil {
		x.err = permanentError("image index without images", nil)
	}
	return x
}

// children lists the images of the manifest. It returns an error if there are other entries that may contain images.
func (m manifest) children(of string) ([]child, error) {
	var images []descriptor
	var err error
	listed := make(map[descriptorKey]bool, len(m.Manifests))
	for _, d := range m.Manifests {
		switch {
		case d.isAttestation(), !isIndex(d.MediaType) && !isImage(d.MediaType), listed[d.key()]:
		case !digestForm.MatchString(d.Digest), d.Digest == of:
			err = permanentError("broken image index", fmt.Errorf("invalid digest %.150q of an image", d.Digest))
		case isIndex(d.MediaType):
			err = permanentError("nested image index", nil)
		default:
			listed[d.key()] = true
			images = append(images, d)
		}
	}
	children := make([]child, len(images))
	for i, name := range platformNames(images) {
		children[i] = child{images[i].Digest, name, images[i].Platform.normalized()}
	}
	return children, err
}

type descriptorKey struct {
	digest   string
	platform platform
}

func (d descriptor) key() descriptorKey { return descriptorKey{d.Digest, d.Platform} }

// isAttestation reports whether an entry is an attestation, such as provenance. Builders add it as a manifest for an unknown
// platform.
func (d descriptor) isAttestation() bool {
	return d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown" ||
		d.Annotations.Type == "attestation-manifest"
}

// platformNames returns the name of each image's platform: os/architecture, and the variant if there is one. Names are part
// of the identity of a finding. Therefore they contain more details only if two images of the index would otherwise have the
// same name: first the Windows build, then the full version, then a number.
func platformNames(images []descriptor) []string {
	names := make([]string, len(images))
	counts := make(map[string]int, len(images))
	for detail := range 4 {
		previous := counts
		counts = make(map[string]int, len(images))
		nth := make(map[string]int)
		for i, d := range images {
			if old := names[i]; detail == 0 || previous[old] > 1 {
				nth[old]++
				names[i] = d.Platform.name(detail, nth[old])
			}
			counts[names[i]]++
		}
	}
	return names
}

// name returns the platform's name with a level of detail from 0 to 3. Level 3 adds the number nth.
func (p platform) name(detail, nth int) string {
	name := p.base()
	version := p.OSVersion
	if parts := strings.Split(version, "."); detail == 1 && len(parts) > 3 {
		version = strings.Join(parts[:3], ".") // the fourth part changes with each monthly update
	}
	if detail > 0 && version != "" {
		name += " " + version
	}
	if detail == 3 {
		name += fmt.Sprintf(" #%d", nth)
	}
	return cutPlatform(strings.TrimSpace(name))
}

func (p platform) base() string { return strings.Trim(p.OS+"/"+p.Architecture+"/"+p.Variant, "/") }

func (p platform) normalized() string {
	return cutPlatform(scan.NormalizePlatform(strings.TrimSpace(p.base() + " " + p.OSVersion)))
}

func cutPlatform(name string) string {
	return strings.ToValidUTF8(name[:min(len(name), maxPlatform)], "")
}

// Media types of images in an index. Old builders omit the media type.
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

// permanentError returns the error of an index that can't be resolved and that a retry doesn't fix. reason is for users.
func permanentError(reason string, cause error) error {
	return &scan.Error{Code: scan.NotScannable, Message: reason, Err: cause}
}
