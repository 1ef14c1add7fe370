package report

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// ConfigReader gives the configs to readers.
type ConfigReader interface {
	// List is every config, in the order of the API. What is no config is left out. Errors: Unavailable when the store as a whole can't be
	// read; then no config is returned, since a part would pass for the whole.
	List(ctx context.Context) ([]scan.Config, error)
	// Get is the config with this id. Errors: NotFound, Unavailable.
	Get(ctx context.Context, id string) (scan.Config, error)
}

// Reader tells what is known of the images that the configs watch. It asks ECR for what a record lacks, and stores nothing. Its fields are set
// once; its methods may be called side by side.
type Reader struct {
	Configs ConfigReader
	refresh.Source
}

// Bounds of one request: how many repositories are worked on side by side, how many histories are read, how many calls to ECR a request over all
// configs makes, and how long it waits for ECR in all where the record has an answer.
const (
	repositoriesAtOnce = 128
	historiesAtOnce    = 32
	callsPerRequest    = 100
	waitForECR         = 2 * time.Second
)

// asOfAfter is how long ago the last visit must have begun for an answer to say so, when ECR does not answer.
const asOfAfter = 2 * time.Hour

// scope is how much a request asks of ECR.
type scope int

const (
	// recordsOnly asks nothing.
	recordsOnly scope = iota
	// oneConfig asks for what may have changed since the last visit.
	oneConfig
	// allConfigs does the same within a bound of calls, for repositories without a record first, then for those that were not visited for the
	// longest time.
	allConfigs
	// asOfNow asks for everything that is not final: what can't be asked is not known.
	asOfNow
)

// request is one answer under way.
type request struct {
	*Reader
	scope  scope
	filter scan.Filter
	// each, if it is set, gets the items of a repository, those that are left out by no filter, and may change their results. It may be called
	// side by side.
	each func(ctx context.Context, r *refresh.Refresher, configs []scan.Config, items []Item)
	// histories bounds how many histories are read.
	histories chan struct{}
	// calls ends when no more calls are to be made, and patience when ECR is not waited for any more where the record has an answer.
	calls, patience context.Context

	mu      sync.Mutex
	changed history.Stamp
	undated bool
}

// watchedRepository is a repository of a request, the places of the configs that watch it, and their tags, none when it is all of them.
type watchedRepository struct {
	repo    scan.Repository
	at      []int
	configs []scan.Config
	tags    []string
	*refresh.Refresher
	err error
	// ask tells that ECR may be asked, and wanted are the groups that it is asked for.
	ask    bool
	wanted []wantedGroup
}

// wantedGroup is a group whose result is asked for, and how long it is waited for.
type wantedGroup struct {
	refresh.Group
	ctx context.Context
}

// answer is a report for each config, in the given order. One failure never touches another config.
func (q *request) answer(ctx context.Context, configs []scan.Config) []Report {
	calls, cancel := refresh.CallsBefore(ctx)
	defer cancel()
	if q.scope == allConfigs {
		calls = scan.WithCalls(calls, callsPerRequest)
	}
	q.calls, q.histories = calls, make(chan struct{}, historiesAtOnce)
	repositories := watchedRepositories(configs)
	forEach(repositories, func(w *watchedRepository) { w.Refresher, w.err = q.Open(ctx, w.repo) })
	q.choose(repositories)
	patience, cancelPatience := context.WithTimeout(calls, waitForECR)
	defer cancelPatience()
	q.patience = patience
	forEach(repositories, q.list)
	q.share(repositories)
	reports := make([]Report, len(configs))
	forEach(repositories, func(w *watchedRepository) { q.repository(ctx, w, reports) })
	for _, r := range reports {
		if r.Err != nil {
			q.Log.WarnContext(ctx, "can't read what a config watches", append(refresh.RepositoryAttrs(r.Config.Repo()), "config", r.Config.ID, "error", r.Err)...)
		}
	}
	narrowImages(reports, q.filter)
	return reports
}

