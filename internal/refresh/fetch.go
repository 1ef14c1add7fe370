package refresh

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// Bounds of what is asked side by side. Results are taken into the record batch by batch, so that dates never depend on which call ends
// first; while one batch is taken in, the next ones are read. The results of all batches under way are in memory: one may take megabytes.
const (
	batchSize     = 16
	batchesAtOnce = 4
	readsAtOnce   = batchSize * batchesAtOnce
)

// Group is the images of a repository that are one to ECR: several tags of one digest. It has one at least.
type Group []scan.Image

// Groups are the images that ECR can scan, in the order of their labels.
func (r *Refresher) Groups(images []scan.Image) []Group {
	var groups []Group
	place := make(map[string]int, len(images))
	for _, image := range images {
		if image.Kind != scan.PlainImage || image.Err != nil {
			continue
		}
		at, met := place[image.Digest]
		if !met {
			at = len(groups)
			place[image.Digest], groups = at, append(groups, nil)
		}
		groups[at] = append(groups[at], image)
	}
	return groups
}

// Latest is the latest answer of ECR for a group.
func (r *Refresher) Latest(g Group) (latest history.ImageRecord, answered bool) {
	for _, i := range g {
		known := r.Record.Images[i.Label()]
		if known.Digest == i.Digest && known.Last.State != "" && (!answered || known.Asked > latest.Asked) {
			latest, answered = known, true
		}
	}
	return latest, answered
}

// Remembers tells whether each image of a group has the latest answer, with its findings in its history.
func (r *Refresher) Remembers(g Group) bool {
	latest, answered := r.Latest(g)
	return answered && !slices.ContainsFunc(g, func(i scan.Image) bool {
		known := r.Record.Images[i.Label()]
		return known.Digest != i.Digest || !reflect.DeepEqual(known.Last, latest.Last) || !known.IsRemembered()
	})
}

// IsFinal tells whether ECR can't say anything of a group that is not remembered, before it may scan again.
func (r *Refresher) IsFinal(g Group) bool {
	latest, _ := r.Latest(g)
	return latest.Last.IsFinal(r.Clock()) && r.Remembers(g)
}

// reading is the result of one group, as it is read.
type reading struct {
	group  Group
	result scan.Result
	err    error
	// old are the histories that the result adds to, by label, and lost is why one could not be read.
	old  map[string]history.History
	lost map[string]error
}

// Fetcher reads the results of groups.
type Fetcher struct {
	*Refresher
	// Wants tells whether ECR is asked for a group, and with which context. It is called once for each group, in their order, before the group
	// is read.
	Wants func(Group) (context.Context, bool)
	// Answered, if it is set, gets each answer, side by side. No more groups are read while it waits.
	Answered func(Group, scan.Result, error)
	// Taken, if it is set, is called after each batch.
	Taken func()
}

// Run reads groups and takes what ECR says into the record.
func (f *Fetcher) Run(groups []Group) {
	room := make(chan struct{}, readsAtOnce)
	var takes []func()
	for batch := range slices.Chunk(groups, batchSize) {
		takes = append(takes, f.read(batch, room))
		if len(takes) == batchesAtOnce {
			takes[0]()
			takes = takes[1:]
		}
	}
	for _, take := range takes {
		take()
	}
	for range readsAtOnce { // waits for those who were told of an answer
		room <- struct{}{}
	}
}

// read begins to read a batch, and gives what waits for its end and takes it in.
func (f *Fetcher) read(batch []Group, room chan struct{}) (take func()) {
	var wg sync.WaitGroup
	readings := make([]*reading, 0, len(batch))
	for _, g := range batch {
		ctx, wanted := f.Wants(g)
		if !wanted {
			continue
		}
		one := &reading{group: g, old: make(map[string]history.History), lost: make(map[string]error)}
		known := make([]history.ImageRecord, len(g))
		for i := range g {
			known[i] = f.Record.Images[g[i].Label()]
		}
		readings = append(readings, one)
		room <- struct{}{}
		wg.Add(1)
		go func() {
			f.ask(ctx, one, known)
			wg.Done()
			if f.Answered != nil {
				f.Answered(g, one.result, one.err)
			}
			<-room
		}()
	}
	return func() {
		wg.Wait()
		if len(readings) == 0 {
			return
		}
		f.take(readings)
		if f.Taken != nil {
			f.Taken()
		}
	}
}

