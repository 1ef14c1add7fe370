package history

import (
	"slices"

	"ecr-continuous-scan/internal/scan"
)

// Episode is an earlier episode of a finding. An episode ends when the severity of the finding rises, or when the
// finding comes back after it was resolved. The next episode has a new entry in feeds, so the entry of the earlier one
// stays in them as resolved for [Retention]: feed readers would show it as open forever.
type Episode struct {
	Number    int           `json:"episode,omitempty"`
	Severity  scan.Severity `json:"severity"`
	Published Stamp         `json:"published"`
	// Ended is when the finding was resolved or its severity rose. Next is when the next episode began.
	Ended Stamp `json:"ended"`
	Next  Stamp `json:"next"`
	// RaisedTo is the severity of the next episode if it began because the severity rose.
	RaisedTo scan.Severity `json:"raisedTo,omitempty"`
	// Note describes the last change.
	Note string `json:"note,omitempty"`
}

// maxEpisodes is the maximum number of earlier episodes of a finding. The latest are stored.
const maxEpisodes = 20

// endEpisode returns the earlier episodes of a finding, with the one that now ends. next is the finding in its new
// episode.
func (t *scanDiff) endEpisode(old, next TrackedFinding) []Episode {
	e := Episode{Number: old.Episode, Severity: old.Severity, Published: old.Published, Ended: old.Updated, Next: t.reserve(t.at), Note: old.Note}
	switch {
	case old.Status == Present:
		e.Next = max(e.Next, old.Updated)
		e.Ended, e.RaisedTo, e.Note = e.Next, next.Severity, "severity raised to "+string(next.Severity)
	case old.Status != Resolved || old.Published == 0:
		return old.Earlier // its entry is not in feeds
	}
	all := append(slices.Clone(old.Earlier), e)
	return all[max(0, len(all)-maxEpisodes):]
}

// recentEpisodes returns the episodes whose entries can still be in feeds.
func (t *scanDiff) recentEpisodes(all []Episode) []Episode {
	isOld := func(e Episode) bool { return e.Next < t.at.Plus(-Retention) }
	if !slices.ContainsFunc(all, isOld) {
		return all
	}
	if all = slices.DeleteFunc(slices.Clone(all), isOld); len(all) == 0 {
		return nil // the same as after decoding
	}
	return all
}

// During returns the finding as it was at the end of an earlier episode.
func (f TrackedFinding) During(e Episode) TrackedFinding {
	f.Status, f.Published, f.Updated, f.Ended, f.Note, f.Earlier = Resolved, e.Published, e.Ended, e.Ended, e.Note, nil
	f.Severity, f.Episode = e.Severity, e.Number
	return f
}

// packageNames knows which vulnerabilities are in several packages of an image.
type packageNames struct {
	first   map[string]string // the first package by vulnerability
	several map[string]bool
}

// newPackageNames returns the packages of the known findings and of those of a scan.
func newPackageNames(known map[findingKey]TrackedFinding, found []scan.Finding) packageNames {
	n := packageNames{first: make(map[string]string, len(found)), several: make(map[string]bool)}
	for key := range known {
		n.add(key)
	}
	for _, f := range found {
		n.add(keyOf(f))
	}
	return n
}

func (n packageNames) add(key findingKey) {
	switch first := n.first[key.name]; {
	case key.pkg == "": // all packages are one finding
	case first == "":
		n.first[key.name] = key.pkg
	case first != key.pkg:
		n.several[key.name] = true
	}
}

// in reports whether the title of a finding that is recorded for the first time must name its package.
func (n packageNames) in(f scan.Finding) bool { return f.IdentityPackage() != "" && n.several[f.Name] }
