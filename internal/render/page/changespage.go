package page

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/figures"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// changesPage is the data of a page of changes.
type changesPage struct {
	About, Narrowed, Listed string
	Feed, Findings          string // URLs of the feed and of the findings with the same filters
	Filter                  filterForm
	OneConfig               bool // all changes are of one repository
	notices
	Days  []changeDay
	Pages []navItem
	Empty emptyWords
}

// emptyWords is the heading and the text of a page without changes.
type emptyWords struct{ Title, Text string }

// changeDay is the changes of one day (UTC), by repository.
type changeDay struct {
	Day          string
	Repositories []changeGroup
}

// changeGroup is the changes of a repository on one day.
type changeGroup struct {
	Name, About, URL string
	Rows             []changeRow
	repository       scan.Repository
}

// changeRow is one change. A change of a finding has a name, and a change of an image or a repository has a sentence.
type changeRow struct {
	At, Clock           string // RFC 3339, and the time of the day
	Kind, Class         string
	Severity            *severityStyle
	Was                 string // the severity before
	Name, URL, Advisory string
	Package, Image      string
	Text, Reason        string
	Rolled              []string // the changes of the same scan that have no row of their own
	Omitted             int      // the number of those that are not on the page
}

// Limits of the page: how many changes without a row of their own it lists, in all and in one row.
const (
	maxRolled      = 1000
	maxRolledInRow = 200
)

// Changes returns a listing of changes as a page. path is the path of the page, and params are the parameters of the request without the page number.
// It fails when the template does.
func Changes(l report.Listing, path string, params url.Values, to Link) ([]byte, error) {
	params = asHTML(params)
	return render.Fit(func(limit int) ([]byte, error) {
		p := newPage("What changed", to, navChanges, navItem{Text: navChanges})
		if l.Config != nil {
			config := navItem{Text: l.Config.Repository, URL: to("/findings/"+l.Config.ID, asHTML(nil))}
			p = newPage("What changed in "+l.Config.Repository, to, "", config, navItem{Text: navChanges})
		}
		main := newChangesPage(l, path, params, to, limit)
		p.Title, p.Feed, p.FeedTitle = pageTitle(render.ListingTitle(l)), main.Feed, render.ListingTitle(l)
		p.Times, p.Main = newTimes(l.Reports, l.Now), main
		return p.write(changesTemplate())
	}, 200, 100, 40)
}

func newChangesPage(l report.Listing, path string, params url.Values, to Link, limit int) changesPage {
	p := changesPage{
		About: plural(len(figures.ByConfig(l.Reports)), "config"), Narrowed: render.FilterWords(l.View.Filter), Listed: changesWords(l),
		Feed: to(path, without(params, "format")), Findings: to(cmp.Or(strings.TrimSuffix(path, "/changes"), "/findings/all"), params),
		Pages: pageLinks(l, path, params, to), notices: noticesOf(l, l.Now), Empty: emptyOf(l),
	}
	if l.Config != nil {
		p.About, p.OneConfig = aboutConfig(figures.Overall(l.Reports)), l.IsOfOneRepository()
	}
	p.Filter = newFilterForm(to, path, params, filtersOf(l), l.View.Filter)
	p.Filter.About = "Filter the changes"
	rows := changeRows{to: to, limit: limit, rolled: maxRolled, configs: map[scan.Repository][]scan.Config{}}
	for _, r := range l.Reports {
		rows.configs[r.Repository] = append(rows.configs[r.Repository], r.Config)
	}
	for _, c := range l.Changes {
		group := p.group(c)
		if group.URL == "" {
			group.URL = to(rows.findingsPath(c), asHTML(nil))
		}
		group.Rows = append(group.Rows, rows.row(c))
	}
	return p
}

func changesWords(l report.Listing) string {
	if l.Total <= report.PageSize {
		return plural(l.Total, "change") + " in the last 30 days"
	}
	return rangeWords("Changes", l, len(l.Changes))
}

