package scan

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ledger is the record of one repository while it is worked with: what is known is taken from it, what is not is asked of ECR and goes into it.
// Its methods may be called side by side.
type ledger struct {
	*Watch
	repo Repository
	// blank is a ledger without a record, for want of a store or since it can't be used: everything is asked of ECR, and nothing is kept.
	blank bool
	// failure is why the record can't be used; opened tells that it was tried.
	failure error
	opened  sync.Once
	// read is when the record was read, by our own clock, whose spans alone are used; saved is when it was written.
	read, saved time.Time
	// doubting is a ledger of someone who wants to know what is true now.
	doubting bool
	// patient is a ledger of someone who would rather wait for ECR than make do with what is known.
	patient bool
	// full bounds how many findings are read of ECR side by side.
	full chan struct{}
	// folds is how many images may still be read with their findings by whoever needs no more than counts.
	folds *atomic.Int64

	mu    sync.Mutex
	first Record // as it was in the store when it was read
	base  Record // as it is in the store
	now   Record // as it will be
	// stale is why what is known of some images, by label, could not be asked again.
	stale map[string]error
	// down is why nothing is asked of ECR any more.
	down error
}

// ledgers are the ledgers of the repositories that a call works with.
type ledgers struct {
	*Watch
	// patient ledgers wait for ECR as long as the call may take.
	patient bool
	// doubting ledgers ask what may have changed, however fresh it is.
	doubting bool
	full     *rooms
	folds    atomic.Int64

	mu   sync.Mutex
	open map[Repository]*ledger
}

// Bounds of what is asked of ECR: of how many images in one place the findings are read at once, since they may be megabytes, and by a reader of the summary how many, so that one of thousands stays quick.
const (
	fullAtOnce   = 16
	foldsPerRead = 200
)

// readersPatience is how long a reader waits for ECR when there is a last good answer to give.
const readersPatience = 8 * time.Second

// readers are the ledgers for an answer to a reader.
func (w *Watch) readers() *ledgers {
	l := &ledgers{Watch: w, full: newRooms(fullAtOnce), open: make(map[Repository]*ledger)}
	l.folds.Store(foldsPerRead)
	return l
}

// writers are the ledgers for a scan run, which goes on whatever becomes of the record.
func (w *Watch) writers() *ledgers {
	return &ledgers{Watch: w, patient: true, full: newRooms(fullAtOnce), open: make(map[Repository]*ledger)}
}

// of is the ledger of a repository that was opened, or a blank one.
func (ls *ledgers) of(repo Repository) *ledger {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.open[repo]
	if l == nil {
		l = &ledger{Watch: ls.Watch, repo: repo, blank: true, patient: ls.patient, doubting: ls.doubting, read: ls.Now(), full: ls.full.of(repo.place()), folds: &ls.folds, stale: make(map[string]error)}
		l.base.Now = l.read
		l.now = l.base.clone()
		ls.open[repo] = l
	}
	return l
}

// begin opens the ledger of a repository, once.
func (ls *ledgers) begin(ctx context.Context, repo Repository) *ledger {
	l := ls.of(repo)
	l.opened.Do(func() { l.open(ctx) })
	return l
}

func (l *ledger) open(ctx context.Context) {
	if l.Records == nil {
		return
	}
	r, err := l.Records.Load(ctx, l.repo)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failure = err
		l.Log.ErrorContext(ctx, "can't read what is remembered of a repository", "registry", l.repo.Registry, "region", l.repo.Region,
			"repository", l.repo.Name, "error", err)
		return
	}
	l.blank, l.read, l.base = false, l.Now(), r
	if r.Now.IsZero() {
		l.base.Now = l.read
	}
	l.now, l.first, l.saved = l.base.clone(), l.base, l.read
}

// list tells what the tags of a repository point to, as [walker] wants it.
func (ls *ledgers) list(ctx context.Context, repo Repository, tags []string) ([]Image, error) {
	l := ls.begin(ctx, repo)
	if l.failure != nil { // whoever tells what is new must know what is old
		return nil, l.failure
	}
	return l.images(ctx, tags)
}

// clock is the time by S3's clock.
func (l *ledger) clock() Stamp { return StampOf(l.base.Now.Add(l.Now().Sub(l.read))) }

