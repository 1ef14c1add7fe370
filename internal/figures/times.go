package figures

import (
	"time"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// Times is how current the results of some reports are, and when the next scan is due.
type Times struct {
	// Images is the number of images that can be scanned.
	Images int
	// Oldest and Newest are when the results of completed scans were current for the last time, as by [report.Item.CurrentAt]. Both are zero when no image
	// has a completed scan.
	Oldest, Newest time.Time
	// Due is the earliest time at which ECR accepts the next basic scan of an image with a completed scan; zero when there is none.
	Due time.Time
	// Running is true if a scan is in progress. Waiting is true if an image waits for its first scan. Failed images are in neither.
	Running, Waiting bool
	// Enhanced is true if Amazon Inspector scans an image. Continuous is true if it scans all of them continuously.
	Enhanced, Continuous bool
}

// TimesOf returns the times of all images of the reports.
func TimesOf(reports []report.Report) Times {
	t := Times{Continuous: true}
	for _, r := range reports {
		for _, item := range r.Images {
			if item.Image.Kind == scan.PlainImage {
				t.add(item)
			}
		}
	}
	t.Continuous = t.Continuous && t.Enhanced
	return t
}

func (t *Times) add(item report.Item) {
	r := item.Result
	t.Images++
	if at := item.CurrentAt(); r.State == scan.Completed && !at.IsZero() {
		if t.Oldest.IsZero() || at.Before(t.Oldest) {
			t.Oldest = at
		}
		if at.After(t.Newest) {
			t.Newest = at
		}
	}
	switch {
	case r.Enhanced:
		t.Enhanced, t.Continuous = true, t.Continuous && r.Continuous
	case r.State == scan.InProgress:
		t.Running = true
	case r.State == scan.NotScanned || r.State == "":
		t.Waiting = t.Waiting || r.Reason == ""
	case r.State == scan.Completed:
		if due := r.DueAt(); !due.IsZero() && (t.Due.IsZero() || due.Before(t.Due)) {
			t.Due = due
		}
	}
}
