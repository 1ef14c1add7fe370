// Package feed writes lists of findings and of changes for feed readers: as Atom, as JSON Feed, and the list of all feeds as OPML. A feed has all
// entries of its page, with texts as long as an answer has room for.
//
// Which entries there are, and when one is new, is the business of packages report and history. The words for states, reasons and filters come
// from package render. Package httpapi serves the feeds and makes their links.
package feed

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// Links are URLs of the API as the client knows them; each may be empty.
type Links struct {
	// Self is the page itself; the others are the pages around it.
	Self, First, Previous, Next, Last string
	// Summary is what a browser is led to from the feed of all configs.
	Summary string
}

// feed is what both formats say, each in its way. Its texts are clean, and not escaped.
type feed struct {
	id, title, subtitle string
	home                string
	links               Links
	updated             time.Time
	entries             []entry
}

// feedAuthor is who writes the feed.
const feedAuthor = "ECR"

// fitFeed writes the feed with as much text as fits: its entries are all there, whatever they hold.
func fitFeed(l report.Listing, links Links, write func(feed) ([]byte, error)) ([]byte, error) {
	return render.Fit(func(room int) ([]byte, error) {
		f := newFeed(l, links, room)
		if f.size() > render.MaxSent && room > render.LeastRoom {
			return nil, nil // don't even write it
		}
		return write(f)
	}, render.ListingRooms()...)
}

// size is less than the feed will have in bytes.
func (f feed) size() int {
	n := 0
	for _, e := range f.entries {
		n += len(e.title) + len(e.summary) + len(e.content)
	}
	return n
}

// newFeed makes the feed of a listing; each text of an entry has room for so many characters.
func newFeed(l report.Listing, links Links, room int) feed {
	f := feed{
		id: l.FeedID().URN(), title: render.ListingTitle(l), subtitle: subtitle(l), links: links,
		home: cmp.Or(links.Summary, "https://console.aws.amazon.com/ecr/"),
	}
	if l.Config != nil {
		f.home = render.ConsoleURL(l.Config.Repo())
	}
	for _, r := range l.Reports {
		if created := r.Config.CreatedAt(); created.After(f.updated) {
			f.updated = created
		}
	}
	for i, e := range l.Entries {
		if i == 0 {
			f.updated = e.Updated
		}
		f.entries = append(f.entries, newEntry(l, e, room))
	}
	for i, c := range l.Changes {
		if i == 0 {
			f.updated = c.At
		}
		f.entries = append(f.entries, newChangeEntry(c, room))
	}
	return f
}

// maxNamed is how many tags or repositories a subtitle names before it counts the rest.
const maxNamed = 50

// subtitle names what was looked at, and says everything that the feed does not show.
func subtitle(l report.Listing) string {
	s := "Details of the image scan findings"
	if l.News {
		s = "What changed in the last 30 days in the image scan findings, and in the watch itself,"
	}
	if l.Config != nil {
		s += named(" across the tags:", tagsOf(l.Reports[0]))
	} else {
		s += named(" across the repositories:", repositoriesOf(l.Reports))
	}
	return s + leftOut(l) + withoutResult(l) + asOf(l)
}

// asOf says that what is listed is what was known last, since ECR can't be asked just now.
func asOf(l report.Listing) string {
	var oldest time.Time
	var why string
	for _, r := range l.Reports {
		for _, item := range r.Images {
			if c := item.Condition(); !c.AsOf.IsZero() && (oldest.IsZero() || c.AsOf.Before(oldest)) {
				oldest, why = c.AsOf, c.Reason
			}
		}
	}
	if oldest.IsZero() {
		return ""
	}
	return render.WithReason(fmt.Sprintf(". As of %s, since ECR can't be asked just now", render.RFC3339(oldest)), why)
}

func named(lead string, names []string) string {
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

// leftOut says which part of the list the page is.
func leftOut(l report.Listing) string {
	if l.Total <= report.PageSize {
		return ""
	}
	if l.News {
		first := max(0, l.View.Page-1) * report.PageSize
		return fmt.Sprintf(". Listed are changes %d to %d of %d, the newest first", first+1, first+len(l.Changes), l.Total)
	}
	var s string
	if l.View.Page <= 1 {
		s = fmt.Sprintf(". Listed are the %d most severe of %d findings", len(l.Entries), l.Total)
	} else {
		first := (l.View.Page - 1) * report.PageSize
		s = fmt.Sprintf(". Listed are findings %d to %d of %d, the most severe first", first+1, first+len(l.Entries), l.Total)
	}
	if reach := report.MaxPages * report.PageSize; l.Total > reach {
		s += fmt.Sprintf("; the pages end after %d", reach)
	}
	return s
}

// tagsOf are the tags that were looked at, or those that should have been.
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
		if name := r.Config.Repository; !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// withoutResult says what could not be read or has no result, whole configs first.
func withoutResult(l report.Listing) string {
	var configs, images []string
	seen := make(map[scan.Image]bool)
	for _, r := range l.Reports {
		if line := render.ConfigLine(l, r); line != "" {
			configs = append(configs, line)
		}
		for _, item := range r.Images {
			if trouble := render.StateTrouble(item.Condition()); trouble != nil && !seen[item.Image] {
				seen[item.Image] = true
				images = append(images, fmt.Sprintf("[%s] %s", render.ImageName(l, item.Image), trouble.Line()))
			}
		}
	}
	lines := slices.Concat(configs, images)
	if len(lines) == 0 {
		return ""
	}
	s := ". Without a result: " + strings.Join(lines[:min(len(lines), render.MaxTroubles)], ", ")
	if more := len(lines) - render.MaxTroubles; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}
