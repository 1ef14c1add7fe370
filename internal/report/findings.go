package report

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// Listing is one page of the findings or changes of one config, or of all configs.
type Listing struct {
	// Config is nil for a listing of all configs.
	Config *scan.Config
	// Reports contains the images of each config with their results, without findings. Images that don't match the view's filter are left out.
	Reports []Report
	View    View
	// Entries is the page of findings, in the order of the view.
	Entries []Entry
	// IsChangeFeed is true for a listing of changes. Then Changes is the page, newest first, and Entries is empty.
	IsChangeFeed bool
	Changes      []history.Change
	// Total is the number of entries, or changes, on all pages.
	Total int
	// Changed is when the listing last changed; zero when that is unknown.
	Changed time.Time
	// Now is when the listing was made.
	Now time.Time
	// Incomplete is the error that kept some changes from being read; nil when all were read.
	Incomplete error
	// Basis is what the listing depends on, for the time of Span. It is nil if that is not known.
	Basis *Basis
	Span  Span
}

// Pages returns the number of pages that a client can request, at least 1.
func (l Listing) Pages() int { return max(1, min(MaxPages, (l.Total+PageSize-1)/PageSize)) }

// IsOfOneRepository reports whether all entries are about the same repository, so that texts need not name it.
func (l Listing) IsOfOneRepository() bool { return l.Config != nil && !l.Config.IsPattern() }

// FeedID returns the id of the feed. All pages have the same id.
func (l Listing) FeedID() uuid.UUID {
	of := "all configs"
	if l.Config != nil {
		of = l.Config.ID
	}
	name := []string{"feed", of}
	if l.IsChangeFeed {
		name = append(name, "changes")
	}
	return scan.NameID(append(name, l.View.parts()...)...)
}

// FindingID returns the id of an entry's finding, which is the same in all listings. If the findings are grouped, it is the id of the vulnerability
// in the repository.
func (l Listing) FindingID(e Entry) uuid.UUID {
	if l.View.ByVulnerability {
		return scan.VulnerabilityID(e.Images[0].Repository, e.Finding)
	}
	return scan.FindingID(*e.Images[0], e.Finding)
}

// EntryID returns the id of an entry in the feed. It stays the same over time.
func (l Listing) EntryID(e Entry) uuid.UUID { return l.IDInFeed()(l.FindingID(e)) }

// IDInFeed returns the function that returns the id that a finding or a change has in this feed. Some feed readers keep only one entry with an id, from
// all their feeds. So each feed has its own ids, except the feeds of configs without a filter: their entries have the ids that earlier versions gave
// them.
func (l Listing) IDInFeed() func(uuid.UUID) uuid.UUID {
	if l.Config != nil && !l.IsChangeFeed && len(l.View.parts()) == 0 {
		return func(id uuid.UUID) uuid.UUID { return id }
	}
	feed := l.FeedID().String()
	return func(id uuid.UUID) uuid.UUID { return scan.NameID("entry", feed, id.String()) }
}

// setConfig makes the listing one of a config.
func (l *Listing) setConfig(c scan.Config) {
	l.Config = &c
	date := dateOf(c)
	switch {
	case l.Changed.IsZero():
	case c.Updated > 0 && l.Now.Sub(date) < settledAfter, c.IsPattern() && l.Now.Sub(l.Changed) < settledAfter:
		l.Changed = time.Time{} // unknown, as for all configs
	case date.After(l.Changed):
		l.Changed = date
	}
}

// Outage returns a temporary error: no image could be read, or not all changes. It returns nil if at least one image was read, or if the error is
// permanent, such as missing access.
func (l Listing) Outage() error {
	if l.Incomplete != nil {
		return l.Incomplete
	}
	var outage error
	for _, r := range l.Reports {
		if wasRead(r) || (l.IsChangeFeed || r.Repository.IsPattern()) && scan.IsNotVisited(r.Err) {
			return nil
		}
		if outage == nil {
			outage = outageOf(r)
		}
	}
	return outage
}

func wasRead(r Report) bool {
	return slices.ContainsFunc(r.Images, func(i Item) bool {
		return i.Image.Kind == scan.PlainImage && i.Result.State != scan.Unread && i.Result.State != scan.Refused
	})
}

func outageOf(r Report) error {
	if r.Err != nil {
		if scan.CodeOf(r.Err) == scan.Unavailable {
			return r.Err
		}
		return nil
	}
	for _, item := range r.Images {
		if item.Image.Kind == scan.PlainImage && item.Result.State != scan.Unread {
			return nil
		}
	}
	for _, item := range r.Images {
		if item.Result.State == scan.Unread {
			return &scan.Error{Code: scan.Unavailable, Message: "The scan results can't be read just now: " + item.Result.Reason + "."}
		}
	}
	return nil
}

// Findings lists the findings of the config with this id. Errors: NotFound when there is no such config, Unavailable when the config can't be
// read, Invalid when there are too many vulnerabilities to group. Errors of ECR are in the reports.
func (r *Reader) Findings(ctx context.Context, id string, v View) (Listing, error) {
	config, err := r.Configs.Get(ctx, id)
	if err != nil {
		return Listing{}, err
	}
	l, err := r.listFindings(ctx, []scan.Config{config}, oneConfig, v)
	l.setConfig(config)
	return l, err
}

// AllFindings lists the findings of all configs. A finding is listed once, even if several configs watch its image. Errors: Unavailable when the
// configs can't be read, Invalid as for Findings. Errors of ECR are in the reports.
func (r *Reader) AllFindings(ctx context.Context, v View) (Listing, error) {
	configs, date, err := r.listConfigs(ctx, v.Filter)
	if err != nil {
		return Listing{}, err
	}
	l, err := r.listFindings(ctx, configs, allConfigs, v)
	l.Changed = date(l.Changed)
	return l, err
}

