package feed

import (
	"cmp"
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"sync"
	"time"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// entry is what both formats say of a finding. Its texts are clean, and not escaped; content is HTML.
type entry struct {
	id, title, url     string
	published, updated time.Time
	summary, content   string
	categories         []string
	data               render.FindingData
}

func newEntry(l report.Listing, found report.Entry, room int) entry {
	f, image := found.Finding, found.Images[0]
	name := func(s string) string { return render.OneLine(s, min(render.MaxName, max(room, 100))) }
	e := entry{
		id: l.EntryID(found).URN(), published: found.Published, updated: found.Updated,
		summary: render.OneLine(descriptionOf(f, room), min(render.MaxSummary, room)),
		url:     render.Advisory(f, room),
		data:    render.NewFindingData(l, found, room),
	}
	severity := render.OneLine(string(f.Severity), 50)
	terms := []string{severity, name(image.Label()), name(f.Package)}
	state := ""
	if !found.Resolved.IsZero() {
		state = "[RESOLVED] "
	}
	if l.View.ByVulnerability {
		e.title = fmt.Sprintf("%s[%s] in images of %s found %s", state, severity, image.Repository.Name, name(f.Name))
		if f.Package != "" {
			e.title += " in " + name(f.Package)
		}
		terms = append([]string{severity, name(f.Package)}, render.Labels(found.Images[:min(len(found.Images), maxTerms)], name)...)
	} else {
		e.title = fmt.Sprintf("%s[%s] in image %s:%s found %s", state, severity, image.Repository.Name, name(image.Label()), name(f.Name))
	}
	if state != "" {
		terms = append(terms, "RESOLVED")
	}
	for _, term := range terms {
		if term != "" {
			e.categories = append(e.categories, term)
		}
	}
	e.content = content(l, found, room)
	if e.url == "" {
		e.url = render.ConsoleURL(image.Repository)
	}
	return e
}

// maxTerms is how many tags of a group are categories too.
const maxTerms = 5

func descriptionOf(f scan.Finding, room int) string {
	return cmp.Or(strings.TrimSpace(render.Clean(f.Description, room)), "The scanner gives no description.")
}

// contentTemplate is the body of an entry. Only elements that every reader keeps are used, with blanks between them for those that make
// plain text of it.
var contentTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("content").Parse(`{{range .Paragraphs}}<p>{{.}}</p> {{end}}<table>` +
		`{{range .Rows}}<tr><th>{{.Name}}</th> <td>{{.Value}}</td></tr> {{end}}</table> ` +
		`{{if .URL}}<p><a href="{{.URL}}">Advisory</a></p>{{end}}`))
})

type row struct{ Name, Value string }

var emptyLine = regexp.MustCompile(`\n\s*\n`)

func content(l report.Listing, found report.Entry, room int) string {
	return contentOf(emptyLine.Split(descriptionOf(found.Finding, room), -1), rows(l, found, room), render.Advisory(found.Finding, room))
}

// contentOf is the HTML of some paragraphs, a table and a link.
func contentOf(paragraphs []string, rows []row, url string) string {
	body := struct {
		Paragraphs []string
		Rows       []row
		URL        string
	}{paragraphs, rows, url}
	var b strings.Builder
	if err := contentTemplate().Execute(&b, body); err != nil {
		// Strings into a fixed template: it can't happen, and the description alone is still true.
		return htmlText(strings.Join(body.Paragraphs, " "))
	}
	return b.String()
}

// htmlText is a text as HTML that shows it.
func htmlText(s string) string { return template.HTMLEscapeString(s) }

func rows(l report.Listing, found report.Entry, room int) []row {
	f, image := found.Finding, found.Images[0]
	all := []row{
		{"Severity", string(f.Severity)},
		{"CVSS score", strings.TrimSpace(f.Score + " " + f.Vector)},
		{"Package", f.Package},
		{"Installed version", strings.Join(f.Versions, ", ")},
		{"Fixed in", strings.Join(f.FixedIn, ", ")},
		{"Fix available", f.FixAvailable},
		{"Exploit available", f.Exploit},
	}
	if l.View.ByVulnerability {
		all = append(all, row{"Repository", image.Repository.Name}, row{"Tags", render.TagList(found, room)})
	} else {
		all = append(all, row{"Image", image.Repository.Name + ":" + image.Label()}, row{"Digest", image.Digest})
	}
	all = append(all,
		row{"Registry", image.Repository.Registry + " in " + image.Repository.Region},
		row{"First seen", render.OptionalTime(found.Published)},
		row{"Resolved", render.OptionalTime(found.Resolved)},
		row{"Last change", lastChange(found)},
		row{"Remediation", f.Remediation},
	)
	return filled(all, room)
}

// filled are the rows that have a value, clean.
func filled(all []row, room int) []row {
	kept := all[:0]
	for _, r := range all {
		if r.Value = render.Clean(r.Value, room); r.Value != "" {
			kept = append(kept, r)
		}
	}
	return kept
}

// lastChange says what changed last, and when.
func lastChange(found report.Entry) string {
	if found.Note == "" {
		return ""
	}
	return render.OptionalTime(found.Updated) + ": " + found.Note
}
