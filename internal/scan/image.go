package scan

import (
	"cmp"
	"strings"
	"time"
)

// Kind tells what a tag points to, as far as it matters for scanning.
type Kind string

// The kinds. Only a PlainImage can be scanned; the others are a reason why not.
const (
	PlainImage Kind = ""
	// Index is a multi-platform image, or a part of one, that could not be resolved into the images it lists. ECR does not scan it as such.
	Index Kind = "image index"
	// Artifact is anything that is no image: a signature, an SBOM, a chart.
	Artifact Kind = "not an image"
	// Archived is an image in ECR's archive, which must be restored before it can be scanned.
	Archived Kind = "archived"
	// Missing is a tag that a config names and the repository does not have.
	Missing Kind = "tag not found"
)

// Image is what one tag of a watched repository points to; with a multi-platform index, one of the images that it lists.
type Image struct {
	Repository Repository
	Tag        string
	// Digest names the image's manifest, sha256:… . Tags with the same digest are one image to ECR. Empty when Kind is Missing.
	Digest string
	// Platform is os/architecture for an image that a multi-platform index lists, such as linux/arm64, and empty for a plain image.
	Platform string
	// Index is the digest of the index that lists the image; empty for a plain image.
	Index string
	Kind  Kind
	// Err is why an Index could not be resolved: NotScannable when that is for good, with the reason as its message; another code when
	// another try may mend it. It is nil for every other kind.
	Err error
}

// Label names the image to people: its tag, and its platform if it has one.
func (i Image) Label() string {
	if i.Platform == "" {
		return i.Tag
	}
	return i.Tag + " (" + i.Platform + ")"
}

// CompareImages orders by tag, platform and digest.
func CompareImages(a, b Image) int {
	return cmp.Or(strings.Compare(a.Tag, b.Tag), strings.Compare(a.Platform, b.Platform), strings.Compare(a.Digest, b.Digest))
}

// State is how far the scan of an image has come.
type State string

// The states. Only Completed says anything about what an image holds.
const (
	// Completed has counts, and none at all means that the image is clean.
	Completed State = "completed"
	// NotScanned has no result yet, or never will; the result's Reason may say why.
	NotScanned State = "not scanned"
	InProgress State = "in progress"
	// Failed is a scan that ended without a result; the result's Reason says why.
	Failed State = "failed"
	// NoSuchTag is a tag that the repository does not have.
	NoSuchTag State = "tag not found"
	// Unread has, or may have, a result that could not be read just now; the result's Reason says why.
	Unread State = "unavailable"
	// Refused has, or may have, a result that the service isn't permitted to read; the result's Reason says why.
	Refused State = "no access"
	// NoSuchRepository is the state of a config whose repository its registry does not have.
	NoSuchRepository State = "repository not found"
)

// Rescan is how long ECR's basic scanning refuses to scan an image again, counted from the completion of its last scan.
const Rescan = 24 * time.Hour

// Result is what ECR says of one image.
type Result struct {
	State State
	// Reason explains a state other than Completed. It may hold the scanner's own words: escape it where it lands.
	Reason string
	// Counts is the number of findings of the whole image, whatever part of Findings was read.
	Counts Counts
	// CompletedAt is when the last scan was completed, zero when unknown.
	CompletedAt time.Time
	// Enhanced is true when the result comes from Amazon Inspector, which re-scans by itself and can't be started by hand.
	Enhanced bool
	// Findings are the findings, when they were asked for.
	Findings []Finding
}

// DueAt is when the image may be scanned again; the zero time is at once.
func (r Result) DueAt() time.Time {
	if r.CompletedAt.IsZero() {
		return time.Time{}
	}
	return r.CompletedAt.Add(Rescan)
}
