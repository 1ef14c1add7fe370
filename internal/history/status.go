package history

import (
	"slices"

	"ecr-continuous-scan/internal/scan"
)

// StatusEvent is the stored form of a change of what a tag or a platform is: it became something that ECR can't scan,
// or an image again.
type StatusEvent struct {
	Kind EventKind `json:"kind"`
	At   Stamp     `json:"at"`
	// Since is set when the image is an image again. It is the date of the event before.
	Since Stamp `json:"since,omitempty"`
	// Reason is why the images of an index can't be read.
	Reason string `json:"reason,omitempty"`
}

// statusOf returns the event when an image becomes an object of a kind.
func statusOf(kind scan.Kind) EventKind {
	switch kind {
	case scan.Archived:
		return Archived
	case scan.Artifact:
		return NotImage
	case scan.Index:
		return IndexUnread
	case scan.Missing:
		return TagGone
	}
	return ""
}

// over returns the kind that ends the period that starts with kind.
func (kind EventKind) over() EventKind { return kind + ", OVER" }

// status returns the last event if it says that there is no image now.
func (r ImageRecord) status() StatusEvent {
	if n := len(r.Statuses); n > 0 && r.Statuses[n-1].Since == 0 {
		return r.Statuses[n-1]
	}
	return StatusEvent{}
}

// mayReturn reports whether the image is missing only because the new index of its tag could not be read just now.
func (r ImageRecord) mayReturn() bool {
	return r.Kind == scan.Missing && r.ErrorCode == scan.Unavailable
}

// wasImage reports whether readers know the label as an image: it has a completed scan, or a change was listed that
// has not ended.
func (r ImageRecord) wasImage(now Stamp) bool {
	return r.status().Kind != "" || r.mayReturn() || r.Kind == scan.PlainImage && (r.Scan.Completed > 0 || r.FailedSince > 0 || r.unscannedSince(now) > 0)
}

// setStatus records that there is no image now, or that there is one again if kind is empty. There is an end only if
// there was a beginning.
func (r *ImageRecord) setStatus(kind EventKind, reason string, now Stamp) {
	last := r.status()
	next := StatusEvent{Kind: kind, At: now, Reason: reason}
	switch {
	case kind == last.Kind:
		return
	case kind == "":
		next.Kind, next.At, next.Since = last.Kind.over(), max(now, last.At+1), last.At
	}
	kept := slices.DeleteFunc(slices.Clone(r.Statuses), func(e StatusEvent) bool { return e.At < now.Plus(-Retention) })
	r.Statuses = append(kept[max(0, len(kept)+1-maxPeriodsOfImage):], next)
}

// changeStatus updates the periods and the status when an image becomes something else or is an image again. old is
// the record before. A temporary failure to read an index changes nothing.
func (r *ImageRecord) changeStatus(old ImageRecord, kind EventKind, now Stamp) {
	switch {
	case r.Kind == scan.PlainImage:
		r.setStatus("", "", now)
	case r.ErrorCode == scan.Unavailable, !old.wasImage(now):
	default:
		r.setStatus(kind, r.Reason, now)
	}
}

// toldPeriods returns the periods of an image that changes list. Earlier versions recorded periods from before the
// image was first listed, and the end of a period without a scan when the image became something that is not scanned.
func (r ImageRecord) toldPeriods(periods []Period) []Period {
	told := slices.DeleteFunc(slices.Clone(periods), func(p Period) bool { return p.From < r.First || p.From <= Stamp(0).Plus(MaxScanAge) })
	if n := len(told) - 1; n >= 0 && r.Kind != scan.PlainImage && len(r.Statuses) == 0 && told[n].Until > r.Scan.Completed {
		told[n].CutOff = true
	}
	return told
}

// FirstListed returns when the repository was first listed, or 0 if it never was. Earlier versions recorded only when
// its images were first listed.
func (r *Record) FirstListed() Stamp {
	if r.First > 0 {
		return r.First
	}
	first := r.Begin
	for _, i := range r.Images {
		if i.First > 0 && (first == 0 || i.First < first) {
			first = i.First
		}
	}
	return first
}
