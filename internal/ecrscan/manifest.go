package ecrscan

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json" // encoding/json accepts an object that has a name twice
	"github.com/go-json-experiment/json/jsontext"

	"ecr-continuous-scan/internal/scan"
)

// Limits of an index. They exceed what real indexes need. Each image costs two calls a day.
const (
	maxManifest = 4 << 20         // bytes; OCI registries must accept at least this size
	maxChildren = 100             // images
	maxEntries  = 3 * maxChildren // an image can have a second entry, such as the one for lazy loading
)

// imageIndex contains the entries of an index that may be images.
type imageIndex struct {
	entries []entry
	// artifacts is the number of entries that are certainly not images.
	artifacts int
	// untagged are the digests of all entries that are untagged images of the repository, also of those that are not images
	// for the service, such as attestations.
	untagged map[string]bool
	// err is set if the list of entries is not complete.
	err error
}

// entry is an entry of an index that may be an image.
type entry struct {
	digest   string
	platform platform
	isIndex  bool
	// isUnclear means that the index does not say clearly that the entry is an image. Its own manifest decides.
	isUnclear bool
}

// descriptor is the JSON of an entry. It is the same in an OCI image index and in a Docker manifest list. Annotations are not
// read: runtimes choose an entry by its platform alone.
type descriptor struct {
	MediaType    string   `json:"mediaType"`
	Digest       string   `json:"digest"`
	Platform     platform `json:"platform"`
	ArtifactType string   `json:"artifactType"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
	OSVersion    string `json:"os.version"`
}

var digestForm = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

// decodeManifest decodes a manifest into v. Programs that read manifests differ in names that occur twice and in the case of
// names. Therefore such names are errors.
func decodeManifest(text string, v any) error {
	if len(text) > maxManifest {
		return fmt.Errorf("the manifest has %d bytes, more than %d", len(text), maxManifest)
	}
	return json.Unmarshal([]byte(text), v, json.MatchCaseInsensitiveNames(true))
}

// readIndex parses the manifest of the index with the given digest. It lists the valid entries even if others are invalid.
// untagged are the digests of the untagged images of the repository, if they are known.
func readIndex(digest, text string, untagged map[string]bool) imageIndex {
	manifest := struct {
		Manifests descriptors `json:"manifests"`
	}{descriptors{of: digest, known: untagged, imageIndex: imageIndex{untagged: make(map[string]bool)}}}
	switch err := decodeManifest(text, &manifest); {
	case err != nil:
		return imageIndex{err: permanentError("broken image index", err)}
	case !manifest.Manifests.isList:
		return imageIndex{err: permanentError("broken image index", errors.New("no list of manifests"))}
	}
	list := manifest.Manifests
	if n := list.count; n > maxEntries {
		list.fail(permanentError(fmt.Sprintf("image index of %d entries, only the first %d are read", n, maxEntries), list.err))
	}
	return list.imageIndex
}

// descriptors decodes the list of an index. It keeps only what is needed, because a manifest can have a million entries.
type descriptors struct {
	imageIndex
	of     string
	known  map[string]bool // the untagged images of the repository
	isList bool
	count  int
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (l *descriptors) UnmarshalJSONFrom(text *jsontext.Decoder) error {
	l.isList = text.PeekKind() == '['
	if !l.isList {
		return text.SkipValue()
	}
	if _, err := text.ReadToken(); err != nil {
		return err
	}
	for text.PeekKind() != ']' {
		var d descriptor
		if err := json.UnmarshalDecode(text, &d); err != nil {
			return err
		}
		l.add(d)
	}
	_, err := text.ReadToken()
	return err
}

func (l *descriptors) add(d descriptor) {
	if _, isUntagged := l.known[d.Digest]; isUntagged && d.Digest != l.of {
		l.untagged[d.Digest] = true
	}
	if d.isAttestation() {
		l.artifacts++
		return
	}
	l.count++
	switch {
	case l.count > maxEntries:
	case !digestForm.MatchString(d.Digest), d.Digest == l.of:
		l.fail(permanentError("broken image index", fmt.Errorf("invalid digest %.150q of an image", d.Digest)))
	default:
		e := entry{digest: d.Digest, platform: d.Platform.bounded(), isIndex: isIndex(d.MediaType)}
		e.isUnclear = !e.isIndex && (!isImage(d.MediaType) || d.ArtifactType != "" && !isImageConfig(d.ArtifactType))
		l.entries = append(l.entries, e)
	}
}

// fail records why the list of images is not complete. A temporary error replaces a permanent one.
func (x *imageIndex) fail(err error) {
	if x.err == nil || isTemporary(err) && !isTemporary(x.err) {
		x.err = err
	}
}

// isTemporary reports whether a retry may succeed.
func isTemporary(err error) bool { return err != nil && scan.CodeOf(err) != scan.NotScannable }

// isAttestation reports whether an entry is an attestation, such as provenance. Builders add it as a manifest for an unknown
// platform, which no runtime chooses.
func (d descriptor) isAttestation() bool {
	return d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
}

// distinct removes repeated entries: those with the same digest and the same normalized platform. It keeps the spelling of the
// platform that sorts first, so that it does not depend on the order.
func distinct(entries []entry) []entry {
	type key struct{ digest, platform string }
	at := make(map[key]int, len(entries))
	var kept []entry
	for _, e := range entries {
		k := key{e.digest, e.platform.normalized()}
		switch i, known := at[k]; {
		case !known:
			at[k] = len(kept)
			kept = append(kept, e)
		case e.platform.compare(kept[i].platform) < 0:
			kept[i].platform = e.platform
		}
	}
	return kept
}

// markUnclear marks the entries without a platform, and those that have the platform of another entry.
func markUnclear(entries []entry) {
	count := make(map[string]int, len(entries))
	for _, e := range entries {
		if !e.isUnclear {
			count[e.platform.normalized()]++
		}
	}
	for i, e := range entries {
		name := e.platform.normalized()
		entries[i].isUnclear = e.isUnclear || name == "" || count[name] > 1
	}
}

// own is what an object's own manifest says about it.
type own struct {
	// isArtifact means that its config is not that of an image. No runtime can run it.
	isArtifact bool
	// hasLayer means that it has a layer with files.
	hasLayer bool
}

// readManifest parses the manifest of an object that may be an image. What can't be parsed is not certainly an artifact.
func readManifest(text string) own {
	var manifest struct {
		Config struct {
			MediaType string `json:"mediaType"`
		} `json:"config"`
		Layers layers `json:"layers"`
	}
	if err := decodeManifest(text, &manifest); err != nil {
		return own{hasLayer: true}
	}
	return own{isArtifact: !isImageConfig(manifest.Config.MediaType) && !isOddConfig(manifest.Config.MediaType), hasLayer: bool(manifest.Layers)}
}

// layers is true if one of the layers of a manifest has files.
type layers bool

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (l *layers) UnmarshalJSONFrom(text *jsontext.Decoder) error {
	if text.PeekKind() != '[' {
		return text.SkipValue()
	}
	if _, err := text.ReadToken(); err != nil {
		return err
	}
	for text.PeekKind() != ']' {
		var layer struct {
			MediaType string `json:"mediaType"`
		}
		if err := json.UnmarshalDecode(text, &layer); err != nil {
			return err
		}
		*l = *l || layers(isOddConfig(layer.MediaType) || strings.Contains(layer.MediaType, ".tar"))
	}
	_, err := text.ReadToken()
	return err
}

// Media types of image manifests. Old builders omit the media type in an index.
const (
	dockerImage   = "application/vnd.docker.distribution.manifest.v2+json"
	dockerImageV1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	ociImage      = "application/vnd.oci.image.manifest.v1+json"
)

func isImage(mediaType string) bool {
	return slices.Contains([]string{"", dockerImage, dockerImageV1, ociImage}, mediaType)
}

func isIndex(mediaType string) bool { return mediaType == dockerList || mediaType == ociIndex }

func isImageConfig(mediaType string) bool { return mediaType == dockerConfig || mediaType == ociConfig }

// isOddConfig reports whether Docker runs an image with this media type of the config, because of old registries.
func isOddConfig(mediaType string) bool {
	return slices.Contains([]string{"", "application/octet-stream", "application/json", "text/html"}, mediaType)
}

// permanentError returns the error of an index that can't be resolved and that a retry doesn't fix. reason is for users.
func permanentError(reason string, cause error) error {
	return &scan.Error{Code: scan.NotScannable, Message: reason, Err: cause}
}
