// Package page writes the pages for a browser: the summary, lists of findings and of changes, and errors. Their templates and their style are compiled in. A page loads
// nothing and runs no script, and a browser enforces this with Policy.
//
// Package report computes the results. Package render provides the words for them and removes control characters. Package httpapi serves the pages
// and creates their links.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the pages' templates and style
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
)

// Link returns the URL of a path and query of the API, with the host that the client uses. If the client's URL contains a key, so does the result. It
// is empty if the key does not open the path: then the page has no such link.
type Link func(path string, values url.Values) string

var (
	//go:embed page.css
	pageCSS string
	//go:embed changes.css
	changesCSS string
	pageStyle  = pageCSS + changesCSS
	//go:embed page.html
	pageHTML string
	//go:embed summary.html
	summaryHTML string
	//go:embed findings.html
	findingsHTML string
	//go:embed changes.html
	changesHTML string
	//go:embed error.html
	errorHTML string

	// The templates are parsed on first use, so that the function starts faster.
	summaryTemplate  = sync.OnceValue(func() *template.Template { return pageTemplate(summaryHTML) })
	findingsTemplate = sync.OnceValue(func() *template.Template { return pageTemplate(findingsHTML) })
	changesTemplate  = sync.OnceValue(func() *template.Template { return pageTemplate(changesHTML) })
	errorTemplate    = sync.OnceValue(func() *template.Template { return pageTemplate(errorHTML) })
	policy           = policyFor(pageStyle)
)

func pageTemplate(main string) *template.Template {
	return template.Must(template.Must(template.New("").Funcs(template.FuncMap{"parts": parts}).Parse(pageHTML)).Parse(main))
}

// Policy returns the Content-Security-Policy of the pages. It allows no loading and no scripts, and only the pages' own style, identified by its hash.
func Policy() string { return policy }

func policyFor(style string) string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}

// page is the data of every page. Main is the data of the page's own part.
type page struct {
	Title, Heading, SummaryURL string
	Feed, FeedTitle            string // the URL of the feed with the same content; empty if there is none
	Nav, Crumbs                []navItem
	Feeds                      []navItem // what only a feed reader can show
	Data                       []navItem // the same content in formats for programs
	Times                      *times    // nil for a page without results
	Footer                     string
	Main                       any
}

// Style returns the style of the pages. It contains no foreign text, so it needs no escaping.
func (page) Style() template.CSS { return template.CSS(pageStyle) }

// dataLinks returns the links to the content of a page as data, with the filters of the page. People open CSV with a spreadsheet, so its link has the
// parameter that protects from formulas. typeJSON is the media type of the JSON.
func dataLinks(to Link, path string, params url.Values, typeJSON string) []navItem {
	format := func(name string) url.Values {
		values := without(asHTML(params), "sort", "page")
		values.Set("format", name)
		return values
	}
	sheet := format("csv")
	sheet.Set("safe", "spreadsheet")
	return []navItem{
		{Text: "CSV for a spreadsheet", URL: to(path, sheet), Type: "text/csv"},
		{Text: "JSON", URL: to(path, format("json")), Type: typeJSON},
	}
}

// navItem is a link. Type is the media type of what it leads to, if that is not a page.
type navItem struct {
	Text, URL string
	Current   bool
	Type      string
}

const typeAtom = "application/atom+xml"

// asHTML returns the values with the parameter that requests a page.
func asHTML(values url.Values) url.Values {
	values = maps.Clone(values)
	if values == nil {
		values = url.Values{}
	}
	values.Set("format", "html")
	return values
}

