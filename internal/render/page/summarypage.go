package page

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// Limits of the page.
const (
	cardLines    = 3  // of a card, before the collapsed ones
	openImages   = 25 // of a config, before the collapsed ones
	openConfigs  = 50 // with their images; the others are one line each
	maxCollapsed = 300
	maxSuggested = 1000
	maxCardText  = 100 // characters of a reason; the image's row has the whole reason
)

// summaryPage is the data of the summary page.
type summaryPage struct {
	Curl, Export       string // commands that add the first config; empty if there are configs
	Intro, Span        string
	Narrowed, Omitted  string
	Text               string // the URL of the summary as text
	Worst, New         card
	NoResult           card
	Totals             []shownCount
	TotalBar           []segment
	Filter             filterForm
	Repositories, Tags []string
	Configs            []configBlock
	MoreConfigs        []cardLine
	NoMatch            string // what is known if nothing matches the filter
	maxCount, maxDay   int    // the number of findings of the longest bar and of the highest day of a trend
}

// card is a short statement with the list of the images or configs that it is about.
type card struct {
	Big, Small  string
	Lines, More []cardLine
	Hidden      int // the number of lines that are not on the page
	Link        *navItem
}

// Rest returns the number of lines that are collapsed or not on the page.
func (c card) Rest() int { return len(c.More) + c.Hidden }

type cardLine struct {
	Name, URL, State, Text string
	Counts                 []shownCount
}

// configBlock is a config with its images.
type configBlock struct {
	ID, Name, About, URL, Feed, Console string
	Changes                             string // the URL of the page of changes
	Trouble                             *render.Trouble
	Same                                *navItem // an earlier config that watches exactly the same
	Trend                               *trendline
	Columns                             []severityStyle
	Rows, More                          []imageRow
	Omitted                             int // the number of images that are not on the page
	rows                                []imageRow
	days                                []report.TrendDay
	repository                          scan.Repository
	counts                              scan.Counts // of all images, each digest once
}

// imageRow is an image with its counts, or why it has none.
type imageRow struct {
	Label, Name, URL, Feed string
	Trouble                *render.Trouble
	HasCounts              bool
	Cells                  []countCell
	Bar                    []segment
	Change                 change
	Scanned                *stamp
	Suppressed             int
	Use, Pulled            string // when the image was last used and pulled; empty when unknown
	counts                 scan.Counts
	digest                 string // with the repository
}

type countCell struct {
	severityStyle
	Count int
}

// Summary returns the overview as a page, most severe first. params are the parameters of the request. It fails when the template does.
func Summary(o report.Overview, f scan.Filter, params url.Values, to Link) ([]byte, error) {
	p := newPage("Image scan summary", to, navSummary)
	p.Feed, p.FeedTitle = to("/findings/all", nil), "Findings of all configs"
	p.Times = newTimes(report.Narrow(o.Reports, f), o.Now)
	if len(o.Reports) > 0 {
		p.Data = dataLinks(to, "/summary", params, "application/json")
	}
	main, blocks := newSummaryPage(o, f, params, to)
	return render.Fit(func(limit int) ([]byte, error) {
		main.list(blocks, limit)
		p.Main = main
		return p.write(summaryTemplate())
	}, 1200, 300, 50)
}

