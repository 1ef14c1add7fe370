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

	"ecr-continuous-scan/internal/figures"
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
	rows               rowMaker
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
	isPattern                           bool
	Changes                             string // the URL of the page of changes
	Trouble                             *render.Trouble
	Same                                *navItem // an earlier config that watches exactly the same
	Trend                               *trendline
	Columns                             []severityStyle
	Rows, More                          []imageRow
	Omitted                             int          // the number of images that are not on the page
	images                              []*pageImage // most severe first
	days                                []figures.TrendDay
	counts                              scan.Counts // of all images, each digest once
	order                               []int       // of the counts
}

// pageImage is an image as it is counted and sorted. A page can be of 100,000 images, so only the listed ones get texts and links.
type pageImage struct {
	*report.Item
	config      *scan.Config
	label, name string      // the name starts with that of the repository, and the label too if the config is a pattern
	counts      scan.Counts // nil if they are not known
	order       []int
}

// imageKey is an image by its label, or all images with a digest.
type imageKey struct {
	scan.Repository
	label, digest string // one is empty
}

// digest returns the key of the digest. An image without a digest has a key of its own.
func (i *pageImage) digest() imageKey {
	if i.Image.Digest == "" {
		return imageKey{i.Image.Repository, i.label, ""}
	}
	return imageKey{i.Image.Repository, "", i.Image.Digest}
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
	Suppressed             *navItem // the page with the suppressed findings
	Unsuppressed           bool
	Use, Pulled            string // when the image was last used and pulled; empty when unknown
}

type countCell struct {
	severityStyle
	Count int
}

// Summary returns the overview as a page, most severe first. params are the parameters of the request. It fails when the template does.
func Summary(o report.Overview, f scan.Filter, params url.Values, to Link) ([]byte, error) {
	p := newPage("Image scan summary", to, navSummary)
	p.Feed, p.FeedTitle = to("/findings/all", nil), "Findings of all configs"
	reports := report.Narrow(o.Reports, f)
	p.Times = newTimes(reports, o.Now)
	if len(o.Reports) > 0 {
		p.Data = dataLinks(to, "/summary", params, "application/json")
	}
	main, blocks := newSummaryPage(o, reports, f, params, to)
	return render.Fit(func(limit int) ([]byte, error) {
		main.list(blocks, limit)
		p.Main = main
		return p.write(summaryTemplate())
	}, 1200, 300, 50)
}

// newSummaryPage returns the data of the page without the list of configs, and that list. reports are those that match the filter.
func newSummaryPage(o report.Overview, reports []report.Report, f scan.Filter, params url.Values, to Link) (summaryPage, []configBlock) {
	p := summaryPage{Span: spanWords(o), rows: newRowMaker(o, f, to)}
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
	blocks := p.rows.blocks(reports, scan.Duplicates(configsOf(o.Reports)))
	images := distinctImages(blocks)
	selected := newSelection(o, f)
	if len(blocks) == 0 || p.Narrowed != "" && selected.images == 0 {
		p.NoMatch = selected.words(f)
	}
	p.Intro = introWords(len(images), len(blocks))
	p.fillCards(blocks, images, selected)
	findings, filters := "/findings/all", scan.FindingsFilters()
	if len(blocks) == 1 {
		findings, filters = "/findings/"+blocks[0].ID, configFilters(blocks[0].isPattern)
	}
	p.Worst.Link = p.rows.suppressedLink(selected.suppressed, findings, narrowing(f, filters))
	p.New.Link = &navItem{Text: "What changed in the last 30 days", URL: to(changesPath(findings), asHTML(narrowing(f, filters)))}
	for _, image := range images {
		p.maxCount = max(p.maxCount, sumOf(image.counts))
	}
	for _, b := range blocks {
		p.maxDay = max(p.maxDay, mostFindings(b.days))
	}
	return p, blocks
}

func configsOf(reports []report.Report) []scan.Config {
	var configs []scan.Config
	for _, one := range figures.ByConfig(reports) {
		configs = append(configs, one[0].Config)
	}
	return configs
}