// images are what the tags point to, all of them when there are none: from the record while that is fresh, else from ECR; and when ECR can't be
// asked just now, as they were last.
func (l *ledger) images(ctx context.Context, tags []string) ([]Image, error) {
	l.mu.Lock()
	known, isFresh := l.recorded(tags)
	l.mu.Unlock()
	if isFresh {
		return known, nil
	}
	calls, cancel := l.patience(ctx, len(known) > 0)
	defer cancel()
	images, err := l.Registry.Images(calls, l.repo, tags)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	switch code := CodeOf(err); {
	case code == Unavailable && len(known) > 0:
		l.down = err
		for _, i := range known {
			l.stale[i.Label()] = err
		}
		return known, nil
	case code == RepositoryNotFound:
		l.now.gone(now)
	}
	if err != nil {
		return nil, err
	}
	return l.listed(images, tags, now), nil
}

// patience is how long ECR is waited for when there is something else to show.
func (l *ledger) patience(ctx context.Context, fallback bool) (context.Context, context.CancelFunc) {
	if !fallback || l.patient {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, readersPatience)
}

// recorded are the images of the record that have the tags, and whether they needn't be asked for again.
func (l *ledger) recorded(tags []string) (images []Image, isFresh bool) {
	now := l.clock()
	wanted := make(map[string]bool, len(tags))
	for _, tag := range tags {
		wanted[tag] = true
	}
	found := make(map[string]bool, len(tags))
	isFresh = len(tags) > 0 || fresh(l.now.Listed, now)
	for _, i := range l.now.Images {
		if len(tags) > 0 && !wanted[i.Tag] {
			continue
		}
		if fresh(l.now.seen(i), now) {
			found[i.Tag] = true
		}
		if i.Kind != Missing {
			images = append(images, i.image(l.repo))
		}
	}
	for tag := range wanted { // one that no record has may have been pushed since all were listed, and its config added a second ago
		isFresh = isFresh && found[tag]
	}
	return images, isFresh && l.now.Gone == 0 && !l.blank && !l.doubting
}

// listed takes in what ECR listed, and gives what is to be shown of it: of an index that could not be resolved just now, what it had before.
func (l *ledger) listed(images []Image, tags []string, now Stamp) []Image {
	l.now.there(now)
	images = l.withKnownPlatforms(images)
	there := make(map[string]bool, len(images))
	for _, i := range images {
		if there[i.Label()] = true; l.stale[i.Label()] == nil {
			l.now.observed(i, now)
		}
	}
	for label, i := range l.now.Images {
		if !there[label] && (len(tags) == 0 || slices.Contains(tags, i.Tag)) {
			l.now.unobserved(label, now)
		}
	}
	for _, tag := range tags {
		missing := Image{Repository: l.repo, Tag: tag, Kind: Missing}
		if old, known := l.now.Images[missing.Label()]; !l.hasTag(tag) && (!known || old.Kind == Missing) {
			l.now.observed(missing, now)
		}
	}
	if len(tags) == 0 {
		l.now.Listed, l.now.touched = now, true
	}
	return images
}

// hasTag tells whether anything is there under a tag.
func (l *ledger) hasTag(tag string) bool {
	i, known := l.now.Images[tag]
	if known && i.Kind != Missing {
		return true
	}
	for _, i := range l.now.Images {
		if i.Tag == tag && i.Kind != Missing {
			return true
		}
	}
	return false
}

// withKnownPlatforms puts in the place of an index that could not be resolved just now the images that it had, if it is the same index or that
// is unknown.
func (l *ledger) withKnownPlatforms(images []Image) []Image {
	broken := make(map[string]Image)
	for _, i := range images {
		if i.Kind == Index && CodeOf(i.Err) == Unavailable {
			broken[i.Tag] = i
		}
	}
	if len(broken) == 0 {
		return images
	}
	shown := slices.Clone(images)
	for _, i := range l.now.Images {
		if index, is := broken[i.Tag]; is && i.Platform != "" && i.Kind != Missing && (i.Index == "" || i.Index == index.Digest) {
			shown = slices.DeleteFunc(shown, func(s Image) bool { return s.Tag == i.Tag && s.Kind == Index })
			shown = append(shown, i.image(l.repo))
			l.stale[i.Label()] = index.Err
		}
	}
	return shown
}

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
	all := l.allRemember(same, best)
	l.mu.Unlock()
	switch {
	case l.down != nil && answered:
		return best.Last.result()
	case trusted && (all || want == countsOnly):
		l.share(same, best)
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

// allRemember tells whether each of the images remembers the findings of an answer.
func (l *ledger) allRemember(same []Image, best ImageRecord) bool {
	for _, i := range same {
		r := l.now.Images[i.Label()]
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
			r.Last, r.Asked = best.Last, best.Asked
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
				r.Read = now
			}
			l.now.put(r)
		}
	}
	l.mu.Unlock()
	if read {
		l.fold(ctx, same, result)
	}
	return result
}

