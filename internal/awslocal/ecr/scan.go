package ecr

import (
	"cmp"
	"time"
)

const (
	day              = 24 * time.Hour
	defaultScanTime  = 2 * time.Second
	defaultScanQuota = 100_000
)

// Descriptions that ECR gives with a scan's status.
const (
	completeDescription = "The scan was completed successfully."
	ActiveDescription   = "Continuous scan is selected for image."
	// UnsupportedOS is the ScanDescription of an image whose system the scanner
	// does not know; its scans end FAILED.
	UnsupportedOS = "UnsupportedImageError: The operating system and/or package manager are not supported."
)

// scanResult is what a completed scan left behind.
type scanResult struct {
	status, description string
	completed           time.Time
	sourceUpdated       time.Time
	notReady            bool
	findings            []Finding
	enhanced            []EnhancedFinding
}

// outcome returns what a scan of i brings that completes at t.
func (i *Image) outcome(t time.Time, good, description string) *scanResult {
	r := &scanResult{
		status: cmp.Or(i.ScanStatus, good), description: i.ScanDescription,
		completed: t, sourceUpdated: i.SourceUpdatedAt, notReady: i.NotReady,
		findings: i.Findings, enhanced: i.Enhanced,
	}
	if r.status == good && r.description == "" {
		r.description = description
	}
	if r.sourceUpdated.IsZero() {
		r.sourceUpdated = t
	}
	return r
}

// adopt makes the scan that the definition says was completed at ScannedAt the
// visible one.
func (i *image) adopt() {
	i.result = nil
	otherKind := i.def.Enhanced != nil && i.def.Findings == nil && !i.def.Recorded
	if i.def.ScannedAt.IsZero() || otherKind || i.def.unscannable() != "" {
		return
	}
	i.result = i.def.outcome(i.def.ScannedAt, "COMPLETE", completeDescription)
}

// settle completes the running scan when its time has come. There is no timer:
// each look at an image settles it first.
func (i *image) settle(now time.Time) {
	if i.done.IsZero() || now.Before(i.done) {
		return
	}
	i.def.ScannedAt = i.done
	i.done = time.Time{}
	i.result = i.def.outcome(i.def.ScannedAt, "COMPLETE", completeDescription)
}

// scan is what is to be seen of an image's scans, nil when there is nothing.
func (i *image) scan(now time.Time, kind ScanType) *scanResult {
	i.settle(now)
	r := i.visible(kind)
	if r != nil && i.def.Status != Active {
		return &scanResult{status: "IMAGE_ARCHIVED", description: "The image is archived."}
	}
	return r
}

func (i *image) visible(kind ScanType) *scanResult {
	switch {
	case kind == Enhanced && !i.def.Recorded:
		if i.def.unscannable() != "" || i.def.Enhanced == nil && i.def.ScanStatus == "" {
			return nil
		}
		at := i.def.ScannedAt
		if at.IsZero() {
			at = i.def.PushedAt
		}
		r := i.def.outcome(at, "ACTIVE", ActiveDescription)
		r.findings = nil
		return r
	case !i.done.IsZero():
		return &scanResult{status: "IN_PROGRESS"}
	case i.result == nil || i.def.Recorded:
		return i.result
	}
	basic := *i.result
	basic.enhanced = nil
	return &basic
}

// hasFindings says whether an answer has imageScanFindings at all.
func (r *scanResult) hasFindings() bool {
	switch r.status {
	case "COMPLETE", "ACTIVE":
		return true
	case "IN_PROGRESS", "FAILED":
		return false
	}
	return r.findings != nil || r.enhanced != nil
}

// quota is the number of scans that one registry may start in a Region in 24
// hours. It keeps the time of each start.
type quota struct {
	starts []time.Time // oldest first
}

func (q *quota) take(now time.Time, most int) bool {
	old := 0
	for old < len(q.starts) && now.Sub(q.starts[old]) >= day {
		old++
	}
	q.starts = q.starts[old:]
	if len(q.starts) >= most {
		return false
	}
	q.starts = append(q.starts, now)
	return true
}
