package page

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ecr-continuous-scan/internal/figures"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// findingsPage is the data of a page of findings.
type findingsPage struct {
	About, Narrowed, Listed         string
	Feed, Changes, Console, Grouped string // URLs; Changes is the page of changes, Grouped is the same list with the other grouping
	ByVulnerability                 bool
	Filter                          filterForm
	notices
	Nothing, Why   string // why the page has no findings
	IsInAll        bool   // Suppressed counts more than the filter selects
	ShowSuppressed string // the URL of the page with the suppressed findings; empty if the page has them
	Columns        []sortColumn
	Rows           []findingRow
	Pages          []navItem
}

// sortColumn is the header of a column. Its link sorts the list by this column, or reverses the order.
type sortColumn struct {
	Text, URL, Sort string // Sort is the column's aria-sort; empty when the list isn't sorted by it
	Hint            string
}

// HasBaseline reports whether the page has a finding of the first recorded scan.
func (p findingsPage) HasBaseline() bool {
	return slices.ContainsFunc(p.Rows, func(r findingRow) bool { return r.InBaseline })
}

// findingRow is one finding.
type findingRow struct {
	Severity                  severityStyle
	Name, URL, About          string
	Package, Installed, Fixed string
	Packages, Related, Use    string
	Image                     string
	InBaseline                bool // the finding is from the first scan, so its date is the latest possible one
	IsNew                     bool
	Seen, Resolved            *stamp
	Exploit                   bool
	Suppressed                string // why and until when the finding is suppressed; empty if it is not
}

// newAge is the age up to which a finding counts as new.
const newAge = report.DefaultSince

// Findings returns a listing as a page. path is the path of the page, and params are the parameters of the request without the page number. It fails
// when the template does.
func Findings(l report.Listing, now time.Time, path string, params url.Values, to Link) ([]byte, error) {
	params = asHTML(params)
	return render.Fit(func(limit int) ([]byte, error) {
		p := newPage("All findings", to, navFindings, navItem{Text: navFindings})
		if l.Config != nil {
			p = newPage("Findings in "+l.Config.Repository, to, "", navItem{Text: l.Config.Repository})
		}
		main := newFindingsPage(l, now, path, params, to, limit)
		p.Data = dataLinks(to, path, params, "application/feed+json")
		p.Title, p.Feed, p.FeedTitle, p.Times, p.Main = pageTitle(render.ListingTitle(l)), main.Feed, render.ListingTitle(l), newTimes(l.Reports, now), main
		return p.write(findingsTemplate())
	}, 200, 100, 40)
}

func newFindingsPage(l report.Listing, now time.Time, path string, params url.Values, to Link, limit int) findingsPage {
	p := findingsPage{
		About: plural(len(figures.ByConfig(l.Reports)), "config"), Narrowed: render.FilterWords(l.View.Filter), Listed: listedWords(l),
		Feed:            to(path, without(params, "format", "sort")),
		ByVulnerability: l.View.ByVulnerability,
		Columns:         sortColumns(l.View, path, params, to), Pages: pageLinks(l, path, params, to),
	}
	if l.Config != nil {
		p.About, p.Console = aboutConfig(figures.Overall(l.Reports)), render.ConsoleURL(l.Config.Repo())
	}
	grouped := without(params, "by")
	if !p.ByVulnerability {
		grouped.Set("by", "vulnerability")
	}
	p.Grouped = to(path, grouped)
	p.Changes = to(changesPath(path), without(params, "sort", "by", "page"))
	p.Filter = newFilterForm(to, path, params, filtersOf(l), l.View.Filter)
	p.Filter.About = "Filter the findings"
	p.notices = noticesOf(l, now)
	if p.Suppressed > 0 && l.View.Filter.Suppressed == "" {
		only := without(params, "page")
		only.Set("suppressed", scan.OnlySuppressed)
		p.ShowSuppressed, p.IsInAll = to(path, only), l.View.Filter.SelectsFindings()
	}
	p.Nothing, p.Why = p.emptyWords(l)
	known := knownSince(l)
	for _, e := range l.Entries {
		p.Rows = append(p.Rows, newFindingRow(l, e, known, now, limit))
	}
	return p
}

// filtersOf returns the filters of a page with a listing.
func filtersOf(l report.Listing) []scan.FilterRow {
	if l.Config != nil {
		return configFilters(l.Config.IsPattern())
	}
	return scan.FindingsFilters()
}

// configFilters returns the filters of a page about one config. Only a pattern can have several repositories.
func configFilters(isPattern bool) []scan.FilterRow {
	filters := scan.ConfigFilters()
	if !isPattern {
		filters = slices.DeleteFunc(filters, scan.FilterRow.IsOfRepositories)
	}
	return filters
}

