package report

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// expand returns a report without results for each config and each repository that it watches, in the order of the configs and then of the names. A pattern
// matches the repositories that have a record. If it matches none, its config has one report, whose repository is the pattern.
func (q *request) expand(ctx context.Context, configs []scan.Config) []Report {
	known := q.readKnown(ctx, configs)
	reports := make([]Report, 0, len(configs))
	for _, c := range configs {
		if !c.IsPattern() {
			reports = append(reports, Report{Config: c, Repository: c.Repo()})
			continue
		}
		reports = append(reports, q.reportsOf(c, known)...)
	}
	return reports
}

// knownRepositories are the repositories that patterns can match, and what the last schedule found for these patterns.
type knownRepositories struct {
	// names are sorted. errs are the errors of registries whose repositories can't be read.
	names map[scan.Registry][]string
	errs  map[scan.Registry]error
	// patternErr is the error if patterns can't be read.
	patterns   history.Patterns
	patternErr error
}

// readKnown lists the keys of the records of each registry that has a config with a pattern.
func (q *request) readKnown(ctx context.Context, configs []scan.Config) knownRepositories {
	known := knownRepositories{names: make(map[scan.Registry][]string), errs: make(map[scan.Registry]error)}
	heads := make(map[scan.Registry]string) // what the names of all wanted repositories start with
	for _, c := range configs {
		if !c.IsPattern() {
			continue
		}
		if head, isKnown := heads[c.In()]; isKnown {
			heads[c.In()] = commonPrefix(head, c.Head())
		} else {
			heads[c.In()] = c.Head()
		}
	}
	if len(heads) == 0 {
		return known
	}
	var g errgroup.Group
	g.SetLimit(repositoriesAtOnce)
	g.Go(func() error {
		known.patterns, known.patternErr = q.Records.Patterns(ctx)
		return nil
	})
	for in, head := range heads {
		g.Go(func() error {
			repositories, err := q.Records.RepositoriesIn(ctx, in, head)
			q.mu.Lock()
			defer q.mu.Unlock()
			known.add(in, repositories, err)
			return nil
		})
	}
	_ = g.Wait() // the errors are in known
	return known
}

func (k knownRepositories) add(in scan.Registry, repositories []scan.Repository, err error) {
	k.errs[in] = err
	for _, repo := range repositories {
		k.names[in] = append(k.names[in], repo.Name)
	}
	slices.Sort(k.names[in])
}

