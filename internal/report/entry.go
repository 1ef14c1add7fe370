package report

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// Entry is a finding and the images that have it: one entry of a feed.
type Entry struct {
	Finding scan.Finding
	// Images contains the images that have the finding, sorted, at least one. If the findings are grouped, it contains at most maxImages.
	Images []*scan.Image
	// Count is the number of images that have the finding.
	Count int
	// Published is when the finding was first seen. Updated is when it last changed.
	Published, Updated time.Time
	// Resolved is when a completed scan no longer contained the finding; zero for an open finding.
	Resolved time.Time
	// RaisedTo is set if the entry is over because the severity rose: it is the severity of the entry that replaces it.
	RaisedTo scan.Severity
	// Note describes the last change; empty when there was none.
	Note string
	// Suppression is what sets the finding aside; nil if nothing does. Of grouped findings, all are set aside.
	Suppression *suppress.Suppression
}

func newEntry(image *scan.Image, f *history.TrackedFinding) Entry {
	return Entry{
		Finding: f.Finding, Images: []*scan.Image{image}, Count: 1, Published: f.Published.Time(), Updated: f.Updated.Time(), Resolved: f.ResolvedAt(), Note: f.Note,
	}
}

// worstFirst sorts open findings before resolved ones, and then by severity.
func worstFirst(a, b *Entry) int {
	if order := cmp.Or(CompareBool(a.Resolved.IsZero(), b.Resolved.IsZero()), scan.CompareSeverity(a.Finding.Severity, b.Finding.Severity), b.Updated.Compare(a.Updated)); order != 0 {
		return order
	}
	return compareEntries(a, b)
}

// CompareBool compares two values, with true before false.
func CompareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func newestFirst(a, b *Entry) int {
	if order := b.Updated.Compare(a.Updated); order != 0 {
		return order
	}
	return compareEntries(a, b)
}

func compareEntries(a, b *Entry) int {
	if order := scan.CompareFindings(a.Finding, b.Finding); order != 0 {
		return order
	}
	x, y := a.Images[0], b.Images[0]
	return cmp.Or(scan.CompareImages(*x, *y), strings.Compare(x.Repository.Name, y.Repository.Name),
		strings.Compare(x.Repository.Region, y.Repository.Region), strings.Compare(x.Repository.Registry, y.Repository.Registry))
}

// maxGroups is the maximum number of grouped vulnerabilities, and maxImages the maximum number of images that each of them lists. All groups stay
// in memory until the last image is read, because it may have any of the vulnerabilities.
const (
	maxGroups = 100_000
	maxImages = 200
)

// findingsCollector collects the findings of many images and keeps only those that the requested page needs: the findings of a thousand images
// don't fit into the memory of a function. It is safe for concurrent use.
type findingsCollector struct {
	view View

	mu         sync.Mutex
	list       shortlist[Entry]
	lastExpiry history.Stamp // when the last resolved finding became too old for the list
	span       Span
	groups     map[vulnerability]*group
	episodes   groupEpisodes
}

// group is the entry of several images. primary is the image whose finding represents the group.
type group struct {
	Entry
	primary *scan.Image
}

// vulnerability is the key by which findings are grouped.
type vulnerability struct {
	repository scan.Repository
	name, pkg  string
}

func newFindingsCollector(v View) *findingsCollector {
	paging, _ := v.order()
	return &findingsCollector{view: v, list: newShortlist(v, paging), span: newSpan(), groups: make(map[vulnerability]*group), episodes: newGroupEpisodes()}
}

