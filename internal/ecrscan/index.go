package ecrscan

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// readAllIndexes reads the indexes of a list of images, and the indexes that these list. untagged is as for [readIndex].
func (c *Client) readAllIndexes(ctx context.Context, repo scan.Repository, images []scan.Image, untagged map[string]bool) map[string]imageIndex {
	indexes := make(map[string]imageIndex)
	c.readIndexes(ctx, repo, digestsOf(images, scan.Index), untagged, indexes)
	c.readIndexes(ctx, repo, nestedIn(indexes), untagged, indexes)
	return indexes
}

// resolve replaces each index with the images that it lists, with the index's tag and their platform. An index that can't be
// resolved completely stays in the list, with the reason as its Err. It also decides the kind of the images whose kind is not
// clear.
func (c *Client) resolve(ctx context.Context, repo scan.Repository, images []scan.Image, indexes map[string]imageIndex) []scan.Image {
	digests, unclearDigests := digestsOf(images, scan.Index), digestsOf(images, unclearKind)
	if len(digests)+len(unclearDigests) == 0 {
		return images // not copied, because there can be 100,000
	}
	flat := make(map[string]imageIndex, len(digests))
	var unclear []string
	for _, digest := range digests {
		x := flatten(digest, indexes)
		for _, e := range x.entries {
			if e.isUnclear && !isTemporary(x.err) {
				unclear = append(unclear, e.digest)
			}
		}
		flat[digest] = x
	}
	manifests := c.readManifests(ctx, repo, append(unclear, unclearDigests...))
	children := make(map[string]resolvedIndex, len(digests))
	for digest, x := range flat {
		children[digest] = x.resolve(manifests)
	}
	resolved := make([]scan.Image, 0, len(images)+2*len(digests))
	for _, image := range images {
		switch image.Kind {
		case scan.Index:
			resolved = append(resolved, children[image.Digest].imagesFor(image)...)
		case unclearKind:
			resolved = append(resolved, manifests[image.Digest].decide(image))
		default:
			resolved = append(resolved, image)
		}
	}
	return resolved
}

// digestsOf returns the digests of the images of a kind.
func digestsOf(images []scan.Image, kind scan.Kind) []string {
	var digests []string
	for _, image := range images {
		if image.Kind == kind {
			digests = append(digests, image.Digest)
		}
	}
	return sortedDistinct(digests)
}

func sortedDistinct(digests []string) []string {
	slices.Sort(digests)
	return slices.Compact(digests)
}

// readIndexes reads the manifests of indexes into a map by digest.
func (c *Client) readIndexes(ctx context.Context, repo scan.Repository, digests []string, untagged map[string]bool, into map[string]imageIndex) {
	found := make([]imageIndex, len(digests))
	r := manifestReader{
		Client: c, repo: repo, accepted: []string{ociIndex, dockerList}, digests: digests,
		receive: func(i int, text string, err error) {
			if err != nil {
				found[i].err = err
				return
			}
			found[i] = readIndex(digests[i], text, untagged)
		},
	}
	r.readAll(ctx)
	for i, digest := range digests {
		into[digest] = found[i]
	}
}

