package report

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// ConfigReader reads the stored configs.
type ConfigReader interface {
	// List returns all configs, in the order of the API. Objects that are not configs are ignored. Errors: Unavailable when a config can't be read.
	// Then no config is returned, because a client would take a part for the whole list.
	List(ctx context.Context) ([]scan.Config, error)
	// Get returns the config with this id. Errors: NotFound, Unavailable.
	Get(ctx context.Context, id string) (scan.Config, error)
	// LastDeleted returns when a config was last deleted; zero when none ever was. Errors: Unavailable.
	LastDeleted(ctx context.Context) (time.Time, error)
}

// Reader returns summaries, findings, changes and gate results for the images that the configs watch. It reads the records, and calls ECR for what a
// record lacks. It stores nothing. Its methods may be called concurrently; its fields must not change.
type Reader struct {
	Configs ConfigReader
	refresh.Source
	// isKnown is the function of [Reader.Unless]; nil for an unconditional reader.
	isKnown func(Basis) bool
}

// Limits of one request.
const (
	repositoriesAtOnce = 128 // processed concurrently
	callsPerRequest    = 100 // calls to ECR of a request for all configs
	// waitForECR is the total time that a request waits for ECR if the record has a result.
	waitForECR = 2 * time.Second
)

// asOfAfter is the minimum age of a record at which its results are marked with their date, if ECR can't be read.
const asOfAfter = 2 * time.Hour

// scope is how much a request reads from ECR.
type scope int

const (
	// recordsOnly reads nothing from ECR.
	recordsOnly scope = iota
	// oneConfig reads what may have changed since the last visit.
	oneConfig
	// allConfigs reads the same as oneConfig, but makes at most callsPerRequest calls. Repositories without a record are first, then those with
	// the oldest visit.
	allConfigs
	// requireFresh reads everything that can still change. A result that can't be read counts as unknown, even if the record has one.
	requireFresh
)

// request is the state of one request.
type request struct {
	*Reader
	scope  scope
	filter scan.Filter
	// view is that of a listing.
	view View
	// start, if set, is called before the repositories are read, also if they are read again.
	start func()
	// prepare, if set, is called with each repository before process.
	prepare func(w *watchedRepository)
	// process, if set, is called with all items of a repository, before filters apply. It may change their results. It may be called concurrently.
	process func(ctx context.Context, w *watchedRepository, items []Item)
	// basis is what the listing depends on; nil if that is not known.
	basis *Basis
	rules loadedRules
	// callCtx is canceled when no more calls to ECR may be made. waitCtx is canceled earlier: it is for calls whose result is also in the record.
	callCtx, waitCtx context.Context

	mu sync.Mutex
	// changedAt is the latest change in any record that was read.
	changedAt history.Stamp
	// changeUnknown is true if for some repository the time of its last change is unknown.
	changeUnknown bool
}

// watchedRepository is a repository of a request, with the configs that watch it.
type watchedRepository struct {
	repo          scan.Repository
	configIndexes []int // in the reports of the request
	configs       []scan.Config
	selections    []scan.Selection // of the configs
	// watches reports whether one of the configs watches a tag.
	watches func(tag string) bool
	*refresh.Refresher
	err error
	// mayCall is true if the request may call ECR for this repository. toFetch lists the groups whose results it reads.
	mayCall bool
	toFetch []fetchGroup
	// changes are the recorded changes that are not about findings, at the time now. Only a listing of changes sets them.
	changes []history.Change
	now     history.Stamp
}

// fetchGroup is a group whose result is read from ECR. Its context limits how long.
type fetchGroup struct {
	refresh.Group
	ctx context.Context
}

// buildReports returns a report for each config and repository, in the order of the configs and of the names. An error of one repository does not affect the others. It returns nil if the client
// has the listing. If a visit deleted a history meanwhile, it reads everything again.
func (q *request) buildReports(ctx context.Context, configs []scan.Config) []Report {
	callCtx, cancel := refresh.WithCallDeadline(ctx)
	defer cancel()
	if q.scope == oneConfig && slices.ContainsFunc(configs, scan.Config.IsPattern) {
		q.scope = allConfigs // there can be as many repositories
	}
	if q.scope == allConfigs {
		callCtx = scan.WithCalls(callCtx, callsPerRequest)
	}
	q.callCtx = callCtx
	for attempt := 1; ; attempt++ {
		reports, isOutdated := q.read(ctx, configs)
		if !isOutdated || attempt == refresh.MaxReads || callCtx.Err() != nil {
			return reports
		}
		q.Log.InfoContext(ctx, "the request reads again, because a visit deleted a history meanwhile")
	}
}

