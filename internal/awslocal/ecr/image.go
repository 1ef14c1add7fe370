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

// Media types of manifests and of image configs.
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

// Image describes an image for a test or a simulation. The zero value is an untagged Docker image that was never scanned.
//
// Findings, Enhanced, ScanStatus, ScanDescription and NotReady define the result of a scan. With basic scanning they become
// visible when a scan completes, including the scan at ScannedAt. With enhanced scanning they are visible immediately.
// Several images can share the slices. Do not modify them afterwards.
type Image struct {
	Digest string   // if empty: derived from Manifest or Children, or else generated
	Tags   []string // removed from the images that have them now

	MediaType         string  // of the manifest; if empty: OCIIndex with Children, otherwise DockerManifest with DockerImageConfig
	ArtifactMediaType string  // if empty and MediaType is set: absent
	ConfigMediaType   string  // if empty: ArtifactMediaType; otherwise ArtifactMediaType is the manifest's artifactType
	Subject           string  // digest of the image that this one refers to
	Manifest          string  // for BatchGetImage; if empty: generated
	Children          []Child // of an index; also push each with PutImage
	Size              int64   // bytes
	Status            string  // if empty: Active
	PushedAt          time.Time
	PulledAt          time.Time // lastRecordedPullTime; zero: never pulled

	ScannedAt       time.Time         // completion time of the last scan; zero: never scanned
	SourceUpdatedAt time.Time         // vulnerabilitySourceUpdatedAt; if zero: the time of the scan
	Findings        []Finding         // of basic scanning
	Enhanced        []EnhancedFinding // of enhanced scanning; empty: scanned and clean; nil: not scanned
	Counts          map[string]int    // findingSeverityCounts; if nil: those of the findings
	Cut             bool              // the last page of the findings has a token that only returns itself, like a recorded page without its successors
	ScanStatus      string            // any string, such as FAILED; if empty: COMPLETE, or ACTIVE with enhanced scanning
	ScanDescription string
	NotReady        bool          // the status is COMPLETE or ACTIVE, but counts and time are missing
	ScanTime        time.Duration // duration of a scan of this image; if zero: Options.ScanTime
	Recorded        bool          // return both lists, with either type of scanning
}

// Child is an entry of an index.
type Child struct {
	Digest       string
	MediaType    string // if empty: OCIManifest
	ArtifactType string
	OS, Arch     string // both "unknown" for an attestation, both empty for an entry without a platform
	Variant      string
	OSVersion    string
	Annotations  map[string]string
	Size         int64 // bytes
}

// image is an image in a repository, with the state of its scans.
type image struct {
	seq          int64
	def          Image // Tags sorted
	result       *scanResult
	completesAt  time.Time // completion time of the running scan; zero: no scan is running
	scansStarted int       // by push or by StartImageScan
}

// setDefaults sets the default values of empty fields.
func (i *Image) setDefaults(r *repository, now time.Time) {
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
		content := i.Manifest
		if content == "" {
			content = fmt.Sprintf("%s:%s push %d", r.id.Name, strings.Join(i.Tags, ","), r.nextSeq)
		}
		i.Digest = DigestOf(content)
	}
}

// DigestOf returns the SHA-256 digest of a text, in the form sha256:<64 hex digits>.
func DigestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// unscannable returns the media type of an image that ECR can't scan, or "" if ECR can scan it.
func (i *Image) unscannable() string {
	switch config := cmp.Or(i.ConfigMediaType, i.ArtifactMediaType); config {
	case DockerImageConfig, OCIImageConfig:
		return ""
	case "":
		if i.MediaType == DockerManifest || i.MediaType == OCIManifest {
			return ""
		}
		return i.MediaType
	default:
		return config
	}
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Size         int64             `json:"size"`
	Digest       string            `json:"digest"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Platform     *platform         `json:"platform,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
	OSVersion    string `json:"os.version,omitempty"`
}

func indexManifest(mediaType string, children []Child) string {
	manifests := make([]descriptor, len(children))
	for i, c := range children {
		manifests[i] = descriptor{
			MediaType: cmp.Or(c.MediaType, OCIManifest), Size: c.Size, Digest: c.Digest, ArtifactType: c.ArtifactType, Annotations: c.Annotations,
		}
		if of := (platform{c.Arch, c.OS, c.Variant, c.OSVersion}); of != (platform{}) {
			manifests[i].Platform = &of
		}
	}
	return awslocal.MustJSON(map[string]any{"schemaVersion": 2, "mediaType": mediaType, "manifests": manifests})
}

// manifest returns the manifest for BatchGetImage. The digest of a generated manifest differs from the image's digest.
func (i *Image) manifest() string {
	if i.Manifest != "" {
		return i.Manifest
	}
	config := cmp.Or(i.ConfigMediaType, i.ArtifactMediaType, OCIImageConfig)
	m := map[string]any{
		"schemaVersion": 2,
		"mediaType":     i.MediaType,
		"config":        descriptor{MediaType: config, Size: 2, Digest: DigestOf("config of " + i.Digest)},
		"layers":        []descriptor{},
	}
	if i.ConfigMediaType != "" && i.ArtifactMediaType != "" {
		m["artifactType"] = i.ArtifactMediaType
	}
	if i.Subject != "" {
		m["subject"] = descriptor{MediaType: OCIManifest, Digest: i.Subject}
	}
	return awslocal.MustJSON(m)
}
