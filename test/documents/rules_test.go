package documents

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each command has a rule, each rule has a command, and the tests that the rules name exist.
func TestEachCommandHasARule(t *testing.T) {
	commands, _ := Commands(read(t))
	if len(commands) < 30 {
		t.Errorf("the documents have %d commands, want at least 30", len(commands))
	}
	ci := readFile(t, ".ci/run")
	used := map[string]bool{}
	for _, c := range commands {
		rule, found := RuleOf(c)
		if !found {
			t.Errorf("no test runs %s: add a rule to rules.go", c)
			continue
		}
		used[rule.id()] = true
		if slices.Contains(rule.Tests, byCI) && !regexp.MustCompile(`(?m)(^|\s)`+regexp.QuoteMeta(c.Text)+`$`).MatchString(ci) {
			t.Errorf(".ci/run does not run %s", c)
		}
	}
	tests := append(testsIn(t, "test/documents"), testsIn(t, "test/deployment")...)
	for _, r := range Rules {
		if !used[r.id()] {
			t.Errorf("rules.go has a rule for a command that no document has: %s", r.id())
		}
		if len(r.Tests) == 0 || (r.Reason != "") != slices.Contains(r.Tests, noTest) {
			t.Errorf("%s: a rule names tests, or noTest and a reason", r.id())
		}
		for _, test := range r.Tests {
			if test != byCI && test != noTest && !slices.Contains(tests, test) {
				t.Errorf("%s: there is no test %s", r.id(), test)
			}
		}
	}
}

func (r Rule) id() string { return r.Document + "#" + r.Section + ": " + r.Start }

// Each shown answer is below its command, or the table of examples has a command that prints it.
func TestEachShownAnswerHasACommand(t *testing.T) {
	_, blocks := Commands(read(t))
	for _, b := range blocks {
		if !slices.ContainsFunc(Examples, func(e Example) bool { return e.Document == b.Document && e.Section == b.Section }) {
			t.Errorf("%s:%d: the block in the section %q is neither commands nor below a command: add an example to rules.go", b.Document, b.Line, b.Section)
		}
	}
	for _, e := range Examples {
		if !slices.ContainsFunc(blocks, func(b Block) bool { return e.Document == b.Document && e.Section == b.Section }) {
			t.Errorf("rules.go has an example for a block that no document has: %s#%s", e.Document, e.Section)
		}
	}
}

// Inline code such as `make deploy` names a target of the Makefile.
func TestInlineMakeTargetsExist(t *testing.T) {
	makefile := readFile(t, "Makefile")
	found := 0
	for _, d := range read(t) {
		for _, code := range d.Code {
			m := regexp.MustCompile(`^(?:[A-Z_]+=\S+ )*make (?:-s )?([a-z-]+)`).FindStringSubmatch(code)
			if m == nil {
				continue
			}
			found++
			if !strings.Contains(makefile, "\n"+m[1]+": ") {
				t.Errorf("%s: %q names no target of the Makefile", d.Name, code)
			}
		}
	}
	if found < 20 {
		t.Errorf("the documents name %d targets, want at least 20", found)
	}
}

// testsIn returns the test functions of a folder, whatever their build tags.
func testsIn(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(Root, folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declared := range parsed.Decls {
			if f, isFunc := declared.(*ast.FuncDecl); isFunc && f.Recv == nil {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
