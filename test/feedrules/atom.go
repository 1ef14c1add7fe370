// Package feedrules checks output formats by rules that no schema contains: unique ids, dates in order, valid links, and texts without active
// content.
//
// It does not check whether the content is correct.
package feedrules

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mmcdole/gofeed/atom"
)

// MaxBytes is the maximum size of a response of a Lambda function.
const MaxBytes = 6_000_000

// Atom checks an Atom feed (RFC 4287) and returns it parsed.
func Atom(t testing.TB, feed []byte) *atom.Feed {
	t.Helper()
	var root struct{ XMLName xml.Name }
	if err := xml.Unmarshal(feed, &root); err != nil || root.XMLName.Space != "http://www.w3.org/2005/Atom" || root.XMLName.Local != "feed" {
		t.Fatalf("not well-formed Atom: %v, root %v\n%.2000s", err, root.XMLName, feed)
	}
	text(t, "the feed", string(feed))
	parsed, err := (&atom.Parser{}).Parse(bytes.NewReader(feed))
	if err != nil {
		t.Fatal(err)
	}
	ids := identities{}
	ids.add(t, "feed", parsed.ID)
	links(t, "feed", parsed.Links)
	if len(parsed.Authors) != 1 || parsed.Authors[0].Name == "" || strings.TrimSpace(parsed.Title) == "" || parsed.UpdatedParsed == nil {
		t.Errorf("feed: authors %v, title %q, updated %q", parsed.Authors, parsed.Title, parsed.Updated)
	}
	last := time.Unix(1<<40, 0)
	for i, e := range parsed.Entries {
		what := fmt.Sprint("entry ", i)
		ids.add(t, what, e.ID)
		links(t, what, e.Links)
		if e.UpdatedParsed == nil || e.PublishedParsed == nil || strings.TrimSpace(e.Title) == "" || e.Content == nil || e.Content.Type != "html" {
			t.Errorf("%s: updated %q, published %q, title %q, content %v", what, e.Updated, e.Published, e.Title, e.Content)
			continue
		}
		for _, c := range e.Categories {
			if strings.TrimSpace(c.Term) == "" {
				t.Errorf("%s: a category without a term", what)
			}
		}
		title(t, what, e.Title)
		checkInert(t, what, e.Content.Value)
		checkInert(t, what, e.Summary)
		if e.UpdatedParsed.After(last) {
			t.Errorf("%s is newer than the one before", what)
		}
		last = *e.UpdatedParsed
		if i == 0 && parsed.UpdatedParsed != nil && !parsed.UpdatedParsed.Equal(last) {
			t.Errorf("the feed was updated %s, its newest entry %s", parsed.Updated, e.Updated)
		}
	}
	return parsed
}

// identities contains the ids that were already found.
type identities map[string]bool

func (seen identities) add(t testing.TB, what, id string) {
	t.Helper()
	if u, err := url.Parse(id); err != nil || !u.IsAbs() {
		t.Errorf("%s: id %q is not an absolute IRI", what, id)
	}
	if seen[id] {
		t.Errorf("%s: id %q occurs twice", what, id)
	}
	seen[id] = true
}

func links(t testing.TB, what string, all []*atom.Link) {
	t.Helper()
	count := map[string]int{}
	for _, l := range all {
		count[l.Rel]++
		webLink(t, what+", link "+l.Rel, l.Href)
	}
	for rel, n := range count {
		if rel == "" || n > 1 {
			t.Errorf("%s: %d links with the relation %q", what, n, rel)
		}
	}
	if count["alternate"] != 1 {
		t.Errorf("%s: %d alternate links", what, count["alternate"])
	}
}

func webLink(t testing.TB, what, link string) {
	t.Helper()
	if u, err := url.Parse(link); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		t.Errorf("%s: %q is not a web link", what, link)
	}
}

// text checks the characters and the size of a whole document.
func text(t testing.TB, what, s string) {
	t.Helper()
	if !utf8.ValidString(s) || strings.ContainsRune(s, utf8.RuneError) {
		t.Errorf("%s has invalid characters", what)
	}
	if len(s) > MaxBytes {
		t.Errorf("%s has %d bytes", what, len(s))
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) {
			t.Errorf("%s has the character %U", what, r)
			return
		}
	}
}

// title checks a title, which is one line of plain text.
func title(t testing.TB, what, s string) {
	t.Helper()
	if strings.ContainsAny(s, "\n\t") || utf8.RuneCountInString(s) > 1000 {
		t.Errorf("%s: title %q", what, s)
	}
}

// checkInert checks that HTML contains only elements and references that the service writes.
func checkInert(t testing.TB, what, html string) {
	t.Helper()
	for rest := html; ; {
		_, after, found := strings.Cut(rest, "&")
		if !found {
			break
		}
		if rest = after; !strings.HasPrefix(rest, "amp;") && !strings.HasPrefix(rest, "lt;") && !strings.HasPrefix(rest, "gt;") {
			t.Errorf("%s: many programs show the reference as it is: &%.10s", what, rest)
			break
		}
	}
	for rest := html; ; {
		_, tag, found := strings.Cut(rest, "<")
		if !found {
			return
		}
		rest = tag
		tag, _, _ = strings.Cut(tag, ">")
		name := strings.TrimPrefix(strings.ToLower(tag), "/")
		if href, ok := strings.CutPrefix(name, `a href="`); ok && (strings.HasPrefix(href, "http://") || strings.HasPrefix(href, "https://")) && strings.Count(href, `"`) == 1 {
			continue
		}
		switch name {
		case "p", "table", "tr", "th", "td", "a":
		default:
			t.Errorf("%s: unescaped markup: <%s> in %.300q", what, tag, html)
			return
		}
	}
}
