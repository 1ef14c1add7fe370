package ecr

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal"
)

// Media types of manifests and of what images carry as their config.
const (
	DockerManifest    = "application/vnd.docker.distribution.manifest.v2+json"
	DockerList        = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerImageConfig = "application/vnd.docker.container.image.v1+json"
	OCIManifest       = "application/vnd.oci.image.manifest.v1+json"
	OCIIndex          = "application/vnd.oci.image.index.v1+json"
	OCIImageConfig    = "application/vnd.oci.image.config.v1+json"
)

// Values of Image.Status.
const (
	Active     = "ACTIVE"
	Archived   = "ARCHIVED"
	Activating = "ACTIVATING"
)

// Image is an image as a test or a simulation describes it. The zero value is
// an untagged Docker image that was never scanned.
//
// Findings, EnhancedFindings, ScanStatus, ScanDescription and NotReady are what
// a scan of the image brings. In a basic registry they become visible when a
// scan completes, the one at ScannedAt included; in an enhanced one at once.
// Slices may be shared by many images and must not be changed afterwards.
type Image struct {
	Digest string   // derived from Manifest or Children, when empty, or else made for this push
	Tags   []string // taken from the images that have them now

	MediaType         string  // of the manifest; OCIIndex with Children; when empty DockerManifest with DockerImageConfig
	ArtifactMediaType string  // stays absent when MediaType is given and this is not
	Subject           string  // digest that this artifact refers to
	Manifest          string  // for BatchGetImage; generated when empty
	Children          []Child // of an index; put each as an image of its own too
	Size              int64   // bytes
	Status            string  // Active, when empty
	PushedAt          time.Time

	ScannedAt       time.Time         // when the last scan completed; zero: never scanned
	SourceUpdatedAt time.Time         // vulnerabilitySourceUpdatedAt; the scan's time, when zero
	Findings        []Finding         // of basic scans
	Enhanced        []EnhancedFinding // of enhanced scans; not nil but empty: scanned and clean; nil: not scanned
	ScanStatus      string            // COMPLETE or, enhanced, ACTIVE when empty; any string, such as FAILED
	ScanDescription string
	NotReady        bool          // COMPLETE or ACTIVE without counts and time
	ScanTime        time.Duration // of this image; Options.ScanTime, when zero
	Recorded        bool          // both lists are shown, whatever the registry's kind of scanning
}

// Child is one platform's manifest in an index.
type Child struct {
	Digest    string
	MediaType string // OCIManifest, when empty
	OS, Arch  string // both "unknown" for an attestation
	Variant   string
	Size      int64 // bytes
}

// image is an Image in a repository, with the state of its scans.
type image struct {
	seq    int64
	def    Image // Tags sorted
	result *scanResult
	done   time.Time // when the running scan completes; zero: none runs
	starts int       // scans started, by push or by call
}

// normalise fills what was left out, so that everything behind it needs no
// defaults.
func (i *Image) normalise(r *repository, now time.Time) {
	i.Tags = slices.Clone(i.Tags)
	slices.Sort(i.Tags)
	i.Tags = slices.Compact(i.Tags)
	if i.MediaType == "" {
		if len(i.Children) > 0 {
			i.MediaType = OCIIndex
		} else {
			i.MediaType = DockerManifest
			if i.ArtifactMediaType == "" {
				i.ArtifactMediaType = DockerImageConfig
			}
		}
	}
	i.Status = cmp.Or(i.Status, Active)
	if i.PushedAt.IsZero() {
		i.PushedAt = now
		if !i.ScannedAt.IsZero() && i.ScannedAt.Before(now) {
			i.PushedAt = i.ScannedAt
		}
	}
	if i.Manifest == "" && len(i.Children) > 0 {
		i.Manifest = indexManifest(i.MediaType, i.Children)
	}
	if i.Digest == "" {
		of := i.Manifest
		if of == "" {
			of = fmt.Sprintf("%s:%s push %d", r.id.Name, strings.Join(i.Tags, ","), r.nextSeq)
		}
		i.Digest = DigestOf(of)
	}
}

// DigestOf is the digest of a text.
func DigestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// unscannable returns the media type for which ECR refuses to scan, or "".
func (i *Image) unscannable() string {
	switch i.ArtifactMediaType {
	case DockerImageConfig, OCIImageConfig:
		return ""
	case "":
		if i.MediaType == DockerManifest || i.MediaType == OCIManifest {
			return ""
		}
		return i.MediaType
	}
	return i.ArtifactMediaType
}

type descriptor struct {
	MediaType string    `json:"mediaType"`
	Size      int64     `json:"size"`
	Digest    string    `json:"digest"`
	Platform  *platform `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

func indexManifest(mediaType string, children []Child) string {
	manifests := make([]descriptor, len(children))
	for i, c := range children {
		manifests[i] = descriptor{cmp.Or(c.MediaType, OCIManifest), c.Size, c.Digest, &platform{c.Arch, c.OS, c.Variant}}
	}
	return awslocal.MustJSON(map[string]any{"schemaVersion": 2, "mediaType": mediaType, "manifests": manifests})
}

// manifest returns what BatchGetImage sends. A generated one does not hash to
// the image's digest.
func (i *Image) manifest() string {
	if i.Manifest != "" {
		return i.Manifest
	}
	config := cmp.Or(i.ArtifactMediaType, OCIImageConfig)
	m := map[string]any{
		"schemaVersion": 2,
		"mediaType":     i.MediaType,
		"config":        descriptor{MediaType: config, Size: 2, Digest: DigestOf("config of " + i.Digest)},
		"layers":        []descriptor{},
	}
	if i.Subject != "" {
		m["subject"] = descriptor{MediaType: OCIManifest, Digest: i.Subject}
	}
	return awslocal.MustJSON(m)
}
