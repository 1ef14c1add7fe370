package scan

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
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
// Internal, and StartScan's also ScannedRecently, NotScannable and EnhancedScanning.
type Registry interface {
	// Images is what the tags of a repository point to, all its tags when tags is empty; for a multi-platform index, the images that it
	// lists. Tags that don't exist are left out. An index that can't be resolved is one image with an Err, and spoils no other.
	Images(ctx context.Context, repo Repository, tags []string) ([]Image, error)
	// Page is Images for a part of a repository: what some of its tags point to, beginning at a token, and the token of the next page. The
	// empty token is that of the first page, and says that there is no next one. A further error is PageLost.
	Page(ctx context.Context, repo Repository, token string) (images []Image, next string, err error)
	// Result is the result of the last scan of an image, without its findings. Never scanned is a result too.
	Result(ctx context.Context, repo Repository, digest string) (Result, error)
	// Findings is Result with every finding, merged and sorted as by MergeFindings.
	Findings(ctx context.Context, repo Repository, digest string) (Result, error)
	// StartScan asks ECR to scan an image that is no index.
	StartScan(ctx context.Context, repo Repository, digest string) error
}

// Watch does what the service is for. Its fields are set once; its methods may be called side by side.
type Watch struct {
	Configs  ConfigStore
	Registry Registry
	// Records keep what was found over time; without them nothing is remembered, and all is asked of ECR each time.
	Records RecordStore
	Now     func() time.Time
	Log     *slog.Logger
}

// Report tells of one config: either Err, or an item for each of its images.
type Report[T any] struct {
	Config Config
	// Err is why the config can't be read as a whole; Images is empty then.
	Err error
	// Images is sorted by tag and platform. Other reports may share it: it is to be read only.
	Images []Item[T]
	// Artifacts is how many tags were left out since they are no images.
	Artifacts int
}

// Item is one image and what was learned of it.
type Item[T any] struct {
	Image Image
	Value T
}

// How much is worked on side by side in one registry and Region. The calls to ECR have bounds of their own; these are for memory and
// connections: an image that waits costs a goroutine, with findings it may take megabytes, and a repository costs the list of its images.
// No place waits for another: one that doesn't answer would hold up the rest.
const (
	imagesAtOnce       = 128 // a run reads results and starts scans, and each has room for 64 calls at once
	findingsAtOnce     = 32  // histories; see fullAtOnce for what comes from ECR
	repositoriesAtOnce = 128
)

// place is a registry in one Region: what ECR's limits hold for, and what fails together.
type place struct{ registry, region string }

func (r Repository) place() place { return place{r.Registry, r.Region} }

// walker visits every image of every config once, however many tags or configs share it.
type walker[T any] struct {
	configs []Config
	// list tells what the tags of a repository point to; all of them when it gets none.
	list func(context.Context, Repository, []string) ([]Image, error)
	// visit gets the images that are one to ECR, and gives their value.
	visit func(context.Context, []Image) T
	// rooms bound how many images are visited side by side.
	rooms *rooms
	// done, if there is one, gets the items of a repository once they have their values, and may change these. There is time left for it: what
	// list and visit do ends before.
	done func(context.Context, Repository, []Item[T])
}

// rooms has room for so many images in each place.
type rooms struct {
	atOnce int
	mu     sync.Mutex
	in     map[place]chan struct{}
}

func newRooms(atOnce int) *rooms { return &rooms{atOnce: atOnce, in: make(map[place]chan struct{})} }

func (r *rooms) of(p place) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.in[p] == nil {
		r.in[p] = make(chan struct{}, r.atOnce)
	}
	return r.in[p]
}

// walk reports what visit said, config by config in the given order. One failure never touches another config.
func (w walker[T]) walk(ctx context.Context) []Report[T] {
	reports := make([]Report[T], len(w.configs))
	calls, cancel := ctx, func() {}
	if w.done != nil {
		calls, cancel = early(ctx, callMargin, 4)
	}
	defer cancel()
	eachRepository(w.configs, func(repo Repository, at []int) { w.repository(ctx, calls, repo, at, reports) })
	return reports
}

// eachRepository calls do for each repository and the configs that watch it, in different places side by side, and so many in each place.
func eachRepository(configs []Config, do func(repo Repository, at []int)) {
	var wg sync.WaitGroup
	for _, watched := range groupByPlace(configs) {
		wg.Go(func() {
			var g errgroup.Group
			g.SetLimit(repositoriesAtOnce)
			for repo, at := range watched {
				g.Go(func() error {
					do(repo, at)
					return nil
				})
			}
			_ = g.Wait() // no repository returns an error
		})
	}
	wg.Wait()
}

