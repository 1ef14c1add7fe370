package report

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// Entry is a finding and where it was found: what a feed tells in one entry.
type Entry struct {
	Finding scan.Finding
	// Images are where it was found, in order, one of them at least. Grouped by vulnerability there may be more than are listed.
	Images []*scan.Image
	// Count is in how many images it was found.
	Count int
	// Published is when it was first seen, Updated when it last changed, as well as is known.
	Published, Updated time.Time
	// Resolved is when a completed scan no longer found it; zero for what is still there.
	Resolved time.Time
	// Note says what changed last, empty when nothing did.
	Note string
}

func newEntry(image *scan.Image, f history.Tracked) Entry {
	return Entry{
		Finding: f.Finding, Images: []*scan.Image{image}, Count: 1, Published: f.Published.Time(), Updated: f.Updated.Time(), Resolved: f.ResolvedAt(), Note: f.Note,
	}
}

// worstFirst puts what is still there before what is resolved.
func worstFirst(a, b Entry) int {
	return cmp.Or(CompareBool(a.Resolved.IsZero(), b.Resolved.IsZero()), scan.CompareSeverity(a.Finding.Severity, b.Finding.Severity), b.Updated.Compare(a.Updated), compareEntries(a, b))
}

// CompareBool orders true first.
func CompareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func newestFirst(a, b Entry) int {
	return cmp.Or(b.Updated.Compare(a.Updated), compareEntries(a, b))
}

func compareEntries(a, b Entry) int {
	x, y := a.Images[0], b.Images[0]
	return cmp.Or(scan.CompareFindings(a.Finding, b.Finding), scan.CompareImages(*x, *y), strings.Compare(x.Repository.Name, y.Repository.Name),
		strings.Compare(x.Repository.Region, y.Repository.Region), strings.Compare(x.Repository.Registry, y.Repository.Registry))
}

// maxGroups bounds how many vulnerabilities are grouped, and maxImages how many images each of them lists. Until the last image is read
// none of them can be let go: it may be in that one too.
const (
	maxGroups = 100_000
	maxImages = 200
)

// gathering takes in the findings of many images, side by side, and keeps those that are wanted without holding them all: the findings of a
// thousand images don't fit into a function.
type gathering struct {
	view View

	mu     sync.Mutex
	list   shortlist[Entry]
	left   history.Stamp // when something resolved became too old to be listed
	groups map[vulnerability]*group
	// episodes are the highest of each vulnerability, of all that is remembered of it, so that a group keeps its id when what gave it one is
	// resolved, forgotten or filtered out; 0 is left out.
	episodes map[vulnerability]int
}

// group is an entry in the making. from is the image whose finding speaks for all.
type group struct {
	Entry
	from *scan.Image
}

// vulnerability is what is one when findings are grouped.
type vulnerability struct {
	repository scan.Repository
	name, pkg  string
}

func newGathering(v View) *gathering {
	choose, _ := v.order()
	return &gathering{view: v, list: newShortlist(v.page(), choose), groups: make(map[vulnerability]*group), episodes: make(map[vulnerability]int)}
}

// add takes in the history of an image. A history forgets what is long resolved when it takes in a scan, and that may be long ago.
func (g *gathering) add(image *scan.Image, h history.History, now history.Stamp) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.view.ByVulnerability {
		g.count(image.Repository, h)
	}
	for _, f := range h.Listed() {
		if end := f.Ended.Plus(history.MemoryTime); f.Fate == history.Gone && end < now {
			g.left = max(g.left, end+1)
			continue
		}
		if !g.view.Filter.Matches(f.Finding) {
			continue
		}
		if entry := newEntry(image, f); g.view.ByVulnerability {
			g.group(entry)
		} else {
			g.list.add(entry)
		}
	}
}

// count takes in the episodes of a history.
func (g *gathering) count(repo scan.Repository, h history.History) {
	for _, f := range h.Findings {
		if key := (vulnerability{repo, f.Name, f.Package}); f.Episode > g.episodes[key] {
			g.episodes[key] = f.Episode
		}
	}
}

func (g *gathering) group(e Entry) {
	key := vulnerability{e.Images[0].Repository, e.Finding.Name, e.Finding.Package}
	switch known := g.groups[key]; {
	case known != nil:
		known.absorb(e)
	case len(g.groups) <= maxGroups: // one more than may be tells that there are too many
		g.groups[key] = &group{e, e.Images[0]}
	}
}

// absorb adds an entry of one image: the worst, and of equals that of the first image, speaks for all; where it is still there, those where it
// is resolved say nothing. In what order entries come must make no difference.
func (e *group) absorb(other Entry) {
	if there, thereToo := e.Resolved.IsZero(), other.Resolved.IsZero(); there != thereToo {
		if thereToo {
			e.Entry, e.from = other, other.Images[0]
		}
		return
	}
	speaks, adds := e.Finding, other.Finding
	if cmp.Or(scan.CompareSeverity(adds.Severity, speaks.Severity), scan.CompareImages(*other.Images[0], *e.from)) < 0 {
		speaks, adds, e.from = adds, speaks, other.Images[0]
	}
	e.Finding = scan.MergeFinding(speaks, adds)
	e.Count++
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

// page is the page that the view asks for, newest first, and how many entries the list has. It ends the gathering.
func (g *gathering) page() ([]Entry, int) {
	if len(g.groups) > maxGroups {
		return nil, len(g.groups)
	}
	for key, e := range g.groups {
		e.Finding.Episode = g.episodes[key]
		slices.Sort(e.Finding.Versions)
		slices.Sort(e.Finding.FixedIn)
		g.list.add(e.Entry)
	}
	page := g.list.page()
	_, show := g.view.order()
	slices.SortFunc(page, show)
	return page, g.list.total
}
