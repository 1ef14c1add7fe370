package rescan

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// Bounds of a visit: how many scans are started side by side, and how many histories are stored.
const (
	startsAtOnce = 64
	storesAtOnce = 64
)

// How often an enhanced result is read in any case, since it may change at any time, and how long a visit with nothing else left reads further
// ones, the longest unread first.
const (
	enhancedEvery = 6 * time.Hour
	enhancedTime  = time.Minute
)

// inProgressEvery is how long a visit that continues another believes that a scan is in progress: it was asked by a visit before it.
const inProgressEvery = 30 * time.Minute

// work is what a visit does with the images of its repository: it reads results, takes them into the record, and starts the scans that are due.
type work struct {
	*visit
	// stores waits for the histories that are being stored.
	stores func()
	starts errgroup.Group
	failed error

	// recorded is closed when the record has been stored once: while ECR scans an image again, it does not tell what the last scan found, so a
	// first visit stores that before it starts the scan.
	recorded  chan struct{}
	firstSave sync.Once

	mu sync.Mutex
	// refusal is ECR's refusal to tell the result of an image.
	refusal error
	tally   Tally
	known   Known
	started []refresh.Group
	// enhanced tells that the registry refused to start scans by hand.
	enhanced bool
}

func newWork(v *visit) *work {
	w := &work{visit: v, stores: func() {}, recorded: make(chan struct{})}
	w.starts.SetLimit(startsAtOnce)
	return w
}

// run does the work, image by image in the order of their labels. Errors: errConflict.
func (w *work) run() error {
	w.tally, w.known = newTally(), Known{Findings: scan.Counts{}}
	if w.Stored.Version != "" || w.readOnly {
		w.firstSave.Do(func() { close(w.recorded) })
	}
	images := w.Images()
	w.countOthers(images)
	groups := w.Groups(images)
	if w.message.Continues > 0 {
		w.longestUnaskedFirst(groups)
	}
	w.fetch(groups, w.wants, w.answered)
	_ = w.starts.Wait() // what happened is counted
	w.takeStarted()
	if w.tally.Left == 0 && w.failed == nil {
		w.readAgain(groups)
	}
	for _, g := range groups {
		w.learn(g)
	}
	return w.failed
}

func (w *work) fetch(groups []refresh.Group, wants func(refresh.Group) (context.Context, bool), answered func(refresh.Group, scan.Result, error)) {
	f := refresh.Fetcher{Refresher: w.Refresher, Wants: wants, Answered: answered, Taken: w.taken}
	f.Run(groups)
	w.stores()
}

// countOthers counts what ECR can't scan. A signature or a chart is counted apart, unless a config names its tag.
func (w *work) countOthers(images []scan.Image) {
	named := make(map[string]bool)
	for _, c := range w.configs {
		for _, tag := range c.Tags {
			named[tag] = true
		}
	}
	seen := make(map[string]bool)
	for _, image := range images {
		name := string(image.Kind) + " " + cmp.Or(image.Digest, image.Tag)
		switch {
		case image.Kind == scan.PlainImage && image.Err == nil:
			continue
		case image.Kind == scan.Artifact && !named[image.Tag]:
			w.tally.Artifacts++
			continue
		case seen[name]:
			continue
		case image.Err != nil:
			w.add(w.refused(image, image.Err))
		default:
			w.add(outcome{kind: notScannable, reason: string(image.Kind)})
		}
		seen[name] = true
	}
	there := w.Record.PresentTags()
	for tag := range named {
		if !there[tag] {
			w.add(outcome{kind: failed, reason: string(scan.Missing)})
		}
	}
}

// wants tells whether ECR is asked for a group. What is not asked is settled at once.
func (w *work) wants(g refresh.Group) (context.Context, bool) {
	latest, answered := w.Latest(g)
	isRead := answered && w.Remembers(g)
	isRecent := latest.Last.IsFinal(w.Clock()) || latest.Last.Enhanced && w.Clock() < latest.Asked.Plus(enhancedEvery) ||
		w.message.Continues > 0 && latest.Last.State == scan.InProgress && w.Clock() < latest.Asked.Plus(inProgressEvery)
	switch {
	case w.isOver():
		w.add(outcome{kind: left})
		return nil, false
	case isRead && isRecent:
		w.settle(g, latest.Last.Result())
		return nil, false
	}
	return w.calls, true
}

// isOver tells that no more work is to be begun.
func (w *work) isOver() bool { return w.stop.Err() != nil || w.failed != nil }

// answered goes on with ECR's answer for a group. A result that can't be read is no reason not to scan: ECR itself refuses what it scanned
// within 24 hours.
func (w *work) answered(g refresh.Group, result scan.Result, err error) {
	if err != nil {
		refresh.LogImage(w.calls, w.Visitor.Log, "can't read the scan result of an image", g[0], err)
		result = refresh.Unanswered(g[0], err)
	}
	if result.State == scan.Refused {
		w.mu.Lock()
		w.refusal = err
		w.mu.Unlock()
	}
	w.settle(g, result)
}

// settle starts the scan of a group that is due, and counts what became of it. It waits while too many are being started.
func (w *work) settle(g refresh.Group, result scan.Result) {
	switch due := result.DueAt(); {
	case result.State == scan.InProgress:
		w.add(outcome{kind: running})
	case result.Enhanced:
		w.add(outcome{kind: notScannable, reason: string(scan.EnhancedScanning)})
	case due.After(w.Refresher.Now()):
		w.add(outcome{kind: recent})
	default:
		w.starts.Go(func() error {
			if result.State == scan.Completed {
				<-w.recorded
			}
			w.add(w.start(g))
			return nil
		})
	}
}