// forEach does something for each repository, so many side by side.
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

func watchedRepositories(configs []scan.Config) []*watchedRepository {
	var all []*watchedRepository
	of := make(map[scan.Repository]*watchedRepository)
	for i, c := range configs {
		w := of[c.Repo()]
		if w == nil {
			w = &watchedRepository{repo: c.Repo()}
			of[c.Repo()], all = w, append(all, w)
		}
		w.at, w.configs = append(w.at, i), append(w.configs, c)
	}
	for _, w := range all {
		w.tags = scan.WatchedTags(w.configs)
	}
	return all
}

// choose decides of which repositories ECR may be asked, and puts them first. A request over all configs asks for as many as it has calls, the
// same ones in every process.
func (q *request) choose(repositories []*watchedRepository) {
	var due []*watchedRepository
	for _, w := range repositories {
		switch w.ask = q.scope != recordsOnly && w.err == nil; {
		case !w.ask || q.scope != allConfigs:
		case w.IsFresh(w.tags) || IsLasting(w.Record.Failure.Code):
			w.ask = false
		default:
			due = append(due, w)
		}
	}
	slices.SortFunc(due, func(a, b *watchedRepository) int {
		return cmp.Or(cmp.Compare(a.Record.Begin, b.Record.Begin), scan.CompareRepositories(a.repo, b.repo))
	})
	for i, w := range due {
		w.ask = i < callsPerRequest
	}
	first := make(map[*watchedRepository]int, len(due))
	for i, w := range due {
		first[w] = i - len(due)
	}
	slices.SortStableFunc(repositories, func(a, b *watchedRepository) int { return cmp.Compare(first[a], first[b]) })
}

// IsLasting tells whether a visit that fails with a code is likely to fail again.
func IsLasting(code scan.Code) bool { return code == scan.RepositoryNotFound || code == scan.NoAccess }

// repository fills the reports of the configs that watch one repository.
func (q *request) repository(ctx context.Context, w *watchedRepository, reports []Report) {
	if w.err != nil {
		q.Log.ErrorContext(ctx, "can't read the record of a repository", append(refresh.RepositoryAttrs(w.repo), "error", w.err)...)
		q.date(nil)
		for _, i := range w.at {
			reports[i] = Report{Err: w.err}
		}
	} else {
		q.fetch(w)
		items := q.items(w)
		if q.each != nil && (q.scope == recordsOnly || q.isShown(w)) {
			q.each(ctx, w.Refresher, w.configs, items)
		}
		q.date(w.Refresher)
		giveOut(w, items, reports)
	}
	for j, i := range w.at {
		reports[i].Config = w.configs[j]
		if reports[i].Err == nil && w.err == nil {
			reports[i].Err = q.configError(w, w.configs[j])
		}
		if reports[i].Err != nil {
			reports[i].Images, reports[i].Artifacts = nil, 0
		}
	}
}

// list asks ECR what the watched tags of a repository point to, if that may have changed, and finds the groups whose results are wanted.
func (q *request) list(w *watchedRepository) {
	if !w.ask {
		return
	}
	isFresh := w.IsFresh(w.tags) && q.scope != asOfNow
	if !isFresh {
		ctx := q.calls
		if w.HasListing(w.tags) && q.scope != asOfNow {
			ctx = q.patience
		}
		if w.List(ctx, w.tags) != nil {
			return
		}
	}
	for _, g := range w.Groups(w.watchedImages()) {
		if ctx, wanted := q.wants(w, g, isFresh); wanted {
			w.wanted = append(w.wanted, wantedGroup{g, ctx})
		}
	}
}

// share gives the calls that are left to the repositories in their order, so that every process asks for the same.
func (q *request) share(repositories []*watchedRepository) {
	if q.scope != allConfigs {
		return
	}
	left := scan.CallsLeft(q.calls)
	for _, w := range repositories {
		w.wanted = w.wanted[:min(len(w.wanted), left)]
		left -= len(w.wanted)
	}
}

