package scan

import (
	"cmp"
	"iter"
	"strings"
	"time"
)

// Kind is the kind of object that a tag points to.
type Kind string

// The kinds. ECR can scan only a PlainImage. For other kinds the text is the reason why there is no scan.
const (
	PlainImage Kind = ""
	// Index is an image index (multi-platform image), or a part of one, whose images could not be read. ECR scans
	// only the images of an index.
	Index Kind = "image index"
	// Artifact is an object that is not an image, such as a signature, an SBOM or a Helm chart.
	Artifact Kind = "not an image"
	// Archived is an image in ECR's archive. ECR can scan it only after it is restored.
	Archived Kind = "archived"
	// Missing is a tag that a config lists and that does not exist in the repository.
	Missing Kind = "tag not found"
)

// Image is the image that a tag points to. If a tag points to an image index, each image of the index is one Image.
type Image struct {
	Repository Repository
	// Tag is the tag. For an image without a tag, its digest stands for the tag.
	Tag string
	// Digest is the digest of the image's manifest, sha256:… . ECR scans an image with several tags only once. It is
	// empty when Kind is Missing.
	Digest string
	// Platform is the os/architecture of an image of an index, such as linux/arm64. It is empty for other images.
	Platform string
	// Listed is the platform that the index lists for the image now, as by [NormalizePlatform] and with the full
	// Windows version. It is empty for an image that is not in an index, or that the index lists without a
	// platform.
	Listed string
	// Index is the digest of the index that lists the image. It is empty for other images. LastIndex is the index that listed
	// it when its last scan was recorded, if that is another one.
	Index, LastIndex string
	// Artifacts is the number of entries of the index that were left out because they are not images, such as attestations.
	Artifacts int
	Kind      Kind
	// PushedAt is when the image, or its index, was pushed, and LastPulled is when ECR last recorded a pull of it by its tag
	// or digest. LastInUse is when Amazon Inspector last saw it running, as far as a record knows. They are in UTC, and zero
	// when unknown.
	PushedAt, LastPulled, LastInUse time.Time
	// Err is why the images of an Index could not be read, or why it is not known now whether a PlainImage is one. The
	// code NotScannable means that a retry does not help. After another code, a retry may succeed. Err is nil for every
	// other kind.
	Err error
}

// Listing is the list of the images of a repository, or of some of its tags.
type Listing struct {
	Images []Image
	// NotWatched is the number of untagged images of the repository that no listed index contains. It is nil if it is not
	// known. A list that must contain untagged images then has none.
	NotWatched *int
	// Parts are the digests of the untagged objects that an index contains, if untagged images were listed. They are no images of their own.
	Parts map[string]bool
	// IsPaged means that the list was read in several pages. It then lacks a tag that moved to an image of an earlier page
	// meanwhile.
	IsPaged bool
}

// Label returns the image's name for users: its tag, and its platform if it has one.
func (i Image) Label() string {
	if i.Platform == "" {
		return i.Tag
	}
	return i.Tag + " (" + i.Platform + ")"
}

// Separator returns what stands between the repository's name and the label: "@" if the digest stands for the tag, otherwise ":".
func (i Image) Separator() string {
	if IsUntagged(i.Tag) {
		return "@"
	}
	return ":"
}

// IsUntagged reports whether a text is a digest that stands for the tag of an image without one. A tag never contains a colon.
func IsUntagged(tag string) bool { return strings.Contains(tag, ":") }

// CountArtifacts returns the number of entries of the images' indexes that were left out because they are not images.
func CountArtifacts(images iter.Seq[Image]) int {
	n, counted := 0, make(map[string]bool)
	for i := range images {
		if index := cmp.Or(i.Index, i.Digest); i.Artifacts > 0 && !counted[index] {
			n, counted[index] = n+i.Artifacts, true
		}
	}
	return n
}

// CompareImages sorts by tag, platform and digest.
func CompareImages(a, b Image) int {
	return cmp.Or(strings.Compare(a.Tag, b.Tag), strings.Compare(a.Platform, b.Platform), strings.Compare(a.Digest, b.Digest))
}

// State is the state of the scan of an image.
type State string

// The states. Only a Completed result has findings.
const (
	// Completed is a scan with a result. A result without counts means that the image has no findings.
	Completed State = "completed"
	// Incomplete is a scan with a result of which ECR returned only a part. A report uses this state instead of Completed if the
	// result's Incomplete is true.
	Incomplete State = "incomplete"
	// NotScanned is an image without a scan. The result's Reason may explain why.
	NotScanned State = "not scanned"
	// InProgress is a scan that ECR has not finished.
	InProgress State = "in progress"
	// Failed is a scan that ended without a result. The result's Reason explains why.
	Failed State = "failed"
	// NoSuchTag is a tag that does not exist in the repository.
	NoSuchTag State = "tag not found"
	// Unread is an image whose result could not be read now. The result's Reason explains why.
	Unread State = "unavailable"
	// Refused is an image whose result the service is not permitted to read. The result's Reason explains why.
	Refused State = "no access"
	// NoSuchRepository is the state of a config whose repository does not exist in its registry.
	NoSuchRepository State = "repository not found"
)

// RescanInterval is the minimum time between two basic scans of an image. ECR refuses a new scan for this time after
// the last scan was completed.
const RescanInterval = 24 * time.Hour

// Result is ECR's answer for one image.
type Result struct {
	State State
	// Reason explains a state other than Completed. It may contain untrusted text of the scanner: escape it for
	// output.
	Reason string
	// Counts is the number of findings of the image by severity, even if Findings was not read.
	Counts Counts
	// CompletedAt is when the last scan was completed, or zero when unknown.
	CompletedAt time.Time
	// Enhanced is true when the result is from Amazon Inspector. Amazon Inspector starts its scans automatically.
	Enhanced bool
	// KindUnknown means that ECR returned no list of findings. So it is not known whether the result is from Amazon Inspector,
	// and it is treated like the last result of the image.
	KindUnknown bool
	// Continuous is true when Amazon Inspector scans the image again whenever something changes. So the result is
	// current, even if its last scan was long ago.
	Continuous bool
	// Unlisted is the number of findings that ECR counts but did not return. Counts includes them. Incomplete is true when ECR has
	// more findings that could not be read: then their number can also be unknown.
	Unlisted   int
	Incomplete bool
	// Findings are the findings. It is nil when only the counts were read.
	Findings []Finding
	// Suppressed is the number of vulnerabilities that Amazon Inspector's suppression rules hide. They are neither in
	// Counts nor in Findings. SuppressedFindings are these findings; it is nil when only the counts were read.
	Suppressed         int
	SuppressedFindings []Finding
	// InUse and LastInUse are the same as in [Finding].
	InUse     int
	LastInUse time.Time
}

// DueAt returns when ECR accepts the next scan of the image. The zero time means now.
func (r Result) DueAt() time.Time {
	if r.CompletedAt.IsZero() {
		return time.Time{}
	}
	return r.CompletedAt.Add(RescanInterval)
}
