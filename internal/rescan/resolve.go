package rescan

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/pace"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// listingsAtOnce is the maximum number of registries that are listed concurrently.
const listingsAtOnce = 8

// foundRepositories is what a schedule found.
type foundRepositories struct {
	// messages has one message for each repository, sorted by repository.
	messages []Message
	// patterns is what was found for each pattern of the configs, by key.
	patterns map[string]foundPattern
	// failed are the errors of the registries that could not be listed.
	failed map[scan.Registry]error
}

// foundPattern is the number of listed repositories that match a pattern, or the error if its registry could not be listed.
type foundPattern struct {
	matching int
	err      error
}

// problems returns the first errors of listings.
func (f foundRepositories) problems() []ScheduleProblem {
	problems := []ScheduleProblem{}
	for _, in := range slices.SortedFunc(maps.Keys(f.failed), scan.CompareRegistries) {
		if len(problems) < maxProblems {
			problems = append(problems, ScheduleProblem{Registry: in.ID, Region: in.Region, Error: scan.MessageOf(f.failed[in])})
		}
	}
	return problems
}

// findRepositories finds the repositories that the configs watch or that have a record. A pattern matches the repositories
// that ECR lists and those that have a record: a repository that was deleted, or that can't be listed now.
func (v *Visitor) findRepositories(ctx context.Context, configs []scan.Config, recorded []scan.Repository, known history.Patterns) foundRepositories {
	listed, failed := v.listRegistries(ctx, configs)
	found := foundRepositories{patterns: make(map[string]foundPattern), failed: failed}
	all := newTargets(recorded, listed)
	for _, c := range configs {
		if !c.IsPattern() {
			all.watch(c.Repo(), c.ID)
			continue
		}
		key := c.PatternKey()
		first, matching := known.ByKey[key].First, 0
		for _, t := range all.matching(c) {
			t.configs = append(t.configs, c.ID)
			if t.isListed {
				matching++
			}
			if first > 0 && t.created > first {
				t.isNew = true
			}
		}
		found.patterns[key] = foundPattern{matching, failed[c.In()]}
	}
	found.messages = all.messages()
	return found
}

// keepPattern is how long what was found for a pattern without a config is kept. A config that was added meanwhile is not
// in an earlier list of configs.
const keepPattern = 24 * time.Hour

// readPatterns returns what earlier schedules found, if a config has a pattern.
func (v *Visitor) readPatterns(ctx context.Context, configs []scan.Config) (history.Patterns, error) {
	if !slices.ContainsFunc(configs, scan.Config.IsPattern) {
		return history.Patterns{}, nil
	}
	return v.Records.Patterns(ctx)
}

// resolve finds the repositories that the configs watch, and stores what it finds for their patterns. isAll means that there
// are no other configs.
func (v *Visitor) resolve(ctx context.Context, configs []scan.Config, recorded []scan.Repository, isAll bool) foundRepositories {
	known, err := v.readPatterns(ctx, configs)
	found := v.findRepositories(ctx, configs, recorded, known)
	if err == nil && len(found.patterns) > 0 {
		err = v.savePatterns(ctx, known, found, isAll)
	}
	if err != nil {
		v.Log.WarnContext(ctx, "could not store what the patterns of configs match; the next schedule tries again", "error", err)
	}
	return found
}

// maxSaves is how often a schedule tries to store what it found while others store. Of all that store at the same time, one succeeds.
// maxSavePause is the maximum pause before the next attempt.
const (
	maxSaves     = 20
	maxSavePause = 200 * time.Millisecond
)

// savePatterns stores what was found for patterns. known is what was stored before the registries were listed. If another schedule has stored
// something meanwhile, both findings are kept.
func (v *Visitor) savePatterns(ctx context.Context, known history.Patterns, found foundRepositories, isAll bool) error {
	began := known.Now
	for range maxSaves {
		all := found.addTo(known, began, isAll)
		// A schedule of one config always stores its time, so that a schedule without this config does not delete the pattern.
		if isAll && maps.EqualFunc(all, known.ByKey, history.Pattern.IsSame) {
			return nil
		}
		isSaved, err := v.Records.SavePatterns(ctx, history.Patterns{ByKey: all, Version: known.Version})
		if err != nil || isSaved {
			return err
		}
		if err := pace.Sleep(ctx, rand.N(maxSavePause)); err != nil {
			return err
		}
		if known, err = v.Records.Patterns(ctx); err != nil {
			return err
		}
	}
	return errors.New("other schedules store them at the same time")
}

