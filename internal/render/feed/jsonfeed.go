package feed

import (
	"fmt"
	"time"

	"github.com/gorilla/feeds"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
)

type (
	// jsonFeed hides the items of the embedded feed, which omits an empty list. The format requires the list.
	jsonFeed struct {
		feeds.JSONFeed
		Findings feedData   `json:"_findings"`
		Items    []jsonItem `json:"items"`
	}
	jsonItem struct {
		feeds.JSONItem
		Finding *render.FindingData `json:"_finding,omitempty"` // nil for changes
	}
	// feedData is about the whole feed, for programs. JSON Feed requires that names of extensions start with an underscore.
	feedData struct {
		Total       int                        `json:"total"`
		Page        int                        `json:"page"`
		Pages       int                        `json:"pages"`
		Unread      []render.WithoutResultData `json:"withoutResult"`
		MoreWithout int                        `json:"moreWithoutResult,omitempty"`
		Short       []render.WithoutResultData `json:"shortLists,omitempty"`
	}
)

// JSON returns one page of a listing as a JSON Feed 1.1. It fails when the JSON can't be written.
func JSON(l report.Listing, links Links) ([]byte, error) {
	data := feedData{Total: l.Total, Page: max(1, l.View.Page), Pages: l.Pages()}
	data.Unread, data.MoreWithout = render.WithoutResult(l)
	data.Short = render.ShortLists(l)
	return fitFeed(l, links, func(f feed) ([]byte, error) { return writeJSONFeed(f, data) })
}

func writeJSONFeed(f feed, data feedData) ([]byte, error) {
	j := jsonFeed{
		JSONFeed: feeds.JSONFeed{
			Version: "https://jsonfeed.org/version/1.1", Title: f.title, Description: f.subtitle, Language: "en", HomePageUrl: f.home,
			FeedUrl: f.links.Self, NextUrl: f.links.Next, Authors: []*feeds.JSONAuthor{{Name: feedAuthor}},
		},
		Findings: data, Items: make([]jsonItem, len(f.entries)),
	}
	for i, e := range f.entries {
		published, updated := e.published.UTC().Truncate(time.Second), e.updated.UTC().Truncate(time.Second)
		j.Items[i] = jsonItem{JSONItem: feeds.JSONItem{
			Id: e.id, Url: e.url, Title: e.title, ContentHTML: e.content, Summary: e.summary,
			PublishedDate: &published, ModifiedDate: &updated, Tags: e.categories,
		}}
		if e.found != nil {
			data := render.NewFindingData(f.source.Listing, *e.found, f.source.limit)
			j.Items[i].Finding = &data
		}
	}
	b, err := render.EncodeJSON(j, true)
	if err != nil {
		return nil, fmt.Errorf("write the feed %s: %w", f.title, err)
	}
	return b, nil
}
