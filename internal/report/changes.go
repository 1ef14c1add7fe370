package report

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
	"ecr-continuous-scan/internal/suppresschanges"
)

// maxSingle is the maximum number of separate entries for the changes of one scan of one image. The other changes are combined into one entry.
const maxSingle = 20

// Changes lists the changes of the config with this id, newest first. Errors: NotFound when there is no such config, Unavailable when it can't be
// read.
func (r *Reader) Changes(ctx context.Context, id string, v View) (Listing, error) {
	config, err := r.Configs.Get(ctx, id)
	if err != nil {
		return Listing{}, err
	}
	l, err := r.changes(ctx, []scan.Config{config}, v, false)
	l.setConfig(config)
	return l, err
}

// AllChanges lists the changes of all configs, each change once. Errors: Unavailable when the configs can't be read.
func (r *Reader) AllChanges(ctx context.Context, v View) (Listing, error) {
	configs, date, err := r.listConfigs(ctx, v.Filter)
	if err != nil {
		return Listing{}, err
	}
	l, err := r.changes(ctx, configs, v, len(v.Filter.Repositories)+len(v.Filter.Owners) == 0)
	l.Changed = date(l.Changed)
	return l, err
}

// changes lists only recorded changes. A change that was only computed by a request could disappear from the feed again. If ofAll is true, it lists the
// changes of all suppressions.
func (r *Reader) changes(ctx context.Context, configs []scan.Config, v View, ofAll bool) (Listing, error) {
	var found *changeCollector
	q := request{Reader: r, scope: recordsOnly, filter: v.Filter, view: v, prepare: recordedChanges}
	q.start = func() { found = &changeCollector{view: v, list: newShortlist(v, newestChangeFirst), span: newSpan()} }
	q.process = func(ctx context.Context, w *watchedRepository, _ []Item) { q.collectChanges(ctx, w, found) }
	reports := q.buildReports(ctx, configs)
	if reports == nil {
		return Listing{}, ErrKnown
	}
	found.addSuppressions(q.rules.Rules, ofAll, history.StampOf(r.Now()))
	q.rules.cut(&found.span, q.basis)
	page := found.list.page(newestChangeFirst)
	return Listing{
		Basis: q.basis, Span: found.span,
		Reports: reports, View: v, IsChangeFeed: true, Changes: page, Total: found.list.total, Changed: q.lastChange(reports, found.lastExpiry), Incomplete: found.err, Now: r.Now().UTC(),
	}, nil
}

// changeCollector collects changes and keeps the newest.
type changeCollector struct {
	view View

	mu   sync.Mutex
	list shortlist[history.Change]
	// lastExpiry is when the list last changed without a change of the records: an entry became too old, or a delay became long enough for an entry.
	lastExpiry history.Stamp
	span       Span
	// repositories are those that were read.
	repositories []scan.Repository
	// err is the error of a history that could not be read.
	err error
}

// recordedChanges finds the changes of a repository and of its watched images that are not about findings.
func recordedChanges(w *watchedRepository) {
	if w.err != nil {
		return
	}
	w.now = w.Clock()
	w.Record.AssignDates(w.now)
	w.changes = slices.DeleteFunc(w.Record.ChangesOf(w.Repo), func(c history.Change) bool { return c.Kind == history.RepositoryNew && !w.hadConfig() })
	for _, label := range slices.Sorted(maps.Keys(w.Record.Images)) {
		if known := w.Record.Image(label); w.watches(known.Tag) {
			image := known.Image(w.Repo)
			w.changes = append(w.changes, known.ChangesOf(&image, w.Record.PresentUntil(w.now))...)
		}
	}
}

// hadConfig reports whether one of the configs existed when the repository appeared. For the others the repository is not new.
func (w *watchedRepository) hadConfig() bool {
	return slices.ContainsFunc(w.configs, func(c scan.Config) bool { return c.Created <= w.Record.Appeared.Time().Unix() })
}

