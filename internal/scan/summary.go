package scan

import "context"

// Summary tells what was found in every image of every config, in the order of the configs. It fails only when the configs can't be read;
// what went wrong with one config or image stands in its report.
func (w *Watch) Summary(ctx context.Context) ([]Report[Result], error) {
	configs, err := w.Configs.List(ctx)
	if err != nil {
		return nil, err
	}
	reports := walk(ctx, configs, imagesAtOnce, w.Registry.Images, func(ctx context.Context, same []Image) Result {
		return w.read(ctx, same, w.Registry.Result)
	})
	logFailures(ctx, w, reports)
	return reports, nil
}

// read is the result of an image that several tags may share, by a call to ECR where one is needed. It never fails: a result that can't be
// read is Unread.
func (w *Watch) read(ctx context.Context, same []Image, call func(context.Context, Repository, string) (Result, error)) Result {
	image := same[0]
	switch image.Kind {
	case PlainImage:
	case Missing:
		return Result{State: NoSuchTag}
	default:
		return Result{State: NotScanned, Reason: string(image.Kind)}
	}
	result, err := call(ctx, image.Repository, image.Digest)
	switch CodeOf(err) {
	case "":
		return result
	case ImageNotFound:
		return Result{State: NoSuchTag}
	}
	w.Log.WarnContext(ctx, "can't read the scan result of an image",
		"registry", image.Repository.Registry, "region", image.Repository.Region, "repository", image.Repository.Name,
		"tag", image.Tag, "digest", image.Digest, "error", err)
	if CodeOf(err) == NoAccess {
		return Result{State: Refused, Reason: MessageOf(err)}
	}
	return Result{State: Unread, Reason: MessageOf(err)}
}

func logFailures[T any](ctx context.Context, w *Watch, reports []Report[T]) {
	for _, r := range reports {
		if r.Err != nil {
			w.Log.WarnContext(ctx, "can't read what a config watches", "config", r.Config.ID, "registry", r.Config.Registry,
				"region", r.Config.Region, "repository", r.Config.Repository, "error", r.Err)
		}
	}
}
