package render

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/feeds"

	"ecr-continuous-scan/internal/scan"
)

// MaxEntries is how many entries a feed has at most: readers refuse feeds of tens of megabytes, and none follows pages.
const MaxEntries = 500

// maxAtom bounds a feed in bytes, below the 6 MB that a Lambda function may answer.
const maxAtom = 5 << 20

// maxSummary bounds the summary of an entry, in characters; its content has the whole description.
const maxSummary = 1000

// Bounds of a subtitle: how many tags, and how many images without a result, it names before it counts the rest.
const (
	maxTags    = 50
	maxTrouble = 20
)

const atomNamespace = "http://www.w3.org/2005/Atom"

// gorilla/feeds has no room for several links or for an attribute of a category, so the elements that need them are redefined here; the
// outer field hides the embedded one of the same element.
type (
	atomFeed struct {
		feeds.AtomFeed
		Links   []feeds.AtomLink
		Entries []atomEntry `xml:"entry"`
	}
	atomEntry struct {
		feeds.AtomEntry
		Links      []feeds.AtomLink
		Categories []atomCategory
	}
	atomCategory struct {
		XMLName xml.Name `xml:"category"`
		Term    string   `xml:"term,attr"`
		Scheme  string   `xml:"scheme,attr,omitempty"`
	}
)

// FeedXml implements feeds.XmlFeed. The method of the embedded feed would give the embedded feed.
func (f *atomFeed) FeedXml() any { return f }

// Atom is the findings of one config as an Atom feed (RFC 4287). self is the URL that it was asked for.
func Atom(l scan.Listing, self string) ([]byte, error) {
	updated := l.Report.Config.CreatedAt()
	if len(l.Findings) > 0 {
		updated = l.Findings[0].Updated
	}
	// Whether the entries fit is only known once they are written; if not, fewer are, by what they measured and a little less.
	for n := len(l.Findings); ; {
		var b bytes.Buffer
		if err := feeds.WriteXML(newAtomFeed(l, self, updated, n), &b); err != nil {
			return nil, fmt.Errorf("write the feed of config %s: %w", l.Report.Config.ID, err)
		}
		b.WriteByte('\n')
		if b.Len() <= maxAtom || n == 0 {
			return b.Bytes(), nil
		}
		n = n * maxAtom / b.Len() * 9 / 10
	}
}

func newAtomFeed(l scan.Listing, self string, updated time.Time, entries int) *atomFeed {
	c := l.Report.Config
	f := &atomFeed{AtomFeed: feeds.AtomFeed{
		Xmlns:    atomNamespace,
		Title:    fmt.Sprintf("ECR repository %s in %s", c.Repository, c.Region),
		Id:       scan.FeedID(c).URN(),
		Updated:  atomTime(updated),
		Subtitle: subtitle(l, entries),
		Author:   &feeds.AtomAuthor{AtomPerson: feeds.AtomPerson{Name: "ECR"}},
	}}
	f.Links = []feeds.AtomLink{{Href: ConsoleURL(c.Repo()), Rel: "alternate", Type: "text/html"}}
	if self != "" {
		f.Links = append(f.Links, feeds.AtomLink{Href: self, Rel: "self", Type: "application/atom+xml"})
	}
	for _, found := range scan.Worst(l.Findings, entries) {
		f.Entries = append(f.Entries, newAtomEntry(found))
	}
	return f
}

func newAtomEntry(found scan.ImageFinding) atomEntry {
	f, image := found.Finding, found.Image
	severity, name, pkg := oneLine(string(f.Severity), 50), oneLine(f.Name, 200), oneLine(f.Package, 200)
	e := atomEntry{AtomEntry: feeds.AtomEntry{
		Title:     fmt.Sprintf("[%s] in image %s:%s found %s", severity, image.Repository.Name, oneLine(image.Label(), 200), name),
		Id:        scan.FindingID(image, f).URN(),
		Published: atomTime(found.Published),
		Updated:   atomTime(found.Updated),
		Summary:   &feeds.AtomSummary{Type: "html", Content: htmlText(oneLine(summaryOf(f), maxSummary))},
		Content:   &feeds.AtomContent{Type: "html", Content: entryBody(found)},
	}}
	e.Links = []feeds.AtomLink{{Href: cmp.Or(f.URL, ConsoleURL(image.Repository)), Rel: "alternate", Type: "text/html"}}
	for _, term := range []string{severity, oneLine(image.Label(), 200), pkg} {
		if term != "" {
			e.Categories = append(e.Categories, atomCategory{Term: term})
		}
	}
	return e
}