// newSummaryPage returns the data of the page without the list of configs, and that list.
func newSummaryPage(o report.Overview, f scan.Filter, params url.Values, to Link) (summaryPage, []configBlock) {
	p := summaryPage{Span: spanWords(o)}
	if len(o.Reports) == 0 {
		p.Curl, p.Export = addCommand(to)
		return p, nil
	}
	p.Narrowed = render.FilterWords(f)
	asText := without(asHTML(params))
	asText.Set("format", "text")
	p.Text = to("/summary", asText)
	p.Filter = newFilterForm(to, "/summary", asHTML(params), scan.SummaryFilters(), f)
	p.Filter.About = "Filter the summary"
	p.Filter.suggest("repository", "repositories")
	p.Filter.suggest("tag", "tags")
	p.Repositories, p.Tags = suggestions(o.Reports)
	reports := report.Narrow(o.Reports, f)
	blocks, duplicates := make([]configBlock, len(reports)), scan.Duplicates(configsOf(o.Reports))
	for i, r := range reports {
		blocks[i] = newConfigBlock(r, o, f, to)
		if first, ok := duplicates[r.Config.ID]; ok {
			blocks[i].Same = &navItem{Text: cmp.Or(first.Name, first.ID), URL: to("/findings/"+first.ID, asHTML(nil))}
		}
	}
	slices.SortStableFunc(blocks, compareBlocks)
	rows := distinctRows(blocks)
	selected := newSelection(o, f)
	if len(blocks) == 0 || p.Narrowed != "" && selected.images == 0 {
		p.NoMatch = selected.words(f)
	}
	p.Intro = introWords(len(rows), len(blocks))
	p.fillCards(blocks, rows, selected)
	changes, filters := "/changes", scan.FindingsFilters()
	if len(blocks) == 1 {
		changes, filters = "/findings/"+blocks[0].ID+"/changes", scan.ConfigFilters()
	}
	p.New.Link = &navItem{Text: "What changed in the last 30 days", URL: to(changes, asHTML(narrowing(f, filters)))}
	for _, row := range rows {
		p.maxCount = max(p.maxCount, sumOf(row.counts))
	}
	for _, b := range blocks {
		p.maxDay = max(p.maxDay, mostFindings(b.days))
	}
	return p, blocks
}

func configsOf(reports []report.Report) []scan.Config {
	configs := make([]scan.Config, len(reports))
	for i, r := range reports {
		configs[i] = r.Config
	}
	return configs
}

// list adds the configs to the page: the first ones with at most limit images, and twice as many of the others without their images.
func (p *summaryPage) list(blocks []configBlock, limit int) {
	blocks, others := split(blocks, openConfigs)
	p.Configs, p.MoreConfigs, p.Omitted = limitRows(blocks, limit), nil, ""
	for i := range p.Configs {
		p.Configs[i].fill(p.maxCount, p.maxDay)
	}
	if n := len(others) - 2*limit; n > 0 {
		others = others[:2*limit]
		p.Omitted = plural(n, "more config") + " not on this page. Use the filter, or open the summary"
	}
	for _, b := range others {
		line := cardLine{Name: b.Name, URL: b.URL, Counts: shownCounts(b.counts)}
		switch {
		case b.Trouble != nil:
			line.State, line.Text = b.Trouble.State, render.OneLine(b.Trouble.Reason, maxCardText)
		case len(line.Counts) == 0 && slices.ContainsFunc(b.rows, func(row imageRow) bool { return !row.HasCounts }):
			line.State = "No complete result"
		case len(line.Counts) == 0:
			line.State = "No findings"
		}
		p.MoreConfigs = append(p.MoreConfigs, line)
	}
}

func spanWords(o report.Overview) string {
	if o.Now.Sub(o.Since) == report.DefaultSince {
		return "in the last 24 hours"
	}
	return "since " + o.Since.UTC().Format("2006-01-02 15:04")
}

func introWords(images, configs int) string {
	return plural(images, "image") + " of " + plural(configs, "config") + ", most severe first."
}

// plural returns a number with a noun, such as "1 image" or "2 images".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// addCommand returns the command that adds the first config, and the one that sets its variable. It gets the URL of a deployed API from make, because
// that URL contains a key that must not be on a page.
func addCommand(to Link) (curl, export string) {
	base, _, _ := strings.Cut(to("", nil), "?")
	export = "export ECRSCANAPI_URL=" + base
	if strings.HasPrefix(base, "https:") {
		export = "export ECRSCANAPI_URL=$(make -s url)"
	}
	return `curl -s --header "Content-Type: application/json" --request POST --data ` +
		`'{"region":"us-west-2","registry":"123456789012","repository":"test/ubuntu"}' $ECRSCANAPI_URL/configs/`, export
}

