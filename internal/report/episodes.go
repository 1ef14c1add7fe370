package report

import (
	"slices"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// groupEpisodes knows the episodes of grouped findings. The id of a group contains the highest episode of its findings. It includes resolved,
// filtered and suppressed findings, so that the group keeps its id without them. When an image is the first to reach a higher episode, the group gets a new entry,
// and the entry before is over.
type groupEpisodes struct {
	// reached contains the episodes of the images that have one above 0.
	reached map[vulnerability][]int
	// earlier contains the entries of groups that may be over. now is the latest time of a repository.
	earlier map[groupEpisode]*group
	now     history.Stamp
}

type groupEpisode struct {
	vulnerability
	number int
}

func newGroupEpisodes() groupEpisodes {
	return groupEpisodes{reached: make(map[vulnerability][]int), earlier: make(map[groupEpisode]*group)}
}

// last returns the highest recorded episode of a vulnerability.
func (g groupEpisodes) last(key vulnerability) int {
	if reached := g.reached[key]; len(reached) > 0 {
		return slices.Max(reached)
	}
	return 0
}

// countEpisodes adds the episodes of a history.
func (g *findingsCollector) countEpisodes(image *scan.Image, r scan.Result, d divided, now history.Stamp) {
	g.episodes.now = max(g.episodes.now, now)
	for _, f := range d.whole.Findings {
		if f.Episode > 0 {
			key := vulnerability{image.Repository, f.Name, f.IdentityPackage()}
			g.episodes.reached[key] = append(g.episodes.reached[key], f.Episode)
		}
	}
	for _, f := range d.told.Findings {
		key := vulnerability{image.Repository, f.Name, f.IdentityPackage()}
		for _, e := range f.Earlier {
			past := f.During(e)
			past.Updated, past.Ended = e.Next, e.Next // another image can have the finding until then
			past.InUse, past.LastInUse = r.InUse, r.LastInUse
			entry := newEntry(image, &past)
			entry.RaisedTo = e.RaisedTo
			g.episodes.add(groupEpisode{key, e.Number}, entry)
		}
	}
}

func (g groupEpisodes) add(key groupEpisode, e Entry) {
	known := g.earlier[key]
	if known == nil {
		g.earlier[key] = &group{e, e.Images[0]}
		return
	}
	first := known.Entry
	if e.Resolved.Before(first.Resolved) {
		first = e
	}
	known.merge(e)
	known.Updated, known.Resolved, known.RaisedTo, known.Note = first.Updated, first.Resolved, first.RaisedTo, first.Note
}

// addEarlierGroups adds the entries of groups that are over. An episode counts only if all images that reached a higher one still have it: otherwise the
// group reached the higher one too long ago.
func (g *findingsCollector) addEarlierGroups() {
	for key, e := range g.episodes.earlier {
		higher := 0
		for _, n := range g.episodes.reached[key.vulnerability] {
			if n > key.number {
				higher++
			}
		}
		isOver := higher == e.Count
		if isOver && !g.isExpired(true, history.StampOf(e.Resolved), g.episodes.now) && g.view.Filter.Matches(e.Finding) {
			e.Finding.SortTexts()
			g.list.add(e.Entry)
		}
	}
}
