package scan

import "context"

// Summary tells what was found in every image of every config, in the order of the configs. It fails only when the configs can't be read;
// what went wrong with one config or image stands in its report.
func (w *Watch) Summary(ctx context.Context) ([]Report[Result], error) {
	configs, err := w.Configs.List(ctx)
	if err != nil {
		return nil, err
	}
	reports := walker[Result]{configs, w.Registry.Images, func(ctx context.Context, same []Item[Result]) Result {
		return w.read(ctx, same[0].Image, w.Registry.Result)
	}, imagesAtOnce}.walk(ctx)
	logFailures(ctx, w, reports)
	return reports, nil
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