// repository fills the reports of the configs that watch one repository; calls ends before ctx.
func (w walker[T]) repository(ctx, calls context.Context, repo Repository, at []int, reports []Report[T]) {
	all, tags := wantedTags(w.configs, at)
	asked := tags
	if all {
		asked = nil
	}
	images, err := w.list(calls, repo, asked)
	if err != nil {
		if w.done != nil {
			w.done(ctx, repo, nil)
		}
		for _, i := range at {
			reports[i] = Report[T]{Config: w.configs[i], Err: err}
		}
		return
	}
	items := itemsOf[T](withMissing(repo, images, tags))
	w.visitAll(calls, items, w.rooms.of(repo.place()))
	if w.done != nil {
		w.done(ctx, repo, items)
	}
	share(w.configs, at, items, reports)
}

// groupByPlace is, for each place, which configs watch each of its repositories.
func groupByPlace(configs []Config) map[place]map[Repository][]int {
	groups := make(map[place]map[Repository][]int)
	for i, c := range configs {
		repo := c.Repo()
		if groups[repo.place()] == nil {
			groups[repo.place()] = make(map[Repository][]int)
		}
		groups[repo.place()][repo] = append(groups[repo.place()][repo], i)
	}
	return groups
}

// wantedTags gathers the tags that the configs name, and whether one of them wants all tags.
func wantedTags(configs []Config, at []int) (all bool, tags []string) {
	for _, i := range at {
		all = all || len(configs[i].Tags) == 0
		tags = append(tags, configs[i].Tags...)
	}
	slices.Sort(tags)
	return all, slices.Compact(tags)
}

// itemsOf are the images in their order.
func itemsOf[T any](images []Image) []Item[T] {
	slices.SortFunc(images, compareImages)
	items := make([]Item[T], len(images))
	for i, image := range images {
		items[i].Image = image
	}
	return items
}

// visitAll gives each item its value. Those that are one to ECR are visited together. Whoever visited one image goes on with the next, once
// there is room again for those who wait for it.
func (w walker[T]) visitAll(ctx context.Context, items []Item[T], room chan struct{}) {
	groups := sameImages(items)
	visit := func(at []int) {
		same := make([]Image, len(at))
		for j, i := range at {
			same[j] = items[i].Image
		}
		value := w.visit(ctx, same)
		for _, i := range at {
			items[i].Value = value
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for int(next.Load()) < len(groups) {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			for i := int(next.Add(1) - 1); i < len(groups); {
				visit(groups[i])
				if i = int(next.Add(1) - 1); i < len(groups) {
					<-room
					room <- struct{}{}
				}
			}
		})
	}
	wg.Wait()
}

// sameImages are the places of the items that are one to ECR, in the order of the first of each.
func sameImages[T any](items []Item[T]) [][]int {
	groups := make([][]int, 0, len(items))
	of := make(map[identity]int, len(items))
	for i := range items {
		id := items[i].Image.identity()
		group, met := of[id]
		if !met {
			group = len(groups)
			of[id], groups = group, append(groups, nil)
		}
		groups[group] = append(groups[group], i)
	}
	return groups
}

// share gives each config its items. Who names a tag is told of it whatever it is; who wants all images is spared what is none. Those share
// one list, since it may be long.
func share[T any](configs []Config, at []int, items []Item[T], reports []Report[T]) {
	for _, i := range at {
		if len(configs[i].Tags) > 0 {
			reports[i] = Report[T]{Config: configs[i], Images: named(configs[i].Tags, items)}
		}
	}
	artifacts := 0
	images := slices.DeleteFunc(items, func(item Item[T]) bool {
		if item.Image.Kind == Artifact {
			artifacts++
		}
		return item.Image.Kind == Artifact || item.Image.Kind == Missing
	})
	for _, i := range at {
		if len(configs[i].Tags) == 0 {
			reports[i] = Report[T]{Config: configs[i], Images: slices.Clip(images), Artifacts: artifacts}
		}
	}
}

func named[T any](tags []string, items []Item[T]) []Item[T] {
	wanted := make(map[string]bool, len(tags))
	for _, tag := range tags {
		wanted[tag] = true
	}
	var picked []Item[T]
	for _, item := range items {
		if wanted[item.Image.Tag] {
			picked = append(picked, item)
		}
	}
	return picked
}
