// Package architecture checks the project's files against the rules of CONTRIBUTING.md: which package may import
// which, and what only one place may do. It parses the files itself. A test that runs `go list` would be answered
// from the test cache although files have changed.
//
// It does not test what the code does.
package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "ecr-continuous-scan"
	root   = "../.."
)

// source is a Go file. pkg is its folder, relative to the root and with slashes.
type source struct {
	*ast.File
	pkg, name string
	positions *token.FileSet
}

func (s source) isTest() bool { return strings.HasSuffix(s.name, "_test.go") }

// isForTests reports whether the package may import and call anything.
func (s source) isForTests() bool { return strings.HasPrefix(s.pkg, "test/") }

func (s source) at(n ast.Node) string {
	return s.pkg + "/" + s.name + ":" + strconv.Itoa(s.positions.Position(n.Pos()).Line)
}

// allSources parses all Go files, whatever their build tags, except the programs in testdata.
func allSources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(file) != ".go":
			return nil
		}
		folder, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, source{parsed, filepath.ToSlash(folder), entry.Name(), positions})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// code returns all files that are not tests.
func code(t *testing.T) []source {
	t.Helper()
	return slices.DeleteFunc(allSources(t), source.isTest)
}

func pathOf(spec *ast.ImportSpec) string {
	p, _ := strconv.Unquote(spec.Path.Value) // the parser has already checked it
	return p
}

// within reports whether a package is the parent or below it.
func within(pkg, parent string) bool { return pkg == parent || strings.HasPrefix(pkg, parent+"/") }

func contributing(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var quoted = regexp.MustCompile("`([^`]+)`")

// quotedIn returns the texts between backquotes.
func quotedIn(text string) []string {
	var names []string
	for _, match := range quoted.FindAllStringSubmatch(text, -1) {
		names = append(names, match[1])
	}
	return names
}

// importTable reads from CONTRIBUTING.md which of the project's packages each package may import.
func importTable(t *testing.T) map[string][]string {
	t.Helper()
	_, table, found := strings.Cut(contributing(t), "\n| package | may import |\n")
	if !found {
		t.Fatal(`CONTRIBUTING.md has no table with the head "| package | may import |"`)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	may := map[string][]string{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) != 4 {
			t.Fatalf("CONTRIBUTING.md: not a row of two cells: %s", row)
		}
		for _, pkg := range quotedIn(cells[1]) {
			may[pkg] = quotedIn(cells[2])
		}
	}
	return may
}

func TestImportsOfOwnPackages(t *testing.T) {
	may, seen := importTable(t), map[string]bool{}
	for _, s := range code(t) {
		if s.isForTests() {
			continue
		}
		allowed, listed := may[s.pkg]
		if !listed && !seen[s.pkg] {
			t.Errorf("package %s is missing in the table of imports in CONTRIBUTING.md", s.pkg)
		}
		seen[s.pkg] = true
		for _, spec := range s.Imports {
			if ours, ok := strings.CutPrefix(pathOf(spec), module+"/"); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s: %s must not import %s", s.at(spec), s.pkg, ours)
			}
		}
	}
	for pkg := range may {
		if !seen[pkg] && !strings.HasPrefix(pkg, "test/") {
			t.Errorf("CONTRIBUTING.md's table of imports lists %s, which is not a package", pkg)
		}
	}
}

// Some packages of other modules may only be imported by certain packages.
func TestRestrictedImports(t *testing.T) {
	sdk := []string{"internal/ecrscan", "internal/s3store", "internal/setup", "internal/sqsqueue", "local"}
	embedded := []string{"internal/awslocal"}
	places := map[string][]string{
		"github.com/aws/aws-sdk-go-v2":      sdk,
		"github.com/aws/smithy-go":          sdk,
		"github.com/aws/aws-lambda-go":      {"configs", "summary", "findings", "startscan", "internal/lambdahttp", "internal/scanevents", "internal/setup"},
		"github.com/johannesboyne/gofakes3": embedded, // the Lambda functions must not contain these
		"go.etcd.io/bbolt":                  embedded,
		module + "/internal/awslocal":       {"local", "internal/awslocal/demo", "internal/awslocal/ecr", "internal/awslocal/samples"},
	}
	for _, s := range code(t) {
		if s.isForTests() {
			continue
		}
		for _, spec := range s.Imports {
			for imported, in := range places {
				if within(pathOf(spec), imported) && !slices.Contains(in, s.pkg) {
					t.Errorf("%s: %s must not import %s, which only %v and tests may import", s.at(spec), s.pkg, pathOf(spec), in)
				}
			}
		}
	}
}

