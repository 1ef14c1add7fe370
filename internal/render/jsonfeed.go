package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gorilla/feeds"

	"ecr-continuous-scan/internal/scan"
)

// jsonFeed hides the embedded feed's items, which it would leave out when there are none; the format wants them.
type jsonFeed struct {
	feeds.JSONFeed
	Items []*feeds.JSONItem `json:"items"`
}

// JSONFeed is a listing in the format JSON Feed 1.1, one page of it.
func JSONFeed(l scan.Listing, links Links) ([]byte, error) {
	return fit(l, links, writeJSONFeed)
}

func writeJSONFeed(f feed) ([]byte, error) {
	j := jsonFeed{
		JSONFeed: feeds.JSONFeed{
			Version: "https://jsonfeed.org/version/1.1", Title: f.title, Description: f.subtitle, Language: "en", HomePageUrl: f.home,
			FeedUrl: f.links.Self, NextUrl: f.links.Next, Authors: []*feeds.JSONAuthor{{Name: feedAuthor}},
		},
		Items: make([]*feeds.JSONItem, len(f.entries)),
	}
	for i, e := range f.entries {
		published, updated := e.published.UTC().Truncate(time.Second), e.updated.UTC().Truncate(time.Second)
		j.Items[i] = &feeds.JSONItem{
			Id: e.id, Url: e.url, Title: e.title, ContentHTML: e.content, Summary: e.summary,
			PublishedDate: &published, ModifiedDate: &updated, Tags: e.categories,
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(j); err != nil {
		return nil, fmt.Errorf("write the feed %s: %w", f.title, err)
	}
	return b.Bytes(), nil
}