// fetch asks ECR for the results that are wanted.
func (q *request) fetch(w *watchedRepository) {
	if len(w.wanted) == 0 {
		return
	}
	wanted := make(map[string]context.Context, len(w.wanted)) // by digest
	for _, g := range w.wanted {
		wanted[g.Group[0].Digest] = g.ctx
	}
	fetcher := refresh.Fetcher{
		Refresher: w.Refresher,
		Wants: func(g refresh.Group) (context.Context, bool) {
			ctx, is := wanted[g[0].Digest]
			return ctx, is
		},
		Answered: func(g refresh.Group, _ scan.Result, err error) {
			if err != nil && !scan.IsNotAsked(err) {
				refresh.LogImage(q.calls, q.Log, "can't read the scan result of an image", g[0], err)
			}
		},
	}
	fetcher.Run(w.Groups(w.watchedImages())) // all of them, so that a batch is what it is in a visit
}

// wants tells whether ECR is asked for a group, and how long it is waited for.
func (q *request) wants(w *watchedRepository, g refresh.Group, isFresh bool) (context.Context, bool) {
	latest, answered := w.Latest(g)
	isOpen := latest.Last.State == scan.InProgress || latest.Last.State == scan.NotScanned
	switch {
	case !slices.ContainsFunc(g, q.filter.MatchesImage):
		return nil, false // leaves with its image
	case q.scope == asOfNow:
		return q.calls, !w.IsFinal(g)
	case !answered || slices.ContainsFunc(g, func(i scan.Image) bool { return w.Record.Images[i.Label()].Last.State == "" }):
		return q.calls, true
	}
	return q.patience, isOpen && !isFresh || !w.Remembers(g)
}

// watchedImages are those of the record that the configs of a request watch.
func (w *watchedRepository) watchedImages() []scan.Image {
	images := w.Images()
	if len(w.tags) == 0 {
		return images
	}
	return slices.DeleteFunc(images, func(i scan.Image) bool {
		_, named := slices.BinarySearch(w.tags, i.Tag)
		return !named
	})
}

// items are what is known of each image that the configs watch, in order, with those tags that don't exist.
func (q *request) items(w *watchedRepository) []Item {
	images := w.watchedImages()
	there := make(map[string]bool, len(images))
	items := make([]Item, 0, len(images))
	for _, image := range images {
		there[image.Tag] = true
		items = append(items, q.item(w.Refresher, image))
	}
	recorded, listedAll := w.Record.Tags(), w.Record.HasListedAll()
	for _, c := range w.configs {
		for _, tag := range c.Tags {
			if there[tag] {
				continue
			}
			there[tag] = true
			image := scan.Image{Repository: w.repo, Tag: tag, Kind: scan.Missing}
			result := scan.Result{State: scan.NoSuchTag}
			if !listedAll && !recorded[tag] { // no visit has looked for it yet
				image.Kind, result = scan.PlainImage, refresh.Unanswered(image, cmp.Or(w.Silent, error(scan.ErrNotVisited)))
			}
			items = append(items, Item{Image: image, Result: result})
		}
	}
	slices.SortFunc(items, func(a, b Item) int { return scan.CompareImages(a.Image, b.Image) })
	return items
}