// nestedIn returns the digests of the indexes that other indexes list and that were not read.
func nestedIn(indexes map[string]imageIndex) []string {
	nested := make(map[string]bool)
	for _, x := range indexes {
		for _, e := range x.entries {
			if _, known := indexes[e.digest]; e.isIndex && !known {
				nested[e.digest] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(nested))
}

// flatten returns the index with the entries of its nested indexes instead of them.
func flatten(digest string, indexes map[string]imageIndex) imageIndex {
	x := indexes[digest]
	flat := imageIndex{artifacts: x.artifacts, err: x.err}
	for _, e := range x.entries {
		if !e.isIndex {
			flat.entries = append(flat.entries, e)
			continue
		}
		inner := indexes[e.digest]
		flat.artifacts += inner.artifacts
		if isTemporary(inner.err) {
			flat.fail(inner.err)
		} else if inner.err != nil {
			flat.fail(permanentError("nested "+scan.MessageOf(inner.err), inner.err))
		}
		for _, nested := range inner.entries {
			if nested.isIndex {
				flat.fail(permanentError("image index nested more than once", nil))
				continue
			}
			if nested.platform == (platform{}) {
				nested.platform = e.platform
			}
			flat.entries = append(flat.entries, nested)
		}
	}
	flat.entries = distinct(flat.entries)
	markUnclear(flat.entries)
	return flat
}

// manifestResult is what is known about an object from its own manifest. err is why the manifest could not be read.
type manifestResult struct {
	own
	err error
}

// readManifests reads the manifests of objects that may be images.
func (c *Client) readManifests(ctx context.Context, repo scan.Repository, digests []string) map[string]manifestResult {
	digests = sortedDistinct(digests)
	found := make([]manifestResult, len(digests))
	r := manifestReader{
		Client: c, repo: repo, accepted: []string{ociImage, dockerImage}, digests: digests,
		receive: func(i int, text string, err error) {
			if found[i].err = err; err == nil {
				found[i].own = readManifest(text)
			}
		},
	}
	r.readAll(ctx)
	byDigest := make(map[string]manifestResult, len(digests))
	for i, digest := range digests {
		byDigest[digest] = found[i]
	}
	return byDigest
}

// decide returns the image of a tag whose kind was not clear. Without a readable manifest it is an image, because it is not
// certainly something else.
func (m manifestResult) decide(image scan.Image) scan.Image {
	image.Kind = scan.PlainImage
	switch {
	case scan.CodeOf(m.err) == scan.Unavailable:
		image.Err = m.err
	case m.err == nil && (m.isArtifact || !m.hasLayer && isCosignTag(image.Tag)):
		image.Kind = scan.Artifact
	}
	return image
}

// resolvedIndex contains the images of an index.
type resolvedIndex struct {
	images    []entry
	platforms []string // of the images
	artifacts int
	err       error
}

// resolve decides which entries of the index are images. An entry whose manifest can't be read is an image that can't be
// scanned, unless a retry may succeed: then the whole index is unavailable, because a visit would record the wrong images.
func (x imageIndex) resolve(manifests map[string]manifestResult) resolvedIndex {
	r := resolvedIndex{artifacts: x.artifacts}
	for _, e := range x.entries {
		m := manifests[e.digest]
		switch {
		case e.isUnclear && scan.CodeOf(m.err) == scan.Unavailable:
			x.fail(m.err)
		case e.isUnclear && m.err == nil && m.isArtifact:
			r.artifacts++
		default:
			r.images = append(r.images, e)
		}
	}
	if isTemporary(x.err) {
		return resolvedIndex{err: x.err}
	}
	if n := len(r.images); n > maxChildren {
		x.fail(permanentError(fmt.Sprintf("image index of %d images, only the first %d are scanned", n, maxChildren), nil))
		r.images = r.images[:maxChildren]
	}
	if len(r.images)+r.artifacts == 0 {
		x.fail(permanentError("image index without images", nil))
	}
	r.platforms, r.err = platformNames(r.images), x.err
	return r
}

// imagesFor returns the images of the index with the tag of image. It also returns image itself if there is an error, and as
// an artifact if there is nothing else.
func (r resolvedIndex) imagesFor(image scan.Image) []scan.Image {
	images := make([]scan.Image, 0, len(r.images)+1)
	switch {
	case r.err != nil:
		image.Err, image.Artifacts = r.err, r.artifacts
		images = append(images, image)
	case len(r.images) == 0:
		image.Kind = scan.Artifact
		return append(images, image)
	}
	for i, e := range r.images {
		images = append(images, scan.Image{
			Repository: image.Repository, Tag: image.Tag, Digest: e.digest, Platform: r.platforms[i], Listed: e.platform.normalized(), Index: image.Digest,
			Artifacts: r.artifacts, PushedAt: image.PushedAt, LastPulled: image.LastPulled,
		})
	}
	return images
}

// isCosignTag reports whether cosign uses a tag for signatures, attestations or SBOMs: sha256-<64 hex digits>.sig, .att or
// .sbom.
func isCosignTag(tag string) bool {
	hash, ok := strings.CutPrefix(tag, "sha256-")
	if !ok {
		return false
	}
	digest, kind, ok := strings.Cut(hash, ".")
	if !ok || len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != "" {
		return false
	}
	return kind == "sig" || kind == "att" || kind == "sbom"
}
