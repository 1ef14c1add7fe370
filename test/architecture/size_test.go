package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	pathpkg "path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Limits that keep the code readable.
const (
	maxFunction = 47   // lines of a function
	maxPackage  = 2000 // lines of code of a package, without comments and blank lines
	maxCycle    = 3    // files of a package that depend on each other in a cycle
)

func TestFunctionsAreShort(t *testing.T) {
	for _, s := range code(t) {
		if s.isForTests() {
			continue
		}
		for _, declared := range s.Decls {
			f, ok := declared.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.line(f.End()) - s.line(f.Pos()) + 1; n > maxFunction {
				t.Errorf("%s: %s has %d lines, at most %d are allowed", s.at(f), f.Name.Name, n, maxFunction)
			}
		}
	}
}

func (s source) line(p token.Pos) int { return s.positions.Position(p).Line }

// linesOfCode counts the lines that contain a token.
func (s source) linesOfCode() int {
	lines := map[int]bool{}
	ast.Inspect(s.File, func(n ast.Node) bool {
		if _, isComment := n.(*ast.CommentGroup); n == nil || isComment {
			return false
		}
		lines[s.line(n.Pos())], lines[s.line(n.End()-1)] = true, true
		return true
	})
	return len(lines)
}

func TestPackagesAreSmall(t *testing.T) {
	sizes := map[string]int{}
	for _, s := range code(t) {
		if !s.isForTests() {
			sizes[s.pkg] += s.linesOfCode()
		}
	}
	for pkg, n := range sizes {
		if n > maxPackage {
			t.Errorf("package %s has %d lines of code, at most %d are allowed", pkg, n, maxPackage)
		}
	}
}

// These packages were once one package. Their files must not become tightly coupled again.
func TestFilesHaveNoLongDependencyCycles(t *testing.T) {
	for _, pkg := range []string{"internal/scan", "internal/history", "internal/refresh", "internal/rescan", "internal/report"} {
		uses := fileUses(t, pkg)
		if len(uses) == 0 {
			t.Errorf("package %s has no files that depend on each other", pkg)
		}
		for _, cycle := range cycles(uses) {
			if len(cycle) > maxCycle {
				t.Errorf("%s: %d files depend on each other in a cycle: %s", pkg, len(cycle), strings.Join(cycle, ", "))
			}
		}
	}
}

// noImports returns empty packages for imports, because only dependencies between files of one package are of
// interest.
type noImports struct{}

func (noImports) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, pathpkg.Base(path))
	p.MarkComplete()
	return p, nil
}

// fileUses returns, for each file of a package, the other files whose functions, types, methods or fields it uses.
func fileUses(t *testing.T, pkg string) map[string][]string {
	t.Helper()
	positions := token.NewFileSet()
	var files []*ast.File
	for _, s := range code(t) {
		if s.pkg != pkg {
			continue
		}
		parsed, err := parser.ParseFile(positions, filepath.Join(root, s.pkg, s.name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, parsed)
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: noImports{}, Error: func(error) {}} // names of the empty packages are errors; ignore them
	own, _ := conf.Check(pkg, positions, files, &info)
	uses := map[string][]string{}
	for id, object := range info.Uses {
		if object.Pkg() != own {
			continue
		}
		from, to := positions.Position(id.Pos()).Filename, positions.Position(object.Pos()).Filename
		from, to = filepath.Base(from), filepath.Base(to)
		if from != to && !slices.Contains(uses[from], to) {
			uses[from] = append(uses[from], to)
		}
	}
	return uses
}

// cycles returns the groups of files that depend on each other. A file without a cycle is a group of one.
func cycles(uses map[string][]string) [][]string {
	reach := map[string]map[string]bool{}
	var visit func(from, at string)
	visit = func(from, at string) {
		for _, next := range uses[at] {
			if !reach[from][next] {
				reach[from][next] = true
				visit(from, next)
			}
		}
	}
	for file := range uses {
		reach[file] = map[string]bool{}
		visit(file, file)
	}
	var found [][]string
	seen := map[string]bool{}
	for file := range uses {
		if seen[file] {
			continue
		}
		cycle := []string{file}
		for other := range uses {
			if other != file && reach[file][other] && reach[other][file] {
				cycle = append(cycle, other)
				seen[other] = true
			}
		}
		slices.Sort(cycle)
		found = append(found, cycle)
	}
	return found
}
