package refresh

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// Limits of concurrent reads. Results are added to the record batch by batch, so that dates do not depend on the
// order in which calls end. While one batch is added, the next ones are read. The results of all unfinished batches
// are in memory, and one result can have several megabytes.
const (
	batchSize     = 16
	batchesAtOnce = 4
	readsAtOnce   = batchSize * batchesAtOnce
)

// Group is a list of images of a repository with the same digest and different tags. It is not empty. ECR has one
// result for all of them.
type Group []scan.Image

// Groups returns the images that ECR can scan, grouped by digest, in the order of their labels.
func (r *Refresher) Groups(images []scan.Image) []Group {
	var groups []Group
	indexes := make(map[string]int, len(images))
	for n, image := range images {
		if image.Kind != scan.PlainImage || image.Err != nil {
			continue
		}
		if i, exists := indexes[image.Digest]; exists {
			groups[i] = append(groups[i], image)
			continue
		}
		indexes[image.Digest] = len(groups)
		groups = append(groups, images[n:n+1:n+1]) // not a copy, because there can be 100,000
	}
	return groups
}

// Latest returns the image record of the group that has ECR's latest answer, and false when ECR has not answered for
// the group.
func (r *Refresher) Latest(g Group) (latest history.ImageRecord, answered bool) {
	for _, i := range g {
		known := r.Record.Image(i.Label())
		if known.Digest == i.Digest && known.Last.State != "" && (!answered || known.AnsweredAt > latest.AnsweredAt) {
			latest, answered = known, true
		}
	}
	return latest, answered
}

// IsRecorded reports whether each image of a group has the latest answer and its history has the answer's findings.
func (r *Refresher) IsRecorded(g Group) bool {
	latest, answered := r.Latest(g)
	return answered && !slices.ContainsFunc(g, func(i scan.Image) bool {
		known := r.Record.Image(i.Label())
		return known.Digest != i.Digest || !reflect.DeepEqual(known.Last, latest.Last) || !known.IsRecorded()
	})
}

// IsFinal reports whether the group's recorded result can't change until ECR's next scan is possible.
func (r *Refresher) IsFinal(g Group) bool {
	latest, _ := r.Latest(g)
	return latest.Last.IsFinal(r.Clock()) && r.IsRecorded(g)
}

// groupResult is the result of one group while it is read and recorded.
type groupResult struct {
	group Group
	// known are the records of the group's images before the read.
	known  []history.ImageRecord
	result scan.Result
	err    error
	// old are the stored histories that the result updates, by label. historyErrors are the errors of those that
	// could not be read.
	old           map[string]history.History
	historyErrors map[string]error
}

// Fetcher reads the results of groups.
type Fetcher struct {
	*Refresher
	// Context is for reading stored histories.
	Context context.Context
	// ShouldRead reports whether to read a group from ECR, and returns the context for the call. It is called once
	// for each group, in order, before the group is read.
	ShouldRead func(Group) (context.Context, bool)
	// OnResult, if set, is called with each result, concurrently. While it blocks, it occupies one of the concurrent
	// reads.
	OnResult func(Group, scan.Result, error)
	// OnBatch, if set, is called after each batch is added to the record.
	OnBatch func()

	// counts are the counts of earlier results, by their text.
	counts map[string]scan.Counts
}

// Run reads the results of groups from ECR and adds them to the record.
func (f *Fetcher) Run(groups []Group) {
	readers := NewWorkers(readsAtOnce)
	var finishes []func()
	for batch := range slices.Chunk(groups, batchSize) {
		finishes = append(finishes, f.startBatch(batch, readers))
		if len(finishes) == batchesAtOnce {
			finishes[0]()
			finishes = finishes[1:]
		}
	}
	for _, finish := range finishes {
		finish()
	}
	readers.Wait() // until all calls of OnResult have returned
}

// startBatch starts to read a batch. finish waits for the results and adds them to the record.
func (f *Fetcher) startBatch(batch []Group, readers *Workers) (finish func()) {
	var wg sync.WaitGroup
	results := make([]*groupResult, 0, len(batch))
	for _, g := range batch {
		ctx, ok := f.ShouldRead(g)
		if !ok {
			continue
		}
		one := &groupResult{group: g, old: make(map[string]history.History), historyErrors: make(map[string]error)}
		for _, image := range g {
			one.known = append(one.known, f.Record.Image(image.Label()))
		}
		results = append(results, one)
		wg.Add(1)
		readers.Go(func() {
			f.readGroup(ctx, one)
			wg.Done()
			if f.OnResult != nil {
				f.OnResult(g, one.result, one.err)
			}
		})
	}
	complete := make(chan struct{})
	go func() {
		wg.Wait()
		f.readHistories(results)
		close(complete)
	}()
	return func() {
		<-complete
		if len(results) == 0 {
			return
		}
		f.recordBatch(results)
		if f.OnBatch != nil {
			f.OnBatch()
		}
	}
}

// readGroup reads the result of one group from ECR.
func (f *Fetcher) readGroup(ctx context.Context, one *groupResult) {
	one.result, one.err = f.Registry.Findings(ctx, f.Repo, one.group[0].Digest)
	if one.err == nil && one.result.KindUnknown {
		one.result.Enhanced = slices.ContainsFunc(one.known, func(r history.ImageRecord) bool { return r.Scan.Enhanced })
	}
}