func (w *work) start(g refresh.Group) outcome {
	w.mu.Lock()
	enhanced := w.enhanced
	w.mu.Unlock()
	switch {
	case w.stop.Err() != nil:
		return outcome{kind: left}
	case enhanced:
		return outcome{kind: notScannable, reason: string(scan.EnhancedScanning)}
	}
	if err := w.Scanner.StartScan(w.calls, w.Repo, g[0].Digest); err != nil {
		return w.refused(g[0], err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started = append(w.started, g)
	return outcome{kind: started}
}

// refused is what became of an image whose scan was not started for the reason err.
func (w *work) refused(image scan.Image, err error) outcome {
	switch code := scan.CodeOf(err); {
	case code == scan.ScannedRecently:
		return outcome{kind: recent}
	case code == scan.EnhancedScanning:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.enhanced = true // for this visit: the setting can be changed back
		return outcome{kind: notScannable, reason: string(scan.EnhancedScanning)}
	case code == scan.NotScannable, code == scan.ImageNotFound && image.Platform != "":
		return outcome{kind: notScannable, reason: scan.MessageOf(err)}
	case errors.Is(err, context.DeadlineExceeded) && w.calls.Err() != nil:
		return outcome{kind: left}
	}
	refresh.LogImage(w.calls, w.Visitor.Log, "can't start the scan of an image", image, err)
	return outcome{kind: failed, reason: scan.MessageOf(err)}
}

func (w *work) add(o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally.add(o)
}

func (w *work) hasLeft() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tally.Left > 0
}

// learn counts the findings of a group's last scan, and how old it is.
func (w *work) learn(g refresh.Group) {
	latest, _ := w.Latest(g)
	result := latest.Last.Result()
	if result.State == scan.Completed && !result.Enhanced {
		w.known.OldestScan = earlier(w.known.OldestScan, result.CompletedAt)
	}
	for severity, n := range result.Counts {
		w.known.Findings[severity] += n
	}
}

// taken is called after each batch: the histories of the batch before are stored by now, and those of this one begin to be.
func (w *work) taken() {
	w.stores()
	w.takeStarted()
	w.store()
	if w.isSaveDue() {
		w.stores()
		w.keep(w.save())
	}
	w.firstSave.Do(func() {
		w.stores()
		w.keep(w.save())
		close(w.recorded)
	})
}

// keep notes that another writer has stored the record. When the store fails, the next save may succeed.
func (w *work) keep(err error) {
	switch {
	case errors.Is(err, errConflict):
		w.failed = err
	case err != nil:
		w.log.WarnContext(w.saving, "can't save the record; it is tried again", "error", err)
	}
}

// store begins to store the pending histories; stores waits for it and takes their names into the record. One that can't be stored is logged,
// and its findings are read again by a later visit.
func (w *work) store() {
	pending := w.Pending()
	if len(pending) == 0 || w.failed != nil {
		w.stores = func() {}
		return
	}
	type stored struct {
		label, name string
		err         error
	}
	labels := make([]stored, 0, len(pending))
	for label := range pending {
		labels = append(labels, stored{label: label, err: history.ErrLaterFormat})
	}
	var g errgroup.Group
	g.SetLimit(storesAtOnce)
	for i := range labels {
		if one := &labels[i]; !w.readOnly {
			g.Go(func() error {
				one.name, one.err = w.Visitor.Records.AddHistory(w.saving, w.Repo, pending[one.label])
				return nil
			})
		}
	}
	w.stores = func() {
		_ = g.Wait() // each error stands beside its label
		for _, one := range labels {
			if one.err != nil && !w.readOnly {
				w.log.WarnContext(w.saving, "can't store the findings of an image; they are read again", "image", one.label, "error", one.err)
			}
			w.StoredAs(one.label, one.name, one.err)
		}
		w.stores = func() {}
	}
}

// takeStarted takes into the record which scans were started.
func (w *work) takeStarted() {
	w.mu.Lock()
	groups := w.started
	w.started = nil
	w.mu.Unlock()
	now := w.Clock()
	for _, g := range groups {
		for _, image := range g {
			w.Record.SetStarted(image, now)
		}
	}
}

// readAgain reads enhanced results that were not read by this visit, the longest unread first, while there is time.
func (w *work) readAgain(groups []refresh.Group) {
	until, cancel := context.WithTimeout(w.stop, enhancedTime)
	defer cancel()
	groups = slices.DeleteFunc(slices.Clone(groups), func(g refresh.Group) bool {
		latest, _ := w.Latest(g)
		return !latest.Last.Enhanced || latest.Asked >= w.begin
	})
	w.longestUnaskedFirst(groups)
	w.fetch(groups, func(refresh.Group) (context.Context, bool) { return w.calls, until.Err() == nil && w.failed == nil }, nil)
}

// longestUnaskedFirst sorts groups by when ECR was asked for them last, so that a visit goes on where the one before it was stopped.
func (w *work) longestUnaskedFirst(groups []refresh.Group) {
	asked := func(g refresh.Group) history.Stamp { latest, _ := w.Latest(g); return latest.Asked }
	slices.SortStableFunc(groups, func(a, b refresh.Group) int { return cmp.Compare(asked(a), asked(b)) })
}
