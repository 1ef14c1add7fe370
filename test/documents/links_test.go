package documents

import (
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestLinks follows each link to a file, a heading or a picture of the project. It checks only the form of other links.
func TestLinks(t *testing.T) {
	documents := read(t)
	anchors := map[string][]string{}
	for _, d := range documents {
		anchors[d.Name] = d.Anchors
	}
	files, err := projectFiles()
	if err != nil {
		t.Fatal(err)
	}
	followed := 0
	for _, d := range documents {
		for _, link := range d.Links {
			if problem := problemOf(d, link, files, anchors); problem != "" {
				t.Errorf("%s: the link %s %s", d.Name, link, problem)
			}
			followed++
		}
	}
	if followed < 50 {
		t.Errorf("the documents have %d links, want at least 50", followed)
	}
}

// problemOf says what is wrong with a link.
func problemOf(d Document, link string, files []string, anchors map[string][]string) string {
	u, err := url.Parse(link)
	switch {
	case err != nil:
		return err.Error()
	case u.Scheme == "http" && u.Hostname() == "localhost": // `make run`
		return ""
	case u.Scheme != "" || u.Host != "":
		if u.Scheme != "https" || !strings.Contains(u.Hostname(), ".") || net.ParseIP(u.Hostname()) != nil || u.User != nil {
			return "must be https and name a host"
		}
		return ""
	case path.IsAbs(u.Path):
		return "must be relative"
	}
	target := d.Name
	if u.Path != "" {
		target = path.Join(path.Dir(d.Name), u.Path)
	}
	if !slices.ContainsFunc(files, func(file string) bool { return file == target || strings.HasPrefix(file, target+"/") }) {
		return "names no file or folder of the project"
	}
	if u.Fragment != "" && !slices.Contains(anchors[target], u.Fragment) {
		return "names no heading of " + target
	}
	return ""
}

func TestProblemsOfLinks(t *testing.T) {
	source := "# One `two` & three\n\n## Two\n\n# One two & three\n\n<a id=\"four\"></a>[x](#one-two--three)"
	d, err := parse("docs/a.md", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string][]string{"docs/a.md": d.Anchors}
	for link, good := range map[string]bool{
		"#one-two--three": true, "a.md#one-two--three-1": true, "../docs/a.md#four": true, "a.md": true, "../docs": true, "https://example.org/x#y": true,
		"http://localhost:8080/summary": true,
		"#one-two-three":                false, "b.md": false, "/docs/a.md": false, "http://example.org": false, "https://localhost": false, "ftp://example.org": false,
		"mailto:a@example.org": false, "../bin": false,
	} {
		if problem := problemOf(d, link, []string{"docs/a.md"}, anchors); (problem == "") != good {
			t.Errorf("%s of %v: %q", link, d.Anchors, problem)
		}
	}
	if len(d.Links) != 1 {
		t.Errorf("the links are %q", d.Links)
	}
}

func read(t *testing.T) []Document {
	t.Helper()
	documents, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	return documents
}
