package refresh

import (
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// KnownRepositories are the repositories that patterns can match, and what the last schedule found for these patterns.
type KnownRepositories struct {
	// names are sorted. errs are the errors of registries whose repositories can't be read.
	names map[scan.Registry][]string
	errs  map[scan.Registry]error
	// patternErr is the error if patterns can't be read.
	patterns   history.Patterns
	patternErr error
}

// registriesAtOnce is the maximum number of registries whose records are listed concurrently.
const registriesAtOnce = 32

// FindKnown lists the keys of the records of each registry that has a config with a pattern.
func (s Source) FindKnown(ctx context.Context, configs []scan.Config) KnownRepositories {
	known := KnownRepositories{names: make(map[scan.Registry][]string), errs: make(map[scan.Registry]error)}
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
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(registriesAtOnce)
	g.Go(func() error {
		known.patterns, known.patternErr = s.Records.Patterns(ctx)
		return nil
	})
	for in, head := range heads {
		g.Go(func() error {
			repositories, err := s.Records.RepositoriesIn(ctx, in, head)
			mu.Lock()
			defer mu.Unlock()
			known.add(in, repositories, err)
			return nil
		})
	}
	_ = g.Wait() // the errors are in known
	return known
}

func (k *KnownRepositories) add(in scan.Registry, repositories []scan.Repository, err error) {
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

// Matching returns the known repositories that the pattern of a config matches, sorted.
func (k KnownRepositories) Matching(c scan.Config) []scan.Repository {
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

// StateOf returns why it is not known which repositories the pattern of a config matches; nil when it is known. hasMatch means that it matches a
// repository with a record.
func (k KnownRepositories) StateOf(c scan.Config, hasMatch bool) error {
	pattern := k.patterns.ByKey[c.PatternKey()]
	switch failure := pattern.Failure; {
	case c.ExcludesAll():
		return nil
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
