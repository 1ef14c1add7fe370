// Package feed writes findings and changes for feed readers, as Atom and JSON Feed, and the list of all feeds as OPML. A feed always contains all
// entries of its page. If it would be too large, the texts are shortened.
//
// Packages report and history determine the entries and their dates. Package render provides the words for states, reasons and filters. Package
// httpapi serves the feeds and creates their links.
package feed

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// Links contains URLs of the API, with the host that the client uses. Each may be empty.
type Links struct {
	// Self is the URL of this page of the feed; the others are URLs of other pages.
	Self, First, Previous, Next, Last string
	// Summary is the URL of the summary page, which the feed of all configs links to.
	Summary string
	// Vulnerability returns the URL of the page with the findings of a vulnerability. nil means that there is none.
	Vulnerability func(name string) string
}

// of returns the link of an entry about a vulnerability: the advisory, or the page of the vulnerability. If the API's own URL is unknown, it is the page
// of the repository in the AWS console.
func (links Links) of(name, advisory string, repo scan.Repository) string {
	if advisory != "" {
		return advisory
	}
	if links.Vulnerability != nil {
		if url := links.Vulnerability(name); url != "" {
			return url
		}
	}
	return render.ConsoleURL(repo)
}

// feed is the content of a feed, for Atom and JSON Feed. Its texts are clean and not escaped.
type feed struct {
	id, title, subtitle string
	home                string
	links               Links
	updated             time.Time
	source              *source
	entries             []entry
}

// consoleHome is the page of ECR in the AWS console.
const consoleHome = "https://console.aws.amazon.com/ecr/"

// feedAuthor is the name of the author, which both formats require.
const feedAuthor = "ECR"

// fitFeed writes a feed with all entries, with texts as long as [render.MaxSent] allows.
func fitFeed(l report.Listing, links Links, write func(feed) ([]byte, error)) ([]byte, error) {
	return render.Fit(func(limit int) ([]byte, error) {
		f := newFeed(l, links, limit)
		if f.size() > render.MaxSent && limit > render.MinTextLimit {
			return nil, nil // too large, even before escaping
		}
		return write(f)
	}, render.TextLimits()...)
}

// size returns a lower bound of the size of the written feed, in bytes.
func (f feed) size() int {
	n := 0
	for _, e := range f.entries {
		n += len(e.title) + len(e.summary) + len(e.content)
	}
	return n
}

// newFeed returns the feed of a listing. Each text of an entry has at most limit characters.
func newFeed(l report.Listing, links Links, limit int) feed {
	f := feed{
		id: l.FeedID().URN(), title: render.ListingTitle(l), subtitle: subtitle(l), links: links, source: newSource(l, links, limit),
		home: cmp.Or(links.Summary, consoleHome),
	}
	if l.Config != nil {
		f.home = cmp.Or(render.ConsoleURL(l.Config.Repo()), f.home)
	}
	for _, r := range l.Reports {
		if created := r.Config.CreatedAt(); created.After(f.updated) {
			f.updated = created
		}
	}
	f.entries = make([]entry, 0, len(l.Entries)+len(l.Changes))
	for i := range l.Entries {
		f.entries = append(f.entries, newEntry(f.source, &l.Entries[i]))
	}
	for _, c := range l.Changes {
		f.entries = append(f.entries, newChangeEntry(f.source, c))
	}
	if len(f.entries) > 0 {
		f.updated = f.entries[0].updated
	}
	if f.updated.IsZero() { // no config has a known date: the feed is as it is now
		f.updated = l.Now
	}
	return f
}

// maxNamed is the maximum number of tags or repositories that a subtitle names. The others are only counted.
const maxNamed = 50

// subtitle names the tags or repositories of the feed, and says what the feed does not contain.
func subtitle(l report.Listing) string {
	s := "Details of the image scan findings"
	if l.IsChangeFeed {
		s = "Changes of the last 30 days in the image scan findings, and problems with scanning"
	}
	across := nameList(" across the repositories:", repositoriesOf(l.Reports))
	if l.IsOfOneRepository() {
		across = nameList(" across the tags:", tagsOf(l.Reports[0]))
	}
	if l.IsChangeFeed && across != "" {
		s += ","
	}
	s += across
	if l.Config != nil {
		s += ownerWords(*l.Config)
	}
	return s + pageRange(l) + emptyWords(l) + suppressedWords(l) + withoutResult(l) + notWatched(l) + asOf(l)
}

// ownerWords says who owns a config; empty if nobody is named.
func ownerWords(c scan.Config) string {
	if c.Owner == "" {
		return ""
	}
	return ". Owner: " + c.Owner
}

// emptyWords says why a feed has no entries if the reason can be another than that nothing was found; empty otherwise.
func emptyWords(l report.Listing) string {
	switch {
	case l.Config == nil && len(l.Reports) == 0:
		return ". " + cmp.Or(render.NoConfigWords(l.View.Filter), "There is no config")
	case l.Total > 0 || l.View.Filter.IsZero():
		return ""
	case l.IsChangeFeed:
		return ". No change matches the filter"
	}
	if images := render.CountImages(l); images > 0 {
		return fmt.Sprintf(". No finding of the %d selected images matches the filter", images)
	}
	if l.IsOfOneRepository() {
		return "" // withoutResult says it
	}
	return ". No image matches the filter"
}