// changesPath returns the path of the changes that belong to the findings at a path.
func changesPath(path string) string {
	if path == "/findings/all" {
		return "/changes"
	}
	return path + "/changes"
}

func listedWords(l report.Listing) string {
	if l.Total <= report.PageSize {
		resolved := 0
		for _, e := range l.Entries {
			if !e.Resolved.IsZero() {
				resolved++
			}
		}
		words := plural(l.Total-resolved, "finding")
		if resolved > 0 {
			words += fmt.Sprintf(", %d resolved", resolved)
		}
		return words
	}
	return rangeWords("Findings", l, len(l.Entries))
}

// rangeWords says which of the entries are on the page.
func rangeWords(what string, l report.Listing, shown int) string {
	first := (max(l.View.Page, 1) - 1) * report.PageSize
	words := fmt.Sprintf("%s %d to %d of %d", what, first+1, first+shown, l.Total)
	if most := report.MaxPages * report.PageSize; l.Total > most {
		words += fmt.Sprintf("; only the first %d are listed, use the filter to see others", most)
	}
	return words
}

// sortColumns returns the headers of the table.
func sortColumns(v report.View, path string, params url.Values, to Link) []sortColumn {
	columns := []struct {
		order         report.Order
		text          string
		sort, reverse string // values of aria-sort
	}{
		{report.BySeverity, "Severity", "descending", "ascending"},
		{report.ByName, "Vulnerability", "ascending", "descending"},
		{report.ByPackage, "Package", "ascending", "descending"},
		{"", "Installed", "", ""},
		{report.ByFix, "Fixed in", "ascending", "descending"},
		{report.ByImage, "Image", "ascending", "descending"},
		{report.ByFirstSeen, "First seen", "descending", "ascending"},
	}
	headers := make([]sortColumn, len(columns))
	for i, c := range columns {
		headers[i] = sortColumn{Text: c.text}
		if c.order == "" {
			continue
		}
		values := without(params, "sort")
		values.Set("sort", string(c.order))
		if v.Order == c.order {
			headers[i].Sort, headers[i].Hint = c.sort, "▼"
			if v.Reverse {
				headers[i].Sort, headers[i].Hint = c.reverse, "▲"
			} else {
				values.Set("sort", "-"+string(c.order))
			}
		}
		headers[i].URL = to(path, values)
	}
	return headers
}

// pageLinks returns a link to each page; nil when there is only one.
func pageLinks(l report.Listing, path string, params url.Values, to Link) []navItem {
	if l.Pages() == 1 {
		return nil
	}
	links := make([]navItem, l.Pages())
	for i := range links {
		values := without(params)
		if i > 0 {
			values.Set("page", strconv.Itoa(i+1))
		}
		links[i] = navItem{Text: strconv.Itoa(i + 1), URL: to(path, values), Current: i+1 == max(l.View.Page, 1)}
	}
	return links
}

// notices are the configs and images of a listing whose results are not complete.
type notices struct {
	Troubles     []cardLine // without a current result
	MoreTroubles int
	Short        []cardLine // ECR lists fewer findings than it counts
	MoreShort    int
	Suppressed   int // the number of findings of all images that are suppressed, here or in Amazon Inspector
	selected     selection
}

func noticesOf(l report.Listing, now time.Time) notices {
	var p notices
	seen := map[scan.Image]bool{}
	for _, r := range l.Reports {
		if line := render.ConfigLine(l, r); line != "" {
			shown := cardLine{Name: r.Repository.Name + " in " + r.Repository.Region, State: line}
			if trouble := render.ConfigTrouble(r); r.Err != nil || !l.View.Filter.NarrowsImages() {
				shown.State, shown.Text = trouble.State, trouble.Reason
			}
			p.Troubles = append(p.Troubles, shown)
		}
		for _, item := range r.Images {
			if seen[item.Image] {
				continue
			}
			seen[item.Image] = true
			p.selected.images++
			if digest := (scan.Image{Repository: item.Image.Repository, Digest: item.Image.Digest}); item.HasCounts() && !seen[digest] {
				seen[digest] = true
				p.Suppressed += item.Result.Suppressed
			}
			p.Suppressed += item.Suppressed
			trouble := imageTrouble(&item, now)
			if trouble == nil {
				p.selected.current++
			}
			if c := item.Condition(); c.State == scan.Completed && item.Result.Unlisted == 0 {
				p.selected.completed++
			} else if c.Current() {
				p.Short = append(p.Short, cardLine{Name: render.ImageName(l, item.Image), Text: c.Reason})
			}
			if trouble != nil {
				p.Troubles = append(p.Troubles, cardLine{Name: render.ImageName(l, item.Image), State: trouble.State, Text: trouble.Reason})
			}
		}
	}
	if more := len(p.Troubles) - render.MaxTroubles; more > 0 {
		p.Troubles, p.MoreTroubles = p.Troubles[:render.MaxTroubles], more
	}
	if more := len(p.Short) - render.MaxTroubles; more > 0 {
		p.Short, p.MoreShort = p.Short[:render.MaxTroubles], more
	}
	return p
}