// read returns the reports. isOutdated means that a visit deleted a history meanwhile.
func (q *request) read(ctx context.Context, configs []scan.Config) (_ []Report, isOutdated bool) {
	q.basis, q.changedAt, q.changeUnknown = nil, 0, false
	if q.start != nil {
		q.start()
	}
	reports := q.expand(ctx, configs)
	repositories := watchedRepositories(reports)
	q.loadRules(ctx)
	forEach(repositories, func(w *watchedRepository) { w.Refresher, w.err = q.Open(ctx, w.repo) })
	repositories, reports = q.withDigests(repositories, reports)
	q.setRules(ctx, repositories)
	q.selectRepositories(repositories)
	waitCtx, cancelWait := context.WithTimeout(q.callCtx, waitForECR)
	defer cancelWait()
	q.waitCtx = waitCtx
	forEach(repositories, q.listTags)
	q.limitFetches(repositories)
	if q.prepare != nil {
		forEach(repositories, q.prepare)
	}
	if q.isKnown != nil && q.findBasis(repositories, reports) {
		return nil, false
	}
	forEach(repositories, func(w *watchedRepository) { q.fillReports(ctx, w, reports) })
	isOutdated = slices.ContainsFunc(repositories, func(w *watchedRepository) bool { return w.err == nil && w.IsOutdated(ctx) })
	reports = q.withoutDeleted(reports)
	for _, r := range reports {
		if r.Err != nil {
			q.Log.WarnContext(ctx, "could not read the images of a config", append(refresh.RepositoryAttrs(r.Repository), "config", r.Config.ID, "error", r.Err)...)
		}
	}
	noteConfigsWithImages(reports)
	narrowImages(reports, q.filter)
	return reports, isOutdated
}

// loadRules starts to read the suppressions.
func (q *request) loadRules(ctx context.Context) {
	q.rules.done = make(chan struct{})
	go func() {
		defer close(q.rules.done)
		if !q.rules.ignored {
			q.rules.Rules, q.rules.err = q.Rules(ctx)
		}
	}()
}

// setRules waits for the suppressions. If they can't be read, no repository can be shown: it is not known which of its findings are set aside.
func (q *request) setRules(ctx context.Context, repositories []*watchedRepository) {
	<-q.rules.done
	if q.rules.err != nil {
		q.Log.ErrorContext(ctx, "could not read the suppressions", "error", q.rules.err)
	}
	forEach(repositories, func(w *watchedRepository) {
		switch {
		case w.err != nil:
		case q.rules.err != nil:
			w.err = q.rules.err
		default:
			w.SetRules(ctx, q.rules.Rules, w.Clock())
		}
	})
}

// forEach calls do for each repository, with at most repositoriesAtOnce calls at a time.
func forEach(repositories []*watchedRepository, do func(*watchedRepository)) {
	var g errgroup.Group
	g.SetLimit(repositoriesAtOnce)
	for _, w := range repositories {
		g.Go(func() error {
			do(w)
			return nil
		})
	}
	_ = g.Wait() // no repository returns an error
}

// watchedRepositories returns the repositories of the reports. A report whose repository is a pattern has none.
func watchedRepositories(reports []Report) []*watchedRepository {
	var all []*watchedRepository
	byRepo := make(map[scan.Repository]*watchedRepository)
	for i, r := range reports {
		if r.Repository.IsPattern() {
			continue
		}
		w := byRepo[r.Repository]
		if w == nil {
			w = &watchedRepository{repo: r.Repository}
			byRepo[r.Repository], all = w, append(all, w)
		}
		w.configIndexes, w.configs = append(w.configIndexes, i), append(w.configs, r.Config)
	}
	return all
}

// selectRepositories sets mayCall, and sorts the repositories that need calls to ECR to the front. A request for all configs selects at most
// callsPerRequest repositories. The selection depends only on the records, so that every process reads the same ones.
func (q *request) selectRepositories(repositories []*watchedRepository) {
	var due []*watchedRepository
	for _, w := range repositories {
		switch w.mayCall = q.scope != recordsOnly && w.err == nil; {
		case !w.mayCall || q.scope != allConfigs:
		case w.IsFresh(w.configs) || IsPermanent(w.Record.Failure.Code):
			w.mayCall = false
		default:
			due = append(due, w)
		}
	}
	slices.SortFunc(due, func(a, b *watchedRepository) int {
		return cmp.Or(cmp.Compare(a.Record.Begin, b.Record.Begin), scan.CompareRepositories(a.repo, b.repo))
	})
	for i, w := range due {
		w.mayCall = i < callsPerRequest
	}
	rank := make(map[*watchedRepository]int, len(due)) // negative for the due ones, 0 for the others
	for i, w := range due {
		rank[w] = i - len(due)
	}
	slices.SortStableFunc(repositories, func(a, b *watchedRepository) int { return cmp.Compare(rank[a], rank[b]) })
}

