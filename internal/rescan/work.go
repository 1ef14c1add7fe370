package rescan

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// storedAtOnce is the number of findings from which histories are stored, so that they do not need much memory.
const storedAtOnce = 4096

// enhancedEvery is the interval at which an enhanced result is read, because it can change at any time. If a visit
// has nothing else to do, it also reads enhanced results earlier, for at most enhancedTime, those that were not read
// for the longest time first.
const (
	enhancedEvery = 6 * time.Hour
	enhancedTime  = time.Minute
)

// inProgressEvery is the interval at which a result that is "in progress" is read again in a row of continuing visits.
const inProgressEvery = 30 * time.Minute

// work handles the images of a visit's repository: it reads their results, adds them to the record, and starts the
// scans that are due.
type work struct {
	*visit
	// waitForStores waits until the histories are stored that storeHistories has begun to store. storing is the number of their
	// findings.
	waitForStores func()
	storing       int
	failed        error
	starter

	// recorded is closed when the record has been stored once. While ECR scans an image, the result of the last scan
	// is not available. So the first visit of a repository stores the result before it starts the next scan.
	recorded  chan struct{}
	firstSave sync.Once

	mu sync.Mutex
	// isAwaited means that a start waits for recorded.
	isAwaited bool
	// refusal is the error if ECR refused to return the result of an image.
	refusal error
	tally   Tally
	known   Known
}

func newWork(v *visit) *work {
	w := &work{visit: v, waitForStores: func() {}, recorded: make(chan struct{})}
	w.readsFirst = v.readOnly || v.Stored.Unfinished
	return w
}

// run handles all images in the order of their labels. Errors: errConflict.
func (w *work) run() error {
	w.tally, w.known = newTally(), Known{Findings: scan.Counts{}}
	if w.Stored.Version != "" || w.readOnly {
		w.firstSave.Do(func() { close(w.recorded) })
	}
	images := w.Images(func(i *history.ImageRecord) bool { return i.Unwatched == 0 })
	w.countOthers(images)
	groups := w.Groups(images)
	if w.message.Continues > 0 {
		w.oldestResultsFirst(groups)
	}
	w.handle(groups)
	if w.tally.NotReached == 0 && w.failed == nil {
		w.readAgain(groups)
	}
	for _, g := range groups {
		w.countFindings(g)
	}
	return w.failed
}

func (w *work) fetch(groups []refresh.Group, wants func(refresh.Group) (context.Context, bool), answered func(refresh.Group, scan.Result, error)) {
	f := refresh.Fetcher{Refresher: w.Refresher, Context: w.callCtx, ShouldRead: wants, OnResult: answered, OnBatch: w.onBatch}
	f.Run(groups)
	w.storeAll()
}

// countOthers counts the images and artifacts that ECR can't scan. Artifacts are counted separately, unless a config
// lists their tag.
func (w *work) countOthers(images []scan.Image) {
	listed := make(map[string]bool)
	for _, c := range w.configs {
		for _, tag := range c.Names() {
			listed[tag] = true
		}
	}
	w.tally.Artifacts += scan.CountArtifacts(slices.Values(images))
	counted := make(map[string]bool)
	for _, image := range images {
		key := string(image.Kind) + " " + cmp.Or(image.Digest, image.Tag)
		switch {
		case image.Kind == scan.PlainImage && image.Err == nil:
			continue
		case image.Kind == scan.Artifact && !listed[image.Tag]:
			w.tally.Artifacts++
			continue
		case counted[key]:
			continue
		case image.Err != nil:
			w.add(w.outcomeOfError(image, image.Err))
		default:
			w.add(outcome{kind: notScannable, reason: string(image.Kind)})
		}
		counted[key] = true
	}
	present := w.Record.PresentTags()
	for tag := range listed {
		if !present[tag] {
			w.add(outcome{kind: failed, reason: string(scan.Missing)})
		}
	}
}

// shouldRead reports whether to read a group's result from ECR. If not, it counts the group or starts its scan.
func (w *work) shouldRead(g refresh.Group) (context.Context, bool) {
	latest, answered := w.Latest(g)
	isRecorded := answered && w.IsRecorded(g)
	isRecent := latest.Last.IsFinal(w.Clock()) || latest.Last.Enhanced && w.Clock() < latest.AnsweredAt.Plus(enhancedEvery) ||
		w.message.Continues > 0 && latest.Last.State == scan.InProgress && w.Clock() < latest.AnsweredAt.Plus(inProgressEvery)
	switch {
	case w.isOver():
		w.add(outcome{kind: notReached})
		return nil, false
	case isRecorded && isRecent:
		w.startIfDue(g, latest.Last.Result())
		return nil, false
	}
	return w.callCtx, true
}

// isOver reports whether the visit must not start new work.
func (w *work) isOver() bool { return w.stopCtx.Err() != nil || w.failed != nil }

// onResult handles ECR's result for a group. If the result can't be read, the scan is started anyway, because ECR
// refuses it if the last scan was within 24 hours.
func (w *work) onResult(g refresh.Group, result scan.Result, err error) {
	if err != nil {
		refresh.LogImage(w.callCtx, w.Visitor.Log, "could not read the scan result of an image", g[0], err)
		result = refresh.ResultOfError(g[0], err)
	}
	if result.State == scan.Refused {
		w.mu.Lock()
		w.refusal = err
		w.mu.Unlock()
	}
	w.startIfDue(g, result)
}

