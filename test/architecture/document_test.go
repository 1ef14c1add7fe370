package architecture

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// declaredName is the form of a function in docs/architecture.md: package.Function or package.Type.Method.
var declaredName = regexp.MustCompile(`^[a-z][a-z0-9]*(\.[A-Za-z_][A-Za-z0-9_]*){1,2}$`)

// fileName is the form of a file or folder: it has a slash, or an extension that no Go name has.
var fileName = regexp.MustCompile(`/|\.(css|go|html|json|md|svg|yaml)$`)

// TestNamesOfTheArchitectureDocument checks that docs/architecture.md names only functions, types, constants and files that exist. A row of a
// table that names Go files may only name what these files declare.
func TestNamesOfTheArchitectureDocument(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	where := declarations(t)
	names, rows := 0, 0
	for line := range strings.Lines(string(text)) {
		files, found := namesOfLine(line)
		for _, file := range files {
			if _, err := os.Stat(filepath.Join(root, file)); err != nil && !strings.ContainsAny(file, "{<…*") {
				t.Errorf("docs/architecture.md names a file that does not exist: %v", err)
			}
		}
		for _, name := range found {
			names++
			if where[name] == nil {
				t.Errorf("docs/architecture.md names %s, which no package declares", name)
			}
		}
		if !strings.HasPrefix(line, "|") || !hasGoFile(files) {
			continue
		}
		rows++
		for _, name := range found {
			if where[name] != nil && !isDeclaredIn(where[name], files) {
				t.Errorf("docs/architecture.md: %s is declared in %v, not in %v", name, where[name], files)
			}
		}
	}
	if names < 50 || rows < 20 {
		t.Errorf("docs/architecture.md has %d names of functions and %d rows with a Go file, want at least 50 and 20", names, rows)
	}
}

// namesOfLine returns the files and the Go names that a line has in backquotes. API paths and what starts with a flag are neither.
func namesOfLine(line string) (files, names []string) {
	for _, name := range quotedIn(line) {
		switch {
		case strings.HasPrefix(name, "/"), strings.HasPrefix(name, "-"), strings.Contains(name, " "):
		case fileName.MatchString(name):
			files = append(files, name)
		case declaredName.MatchString(name):
			names = append(names, name)
		}
	}
	return files, names
}

func hasGoFile(files []string) bool {
	for _, file := range files {
		if strings.HasSuffix(file, ".go") {
			return true
		}
	}
	return false
}

// isDeclaredIn reports whether one of the places of a name is one of the files, or is in one of them that is a folder.
func isDeclaredIn(places, files []string) bool {
	for _, place := range places {
		for _, file := range files {
			if within(place, strings.TrimSuffix(file, "/")) {
				return true
			}
		}
	}
	return false
}

// declarations lists, for each name of the form package.Name or package.Type.Method, the files that declare it. The package is the last part of
// its folder, so that the functions' packages, which are all named main, differ. Methods of interfaces and fields of structs count.
func declarations(t *testing.T) map[string][]string {
	t.Helper()
	where := map[string][]string{}
	for _, s := range code(t) {
		if s.isForTests() {
			continue
		}
		add := func(names ...string) {
			full := path.Base(s.pkg) + "." + strings.Join(names, ".")
			where[full] = append(where[full], s.pkg+"/"+s.name)
		}
		for _, declared := range s.Decls {
			switch d := declared.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					add(d.Name.Name)
				} else {
					add(receiverOf(d), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					addSpec(spec, add)
				}
			}
		}
	}
	return where
}

func addSpec(spec ast.Spec, add func(...string)) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			add(name.Name)
		}
	case *ast.TypeSpec:
		add(spec.Name.Name)
		var members *ast.FieldList
		switch of := spec.Type.(type) {
		case *ast.InterfaceType:
			members = of.Methods
		case *ast.StructType:
			members = of.Fields
		default:
			return
		}
		for _, member := range members.List {
			for _, name := range member.Names {
				add(spec.Name.Name, name.Name)
			}
		}
	}
}

// receiverOf returns the name of a method's type, without its pointer and type parameters.
func receiverOf(f *ast.FuncDecl) string {
	of := f.Recv.List[0].Type
	if pointer, ok := of.(*ast.StarExpr); ok {
		of = pointer.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	name, _ := of.(*ast.Ident)
	if name == nil {
		return ""
	}
	return name.Name
}