func (r *Reader) listFindings(ctx context.Context, configs []scan.Config, of scope, v View) (Listing, error) {
	var found *findingsCollector
	q := request{Reader: r, scope: of, filter: v.Filter, view: v}
	q.start = func() { found = newFindingsCollector(v) }
	q.process = func(ctx context.Context, w *watchedRepository, items []Item) {
		q.collectFindings(ctx, w.Refresher, items, found)
	}
	reports := q.buildReports(ctx, configs)
	if reports == nil {
		return Listing{}, ErrKnown
	}
	q.rules.cut(&found.span, q.basis)
	entries, total := found.page()
	if v.ByVulnerability && total > maxGroups {
		return Listing{}, &scan.Error{
			Code: scan.Invalid, Message: fmt.Sprintf("There are more than %d vulnerabilities to group. Use severity, tag, package or cve to select fewer.", maxGroups),
			Fields: []scan.FieldError{{Pointer: "/by", Detail: "has too many vulnerabilities to group"}},
		}
	}
	return Listing{
		Reports: reports, View: v, Entries: entries, Total: total, Changed: q.lastChange(reports, found.lastExpiry), Now: r.Now().UTC(), Basis: q.basis, Span: found.span,
	}, nil
}

// collectFindings adds the findings of a repository's images to found. An image whose history can't be read gets a result without findings.
func (q *request) collectFindings(ctx context.Context, r *refresh.Refresher, items []Item, found *findingsCollector) {
	now := r.Clock()
	isImage := func(item *Item) bool { return item.Image.Kind == scan.PlainImage }
	q.readHistories(ctx, r, items, isImage, func(item *Item, d divided) {
		q.markUnread(r, item)
		image := item.Image
		found.add(&image, item.Result, d, now)
	}, setUnread)
}

// setUnread sets the result of an item whose history can't be read.
func setUnread(item *Item, err error) { item.Result = refresh.ResultOfError(item.Image, err) }

// readHistories calls use with the history of each item that matches the filter and that wants selects, and with what is set aside subtracted from the counts of the
// item. The history is empty when there is none for the current digest. use must be safe for concurrent calls with different items. If a history can't be
// read, readHistories calls fail instead.
func (q *request) readHistories(ctx context.Context, r *refresh.Refresher, items []Item, wants func(*Item) bool, use func(*Item, divided), fail func(*Item, error)) {
	var names []string
	var stored []*Item
	for i := range items {
		item := &items[i]
		if !wants(item) || !q.filter.MatchesImage(item.Image) {
			continue
		}
		known := r.Record.Image(item.Image.Label())
		pending, isPending := r.PendingHistory(item.Image.Label())
		if !isPending && known.HasCurrentHistory() {
			names, stored = append(names, known.History), append(stored, item)
		} else {
			use(item, q.divideItem(r, item, pending))
		}
	}
	r.Histories(ctx, names, func(i int, h history.History, err error) {
		item := stored[i]
		if err == nil {
			use(item, q.divideItem(r, item, r.WithEnds(item.Image.Label(), h)))
			return
		}
		q.dropBasis()
		refresh.LogImage(ctx, q.Log, "could not read the history of an image", item.Image, err)
		if scan.CodeOf(err) == scan.NotFound {
			err = &scan.Error{Code: scan.Unavailable, Message: "its stored history is damaged; the next visit rebuilds it", Err: err}
		}
		fail(item, err)
	})
}

// divideItem divides the history of an item, and subtracts what is set aside from the counts of the item.
func (q *request) divideItem(r *refresh.Refresher, item *Item, h history.History) divided {
	image := item.Image
	d := divide(r, &image, h)
	covered := r.Scope.Covers(&image, r.Clock().Time())
	if !covered && !r.HasEnds(image.Label()) {
		return d
	}
	if !isOfResult(r, item) {
		item.Unsuppressed = covered && item.HasCounts() && len(item.Result.Counts.Ordered()) > 0
		return d
	}
	all, told := h.PresentCounts(), d.told.PresentCounts()
	counts := maps.Clone(item.Result.Counts)
	for severity, n := range all {
		item.Suppressed += n - told[severity]
		if n = counts[severity] - n + told[severity]; n > 0 {
			counts[severity] = n
		} else {
			delete(counts, severity)
		}
	}
	if q.filter.Suppressed != scan.IncludeSuppressed {
		item.Result.Counts, item.Changes = counts, d.told.Changes
	}
	return d
}

// isOfResult reports whether the history of an item has the findings of its result.
func isOfResult(r *refresh.Refresher, item *Item) bool {
	label := item.Image.Label()
	known := r.Record.Image(label)
	_, isPending := r.PendingHistory(label)
	return isPending || known.HasCurrentHistory() && known.IsRecorded()
}

// markUnread sets the state or the date of an item whose counts are of a scan with findings that could not be read. Its history contains the findings
// of an older scan of the same image, or none.
func (q *request) markUnread(r *refresh.Refresher, item *Item) {
	label := item.Image.Label()
	known := r.Record.Image(label)
	if _, isPending := r.PendingHistory(label); isPending || item.Result.State != scan.Completed || known.IsRecorded() {
		return
	}
	reason := "the findings of the last scan are not recorded yet"
	if err := cmp.Or(r.ReadError(label), r.ListError); err != nil {
		reason = "the findings can't be read: " + scan.MessageOf(err)
	}
	if known.HasCurrentHistory() {
		item.AsOf, item.AsOfReason = known.Scan.Completed.Time(), reason
		return
	}
	item.AsOf = item.Result.CompletedAt
	item.Result = scan.Result{State: scan.Unread, Reason: reason}
}
