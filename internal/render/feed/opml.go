package feed

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"strings"
	"unicode"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// Subscription is a feed in a list of feeds.
type Subscription struct {
	// Listing has the config, the view and the kind of the feed. It has no entries.
	Listing report.Listing
	URL     string
	// Home is the URL of a page about what the feed lists. It may be empty.
	Home string
}

type (
	opml struct {
		XMLName  xml.Name      `xml:"opml"`
		Version  string        `xml:"version,attr"`
		Title    string        `xml:"head>title"`
		Outlines []opmlOutline `xml:"body>outline"`
	}
	opmlOutline struct {
		Text        string `xml:"text,attr"`
		Title       string `xml:"title,attr"`
		Type        string `xml:"type,attr"` // always "rss", also for Atom
		Description string `xml:"description,attr,omitempty"`
		XMLURL      string `xml:"xmlUrl,attr"`
		HTMLURL     string `xml:"htmlUrl,attr,omitempty"`
	}
)

// OPML returns a list of feeds (OPML 2.0) for import into feed readers. Each feed has another title.
func OPML(subscriptions []Subscription) ([]byte, error) {
	list := opml{Version: "2.0", Title: "ECR image scan findings"}
	for i, title := range titlesOf(subscriptions) {
		o := opmlOutline{Text: title, Title: title, Type: "rss", XMLURL: subscriptions[i].URL, HTMLURL: subscriptions[i].Home}
		if c := subscriptions[i].Listing.Config; c != nil {
			o.Description, o.HTMLURL = strings.TrimPrefix(nameList("Tags:", c.Tags)+ownerWords(*c), ". "), cmp.Or(render.ConsoleURL(c.Repo()), o.HTMLURL)
		}
		list.Outlines = append(list.Outlines, o)
	}
	b, err := xml.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the list of feeds: %w", err)
	}
	return append([]byte(xml.Header), append(b, '\n')...), nil
}

// titlesOf returns the titles of feeds. If two would have the same title, it adds what distinguishes them: the registry, the tags or the scan ID.
func titlesOf(subscriptions []Subscription) []string {
	titles := make([]string, len(subscriptions))
	for i, s := range subscriptions {
		titles[i] = render.ListingTitle(s.Listing)
	}
	for _, part := range []func(scan.Config) string{
		func(c scan.Config) string { return "registry " + c.Registry },
		func(c scan.Config) string { return cmp.Or(nameList("tags", c.Tags), "all tags") },
		func(c scan.Config) string { return "scan ID " + c.ID },
	} {
		byName := make(map[string][]int)
		for i, title := range titles {
			byName[fileName(title)] = append(byName[fileName(title)], i)
		}
		for _, same := range byName {
			parts := make(map[string]bool)
			for _, i := range same {
				if c := subscriptions[i].Listing.Config; c != nil {
					parts[part(*c)] = true
				}
			}
			for _, i := range same {
				if c := subscriptions[i].Listing.Config; c != nil && len(parts) > 1 {
					titles[i] += ", " + part(*c)
				}
			}
		}
	}
	return titles
}

// fileName returns the same name for two titles that a program can mistake for each other: rss2email and sfeed name their feeds by the title, and
// replace characters in it.
func fileName(title string) string {
	words := strings.FieldsFunc(title, func(r rune) bool { return r != '.' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.ToLower(strings.Join(words, "-"))
}
