package scan

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// Change is a piece of news: of a finding, of the watch over an image, or of a repository.
type Change struct {
	Kind EventKind
	At   time.Time
	// Scan is when the scan was completed that told it; zero for news of the watch itself.
	Scan time.Time
	// Repository is where it happened; Image, nil for the repository as a whole, is the image.
	Repository Repository
	Image      *Image
	// Finding is the finding, as it is known now. From and To are its severities before and after; one is empty for what is new or fixed.
	Finding  Finding
	From, To Severity
	// Since is when what is over began.
	Since time.Time
	// Reason says more, in the words of ECR.
	Reason string
	// Rolled are changes that one scan of one image told besides those that are listed, in their order; then nothing else but At,
	// Repository and Image is set.
	Rolled []Change
}

// ID is the identity of the change.
func (c Change) ID() uuid.UUID {
	parts := []string{"change", string(c.Kind), c.Repository.Registry, c.Repository.Region, c.Repository.Name}
	if c.Image != nil {
		parts = append(parts, c.Image.Tag, c.Image.Platform)
	}
	if len(c.Rolled) > 0 {
		first := c.Rolled[0].ID()
		return nameID(append(parts, "rolled", first.String())...)
	}
	if c.Finding.Name != "" {
		parts = append(parts, c.Finding.Name, c.Finding.Package, strconv.Itoa(c.Finding.Episode))
	}
	at := c.At
	switch {
	case !c.Since.IsZero():
		at = c.Since // the end of what began then
	case !c.Scan.IsZero():
		at = c.Scan // of two writers one may have told it, with another second, without being able to write it down
	}
	return nameID(append(parts, strconv.FormatInt(at.Unix(), 10))...)
}

// worst is the higher of the severities.
func (c Change) worst() Severity {
	if c.To == "" || c.From != "" && CompareSeverity(c.From, c.To) < 0 {
		return c.From
	}
	return c.To
}

// tells reports whether the filter lets a change through. The watch's own news is held back only by a filter for certain findings.
func (f Filter) tells(c Change) bool {
	if c.Finding.Name == "" {
		return len(f.Packages)+len(f.Names) == 0 && !f.Fixable
	}
	found := c.Finding
	found.Severity = c.worst()
	return f.matches(found)
}

// maxSingle is how many changes of one scan of one image are told one by one; the rest is rolled into one.
const maxSingle = 20

// changesAtOnce is how many histories of a repository are read side by side.
const changesAtOnce = 32

// Changes lists what changed in the config with this id, newest first. Errors: as with Findings.
func (w *Watch) Changes(ctx context.Context, id string, v View) (Listing, error) {
	config, err := w.Configs.Get(ctx, id)
	if err != nil {
		return Listing{}, err
	}
	l := w.changes(ctx, []Config{config}, v)
	l.Config = &config
	return l, nil
}

// AllChanges lists what changed over all configs, each change once. Errors: Unavailable when the configs can't be read.
func (w *Watch) AllChanges(ctx context.Context, v View) (Listing, error) {
	configs, err := w.Configs.List(ctx)
	if err != nil {
		return Listing{}, err
	}
	return w.changes(ctx, configs, v), nil
}

func (w *Watch) changes(ctx context.Context, configs []Config, v View) Listing {
	books, found := w.readers(), &news{view: v, list: newShortlist(v, newerChange)}
	watching := make(map[Repository][]Config)
	for _, c := range configs {
		watching[c.Repo()] = append(watching[c.Repo()], c)
	}
	reports := walker[Result]{
		configs: configs, list: books.list, rooms: newRooms(findingsAtOnce),
		visit: func(ctx context.Context, same []Image) Result {
			if !slices.ContainsFunc(same, v.Filter.hasTag) {
				return Result{} // leaves with its image, below
			}
			result := books.of(same[0].Repository).look(ctx, same, allFindings)
			result.Findings = nil
			return result
		},
		done: func(ctx context.Context, repo Repository, items []Item[Result]) {
			books.finish(ctx, repo, items)
			found.gather(ctx, books.of(repo), watching[repo])
		},
	}.walk(ctx)
	logFailures(ctx, w, reports)
	v.Filter.narrow(reports)
	entries := found.list.page()
	return Listing{
		Reports: reports, View: v, News: true, Changes: entries, Total: found.list.total, Changed: latest(books.changed(reports), found.moved), Incomplete: found.missed,
	}
}

// news takes in changes and keeps the newest.
type news struct {
	view View

	mu   sync.Mutex
	list shortlist[Change]
	// moved is when time alone changed the list last: something had been so for long enough to be told, or became too old for it.
	moved Stamp
	// missed is why some could not be read.
	missed error
}

// gather takes in the changes of one repository, in whatever the configs watch of it.
func (n *news) gather(ctx context.Context, l *ledger, configs []Config) {
	all, tags := wanted(configs)
	l.mu.Lock()
	now, gone, absences := l.clock(), l.now.Gone, l.now.Absences
	images := slices.Collect(maps.Values(l.now.Images))
	l.mu.Unlock()
	n.add(n.told(repositoryChanges(l.repo, gone, absences), now))
	var g errgroup.Group
	g.SetLimit(changesAtOnce)
	for _, r := range images {
		image := r.image(l.repo)
		if _, named := slices.BinarySearch(tags, r.Tag); !all && !named || !n.view.Filter.hasTag(image) {
			continue
		}
		n.add(n.told(r.watchChanges(&image, now), now))
		if r.News == 0 {
			continue
		}
		g.Go(func() error {
			h, err := l.Records.History(ctx, l.repo, r.History)
			if CodeOf(err) == NotFound { // for good: another try mends nothing, and the next scan begins anew
				l.logImage(ctx, "the changes of an image are lost with its history", image, err)
				return nil
			}
			if err != nil {
				l.logImage(ctx, "can't read the changes of an image", image, err)
				n.miss(err)
				return nil
			}
			h.Events = slices.DeleteFunc(h.Events, func(e Event) bool { return n.isPast(e.Scan, now) })
			n.add(rolled(h.changes(&image, n.view.Filter)))
			return nil
		})
	}
	_ = g.Wait() // what can't be read is noted
}