// suggestions returns the repositories and tags that the filter form suggests.
func suggestions(reports []report.Report) (repositories, tags []string) {
	for _, r := range reports {
		repositories = append(repositories, r.Config.Repository)
		for _, item := range r.Images[:min(len(r.Images), maxSuggested)] {
			tags = append(tags, render.OneLine(item.Image.Tag, render.MaxName))
		}
	}
	return firstDistinct(repositories), firstDistinct(tags)
}

func firstDistinct(values []string) []string {
	slices.Sort(values)
	values = slices.Compact(values)
	return values[:min(len(values), maxSuggested)]
}

func newConfigBlock(r report.Report, o report.Overview, f scan.Filter, to Link) configBlock {
	c := r.Config
	narrow := narrowing(f, slices.DeleteFunc(scan.ConfigFilters(), scan.FilterRow.NarrowsImages)) // for the findings of each image
	b := configBlock{
		ID: c.ID, Name: c.Repository, About: aboutConfig(r), URL: to("/findings/"+c.ID, asHTML(narrow)), Feed: to("/findings/"+c.ID, narrow),
		Changes:    to("/findings/"+c.ID+"/changes", asHTML(narrow)),
		repository: c.Repo(), Console: render.ConsoleURL(c.Repo()), Trouble: render.ConfigTrouble(r), days: report.Trend(r, o.Now),
	}
	for _, item := range r.Images {
		b.rows = append(b.rows, newImageRow(b, item, o, narrow, to))
	}
	slices.SortStableFunc(b.rows, compareRows)
	b.counts = totalsOf(b.rows)
	return b
}

// narrowing returns the values of a filter for a list of findings or changes that has the filters in rows.
func narrowing(f scan.Filter, rows []scan.FilterRow) url.Values {
	values := url.Values{}
	for _, row := range rows {
		if given := row.Values(f); len(given) > 0 {
			values[row.Name] = given
		}
	}
	return values
}

func aboutConfig(r report.Report) string {
	about := r.Config.Region + " · " + r.Config.Registry
	if r.Config.Name != "" {
		about = r.Config.Name + " · " + about
	}
	if len(r.Config.Tags) == 0 {
		about += " · all tags"
	} else {
		about += " · " + plural(len(r.Config.Tags), "tag")
	}
	if r.Config.Owner != "" {
		about += " · owner " + r.Config.Owner
	}
	if r.Artifacts > 0 {
		about += fmt.Sprintf(" · %s hidden", plural(r.Artifacts, "non-image artifact"))
	}
	if r.NotWatched != nil && *r.NotWatched > 0 {
		about += " · " + render.NotWatchedWords(*r.NotWatched)
	}
	return about
}

func newImageRow(b configBlock, item report.Item, o report.Overview, narrow url.Values, to Link) imageRow {
	image, result := item.Image, item.Result
	values := url.Values(scan.FilterOf(image).Values())
	maps.Copy(values, narrow)
	label := render.OneLine(image.Label(), render.MaxName)
	row := imageRow{
		Label: label, Name: b.Name + image.Separator() + label, URL: to("/findings/"+b.ID, asHTML(values)), Feed: to("/findings/"+b.ID, values),
		Trouble: imageTrouble(item, o.Now), HasCounts: item.HasCounts(), Scanned: stampOf(result.CompletedAt),
		Change: changeOf(item, o.Since), Suppressed: result.Suppressed, Use: render.UseWords(result.InUse, result.LastInUse, timeLayout),
	}
	if !image.LastPulled.IsZero() {
		row.Pulled = "last pulled " + stampOf(image.LastPulled).Text
	}
	if row.HasCounts {
		row.counts = result.Counts
	}
	if image.Digest != "" {
		row.digest = fmt.Sprint(b.repository, image.Digest)
	}
	return row
}