// suppressedWords says how many findings are suppressed; empty if none are.
func suppressedWords(l report.Listing) string {
	n := 0
	for item := range render.DistinctImages(l) {
		n += item.AllSuppressed()
	}
	if l.IsChangeFeed || n == 0 {
		return ""
	}
	if l.View.Filter.SelectsFindings() {
		return fmt.Sprintf(". Suppressed findings of these images, in all: %d", n)
	}
	return fmt.Sprintf(". Suppressed findings: %d", n)
}

// asOf says that the results are not current, with their date and the reason; empty when they are current.
func asOf(l report.Listing) string {
	var oldest time.Time
	var reason string
	for _, r := range l.Reports {
		for _, item := range r.Images {
			if c := item.Condition(); !c.AsOf.IsZero() && (oldest.IsZero() || c.AsOf.Before(oldest)) {
				oldest, reason = c.AsOf, c.Reason
			}
		}
	}
	if oldest.IsZero() {
		return ""
	}
	return render.WithReason(fmt.Sprintf(". As of %s, because ECR can't be read at the moment", render.RFC3339(oldest)), reason)
}

// notWatched says how many images of the repositories are not watched; empty if there are none, or if it is not known. In a feed of all configs, it says
// only how many untagged images there are: another config can watch the others.
func notWatched(l report.Listing) string {
	var untagged, older, unused int
	counted := make(map[scan.Repository]bool)
	for _, r := range l.Reports {
		counted[r.Repository] = counted[r.Repository] || r.Config.Untagged
	}
	for _, r := range l.Reports {
		if repo := r.Repository; r.NotWatched != nil && !counted[repo] {
			untagged, counted[repo] = untagged+*r.NotWatched, true
		}
		if l.Config != nil {
			older, unused = older+r.Older, unused+r.Unused
		}
	}
	if words := render.NotWatchedWords(untagged, older, unused); words != "" {
		return ". " + words
	}
	return ""
}

// nameList returns the names after a lead text; empty when there are none.
func nameList(lead string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(lead)
	for _, name := range names[:min(len(names), maxNamed)] {
		fmt.Fprintf(&b, " [%s]", render.OneLine(name, render.MaxName))
	}
	if more := len(names) - maxNamed; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}

// pageRange says which part of the whole list the page contains; empty when it contains everything.
func pageRange(l report.Listing) string {
	if l.Total <= report.PageSize {
		return ""
	}
	if l.IsChangeFeed {
		first := max(0, l.View.Page-1) * report.PageSize
		return fmt.Sprintf(". Lists changes %d to %d of %d, newest first", first+1, first+len(l.Changes), l.Total)
	}
	var s string
	if l.View.Page <= 1 {
		s = fmt.Sprintf(". Lists the %d most severe of %d findings", len(l.Entries), l.Total)
	} else {
		first := (l.View.Page - 1) * report.PageSize
		s = fmt.Sprintf(". Lists findings %d to %d of %d, most severe first", first+1, first+len(l.Entries), l.Total)
	}
	if most := report.MaxPages * report.PageSize; l.Total > most {
		s += fmt.Sprintf("; only the first %d are listed", most)
	}
	return s
}

// tagsOf returns the tags of the images, or the configured tags if the images could not be read.
func tagsOf(r report.Report) []string {
	if r.Err != nil {
		return r.Config.Tags
	}
	tags := make([]string, len(r.Images))
	for i, item := range r.Images {
		tags[i] = item.Image.Label()
	}
	return tags
}

func repositoriesOf(reports []report.Report) []string {
	var names []string
	seen := make(map[string]bool, len(reports))
	for _, r := range reports {
		if name := r.Repository.Name; !seen[name] && !r.Repository.IsPattern() {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// withoutResult names the configs and images without a result, configs first, and the images whose list of findings is not complete; empty when there
// are none.
func withoutResult(l report.Listing) string {
	var lines, short []string
	for _, r := range l.Reports {
		if line := render.ConfigLine(l, r); line != "" {
			lines = append(lines, line)
		}
	}
	for item := range render.DistinctImages(l) {
		c, name := item.Condition(), render.ImageName(l, item.Image)
		if trouble := render.StateTrouble(c); trouble != nil && c.State != scan.Incomplete {
			lines = append(lines, fmt.Sprintf("[%s] %s", name, strings.TrimSuffix(trouble.Line(), ".")))
		} else if trouble != nil || item.Result.Unlisted > 0 && c.AsOf.IsZero() {
			short = append(short, fmt.Sprintf("[%s] %s", name, render.OneLine(c.Reason, render.MaxName)))
		}
	}
	return lineList(". Without a result: ", lines) + lineList(". Incomplete lists: ", short)
}

// lineList returns the first lines after a lead text, and the number of the others; empty when there are none.
func lineList(lead string, lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	s := lead + strings.Join(lines[:min(len(lines), render.MaxTroubles)], ", ")
	if more := len(lines) - render.MaxTroubles; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}