// readHistories reads the stored histories that the results of a batch update. An image without a history, or whose
// history is lost, gets an empty one.
func (f *Fetcher) readHistories(batch []*groupResult) {
	type update struct {
		*groupResult
		known history.ImageRecord
	}
	var names []string
	var updates []update
	for _, one := range batch {
		for i, image := range one.group {
			known := one.known[i]
			if one.err != nil || !(history.History{Scan: known.Scan}).NeedsUpdate(image.Digest, one.result) {
				continue
			}
			one.old[image.Label()] = history.History{Tag: known.Tag, Platform: known.Platform}
			if known.History != "" {
				names, updates = append(names, known.History), append(updates, update{one, known})
			}
		}
	}
	if len(names) == 0 {
		return
	}
	var mu sync.Mutex
	f.Histories(f.Context, names, func(i int, h history.History, err error) {
		mu.Lock()
		defer mu.Unlock()
		switch known, label := updates[i].known, updates[i].known.Label(); {
		case scan.CodeOf(err) == scan.NotFound:
			f.Log.ErrorContext(f.Context, "the history of an image is lost; a new one starts", append(RepositoryAttrs(f.Repo), "tag", known.Tag, "platform", known.Platform,
				"error", err)...)
		case err != nil, f.unread[label] != nil:
			updates[i].historyErrors[label] = cmp.Or(err, f.unread[label])
		default:
			updates[i].old[label] = f.WithEnds(label, h)
		}
	})
}

// recordBatch adds a batch to the record, sorted by completion and then by label, so that a request and a visit with
// the same results get the same dates.
func (f *Fetcher) recordBatch(batch []*groupResult) {
	f.CalledECR = true
	slices.SortFunc(batch, func(a, b *groupResult) int {
		return cmp.Or(a.result.CompletedAt.Compare(b.result.CompletedAt), strings.Compare(a.group[0].Label(), b.group[0].Label()))
	})
	now := f.Clock()
	for _, one := range batch {
		recorded := *one // OnResult may still use one
		recorded.result.Counts = f.shared(recorded.result.Counts)
		for _, image := range one.group {
			f.recordImage(&recorded, image, now)
		}
	}
}

// shared returns equal counts of an earlier result, if there are any. A record can have 100,000 images, most of them with counts that other images
// have too, and a map of its own for each of them would take a sixth of the memory of the visit.
func (f *Fetcher) shared(counts scan.Counts) scan.Counts {
	if len(counts) == 0 {
		return counts
	}
	text := fmt.Sprint(counts)
	if earlier, exists := f.counts[text]; exists {
		return earlier
	}
	if f.counts == nil {
		f.counts = make(map[string]scan.Counts)
	}
	f.counts[text] = counts
	return counts
}

func (f *Fetcher) recordImage(one *groupResult, image scan.Image, now history.Stamp) {
	label := image.Label()
	known, exists := f.Record.Lookup(label)
	if !exists || known.Digest != image.Digest {
		return
	}
	if one.err != nil {
		f.readErrors[label] = one.err
		if scan.CodeOf(one.err) == scan.RepositoryNotFound {
			f.Record.SetMissing(now)
		}
		return
	}
	delete(f.readErrors, label)
	known.SetAnswer(one.result, now)
	known.Read = 0 // until its findings are stored
	old, needsUpdate := one.old[label]
	switch {
	case one.historyErrors[label] != nil:
		f.readErrors[label] = one.historyErrors[label]
	case needsUpdate:
		if old.Completed != 0 { // nothing is dated before the image was first listed
			old.LastDate = max(old.LastDate, known.First)
		}
		next, before := f.withScan(old, known, image, one.result, now), known
		known.SetHistory(known.History, next, now)
		if next.SameAs(old) {
			known.Read = now
		} else {
			f.pending[label] = pendingHistory{next, before}
		}
	default:
		known.Read = now
	}
	f.Record.Put(known)
}

// pendingHistory is a history that is not stored yet, and the record of its image before the update.
type pendingHistory struct {
	history.History
	before history.ImageRecord
}

// Pending returns the histories that are not stored yet, by label.
func (r *Refresher) Pending() map[string]history.History {
	pending := make(map[string]history.History, len(r.pending))
	for label, p := range r.pending {
		pending[label] = p.History
	}
	return pending
}

// PendingFindings returns the number of findings and events of the histories that are not stored yet.
func (r *Refresher) PendingFindings() int {
	n := 0
	for _, p := range r.pending {
		n += len(p.Findings) + len(p.Events)
	}
	return n
}

// PendingHistory returns the history of one image that is not stored yet, and false when there is none.
func (r *Refresher) PendingHistory(label string) (history.History, bool) {
	p, ok := r.pending[label]
	return p.History, ok
}

// SetStored records the name of a pending history that was stored. If err is not nil, the history was not stored:
// then it restores the image's record, and the findings are read again.
func (r *Refresher) SetStored(label, name string, err error) {
	p, isPending := r.pending[label]
	known, exists := r.Record.Lookup(label)
	delete(r.pending, label)
	switch {
	case !isPending || !exists || known.Digest != p.Digest:
		return
	case err != nil:
		known.UndoHistory(p.before)
	default:
		known.History, known.Read = name, known.AnsweredAt
	}
	r.Record.Put(known)
}
