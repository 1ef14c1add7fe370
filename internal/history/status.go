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

// mayReturn reports whether the image can still exist, because the new index of its tag could not be read just now. The
// label then has the index itself, or is missing.
func (r ImageRecord) mayReturn() bool {
	wasTold := r.Scan.Completed > 0 || isCutOff(r.Gaps) || isCutOff(r.Failures)
	return r.ErrorCode == scan.Unavailable && (r.Kind == scan.Missing || r.Kind == scan.Index && wasTold)
}

// isCutOff reports whether the last period of an image ended because it became something else.
func isCutOff(periods []Period) bool { return len(periods) > 0 && periods[len(periods)-1].CutOff }

// statusWithout returns the event when an image of a tag is missing, and the error if the tag has an index that can't be
// read. instead are the listed objects of the tag.
func statusWithout(instead []scan.Image) (kind EventKind, err error) {
	if len(instead) == 0 {
		return TagGone, nil
	}
	kind = PlatformGone
	for _, i := range instead {
		if i.Kind != scan.PlainImage && i.Index == "" {
			kind, err = statusOf(i.Kind), i.Err
		}
	}
	return kind, err
}

// wasImage reports whether readers know the label as an image: it has a completed scan, or a change was listed that
// has not ended. Of an image that nobody watches, nothing is listed.
func (r ImageRecord) wasImage(now Stamp) bool {
	if r.Unwatched > 0 {
		return false
	}
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

// changeStatus updates the status when an image becomes something else or is an image again. old is the record before, and
// err is why an index can't be read. A temporary failure to read it changes nothing, and an image that is gone can't go again.
func (r *ImageRecord) changeStatus(old ImageRecord, kind EventKind, err error, now Stamp) {
	last := r.status().Kind
	switch {
	case r.Kind == scan.PlainImage:
		r.setStatus("", "", now)
	case last == PlatformGone, last == TagGone && kind == PlatformGone:
	case scan.CodeOf(err) == scan.Unavailable, !old.wasImage(now):
	case err != nil:
		r.setStatus(kind, scan.MessageOf(err), now)
	default:
		r.setStatus(kind, "", now)
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