// collectChanges adds the changes of one repository and of its watched images to found.
func (q *request) collectChanges(ctx context.Context, w *watchedRepository, found *changeCollector) {
	r, now := w.Refresher, w.now
	found.addRepository(w.repo)
	matching := slices.DeleteFunc(slices.Clone(w.changes), func(c history.Change) bool { return c.Image != nil && !q.filter.MatchesImage(*c.Image) })
	found.add(found.recent(matching, now))
	var names []string
	var images []*history.ImageRecord
	for _, known := range r.Record.Images {
		if (known.EventCount > 0 || r.HasEnds(known.Label())) && w.watches(known.Tag) && q.filter.MatchesImage(known.Image(r.Repo)) {
			names, images = append(names, known.History), append(images, known)
		}
	}
	r.Histories(ctx, names, func(i int, h history.History, err error) {
		image, scanned := images[i].Image(r.Repo), images[i].ScannedImage(r.Repo)
		if err != nil {
			q.dropBasis()
			refresh.LogImage(ctx, q.Log, "could not read the changes of an image", image, err)
		}
		if scan.CodeOf(err) == scan.NotFound { // its changes are lost: the next visit starts a new history
			return
		}
		if err != nil {
			found.fail(err)
			return
		}
		d := divide(r, &scanned, r.WithEnds(image.Label(), h))
		h = d.selected(q.filter)
		h.Events = slices.DeleteFunc(slices.Clone(h.Events), func(e history.Event) bool { return found.isTooOld(e.Scan, now) })
		changes := withUse(h.ChangesByScan(&image), images[i].Last)
		if q.filter.Suppressed != "" {
			d.nameReasons(changes)
		}
		found.add(rollUp(changes, q.filter))
	})
}

// withUse sets the use of the image in its changes.
func withUse(scans [][]history.Change, last history.Answer) [][]history.Change {
	for _, changes := range scans {
		for i := range changes {
			changes[i].Finding.InUse, changes[i].Finding.LastInUse = last.InUse, last.LastInUse.Time()
		}
	}
	return scans
}

// recent returns the changes that are not too old. It is for changes that are about scanning or a repository.
func (n *changeCollector) recent(changes []history.Change, now history.Stamp) []history.Change {
	return slices.DeleteFunc(changes, func(c history.Change) bool { return n.isTooOld(history.StampOf(c.At), now) })
}

// isTooOld reports whether a change at this time is too old for the feed. It also updates lastExpiry.
func (n *changeCollector) isTooOld(at, now history.Stamp) bool {
	end := at.Plus(history.Retention)
	tooOld := end < now
	n.mu.Lock()
	defer n.mu.Unlock()
	n.span.cutAt(end+1, now)
	if tooOld {
		at = end + 1
	}
	n.lastExpiry = max(n.lastExpiry, at)
	return tooOld
}

// addSuppressions adds the changes of the suppressions that can match findings of the listed repositories. A listing of all configs without a filter has all of them, so that
// nobody sets anything aside silently.
func (n *changeCollector) addSuppressions(rules *suppress.Rules, ofAll bool, now history.Stamp) {
	if rules == nil {
		return
	}
	var changes []history.Change
	for _, c := range suppresschanges.Until(now.Time(), rules.All) {
		if ofAll || slices.ContainsFunc(n.repositories, c.Of.CoversRepository) {
			changes = append(changes, c.Change)
		}
	}
	n.add(n.recent(suppresschanges.RollUp(changes), now))
}

func (n *changeCollector) addRepository(repo scan.Repository) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.repositories = append(n.repositories, repo)
}

func (n *changeCollector) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err = err
}

func (n *changeCollector) add(changes []history.Change) {
	matches := matchesChange(n.view.Filter)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range changes {
		if c.Suppression == nil && len(c.RolledUp) > 0 || matches(c) {
			n.list.add(c)
		}
	}
}

func newestChangeFirst(a, b *history.Change) int {
	if order := cmp.Or(b.At.Compare(a.At), scan.CompareRepositories(a.Repository, b.Repository)); order != 0 {
		return order
	}
	if a.Image != nil && b.Image != nil {
		if order := scan.CompareImages(*a.Image, *b.Image); order != 0 {
			return order
		}
	}
	if a.Suppression != nil && b.Suppression != nil {
		return strings.Compare(a.Suppression.ID, b.Suppression.ID)
	}
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), scan.CompareFindings(a.Finding, b.Finding))
}

// rollUp returns the changes that match the filter. Of each scan it keeps the most severe maxSingle changes, and combines the others into one.
func rollUp(scans [][]history.Change, f scan.Filter) []history.Change {
	var changes []history.Change
	matches := matchesChange(f)
	for _, all := range scans {
		all = slices.DeleteFunc(all, func(c history.Change) bool { return !matches(c) })
		if len(all) > maxSingle+1 {
			slices.SortStableFunc(all, func(a, b history.Change) int { return scan.CompareSeverity(a.HighestSeverity(), b.HighestSeverity()) })
			rest := all[maxSingle:]
			one := history.Change{At: rest[0].At, Repository: rest[0].Repository, Image: rest[0].Image, RolledUp: rest}
			all = append(slices.Clip(all[:maxSingle]), one)
		}
		changes = append(changes, all...)
	}
	return changes
}
