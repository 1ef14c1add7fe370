package report

import (
	"context"
	"slices"

	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// expand returns a report without results for each config and each repository that it watches, in the order of the configs and then of the names. A pattern
// matches the repositories that have a record. If it matches none, its config has one report, whose repository is the pattern. A gate that
// names repositories has reports only for these.
func (q *request) expand(ctx context.Context, configs []scan.Config) []Report {
	known := q.FindKnown(ctx, configs)
	reports := make([]Report, 0, len(configs))
	for _, c := range configs {
		switch {
		case c.IsPattern():
			reports = append(reports, q.reportsOf(c, known)...)
		case q.scope != requireFresh || q.filter.MatchesRepository(c.Repo()):
			reports = append(reports, Report{Config: c, Repository: c.Repo()})
		}
	}
	return reports
}

// reportsOf returns the reports of a config with a pattern.
func (q *request) reportsOf(c scan.Config, known refresh.KnownRepositories) []Report {
	matching := known.Matching(c)
	if isAnyNew := q.scope == requireFresh; isAnyNew {
		matching = withNamed(c, matching, q.filter.Repositories)
	}
	selected := slices.DeleteFunc(slices.Clone(matching), func(repo scan.Repository) bool { return !q.filter.MatchesRepository(repo) })
	reports := make([]Report, 0, len(selected)+1)
	whole := Report{Config: c, Repository: c.Repo(), Err: known.StateOf(c, len(matching) > 0)}
	switch {
	case len(q.filter.Repositories) == 0 && (whole.Err != nil || len(selected) == 0):
		reports = append(reports, whole)
	case len(selected) == 0 && q.scope != requireFresh:
		reports = append(reports, Report{Config: c, Repository: c.Repo()})
	}
	for _, repo := range selected {
		reports = append(reports, Report{Config: c, Repository: repo})
	}
	return reports
}

// withNamed adds the named repositories that the config watches. They can be so new that they have no record.
func withNamed(c scan.Config, matching []scan.Repository, names []string) []scan.Repository {
	for _, repo := range namedRepositories(c, names) {
		if at, isKnown := slices.BinarySearchFunc(matching, repo, scan.CompareRepositories); !isKnown && c.Watches(repo) {
			matching = slices.Insert(matching, at, repo)
		}
	}
	return matching
}

// namedRepositories returns the repositories with these names in the registry of a config.
func namedRepositories(c scan.Config, names []string) []scan.Repository {
	repositories := make([]scan.Repository, len(names))
	for i, name := range names {
		repositories[i] = scan.Repository{Registry: c.Registry, Region: c.Region, Name: name}
	}
	return repositories
}

// withDigests returns the repositories whose records have the digests of the filter, and their reports. So a gate of a pattern reads only these repositories
// from ECR. It returns all if the request names repositories, and if no record has one of the digests: its image may have been pushed a moment ago.
func (q *request) withDigests(repositories []*watchedRepository, reports []Report) ([]*watchedRepository, []Report) {
	if q.scope != requireFresh || len(q.filter.Digests) == 0 || len(q.filter.Repositories) > 0 {
		return repositories, reports
	}
	found := make(map[string]bool)
	var having []*watchedRepository
	var theirs []Report
	for _, w := range repositories {
		if w.err == nil && w.findDigests(q.filter.Digests, found) {
			having, theirs = append(having, w), append(theirs, reports[w.configIndexes[0]]) // a gate has one config
		}
	}
	if len(found) < len(q.filter.Digests) {
		return repositories, reports
	}
	for i, w := range having {
		w.configIndexes = []int{i}
	}
	return having, theirs
}

// findDigests adds the digests that images of the record have, and reports whether there are any.
func (w *watchedRepository) findDigests(wanted []string, found map[string]bool) (hasAny bool) {
	if w.Record.MissingSince > 0 {
		return false
	}
	for _, i := range w.Record.Images {
		for _, digest := range []string{i.Digest, i.Index} {
			if i.Kind != scan.Missing && slices.Contains(wanted, digest) {
				found[digest], hasAny = true, true
			}
		}
	}
	return hasAny
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

// Join returns the reports of one config as one. A repository that can't be read is an image without a tag in it. If there is only one report, it is
// returned as it is.
func Join(reports []Report) Report {
	if len(reports) == 1 {
		return reports[0]
	}
	all := Report{Config: reports[0].Config, Repository: reports[0].Config.Repo(), isJoined: true}
	for _, r := range reports {
		all.Images = append(all.Images, r.Images...)
		if r.Err != nil {
			all.Images = append(all.Images, r.Unreadable())
		}
	}
	return all
}

// Unreadable returns an item without a tag for a repository that can't be read.
func (r Report) Unreadable() Item {
	image := scan.Image{Repository: r.Repository}
	return Item{Image: image, Result: refresh.ResultOfError(image, r.Err)}
}

// IsEmptyMatch reports whether a pattern matched a repository without images, and another one with images. This is no problem, unlike a config that
// watches no image at all.
func (r Report) IsEmptyMatch() bool {
	return r.Err == nil && len(r.Images) == 0 && r.configHasImages && r.Config.IsPattern() && !r.Repository.IsPattern()
}

// noteConfigsWithImages sets configHasImages of all reports.
func noteConfigsWithImages(reports []Report) {
	images := make(map[string]int) // by config
	for _, r := range reports {
		images[r.Config.ID] += len(r.Images)
	}
	for i := range reports {
		reports[i].configHasImages = images[reports[i].Config.ID] > 0
	}
}
