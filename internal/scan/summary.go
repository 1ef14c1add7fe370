package scan

import (
	"context"
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
	o.Reports = walker[Result]{configs, w.Registry.Images, func(ctx context.Context, same []Item[Result]) Result {
		return w.read(ctx, same[0].Image, w.Registry.Result)
	}, newRooms(imagesAtOnce)}.walk(ctx)
	logFailures(ctx, w, o.Reports)
	return o, nil
}

// read is the result of an image, by a call to ECR where one is needed. It never fails: a result that can't be read is Unread.
func (w *Watch) read(ctx context.Context, image Image, call func(context.Context, Repository, string) (Result, error)) Result {
	switch {
	case image.Err != nil:
		return w.unread(ctx, image, image.Err)
	case image.Kind == Missing:
		return Result{State: NoSuchTag}
	case image.Kind != PlainImage:
		return Result{State: NotScanned, Reason: string(image.Kind)}
	}
	result, err := call(ctx, image.Repository, image.Digest)
	if err != nil {
		return w.unread(ctx, image, err)
	}
	return result
}

// unread is what an image is that has no result to show, for the reason err.
func (w *Watch) unread(ctx context.Context, image Image, err error) Result {
	switch code := CodeOf(err); {
	case code == ImageNotFound && image.Platform == "":
		return Result{State: NoSuchTag}
	case code == ImageNotFound, code == NotScannable:
		return Result{State: NotScanned, Reason: MessageOf(err)}
	case code == NoAccess:
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