// call reads no more than is needed, and tells whether it has read the findings. all tells that what was said last is remembered with its
// findings, so that it is likely that nothing has changed since. Counts are read first, since many of them may be read side by side.
func (l *ledger) call(ctx context.Context, image Image, best ImageRecord, all bool, want depth) (result Result, read bool, err error) {
	likely := all && best.Last.State == Completed
	if want != allFindings || likely && !best.Last.Enhanced {
		result, err = l.Registry.Result(ctx, l.repo, image.Digest)
		if err != nil || l.blank || result.State != Completed || likely && l.settled(best, result) || want == countsOnly && !l.mayFold() {
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
func (l *ledger) settled(best ImageRecord, result Result) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	answer := answerOf(result)
	if answer.Enhanced || best.Last.Enhanced {
		return reflect.DeepEqual(answer, best.Last) && l.clock() < best.Read.plus(enhancedEvery)
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
	if result.State == Unread && best.Last.State == Completed {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, i := range same {
			l.stale[i.Label()] = err
		}
		return best.Last.result()
	}
	return result
}

// fold takes the findings of a result into the history of each label. One that can't be kept stays as it was, and is found again.
func (l *ledger) fold(ctx context.Context, same []Image, result Result) {
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
		}
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

// commitEvery is how long a scan run keeps what it learned before it writes it down.
const commitEvery = 20 * time.Second

// commitSome writes what has changed if it was long ago that it did.
func (l *ledger) commitSome(ctx context.Context) {
	l.mu.Lock()
	due := l.Now().Sub(l.saved) >= commitEvery
	l.mu.Unlock()
	if due {
		l.commit(ctx)
	}
}

// sweepEvery is how often what a record no longer needs is removed.
const sweepEvery = 6 * time.Hour

// close writes what has changed, and removes what is no longer needed if it was long ago that it did.
func (l *ledger) close(ctx context.Context) {
	l.mu.Lock()
	now := l.clock()
	sweep := !l.blank && len(l.now.Images) > 0 && now > l.now.Swept.plus(sweepEvery)
	if sweep {
		l.now.Swept, l.now.touched = now, true
	}
	l.mu.Unlock()
	l.commit(ctx)
	if sweep {
		if err := l.Records.Sweep(ctx, l.repo, l.base, l.first); err != nil {
			l.Log.WarnContext(ctx, "can't remove what is no longer needed of a record; the next run will", "registry", l.repo.Registry,
				"region", l.repo.Region, "repository", l.repo.Name, "error", err)
		}
	}
}

// Bounds of how often a record is written again when others write it too.
const savesPerCommit = 10

// commit writes what has changed. What can't be written is logged, and found again.
func (l *ledger) commit(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.blank || !l.now.touched {
		return
	}
	l.saved = l.Now()
	now := l.clock()
	l.now.forget(now)
	if showsOther(l.base, l.now) {
		l.now.Changed = l.base.later(now)
	} else if !l.learned() {
		return
	}
	err := error(&Error{Code: Unavailable, Message: "it is written by others all the time"})
	for range savesPerCommit {
		var version string
		if version, err = l.Records.Save(ctx, l.repo, l.now); err != nil {
			break
		}
		if version != "" {
			l.now.Version = version
			l.base = l.now
			l.now = l.base.clone()
			return
		}
		theirs, loadErr := l.Records.Load(ctx, l.repo)
		if loadErr != nil {
			err = loadErr
			break
		}
		l.now = merged(l.base, l.now, theirs)
		l.now.touched = true
		if showsOther(theirs, l.now) {
			l.now.Changed = theirs.later(now)
		}
		l.base, l.read = theirs, l.Now()
		if theirs.Now.IsZero() {
			l.base.Now = l.read
		}
		err = &Error{Code: Unavailable, Message: "it is written by others all the time"}
	}
	if !errors.Is(err, context.Canceled) {
		l.Log.WarnContext(ctx, "can't write what is to be remembered of a repository; it will be found again", "registry", l.repo.Registry,
			"region", l.repo.Region, "repository", l.repo.Name, "error", err)
	}
}

// learned tells whether anything was looked up that is worth writing down.
func (l *ledger) learned() bool {
	if l.base.Version == "" || l.now.Listed != l.base.Listed || l.now.Swept != l.base.Swept {
		return len(l.now.Images) > 0 || l.now.Gone > 0 || l.now.Listed > 0
	}
	return !maps.EqualFunc(l.base.Images, l.now.Images, func(a, b ImageRecord) bool { return a.Seen == b.Seen && a.Asked == b.Asked })
}