// group returns the group of a change. Changes are grouped in their order, newest first.
func (p *changesPage) group(c history.Change) *changeGroup {
	day := c.At.UTC().Format(time.DateOnly)
	if n := len(p.Days); n == 0 || p.Days[n-1].Day != day {
		p.Days = append(p.Days, changeDay{Day: day})
	}
	groups := &p.Days[len(p.Days)-1].Repositories
	at := slices.IndexFunc(*groups, func(g changeGroup) bool { return g.repository == c.Repository })
	if at < 0 {
		at = len(*groups)
		group := changeGroup{repository: c.Repository, Name: c.Repository.Name, About: c.Repository.Region + " · " + c.Repository.Registry}
		if c.Suppression != nil {
			group.Name, group.About = "Suppressions", ""
		}
		*groups = append(*groups, group)
	}
	return &(*groups)[at]
}

// emptyOf says why a listing has no changes. It never says that nothing changed if there was nothing to compare.
func emptyOf(l report.Listing) emptyWords {
	images, compared := 0, 0
	for item := range render.DistinctImages(l) {
		if item.Image.Kind != scan.PlainImage {
			continue
		}
		images++
		if !item.KnownSince.IsZero() && item.CurrentAt().After(item.KnownSince) {
			compared++
		}
	}
	known := fmt.Sprintf("%d of %s had a second scan, which the service could compare with the first.", compared, plural(images, "image"))
	switch {
	case len(l.Reports) == 0 && render.NoConfigWords(l.View.Filter) != "":
		return emptyWords{"Nothing matches this filter", render.NoConfigWords(l.View.Filter) + "."}
	case len(l.Reports) == 0:
		return emptyWords{"Nothing is watched yet", "There is no scan config. The summary says how to add one."}
	case !l.View.Filter.IsZero() && images == 0:
		return emptyWords{"Nothing matches this filter", "No image is selected."}
	case !l.View.Filter.IsZero():
		return emptyWords{"Nothing matches this filter", "No change of the last 30 days matches. " + known}
	case compared == 0:
		return emptyWords{"Nothing to compare yet", "No image had a second scan yet. The first recorded scan of an image is its baseline, and later scans are compared with it."}
	}
	return emptyWords{"No change in the last 30 days", known}
}

// changeRows makes the rows of a page.
type changeRows struct {
	to      Link
	limit   int // of each text, in characters
	rolled  int // the number of changes that can still be listed without a row of their own
	configs map[scan.Repository][]scan.Config
}

func (r *changeRows) name(s string) string { return render.OneLine(s, r.limit) }

// row returns the row of a change.
func (r *changeRows) row(c history.Change) changeRow {
	row := changeRow{
		At: render.RFC3339(c.At), Clock: c.At.UTC().Format("15:04"), Advisory: render.Advisory(c.Finding.URL, r.limit), Reason: render.OneLine(c.Reason, 5*r.limit),
	}
	if c.Image != nil {
		row.Image = r.name(c.Image.Label())
	}
	switch {
	case len(c.RolledUp) > 0:
		row.Kind, row.Text = "More", rolledWords(c)
		if c.Suppression != nil {
			row.Kind, row.Reason, row.Text = kindWord(c), "", plural(len(c.RolledUp), "more suppression")
		}
		n := min(len(c.RolledUp), maxRolledInRow, r.rolled)
		r.rolled -= n
		for _, one := range c.RolledUp[:n] {
			row.Rolled = append(row.Rolled, r.rolledLine(one))
		}
		row.Omitted = len(c.RolledUp) - n
	case c.Finding.Name != "":
		row.Kind, row.Class, row.Name, row.URL = kindWord(c), kindClass(c.Kind), r.name(c.Finding.Name), r.findingURL(c)
		severity := severityAfter(c)
		row.Severity, row.Package = &severity, r.name(strings.Join(append([]string{c.Finding.Package}, c.Finding.Versions...), " "))
		if (c.Kind == history.Raised || c.Kind == history.Lowered) && c.From != "" {
			row.Was = styleOf(c.From).Name
		}
		if len(c.Finding.FixedIn) > 0 && c.Kind != history.Fixed {
			row.Text = "fixed in " + r.name(strings.Join(c.Finding.FixedIn, ", "))
		}
	default:
		words := render.WordsOfChange(c)
		row.Kind, row.Class, row.Text = kindWord(c), kindClass(c.Kind), words.Advice
		if c.Suppression != nil {
			sentence := fmt.Sprintf(words.Sentence, r.name(c.Suppression.What))
			row.Text = strings.ToUpper(sentence[:1]) + sentence[1:] + "."
			if c.Kind != history.SuppressionAdded { // a page can have many of them, one below the other
				row.Text += " " + words.Advice
			}
		}
	}
	return row
}

