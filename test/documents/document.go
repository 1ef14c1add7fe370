// Package documents reads the Markdown documents of the project. Its tests follow the links and run the commands.
// Package test/deployment runs the commands for AWS. The table in rules.go names the test that runs a command.
package documents

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
	"golang.org/x/net/html"
)

// Root is the folder of the project, seen from the package whose test runs.
const Root = "../.."

// Document is a Markdown file.
type Document struct {
	Name    string // relative to Root, with slashes
	Anchors []string
	Links   []string // the targets of links and pictures
	Code    []string // inline code
	Blocks  []Block
}

// Block is an indented or fenced block of code.
type Block struct {
	Document, Section string // Section is the anchor of the heading above the block
	Line              int
	Fenced            bool
	Language          string
	Text              string
}

// Read parses all Markdown documents of the project.
func Read() ([]Document, error) {
	names, err := projectFiles()
	if err != nil {
		return nil, err
	}
	var documents []Document
	for _, name := range names {
		if path.Ext(name) != ".md" {
			continue
		}
		source, err := os.ReadFile(filepath.Join(Root, name))
		if err != nil {
			return nil, err
		}
		d, err := parse(name, source)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		documents = append(documents, d)
	}
	return documents, nil
}

// projectFiles lists the files of the project without those that git ignores.
func projectFiles() ([]string, error) {
	patterns, err := os.ReadFile(filepath.Join(Root, ".gitignore"))
	if err != nil {
		return nil, err
	}
	ignored := strings.Split("/.git\n"+string(patterns), "\n")
	var names []string
	err = fs.WalkDir(os.DirFS(Root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case isIgnored(name, ignored) && entry.IsDir():
			return fs.SkipDir
		case !entry.IsDir() && !isIgnored(name, ignored):
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// isIgnored knows only the two kinds of patterns that .gitignore has: /path and the name of a file.
func isIgnored(name string, patterns []string) bool {
	for _, pattern := range patterns {
		part := path.Base(name)
		if rooted, found := strings.CutPrefix(pattern, "/"); found {
			part, pattern = name, strings.TrimSuffix(rooted, "/")
		}
		if match, _ := path.Match(pattern, part); match {
			return true
		}
	}
	return false
}

func parse(name string, source []byte) (Document, error) {
	d := Document{Name: name}
	section := ""
	tree := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	err := ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			section = d.newAnchor(plainText(n, source))
		case *ast.Link:
			d.Links = append(d.Links, string(n.Destination))
		case *ast.Image:
			d.Links = append(d.Links, string(n.Destination))
		case *ast.AutoLink:
			d.Links = append(d.Links, string(n.URL(source)))
		case *ast.CodeSpan:
			d.Code = append(d.Code, plainText(n, source))
		case *ast.HTMLBlock:
			d.readHTML(n.Lines().Value(source))
		case *ast.RawHTML:
			d.readHTML(n.Segments.Value(source))
		case *ast.CodeBlock:
			d.addBlock(Block{Section: section}, n.Lines(), source)
		case *ast.FencedCodeBlock:
			d.addBlock(Block{Section: section, Fenced: true, Language: string(n.Language(source))}, n.Lines(), source)
		}
		return ast.WalkContinue, nil
	})
	return d, err
}

func (d *Document) addBlock(b Block, lines *text.Segments, source []byte) {
	if lines.Len() == 0 {
		return
	}
	b.Document, b.Text = d.Name, string(lines.Value(source))
	b.Line = 1 + bytes.Count(source[:lines.At(0).Start], []byte("\n"))
	d.Blocks = append(d.Blocks, b)
}

// newAnchor returns the anchor that GitHub makes of a heading. The second heading with the same text gets "-1".
func (d *Document) newAnchor(heading string) string {
	anchor := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsMark(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, heading)
	unique := anchor
	for n := 1; slices.Contains(d.Anchors, unique); n++ {
		unique = fmt.Sprintf("%s-%d", anchor, n)
	}
	d.Anchors = append(d.Anchors, unique)
	return unique
}

// readHTML adds the links, pictures and anchors of HTML in a document.
func (d *Document) readHTML(source []byte) {
	tokens := html.NewTokenizer(bytes.NewReader(source))
	for tokens.Next() != html.ErrorToken {
		for _, attribute := range tokens.Token().Attr {
			switch attribute.Key {
			case "href", "src", "srcset":
				d.Links = append(d.Links, attribute.Val)
			case "id", "name":
				d.Anchors = append(d.Anchors, attribute.Val)
			}
		}
	}
}

func plainText(n ast.Node, source []byte) string {
	var b strings.Builder
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		switch child := child.(type) {
		case *ast.Text:
			b.Write(child.Value(source))
			if child.SoftLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(child.Value)
		case *ast.AutoLink:
			b.Write(child.Label(source))
		default:
			b.WriteString(plainText(child, source))
		}
	}
	return b.String()
}