// newPage returns a page without its own part. current is the name of the page in the navigation. crumbs are the pages between the summary and this
// page, and this page.
func newPage(heading string, to Link, current string, crumbs ...navItem) page {
	nav := []navItem{
		{Text: navSummary, URL: to("/summary", asHTML(nil))},
		{Text: navFindings, URL: to("/findings/all", asHTML(nil))},
		{Text: navChanges, URL: to("/changes", asHTML(nil))},
	}
	feeds := []navItem{
		{Text: "Feed of all findings (Atom)", URL: to("/findings/all", nil), Type: typeAtom},
		{Text: "Feed of all changes (Atom)", URL: to("/changes", nil), Type: typeAtom},
		{Text: "List of feeds (OPML)", URL: to("/findings", nil), Type: "text/x-opml"},
	}
	for i := range nav {
		nav[i].Current = nav[i].Text == current
	}
	summary := nav[0].URL
	if crumbs = append([]navItem{{Text: navSummary, URL: summary}}, crumbs...); summary == "" {
		crumbs = nil
	} else {
		crumbs[len(crumbs)-1].Current = true
	}
	return page{
		Title: pageTitle(heading), Heading: heading, SummaryURL: summary, Nav: withURL(nav), Crumbs: crumbs, Feeds: withURL(feeds),
		Footer: "Times are UTC. “Console” opens Amazon ECR in the AWS console.",
	}
}

// withURL returns the items that lead somewhere.
func withURL(items []navItem) []navItem {
	return slices.DeleteFunc(items, func(i navItem) bool { return i.URL == "" })
}

func pageTitle(title string) string { return title + " – ECR image scans" }

// The names of the pages in the navigation.
const (
	navSummary  = "Summary"
	navFindings = "All findings"
	navChanges  = "Changes"
)

func (p page) write(t *template.Template) ([]byte, error) {
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "page", p); err != nil {
		return nil, fmt.Errorf("write the page %s: %w", p.Title, err)
	}
	return b.Bytes(), nil
}

// parts splits a name where a browser may break it: after a separator, and within a part that is too long for a line.
func parts(name string) []string {
	const longest = 20 // characters
	var all []string
	start, length := 0, 0
	for i, c := range name {
		if length == longest {
			all = append(all, name[start:i])
			start, length = i, 0
		}
		length++
		if next := i + utf8.RuneLen(c); strings.ContainsRune("/:@-+~_,.", c) && next < len(name) {
			all = append(all, name[start:next])
			start, length = next, 0
		}
	}
	return append(all, name[start:])
}

// severityStyle is the name and CSS class of a severity.
type severityStyle struct {
	Name, Class string
}

func styleOf(s scan.Severity) severityStyle {
	name := render.OneLine(string(s), 50)
	if slices.Contains(scan.Severities(), s) {
		name = name[:1] + strings.ToLower(name[1:])
	}
	switch s {
	case scan.Critical, scan.High, scan.Medium, scan.Low:
		return severityStyle{name, strings.ToLower(string(s))}
	case scan.Informational:
		return severityStyle{name, "info"}
	}
	return severityStyle{name, "other"}
}

// shownCount is a count with the style of its severity.
type shownCount struct {
	severityStyle
	Count int
}

func shownCounts(c scan.Counts) []shownCount {
	var shown []shownCount
	for _, line := range c.Ordered() {
		shown = append(shown, shownCount{styleOf(line.Severity), line.Count})
	}
	return shown
}

func sumOf(c scan.Counts) int {
	sum := 0
	for _, n := range c {
		sum += n
	}
	return sum
}

// segment is a part of a bar. X and Width are in percent of the bar's length.
type segment struct {
	Class    string
	X, Width string
}

// bar returns a segment for each count. The whole bar stands for maxCount findings. Each segment has a visible width, so the last one may extend
// slightly beyond the end.
func bar(c scan.Counts, maxCount int) []segment {
	const thinnest = 1.2
	var parts []segment
	at := 0.0
	for _, line := range c.Ordered() {
		width := max(100*float64(line.Count)/float64(max(maxCount, 1)), thinnest)
		parts = append(parts, segment{styleOf(line.Severity).Class, fmt.Sprintf("%.1f", at), fmt.Sprintf("%.1f", width)})
		at += width
	}
	return parts
}

// timeLayout is the form of times for people. They are UTC.
const timeLayout = "2006-01-02 15:04"

// stamp is a time, in a form for programs and in a form for people; nil when it is unknown.
type stamp struct{ Machine, Text string }

func stampOf(t time.Time) *stamp {
	if t.IsZero() {
		return nil
	}
	return &stamp{render.RFC3339(t), t.UTC().Format(timeLayout)}
}

// without returns a copy of the values without some names.
func without(values url.Values, names ...string) url.Values {
	rest := maps.Clone(values)
	for _, name := range names {
		delete(rest, name)
	}
	return rest
}
