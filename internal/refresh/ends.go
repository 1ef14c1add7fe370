package refresh

import (
	"context"
	"slices"
	"sync"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// SuppressionReader reads the stored suppressions.
type SuppressionReader interface {
	// Rules returns the rules of all suppressions, also of those that ended in the last 30 days. Errors: Unavailable.
	Rules(ctx context.Context) (*suppress.Rules, error)
}

// Rules returns the rules of all suppressions. Errors: Unavailable.
func (s Source) Rules(ctx context.Context) (*suppress.Rules, error) {
	if s.Suppressions == nil {
		return nil, nil
	}
	return s.Suppressions.Rules(ctx)
}

// ends is what a Refresher knows of suppressions that ended and whose ends are not in the stored histories yet. Findings that come back are new at the end.
// A request and the next visit compute the same ids and dates, because both start from the stored record and handle the images in the same order.
type ends struct {
	// Scope is the suppressions that can match findings of the repository.
	Scope suppress.Scope
	// times are the ends, earliest first.
	times []time.Time
	// dates are the dates of the findings that come back, in their order, by the label of the image. If only hidden entries of an image are deleted, it has no
	// dates.
	dates map[string][]history.Stamp
	// asOf is the moment until which the ends are known.
	asOf history.Stamp
	// unread are the errors of histories that could not be read, by the label of the image. It is not known what came back in them.
	unread map[string]error
	// seconds are the used seconds without these dates, and with those that are stored.
	seconds history.SecondSet
}

// SetRules sets the suppressions, and finds the findings that came back when suppressions ended until a moment. It reads only the histories of
// images that these suppressions covered. It must be called before anything is added to the record.
func (r *Refresher) SetRules(ctx context.Context, rules *suppress.Rules, until history.Stamp) {
	if rules == nil {
		return
	}
	r.Scope, r.asOf = rules.In(r.Repo), until
	isExamined := func(end time.Time) bool { return slices.Contains(r.Record.Examined, history.StampOf(end)) }
	r.times = slices.DeleteFunc(r.Scope.Ends(r.Repo, r.Record.Returned.Time(), until.Time()), isExamined)
	if len(r.times) == 0 {
		return
	}
	var names, labels []string
	for label, known := range r.Record.Images {
		image := known.ScannedImage(r.Repo)
		wasCovered := func(end time.Time) bool { return r.Scope.Covers(&image, end.Add(-time.Second)) }
		if known.History != "" && slices.ContainsFunc(r.endsOf(known), wasCovered) {
			names, labels = append(names, known.History), append(labels, label)
		}
	}
	var mu sync.Mutex
	r.dates, r.unread = make(map[string][]history.Stamp), make(map[string]error)
	r.Histories(ctx, names, func(i int, h history.History, err error) {
		var dates []history.Stamp
		changed := false
		if err == nil {
			_, changed = r.withEnds(labels[i], h, func(at history.Stamp) history.Stamp {
				dates = append(dates, at)
				return at
			})
		}
		mu.Lock()
		defer mu.Unlock()
		if changed {
			r.dates[labels[i]] = dates
		}
		if err != nil && scan.CodeOf(err) != scan.NotFound { // a lost history has no findings
			r.unread[labels[i]] = err
		}
	})
	r.reserveEnds()
}

// reserveEnds replaces the dates by free seconds.
func (r *Refresher) reserveEnds() {
	if len(r.dates) == 0 {
		return
	}
	r.Record.AssignDates(r.Clock()) // a visit assigns them before it uses other seconds
	r.seconds = slices.Clone(r.Record.UsedSeconds)
	for _, label := range r.LabelsWithEnds() {
		for i, at := range r.dates[label] {
			r.dates[label][i] = r.Record.UsedSeconds.Reserve(at)
		}
	}
}

// endsOf returns the ends for the findings of an image. It leaves out those from before the image was first listed: nobody knew its findings then.
func (r *Refresher) endsOf(known *history.ImageRecord) []time.Time {
	for i, end := range r.times {
		if end.After(known.First.Time()) {
			return r.times[i:]
		}
	}
	return nil
}

// LabelsWithEnds returns the sorted labels of the images with findings that came back.
func (r *Refresher) LabelsWithEnds() []string {
	labels := make([]string, 0, len(r.dates))
	for label := range r.dates {
		labels = append(labels, label)
	}
	slices.Sort(labels)
	return labels
}

// HasEnds reports whether findings of an image came back that are not new in its stored history yet.
func (r *Refresher) HasEnds(label string) bool {
	_, ok := r.dates[label]
	return ok
}

// EndsAreStored reports whether the stored histories have all findings that came back.
func (r *Refresher) EndsAreStored() bool { return len(r.dates)+len(r.unread) == 0 }

// LastEnd returns the last end of a suppression whose findings are not in the histories yet, or 0. failed means that some histories could not be read.
func (r *Refresher) LastEnd() (last history.Stamp, failed bool) {
	if len(r.times) == 0 {
		return 0, false
	}
	return history.StampOf(r.times[len(r.times)-1]), len(r.unread) > 0
}

// WithEnds returns the stored history of an image with the findings that came back.
func (r *Refresher) WithEnds(label string, h history.History) history.History {
	dates, ok := r.dates[label]
	if !ok {
		return h
	}
	next := 0
	h, _ = r.withEnds(label, h, func(at history.Stamp) history.Stamp {
		if next++; next > len(dates) {
			return at // a repeated read returned another history
		}
		return dates[next-1]
	})
	return h
}

func (r *Refresher) withEnds(label string, h history.History, reserve func(history.Stamp) history.Stamp) (next history.History, changed bool) {
	known := r.Stored.Images[label]
	if known == nil {
		return h, false
	}
	image := known.ScannedImage(r.Repo)
	matched := make(map[int64]bool) // without it, each finding would be compared with the suppressions of each end
	h.Each(func(f *scan.Finding) {
		r.Scope.EachEnd(&image, f, func(end time.Time) { matched[end.Unix()] = true })
	})
	for _, end := range r.endsOf(known) {
		if !matched[end.Unix()] {
			continue
		}
		comesBack := func(f *scan.Finding) bool {
			return r.Scope.Of(&image, f, end.Add(-time.Second)) != nil && r.Scope.Of(&image, f, end) == nil
		}
		var isChange bool
		h, isChange = h.WithEnd(comesBack, history.StampOf(end), reserve)
		changed = changed || isChange
	}
	return h, changed
}

// withScan returns a history with a scan of an image. known is the record of the image before. A finding that suppressions set aside until then is new if
// they no longer match it, because the image or a package of the finding is another one.
func (r *Refresher) withScan(old history.History, known history.ImageRecord, image scan.Image, result scan.Result, now history.Stamp) history.History {
	reserve := r.Record.UsedSeconds.Reserve
	next := old.WithScan(image.Digest, result, now, reserve)
	next.Index, image.LastIndex = image.Index, ""
	before, at := known.ScannedImage(r.Repo), r.asOf.Time()
	if !r.Scope.Covers(&before, at) {
		return next
	}
	isAside := func(image *scan.Image) func(*scan.Finding) bool {
		return func(f *scan.Finding) bool { return r.Scope.Of(image, f, at) != nil }
	}
	return next.WithReturned(old, isAside(&before), isAside(&image), now, reserve)
}

// SetEnds records that a history with the findings that came back was stored under a name.
func (r *Refresher) SetEnds(label, name string, h history.History) {
	known, exists := r.Record.Lookup(label)
	if !exists {
		return
	}
	known.History, known.Since, known.Changes, known.EventCount = name, h.Since, h.Changes, len(h.Events)
	r.Record.Put(known)
	for _, at := range r.dates[label] {
		r.seconds.Reserve(at)
	}
	delete(r.dates, label)
}

// endsSettledAfter is how long after an end all later visits know it. A deletion is stored some seconds after its time, so a visit can know a later end and
// not the deletion.
const endsSettledAfter = time.Minute

// FinishEnds records that the findings that came back are new in all stored histories. If isComplete is false, not all histories could be stored: then it makes
// the dates of the others free again, so that the next visit uses the same ones.
func (r *Refresher) FinishEnds(isComplete bool) {
	last, _ := r.LastEnd()
	switch {
	case isComplete:
		r.Record.Returned = max(r.Record.Returned, min(last, r.asOf.Plus(-endsSettledAfter)))
		examined := slices.Clone(r.Record.Examined)
		for _, end := range r.times {
			examined = append(examined, history.StampOf(end))
		}
		r.Record.Examined = slices.DeleteFunc(examined, func(end history.Stamp) bool { return end <= r.Record.Returned })
		r.times = nil
	case len(r.dates) > 0:
		r.Record.UsedSeconds = r.seconds
	}
}
