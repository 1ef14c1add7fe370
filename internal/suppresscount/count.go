// Package suppresscount counts the recorded findings that each suppression matches. It reads records, and calls nothing else.
//
// The rules of suppressions are in package suppress. Package report applies them.
package suppresscount

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// repositoriesAtOnce is the maximum number of repositories whose records are read concurrently.
const repositoriesAtOnce = 32

// Configs lists the configs.
type Configs interface {
	// List returns all configs. Errors: Unavailable.
	List(ctx context.Context) ([]scan.Config, error)
}

// Counter counts findings in the records. Its source needs no registry.
type Counter struct {
	Configs Configs
	refresh.Source
}

// Matched is what a suppression matches: the number of open findings of watched images, and whether it also matches one that was resolved in the last
// 30 days.
type Matched struct {
	Open     int
	Resolved bool
}

// Count returns what each active suppression of a list matches, by its id. A suppression that matches nothing is missing. Errors: Unavailable, also if one
// record can't be read, because a part of the findings would look like all of them.
func (c Counter) Count(ctx context.Context, list suppress.List) (map[string]Matched, error) {
	configs, err := c.Configs.List(ctx)
	if err != nil {
		return nil, err
	}
	repositories, err := c.repositories(ctx, configs)
	if err != nil {
		return nil, err
	}
	rules := suppress.NewRules(list)
	found := &collector{matched: make(map[string]Matched)}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(repositoriesAtOnce)
	for _, repo := range repositories {
		if scope := rules.In(repo); !scope.IsEmpty() {
			g.Go(func() error { return c.addRepository(gctx, scope, repo, configs, found) })
		}
	}
	return found.matched, g.Wait()
}

// repositories returns the repositories that have a record and that a config watches.
func (c Counter) repositories(ctx context.Context, configs []scan.Config) ([]scan.Repository, error) {
	listed := make(map[scan.Registry]bool)
	var all []scan.Repository
	for _, config := range configs {
		if listed[config.In()] {
			continue
		}
		listed[config.In()] = true
		recorded, err := c.Records.RepositoriesIn(ctx, config.In(), "")
		if err != nil {
			return nil, err
		}
		all = append(all, recorded...)
	}
	return slices.DeleteFunc(all, func(repo scan.Repository) bool {
		return !slices.ContainsFunc(configs, func(config scan.Config) bool { return config.Watches(repo) })
	}), nil
}

// collector collects counts. Its method may be called concurrently.
type collector struct {
	mu      sync.Mutex
	matched map[string]Matched
	err     error
}

// add adds the findings of one image, or the error that kept its history from being read.
func (c *collector) add(matched map[string]Matched, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && c.err == nil {
		c.err = err
	}
	for id, m := range matched {
		sum := c.matched[id]
		c.matched[id] = Matched{sum.Open + m.Open, sum.Resolved || m.Resolved}
	}
}

// addRepository adds the findings of a repository. If a visit deleted a history meanwhile, it reads the repository again.
func (c Counter) addRepository(ctx context.Context, rules suppress.Scope, repo scan.Repository, configs []scan.Config, found *collector) error {
	for attempt := 1; ; attempt++ {
		r, err := c.Open(ctx, repo)
		if err != nil {
			return err
		}
		matched, err := count(ctx, r, rules, configs)
		if attempt == refresh.MaxReads || !r.IsOutdated(ctx) {
			found.add(matched, err)
			return err
		}
	}
}

// count returns what suppressions match in a repository. It reads only the histories of images that a suppression covers.
func count(ctx context.Context, r *refresh.Refresher, rules suppress.Scope, configs []scan.Config) (map[string]Matched, error) {
	repo, found := r.Repo, &collector{matched: make(map[string]Matched)}
	configs = slices.DeleteFunc(slices.Clone(configs), func(config scan.Config) bool { return !config.Watches(repo) })
	selections := r.SelectAll(configs)
	now := r.Clock().Time()
	var names []string
	var images []scan.Image
	for _, image := range r.Images(func(i *history.ImageRecord) bool {
		return slices.ContainsFunc(selections, func(s scan.Selection) bool { return s.Watches(i.Tag) })
	}) {
		if known := r.Record.Image(image.Label()); known.History != "" && rules.Covers(&image, now) {
			names, images = append(names, known.History), append(images, image)
		}
	}
	r.Histories(ctx, names, func(i int, h history.History, err error) {
		if scan.CodeOf(err) == scan.NotFound { // lost: the next visit starts a new history
			return
		}
		matched := make(map[string]Matched)
		for j := range h.Findings {
			f := &h.Findings[j]
			isOld := f.Status != history.Present && now.Sub(f.Ended.Time()) > history.Retention
			if isOld {
				continue
			}
			rules.Each(&images[i], &f.Finding, now, func(s *suppress.Suppression) {
				m := matched[s.ID]
				if f.Status == history.Present {
					m.Open++
				} else {
					m.Resolved = true
				}
				matched[s.ID] = m
			})
		}
		found.add(matched, err)
	})
	return found.matched, found.err
}
