package rescan

import (
	"context"
	"log/slog"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// Tally counts images by what happened to them.
type Tally struct {
	// Images is the sum of the counts below, without Artifacts.
	Images int `json:"images"`
	// Started is how many scans were started.
	Started int `json:"started"`
	// Recent is how many were scanned within 24 hours, so that ECR would refuse them.
	Recent int `json:"scannedWithin24h"`
	// InProgress is how many are being scanned already.
	InProgress int `json:"inProgress"`
	// NotScannable counts, by reason, what can't be scanned.
	NotScannable map[string]int `json:"notScannable"`
	// Failed counts, by reason, what could have been scanned and was not.
	Failed map[string]int `json:"failed"`
	// Left is how many were not reached before the time was up. Those that are due still are so at the next visit.
	Left int `json:"left"`
	// Artifacts is how many tags were left out since they are no images.
	Artifacts int `json:"artifacts"`
}

// Known is what a visit learned of the last scans of the images.
type Known struct {
	// Findings is the sum of the findings that the images' last scans had, by severity.
	Findings scan.Counts `json:"findings"`
	// OldestScan is when the image whose last scan is the longest ago was scanned. Images without a scan have no age, and those under enhanced
	// scanning are left out: they are scanned again when there is a reason, however long that takes.
	OldestScan *time.Time `json:"oldestScan,omitempty"`
}

// outcome is what a visit did with one image.
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
	left
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
	case left:
		t.Left++
	}
}

// LogValue implements slog.LogValuer, with the names of the JSON form.
func (t Tally) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Int("images", t.Images), slog.Int("started", t.Started), slog.Int("scannedWithin24h", t.Recent), slog.Int("inProgress", t.InProgress),
		slog.Any("notScannable", t.NotScannable), slog.Any("failed", t.Failed), slog.Int("left", t.Left), slog.Int("artifacts", t.Artifacts),
	)
}

// ImagesFailed is the number of images that could have been scanned and were not.
func (t Tally) ImagesFailed() int {
	n := 0
	for _, of := range t.Failed {
		n += of
	}
	return n
}

func earlier(a *time.Time, b time.Time) *time.Time {
	if b.IsZero() || a != nil && !b.Before(*a) {
		return a
	}
	return &b
}

// Outcome is how a visit ended.
type Outcome string

// The outcomes.
const (
	// VisitEnded left nothing to do, or leaves it to another visit.
	VisitEnded Outcome = "ended"
	// VisitContinued has sent the message of a visit that goes on with what is left.
	VisitContinued Outcome = "continued"
	// VisitCutOff has left something, but is the last of too many visits in a row.
	VisitCutOff Outcome = "cut off"
	// VisitFailed could not be done; the next schedule repeats it.
	VisitFailed Outcome = "failed"
	// VisitDropped was not needed any more: another visit began after its message was sent.
	VisitDropped Outcome = "dropped"
)

// VisitReport is what one visit did.
type VisitReport struct {
	Outcome Outcome
	// Code and Reason are why the visit failed.
	Code   scan.Code
	Reason string
	// Configs is how many configs watch the repository, as far as they could be read.
	Configs int
	// Tally counts its images.
	Tally
	// Known is of all images; it is complete only when the visit has ended and left nothing.
	Known
}

// IsComplete tells whether the visit has left nothing, so that what it knows is of all images.
func (r VisitReport) IsComplete() bool { return r.Outcome == VisitEnded && r.Left == 0 }

func (w *visit) logReport(ctx context.Context, r VisitReport, err error) {
	attrs := []any{"outcome", r.Outcome, "configs", r.Configs, "tally", r.Tally}
	switch r.Outcome {
	case VisitFailed:
		w.log.WarnContext(ctx, "visit failed; the next schedule repeats it", append(attrs, "code", r.Code, "reason", r.Reason, "error", err)...)
	case VisitCutOff:
		w.log.ErrorContext(ctx, "visits were cut off: too many in a row; the next schedule goes on", attrs...)
	default:
		w.log.InfoContext(ctx, "visit", attrs...)
	}
}