// outcomeOfError returns the outcome for an image whose scan was not started because of err.
func (w *work) outcomeOfError(image scan.Image, err error) outcome {
	switch code := scan.CodeOf(err); {
	case code == scan.ScannedRecently:
		return outcome{kind: recent}
	case code == scan.EnhancedScanning:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.enhanced = true // only for this visit, because the setting can change
		return outcome{kind: notScannable, reason: string(scan.EnhancedScanning)}
	case code == scan.NotScannable, code == scan.ImageNotFound && (image.Index != "" || image.Platform != ""):
		return outcome{kind: notScannable, reason: scan.MessageOf(err)}
	case errors.Is(err, context.DeadlineExceeded) && w.callCtx.Err() != nil:
		return outcome{kind: notReached}
	}
	refresh.LogImage(w.callCtx, w.Visitor.Log, "could not start the scan of an image", image, err)
	return outcome{kind: failed, reason: scan.MessageOf(err)}
}

func (w *work) add(o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally.add(o)
}

func (w *work) hasNotReached() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tally.NotReached > 0
}

// countFindings adds the findings and the time of a group's last scan to the totals.
func (w *work) countFindings(g refresh.Group) {
	latest, _ := w.Latest(g)
	result := latest.Last.Result()
	if result.State == scan.Completed && !result.Enhanced {
		w.known.OldestScan = earlier(w.known.OldestScan, result.CompletedAt)
	}
	for severity, n := range result.Counts {
		w.known.Findings[severity] += n
	}
}

// onBatch is called after each batch. It stores the histories and the record from time to time.
func (w *work) onBatch() {
	w.recordStarted()
	w.Record.Unfinished = true
	w.saveIfAwaited()
	switch {
	case w.isSaveDue():
		w.storeAndSave()
	case w.PendingFindings()-w.storing >= storedAtOnce:
		w.waitForStores()
		w.storeHistories()
	}
}

// saveIfAwaited stores the record for the first time, if a start waits for this.
func (w *work) saveIfAwaited() {
	w.mu.Lock()
	isAwaited := w.isAwaited
	w.mu.Unlock()
	if isAwaited {
		w.firstSave.Do(func() {
			w.storeAndSave()
			close(w.recorded)
		})
	}
}

func (w *work) storeAndSave() {
	w.storeAll()
	w.noteSaveError(w.save())
}

// storeAll stores all pending histories, and waits until they are stored.
func (w *work) storeAll() {
	w.waitForStores()
	w.storeHistories()
	w.waitForStores()
}

// noteSaveError handles the error of a save. A conflict ends the visit. After another error, the next save can succeed.
func (w *work) noteSaveError(err error) {
	switch {
	case errors.Is(err, errConflict):
		w.failed = err
	case err != nil:
		w.log.WarnContext(w.saveCtx, "could not save the record; the visit retries it", "error", err)
	}
}

// storeHistories starts to store the pending histories. waitForStores waits for this and adds their names to the record. If a
// history can't be stored, this is logged, and a later visit reads the findings again.
func (w *work) storeHistories() {
	pending := w.Pending()
	if len(pending) == 0 || w.failed != nil {
		return
	}
	labels := slices.Sorted(maps.Keys(pending))
	histories := make([]history.History, len(labels))
	for i, label := range labels {
		histories[i] = pending[label]
	}
	w.storing = w.PendingFindings()
	var names []string
	var errs []error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if w.readOnly {
			names, errs = make([]string, len(labels)), slices.Repeat([]error{history.ErrLaterFormat}, len(labels))
		} else {
			names, errs = w.Visitor.Records.AddHistories(w.saveCtx, w.Repo, histories)
		}
	}()
	w.waitForStores = func() {
		<-done
		for i, label := range labels {
			if errs[i] != nil && !w.readOnly {
				w.log.WarnContext(w.saveCtx, "could not store the findings of an image; the next visit reads them again", "image", label, "error", errs[i])
			}
			w.SetStored(label, names[i], errs[i])
		}
		w.waitForStores, w.storing = func() {}, 0
	}
}

// readAgain reads enhanced results that this visit has not read yet, those that were not read for the longest time
// first, until enhancedTime or the visit's time for new work ends.
func (w *work) readAgain(groups []refresh.Group) {
	timeCtx, cancel := context.WithTimeout(w.stopCtx, enhancedTime)
	defer cancel()
	groups = slices.DeleteFunc(slices.Clone(groups), func(g refresh.Group) bool {
		latest, _ := w.Latest(g)
		return !latest.Last.Enhanced || latest.AnsweredAt >= w.begin
	})
	w.oldestResultsFirst(groups)
	w.fetch(groups, func(refresh.Group) (context.Context, bool) { return w.callCtx, timeCtx.Err() == nil && w.failed == nil }, nil)
}

// oldestResultsFirst sorts groups by the time of their last result, so that a visit continues where the previous one
// stopped.
func (w *work) oldestResultsFirst(groups []refresh.Group) {
	answeredAt := func(g refresh.Group) history.Stamp { latest, _ := w.Latest(g); return latest.AnsweredAt }
	slices.SortStableFunc(groups, func(a, b refresh.Group) int { return cmp.Compare(answeredAt(a), answeredAt(b)) })
}