// ask asks ECR for the result of one group, and reads the histories that it adds to.
func (f *Fetcher) ask(ctx context.Context, one *reading, known []history.ImageRecord) {
	one.result, one.err = f.Registry.Findings(ctx, f.Repo, one.group[0].Digest)
	if one.err != nil {
		return
	}
	for i, image := range one.group {
		if !(history.History{Scan: known[i].Scan}).IsNews(image.Digest, one.result) {
			continue
		}
		h, err := f.historyOf(ctx, known[i])
		if err != nil {
			one.lost[image.Label()] = err
		} else {
			one.old[image.Label()] = h
		}
	}
}

// historyOf is the history that a result is to be added to, as it is stored; empty when there is none.
func (f *Fetcher) historyOf(ctx context.Context, known history.ImageRecord) (history.History, error) {
	none := history.History{Tag: known.Tag, Platform: known.Platform}
	if known.History == "" {
		return none, nil
	}
	h, err := f.Records.History(ctx, f.Repo, known.History)
	if scan.CodeOf(err) == scan.NotFound {
		f.Log.ErrorContext(ctx, "the history of an image is lost; a new one begins", append(RepositoryAttrs(f.Repo), "tag", known.Tag, "platform", known.Platform,
			"error", err)...)
		return none, nil
	}
	return h, err
}

// take takes a batch in, by completion and then by label, so that a read and a visit that see the same give the same dates.
func (f *Fetcher) take(batch []*reading) {
	f.Asked = true
	slices.SortFunc(batch, func(a, b *reading) int {
		return cmp.Or(a.result.CompletedAt.Compare(b.result.CompletedAt), strings.Compare(a.group[0].Label(), b.group[0].Label()))
	})
	now := f.Clock()
	for _, one := range batch {
		for _, image := range one.group {
			f.takeImage(one, image, now)
		}
	}
}

func (f *Fetcher) takeImage(one *reading, image scan.Image, now history.Stamp) {
	label := image.Label()
	known, there := f.Record.Images[label]
	if !there || known.Digest != image.Digest {
		return
	}
	if one.err != nil {
		f.unread[label] = one.err
		if scan.CodeOf(one.err) == scan.RepositoryNotFound {
			f.Record.SetGone(now)
		}
		return
	}
	delete(f.unread, label)
	known.TakeAnswer(one.result, now)
	known.Read = 0 // until its findings are stored
	old, isNews := one.old[label]
	switch {
	case one.lost[label] != nil:
		f.unread[label] = one.lost[label]
	case isNews:
		next, before := old.After(image.Digest, one.result, now, f.Record.Taken.Take), known
		known.Remember(known.History, next, now)
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

// pendingHistory is a history that is not stored yet, and the record of its image without it.
type pendingHistory struct {
	history.History
	before history.ImageRecord
}

// Pending are the histories that are not stored yet, by label.
func (r *Refresher) Pending() map[string]history.History {
	pending := make(map[string]history.History, len(r.pending))
	for label, p := range r.pending {
		pending[label] = p.History
	}
	return pending
}

// PendingHistory is the history of one image that is not stored yet, if there is one.
func (r *Refresher) PendingHistory(label string) (history.History, bool) {
	p, is := r.pending[label]
	return p.History, is
}

// StoredAs takes in that a pending history was stored under a name. With an error it was not: then the record is as it was before, and the
// findings are read again.
func (r *Refresher) StoredAs(label, name string, err error) {
	p, is := r.pending[label]
	known, there := r.Record.Images[label]
	delete(r.pending, label)
	switch {
	case !is || !there || known.Digest != p.Digest:
		return
	case err != nil:
		known.ForgetScan(p.before)
	default:
		known.History, known.Read = name, known.Asked
	}
	r.Record.Put(known)
}