// item is what is known of one image.
func (q *request) item(r *refresh.Refresher, image scan.Image) Item {
	known := r.Record.Images[image.Label()]
	item := Item{Image: image, Result: r.Answer(image), Changes: known.Changes, KnownSince: known.Since.Time()}
	if err := r.Unread(image.Label()); err != nil && q.scope == asOfNow {
		item.Result = refresh.Unanswered(image, err)
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

// isShown tells whether there is a config that can be read as a whole.
func (q *request) isShown(w *watchedRepository) bool {
	return slices.ContainsFunc(w.configs, func(c scan.Config) bool { return q.configError(w, c) == nil })
}

// configError is why a config can't be read as a whole; nil when it can.
func (q *request) configError(w *watchedRepository, c scan.Config) error {
	failure := w.Record.Failure
	switch {
	case w.Silent != nil && (scan.CodeOf(w.Silent) != scan.Unavailable || q.scope == asOfNow):
		return w.Silent
	case w.Record.Gone > 0:
		return &scan.Error{Code: scan.RepositoryNotFound, Message: "repository not found"}
	case w.Silent == nil && !w.Asked && IsLasting(failure.Code):
		return &scan.Error{Code: failure.Code, Message: failure.Reason}
	case w.Silent == nil && (w.Asked || w.Record.Begin > 0), w.HasListing(c.Tags): // which looks at every image, so it is asked last
		return nil
	case w.Silent != nil:
		return w.Silent
	case failure.Code != "":
		return &scan.Error{Code: failure.Code, Message: failure.Reason}
	}
	return scan.ErrNotVisited
}

// giveOut gives each config its items. A config that names a tag is told of it whatever it is; one that watches all tags is spared what is no
// image. Those share one list, since it may be long.
func giveOut(w *watchedRepository, items []Item, reports []Report) {
	for j, i := range w.at {
		if tags := w.configs[j].Tags; len(tags) > 0 {
			reports[i].Images = named(tags, items)
		}
	}
	artifacts := 0
	images := slices.DeleteFunc(items, func(item Item) bool {
		if item.Image.Kind == scan.Artifact {
			artifacts++
		}
		return item.Image.Kind == scan.Artifact || item.Image.Kind == scan.Missing || item.Image.Digest == "" && item.Image.Err == nil
	})
	for j, i := range w.at {
		if len(w.configs[j].Tags) == 0 {
			reports[i].Images, reports[i].Artifacts = slices.Clip(images), artifacts
		}
	}
}

func named(tags []string, items []Item) []Item {
	wanted := make(map[string]bool, len(tags))
	for _, tag := range tags {
		wanted[tag] = true
	}
	var picked []Item
	for _, item := range items {
		if wanted[item.Image.Tag] {
			picked = append(picked, item)
		}
	}
	return picked
}

// date takes in when something of a repository changed last that a reader would see. That is known only when all that is told comes from a
// record.
func (q *request) date(r *refresh.Refresher) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r == nil || r.Asked || r.Record.Changed == 0 {
		q.undated = true
		return
	}
	q.changed = max(q.changed, r.Record.Changed)
}

// lastChange is when something changed last that a reader would see, moved by time alone the latest; zero when that is unknown.
func (q *request) lastChange(reports []Report, moved history.Stamp) time.Time {
	if q.undated || slices.ContainsFunc(reports, passes) {
		return time.Time{}
	}
	return max(q.changed, moved).Time()
}

// passes tells whether a report has an answer that leaves no mark in the record when it comes and goes.
func passes(r Report) bool {
	if r.Err != nil {
		return scan.CodeOf(r.Err) != scan.RepositoryNotFound
	}
	return slices.ContainsFunc(r.Images, func(i Item) bool { return i.Result.State == scan.Unread || i.Result.State == scan.Refused })
}

// historyOf is the history of what an image points to now; empty when there is none. Errors: Unavailable.
func (q *request) historyOf(ctx context.Context, r *refresh.Refresher, image scan.Image) (history.History, error) {
	known, label := r.Record.Images[image.Label()], image.Label()
	if h, isPending := r.PendingHistory(label); isPending {
		return h, nil
	}
	if !known.HasCurrentHistory() {
		return history.History{}, nil
	}
	h, err := q.Records.History(ctx, r.Repo, known.History)
	if err != nil {
		refresh.LogImage(ctx, q.Log, "can't read the history of an image", image, err)
	}
	if scan.CodeOf(err) == scan.NotFound {
		return h, &scan.Error{Code: scan.Unavailable, Message: "its history is broken until a visit rebuilds it", Err: err}
	}
	return h, err
}
