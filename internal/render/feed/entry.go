package feed

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

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
	// found is the finding of the entry; nil for a change.
	found *report.Entry
}

// source is what the entries of a feed are made of. Each text of an entry has at most limit characters.
type source struct {
	report.Listing
	links Links
	limit int
	// idInFeed returns the id of a finding or of a change in this feed.
	idInFeed func(uuid.UUID) uuid.UUID
}

func newSource(l report.Listing, links Links, limit int) *source {
	return &source{l, links, limit, l.IDInFeed()}
}

// name shortens a name.
func (s *source) name(name string) string {
	return render.OneLine(name, min(render.MaxName, max(s.limit, 100)))
}

func newEntry(s *source, found *report.Entry) entry {
	f, image := &found.Finding, found.Images[0]
	description, advisory := descriptionOf(f, s.limit), render.Advisory(f.URL, s.limit)
	e := entry{
		id: s.idInFeed(s.FindingID(*found)).URN(), published: found.Published, updated: found.Updated, url: s.links.of(f.Name, advisory, image.Repository),
		summary: summaryOf(f, f.Severity, description, s.limit), content: contentOf(description, rows(s, found), advisory), found: found,
	}
	severity := render.OneLine(string(f.Severity), 50)
	term, state := severity, ""
	if !found.Resolved.IsZero() {
		term, state = resolvedTerm, "[RESOLVED] "
	}
	packages := make([]string, 0, maxTerms)
	for _, pkg := range render.PackageTerms(*f, maxTerms) {
		packages = append(packages, s.name(pkg))
	}
	if s.View.ByVulnerability {
		e.title = state + "[" + severity + "] in images of " + image.Repository.Name + " found " + s.name(f.Name)
		if f.Package != "" {
			e.title += " in " + s.name(f.Package)
		}
		e.categories = slices.Concat([]string{term}, packages, render.Labels(found.Images[:min(len(found.Images), maxTerms)], s.name))
	} else {
		label := s.name(image.Label())
		e.title = state + "[" + severity + "] in image " + image.Repository.Name + image.Separator() + label + " found " + findingName(s, *f)
		e.categories = append([]string{term, label}, packages...)
	}
	if found.Suppression != nil {
		e.title = "[SUPPRESSED] " + e.title
		e.categories = append([]string{suppressedTerm}, e.categories[1:]...)
	}
	if found.RaisedTo != "" {
		e.title += " (now " + render.OneLine(string(found.RaisedTo), 50) + ")"
	}
	e.categories = withoutEmpty(e.categories)
	return e
}

// findingName returns the name of a finding for titles: its vulnerability, and its package if the title must name it.
func findingName(s *source, f scan.Finding) string {
	if pkg := f.IdentityPackage(); f.NamesPackage && pkg != "" {
		return s.name(f.Name) + " in " + s.name(pkg)
	}
	return s.name(f.Name)
}

func withoutEmpty(terms []string) []string {
	return slices.DeleteFunc(terms, func(term string) bool { return term == "" })
}

// resolvedTerm is the category of a resolved finding. It replaces the severity, so that a rule of a feed reader for a severity does not match it.
const resolvedTerm = "resolved"

// suppressedTerm is the category of a suppressed finding. It replaces the severity too.
const suppressedTerm = "suppressed"

// maxTerms is the maximum number of packages, and of tags of a group, that are also categories.
const maxTerms = 5

func descriptionOf(f *scan.Finding, limit int) string {
	return cmp.Or(strings.TrimSpace(render.Clean(f.Description, limit)), "The scanner gives no description.")
}

// summaryOf returns one line with the most important facts, and the beginning of the description. Some programs show only the summary.
func summaryOf(f *scan.Finding, severity scan.Severity, description string, limit int) string {
	part := func(texts ...string) string { return render.OneLine(strings.Join(texts, ", "), maxSummaryPart) }
	head := render.OneLine(string(severity), 50)
	if installed := strings.TrimSpace(part(f.Package) + " " + part(f.Versions...)); installed != "" {
		head += ": " + installed
	}
	if len(f.FixedIn) > 0 {
		head += ", fixed in " + part(f.FixedIn...)
	}
	return render.OneLine(head+". "+description, min(render.MaxSummary, max(limit, 3*maxSummaryPart)))
}

