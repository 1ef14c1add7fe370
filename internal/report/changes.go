package report

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// maxSingle is how many changes of one scan of one image are told one by one; the rest is rolled into one.
const maxSingle = 20

// Changes lists what changed in the config with this id, newest first. Errors: as with Findings.
func (r *Reader) Changes(ctx context.Context, id string, v View) (Listing, error) {
	config, err := r.Configs.Get(ctx, id)
	if err != nil {
		return Listing{}, err
	}
	l := r.changes(ctx, []scan.Config{config}, v)
	l.Config = &config
	return l, nil
}

// AllChanges lists what changed over all configs, each change once. Errors: Unavailable when the configs can't be read.
func (r *Reader) AllChanges(ctx context.Context, v View) (Listing, error) {
	configs, err := r.Configs.List(ctx)
	if err != nil {
		return Listing{}, err
	}
	return r.changes(ctx, configs, v), nil
}

// changes tells only what is recorded, since what was told once must stay.
func (r *Reader) changes(ctx context.Context, configs []scan.Config, v View) Listing {
	found := &news{view: v, list: newShortlist(v.page(), newerChange)}
	q := request{Reader: r, scope: recordsOnly, filter: v.Filter}
	q.each = func(ctx context.Context, r *refresh.Refresher, configs []scan.Config, _ []Item) {
		q.gatherChanges(ctx, r, configs, found)
	}
	reports := q.answer(ctx, configs)
	entries := found.list.page()
	return Listing{
		Reports: reports, View: v, News: true, Changes: entries, Total: found.list.total, Changed: q.lastChange(reports, found.moved), Incomplete: found.missed,
	}
}

// news takes in changes and keeps the newest.
type news struct {
	view View

	mu   sync.Mutex
	list shortlist[history.Change]
	// moved is when time alone changed the list last: something had been so for long enough to be told, or became too old for it.
	moved history.Stamp
	// missed is why some could not be read.
	missed error
}

// gatherChanges takes in the changes of one repository, in whatever the configs watch of it.
func (q *request) gatherChanges(ctx context.Context, r *refresh.Refresher, configs []scan.Config, n *news) {
	tags, now := scan.WatchedTags(configs), r.Clock()
	n.add(n.told(r.Record.ChangesOf(r.Repo), now))
	var wg sync.WaitGroup
	for _, known := range r.Record.Images {
		image := known.Image(r.Repo)
		if _, named := slices.BinarySearch(tags, known.Tag); len(tags) > 0 && !named || !q.filter.MatchesImage(image) {
			continue
		}
		n.add(n.told(known.ChangesOf(&image, now), now))
		if known.News == 0 {
			continue
		}
		q.histories <- struct{}{}
		wg.Go(func() {
			defer func() { <-q.histories }()
			h, err := q.Records.History(ctx, r.Repo, known.History)
			if err != nil {
				refresh.LogImage(ctx, q.Log, "can't read the changes of an image", image, err)
			}
			if scan.CodeOf(err) == scan.NotFound { // for good: a visit begins a new history
				return
			}
			if err != nil {
				n.miss(err)
				return
			}
			h.Events = slices.DeleteFunc(h.Events, func(e history.Event) bool { return n.isPast(e.Scan, now) })
			n.add(rolled(h.ChangesByScan(&image), q.filter))
		})
	}
	wg.Wait()
}

// told are those of the watch's own changes that are news still.
func (n *news) told(changes []history.Change, now history.Stamp) []history.Change {
	return slices.DeleteFunc(changes, func(c history.Change) bool { return n.isPast(history.StampOf(c.At), now) })
}

// isPast tells whether what happened at a time is too old to be news, and notes when time made it so, or made it news.
func (n *news) isPast(at, now history.Stamp) bool {
	end := at.Plus(history.MemoryTime)
	past := end < now
	n.mu.Lock()
	defer n.mu.Unlock()
	if past {
		at = end + 1
	}
	n.moved = max(n.moved, at)
	return past
}

func (n *news) miss(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.missed = err
}

func (n *news) add(changes []history.Change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range changes {
		if len(c.Rolled) > 0 || tells(n.view.Filter, c) {
			n.list.add(c)
		}
	}
}

func newerChange(a, b history.Change) int {
	if order := cmp.Or(b.At.Compare(a.At), scan.CompareRepositories(a.Repository, b.Repository)); order != 0 {
		return order
	}
	if a.Image != nil && b.Image != nil {
		if order := scan.CompareImages(*a.Image, *b.Image); order != 0 {
			return order
		}
	}
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), scan.CompareFindings(a.Finding, b.Finding))
}

// rolled are the changes of each scan that a filter lets through, the worst of them one by one and the rest in one.
func rolled(scans [][]history.Change, f scan.Filter) []history.Change {
	var changes []history.Change
	for _, all := range scans {
		all = slices.DeleteFunc(all, func(c history.Change) bool { return !tells(f, c) })
		if len(all) > maxSingle+1 {
			slices.SortStableFunc(all, func(a, b history.Change) int { return scan.CompareSeverity(a.Worst(), b.Worst()) })
			rest := all[maxSingle:]
			one := history.Change{At: rest[0].At, Repository: rest[0].Repository, Image: rest[0].Image, Rolled: rest}
			all = append(slices.Clip(all[:maxSingle]), one)
		}
		changes = append(changes, all...)
	}
	return changes
}