// rolledLine returns the line of a change that has no row of its own.
func (r *changeRows) rolledLine(c history.Change) string {
	if c.Suppression != nil {
		return r.name(c.Suppression.What) + ": " + r.name(c.Reason)
	}
	words := []string{kindWord(c), severityAfter(c).Name, r.name(c.Finding.Name), r.name(c.Finding.Package)}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// severityAfter returns the severity after a change, or the one before if the finding is resolved.
func severityAfter(c history.Change) severityStyle { return styleOf(cmp.Or(c.To, c.From)) }

// kindWord returns the name of a change. It follows the words of pages: a token such as FIXED or TAG GONE is only for the formats.
func kindWord(c history.Change) string {
	if c.Kind == history.Fixed {
		return "Resolved"
	}
	token := string(c.Kind)
	if c.Finding.Name == "" {
		token = render.WordsOfChange(c).Name
	}
	words := strings.ToLower(render.OneLine(token, 50))
	if words == "" {
		return "Changed"
	}
	return strings.ReplaceAll(strings.ToUpper(words[:1])+words[1:], " gone", " missing")
}

func kindClass(kind history.EventKind) string {
	switch kind {
	case history.New, history.Raised:
		return "worse"
	case history.Fixed, history.Lowered, history.FixAvailable:
		return "better"
	}
	return ""
}

// rolledWords counts the changes of each kind.
func rolledWords(c history.Change) string {
	counts := map[string]int{}
	for _, one := range c.RolledUp {
		counts[strings.ToLower(kindWord(one))]++
	}
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%d %s", counts[kind], kind))
	}
	return plural(len(c.RolledUp), "more change") + " of this scan: " + strings.Join(words, ", ")
}

// findingsPath returns the path of the findings of a config that watches the changed image, or of all configs if it is not certain that one does.
func (r *changeRows) findingsPath(c history.Change) string {
	configs := r.configs[c.Repository]
	for _, config := range configs {
		isCertain := len(configs) == 1 || config.Newest == 0 && config.Used == ""
		if c.Image == nil || isCertain && config.MatchesTag(c.Image.Tag) {
			return "/findings/" + config.ID
		}
	}
	return "/findings/all"
}

// findingURL returns the URL of the page with the findings of a vulnerability in an image. It is empty if its name is no valid filter.
func (r *changeRows) findingURL(c history.Change) string {
	values := asHTML(nil)
	set := func(name, value string) bool {
		_, err := scan.ParseFilter(url.Values{name: {value}})
		if err == nil {
			values.Set(name, value)
		}
		return err == nil
	}
	if !set("cve", c.Finding.Name) {
		return ""
	}
	if !set("tag", c.Image.Tag) {
		set("digest", c.Image.Tag) // stands for the tag of an image without one
	}
	if c.Image.Platform != "" {
		set("platform", c.Image.Platform)
	}
	return r.to(r.findingsPath(c), values)
}
