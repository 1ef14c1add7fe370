package scan

import (
	"cmp"
	"context"
	"reflect"
	"time"
)

// depth is how much of a result is wanted.
type depth int

const (
	// countsOnly wants no more than the counts; what is new is remembered as far as there is time for it.
	countsOnly depth = iota
	// newsOnly wants to remember the findings of each completed scan, and sees to those of an enhanced one a few times a day.
	newsOnly
	// allFindings wants the findings as they are.
	allFindings
)

// news is how much a scan run wants.
func (l *ledger) news() depth {
	if l.blank {
		return countsOnly
	}
	return newsOnly
}

// enhancedEvery is how often the findings of an enhanced scan are read for news though its counts didn't change.
const enhancedEvery = 6 * time.Hour

// look is the result of an image, which has the given labels: from the record while that is good, else from ECR.
func (l *ledger) look(ctx context.Context, same []Image, want depth) Result {
	image := same[0]
	if image.Err != nil || image.Kind != PlainImage {
		return l.unscannable(ctx, image)
	}
	l.mu.Lock()
	best, answered := l.known(same)
	trusted := answered && !l.blank && best.trusted(l.clock(), want == newsOnly || l.doubting)
	enough := trusted && want == countsOnly
	all := !enough && l.allRemember(same, best)
	l.mu.Unlock()
	switch {
	case l.down != nil && answered:
		return best.Last.result()
	case enough, trusted && all:
		if len(same) > 1 { // else it is the label's own
			l.share(same, best)
		}
		return best.Last.result()
	}
	return l.ask(ctx, same, best, answered && all, want)
}

// unscannable is the result of what is no image that ECR scans.
func (l *ledger) unscannable(ctx context.Context, image Image) Result {
	switch {
	case image.Err != nil:
		return l.unread(ctx, image, image.Err)
	case image.Kind == Missing:
		return Result{State: NoSuchTag}
	}
	return Result{State: NotScanned, Reason: string(image.Kind)}
}

// known is the latest answer for images that are one to ECR.
func (l *ledger) known(same []Image) (best ImageRecord, answered bool) {
	for _, i := range same {
		r, ok := l.now.Images[i.Label()]
		if ok && r.Digest == i.Digest && r.Last.State != "" && (!answered || r.Asked > best.Asked) {
			best, answered = r, true
		}
	}
	return best, answered
}

// allRemember tells whether each of the images remembers the findings of an answer. Those of an enhanced scan may change without its date: each
// must have had that very answer, and have read its findings not long ago.
func (l *ledger) allRemember(same []Image, best ImageRecord) bool {
	for _, i := range same {
		r := l.now.Images[i.Label()]
		if best.Last.Enhanced && (!reflect.DeepEqual(r.Last, best.Last) || l.clock() >= r.Read.plus(enhancedEvery)) {
			return false
		}
		r.Digest, r.Last = best.Digest, best.Last
		if !r.remembered() {
			return false
		}
	}
	return true
}

// share gives one answer to all labels of an image.
func (l *ledger) share(same []Image, best ImageRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range same {
		if r, ok := l.now.Images[i.Label()]; ok && r.Digest == best.Digest && (r.Last.State == "" || r.Asked < best.Asked) {
			r.answered(best.Last.result(), best.Asked)
			l.now.put(r)
		}
	}
}

// ask asks ECR, and remembers what it says.
func (l *ledger) ask(ctx context.Context, same []Image, best ImageRecord, all bool, want depth) Result {
	calls, cancel := l.patience(ctx, best.Last.State == Completed)
	defer cancel()
	result, read, err := l.call(calls, same[0], best, all, want)
	if err != nil {
		return l.unanswered(ctx, same, best, err)
	}
	l.mu.Lock()
	now := l.clock()
	for _, i := range same {
		if r, ok := l.now.Images[i.Label()]; ok && r.Digest == i.Digest {
			r.answered(result, now)
			if read {
				r.Read = 0 // until they are kept
			}
			l.now.put(r)
		}
	}
	l.mu.Unlock()
	if read {
		l.fold(ctx, same, result, now)
	}
	return result
}

// call reads no more than is needed, and tells whether it has read the findings. all tells that what was said last is remembered with its
// findings, so that it is likely that nothing has changed since. Counts are read first, since many of them may be read side by side.
func (l *ledger) call(ctx context.Context, image Image, best ImageRecord, all bool, want depth) (result Result, read bool, err error) {
	likely := all && best.Last.State == Completed
	if want != allFindings || likely && !best.Last.Enhanced {
		result, err = l.Registry.Result(ctx, l.repo, image.Digest)
		if err != nil || l.blank || result.State != Completed || likely && settled(best, result) || want == countsOnly && !l.mayFold() {
			return result, false, err
		}
	}
	select {
	case l.full <- struct{}{}:
		defer func() { <-l.full }()
	case <-ctx.Done():
		return Result{}, false, &Error{Code: Unavailable, Message: "no answer in time", Err: ctx.Err()}
	}
	result, err = l.Registry.Findings(ctx, l.repo, image.Digest)
	return result, err == nil, err
}

