package rescan

import (
	"slices"

	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// startsAtOnce is the maximum number of concurrent calls of a visit that start scans.
const startsAtOnce = 64

// marksAtOnce is the maximum number of images whose start is marked in the record before ECR is called. After a crash, the
// next visit reads the results of so many images before it starts scans.
const marksAtOnce = 4096

// starter is the state of the starts of a visit. The mutex of work protects it.
type starter struct {
	starts *refresh.Workers
	// readsFirst means that each result is read before a scan is started: the last visit did not end, and nobody knows
	// what it started. Or the record can't be stored.
	readsFirst bool
	// started are the groups whose scan was started, and notStarted those that were marked and not started.
	started, notStarted []refresh.Group
	// refused are the outcomes of the starts that ECR refused before the result was read, by digest.
	refused map[string]outcome
	// enhanced means that the registry uses enhanced scanning and refuses to start scans.
	enhanced bool
}

// handle reads the results of groups and starts the scans that are due. The scan of an image whose last result is recorded
// is started without reading the result again, because ECR refuses the start if it has a newer one. While these scans are
// started, the results of the other groups are read.
func (w *work) handle(groups []refresh.Group) {
	w.refused, w.starts = make(map[string]outcome), refresh.NewWorkers(startsAtOnce)
	var marked, toRead []refresh.Group
	for _, g := range groups {
		if w.canStart(g) {
			marked = append(marked, g)
		} else {
			toRead = append(toRead, g)
		}
	}
	for chunk := range slices.Chunk(marked, marksAtOnce) {
		wait := w.startMarked(chunk)
		w.fetch(toRead, w.shouldRead, w.onResult)
		toRead = wait()
	}
	w.fetch(toRead, w.shouldRead, w.onResult)
	w.saveIfAwaited()
	w.starts.Wait()
	w.recordStarted()
}

// canStart reports whether the scan of a group is due and its last result is recorded, so that the scan can be started
// without reading the result again.
func (w *work) canStart(g refresh.Group) bool {
	latest, _ := w.Latest(g)
	result := latest.Last.Result()
	if w.readsFirst || result.State != scan.Completed || result.Enhanced || result.Incomplete || result.DueAt().After(w.Clock().Time()) {
		return false
	}
	return w.IsRecorded(g) && !slices.ContainsFunc(g, func(i scan.Image) bool { return w.Record.Image(i.Label()).Started > 0 })
}

// startMarked marks the groups in the record, stores it, and then starts their scans. wait waits for the starts and returns
// the groups whose results must be read: those whose start ECR refused, or all if the record could not be stored.
func (w *work) startMarked(groups []refresh.Group) (wait func() []refresh.Group) {
	if err := w.saveMarks(groups); err != nil {
		w.noteSaveError(err)
		return func() []refresh.Group { return groups }
	}
	done := make(chan struct{})
	refused := make([]bool, len(groups))
	go func() {
		defer close(done)
		starts := refresh.NewWorkers(startsAtOnce)
		for i, g := range groups {
			starts.Go(func() { refused[i] = !w.startKnown(g) })
		}
		starts.Wait()
	}()
	return func() []refresh.Group {
		<-done
		w.recordStarted()
		toRead := groups[:0:0]
		for i, g := range groups {
			if refused[i] {
				toRead = append(toRead, g)
			}
		}
		return toRead
	}
}

// startKnown starts the scan of a marked group. It reports false if ECR refused it, for example because another program
// has started a scan. Then the result must be read.
func (w *work) startKnown(g refresh.Group) bool {
	o := w.start(g)
	switch o.kind {
	case started:
	case notReached:
		w.mu.Lock()
		w.notStarted = append(w.notStarted, g)
		w.mu.Unlock()
	default:
		w.mu.Lock()
		w.refused[g[0].Digest] = o
		w.mu.Unlock()
		return false
	}
	w.add(o)
	return true
}

// startIfDue starts the scan of a group if it is due, and counts the outcome. It waits while the maximum number of
// scans is being started.
func (w *work) startIfDue(g refresh.Group, result scan.Result) {
	w.mu.Lock()
	refused, isRefused := w.refused[g[0].Digest]
	w.mu.Unlock()
	switch due := result.DueAt(); {
	case result.State == scan.InProgress:
		w.add(outcome{kind: running})
	case result.Enhanced:
		w.add(outcome{kind: notScannable, reason: string(scan.EnhancedScanning)})
	case due.After(w.Refresher.Now()):
		w.add(outcome{kind: recent})
	case isRefused:
		w.add(refused)
	case result.State == scan.Completed:
		w.mu.Lock()
		w.isAwaited = true
		w.mu.Unlock()
		w.starts.Go(func() {
			<-w.recorded
			w.add(w.start(g))
		})
	default:
		w.starts.Go(func() { w.add(w.start(g)) })
	}
}

func (w *work) start(g refresh.Group) outcome {
	w.mu.Lock()
	enhanced := w.enhanced
	w.mu.Unlock()
	switch {
	case w.stopCtx.Err() != nil:
		return outcome{kind: notReached}
	case enhanced:
		return outcome{kind: notScannable, reason: string(scan.EnhancedScanning)}
	}
	if err := w.Scanner.StartScan(w.callCtx, w.Repo, g[0].Digest); err != nil {
		return w.outcomeOfError(g[0], err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.starter.started = append(w.starter.started, g)
	return outcome{kind: started}
}

// recordStarted adds the started scans to the record, and removes the marks of those that were not started.
func (w *work) recordStarted() {
	w.mu.Lock()
	groups, notStarted := w.starter.started, w.notStarted
	w.starter.started, w.notStarted = nil, nil
	w.mu.Unlock()
	now := w.Clock()
	for _, g := range groups {
		for _, image := range g {
			w.mustSave = w.Record.SetStarted(image, now) || w.mustSave
		}
	}
	mark(&w.Record, notStarted, 0)
	w.mustSave = w.mustSave || len(notStarted) > 0
}

// recordCoverage records whether enhanced scanning ignores the repository. It calls ECR only if ECR refused to start a scan because of enhanced
// scanning. If ECR does not answer, the record stays as it is.
func (w *work) recordCoverage() {
	if !w.enhanced {
		w.Record.NotCovered = w.Record.NotCovered && w.tally.Started == 0
		return
	}
	covered, err := w.Scanner.IsCovered(w.callCtx, w.Repo)
	if err != nil {
		w.log.WarnContext(w.saveCtx, "could not read whether enhanced scanning covers the repository", "error", err)
		return
	}
	w.Record.NotCovered = !covered
}
