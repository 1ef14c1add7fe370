package rescan

import (
	"log/slog"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// Tally counts the images of a visit by outcome.
type Tally struct {
	// Images is the sum of the counts below without Artifacts.
	Images int `json:"images"`
	// Started is the number of scans that were started.
	Started int `json:"started"`
	// Recent is the number of images that ECR scanned in the last 24 hours, so that it refuses a new scan.
	Recent int `json:"scannedWithin24h"`
	// InProgress is the number of images with a scan in progress.
	InProgress int `json:"inProgress"`
	// NotScannable counts the images that ECR can't scan, by reason.
	NotScannable map[string]int `json:"notScannable"`
	// Failed counts the images whose scan could not be started although ECR can scan them, by reason.
	Failed map[string]int `json:"failed"`
	// NotReached is the number of images that were not handled before the deadline. The next visit handles them.
	NotReached int `json:"left"`
	// Artifacts is the number of tags, and of entries of indexes, that were ignored because they are not images.
	Artifacts int `json:"artifacts"`
}

// Known is the information of a visit about the last scans of the images.
type Known struct {
	// Findings is the number of findings of the last scans of all images, by severity.
	Findings scan.Counts `json:"findings"`
	// OldestScan is the earliest time of the images' last scans. Images without a scan are ignored. Images with
	// enhanced scanning are ignored too, because Amazon Inspector decides when to scan them.
	OldestScan *time.Time `json:"oldestScan,omitempty"`
}

// outcome is the outcome of a visit for one image.
type outcome struct {
	kind   outcomeKind
	reason string
}

type outcomeKind int

const (
	started outcomeKind = iota
	recent
	running
	notScannable
	failed
	notReached
)

func newTally() Tally { return Tally{NotScannable: map[string]int{}, Failed: map[string]int{}} }

func (t *Tally) add(o outcome) {
	t.Images++
	switch o.kind {
	case started:
		t.Started++
	case recent:
		t.Recent++
	case running:
		t.InProgress++
	case notScannable:
		t.NotScannable[o.reason]++
	case failed:
		t.Failed[o.reason]++
	case notReached:
		t.NotReached++
	}
}

// LogValue implements slog.LogValuer, with the names of the JSON form.
func (t Tally) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Int("images", t.Images), slog.Int("started", t.Started), slog.Int("scannedWithin24h", t.Recent), slog.Int("inProgress", t.InProgress),
		slog.Any("notScannable", t.NotScannable), slog.Any("failed", t.Failed), slog.Int("left", t.NotReached), slog.Int("artifacts", t.Artifacts),
	)
}

// ImagesFailed returns the sum of Failed.
func (t Tally) ImagesFailed() int {
	n := 0
	for _, count := range t.Failed {
		n += count
	}
	return n
}

func earlier(a *time.Time, b time.Time) *time.Time {
	if b.IsZero() || a != nil && !b.Before(*a) {
		return a
	}
	return &b
}

// Outcome is the outcome of a visit.
type Outcome string

// The outcomes.
const (
	// VisitEnded means that the visit is finished, or that another visit or the next schedule does the remaining work.
	VisitEnded Outcome = "ended"
	// VisitContinued means that the visit sent a message for another visit, which continues with the remaining images.
	VisitContinued Outcome = "continued"
	// VisitCutOff means that images remain, but the maximum number of visits in a row is reached.
	VisitCutOff Outcome = "cut off"
	// VisitFailed means that the visit failed. The next schedule repeats it.
	VisitFailed Outcome = "failed"
	// VisitDropped means that the visit was not necessary, because another visit began after its message was sent.
	VisitDropped Outcome = "dropped"
)

// VisitReport is the result of one visit.
type VisitReport struct {
	Outcome Outcome
	// Code and Reason explain why the visit failed.
	Code   scan.Code
	Reason string
	// Configs is the number of readable configs that watch the repository.
	Configs int
	// Tally counts the images of the repository.
	Tally
	// Known is about all images. It is complete only if IsComplete is true.
	Known
}

// IsComplete reports whether the visit handled all images, so that Known is complete.
func (r VisitReport) IsComplete() bool { return r.Outcome == VisitEnded && r.NotReached == 0 }