// imageTrouble returns why an image has no current result; nil only if its last scan is completed and not stale.
func imageTrouble(item report.Item, now time.Time) *render.Trouble {
	c := item.Condition()
	switch {
	case c.State != scan.Completed:
		return render.StateTrouble(c)
	case !c.AsOf.IsZero():
		return &render.Trouble{State: "Outdated", Reason: render.WithReason("as of "+stampOf(c.AsOf).Text, c.Reason)}
	case item.Stale(now) && item.CurrentAt().IsZero():
		return &render.Trouble{State: "Stale", Reason: "scanned at an unknown time"}
	case item.Stale(now) && item.Result.Continuous:
		return &render.Trouble{State: "Stale", Reason: "last read " + stampOf(item.CurrentAt()).Text}
	case item.Stale(now):
		return &render.Trouble{State: "Stale", Reason: "last scanned " + stampOf(item.CurrentAt()).Text}
	}
	return nil
}

// rank sorts images with findings first, then those without a result, then those without findings.
func rank(counts scan.Counts, known bool) int {
	switch {
	case sumOf(counts) > 0:
		return 0
	case !known:
		return 1
	}
	return 2
}

func compareRows(a, b imageRow) int {
	return cmp.Or(cmp.Compare(rank(a.counts, a.HasCounts), rank(b.counts, b.HasCounts)), compareCounts(a.counts, b.counts), strings.Compare(a.Name, b.Name))
}

// compareBlocks sorts by the most severe image, and then by the sum of all images.
func compareBlocks(a, b configBlock) int {
	worst := func(b configBlock) (scan.Counts, int) {
		if len(b.rows) == 0 {
			return nil, rank(nil, false)
		}
		return b.rows[0].counts, rank(b.rows[0].counts, b.rows[0].HasCounts)
	}
	x, xRank := worst(a)
	y, yRank := worst(b)
	return cmp.Or(cmp.Compare(xRank, yRank), compareCounts(x, y), compareCounts(a.counts, b.counts), strings.Compare(a.Name, b.Name))
}

// compareCounts sorts first the counts with more findings of the highest severity.
func compareCounts(a, b scan.Counts) int {
	for _, s := range scan.Severities() {
		if a[s] != b[s] {
			return cmp.Compare(b[s], a[s])
		}
	}
	return cmp.Compare(sumOf(b), sumOf(a))
}

