// Package page writes the pages for a browser: the summary, and lists of findings. Their templates and their style are compiled in. A page loads
// nothing and runs nothing, and Policy makes a browser see to that.
//
// Which results a page is about is the business of package report. The words for them and their texts without control characters come from
// package render. Package httpapi serves the pages and makes their links.
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

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
)

// Link makes the URL of a path and query of the API as the client knows it. It carries the key on if the client came with one in its URL.
type Link func(path string, values url.Values) string

var (
	//go:embed page.css
	pageStyle string
	//go:embed page.html
	pageHTML string
	//go:embed summary.html
	summaryHTML string
	//go:embed findings.html
	findingsHTML string

	// Read when they are needed first: a function that starts has to answer at once.
	summaryTemplate  = sync.OnceValue(func() *template.Template { return pageTemplate(summaryHTML) })
	findingsTemplate = sync.OnceValue(func() *template.Template { return pageTemplate(findingsHTML) })
	policy           = policyFor(pageStyle)
)

func pageTemplate(main string) *template.Template {
	return template.Must(template.Must(template.New("").Parse(pageHTML)).Parse(main))
}

// Policy is the Content-Security-Policy of the pages: nothing is loaded, nothing runs, and the one style is the pages' own, by its hash.
func Policy() string { return policy }

func policyFor(style string) string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}

// page is what every page has around its own part, Main.
type page struct {
	Title, Feed, FeedTitle, SummaryURL string
	Nav                                []navItem
	Footer                             string
	Main                               any
}

// Style is the pages' style, which is ours and needs no escaping.
func (page) Style() template.CSS { return template.CSS(pageStyle) }

type navItem struct {
	Text, URL string
	Current   bool
}

// asHTML are the values that ask for a page.
func asHTML(values url.Values) url.Values {
	values = maps.Clone(values)
	if values == nil {
		values = url.Values{}
	}
	values.Set("format", "html")
	return values
}

func newPage(title string, to Link, current string) page {
	nav := []navItem{
		{Text: "Summary", URL: to("/summary", asHTML(nil))},
		{Text: "All findings", URL: to("/findings/all", asHTML(nil))},
		{Text: "What changed, as a feed", URL: to("/changes", nil)},
		{Text: "Feeds for a reader", URL: to("/findings", nil)},
	}
	for i := range nav {
		nav[i].Current = nav[i].Text == current
	}
	return page{Title: title + " – ECR image scans", SummaryURL: nav[0].URL, Nav: nav, Footer: "Times are UTC. “Console” leads to Amazon ECR in the AWS console."}
}

func (p page) write(t *template.Template) ([]byte, error) {
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "page", p); err != nil {
		return nil, fmt.Errorf("write the page %s: %w", p.Title, err)
	}
	return b.Bytes(), nil
}

// severityLook is how a severity is shown.
type severityLook struct {
	Name, Class string
}

func lookOf(s scan.Severity) severityLook {
	name := render.OneLine(string(s), 50)
	if slices.Contains(scan.Severities(), s) {
		name = name[:1] + strings.ToLower(name[1:])
	}
	switch s {
	case scan.Critical, scan.High, scan.Medium, scan.Low:
		return severityLook{name, strings.ToLower(string(s))}
	}
	return severityLook{name, "other"}
}

// shownCount is one count, with its look.
type shownCount struct {
	severityLook
	Count int
}

func shownCounts(c scan.Counts) []shownCount {
	var shown []shownCount
	for _, line := range c.Ordered() {
		shown = append(shown, shownCount{lookOf(line.Severity), line.Count})
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

// segment is a part of a bar, in hundredths of its length.
type segment struct {
	Class    string
	X, Width string
}

// bar has a part for each count, of a bar that is full at most. No part is too thin to be seen, so a full one may run over its end a little.
func bar(c scan.Counts, full int) []segment {
	const thinnest = 1.2
	var parts []segment
	at := 0.0
	for _, line := range c.Ordered() {
		width := max(100*float64(line.Count)/float64(max(full, 1)), thinnest)
		parts = append(parts, segment{lookOf(line.Severity).Class, fmt.Sprintf("%.1f", at), fmt.Sprintf("%.1f", width)})
		at += width
	}
	return parts
}

// stamp is a point in time, for programs and for people; nil when it is unknown.
type stamp struct{ Machine, Text string }

func stampOf(t time.Time) *stamp {
	if t.IsZero() {
		return nil
	}
	return &stamp{render.RFC3339(t), t.UTC().Format("2006-01-02 15:04")}
}

func dayOf(t time.Time) *stamp {
	if t.IsZero() {
		return nil
	}
	return &stamp{render.RFC3339(t), t.UTC().Format("2006-01-02")}
}

// without are values but for some names.
func without(values url.Values, names ...string) url.Values {
	rest := maps.Clone(values)
	for _, name := range names {
		delete(rest, name)
	}
	return rest
}