// IsPermanent reports whether a visit that failed with this code is likely to fail again.
func IsPermanent(code scan.Code) bool {
	return code == scan.RepositoryNotFound || code == scan.NoAccess
}

// fillReports fills the reports of the configs that watch one repository.
func (q *request) fillReports(ctx context.Context, w *watchedRepository, reports []Report) {
	if w.err != nil {
		if q.rules.err == nil {
			q.Log.ErrorContext(ctx, "could not read the record of a repository", append(refresh.RepositoryAttrs(w.repo), "error", w.err)...)
		}
		q.noteChange(w)
		for _, i := range w.configIndexes {
			reports[i].Err = w.err
		}
	} else {
		q.fetch(w)
		items := q.items(w)
		if q.process != nil && (q.scope == recordsOnly || q.isReadable(w)) {
			q.process(ctx, w, items)
		}
		q.noteChange(w)
		assignItems(w, items, reports)
	}
	for j, i := range w.configIndexes {
		if reports[i].Err == nil && w.err == nil {
			reports[i].Err = q.configError(w, j)
		}
		if reports[i].Err != nil {
			reports[i] = Report{Config: reports[i].Config, Repository: reports[i].Repository, Err: reports[i].Err}
		}
	}
}

// listTags reads from ECR which digests the watched tags point to, if that may have changed. Then it selects the images that the configs watch, and
// the groups whose results are read.
func (q *request) listTags(w *watchedRepository) {
	if w.err == nil {
		w.selectImages()
	}
	if !w.mayCall {
		return
	}
	isFresh := w.IsFresh(w.configs) && q.scope != requireFresh
	if !isFresh {
		ctx := q.callCtx
		if slices.ContainsFunc(w.selections, w.HasListing) && q.scope != requireFresh {
			ctx = q.waitCtx
		}
		err := w.List(ctx, w.configs, false)
		w.selectImages()
		if err != nil {
			return
		}
	}
	for _, g := range w.Groups(w.watchedImages()) {
		if ctx, ok := q.shouldFetch(w, g, isFresh); ok {
			w.toFetch = append(w.toFetch, fetchGroup{g, ctx})
		}
	}
}

// limitFetches drops the results for which no calls remain. The repositories keep their order, so that every process reads the same ones.
func (q *request) limitFetches(repositories []*watchedRepository) {
	if q.scope != allConfigs {
		return
	}
	remaining := scan.RemainingCalls(q.callCtx)
	for _, w := range repositories {
		w.toFetch = w.toFetch[:min(len(w.toFetch), remaining)]
		remaining -= len(w.toFetch)
	}
}

// fetch reads the selected results from ECR.
func (q *request) fetch(w *watchedRepository) {
	if len(w.toFetch) == 0 {
		return
	}
	contexts := make(map[string]context.Context, len(w.toFetch)) // by digest
	for _, g := range w.toFetch {
		contexts[g.Group[0].Digest] = g.ctx
	}
	fetcher := refresh.Fetcher{
		Refresher: w.Refresher, Context: q.callCtx,
		ShouldRead: func(g refresh.Group) (context.Context, bool) {
			ctx, ok := contexts[g[0].Digest]
			return ctx, ok
		},
		OnResult: func(g refresh.Group, _ scan.Result, err error) {
			if err != nil && !scan.IsNotVisited(err) {
				refresh.LogImage(q.callCtx, q.Log, "could not read the scan result of an image", g[0], err)
			}
		},
	}
	fetcher.Run(w.Groups(w.watchedImages())) // all groups, so that the batches are the same as in a visit
}

