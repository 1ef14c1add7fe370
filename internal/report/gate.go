package report

import (
	"context"
	"maps"
	"slices"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// ForGate returns the reports of the config with this id, at least one, with current results from ECR. The filter selects the images by repository, tag and
// digest. A repository of the filter that the config does not watch has a report with an error. An image with a digest of the filter that the config does not
// watch is looked up in its repository. The findings of an image are read if needed returns true for its counts. Errors: NotFound, Unavailable when the config
// can't be read. An error of ECR is in the reports.
func (r *Reader) ForGate(ctx context.Context, id string, f scan.Filter, needed func(scan.Counts) bool) ([]Report, error) {
	config, err := r.Configs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	isIgnored := f.Suppressed == scan.IncludeSuppressed
	q := request{Reader: r, scope: requireFresh, rules: loadedRules{ignored: isIgnored}} // the image may have been pushed a moment ago
	q.process = func(ctx context.Context, w *watchedRepository, items []Item) { q.readOpen(ctx, w, items, needed) }
	q.filter = scan.Filter{Repositories: scan.Distinct(f.Repositories), Tags: scan.Distinct(f.Tags), Digests: scan.Distinct(f.Digests)}
	reports := q.current(ctx, config)
	if len(reports) > 0 {
		q.lookUp(ctx, config, reports)
	}
	return append(reports, notWatched(config, q.filter.Repositories)...), nil
}

// notWatched returns a report with an error for each named repository that the config does not watch. Without it, the repository would seem to pass.
func notWatched(c scan.Config, names []string) []Report {
	var reports []Report
	for _, repo := range namedRepositories(c, names) {
		if !c.Watches(repo) {
			reports = append(reports, Report{Config: c, Repository: repo, Err: &scan.Error{Code: scan.RepositoryNotFound, Message: "the config does not watch this repository"}})
		}
	}
	return reports
}

// readOpen subtracts what is set aside, and reads the findings of the images whose counts need them. If the request judges suppressed findings too, it adds
// those that Amazon Inspector suppresses. If the history of an image can't be read, its result is unknown.
func (q *request) readOpen(ctx context.Context, w *watchedRepository, items []Item, needed func(scan.Counts) bool) {
	isWanted := func(item *Item) bool {
		hasHidden := q.rules.ignored && item.Result.Suppressed > 0
		return w.isTouched(item) || item.Result.State == scan.Completed && (hasHidden || needed(item.Result.Counts))
	}
	q.readHistories(ctx, w.Refresher, items, isWanted, func(item *Item, d divided) {
		item.Open = slices.DeleteFunc(slices.Clone(d.told.Findings), func(f history.TrackedFinding) bool { return f.Status != history.Present })
		for _, f := range d.told.Findings {
			if q.rules.ignored && f.Status == history.Suppressed && item.Result.Suppressed > 0 {
				item.judge(f)
			}
		}
	}, setUnread)
}

// judge adds a finding that Amazon Inspector suppresses to the open ones.
func (i *Item) judge(f history.TrackedFinding) {
	i.Open = append(i.Open, f)
	i.Result.Counts = maps.Clone(i.Result.Counts).With(f.Severity)
	i.Result.Suppressed--
}

// NotWatchedDetail says why the service does not start the scan of an image.
const NotWatchedDetail = "the config does not watch this image, so only a scan on push or Amazon Inspector scans it"

// lookUp adds an item for each image with one of the digests that the config does not watch. If the reports are about several repositories, nobody knows in
// which one the image is.
func (q *request) lookUp(ctx context.Context, c scan.Config, reports []Report) {
	callCtx, cancel := refresh.WithCallDeadline(ctx)
	defer cancel()
	q.callCtx = callCtx
	last, repo := &reports[len(reports)-1], c.Repo()
	if len(reports) == 1 {
		repo = last.Repository
	}
	for _, digest := range q.filter.Digests {
		isWatched := func(i Item) bool { return i.Image.Digest == digest || i.Image.Index == digest }
		if slices.ContainsFunc(reports, func(r Report) bool { return r.Err != nil || slices.ContainsFunc(r.Images, isWatched) }) {
			continue
		}
		missing := Item{Image: scan.Image{Repository: repo, Tag: digest, Digest: digest, Kind: scan.PlainImage}}
		missing.Result = scan.Result{State: scan.State(scan.ImageNotFound), Reason: "the repository has no image with this digest"}
		items := []Item{missing}
		if repo.IsPattern() {
			items[0].Result.Reason = "no watched image has this digest; for another image, name its repository"
			if len(q.filter.Repositories) > 0 {
				items[0].Result.Reason = "no watched image of these repositories has this digest; for another image, name only its repository"
			}
		} else if images, err := q.Registry.ImagesOf(q.callCtx, repo, digest); err != nil {
			items[0].Result = refresh.ResultOfError(missing.Image, err)
		} else if len(images) > 0 {
			items = nil
			for _, image := range images {
				items = append(items, q.lookedUp(ctx, image))
			}
		}
		last.Images = append(slices.Clip(last.Images), items...)
	}
}

// lookedUp returns an item with what ECR knows of an image without a record.
func (q *request) lookedUp(ctx context.Context, image scan.Image) Item {
	item := Item{Image: image, ReadAt: q.Now()}
	if image.Err == nil && image.Kind != scan.PlainImage {
		item.Result = scan.Result{State: scan.NotScanned, Reason: string(image.Kind)}
		return item
	}
	err := image.Err
	if err == nil {
		item.Result, err = q.Registry.Findings(q.callCtx, image.Repository, image.Digest)
	}
	if err != nil {
		refresh.LogImage(ctx, q.Log, "could not read the scan result of an image", image, err)
		item.Result = refresh.ResultOfError(image, err)
	}
	if item.Result.State == scan.NotScanned && item.Result.Reason == "" {
		item.Result.Reason = NotWatchedDetail
	}
	var suppressions suppress.Scope
	if q.rules.Rules != nil {
		suppressions = q.rules.In(image.Repository)
	}
	item.Result.Counts = maps.Clone(item.Result.Counts)
	for _, f := range item.Result.Findings {
		if suppressions.Of(&image, &f, item.ReadAt) != nil {
			item.Suppressed++
			item.Result.Counts[f.Severity]--
			continue
		}
		item.Open = append(item.Open, history.TrackedFinding{Finding: f, Published: history.StampOf(item.Result.CompletedAt)})
	}
	for _, f := range item.Result.SuppressedFindings {
		if q.rules.ignored {
			item.judge(history.TrackedFinding{Finding: f, Published: history.StampOf(item.Result.CompletedAt)})
		}
	}
	return item
}

// Current returns the last result of each image of the config with this id. If tags are given, it returns only images with these tags. A tag that
// does not exist gets an item with the state NoSuchTag, because without it the tag would look clean. Errors: NotFound, Unavailable when the
// config can't be read.
func (r *Reader) Current(ctx context.Context, id string, tags []string) (Report, error) {
	config, err := r.Configs.Get(ctx, id)
	if err != nil {
		return Report{}, err
	}
	q := request{Reader: r, scope: oneConfig, filter: scan.Filter{Tags: scan.Distinct(tags)}}
	q.process = q.subtract
	return Join(q.current(ctx, config)), nil
}

// current returns the reports of a config. There is none only if a gate names no repository that the config watches.
func (q *request) current(ctx context.Context, c scan.Config) []Report {
	reports := q.buildReports(ctx, []scan.Config{c})
	if missing := missingTags(c.Repo(), q.filter.Tags, reports); len(missing) > 0 && len(reports) > 0 {
		last := &reports[len(reports)-1]
		last.Images = append(slices.Clip(last.Images), missing...)
	}
	return reports
}

// missingTags returns an item for each of the tags that no image has. It returns none if a repository can't be read, because it can have the tag.
func missingTags(repo scan.Repository, tags []string, reports []Report) []Item {
	if slices.ContainsFunc(reports, func(r Report) bool { return r.Err != nil }) {
		return nil
	}
	var missing []Item
	for _, tag := range tags {
		hasTag := func(r Report) bool {
			return slices.ContainsFunc(r.Images, func(i Item) bool { return i.Image.Tag == tag })
		}
		if !slices.ContainsFunc(reports, hasTag) {
			missing = append(missing, Item{
				Image:  scan.Image{Repository: repo, Tag: tag, Kind: scan.Missing},
				Result: scan.Result{State: scan.NoSuchTag, Reason: "no image that the config watches has this tag"},
			})
		}
	}
	return missing
}
