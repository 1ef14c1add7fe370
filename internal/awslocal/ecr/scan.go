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

// Descriptions of scan statuses in ECR's responses.
const (
	completeDescription = "The scan was completed successfully."
	// ActiveDescription is the description of an enhanced scan with the status ACTIVE.
	ActiveDescription = "Continuous scan is selected for image."
	// UnsupportedOS is the description of a FAILED scan of an image with an unknown operating system.
	UnsupportedOS = "UnsupportedImageError: The operating system and/or package manager are not supported."
)

// scanResult is the result or the status of a scan.
type scanResult struct {
	status, description string
	completed           time.Time
	sourceUpdated       time.Time
	notReady            bool
	findings            []Finding
	enhanced            []EnhancedFinding
	counts              map[string]int
	cut                 bool
}

// resultAt returns the result of a scan of i that completes at t. defaultStatus and description apply if i does not set them.
func (i *Image) resultAt(t time.Time, defaultStatus, description string) *scanResult {
	r := &scanResult{
		status: cmp.Or(i.ScanStatus, defaultStatus), description: i.ScanDescription,
		completed: t, sourceUpdated: i.SourceUpdatedAt, notReady: i.NotReady,
		findings: i.Findings, enhanced: i.Enhanced, counts: i.Counts, cut: i.Cut,
	}
	if r.status == defaultStatus && r.description == "" {
		r.description = description
	}
	if r.sourceUpdated.IsZero() {
		r.sourceUpdated = t
	}
	return r
}

// resetResult sets the result to that of the basic scan at the definition's ScannedAt, or to nil if there is none.
func (i *image) resetResult() {
	i.result = nil
	onlyEnhanced := i.def.Enhanced != nil && i.def.Findings == nil && !i.def.Recorded
	if i.def.ScannedAt.IsZero() || onlyEnhanced || i.def.unscannable() != "" {
		return
	}
	i.result = i.def.resultAt(i.def.ScannedAt, "COMPLETE", completeDescription)
}

// finishDueScan completes the running scan if its completion time is reached. There is no timer: each access to an image calls
// it first.
func (i *image) finishDueScan(now time.Time) {
	if i.completesAt.IsZero() || now.Before(i.completesAt) {
		return
	}
	i.def.ScannedAt = i.completesAt
	i.completesAt = time.Time{}
	i.result = i.def.resultAt(i.def.ScannedAt, "COMPLETE", completeDescription)
}

// currentScan returns the result or status that DescribeImageScanFindings returns, or nil if there is no scan.
func (i *image) currentScan(now time.Time, kind ScanType) *scanResult {
	i.finishDueScan(now)
	r := i.visibleScan(kind)
	if r != nil && i.def.Status != Active {
		return &scanResult{status: "IMAGE_ARCHIVED", description: "The image is archived."}
	}
	return r
}

func (i *image) visibleScan(kind ScanType) *scanResult {
	switch {
	case kind == Enhanced && !i.def.Recorded:
		if i.def.unscannable() != "" || i.def.Enhanced == nil && i.def.ScanStatus == "" {
			return nil
		}
		at := i.def.ScannedAt
		if at.IsZero() {
			at = i.def.PushedAt
		}
		r := i.def.resultAt(at, "ACTIVE", ActiveDescription)
		r.findings = nil
		return r
	case !i.completesAt.IsZero():
		return &scanResult{status: "IN_PROGRESS"}
	case i.result == nil || i.def.Recorded:
		return i.result
	}
	basic := *i.result
	basic.enhanced = nil
	return &basic
}

// hasFindings reports whether a response contains imageScanFindings.
func (r *scanResult) hasFindings() bool {
	switch r.status {
	case "COMPLETE", "ACTIVE":
		return true
	case "IN_PROGRESS", "FAILED":
		return false
	}
	return r.findings != nil || r.enhanced != nil
}

// quota limits the scans that a registry may start in a Region within 24 hours. It contains the time of each start.
type quota struct {
	starts []time.Time // oldest first
}

func (q *quota) take(now time.Time, limit int) bool {
	old := 0
	for old < len(q.starts) && now.Sub(q.starts[old]) >= day {
		old++
	}
	q.starts = q.starts[old:]
	if len(q.starts) >= limit {
		return false
	}
	q.starts = append(q.starts, now)
	return true
}
