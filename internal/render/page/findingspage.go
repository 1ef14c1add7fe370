package page

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// findingsPage is the page's own part.
type findingsPage struct {
	Title, About, Narrowed, Listed  string
	Feed, Changes, Console, Grouped string // URLs; Changes is the feed of what changed in the list, Grouped is the same list grouped by vulnerability, or not
	ByVulnerability                 bool
	Filter                          filterForm
	Troubles                        []cardLine
	MoreTroubles                    int
	Images, Watched                 int // how many images have a result, and how many there are
	Columns                         []sortColumn
	Rows                            []findingRow
	Pages                           []navItem
}

// sortColumn is the head of a column: a link that sorts by it, or that turns its order around.
type sortColumn struct {
	Text, URL, Sort string // Sort is the column's aria-sort; empty when the list isn't sorted by it
	Hint            string
}

// findingRow is one finding.
type findingRow struct {
	Severity                        severityLook
	Name, URL, About                string
	Package, Installed, Fixed, More string
	Image                           string
	AtLatest                        bool // it was there when the service first looked
	Seen                            *stamp
	State, StateClass               string
	Exploit                         bool
}

// freshly is how long a finding counts as new.
const freshly = report.DefaultSince

// Findings is a listing as a page, at the given time. path is where it is served, and asked are the parameters that it was asked for
// with, but for the page. It fails when the template does.
func Findings(l report.Listing, now time.Time, path string, asked url.Values, to Link) ([]byte, error) {
	asked = asHTML(asked)
	return render.Fit(func(room int) ([]byte, error) {
		current := ""
		if l.Config == nil {
			current = "All findings"
		}
		p := newPage(render.ListingTitle(l), to, current)
		main := newFindingsPage(l, now, path, asked, to, room)
		p.Feed, p.FeedTitle, p.Main = main.Feed, render.ListingTitle(l), main
		return p.write(findingsTemplate())
	}, 200, 100, 40)
}

func newFindingsPage(l report.Listing, now time.Time, path string, asked url.Values, to Link, room int) findingsPage {
	p := findingsPage{
		Title: "All findings", About: counted(len(l.Reports), "config"), Narrowed: render.FilterWords(l.View.Filter), Listed: listedWords(l),
		Feed:            to(path, without(asked, "format", "sort")),
		ByVulnerability: l.View.ByVulnerability,
		Columns:         sortColumns(l.View, path, asked, to), Pages: pageLinks(l, path, asked, to),
	}
	if l.Config != nil {
		p.Title, p.About, p.Console = l.Config.Repository, aboutConfig(l.Reports[0]), render.ConsoleURL(l.Config.Repo())
	}
	grouped := without(asked, "by")
	if !p.ByVulnerability {
		grouped.Set("by", "vulnerability")
	}
	p.Grouped = to(path, grouped)
	p.Changes = to(changesPath(path), without(asked, "format", "sort", "by", "page"))
	p.Filter = newFilterForm(to, path, asked, scan.FindingsFilters(), l.View.Filter)
	p.Filter.About = "Filter the findings"
	p.watched(l, now)
	known := knownSince(l)
	for _, e := range l.Entries {
		p.Rows = append(p.Rows, newFindingRow(l, e, known, now, room))
	}
	return p
}

// changesPath is the path of the changes of the findings at a path.
func changesPath(path string) string {
	if path == "/findings/all" {
		return "/changes"
	}
	return path + "/changes"
}

func listedWords(l report.Listing) string {
	if l.Total <= report.PageSize {
		fixed := 0
		for _, e := range l.Entries {
			if !e.Resolved.IsZero() {
				fixed++
			}
		}
		words := counted(l.Total-fixed, "finding")
		if fixed > 0 {
			words += fmt.Sprintf(", %d fixed", fixed)
		}
		return words
	}
	first := (max(l.View.Page, 1) - 1) * report.PageSize
	words := fmt.Sprintf("Findings %d to %d of %d", first+1, first+len(l.Entries), l.Total)
	if reach := report.MaxPages * report.PageSize; l.Total > reach {
		words += fmt.Sprintf("; the pages end after %d, the filter reaches the rest", reach)
	}
	return words
}