// shouldFetch reports whether the result of a group is read from ECR, and returns the context that limits how long.
func (q *request) shouldFetch(w *watchedRepository, g refresh.Group, isFresh bool) (context.Context, bool) {
	latest, answered := w.Latest(g)
	isOpen := latest.Last.State == scan.InProgress || latest.Last.State == scan.NotScanned
	switch {
	case !slices.ContainsFunc(g, q.filter.MatchesImage):
		return nil, false // the filter excludes its images
	case q.scope == requireFresh:
		return q.callCtx, !w.IsFinal(g)
	case !answered || slices.ContainsFunc(g, func(i scan.Image) bool { return w.Record.Image(i.Label()).Last.State == "" }):
		return q.callCtx, true
	}
	return q.waitCtx, isOpen && !isFresh || !w.IsRecorded(g)
}

// selectImages selects the images that the configs watch.
func (w *watchedRepository) selectImages() {
	w.selections = w.SelectAll(w.configs)
	w.watches = scan.ByAny(w.selections, scan.Selection.Watches)
}

// watchedImages returns the images of the record that the configs of the request watch.
func (w *watchedRepository) watchedImages() []scan.Image {
	return w.Images(func(i *history.ImageRecord) bool { return w.watches(i.Tag) })
}

// items returns an item for each image that the configs watch, sorted. Configured tags that don't exist also get an item.
func (q *request) items(w *watchedRepository) []Item {
	images := w.watchedImages()
	hasItem := make(map[string]bool, len(images)) // by tag
	items := make([]Item, 0, len(images))
	for _, image := range images {
		hasItem[image.Tag] = true
		items = append(items, q.item(w.Refresher, image))
	}
	recorded, present := w.Record.Tags(), w.Record.PresentTags()
	for _, c := range w.configs {
		isListed := w.Record.HasListedAll() || c.IsSelective() && w.Record.Covers([]scan.Config{c})
		for _, tag := range c.Names() {
			if hasItem[tag] || present[tag] {
				continue
			}
			hasItem[tag] = true
			image := scan.Image{Repository: w.repo, Tag: tag, Kind: scan.Missing}
			result := scan.Result{State: scan.NoSuchTag}
			if !isListed && !recorded[tag] { // no visit has listed this tag yet
				image.Kind, result = scan.PlainImage, refresh.ResultOfError(image, cmp.Or(w.ListError, error(scan.ErrNotVisited)))
			}
			items = append(items, Item{Image: image, Result: result})
		}
	}
	if len(items) > len(images) { // otherwise they are sorted
		slices.SortFunc(items, func(a, b Item) int { return scan.CompareImages(a.Image, b.Image) })
	}
	return items
}

// item returns the item of one image, from the record and from what this request read from ECR.
func (q *request) item(r *refresh.Refresher, image scan.Image) Item {
	known := r.Record.Image(image.Label())
	item := Item{Image: image, Result: r.Answer(image), Changes: known.Changes, KnownSince: known.Since.Time(), ReadAt: known.AnsweredAt.Time()}
	if err := r.ReadError(image.Label()); err != nil && q.scope == requireFresh {
		item.Result = refresh.ResultOfError(image, err)
	}
	outage, begin := r.Outage(image.Label()), cmp.Or(r.Record.Begin, r.Record.SeenAt(known))
	if outage != nil && item.Result.State != scan.Unread && r.Clock() > begin.Plus(asOfAfter) {
		item.AsOf = begin.Time()
		if item.Result.State == scan.Completed {
			item.AsOfReason = scan.MessageOf(outage)
		}
	}
	return item
}

// isReadable reports whether at least one config of the repository can be read.
func (q *request) isReadable(w *watchedRepository) bool {
	for j := range w.configs {
		if q.configError(w, j) == nil {
			return true
		}
	}
	return false
}

// configError returns the error that keeps the config with index j from being read as a whole; nil when there is none.
func (q *request) configError(w *watchedRepository, j int) error {
	failure := w.Record.Failure
	switch {
	case w.ListError != nil && (scan.CodeOf(w.ListError) != scan.Unavailable || q.scope == requireFresh):
		return w.ListError
	case w.Record.MissingSince > 0:
		return &scan.Error{Code: scan.RepositoryNotFound, Message: "repository not found"}
	case w.ListError == nil && !w.CalledECR && IsPermanent(failure.Code):
		return &scan.Error{Code: failure.Code, Message: failure.Reason}
	case w.ListError == nil && (w.CalledECR || w.Record.Begin > 0), w.HasListing(w.selections[j]): // slow: it checks every image, so it is the last condition
		return nil
	case w.ListError != nil:
		return w.ListError
	case failure.Code != "":
		return &scan.Error{Code: failure.Code, Message: failure.Reason}
	}
	return scan.ErrNotVisited
}

