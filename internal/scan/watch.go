package scan

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// ConfigStore keeps the configs.
type ConfigStore interface {
	// List is every config, in the order of the API. What is no config is left out. Errors: Unavailable when the store as a whole can't be
	// read; then no config is returned, since a part would pass for the whole.
	List(ctx context.Context) ([]Config, error)
	// Get is the config with this id. Errors: NotFound, Unavailable.
	Get(ctx context.Context, id string) (Config, error)
	// Put keeps a config under its id. Errors: Unavailable.
	Put(ctx context.Context, c Config) error
	// Delete removes the config with this id. Errors: NotFound, Unavailable.
	Delete(ctx context.Context, id string) error
}

// Registry is what the use cases ask of ECR. Its errors have the codes RepositoryNotFound, ImageNotFound, NoAccess, Unavailable or
// Internal, and StartScan's also ScannedRecently and NotScannable.
type Registry interface {
	// Images is what the tags of a repository point to, all its tags when tags is empty. Tags that don't exist are left out.
	Images(ctx context.Context, repo Repository, tags []string) ([]Image, error)
	// Page is Images for a part of a repository: what some of its tags point to, beginning at a token, and the token of the next page. The
	// empty token is that of the first page, and says that there is no next one. A further error is PageLost.
	Page(ctx context.Context, repo Repository, token string) (images []Image, next string, err error)
	// Result is the result of the last scan of an image, without its findings. Never scanned is a result too.
	Result(ctx context.Context, repo Repository, digest string) (Result, error)
	// Findings is Result with every finding, merged and sorted as by MergeFindings.
	Findings(ctx context.Context, repo Repository, digest string) (Result, error)
	// StartScan asks ECR to scan an image.
	StartScan(ctx context.Context, repo Repository, digest string) error
}

// Watch does what the service is for. Its fields are set once; its methods may be called side by side.
type Watch struct {
	Configs  ConfigStore
	Registry Registry
	Now      func() time.Time
	Log      *slog.Logger
}

// Report tells of one config: either Err, or an item for each of its images.
type Report[T any] struct {
	Config Config
	// Err is why the config can't be read as a whole; Images is empty then.
	Err error
	// Images is sorted by tag and platform.
	Images []Item[T]
	// Artifacts is how many tags were left out since they are no images.
	Artifacts int
}

// Item is one image and what was learned of it.
type Item[T any] struct {
	Image Image
	Value T
}

// How many images of one repository are worked on side by side. The calls to ECR have a bound of their own, per registry and Region; this
// one is for memory: with findings, an image may take megabytes.
const (
	imagesAtOnce   = 64
	findingsAtOnce = 8
)

// walk visits every image of every config once, however many tags or configs share it, and reports what visit said, config by config in
// the given order. visit gets the images that are one to ECR: same repository, same digest. One failure never touches another config.
func walk[T any](ctx context.Context, configs []Config, atOnce int,
	list func(context.Context, Repository, []string) ([]Image, error),
	visit func(context.Context, []Image) T,
) []Report[T] {
	watched := groupByRepository(configs)
	reports := make([]Report[T], len(configs))
	var wg sync.WaitGroup
	for repo, places := range watched {
		wg.Go(func() {
			all, tags := wantedTags(configs, places)
			asked := tags
			if all {
				asked = nil
			}
			images, err := list(ctx, repo, asked)
			if err != nil {
				for _, at := range places {
					reports[at] = Report[T]{Config: configs[at], Err: err}
				}
				return
			}
			items := visitAll(ctx, withMissing(repo, images, tags), atOnce, visit)
			for _, at := range places {
				reports[at] = pick(configs[at], items)
			}
		})
	}
	wg.Wait()
	return reports
}

func groupByRepository(configs []Config) map[Repository][]int {
	groups := make(map[Repository][]int)
	for i, c := range configs {
		groups[c.Repo()] = append(groups[c.Repo()], i)
	}
	return groups
}

// wantedTags gathers the tags that the configs name, and whether one of them wants all tags.
func wantedTags(configs []Config, places []int) (all bool, tags []string) {
	for _, at := range places {
		all = all || len(configs[at].Tags) == 0
		tags = append(tags, configs[at].Tags...)
	}
	slices.Sort(tags)
	return all, slices.Compact(tags)
}

func visitAll[T any](ctx context.Context, images []Image, atOnce int, visit func(context.Context, []Image) T) []Item[T] {
	groups := groupByDigest(images)
	values := make([]T, len(groups))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, group := range groups {
		g.Go(func() error {
			values[i] = visit(ctx, group)
			return nil
		})
	}
	_ = g.Wait() // no visit returns an error
	items := make([]Item[T], 0, len(images))
	for i, group := range groups {
		for _, image := range group {
			items = append(items, Item[T]{image, values[i]})
		}
	}
	slices.SortFunc(items, func(a, b Item[T]) int { return compareImages(a.Image, b.Image) })
	return items
}

// pick takes the images that a config wants. Who names a tag is told of it whatever it is; who wants all images is spared what is none.
func pick[T any](c Config, items []Item[T]) Report[T] {
	report := Report[T]{Config: c}
	named := make(map[string]bool, len(c.Tags))
	for _, tag := range c.Tags {
		named[tag] = true
	}
	for _, item := range items {
		switch {
		case len(c.Tags) > 0 && named[item.Image.Tag]:
			report.Images = append(report.Images, item)
		case len(c.Tags) > 0 || item.Image.Kind == Missing:
		case item.Image.Kind == Artifact:
			report.Artifacts++
		default:
			report.Images = append(report.Images, item)
		}
	}
	return report
}