// Some packages, and those below them, only compute values: no network, files or processes.
func TestPurePackages(t *testing.T) {
	outside := []string{"embed", "net/http", "os", "os/exec", "syscall"}
	pure := []string{"internal/figures", "internal/gate", "internal/history", "internal/refresh", "internal/render", "internal/report", "internal/rescan", "internal/scan", "internal/suppress", "internal/suppresschanges", "internal/suppresscount", "internal/suppressfile"}
	for _, s := range code(t) {
		if !slices.ContainsFunc(pure, func(parent string) bool { return within(s.pkg, parent) }) {
			continue
		}
		for _, spec := range s.Imports {
			imported := pathOf(spec)
			if imported == "embed" && s.pkg == "internal/render/page" {
				continue // the templates of the pages are files that the executable embeds
			}
			if slices.Contains(outside, imported) {
				t.Errorf("%s: %s must only compute values and must not import %s", s.at(spec), s.pkg, imported)
			}
		}
	}
}

// uses returns the places where a file uses names of an imported package.
func uses(s source, imported string, names *regexp.Regexp) []ast.Node {
	local := ""
	for _, spec := range s.Imports {
		if pathOf(spec) != imported {
			continue
		}
		local = path.Base(imported)
		if spec.Name != nil {
			local = spec.Name.Name
		}
	}
	var found []ast.Node
	ast.Inspect(s.File, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok && names.MatchString(selector.Sel.Name) {
			if x, ok := selector.X.(*ast.Ident); ok && local != "" && x.Name == local {
				found = append(found, n)
			}
		}
		return true
	})
	return found
}

func TestRestrictedCalls(t *testing.T) {
	environment := regexp.MustCompile(`^(Getenv|LookupEnv|Environ|ExpandEnv)$`)
	printing := regexp.MustCompile(`^Print`)
	for _, s := range code(t) {
		if s.isForTests() {
			continue
		}
		// deploy is a separate tool and must not import packages of the service.
		if s.pkg != "internal/setup" && s.pkg != "deploy" {
			for _, n := range uses(s, "os", environment) {
				t.Errorf("%s: only internal/setup reads the environment", s.at(n))
			}
		}
		if within(s.pkg, "internal") {
			for _, n := range uses(s, "fmt", printing) {
				t.Errorf("%s: log with slog, or return the text", s.at(n))
			}
		}
	}
}

func TestNoInit(t *testing.T) {
	for _, s := range code(t) {
		for _, declared := range s.Decls {
			if f, ok := declared.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: init functions are not allowed: use main or a constructor", s.at(f))
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	all := allSources(t)
	hasCode, documented := map[string]bool{}, map[string]bool{}
	for _, s := range all {
		hasCode[s.pkg] = hasCode[s.pkg] || !s.isTest()
	}
	for _, s := range all {
		fromCode := !s.isTest() || !hasCode[s.pkg] // some packages contain only tests
		documented[s.pkg] = documented[s.pkg] || fromCode && strings.TrimSpace(s.Doc.Text()) != ""
	}
	for pkg := range hasCode {
		if !documented[pkg] {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

func TestPackageNames(t *testing.T) {
	meaningless := regexp.MustCompile(`^(utils?|common|helpers?|base)$`)
	for _, s := range code(t) {
		if meaningless.MatchString(s.File.Name.Name) || meaningless.MatchString(path.Base(s.pkg)) {
			t.Errorf("%s: rename package %s: its name must say what it contains", s.at(s.File), s.pkg)
		}
	}
}

// The targets and files that CONTRIBUTING.md names exist.
func TestNamesInContributing(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range quotedIn(contributing(t)) {
		if target, ok := strings.CutPrefix(name, "make "); ok {
			target, _, _ = strings.Cut(target, " ")
			if !strings.Contains(string(makefile), "\n"+target+":") {
				t.Errorf("CONTRIBUTING.md names %q, but the Makefile has no such target", name)
			}
		} else if strings.Contains(name, "/") && !strings.ContainsAny(name, " *…") {
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Errorf("CONTRIBUTING.md names a file that does not exist: %v", err)
			}
		}
	}
}
