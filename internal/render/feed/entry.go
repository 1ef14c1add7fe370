package feed

import (
	"cmp"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// entry is a feed entry, for Atom and JSON Feed. Its texts are clean and not escaped, except content, which is HTML.
type entry struct {
	id, title, url     string
	published, updated time.Time
	summary, content   string
	categories         []string
	data               render.FindingData
}

func newEntry(l report.Listing, found report.Entry, limit int) entry {
	f, image := found.Finding, found.Images[0]
	name := func(s string) string { return render.OneLine(s, min(render.MaxName, max(limit, 100))) }
	e := entry{
		id: l.EntryID(found).URN(), published: found.Published, updated: found.Updated,
		summary: render.OneLine(descriptionOf(f, limit), min(render.MaxSummary, limit)),
		url:     render.Advisory(f, limit),
		data:    render.NewFindingData(l, found, limit),
	}
	severity := render.OneLine(string(f.Severity), 50)
	terms := []string{severity, name(image.Label())}
	for _, pkg := range render.PackageTerms(f, maxTerms) {
		terms = append(terms, name(pkg))
	}
	state := ""
	if !found.Resolved.IsZero() {
		state = "[RESOLVED] "
	}
	if l.View.ByVulnerability {
		e.title = fmt.Sprintf("%s[%s] in images of %s found %s", state, severity, image.Repository.Name, name(f.Name))
		if f.Package != "" {
			e.title += " in " + name(f.Package)
		}
		terms = slices.Concat(terms[:1], terms[2:], render.Labels(found.Images[:min(len(found.Images), maxTerms)], name))
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
	e.content = content(l, found, limit)
	if e.url == "" {
		e.url = render.ConsoleURL(image.Repository)
	}
	return e
}

// maxTerms is the maximum number of packages, and of tags of a group, that are also categories.
const maxTerms = 5

func descriptionOf(f scan.Finding, limit int) string {
	return cmp.Or(strings.TrimSpace(render.Clean(f.Description, limit)), "The scanner gives no description.")
}

// contentTemplate is the body of an entry. It uses only elements that every feed reader shows. The spaces between them are for readers that convert
// the content to plain text.
var contentTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("content").Parse(`{{range .Paragraphs}}<p>{{.}}</p> {{end}}<table>` +
		`{{range .Rows}}<tr><th>{{.Name}}</th> <td>{{.Value}}</td></tr> {{end}}</table> ` +
		`{{if .URL}}<p><a href="{{.URL}}">Advisory</a></p>{{end}}`))
})

type row struct{ Name, Value string }

var emptyLine = regexp.MustCompile(`\n\s*\n`)

func content(l report.Listing, found report.Entry, limit int) string {
	return contentOf(emptyLine.Split(descriptionOf(found.Finding, limit), -1), rows(l, found, limit), render.Advisory(found.Finding, limit))
}

// contentOf returns paragraphs, a table and a link as HTML.
func contentOf(paragraphs []string, rows []row, url string) string {
	body := struct {
		Paragraphs []string
		Rows       []row
		URL        string
	}{paragraphs, rows, url}
	var b strings.Builder
	if err := contentTemplate().Execute(&b, body); err != nil {
		// Can't happen, because the template is fixed and the values are strings. The paragraphs are still correct.
		return htmlText(strings.Join(body.Paragraphs, " "))
	}
	return b.String()
}

// htmlText escapes a text for HTML.
func htmlText(s string) string { return template.HTMLEscapeString(s) }

func rows(l report.Listing, found report.Entry, limit int) []row {
	f, image := found.Finding, found.Images[0]
	all := []row{
		{"Severity", string(f.Severity)},
		{"Related", strings.Join(f.Related, ", ")},
		{"CVSS score", scoreWords(f)},
		{"Package", f.Package},
		{"Installed version", strings.Join(f.Versions, ", ")},
		{"Fixed in", strings.Join(f.FixedIn, ", ")},
		{"Packages", render.PackageWords(f, limit)},
		{"Fix available", f.FixAvailable},
		{"Exploit available", f.Exploit},
		{"In use", render.UseWords(f.InUse, f.LastInUse)},
	}
	if l.View.ByVulnerability {
		all = append(all, row{"Repository", image.Repository.Name}, row{"Tags", render.TagList(found, limit)})
	} else {
		all = append(all, row{"Image", image.Repository.Name + image.Separator() + image.Label()}, row{"Digest", image.Digest})
	}
	all = append(all,
		row{"Registry", image.Repository.Registry + " in " + image.Repository.Region},
		row{"First seen", render.OptionalTime(found.Published)},
		row{"Resolved", render.OptionalTime(found.Resolved)},
		row{"Last change", lastChange(found)},
		row{"Remediation", f.Remediation},
	)
	return nonEmpty(all, limit)
}

// scoreWords returns the score, the vector and who rated the vulnerability so, as far as they are known.
func scoreWords(f scan.Finding) string {
	words := strings.TrimSpace(f.Score + " " + f.Vector)
	if words != "" && f.ScoreSource != "" {
		words += " (" + f.ScoreSource + ")"
	}
	return words
}

// nonEmpty returns the rows that have a value, with clean values.
func nonEmpty(all []row, limit int) []row {
	kept := all[:0]
	for _, r := range all {
		if r.Value = render.Clean(r.Value, limit); r.Value != "" {
			kept = append(kept, r)
		}
	}
	return kept
}

// lastChange returns the time and description of the last change; empty when there was none.
func lastChange(found report.Entry) string {
	if found.Note == "" {
		return ""
	}
	return render.OptionalTime(found.Updated) + ": " + found.Note
}