func summaryOf(f scan.Finding) string {
	return cmp.Or(strings.TrimSpace(clean(f.Description)), "The scanner gives no description.")
}

// htmlText is a text as HTML that shows it.
func htmlText(s string) string { return template.HTMLEscapeString(s) }

// subtitle names the tags, and says everything that the feed does not show.
func subtitle(l scan.Listing, entries int) string {
	var b strings.Builder
	b.WriteString("Details of the image scan findings")
	tags := tagsOf(l.Report)
	for i, tag := range tags {
		if i == 0 {
			b.WriteString(" across the tags:")
		}
		if i == maxTags {
			fmt.Fprintf(&b, " and %d more", len(tags)-i)
			break
		}
		fmt.Fprintf(&b, " [%s]", oneLine(tag, 200))
	}
	if entries < l.Total {
		fmt.Fprintf(&b, ". Listed are the %d most severe of %d findings", entries, l.Total)
	}
	if line := troubleOf(l.Report); line != "" {
		return b.String() + ". Without a result: " + line
	}
	return b.String() + withoutResult(l.Report.Images)
}

// tagsOf are the tags that were looked at, or those that should have been.
func tagsOf(r scan.Report[scan.Result]) []string {
	if len(r.Images) == 0 {
		return r.Config.Tags
	}
	tags := make([]string, len(r.Images))
	for i, item := range r.Images {
		tags[i] = item.Image.Label()
	}
	return tags
}

func withoutResult(images []scan.Item[scan.Result]) string {
	var b strings.Builder
	n := 0
	for _, item := range images {
		line := stateLine(item.Value)
		if line == "" {
			continue
		}
		lead := ","
		if n++; n == 1 {
			lead = ". Without a result:"
		}
		if n <= maxTrouble {
			fmt.Fprintf(&b, "%s [%s] %s", lead, oneLine(item.Image.Label(), 200), line)
		}
	}
	if n > maxTrouble {
		fmt.Fprintf(&b, " and %d more", n-maxTrouble)
	}
	return b.String()
}

// ConsoleURL is the page of a repository in the AWS console of its partition.
func ConsoleURL(r scan.Repository) string {
	domain := "console.aws.amazon.com"
	switch {
	case strings.HasPrefix(r.Region, "cn-"):
		domain = "console.amazonaws.cn"
	case strings.HasPrefix(r.Region, "us-gov-"):
		domain = "console.amazonaws-us-gov.com"
	}
	u := url.URL{
		Scheme: "https", Host: r.Region + "." + domain, Path: "/ecr/repositories/private/" + r.Registry + "/" + r.Name,
		RawQuery: url.Values{"region": {r.Region}}.Encode(),
	}
	return u.String()
}

func atomTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// entryTemplate is the body of an entry. Only elements that every reader keeps are used, with blanks between them for those that make plain
// text of it.
var entryTemplate = template.Must(template.New("entry").Parse(`<p>{{.Description}}</p> <table>` +
	`{{range .Rows}}<tr><th>{{.Name}}</th> <td>{{.Value}}</td></tr> {{end}}</table> ` +
	`{{if .URL}}<p><a href="{{.URL}}">Advisory</a></p>{{end}}`))

type entryRow struct{ Name, Value string }

func entryBody(found scan.ImageFinding) string {
	f, image := found.Finding, found.Image
	fixed := strings.Join(f.FixedIn, ", ")
	rows := []entryRow{
		{"Severity", string(f.Severity)},
		{"CVSS score", strings.TrimSpace(f.Score + " " + f.Vector)},
		{"Package", f.Package},
		{"Installed version", strings.Join(f.Versions, ", ")},
		{"Fixed in", fixed},
		{"Fix available", f.FixAvailable},
		{"Exploit available", f.Exploit},
		{"Image", image.Repository.Name + ":" + image.Label()},
		{"Digest", image.Digest},
		{"First seen", optionalTime(f.FirstSeen)},
		{"Remediation", f.Remediation},
	}
	kept := rows[:0]
	for _, row := range rows {
		if row.Value = clean(row.Value); row.Value != "" {
			kept = append(kept, row)
		}
	}
	var b strings.Builder
	body := struct {
		Description string
		Rows        []entryRow
		URL         string
	}{summaryOf(f), kept, f.URL}
	if err := entryTemplate.Execute(&b, body); err != nil {
		// Strings into a fixed template: it can't happen, and the description alone is still true.
		return htmlText(body.Description)
	}
	return b.String()
}

func optionalTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return atomTime(t)
}