// maxSummaryPart is the maximum length of the packages, of the installed versions and of the fixed versions in a summary, in characters.
const maxSummaryPart = 100

type row struct{ name, value string }

// isLong reports whether a row is too long for a table.
func (r row) isLong() bool {
	n := len(r.name) + len(r.value)
	return n > maxRow && utf8.RuneCountInString(r.name)+utf8.RuneCountInString(r.value) > maxRow
}

// maxRow is the maximum length of a row of a table, in characters. Mail programs break lines after about 78 characters, which would break the table.
const maxRow = 70

var emptyLine = regexp.MustCompile(`\n\s*\n`)

// contentOf returns a text, a table and a link as HTML: the body of an entry. Empty lines in the text separate paragraphs. The HTML uses only elements
// that every feed reader shows. The spaces between them are for readers that convert the content to plain text. Long rows are paragraphs after the
// table.
func contentOf(text string, rows []row, url string) string {
	var b strings.Builder
	b.Grow(len(text) + 64*len(rows) + 256)
	add := func(parts ...string) {
		for _, part := range parts {
			b.WriteString(part)
		}
	}
	paragraphs := []string{text}
	if strings.Contains(text, "\n") {
		paragraphs = emptyLine.Split(text, -1)
	}
	for _, p := range paragraphs {
		add("<p>", htmlText(p), "</p> ")
	}
	end := ""
	for _, r := range rows {
		if r.isLong() {
			continue
		}
		if end == "" {
			add("<table>")
			end = "</table> "
		}
		add("<tr><th>", htmlText(r.name), "</th> <td>", htmlText(r.value), "</td></tr> ")
	}
	add(end)
	for _, r := range rows {
		if r.isLong() {
			add("<p>", htmlText(r.name), ": ", htmlText(r.value), "</p> ")
		}
	}
	if url != "" {
		add(`<p><a href="`, htmlText(url), `">Advisory</a></p>`)
	}
	return b.String()
}

// htmlText escapes a text for HTML, and a link for an attribute: links contain no quotation marks. It replaces only the characters that must be
// replaced, because many programs do not decode references such as &#39;.
func htmlText(s string) string { return htmlEscapes.Replace(s) }

var htmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func rows(s *source, found *report.Entry) []row {
	f, image := &found.Finding, found.Images[0]
	all := []row{
		{"Severity", string(f.Severity)},
		{"Related", strings.Join(f.Related, ", ")},
		{"CVSS score", scoreWords(f)},
		{"Package", f.Package},
		{"Installed version", strings.Join(f.Versions, ", ")},
		{"Fixed in", strings.Join(f.FixedIn, ", ")},
		{"Packages", render.PackageWords(*f, s.limit)},
		{"Fix available", f.FixAvailable},
		{"Exploit available", f.Exploit},
		{"In use", render.UseWords(f.InUse, f.LastInUse, time.RFC3339)},
		{}, {},
		{"Registry", image.Repository.Registry + " in " + image.Repository.Region},
		{"First seen", render.OptionalTime(found.Published)},
		{"Resolved", render.OptionalTime(found.Resolved)},
		{"Last change", lastChange(found)},
		{"Remediation", f.Remediation},
	}
	if s := found.Suppression; s != nil {
		all = append(all, row{"Suppressed", s.Reason}, row{"Suppressed until", render.OptionalTime(s.End())}, row{"Justification", s.Justification})
	}
	if place := all[10:12]; s.View.ByVulnerability {
		place[0], place[1] = row{"Repository", image.Repository.Name}, row{"Tags", render.TagList(*found, s.limit)}
	} else {
		place[0], place[1] = row{"Image", image.Repository.Name + image.Separator() + image.Label()}, row{"Digest", image.Digest}
	}
	return nonEmpty(all, s.limit)
}

// scoreWords returns the score, the vector and who rated the vulnerability so, as far as they are known.
func scoreWords(f *scan.Finding) string {
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
		if r.value = render.Clean(r.value, limit); r.value != "" {
			kept = append(kept, r)
		}
	}
	return kept
}

// lastChange returns the time and description of the last change; empty when there was none.
func lastChange(found *report.Entry) string {
	if found.Note == "" {
		return ""
	}
	return render.OptionalTime(found.Updated) + ": " + found.Note
}
