package scan

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// tidiesAtOnce is how many records are looked through side by side.
const tidiesAtOnce = 16

// tidy removes what is remembered of repositories, and of tags, that no config watches any more. What goes wrong is logged, and left for the
// next run.
func (w *Watch) tidy(calls, stop context.Context, configs []Config) {
	if w.Records == nil {
		return
	}
	kept, err := w.Records.Repositories(calls)
	if err != nil {
		w.Log.WarnContext(calls, "can't list what is remembered; what isn't watched any more is left for the next run", "error", err)
		return
	}
	watching := make(map[Repository][]Config)
	for _, c := range configs {
		watching[c.Repo()] = append(watching[c.Repo()], c)
	}
	var g errgroup.Group
	g.SetLimit(tidiesAtOnce)
	for _, repo := range kept {
		g.Go(func() error {
			if stop.Err() == nil {
				w.tidyRepository(calls, repo, watching[repo])
			}
			return nil
		})
	}
	_ = g.Wait() // no repository returns an error
}

func (w *Watch) tidyRepository(ctx context.Context, repo Repository, configs []Config) {
	if len(configs) == 0 {
		if err := w.Records.Remove(ctx, repo); err != nil {
			w.Log.WarnContext(ctx, "can't remove what is remembered of a repository that isn't watched any more; the next run will",
				"registry", repo.Registry, "region", repo.Region, "repository", repo.Name, "error", err)
			return
		}
		w.Log.InfoContext(ctx, "removed what was remembered of a repository that isn't watched any more", "registry", repo.Registry,
			"region", repo.Region, "repository", repo.Name)
		return
	}
	if all, tags := wanted(configs); !all {
		l := w.writers().begin(ctx, repo)
		l.keepOnly(tags)
		l.commit(ctx)
	}
}

// wanted gathers the tags that configs of one repository name, and whether one of them wants all tags.
func wanted(configs []Config) (all bool, tags []string) {
	at := make([]int, len(configs))
	for i := range at {
		at[i] = i
	}
	return wantedTags(configs, at)
}

// keepOnly leaves out what has none of some tags. Then not all that was listed is known any more.
func (l *ledger) keepOnly(tags []string) {
	watched := make(map[string]bool, len(tags))
	for _, tag := range tags {
		watched[tag] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for label, i := range l.now.Images {
		if !watched[i.Tag] {
			l.now.own()
			delete(l.now.Images, label)
			l.now.Listed, l.now.touched = 0, true
		}
	}
}