// emptyWords says why the page has no findings. It must not read as if images were free of findings when that is not known.
func (p *findingsPage) emptyWords(l report.Listing) (heading, text string) {
	s := p.selected
	complete := fmt.Sprintf("Completed scans with a complete list of findings: %d of %s.", s.completed, plural(s.images, "image"))
	switch {
	case len(l.Reports) == 0 && render.NoConfigWords(l.View.Filter) != "":
		return "Nothing matches this filter", render.NoConfigWords(l.View.Filter) + "."
	case len(l.Reports) == 0:
		return "Nothing is watched yet", "The summary page says how to add a config."
	case p.Narrowed != "" && s.images == 0:
		return "Nothing matches this filter", "No image is selected."
	case p.Narrowed != "":
		return "Nothing matches this filter", complete + s.notCurrent()
	case p.ShowSuppressed != "":
		return "No findings are listed", complete + s.notCurrent()
	case s.completed > 0 && s.completed == s.images:
		return "No findings", "The last scan of every image is completed and found nothing." + s.notCurrent()
	case s.completed > 0:
		return "No findings in completed scans", fmt.Sprintf("%d of %s have a completed scan. It found nothing.", s.completed, plural(s.images, "image")) + s.notCurrent()
	case len(p.Short) > 0:
		return "No findings are listed", "ECR counts findings that it does not list."
	}
	return "No result yet", "No image has a completed scan. The schedule starts the scans that are due. If an image can’t be scanned, the reason is shown above."
}

// knownSince returns when the baseline scan of each image was completed.
func knownSince(l report.Listing) map[scan.Image]time.Time {
	known := map[scan.Image]time.Time{}
	for _, r := range l.Reports {
		for _, item := range r.Images {
			known[item.Image] = item.KnownSince
		}
	}
	return known
}

func newFindingRow(l report.Listing, e report.Entry, known map[scan.Image]time.Time, now time.Time, limit int) findingRow {
	f, image := e.Finding, e.Images[0]
	name := func(s string) string { return render.OneLine(s, limit) }
	row := findingRow{
		Severity: styleOf(f.Severity), Name: name(f.Name), URL: render.Advisory(f.URL, limit), About: render.OneLine(f.Description, 3*limit), Package: name(f.Package),
		Packages: name(render.PackageWords(f, limit)), Related: name(strings.Join(f.Related, ", ")), Use: render.UseWords(f.InUse, f.LastInUse, timeLayout),
		Installed: name(strings.Join(f.Versions, ", ")), Fixed: name(strings.Join(f.FixedIn, ", ")), Image: name(image.Label()),
		Seen: stampOf(e.Published), Resolved: stampOf(e.Resolved), Exploit: f.Exploit == "YES",
	}
	row.Suppressed = suppressedWords(e.Suppression, 5*limit)
	row.sayOnce()
	if row.Fixed == "" && f.FixAvailable == "YES" {
		row.Fixed = "a fix is available"
	}
	if !l.IsOfOneRepository() {
		row.Image = name(image.Repository.Name + image.Separator() + image.Label())
	}
	if l.View.ByVulnerability {
		row.Image = name(render.TagList(e, limit))
		if !l.IsOfOneRepository() {
			row.Image = name(image.Repository.Name + ": " + row.Image)
		}
	}
	since := known[*image]
	row.InBaseline = f.FirstSeen.IsZero() && !e.Published.After(since) || f.FirstSeen.IsZero() && since.IsZero()
	row.IsNew = row.Resolved == nil && !row.InBaseline && now.Sub(e.Published) < newAge
	return row
}

// suppressedWords says why and until when a finding is suppressed; empty if it is not.
func suppressedWords(s *suppress.Suppression, limit int) string {
	if s == nil {
		return ""
	}
	words := "Suppressed"
	if until := s.End(); !until.IsZero() {
		words += " until " + until.UTC().Format(timeLayout)
	}
	return words + ": " + render.OneLine(s.Reason, limit)
}

// sayOnce avoids that a finding without a name shows its text twice: as its name, and as its description.
func (r *findingRow) sayOnce() {
	if r.About == r.Name {
		r.About = ""
	}
	if text := strings.TrimSuffix(r.Name, "…"); strings.Contains(text, " ") && strings.HasPrefix(r.About, text) {
		r.Name = "no name"
	}
}
