package feed

import (
	"unicode/utf8"

	"github.com/gorilla/feeds"
)

// Sizes of the markup of most feeds and entries, in bytes.
const (
	feedMarkup  = 4 << 10
	entryMarkup = 900
)

// appendFeed appends a feed as XML, with the elements that newAtomFeed and newAtomEntry set. feeds.WriteXML would write the same, as a test checks, but
// takes several times as long.
func appendFeed(b []byte, f *atomFeed) []byte {
	x := xmlText{b: b, indent: "\n  "}
	x.add(`<feed xmlns="`)
	x.escape(f.Xmlns)
	x.add(`">`)
	x.element("title", f.Title)
	x.element("id", f.Id)
	x.element("updated", f.Updated)
	x.optional("subtitle", f.Subtitle)
	x.add("\n  <author>")
	x.indent = "\n    "
	x.optional("name", f.Author.Name)
	x.add("\n  </author>")
	x.indent = "\n  "
	x.links(f.Links)
	x.indent = "\n    "
	for i := range f.Entries {
		x.add("\n  <entry>")
		x.entry(&f.Entries[i])
		x.add("\n  </entry>")
	}
	x.add("\n</feed>")
	return x.b
}

// xmlText is XML that grows. indent is what comes before each element.
type xmlText struct {
	b      []byte
	indent string
}

func (x *xmlText) entry(e *atomEntry) {
	x.element("title", e.Title)
	x.element("updated", e.Updated)
	x.element("id", e.Id)
	x.typed("content", e.Content.Type, e.Content.Content)
	x.optional("published", e.Published)
	x.typed("summary", e.Summary.Type, e.Summary.Content)
	x.links(e.Links)
	for _, c := range e.Categories {
		x.add(x.indent, `<category`)
		x.attribute("term", c.Term)
		x.add(`></category>`)
	}
}

func (x *xmlText) links(links []feeds.AtomLink) {
	for _, l := range links {
		x.add(x.indent, `<link`)
		x.attribute("href", l.Href)
		x.attribute("rel", l.Rel)
		x.attribute("type", l.Type)
		x.add(`></link>`)
	}
}

// element adds an element with a text. optional does it only if the text is not empty. typed also adds the attribute type.
func (x *xmlText) element(name, text string) {
	x.add(x.indent, "<", name, ">")
	x.escape(text)
	x.add("</", name, ">")
}

func (x *xmlText) optional(name, text string) {
	if text != "" {
		x.element(name, text)
	}
}

func (x *xmlText) typed(name, kind, text string) {
	x.add(x.indent, "<", name)
	x.attribute("type", kind)
	x.add(">")
	x.escape(text)
	x.add("</", name, ">")
}

func (x *xmlText) attribute(name, value string) {
	x.add(" ", name, `="`)
	x.escape(value)
	x.add(`"`)
}

func (x *xmlText) add(parts ...string) {
	for _, part := range parts {
		x.b = append(x.b, part...)
	}
}

// escape adds a text with the escapes of encoding/xml. Like encoding/xml, it replaces characters that XML does not allow.
func (x *xmlText) escape(s string) {
	last := 0
	for i := 0; i < len(s); {
		width, replacement := 1, ""
		if c := s[i]; c < utf8.RuneSelf {
			replacement = escapeOf(c)
		} else {
			var r rune
			if r, width = utf8.DecodeRuneInString(s[i:]); r == 0xFFFE || r == 0xFFFF || r == utf8.RuneError && width == 1 {
				replacement = "\uFFFD"
			}
		}
		if replacement != "" {
			x.b = append(append(x.b, s[last:i]...), replacement...)
			last = i + width
		}
		i += width
	}
	x.b = append(x.b, s[last:]...)
}

// escapeOf returns what replaces an ASCII character in XML; empty if nothing does.
func escapeOf(c byte) string {
	if escape := xmlEscapes[c]; escape != "" || c >= ' ' {
		return escape
	}
	return "\uFFFD"
}

var xmlEscapes = [256]string{
	'<': "&lt;", '>': "&gt;", '&': "&amp;", '"': "&#34;", '\'': "&#39;", '\t': "&#x9;", '\n': "&#xA;", '\r': "&#xD;",
}