// distinctRows returns the images of all configs, each once.
func distinctRows(blocks []configBlock) []imageRow {
	var rows []imageRow
	type key struct {
		repository scan.Repository
		label      string
	}
	seen := map[key]bool{}
	for _, b := range blocks {
		for _, row := range b.rows {
			if key := (key{b.repository, row.Label}); !seen[key] {
				seen[key] = true
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// columns returns the columns of the common severities, and one for all others, so that each config has the same columns with every filter.
func columns() []severityStyle {
	var all []severityStyle
	for _, s := range commonSeverities() {
		all = append(all, styleOf(s))
	}
	return append(all, severityStyle{"Other", "other"})
}

func commonSeverities() []scan.Severity {
	return []scan.Severity{scan.Critical, scan.High, scan.Medium, scan.Low}
}

func cellsOf(counts scan.Counts) []countCell {
	others := sumOf(counts)
	var cells []countCell
	for i, column := range columns() {
		n := others
		if i < len(commonSeverities()) {
			n = counts[commonSeverities()[i]]
			others -= n
		}
		cells = append(cells, countCell{column, n})
	}
	return cells
}

// limitRows keeps at most about limit images. It removes images from the configs with the most images, and from the end, where the least severe
// images are. Each config keeps at least one.
func limitRows(blocks []configBlock, limit int) []configBlock {
	kept := slices.Clone(blocks)
	most := sort.Search(limit+2, func(most int) bool { // the smallest number of images of a config that is too large
		sum := 0
		for _, b := range blocks {
			sum += min(len(b.rows), most)
		}
		return sum > limit
	}) - 1
	for i := range kept {
		if n := len(kept[i].rows) - max(most, 1); n > 0 {
			kept[i].rows, kept[i].Omitted = kept[i].rows[:len(kept[i].rows)-n], n
		}
	}
	return kept
}

func (b *configBlock) fill(maxCount, maxDay int) {
	b.Columns, b.Trend = columns(), newTrendline(b.days, maxDay)
	for i := range b.rows {
		if row := &b.rows[i]; row.HasCounts {
			row.Bar, row.Cells = bar(row.counts, maxCount), cellsOf(row.counts)
		}
	}
	b.Rows, b.More = split(b.rows, openImages)
}

// split returns the values to show and those to collapse. It collapses nothing if only a few values would be collapsed.
func split[T any](all []T, open int) (shown, more []T) {
	if len(all) <= open+open/5 {
		return all, nil
	}
	return all[:open], all[open:]
}

// selection is what is known of the images that a filter selects, independently of their findings.
type selection struct{ images, completed, current int }

func newSelection(o report.Overview, f scan.Filter) selection {
	f.Severity = ""
	var s selection
	seen := map[scan.Image]bool{}
	for _, r := range report.Narrow(o.Reports, f) {
		for _, item := range r.Images {
			if key := (scan.Image{Repository: item.Image.Repository, Tag: item.Image.Tag, Platform: item.Image.Platform}); !seen[key] {
				seen[key] = true
				s.images++
				if item.HasCounts() {
					s.completed++
				}
				if imageTrouble(item, o.Now) == nil {
					s.current++
				}
			}
		}
	}
	return s
}

// words says what is known if nothing matches the filter. It must not read as if images were free of findings when that is not known.
func (s selection) words(f scan.Filter) string {
	if s.images == 0 {
		return "No watched image has this repository, owner, tag, platform or digest."
	}
	return fmt.Sprintf("No completed scan of the %s has a finding of severity %s and above.%s", plural(s.images, "selected image"), f.Severity, s.notCurrent())
}

// notCurrent says how many of the images have no current result; empty if all have one.
func (s selection) notCurrent() string {
	if s.current == s.images {
		return ""
	}
	return fmt.Sprintf(" Without a current result: %d of %s.", s.images-s.current, plural(s.images, "image"))
}

// fillCards fills the cards and the totals.
func (p *summaryPage) fillCards(blocks []configBlock, rows []imageRow, selected selection) {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, compareRows)
	totals := totalsOf(rows)
	p.Totals, p.TotalBar = shownCounts(totals), bar(totals, sumOf(totals))
	p.Worst = worstCard(rows, p.Totals, selected, p.Narrowed != "")
	p.New = newCard(rows)
	p.NoResult = noResultCard(blocks, rows, p.Narrowed != "")
}

// totalsOf returns the sums of the counts of images. A digest with several tags counts once.
func totalsOf(rows []imageRow) scan.Counts {
	totals := scan.Counts{}
	for _, row := range distinctDigests(rows, compareRows) {
		totals.Add(row.counts)
	}
	return totals
}

// distinctDigests returns one row of each digest, the first in an order, so that an image with several tags counts once.
func distinctDigests(rows []imageRow, order func(a, b imageRow) int) []imageRow {
	var distinct []imageRow
	seen := map[string]bool{}
	for _, row := range slices.SortedStableFunc(slices.Values(rows), order) {
		if !seen[row.digest] || row.digest == "" {
			seen[row.digest] = true
			distinct = append(distinct, row)
		}
	}
	return distinct
}

func worstCard(rows []imageRow, totals []shownCount, selected selection, isFiltered bool) card {
	if len(totals) == 0 {
		c := card{Big: "No findings", Small: fmt.Sprintf("in %s of %s.%s", plural(selected.completed, "completed scan"), plural(selected.images, "image"), selected.notCurrent())}
		if selected.completed == 0 {
			c.Big, c.Small = "Not known yet", "No image has a completed scan."
		} else if isFiltered {
			c.Big = "No match"
		}
		return c
	}
	var c card
	images := 0
	for _, row := range rows {
		counts := shownCounts(row.counts)
		if len(counts) > 0 && counts[0].Name == totals[0].Name {
			images++
		}
		if len(counts) > 0 && len(c.Lines) < cardLines {
			c.Lines = append(c.Lines, cardLine{Name: row.Name, URL: row.URL, Counts: counts[:min(len(counts), 3)]})
		}
	}
	c.Big, c.Small = fmt.Sprintf("%d %s", totals[0].Count, totals[0].Name), fmt.Sprintf("in %d of %s", images, plural(len(rows), "image"))
	return c
}

func newCard(rows []imageRow) card {
	var changed []imageRow
	known, added, fixed := false, 0, 0
	mostAdded := func(a, b imageRow) int { return cmp.Compare(b.Change.AddedN, a.Change.AddedN) }
	for _, row := range distinctDigests(rows, mostAdded) {
		added, fixed = added+row.Change.AddedN, fixed+row.Change.FixedN
	}
	for _, row := range rows {
		known = known || row.Change.Known
		if row.Change.AddedN+row.Change.FixedN > 0 {
			changed = append(changed, row)
		}
	}
	if !known {
		return card{Big: "Not known yet", Small: "New findings are shown from the second scan on."}
	}
	c := card{Big: fmt.Sprintf("%d new", added), Small: fmt.Sprintf("%d resolved", fixed)}
	slices.SortStableFunc(changed, func(a, b imageRow) int { return compareCounts(a.Change.Added, b.Change.Added) })
	lines := make([]cardLine, len(changed))
	for i, row := range changed {
		lines[i] = cardLine{Name: row.Name, URL: row.URL, Counts: shownCounts(row.Change.Added)}
		if row.Change.AddedN == 0 {
			lines[i].State = fmt.Sprintf("%d resolved", row.Change.FixedN)
		}
	}
	c.setLines(lines)
	return c
}

func noResultCard(blocks []configBlock, rows []imageRow, isFiltered bool) card {
	var lines []cardLine
	configs := 0
	for _, b := range blocks {
		if b.Trouble != nil {
			configs++
			lines = append(lines, cardLine{Name: b.Name, URL: "#config-" + b.ID, State: b.Trouble.State, Text: render.OneLine(b.Trouble.Reason, maxCardText)})
		}
	}
	images := 0
	for _, row := range rows {
		if row.Trouble != nil {
			images++
			lines = append(lines, cardLine{Name: row.Name, URL: row.URL, State: row.Trouble.State, Text: render.OneLine(row.Trouble.Reason, maxCardText)})
		}
	}
	c := card{Big: "None", Small: "All images have a current result."}
	if isFiltered {
		c.Small = "All images that match the filter have a current result."
	}
	switch {
	case images > 0 && configs > 0:
		c.Big, c.Small = plural(images, "image"), fmt.Sprintf("of %d, and %s", len(rows), plural(configs, "config"))
	case images > 0:
		c.Big, c.Small = plural(images, "image"), fmt.Sprintf("of %d", len(rows))
	case configs > 0:
		c.Big, c.Small = plural(configs, "config"), fmt.Sprintf("of %d", len(blocks))
	}
	c.setLines(lines)
	return c
}

// setLines sets the lines of a card. It collapses most of them, and removes those above the maximum.
func (c *card) setLines(lines []cardLine) {
	if len(lines) > maxCollapsed {
		c.Hidden, lines = len(lines)-maxCollapsed, lines[:maxCollapsed]
	}
	c.Lines, c.More = split(lines, cardLines)
}
