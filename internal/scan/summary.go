package scan

import (
	"context"
	"slices"
	"time"
)

// Overview is what was found in every image of every config.
type Overview struct {
	// Reports are in the order of the configs. What went wrong with one config or image stands in its report.
	Reports []Report[Result]
	// Now is when the overview was made, and Since the point from which its readers count what is new and what is fixed.
	Since, Now time.Time
}

// DefaultSince is how far back the overview looks for changes unless it is told otherwise.
const DefaultSince = 24 * time.Hour

// Summary is the overview of all configs, with what changed since a point in time; the zero time is DefaultSince ago. It fails only when the
// configs can't be read.
func (w *Watch) Summary(ctx context.Context, since time.Time) (Overview, error) {
	configs, err := w.Configs.List(ctx)
	if err != nil {
		return Overview{}, err
	}
	o := Overview{Since: since, Now: w.Now().UTC()}
	if since.IsZero() {
		o.Since = o.Now.Add(-DefaultSince)
	}
	o.Reports = w.results(ctx, configs, Filter{}, w.readers())
	return o, nil
}

// results are the last results of each image of some configs, by ledgers; of those with a tag of the filter, which is all that is looked at of it.
func (w *Watch) results(ctx context.Context, configs []Config, f Filter, books *ledgers) []Report[Result] {
	reports := walker[Result]{
		configs: configs, list: books.list, rooms: newRooms(imagesAtOnce),
		visit: func(ctx context.Context, same []Image) Result {
			if !slices.ContainsFunc(same, f.hasTag) {
				return Result{} // leaves with its image, below
			}
			return books.of(same[0].Repository).look(ctx, same, countsOnly)
		},
		done: books.finish,
	}.walk(ctx)
	logFailures(ctx, w, reports)
	f.narrow(reports)
	return reports
}

// finish adds to the results of a repository what is remembered of each image, and writes down what was learned.
func (ls *ledgers) finish(ctx context.Context, repo Repository, items []Item[Result]) {
	l := ls.of(repo)
	for i := range items {
		items[i].Value = l.dress(items[i].Image, items[i].Value)
	}
	l.commit(ctx)
}

// unread is what an image is that has no result to show, for the reason err.
func (w *Watch) unread(ctx context.Context, image Image, err error) Result {
	switch code := CodeOf(err); {
	case code == ImageNotFound && image.Platform == "":
		return Result{State: NoSuchTag}
	case code == ImageNotFound, code == NotScannable:
		return Result{State: NotScanned, Reason: MessageOf(err)}
	case code == NoAccess, code == RepositoryNotFound:
		w.logImage(ctx, "can't read the scan result of an image", image, err)
		return Result{State: Refused, Reason: MessageOf(err)}
	}
	w.logImage(ctx, "can't read the scan result of an image", image, err)
	return Result{State: Unread, Reason: MessageOf(err)}
}

func (w *Watch) logImage(ctx context.Context, message string, image Image, err error) {
	w.Log.WarnContext(ctx, message,
		"registry", image.Repository.Registry, "region", image.Repository.Region, "repository", image.Repository.Name,
		"tag", image.Tag, "platform", image.Platform, "digest", image.Digest, "error", err)
}

func logFailures[T any](ctx context.Context, w *Watch, reports []Report[T]) {
	for _, r := range reports {
		if r.Err != nil {
			w.Log.WarnContext(ctx, "can't read what a config watches", "config", r.Config.ID, "registry", r.Config.Registry,
				"region", r.Config.Region, "repository", r.Config.Repository, "error", r.Err)
		}
	}
}
