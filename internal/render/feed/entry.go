package feed

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

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

func newEntry(l report.Listing, links Links, found report.Entry, limit int) entry {
	f, image := found.Finding, found.Images[0]
	name := nameIn(limit)
	e := entry{
		id: l.EntryID(found).URN(), published: found.Published, updated: found.Updated, summary: summaryOf(f, f.Severity, limit),
		url: links.of(f, image.Repository, limit), data: render.NewFindingData(l, found, limit), content: content(l, found, limit),
	}
	severity := render.OneLine(string(f.Severity), 50)
	term, state := severity, ""
	if !found.Resolved.IsZero() {
		term, state = resolvedTerm, "[RESOLVED] "
	}
	var packages []string
	for _, pkg := range render.PackageTerms(f, maxTerms) {
		packages = append(packages, name(pkg))
	}
	if l.View.ByVulnerability {
		e.title = fmt.Sprintf("%s[%s] in images of %s found %s", state, severity, image.Repository.Name, name(f.Name))
		if f.Package != "" {
			e.title += " in " + name(f.Package)
		}
		e.categories = slices.Concat([]string{term}, packages, render.Labels(found.Images[:min(len(found.Images), maxTerms)], name))
	} else {
		e.title = fmt.Sprintf("%s[%s] in image %s:%s found %s", state, severity, image.Repository.Name, name(image.Label()), findingName(f, name))
		e.categories = append([]string{term, name(image.Label())}, packages...)
	}
	if found.RaisedTo != "" {
		e.title += " (now " + render.OneLine(string(found.RaisedTo), 50) + ")"
	}
	e.categories = withoutEmpty(e.categories)
	return e
}

// findingName returns the name of a finding for titles: its vulnerability, and its package if the title must name it.
func findingName(f scan.Finding, name func(string) string) string {
	if pkg := f.IdentityPackage(); f.NamesPackage && pkg != "" {
		return name(f.Name) + " in " + name(pkg)
	}
	return name(f.Name)
}

// nameIn returns the function that shortens a name for an entry whose texts have at most limit characters.
func nameIn(limit int) func(string) string {
	return func(s string) string { return render.OneLine(s, min(render.MaxName, max(limit, 100))) }
}

func withoutEmpty(terms []string) []string {
	return slices.DeleteFunc(terms, func(term string) bool { return term == "" })
}

// resolvedTerm is the category of a resolved finding. It replaces the severity, so that a rule of a feed reader for a severity does not match it.
const resolvedTerm = "resolved"

// maxTerms is the maximum number of packages, and of tags of a group, that are also categories.
const maxTerms = 5

func descriptionOf(f scan.Finding, limit int) string {
	return cmp.Or(strings.TrimSpace(render.Clean(f.Description, limit)), "The scanner gives no description.")
}

// summaryOf returns one line with the most important facts, and the beginning of the description. Some programs show only the summary.
func summaryOf(f scan.Finding, severity scan.Severity, limit int) string {
	part := func(texts ...string) string { return render.OneLine(strings.Join(texts, ", "), maxSummaryPart) }
	head := render.OneLine(string(severity), 50)
	if installed := strings.TrimSpace(part(f.Package) + " " + part(f.Versions...)); installed != "" {
		head += ": " + installed
	}
	if len(f.FixedIn) > 0 {
		head += ", fixed in " + part(f.FixedIn...)
	}
	return render.OneLine(head+". "+descriptionOf(f, limit), min(render.MaxSummary, max(limit, 3*maxSummaryPart)))
}

// maxSummaryPart is the maximum length of the packages, of the installed versions and of the fixed versions in a summary, in characters.
const maxSummaryPart = 100

type row struct{ Name, Value string }

var emptyLine = regexp.MustCompile(`\n\s*\n`)

func content(l report.Listing, found report.Entry, limit int) string {
	return contentOf(emptyLine.Split(descriptionOf(found.Finding, limit), -1), rows(l, found, limit), render.Advisory(found.Finding, limit))
}

// maxRow is the maximum length of a row of a table, in characters. Mail programs break lines after about 78 characters, which would break the table.
const maxRow = 70

// contentOf returns paragraphs, a table and a link as HTML: the body of an entry. It uses only elements that every feed reader shows. The spaces
// between them are for readers that convert the content to plain text. Long rows are paragraphs after the table.
func contentOf(paragraphs []string, rows []row, url string) string {
	var text, table, long strings.Builder
	for _, p := range paragraphs {
		text.WriteString("<p>" + htmlText(p) + "</p> ")
	}
	for _, r := range rows {
		if utf8.RuneCountInString(r.Name+r.Value) > maxRow {
			long.WriteString("<p>" + htmlText(r.Name+": "+r.Value) + "</p> ")
		} else {
			table.WriteString("<tr><th>" + htmlText(r.Name) + "</th> <td>" + htmlText(r.Value) + "</td></tr> ")
		}
	}
	if table.Len() > 0 {
		text.WriteString("<table>" + table.String() + "</table> ")
	}
	text.WriteString(long.String())
	if url != "" {
		text.WriteString(`<p><a href="` + htmlText(url) + `">Advisory</a></p>`)
	}
	return text.String()
}

// htmlText escapes a text for HTML, and a link for an attribute: links contain no quotation marks. It replaces only the characters that must be
// replaced, because many programs do not decode references such as &#39;.
func htmlText(s string) string { return htmlEscapes.Replace(s) }

var htmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

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
		{"In use", render.UseWords(f.InUse, f.LastInUse, time.RFC3339)},
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
