package feed

import (
	"encoding/xml"
	"strings"

	"github.com/gorilla/feeds"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
)

const (
	atomNamespace = "http://www.w3.org/2005/Atom"
	atomType      = "application/atom+xml"
)

// gorilla/feeds supports neither several links nor attributes of a category. These types redefine the elements that need them; an outer field hides
// the embedded field of the same element.
type (
	atomFeed struct {
		feeds.AtomFeed
		Links   []feeds.AtomLink
		Entries []atomEntry `xml:"entry"`
	}
	atomEntry struct {
		feeds.AtomEntry
		Links      []feeds.AtomLink
		Categories []atomCategory
	}
	atomCategory struct {
		XMLName xml.Name `xml:"category"`
		Term    string   `xml:"term,attr"`
		Scheme  string   `xml:"scheme,attr,omitempty"`
	}
)

// Atom returns one page of a listing as an Atom feed (RFC 4287, with the page links of RFC 5005).
func Atom(l report.Listing, links Links) ([]byte, error) {
	return fitFeed(l, links, writeAtom)
}

func writeAtom(f feed) ([]byte, error) {
	b := make([]byte, 0, f.size()*5/4+len(f.entries)*entryMarkup+len(xml.Header)+feedMarkup)
	b = append(b, strings.TrimSuffix(xml.Header, "\n")...)
	b = appendFeed(b, newAtomFeed(f))
	return append(b, '\n'), nil
}

func newAtomFeed(f feed) *atomFeed {
	a := &atomFeed{AtomFeed: feeds.AtomFeed{
		Xmlns: atomNamespace, Title: f.title, Id: f.id, Updated: render.RFC3339(f.updated), Subtitle: f.subtitle,
		Author: &feeds.AtomAuthor{AtomPerson: feeds.AtomPerson{Name: feedAuthor}},
	}}
	a.Links = alternate(f.home)
	for _, link := range []feeds.AtomLink{
		{Rel: "self", Href: f.links.Self}, {Rel: "first", Href: f.links.First}, {Rel: "previous", Href: f.links.Previous},
		{Rel: "next", Href: f.links.Next}, {Rel: "last", Href: f.links.Last},
	} {
		if link.Href != "" {
			link.Type = atomType
			a.Links = append(a.Links, link)
		}
	}
	a.Entries = make([]atomEntry, len(f.entries))
	for i, e := range f.entries {
		a.Entries[i] = newAtomEntry(e)
	}
	return a
}

// alternate returns the link to a page about the feed or entry, or none if there is no page.
func alternate(url string) []feeds.AtomLink {
	if url == "" {
		return nil
	}
	return []feeds.AtomLink{{Href: url, Rel: "alternate", Type: "text/html"}}
}

func newAtomEntry(e entry) atomEntry {
	a := atomEntry{AtomEntry: feeds.AtomEntry{
		Title: e.title, Id: e.id, Published: render.RFC3339(e.published), Updated: render.RFC3339(e.updated),
		Summary: &feeds.AtomSummary{Type: "html", Content: htmlText(e.summary)},
		Content: &feeds.AtomContent{Type: "html", Content: e.content},
	}}
	a.Links = alternate(e.url)
	for _, term := range e.categories {
		a.Categories = append(a.Categories, atomCategory{Term: term})
	}
	return a
}