// told are those of the watch's own changes that are news still.
func (n *news) told(changes []Change, now Stamp) []Change {
	return slices.DeleteFunc(changes, func(c Change) bool { return n.isPast(StampOf(c.At), now) })
}

// isPast tells whether what happened at a time is too old to be news, and notes when time made it so, or made it news.
func (n *news) isPast(at, now Stamp) bool {
	end := at.plus(MemoryTime)
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

func (n *news) add(changes []Change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range changes {
		if len(c.Rolled) > 0 || n.view.Filter.tells(c) {
			n.list.add(c)
		}
	}
}

func newerChange(a, b Change) int {
	if order := cmp.Or(b.At.Compare(a.At), compareRepositories(a.Repository, b.Repository)); order != 0 {
		return order
	}
	if a.Image != nil && b.Image != nil {
		if order := compareImages(*a.Image, *b.Image); order != 0 {
			return order
		}
	}
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), CompareFindings(a.Finding, b.Finding))
}

func compareRepositories(a, b Repository) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Region, b.Region), strings.Compare(a.Registry, b.Registry))
}

// repositoryChanges tells when a repository went and came back.
func repositoryChanges(repo Repository, gone Stamp, absences []Period) []Change {
	var changes []Change
	for _, p := range withCurrent(absences, gone) {
		changes = append(changes, pair(p, RepositoryGone, RepositoryBack, Change{Repository: repo})...)
	}
	return changes
}

// watchChanges tells when an image was not scanned for too long, and when its scans failed.
func (r ImageRecord) watchChanges(image *Image, now Stamp) []Change {
	var changes []Change
	of := Change{Repository: image.Repository, Image: image}
	for _, p := range withCurrent(r.Gaps, r.late(now)) {
		changes = append(changes, pair(p, Unscanned, Scanned, of)...)
	}
	for _, p := range withCurrent(r.Failures, r.Failed) {
		if p.Until == 0 {
			of.Reason = r.Last.Reason
		}
		changes = append(changes, pair(p, Failing, Recovered, of)...)
	}
	return changes
}

// withCurrent are the periods and the one that lasts, if there is one.
func withCurrent(periods []Period, since Stamp) []Period {
	if since == 0 {
		return periods
	}
	return append(slices.Clone(periods), Period{From: since})
}

// pair tells that something began, and that it ended if it did.
func pair(p Period, begin, end EventKind, of Change) []Change {
	began := of
	began.Kind, began.At = begin, p.From.Time()
	if p.Until == 0 {
		return []Change{began}
	}
	ended := of
	ended.Kind, ended.At, ended.Since = end, p.Until.Time(), p.From.Time()
	return []Change{began, ended}
}

// changes are the events that a filter lets through, newest first, scan by scan.
func (h History) changes(image *Image, f Filter) [][]Change {
	known := make(map[findingKey]Finding, len(h.Findings))
	for _, t := range h.Findings {
		known[t.key()] = t.Finding
	}
	var scans [][]Change
	var at Stamp
	for _, e := range slices.Backward(h.Events) {
		found := known[findingKey{e.Name, e.Package}]
		found.Name, found.Package, found.Episode = e.Name, e.Package, e.Episode
		c := Change{Kind: e.Kind, At: e.At.Time(), Scan: e.Scan.Time(), Repository: image.Repository, Image: image, Finding: found, From: e.From, To: e.To}
		if !f.tells(c) {
			continue
		}
		if e.Scan != at {
			scans, at = append(scans, nil), e.Scan
		}
		scans[len(scans)-1] = append(scans[len(scans)-1], c)
	}
	return scans
}

// rolled are the changes of each scan, the worst of them one by one and the rest in one.
func rolled(scans [][]Change) []Change {
	var changes []Change
	for _, all := range scans {
		if len(all) > maxSingle+1 {
			slices.SortStableFunc(all, func(a, b Change) int { return CompareSeverity(a.worst(), b.worst()) })
			rest := all[maxSingle:]
			one := Change{At: rest[0].At, Repository: rest[0].Repository, Image: rest[0].Image, Rolled: rest}
			all = append(slices.Clip(all[:maxSingle]), one)
		}
		changes = append(changes, all...)
	}
	return changes
}

// changed is when something changed last that a reader would see; zero when an answer is not of now, or is not remembered, as no refusal is.
func (ls *ledgers) changed(reports []Report[Result]) time.Time {
	if slices.ContainsFunc(reports, passes) {
		return time.Time{}
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	var last Stamp
	for _, l := range ls.open {
		if l.blank || len(l.stale) > 0 || l.down != nil || l.now.Changed == 0 {
			return time.Time{}
		}
		last = max(last, l.now.Changed)
	}
	return last.Time()
}

// latest is the later of when something changed and when time alone changed it; zero when the one is unknown.
func latest(changed time.Time, moved Stamp) time.Time {
	if changed.IsZero() || StampOf(changed) >= moved {
		return changed
	}
	return moved.Time()
}

// passes tells whether a report has an answer that leaves no mark in what is remembered when it comes and goes.
func passes(r Report[Result]) bool {
	if r.Err != nil {
		return CodeOf(r.Err) != RepositoryNotFound
	}
	return slices.ContainsFunc(r.Images, func(i Item[Result]) bool { return i.Value.State == Unread || i.Value.State == Refused })
}