// sortColumns are the heads of the table. A list can be sorted by all but the last.
func sortColumns(v report.View, path string, asked url.Values, to Link) []sortColumn {
	columns := []struct {
		order         report.Order
		text          string
		sort, reverse string // as ARIA has them
	}{
		{report.BySeverity, "Severity", "descending", "ascending"},
		{report.ByName, "Vulnerability", "ascending", "descending"},
		{report.ByPackage, "Package", "ascending", "descending"},
		{"", "Installed", "", ""},
		{report.ByFix, "Fixed in", "ascending", "descending"},
		{report.ByImage, "Image", "ascending", "descending"},
		{report.ByFirstSeen, "First seen", "descending", "ascending"},
		{"", "State", "", ""},
	}
	heads := make([]sortColumn, len(columns))
	for i, c := range columns {
		heads[i] = sortColumn{Text: c.text}
		if c.order == "" {
			continue
		}
		values := without(asked, "sort")
		values.Set("sort", string(c.order))
		if v.Order == c.order {
			heads[i].Sort, heads[i].Hint = c.sort, "▼"
			if v.Reverse {
				heads[i].Sort, heads[i].Hint = c.reverse, "▲"
			} else {
				values.Set("sort", "-"+string(c.order))
			}
		}
		heads[i].URL = to(path, values)
	}
	return heads
}

// pageLinks are the pages, when there is more than one.
func pageLinks(l report.Listing, path string, asked url.Values, to Link) []navItem {
	if l.Pages() == 1 {
		return nil
	}
	links := make([]navItem, l.Pages())
	for i := range links {
		values := without(asked)
		if i > 0 {
			values.Set("page", strconv.Itoa(i+1))
		}
		links[i] = navItem{strconv.Itoa(i + 1), to(path, values), i+1 == max(l.View.Page, 1)}
	}
	return links
}

// watched fills in what has no result, or no fresh one.
func (p *findingsPage) watched(l report.Listing, now time.Time) {
	seen := map[scan.Image]bool{}
	for _, r := range l.Reports {
		if line := render.ConfigLine(l, r); line != "" {
			p.Troubles = append(p.Troubles, cardLine{Name: r.Config.Repository, State: line})
		}
		for _, item := range r.Images {
			if seen[item.Image] {
				continue
			}
			seen[item.Image] = true
			p.Watched++
			trouble := imageTrouble(item, now)
			if item.Result.State == scan.Completed {
				p.Images++
			}
			if trouble != nil {
				p.Troubles = append(p.Troubles, cardLine{Name: render.ImageName(l, item.Image), State: trouble.State, Text: trouble.Reason})
			}
		}
	}
	if more := len(p.Troubles) - render.MaxTroubles; more > 0 {
		p.Troubles, p.MoreTroubles = p.Troubles[:render.MaxTroubles], more
	}
}

// knownSince is when each image's first scan that is remembered was completed.
func knownSince(l report.Listing) map[scan.Image]time.Time {
	known := map[scan.Image]time.Time{}
	for _, r := range l.Reports {
		for _, item := range r.Images {
			known[item.Image] = item.KnownSince
		}
	}
	return known
}

func newFindingRow(l report.Listing, e report.Entry, known map[scan.Image]time.Time, now time.Time, room int) findingRow {
	f, image := e.Finding, e.Images[0]
	name := func(s string) string { return render.OneLine(s, room) }
	row := findingRow{
		Severity: lookOf(f.Severity), Name: name(f.Name), URL: render.Advisory(f, room), About: render.OneLine(f.Description, room), Package: name(f.Package),
		Installed: name(strings.Join(f.Versions, ", ")), Fixed: name(strings.Join(f.FixedIn, ", ")), Image: name(image.Label()),
		Seen: dayOf(e.Published), Exploit: f.Exploit == "YES", State: "Open",
	}
	if row.Fixed == "" && f.FixAvailable == "YES" {
		row.Fixed = "a fix is available"
	}
	if l.Config == nil {
		row.Image = name(image.Repository.Name + ":" + image.Label())
	}
	if l.View.ByVulnerability {
		row.Image = name(render.TagList(e, room))
		if l.Config == nil {
			row.Image = name(image.Repository.Name + ": " + row.Image)
		}
	}
	since := known[*image]
	row.AtLatest = f.FirstSeen.IsZero() && !e.Published.After(since) || f.FirstSeen.IsZero() && since.IsZero()
	switch {
	case !e.Resolved.IsZero():
		row.State, row.StateClass = "Fixed "+dayOf(e.Resolved).Text, "state fixed"
	case !row.AtLatest && now.Sub(e.Published) < freshly:
		row.State, row.StateClass = "New", "state new"
	}
	return row
}