// addTo returns the stored patterns with what a schedule found that began at a time. A schedule of all configs leaves out old patterns of none.
func (f foundRepositories) addTo(stored history.Patterns, began history.Stamp, isAll bool) map[string]history.Pattern {
	all := make(map[string]history.Pattern, len(stored.ByKey)+len(f.patterns))
	for key, p := range stored.ByKey {
		if _, isFound := f.patterns[key]; isFound || !isAll || p.LastChange().Plus(keepPattern) >= stored.Now {
			all[key] = p
		}
	}
	for key, found := range f.patterns {
		p := all[key]
		p.Set(found.matching, found.err, began)
		all[key] = p
	}
	return all
}

// listRegistries returns the repositories of the registries that have a config with a pattern, and the errors of those
// that can't be listed. It takes at most half of the time, so that messages can be sent when ECR does not answer.
func (v *Visitor) listRegistries(ctx context.Context, configs []scan.Config) (listed []scan.ListedRepository, failed map[scan.Registry]error) {
	isWanted := make(map[scan.Registry]bool)
	for _, c := range configs {
		if c.IsPattern() {
			isWanted[c.In()] = true
		}
	}
	calls, cancel := refresh.WithEarlierDeadline(ctx, time.Hour, 2)
	defer cancel()
	registries := slices.SortedFunc(maps.Keys(isWanted), scan.CompareRegistries)
	found, errs := make([][]scan.ListedRepository, len(registries)), make([]error, len(registries))
	var g errgroup.Group
	g.SetLimit(listingsAtOnce)
	for i, in := range registries {
		g.Go(func() error {
			found[i], errs[i] = v.Scanner.Repositories(calls, in)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	failed = make(map[scan.Registry]error)
	for i, err := range errs {
		if err != nil {
			failed[registries[i]] = err
			v.Log.WarnContext(ctx, "could not list the repositories of a registry; patterns match only those with a record", "registry", registries[i].ID, "region", registries[i].Region, "code", scan.CodeOf(err), "error", err)
		}
	}
	return slices.Concat(found...), failed
}

// target is a repository that can be visited.
type target struct {
	repo    scan.Repository
	configs []string // the ids of those that watch it
	created history.Stamp
	// isListed means that ECR lists it, and isRecorded that it has a record.
	isListed, isRecorded bool
	// isNew means that a pattern matches the repository, and that the repository was created after the pattern was first
	// resolved.
	isNew bool
}

// targets are the repositories of a schedule. byName has them sorted by name, for each registry.
type targets struct {
	byRepo map[scan.Repository]*target
	byName map[scan.Registry][]*target
}

func newTargets(recorded []scan.Repository, listed []scan.ListedRepository) targets {
	all := targets{make(map[scan.Repository]*target, len(recorded)+len(listed)), make(map[scan.Registry][]*target)}
	for _, repo := range recorded {
		all.add(repo).isRecorded = true
	}
	for _, l := range listed {
		if !l.IsValid() { // such as a name that a later ECR allows
			continue
		}
		t := all.add(l.Repository)
		t.isListed = true
		if !l.Created.IsZero() {
			t.created = history.StampOf(l.Created)
		}
	}
	for repo, t := range all.byRepo {
		all.byName[repo.In()] = append(all.byName[repo.In()], t)
	}
	for _, named := range all.byName {
		slices.SortFunc(named, func(a, b *target) int { return strings.Compare(a.repo.Name, b.repo.Name) })
	}
	return all
}

func (all targets) add(repo scan.Repository) *target {
	t := all.byRepo[repo]
	if t == nil {
		t = &target{repo: repo, configs: []string{}}
		all.byRepo[repo] = t
	}
	return t
}

// watch adds a config that names a repository.
func (all targets) watch(repo scan.Repository, config string) {
	t := all.add(repo)
	t.configs = append(t.configs, config)
}

// matching returns the listed and recorded repositories that the pattern of a config matches.
func (all targets) matching(c scan.Config) []*target {
	named := all.byName[c.In()]
	first, _ := slices.BinarySearchFunc(named, c.Head(), func(t *target, head string) int { return strings.Compare(t.repo.Name, head) })
	var found []*target
	for _, t := range named[first:] {
		if !strings.HasPrefix(t.repo.Name, c.Head()) {
			break
		}
		if c.Watches(t.repo) {
			found = append(found, t)
		}
	}
	return found
}

// messages returns one message for each repository that a config watches or that has a record, sorted by repository.
func (all targets) messages() []Message {
	messages := make([]Message, 0, len(all.byRepo))
	for _, t := range all.byRepo {
		if len(t.configs) == 0 && !t.isRecorded {
			continue
		}
		m := NewMessage(t.repo, t.configs[:min(len(t.configs), maxConfigIDs)]...)
		if t.isNew {
			m.Created = int64(t.created)
		}
		messages = append(messages, m)
	}
	slices.SortFunc(messages, func(a, b Message) int { return scan.CompareRepositories(a.Repo(), b.Repo()) })
	return messages
}
