package scan

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// fakeRegistry answers from maps and counts its calls.
type fakeRegistry struct {
	mu      sync.Mutex
	images  map[string][]Image // by repository name
	results map[string]Result  // by digest
	start   map[string]error   // by digest
	fail    map[string]error   // by repository name or digest
	calls   map[string]int     // by "call key"
	block   func(ctx context.Context, digest string)
	list    func() // what a listing waits for
}

func (f *fakeRegistry) count(call, key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[call+" "+key]++
}

func (f *fakeRegistry) Images(_ context.Context, repo Repository, tags []string) ([]Image, error) {
	f.count("images", repo.Name)
	if f.list != nil {
		f.list()
	}
	if err := f.fail[repo.Name]; err != nil {
		return nil, err
	}
	images := slices.Clone(f.images[repo.Name])
	if len(tags) > 0 {
		images = slices.DeleteFunc(images, func(i Image) bool { return !slices.Contains(tags, i.Tag) })
	}
	for i := range images {
		images[i].Repository = repo
	}
	return images, nil
}

func (f *fakeRegistry) Result(ctx context.Context, _ Repository, digest string) (Result, error) {
	r, err := f.Findings(ctx, Repository{}, digest)
	r.Findings = nil
	return r, err
}

func (f *fakeRegistry) Findings(ctx context.Context, _ Repository, digest string) (Result, error) {
	f.count("result", digest)
	if f.block != nil {
		f.block(ctx, digest)
	}
	if err := f.fail[digest]; err != nil {
		return Result{}, err
	}
	return f.results[digest], nil
}

func (f *fakeRegistry) StartScan(_ context.Context, _ Repository, digest string) error {
	f.count("start", digest)
	return f.start[digest]
}

type fakeStore struct {
	configs []Config
	err     error
}

func (s fakeStore) List(context.Context) ([]Config, error) { return s.configs, s.err }
func (s fakeStore) Get(_ context.Context, id string) (Config, error) {
	for _, c := range s.configs {
		if c.ID == id {
			return c, nil
		}
	}
	return Config{}, &Error{Code: NotFound}
}
func (fakeStore) Put(context.Context, Config) error    { return nil }
func (fakeStore) Delete(context.Context, string) error { return nil }

func watchOf(r *fakeRegistry, configs ...Config) *Watch {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	return &Watch{Configs: fakeStore{configs: configs}, Registry: r, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func config(id, repo string, tags ...string) Config {
	return Config{ID: id, Region: "us-west-2", Registry: "123456789012", Repository: repo, Tags: tags}
}

// elsewhere is a config in another Region.
func elsewhere(id, repo string) Config {
	c := config(id, repo)
	c.Region = "eu-west-1"
	return c
}

func completed(w *Watch, ago time.Duration, counts Counts) Result {
	return Result{State: Completed, Counts: counts, CompletedAt: w.Now().Add(-ago)}
}
