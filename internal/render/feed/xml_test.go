package feed

import (
	"encoding/xml"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/feeds"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

// FeedXml implements feeds.XmlFeed. The method of the embedded type would return only the embedded feed.
func (f *atomFeed) FeedXml() any { return f }

// sameAsLibrary compares the XML of a feed with the XML that gorilla/feeds writes.
func sameAsLibrary(t *testing.T, l report.Listing, links Links) {
	t.Helper()
	f := newFeed(l, links, 5000)
	var want strings.Builder
	if err := feeds.WriteXML(newAtomFeed(f), &want); err != nil {
		t.Fatal(err)
	}
	got, err := writeAtom(f)
	if err != nil || string(got) != want.String()+"\n" {
		t.Errorf("got\n%s\nwant\n%s\n%v", got, &want, err)
	}
}

func TestXML(t *testing.T) {
	empty := rendertest.Sample()
	empty.Entries = nil
	for _, l := range []report.Listing{rendertest.Sample(), rendertest.ByVulnerability(), rendertest.AllConfigs(), rendertest.SecondPage(), everyChange(), empty, rendertest.FullPage("a\nb\tc<\x00\U0010ffff")} {
		sameAsLibrary(t, l, Links{})
		sameAsLibrary(t, l, Links{Self: "/a?b&c", First: `/"'<>`, Previous: "/\xff", Next: "/\u00e9", Last: "/z", Summary: "/summary"})
	}
}

// FuzzXML compares the XML of any texts with encoding/xml, and reads it again.
func FuzzXML(f *testing.F) {
	f.Add("text", "<&>\"'\t\n\r", "\x00\x1f\x7f", "\ufffd\ufffe\uffff\xff\xed\xa0\x80")
	f.Add("", "]]>", "<!-- -->", "🙂\u0085\u2028\U0010ffff")
	f.Fuzz(func(t *testing.T, title, content, link, term string) {
		a := newAtomFeed(feed{title: title, subtitle: content, id: link, home: link, links: Links{Self: link}, entries: []entry{
			{id: title, title: content, url: link, summary: title, content: content, categories: []string{term, title}}, {},
		}})
		var want strings.Builder
		if err := feeds.WriteXML(a, &want); err != nil {
			t.Fatal(err)
		}
		got := strings.TrimSuffix(xml.Header, "\n") + string(appendFeed(nil, a))
		if got != want.String() {
			t.Errorf("got\n%s\nwant\n%s", got, &want)
		}
		if err := xml.Unmarshal([]byte(got), new(atomFeed)); err != nil {
			t.Error(err)
		}
	})
}

// findings returns a page of findings in one image.
func findings() report.Listing {
	c := rendertest.Config("test/ubuntu")
	l := rendertest.Listing(rendertest.ReportOf(c, rendertest.Image(c, "16.04", scan.Result{State: scan.Completed})))
	one := rendertest.Sample().Entries[1]
	one.Finding.Description = strings.Repeat("In all versions of AppArmor mount rules are accidentally widened when compiled. ", 3)
	l.Entries, l.Total = slices.Repeat([]report.Entry{one}, report.PageSize), report.PageSize
	return l
}

// A function has only a share of a processor, and the memory of copies costs most of the time of a feed.
func TestMemoryOfAtom(t *testing.T) {
	l := findings()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	atom, err := Atom(l, here)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if allocated, limit := after.TotalAlloc-before.TotalAlloc, 4*uint64(len(atom)); allocated > limit {
		t.Errorf("%d bytes of memory for a feed of %d bytes, want at most %d", allocated, len(atom), limit)
	}
}

func BenchmarkAtom(b *testing.B) {
	l := findings()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Atom(l, here); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJSONFeed(b *testing.B) {
	l := findings()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := JSON(l, here); err != nil {
			b.Fatal(err)
		}
	}
}
