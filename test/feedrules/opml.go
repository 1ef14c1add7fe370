package feedrules

import (
	"encoding/xml"
	"strings"
	"testing"
)

// Outline is a feed in a list of feeds.
type Outline struct {
	Text    string `xml:"text,attr"`
	Title   string `xml:"title,attr"`
	Type    string `xml:"type,attr"`
	XMLURL  string `xml:"xmlUrl,attr"`
	HTMLURL string `xml:"htmlUrl,attr"`
}

// OPML checks a subscription list (OPML 2.0) and returns its feeds.
func OPML(t testing.TB, list []byte) []Outline {
	t.Helper()
	var parsed struct {
		XMLName  xml.Name  `xml:"opml"`
		Version  string    `xml:"version,attr"`
		Title    string    `xml:"head>title"`
		Outlines []Outline `xml:"body>outline"`
	}
	if err := xml.Unmarshal(list, &parsed); err != nil {
		t.Fatalf("not OPML: %v\n%.2000s", err, list)
	}
	text(t, "the list", string(list))
	if parsed.Version != "2.0" || parsed.Title == "" {
		t.Errorf("version %q, title %q", parsed.Version, parsed.Title)
	}
	seen := map[string]bool{}
	for _, o := range parsed.Outlines {
		webLink(t, "xmlUrl", o.XMLURL)
		webLink(t, "htmlUrl", o.HTMLURL)
		// rss2email and sfeed replace characters of a title, and can't have two feeds with the same name.
		name := strings.NewReplacer("/", "-", "_", "-", " ", "-", ":", "-", ",", "-", "[", "-", "]", "-").Replace(o.Text)
		if o.Type != "rss" || strings.TrimSpace(o.Text) == "" || o.Title != o.Text || seen[o.XMLURL] || seen[name] {
			t.Errorf("outline %+v, URL seen before: %t, title: %t", o, seen[o.XMLURL], seen[name])
		}
		seen[o.XMLURL], seen[name] = true, true
	}
	return parsed.Outlines
}
