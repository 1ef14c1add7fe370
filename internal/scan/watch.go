package scan

import (
	"slices"
	"strings"
	"time"
)

// IsPattern reports whether the config watches all repositories that match a pattern.
func (c Config) IsPattern() bool { return strings.Contains(c.Repository, "*") }

// Watches reports whether the config watches a repository.
func (c Config) Watches(repo Repository) bool {
	return c.Registry == repo.Registry && c.Region == repo.Region && MatchesPattern(c.Repository, repo.Name) && !matchesAny(c.Exclude, repo.Name)
}

// ExcludesAll reports whether the config watches no repository, because one of the patterns in Exclude matches all names that
// the pattern in Repository matches. The asterisks of the latter match only asterisks of the former.
func (c Config) ExcludesAll() bool { return matchesAny(c.Exclude, c.Repository) }

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return MatchesPattern(p, name) })
}

// UsedWithin returns Used as a duration; 0 if the config has none.
func (c Config) UsedWithin() time.Duration { return time.Duration(daysOf(c.Used)) * 24 * time.Hour }

// watched is what a config watches. Equal values watch the same.
type watched struct {
	Repository
	tags, exclude, used string
	newest              int
	untagged            bool
}

func (c Config) watched() watched {
	list := func(names []string) string { return strings.Join(Distinct(names), " ") } // neither tags nor repositories have spaces
	tags, exclude := list(withoutMatched(c.Tags, IsPattern)), list(withoutMatched(c.Exclude, func(string) bool { return true }))
	if tags == allTags {
		tags = ""
	}
	return watched{Repository: c.Repo(), tags: tags, exclude: exclude, newest: c.Newest, used: c.Used, untagged: c.Untagged}
}

// withoutMatched leaves out the values that may be left out and that a pattern of the list matches. A pattern that matches another one, with its
// asterisks taken as characters, matches all that the other one matches.
func withoutMatched(values []string, mayLeaveOut func(string) bool) []string {
	patterns := slices.DeleteFunc(slices.Clone(values), func(s string) bool { return !IsPattern(s) })
	return slices.DeleteFunc(slices.Clone(values), func(s string) bool {
		return mayLeaveOut(s) && slices.ContainsFunc(patterns, func(p string) bool { return p != s && MatchesPattern(p, s) })
	})
}

// WatchesSame reports whether two configs watch exactly the same. The order of tags and of exclusions does not matter, and neither do patterns that
// add nothing to another one.
func (c Config) WatchesSame(other Config) bool { return c.watched() == other.watched() }

// Duplicates returns, for each config that watches exactly what an earlier one of the list watches, the first such config. The keys are ids.
func Duplicates(configs []Config) map[string]Config {
	first := make(map[watched]Config, len(configs))
	duplicates := make(map[string]Config)
	for _, c := range configs {
		what := c.watched()
		if earlier, ok := first[what]; ok {
			duplicates[c.ID] = earlier
		} else {
			first[what] = c
		}
	}
	return duplicates
}
