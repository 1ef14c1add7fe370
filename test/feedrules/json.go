package feedrules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// JSONFeed contains all fields of a JSON Feed that the service writes.
type JSONFeed struct {
	Version     string `json:"version"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Language    string `json:"language"`
	HomePageURL string `json:"home_page_url"`
	FeedURL     string `json:"feed_url"`
	NextURL     string `json:"next_url"`
	Authors     []struct {
		Name string `json:"name"`
	} `json:"authors"`
	// Findings, and Finding of an item, are extensions for programs.
	Findings struct {
		Total         int          `json:"total"`
		Page          int          `json:"page"`
		Pages         int          `json:"pages"`
		WithoutResult []JSONUnread `json:"withoutResult"`
		More          int          `json:"moreWithoutResult"`
	} `json:"_findings"`
	Items []JSONItem `json:"items"`
}

// JSONItem is an item of a JSONFeed.
type JSONItem struct {
	ID            string    `json:"id"`
	URL           string    `json:"url"`
	Title         string    `json:"title"`
	ContentHTML   string    `json:"content_html"`
	Summary       string    `json:"summary"`
	DatePublished time.Time `json:"date_published"`
	DateModified  time.Time `json:"date_modified"`
	Tags          []string  `json:"tags"`
	Finding       struct {
		JSONImage
		Suppressed *struct {
			ID            string    `json:"id"`
			Reason        string    `json:"reason"`
			Until         time.Time `json:"until"`
			Justification string    `json:"justification"`
		} `json:"suppressed"`
		ID            string   `json:"id"`
		Severity      string   `json:"severity"`
		Vulnerability string   `json:"vulnerability"`
		Package       string   `json:"package"`
		Versions      []string `json:"versions"`
		FixedIn       []string `json:"fixedIn"`
		Packages      []struct {
			Name    string `json:"name"`
			Manager string `json:"manager"`
			Arch    string `json:"arch"`
			Version string `json:"version"`
			FixedIn string `json:"fixedIn"`
			Path    string `json:"path"`
		} `json:"packages"`
		RelatedIDs   []string  `json:"relatedIds"`
		Ecosystem    []string  `json:"ecosystem"`
		Arch         []string  `json:"arch"`
		Paths        []string  `json:"paths"`
		Purl         []string  `json:"purl"`
		ScoreSource  string    `json:"scoreSource"`
		InUse        int       `json:"inUse"`
		LastInUseAt  time.Time `json:"lastInUseAt"`
		FixAvailable string    `json:"fixAvailable"`
		Exploit      string    `json:"exploit"`
		Score        *float64  `json:"score"`
		Vector       string    `json:"vector"`
		Images       []string  `json:"images"`
		ImageCount   int       `json:"imageCount"`
		Resolved     time.Time `json:"resolved"`
	} `json:"_finding"`
}

// JSONImage names an image.
type JSONImage struct {
	Region     string `json:"region"`
	Registry   string `json:"registry"`
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Platform   string `json:"platform"`
	Digest     string `json:"digest"`
}

// JSONUnread is an image or a config without a current result.
type JSONUnread struct {
	JSONImage
	State  string    `json:"state"`
	Reason string    `json:"reason"`
	AsOf   time.Time `json:"asOf"`
}

// JSON checks a JSON Feed 1.1 and returns it parsed.
func JSON(t testing.TB, feed []byte) *JSONFeed {
	t.Helper()
	text(t, "the feed", string(feed))
	var parsed JSONFeed
	d := json.NewDecoder(bytes.NewReader(feed))
	d.DisallowUnknownFields()
	if err := d.Decode(&parsed); err != nil {
		t.Fatalf("not a JSON Feed: %v\n%.2000s", err, feed)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Errorf("data after the feed: %v", err)
	}
	if parsed.Version != "https://jsonfeed.org/version/1.1" || strings.TrimSpace(parsed.Title) == "" || len(parsed.Authors) != 1 || parsed.Items == nil {
		t.Errorf("version %q, title %q, authors %v, items %t", parsed.Version, parsed.Title, parsed.Authors, parsed.Items != nil)
	}
	webLink(t, "home_page_url", parsed.HomePageURL)
	for what, link := range map[string]string{"feed_url": parsed.FeedURL, "next_url": parsed.NextURL} {
		if link != "" {
			webLink(t, what, link)
		}
	}
	ids, last := identities{}, time.Unix(1<<40, 0)
	for i, item := range parsed.Items {
		what := fmt.Sprint("item ", i)
		ids.add(t, what, item.ID)
		webLink(t, what, item.URL)
		title(t, what, item.Title)
		checkInert(t, what, item.ContentHTML)
		if strings.TrimSpace(item.Title) == "" || item.ContentHTML == "" || item.DateModified.After(last) {
			t.Errorf("%s: title %q, content %.100q, modified %s after %s", what, item.Title, item.ContentHTML, item.DateModified, last)
		}
		last = item.DateModified
	}
	return &parsed
}