// assignItems assigns the items to the reports of the configs. A config gets all items of the tags that it names, and otherwise only images. All
// configs that watch all tags and nothing else use the same slice, because it may be long.
func assignItems(w *watchedRepository, items []Item, reports []Report) {
	var plain []int
	for j, i := range w.configIndexes {
		c, r, s := w.configs[j], &reports[i], w.selections[j]
		r.Older, r.Unused = w.Record.OlderOf(c), s.Unused
		if c.MatchesAllTags() && !c.Untagged {
			r.NotWatched = w.Record.NotWatched
		}
		if len(c.Tags) == 0 && !c.IsSelective() {
			plain = append(plain, j)
			continue
		}
		for _, item := range items {
			if s.Watches(item.Image.Tag) {
				r.Images = append(r.Images, item)
			}
		}
		r.Images, r.Artifacts = withoutArtifacts(r.Images, s)
	}
	if len(plain) == 0 {
		return
	}
	s := w.selections[plain[0]]
	images, artifacts := withoutArtifacts(slices.DeleteFunc(items, func(item Item) bool { return !s.Watches(item.Image.Tag) }), s)
	for _, j := range plain {
		r := &reports[w.configIndexes[j]]
		r.Images, r.Artifacts = images, artifacts
	}
}

// withoutArtifacts removes what is not an image, except for the tags that the config names. It returns the number of artifacts that it removed, and
// of those in indexes.
func withoutArtifacts(items []Item, s scan.Selection) (images []Item, artifacts int) {
	artifacts = scan.CountArtifacts(imagesOf(items))
	images = slices.DeleteFunc(items, func(item Item) bool {
		if s.IsNamed(item.Image.Tag) {
			return false
		}
		if item.Image.Kind == scan.Artifact {
			artifacts++
		}
		return item.Image.Kind == scan.Artifact || item.Image.Kind == scan.Missing || item.Image.Digest == "" && item.Image.Err == nil
	})
	return slices.Clip(images), artifacts
}

func imagesOf(items []Item) iter.Seq[scan.Image] {
	return func(yield func(scan.Image) bool) {
		for i := range items {
			if !yield(items[i].Image) {
				return
			}
		}
	}
}

// noteChange notes when the visible data of a repository last changed. This is known only if all data comes from the record.
func (q *request) noteChange(w *watchedRepository) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.err != nil || w.CalledECR || w.Record.Changed == 0 || !w.EndsAreStored() {
		q.changeUnknown = true
		return
	}
	q.changedAt = max(q.changedAt, w.Record.Changed)
	for _, s := range w.selections {
		if !s.Expired.IsZero() {
			q.changedAt = max(q.changedAt, history.StampOf(s.Expired)+1)
		}
	}
}

// Unless returns a reader whose listings of findings and changes are not made if isKnown returns true for their basis. Then the error is ErrKnown, and no
// history is read. isKnown is not called if the listing depends on more than its basis.
func (r *Reader) Unless(isKnown func(Basis) bool) *Reader {
	conditional := *r
	conditional.isKnown = isKnown
	return &conditional
}

// findBasis sets the basis of the listing, and reports whether the client has this listing. The basis stays nil if ECR or the store returned anything that is
// not in a record.
func (q *request) findBasis(repositories []*watchedRepository, reports []Report) (isKnown bool) {
	h := sha256.New()
	fmt.Fprintf(h, "%#v %q\n", q.view, q.rules.version())
	b := Basis{Oldest: math.MaxInt64, Newest: math.MinInt64}
	sorted := slices.SortedFunc(slices.Values(repositories), func(a, b *watchedRepository) int { return cmp.Compare(a.configIndexes[0], b.configIndexes[0]) })
	hasDate := false
	for _, w := range sorted {
		if w.err != nil || len(w.toFetch) > 0 || !w.IsAsStored() || !q.hashRepository(h, w) {
			return false
		}
		now := cmp.Or(w.now, w.Clock())
		b.Oldest, b.Newest = min(b.Oldest, now), max(b.Newest, now)
		hasDate = hasDate || slices.ContainsFunc(w.configs, func(c scan.Config) bool { return c.Created > 0 })
	}
	if !hashPatterns(h, reports) {
		return false
	}
	if !hasDate { // a feed without any date has the date of the request
		return false
	}
	b.Hash = hex.EncodeToString(h.Sum(nil)[:16])
	q.basis = &b
	return q.isKnown != nil && q.isKnown(b)
}