// settled tells whether a completed result is the one that is remembered.
func settled(best ImageRecord, result Result) bool {
	answer := answerOf(result)
	if answer.Enhanced || best.Last.Enhanced {
		return reflect.DeepEqual(answer, best.Last)
	}
	return answer.Completed == best.Last.Completed
}

// mayFold takes one of the folds that are left to a reader.
func (l *ledger) mayFold() bool { return l.folds.Add(-1) >= 0 }

// unanswered is what is shown of an image that ECR gives no answer for: the last good one if that may still be true.
func (l *ledger) unanswered(ctx context.Context, same []Image, best ImageRecord, err error) Result {
	result := l.unread(ctx, same[0], err)
	if CodeOf(err) == RepositoryNotFound {
		l.mu.Lock()
		l.now.gone(l.clock())
		l.mu.Unlock()
	}
	if result.State == Unread && best.Last.State != "" {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, i := range same {
			l.stale[i.Label()] = err
		}
		return best.Last.result()
	}
	return result
}

// fold takes the findings of a result, which were read at a time, into the history of each label. One that can't be kept stays as it was, and
// is found again.
func (l *ledger) fold(ctx context.Context, same []Image, result Result, at Stamp) {
	for _, i := range same {
		l.mu.Lock()
		r, ok := l.now.Images[i.Label()]
		l.mu.Unlock()
		if !ok || l.blank || r.Digest != i.Digest {
			continue
		}
		h, err := l.historyOf(ctx, r)
		if err == nil && h.isNews(i.Digest, result) {
			err = l.remember(ctx, i, r.History, h, result)
		}
		if err != nil {
			l.logImage(ctx, "can't remember the findings of an image; they will be read again", i, err)
			continue
		}
		l.keptFindings(i, at)
	}
}

// keptFindings takes in that the findings of an image that were read at a time are in its history.
func (l *ledger) keptFindings(image Image, at Stamp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.now.Images[image.Label()]; ok && r.Digest == image.Digest {
		r.Read = at
		l.now.put(r)
	}
}

// historyOf is the history that a record names; an empty one when that is lost.
func (l *ledger) historyOf(ctx context.Context, r ImageRecord) (History, error) {
	if r.History == "" {
		return History{Tag: r.Tag, Platform: r.Platform}, nil
	}
	h, err := l.Records.History(ctx, l.repo, r.History)
	if CodeOf(err) == NotFound {
		l.Log.ErrorContext(ctx, "the history of an image is lost: it begins anew", "registry", l.repo.Registry, "region", l.repo.Region,
			"repository", l.repo.Name, "tag", r.Tag, "platform", r.Platform, "error", err)
		return History{Tag: r.Tag, Platform: r.Platform}, nil
	}
	return h, err
}

// remember makes and keeps the next history of a label, unless someone else's has come meanwhile in the place of the one that it goes on from.
func (l *ledger) remember(ctx context.Context, i Image, from string, h History, result Result) error {
	l.mu.Lock()
	next := h.after(i.Digest, result, l.clock(), l.now.Taken.take)
	l.mu.Unlock()
	name := ""
	if !next.sameAs(h) {
		var err error
		if name, err = l.Records.AddHistory(ctx, l.repo, next); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.now.Images[i.Label()]
	if !ok || r.History != from {
		return nil
	}
	r.remember(cmp.Or(name, from), next, l.clock())
	l.now.put(r)
	return nil
}

// dress adds to a result what the record has of one label of its image.
func (l *ledger) dress(image Image, result Result) Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.now.Images[image.Label()]
	if !ok {
		return result
	}
	result.Changes, result.KnownSince = r.Changes, r.Since.Time()
	if err := l.stale[image.Label()]; err != nil && result.State != Unread {
		result.AsOf = l.asOf(r).Time()
		if result.State == Completed {
			result.Reason = MessageOf(err)
		}
	}
	return result
}

// asOf is when what is known of an image was last true for sure.
func (l *ledger) asOf(r ImageRecord) Stamp {
	asked := cmp.Or(r.Asked, r.Last.Completed)
	if l.down != nil && (asked == 0 || l.now.seen(r) < asked) {
		return l.now.seen(r)
	}
	return asked
}

// started takes in that a scan was started: what was said of the image before no longer holds.
func (l *ledger) started(image Image) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.now.Images {
		if r.Digest == image.Digest && r.Last.State != "" {
			r.Asked = 0
			l.now.put(r)
		}
	}
}
