package feed

import (
	"encoding/xml"
	"fmt"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// Subscription is a config and the URL of its feed.
type Subscription struct {
	Config scan.Config
	View   report.View
	URL    string
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

// OPML returns a list of feeds (OPML 2.0) that feed readers can import. It fails when the XML can't be written.
func OPML(subscriptions []Subscription) ([]byte, error) {
	list := opml{Version: "2.0", Title: "ECR image scan findings"}
	for _, s := range subscriptions {
		title := render.ListingTitle(report.Listing{Config: &s.Config, View: s.View})
		list.Outlines = append(list.Outlines, opmlOutline{
			Text: title, Title: title, Type: "rss", Description: nameList("Tags:", s.Config.Tags), XMLURL: s.URL, HTMLURL: render.ConsoleURL(s.Config.Repo()),
		})
	}
	b, err := xml.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the list of feeds: %w", err)
	}
	return append([]byte(xml.Header), append(b, '\n')...), nil
}