// hashPatterns adds the reports that are about whole patterns. It returns false if one is about a temporary error.
func hashPatterns(h hash.Hash, reports []Report) bool {
	for i, r := range reports {
		switch code := scan.CodeOf(r.Err); {
		case !r.Repository.IsPattern():
		case r.Err != nil && !IsPermanent(code):
			return false
		default:
			fmt.Fprintf(h, "%d %#v %q %q\n", i, r.Config, code, scan.MessageOf(r.Err))
		}
	}
	return true
}

// hashRepository adds everything of a repository that a listing shows. It returns false if some of it is not recorded.
func (q *request) hashRepository(h hash.Hash, w *watchedRepository) bool {
	fmt.Fprintln(h, w.repo, w.Record.Changed, w.Record.First, w.Record.HasListedAll())
	for i, c := range w.configs {
		fmt.Fprintf(h, "%d %#v %d\n", w.configIndexes[i], c, w.selections[i].Expired.Unix())
		if err := q.configError(w, i); err != nil {
			if !IsPermanent(scan.CodeOf(err)) {
				return false
			}
			fmt.Fprintf(h, "%q %q\n", scan.CodeOf(err), scan.MessageOf(err))
		}
	}
	var unread []string
	for label, known := range w.Record.Images {
		if !known.IsRecorded() {
			unread = append(unread, label)
		}
	}
	slices.Sort(unread)
	fmt.Fprintf(h, "%q\n", unread)
	for _, c := range w.changes { // they depend on the time
		fmt.Fprintf(h, "%s %d %d %q %q\n", c.ID(), c.At.Unix(), c.Since.Unix(), c.Kind, c.Reason)
	}
	return true
}

// dropBasis notes that the listing depends on more than its basis.
func (q *request) dropBasis() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.basis = nil
}

// lastChange returns when the visible data last changed; zero when that is unknown. lastExpiry is the latest change that was caused by an entry
// becoming too old.
func (q *request) lastChange(reports []Report, lastExpiry history.Stamp) time.Time {
	if q.changeUnknown || slices.ContainsFunc(reports, isTransient) {
		return time.Time{}
	}
	return q.rules.lastChange(max(q.changedAt, lastExpiry).Time(), q.Now())
}

// dateOf returns the date of a listing that only a change of the config changed. For a config that was replaced, this is some seconds later: before,
// a client can have got the time of a change in the repository that the config watched.
func dateOf(c scan.Config) time.Time {
	if c.Updated > 0 {
		return c.UpdatedAt().Add(settledAfter)
	}
	return c.CreatedAt()
}

// listConfigs returns the configs that a filter selects, and a function that returns the date of a listing of them: the latest time of a change, of
// a new or replaced config and of a deletion. The date is zero when it is unknown.
func (r *Reader) listConfigs(ctx context.Context, f scan.Filter) ([]scan.Config, func(changed time.Time) time.Time, error) {
	deleted := make(chan time.Time, 1)
	reading, cancel := context.WithCancel(ctx)
	go func() {
		at, err := r.Configs.LastDeleted(reading)
		if err != nil && reading.Err() == nil {
			r.Log.WarnContext(ctx, "could not read when a config was last deleted", "error", err)
		}
		if err != nil {
			at = r.Now() // too late to be settled
		}
		deleted <- at
	}()
	configs, err := r.Configs.List(ctx)
	if err != nil {
		cancel()
		<-deleted // nothing of a request goes on after its response
		return nil, nil, err
	}
	date := func(changed time.Time) time.Time {
		defer cancel()
		last := <-deleted
		for _, c := range configs {
			if changed := dateOf(c); changed.After(last) {
				last = changed
			}
		}
		if changed.IsZero() || r.Now().Sub(last) < settledAfter || r.Now().Sub(changed) < settledAfter {
			return time.Time{}
		}
		if changed.After(last) {
			return changed
		}
		return last
	}
	selected := slices.DeleteFunc(slices.Clone(configs), func(c scan.Config) bool { return !f.MatchesConfig(c) })
	return selected, date, nil
}

// isTransient reports whether a report contains an error that is not recorded. When such an error appears or disappears, the time of the last change
// in the record stays the same.
func isTransient(r Report) bool {
	if r.Err != nil {
		return scan.CodeOf(r.Err) != scan.RepositoryNotFound
	}
	return slices.ContainsFunc(r.Images, func(i Item) bool { return i.Result.State == scan.Unread || i.Result.State == scan.Refused })
}