// commonPrefix returns the longest text that both texts start with.
func commonPrefix(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// reportsOf returns the reports of a config with a pattern.
func (q *request) reportsOf(c scan.Config, known knownRepositories) []Report {
	matching := known.matching(c)
	if isAnyNew := q.scope == requireFresh; isAnyNew {
		matching = withNamed(c, matching, q.filter.Repositories)
	}
	selected := slices.DeleteFunc(slices.Clone(matching), func(repo scan.Repository) bool { return !q.filter.MatchesRepository(repo) })
	reports := make([]Report, 0, len(selected)+1)
	whole := Report{Config: c, Repository: c.Repo(), Err: known.stateOf(c, len(matching) > 0)}
	switch {
	case len(q.filter.Repositories) == 0 && (whole.Err != nil || len(selected) == 0):
		reports = append(reports, whole)
	case len(selected) == 0 && q.scope == requireFresh:
		reports = append(reports, Report{Config: c, Repository: c.Repo(), Err: &scan.Error{Code: scan.RepositoryNotFound, Message: "the config watches no repository of this name"}})
	case len(selected) == 0:
		reports = append(reports, Report{Config: c, Repository: c.Repo()})
	}
	for _, repo := range selected {
		reports = append(reports, Report{Config: c, Repository: repo})
	}
	return reports
}

// withNamed adds the named repositories that the config watches. They can be so new that they have no record.
func withNamed(c scan.Config, matching []scan.Repository, names []string) []scan.Repository {
	for _, name := range names {
		repo := scan.Repository{Registry: c.Registry, Region: c.Region, Name: name}
		if at, isKnown := slices.BinarySearchFunc(matching, repo, scan.CompareRepositories); !isKnown && c.Watches(repo) {
			matching = slices.Insert(matching, at, repo)
		}
	}
	return matching
}

// matching returns the known repositories that the pattern of a config matches, sorted.
func (k knownRepositories) matching(c scan.Config) []scan.Repository {
	names := k.names[c.In()]
	first, _ := slices.BinarySearch(names, c.Head())
	var found []scan.Repository
	for _, name := range names[first:] {
		if !strings.HasPrefix(name, c.Head()) {
			break
		}
		if repo := (scan.Repository{Registry: c.Registry, Region: c.Region, Name: name}); c.Watches(repo) {
			found = append(found, repo)
		}
	}
	return found
}

// stateOf returns why it is not known which repositories the pattern of a config matches; nil when it is known. hasMatch means that it matches a
// repository with a record.
func (k knownRepositories) stateOf(c scan.Config, hasMatch bool) error {
	pattern := k.patterns.ByKey[c.PatternKey()]
	switch failure := pattern.Failure; {
	case k.errs[c.In()] != nil:
		return k.errs[c.In()]
	case k.patternErr != nil && !hasMatch:
		return k.patternErr
	case failure.Code != "":
		return &scan.Error{Code: failure.Code, Message: "the repositories of the registry can't be listed: " + failure.Reason}
	case !hasMatch && (pattern.First == 0 || pattern.Repositories > 0):
		return scan.ErrNotVisited
	}
	return nil
}

// withoutDeleted removes the reports of repositories that a pattern matched and that no longer exist, unless the filter names them. A pattern that matches
// no other repository keeps one report.
func (q *request) withoutDeleted(reports []Report) []Report {
	isDeleted := func(r Report) bool {
		return r.Config.IsPattern() && !r.Repository.IsPattern() && scan.CodeOf(r.Err) == scan.RepositoryNotFound && len(q.filter.Repositories) == 0
	}
	kept := make([]Report, 0, len(reports))
	for i, r := range reports {
		isLast := i+1 == len(reports) || reports[i+1].Config.ID != r.Config.ID
		hasOther := len(kept) > 0 && kept[len(kept)-1].Config.ID == r.Config.ID
		switch {
		case !isDeleted(r):
			kept = append(kept, r)
		case isLast && !hasOther:
			kept = append(kept, Report{Config: r.Config, Repository: r.Config.Repo()})
		}
	}
	return kept
}

// ByConfig divides reports into those of each config.
func ByConfig(reports []Report) [][]Report {
	var divided [][]Report
	begin := 0
	for i := range reports {
		if i+1 == len(reports) || !reports[i].Config.IsPattern() || reports[i+1].Config.ID != reports[i].Config.ID {
			divided = append(divided, reports[begin:i+1:i+1])
			begin = i + 1
		}
	}
	return divided
}

// Join returns the reports of one config as one. A repository that can't be read is an image without a tag in it. If there is only one report, it is
// returned as it is.
func Join(reports []Report) Report {
	if len(reports) == 1 {
		return reports[0]
	}
	all := Report{Config: reports[0].Config, Repository: reports[0].Config.Repo()}
	n := 0
	for _, r := range reports {
		n += max(len(r.Images), 1)
	}
	all.Images = make([]Item, 0, n)
	for _, r := range reports {
		all.Images = append(all.Images, r.Images...)
		if r.Err != nil {
			all.Images = append(all.Images, r.Unreadable())
		}
		all.addCounts(r)
	}
	return all
}

// Unreadable returns an item without a tag for a repository that can't be read.
func (r Report) Unreadable() Item {
	image := scan.Image{Repository: r.Repository}
	return Item{Image: image, Result: refresh.ResultOfError(image, r.Err)}
}

// Overall returns the reports of one config as one, without images.
func Overall(reports []Report) Report {
	all := Report{Config: reports[0].Config, Repository: reports[0].Config.Repo()}
	for _, r := range reports {
		all.addCounts(r)
	}
	return all
}

// addCounts adds the counts of what is not watched.
func (r *Report) addCounts(other Report) {
	r.Artifacts, r.Older, r.Unused = r.Artifacts+other.Artifacts, r.Older+other.Older, r.Unused+other.Unused
	if other.NotWatched != nil {
		sum := *other.NotWatched
		if r.NotWatched != nil {
			sum += *r.NotWatched
		}
		r.NotWatched = &sum
	}
}

// IsEmptyMatch reports whether a pattern matched a repository without images. This is no problem, unlike a config that names such a repository.
func (r Report) IsEmptyMatch() bool {
	return r.Err == nil && len(r.Images) == 0 && r.Config.IsPattern() && !r.Repository.IsPattern()
}