// add adds the findings of an image with this result. It ignores findings that were resolved too long ago: a history still contains them until its
// next scan.
func (g *findingsCollector) add(image *scan.Image, r scan.Result, d divided, now history.Stamp) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view.ByVulnerability {
		g.countEpisodes(image, r, d, now)
	}
	h, suppressed := d.told, g.view.Filter.Suppressed
	if suppressed != "" {
		h = d.whole
	}
	list := func(f *history.TrackedFinding, raisedTo scan.Severity) {
		entry := newEntry(image, f)
		if suppressed != "" {
			if entry.Suppression = d.bySuppression(f); entry.Suppression == nil && suppressed == scan.OnlySuppressed {
				return
			}
		}
		entry.Finding.InUse, entry.Finding.LastInUse, entry.RaisedTo = r.InUse, r.LastInUse, raisedTo
		switch {
		case g.isExpired(f.Status == history.Resolved, f.Ended, now), !g.view.Filter.Matches(entry.Finding):
		case f.Status == history.Resolved && g.view.AllOpen:
		case g.view.ByVulnerability:
			g.group(entry)
		default:
			g.list.add(entry)
		}
	}
	for i := range h.Findings {
		if f := &h.Findings[i]; f.IsListed() || suppressed != "" && f.Status == history.Suppressed && f.Published > 0 {
			list(f, "")
		}
	}
	if g.view.Order != FeedOrder || g.view.ByVulnerability || g.view.AllOpen {
		return // a page has only the last episode of a finding; page adds the earlier ones of groups
	}
	for i := range h.Findings {
		for _, e := range h.Findings[i].Earlier {
			past := h.Findings[i].During(e)
			list(&past, e.RaisedTo)
		}
	}
}

// isExpired reports whether a resolved finding ended too long ago.
func (g *findingsCollector) isExpired(isResolved bool, ended, now history.Stamp) bool {
	if !isResolved {
		return false
	}
	end := ended.Plus(history.Retention)
	g.span.cutAt(end+1, now)
	if end >= now {
		return false
	}
	g.lastExpiry = max(g.lastExpiry, end+1)
	return true
}

func (g *findingsCollector) group(e Entry) {
	key := vulnerability{e.Images[0].Repository, e.Finding.Name, e.Finding.IdentityPackage()}
	switch known := g.groups[key]; {
	case known != nil:
		known.merge(e)
	case len(g.groups) <= maxGroups: // one more than allowed, so that page can see that there are too many
		g.groups[key] = &group{e, e.Images[0]}
	}
}

// merge adds the entry of one image to the group. The most severe copy represents the group; the first image breaks ties. If an image still has the
// finding, images where it is resolved are ignored. The result must not depend on the order of the calls.
func (e *group) merge(other Entry) {
	if isOpen, otherIsOpen := e.Resolved.IsZero(), other.Resolved.IsZero(); isOpen != otherIsOpen {
		if otherIsOpen {
			e.Entry, e.primary = other, other.Images[0]
		}
		return
	}
	first, second := e.Finding, other.Finding
	if cmp.Or(scan.CompareSeverity(second.Severity, first.Severity), scan.CompareImages(*other.Images[0], *e.primary)) < 0 {
		first, second, e.primary = second, first, other.Images[0]
	}
	e.Finding = scan.MergeFinding(first, second)
	e.Count++
	e.Suppression = suppress.FirstEnd(e.Suppression, other.Suppression)
	if other.Published.Before(e.Published) {
		e.Published = other.Published
	}
	if cmp.Or(other.Updated.Compare(e.Updated), strings.Compare(other.Note, e.Note)) > 0 {
		e.Updated, e.Note = other.Updated, other.Note
	}
	if other.Resolved.After(e.Resolved) {
		e.Resolved = other.Resolved
	}
	at, _ := slices.BinarySearchFunc(e.Images, other.Images[0], func(a, b *scan.Image) int { return scan.CompareImages(*a, *b) })
	if e.Images = slices.Insert(e.Images, at, other.Images[0]); len(e.Images) > maxImages {
		e.Images = e.Images[:maxImages]
	}
}

// page returns the requested page in the order of the view, and the number of entries on all pages. Nothing may be added after it.
func (g *findingsCollector) page() ([]Entry, int) {
	if len(g.groups) > maxGroups {
		return nil, len(g.groups)
	}
	for key, e := range g.groups {
		e.Finding.Episode = g.episodes.last(key)
		e.Finding.SortTexts()
		g.list.add(e.Entry)
	}
	if g.view.Order == FeedOrder && !g.view.AllOpen {
		g.addEarlierGroups()
	}
	_, withinPage := g.view.order()
	return g.list.page(withinPage), g.list.total
}