// list adds the configs to the page: the first ones with at most limit images, and twice as many of the others without their images.
func (p *summaryPage) list(blocks []configBlock, limit int) {
	blocks, others := split(blocks, openConfigs)
	p.Configs, p.MoreConfigs, p.Omitted = limitImages(blocks, limit), nil, ""
	for i := range p.Configs {
		p.Configs[i].fill(p.rows, p.maxCount, p.maxDay)
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
		case len(line.Counts) == 0 && slices.ContainsFunc(b.images, func(i *pageImage) bool { return !i.HasCounts() }):
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
	names, labels := make(map[string]bool), make(map[string]bool)
	for _, r := range reports {
		if !r.Repository.IsPattern() {
			names[r.Repository.Name] = true
		}
		for i := range min(len(r.Images), maxSuggested) {
			labels[render.OneLine(r.Images[i].Image.Tag, render.MaxName)] = true
		}
	}
	return firstOf(names), firstOf(labels)
}

func firstOf(values map[string]bool) []string {
	sorted := slices.Sorted(maps.Keys(values))
	return sorted[:min(len(sorted), maxSuggested)]
}

// rowMaker makes the configs, images and rows of a page.
type rowMaker struct {
	to         Link
	now, since time.Time
	narrow     url.Values // for the findings of each image
}

func newRowMaker(o report.Overview, f scan.Filter, to Link) rowMaker {
	narrow := narrowing(f, slices.DeleteFunc(scan.ConfigFilters(), scan.FilterRow.NarrowsImages))
	return rowMaker{to: to, now: o.Now, since: o.Since, narrow: narrow}
}

// blocks returns the configs of the reports, most severe first. duplicates are those that watch the same as another one.
func (m rowMaker) blocks(reports []report.Report, duplicates map[string]scan.Config) []configBlock {
	var blocks []configBlock
	for _, one := range figures.ByConfig(reports) {
		b := m.block(one)
		if first, ok := duplicates[b.ID]; ok {
			b.Same = &navItem{Text: cmp.Or(first.Name, first.ID), URL: m.to("/findings/"+first.ID, asHTML(nil))}
		}
		blocks = append(blocks, b)
	}
	slices.SortStableFunc(blocks, compareBlocks)
	return blocks
}

// block returns the block of a config with its reports.
func (m rowMaker) block(reports []report.Report) configBlock {
	all := figures.Overall(reports)
	c := &reports[0].Config
	b := configBlock{
		ID: c.ID, Name: c.Repository, isPattern: c.IsPattern(), About: aboutConfig(all), URL: m.to("/findings/"+c.ID, asHTML(m.narrow)), Feed: m.to("/findings/"+c.ID, m.narrow),
		Changes: m.to("/findings/"+c.ID+"/changes", asHTML(m.narrow)),
		Console: render.ConsoleURL(c.Repo()), days: figures.Trend(reports, m.now),
	}
	for i := range reports {
		r := &reports[i]
		if !c.IsPattern() || r.Repository.IsPattern() { // otherwise a repository that can't be read is one of several
			b.Trouble = render.ConfigTrouble(*r)
		} else if r.Err != nil {
			item := r.Unreadable()
			b.images = append(b.images, m.image(c, &item))
		}
		images := make([]pageImage, len(r.Images))
		for i := range images {
			images[i] = *m.image(c, &r.Images[i])
			b.images = append(b.images, &images[i])
		}
	}
	slices.SortStableFunc(b.images, compareImages)
	if c.IsPattern() {
		groupByRepository(b.images)
	}
	b.counts = totalsOf(distinctDigests(b.images))
	b.order = orderOf(b.counts, true)
	return b
}

func (m rowMaker) image(c *scan.Config, item *report.Item) *pageImage {
	i := pageImage{Item: item, config: c, label: render.OneLine(item.Image.Label(), render.MaxName), name: render.FullName(item.Image)}
	if c.IsPattern() {
		i.label = i.name
	}
	hasCounts := item.HasCounts()
	if hasCounts {
		i.counts = item.Result.Counts
	}
	i.order = orderOf(i.counts, hasCounts)
	return &i
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
	about += " · " + selectionWords(r.Config)
	if r.Config.Owner != "" {
		about += " · owner " + r.Config.Owner
	}
	if r.Artifacts > 0 {
		about += fmt.Sprintf(" · %s hidden", plural(r.Artifacts, "non-image artifact"))
	}
	untagged := 0
	if r.NotWatched != nil {
		untagged = *r.NotWatched
	}
	if words := render.NotWatchedWords(untagged, r.Older, r.Unused); words != "" {
		about += " · " + words
	}
	return about
}

// selectionWords says which images of a repository a config watches.
func selectionWords(c scan.Config) string {
	names := len(c.Names())
	var parts []string
	switch patterns := len(c.Tags) - names; {
	case len(c.Tags) == 0:
		parts = []string{"all tags"}
	case patterns == 0:
		parts = []string{plural(names, "tag")}
	case names == 0:
		parts = []string{plural(patterns, "pattern") + " of tags"}
	default:
		parts = []string{plural(names, "tag") + " and " + plural(patterns, "pattern") + " of tags"}
	}
	if c.Untagged {
		parts = append(parts, "untagged images")
	}
	if c.Newest > 0 {
		parts = append(parts, fmt.Sprintf("the newest %d", c.Newest))
	}
	if c.Used != "" {
		parts = append(parts, "used in "+strings.TrimSuffix(c.Used, "d")+" days")
	}
	return strings.Join(parts, " · ")
}

// row returns the row of an image. maxCount is the number of findings of the longest bar.
func (m rowMaker) row(i *pageImage, maxCount int) imageRow {
	values, result := m.valuesOf(i), i.Result
	row := imageRow{
		Label: i.label, Name: i.name, URL: m.urlOf(i), Feed: m.to("/findings/"+i.config.ID, values),
		Trouble: imageTrouble(i.Item, m.now), HasCounts: i.HasCounts(), Scanned: stampOf(result.CompletedAt),
		Change: changeOf(i.Item, m.since), Unsuppressed: i.Unsuppressed, Use: render.UseWords(result.InUse, result.LastInUse, timeLayout),
	}
	if !i.Image.LastPulled.IsZero() {
		row.Pulled = "last pulled " + stampOf(i.Image.LastPulled).Text
	}
	row.Suppressed = m.suppressedLink(i.AllSuppressed(), "/findings/"+i.config.ID, values)
	if row.HasCounts {
		row.Bar, row.Cells = bar(i.counts, maxCount), cellsOf(i.counts)
	}
	return row
}

// suppressedLink links to the suppressed findings, with their number. A filter of findings does not change the number. It returns nil if there are none.
func (m rowMaker) suppressedLink(n int, path string, values url.Values) *navItem {
	if n == 0 {
		return nil
	}
	text := fmt.Sprintf("%d suppressed", n)
	if len(m.narrow) > 0 {
		text += ", of all severities"
	}
	only := asHTML(values)
	only.Set("suppressed", scan.OnlySuppressed)
	return &navItem{Text: text, URL: m.to(path, only)}
}

// valuesOf returns the parameters that select the findings of an image.
func (m rowMaker) valuesOf(i *pageImage) url.Values {
	values := url.Values(scan.FilterOf(i.Image).Values())
	if i.config.IsPattern() {
		values.Set("repository", i.Image.Repository.Name)
	}
	maps.Copy(values, m.narrow)
	return values
}

// urlOf returns the URL of the page of an image's findings.
func (m rowMaker) urlOf(i *pageImage) string {
	return m.to("/findings/"+i.config.ID, asHTML(m.valuesOf(i)))
}

// isCurrent reports whether the last scan of an image is completed and not stale.
func isCurrent(item *report.Item, now time.Time) bool {
	return item.Condition().Current() && !item.Stale(now)
}

// imageTrouble returns why an image has no current result; nil only if isCurrent.
func imageTrouble(item *report.Item, now time.Time) *render.Trouble {
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

// orderOf returns the numbers by which images with such counts are sorted: those with more findings of the highest severity first, then those
// without a result, then those without findings.
func orderOf(counts scan.Counts, known bool) []int {
	severities, sum := scan.Severities(), sumOf(counts)
	order := make([]int, 1, len(severities)+2)
	switch {
	case sum > 0:
	case !known:
		order[0] = 1
	default:
		order[0] = 2
	}
	for _, s := range severities {
		order = append(order, -counts[s])
	}
	return append(order, -sum)
}

func compareImages(a, b *pageImage) int {
	return cmp.Or(slices.Compare(a.order, b.order), strings.Compare(a.name, b.name))
}

// groupByRepository puts the images of each repository together. It keeps the order of their first images, and within a repository.
func groupByRepository(images []*pageImage) {
	rank := make(map[scan.Repository]int)
	for _, i := range images {
		if _, isKnown := rank[i.Image.Repository]; !isKnown {
			rank[i.Image.Repository] = len(rank)
		}
	}
	slices.SortStableFunc(images, func(a, b *pageImage) int { return cmp.Compare(rank[a.Image.Repository], rank[b.Image.Repository]) })
}

// compareBlocks sorts by the most severe image, and then by the sum of all images.
func compareBlocks(a, b configBlock) int {
	worst := func(b configBlock) []int {
		if len(b.images) == 0 {
			return orderOf(nil, false)
		}
		return b.images[0].order
	}
	return cmp.Or(slices.Compare(worst(a), worst(b)), slices.Compare(a.order, b.order), strings.Compare(a.Name, b.Name))
}

// distinctImages returns the images of all configs, each once.
func distinctImages(blocks []configBlock) []*pageImage {
	var images []*pageImage
	seen := make(map[imageKey]bool)
	for _, b := range blocks {
		for _, image := range b.images {
			if key := (imageKey{image.Image.Repository, image.label, ""}); !seen[key] {
				seen[key] = true
				images = append(images, image)
			}
		}
	}
	return images
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

// limitImages keeps at most about limit images. It removes images from the configs with the most images, and from the end, where the least severe
// images are. Each config keeps at least one.
func limitImages(blocks []configBlock, limit int) []configBlock {
	kept := slices.Clone(blocks)
	most := sort.Search(limit+2, func(most int) bool { // the smallest number of images of a config that is too large
		sum := 0
		for _, b := range blocks {
			sum += min(len(b.images), most)
		}
		return sum > limit
	}) - 1
	for i := range kept {
		if n := len(kept[i].images) - max(most, 1); n > 0 {
			kept[i].images, kept[i].Omitted = kept[i].images[:len(kept[i].images)-n], n
		}
	}
	return kept
}

func (b *configBlock) fill(m rowMaker, maxCount, maxDay int) {
	b.Columns, b.Trend = columns(), newTrendline(b.days, maxDay)
	rows := make([]imageRow, len(b.images))
	for i, image := range b.images {
		rows[i] = m.row(image, maxCount)
	}
	b.Rows, b.More = split(rows, openImages)
}

// split returns the values to show and those to collapse. It collapses nothing if only a few values would be collapsed.
func split[T any](all []T, open int) (shown, more []T) {
	if len(all) <= open+open/5 {
		return all, nil
	}
	return all[:open], all[open:]
}

// selection is what is known of the images that a filter selects, independently of their findings.
type selection struct{ images, completed, current, suppressed int }

func newSelection(o report.Overview, f scan.Filter) selection {
	var s selection
	seen := make(map[imageKey]bool)
	for _, r := range o.Reports {
		if !f.MatchesConfig(r.Config) || !f.MatchesRepository(r.Repository) {
			continue
		}
		for i := range r.Images {
			item := &r.Images[i]
			key := imageKey{item.Image.Repository, item.Image.Label(), ""}
			if seen[key] || !f.MatchesImage(item.Image) {
				continue
			}
			seen[key] = true
			s.images++
			if digest := (imageKey{item.Image.Repository, "", item.Image.Digest}); item.HasCounts() && !seen[digest] {
				seen[digest] = true
				s.suppressed += item.AllSuppressed()
			}
			if item.HasCounts() {
				s.completed++
			}
			if isCurrent(item, o.Now) {
				s.current++
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
	words := fmt.Sprintf("No completed scan of the %s has a finding of severity %s and above.%s", plural(s.images, "selected image"), f.Severity, s.notCurrent())
	if s.suppressed > 0 {
		words += fmt.Sprintf(" Suppressed findings, of all severities: %d.", s.suppressed)
	}
	return words
}

// notCurrent says how many of the images have no current result; empty if all have one.
func (s selection) notCurrent() string {
	if s.current == s.images {
		return ""
	}
	return fmt.Sprintf(" Without a current result: %d of %s.", s.images-s.current, plural(s.images, "image"))
}

// fillCards fills the cards and the totals.
func (p *summaryPage) fillCards(blocks []configBlock, images []*pageImage, selected selection) {
	images = slices.Clone(images)
	slices.SortStableFunc(images, compareImages)
	distinct := distinctDigests(images)
	totals := totalsOf(distinct)
	p.Totals, p.TotalBar = shownCounts(totals), bar(totals, sumOf(totals))
	p.Worst = p.rows.worstCard(images, totals, selected, p.Narrowed != "")
	p.New = p.rows.newCard(images, distinct)
	p.NoResult = p.rows.noResultCard(blocks, images, p.Narrowed != "")
}

func totalsOf(images []*pageImage) scan.Counts {
	totals := scan.Counts{}
	for _, image := range images {
		totals.Add(image.counts)
	}
	return totals
}

// distinctDigests returns the first image of each digest, so that an image with several tags counts once.
func distinctDigests(images []*pageImage) []*pageImage {
	distinct, seen := make([]*pageImage, 0, len(images)), make(map[imageKey]bool, len(images))
	for _, image := range images {
		if key := image.digest(); !seen[key] {
			seen[key] = true
			distinct = append(distinct, image)
		}
	}
	return distinct
}

func (m rowMaker) worstCard(images []*pageImage, totals scan.Counts, selected selection, isFiltered bool) card {
	shown := shownCounts(totals)
	if len(shown) == 0 {
		c := card{Big: "No findings", Small: fmt.Sprintf("in %s of %s.%s", plural(selected.completed, "completed scan"), plural(selected.images, "image"), selected.notCurrent())}
		if selected.completed == 0 {
			c.Big, c.Small = "Not known yet", "No image has a completed scan."
		} else if isFiltered {
			c.Big = "No match"
		}
		return c
	}
	var c card
	severity, worst := mostSevere(totals), 0
	for _, image := range images {
		found := mostSevere(image.counts)
		if found == severity {
			worst++
		}
		if found != "" && len(c.Lines) < cardLines {
			counts := shownCounts(image.counts)
			c.Lines = append(c.Lines, cardLine{Name: image.name, URL: m.urlOf(image), Counts: counts[:min(len(counts), 3)]})
		}
	}
	c.Big, c.Small = fmt.Sprintf("%d %s", shown[0].Count, shown[0].Name), fmt.Sprintf("in %d of %s", worst, plural(len(images), "image"))
	return c
}

// mostSevere returns the most severe severity with a count; empty if there is none.
func mostSevere(counts scan.Counts) scan.Severity {
	var worst scan.Severity
	for s, n := range counts {
		if n > 0 {
			worst = scan.MoreSevere(worst, s)
		}
	}
	return worst
}

// newCard returns the card about changes. distinct has one image of each digest.
func (m rowMaker) newCard(images, distinct []*pageImage) card {
	type changedImage struct {
		*pageImage
		change
		order []int // of the new findings
	}
	var changed []changedImage
	known, added, fixed := false, 0, 0
	mostAdded := make(map[imageKey]change) // by digest
	for _, image := range images {
		c := changeOf(image.Item, m.since)
		known = known || c.Known
		if c.AddedN+c.FixedN > 0 {
			changed = append(changed, changedImage{image, c, orderOf(c.Added, true)})
		}
		if c.AddedN > mostAdded[image.digest()].AddedN {
			mostAdded[image.digest()] = c
		}
	}
	if !known {
		return card{Big: "Not known yet", Small: "New findings are shown from the second scan on."}
	}
	for _, image := range distinct {
		c, ok := mostAdded[image.digest()]
		if !ok {
			c = changeOf(image.Item, m.since)
		}
		added, fixed = added+c.AddedN, fixed+c.FixedN
	}
	c := card{Big: fmt.Sprintf("%d new", added), Small: fmt.Sprintf("%d resolved", fixed)}
	slices.SortStableFunc(changed, func(a, b changedImage) int { return slices.Compare(a.order, b.order) })
	lines := make([]cardLine, min(len(changed), maxCollapsed))
	for i, image := range changed[:len(lines)] {
		lines[i] = cardLine{Name: image.name, URL: m.urlOf(image.pageImage), Counts: shownCounts(image.Added)}
		if image.AddedN == 0 {
			lines[i].State = fmt.Sprintf("%d resolved", image.FixedN)
		}
	}
	c.setLines(lines, len(changed))
	return c
}

func (m rowMaker) noResultCard(blocks []configBlock, all []*pageImage, isFiltered bool) card {
	var lines []cardLine
	add := func(name, url string, t *render.Trouble) {
		lines = append(lines, cardLine{Name: name, URL: url, State: t.State, Text: render.OneLine(t.Reason, maxCardText)})
	}
	configs, images := 0, 0
	for _, b := range blocks {
		if b.Trouble != nil {
			configs++
			add(b.Name, "#config-"+b.ID, b.Trouble)
		}
	}
	for _, image := range all {
		if isCurrent(image.Item, m.now) {
			continue
		}
		if images++; len(lines) < maxCollapsed {
			add(image.name, m.urlOf(image), imageTrouble(image.Item, m.now))
		}
	}
	c := card{Big: "None", Small: "All images have a current result."}
	if isFiltered {
		c.Small = "All images that match the filter have a current result."
	}
	switch {
	case images > 0 && configs > 0:
		c.Big, c.Small = plural(images, "image"), fmt.Sprintf("of %d, and %s", len(all), plural(configs, "config"))
	case images > 0:
		c.Big, c.Small = plural(images, "image"), fmt.Sprintf("of %d", len(all))
	case configs > 0:
		c.Big, c.Small = plural(configs, "config"), fmt.Sprintf("of %d", len(blocks))
	}
	c.setLines(lines, configs+images)
	return c
}

// setLines sets the lines of a card with the first of its total lines. It collapses most of them, and removes those above the maximum.
func (c *card) setLines(first []cardLine, total int) {
	first = first[:min(len(first), maxCollapsed)]
	c.Hidden = total - len(first)
	c.Lines, c.More = split(first, cardLines)
}
