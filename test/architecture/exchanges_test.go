package architecture

import (
	"go/ast"
	"strings"
	"testing"
)

// calledIn returns x and name if n is a call x.name(…), and otherwise empty strings.
func calledIn(n ast.Node) (x, name string) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return "", ""
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	if of, ok := selector.X.(*ast.Ident); ok {
		x = of.Name
	}
	return x, selector.Sel.Name
}

// Tests that call the whole API use openapi.Handler, which checks each request and response against openapi.yaml.
// Fuzz targets are exempt, because they send requests that openapi.yaml does not describe.
func TestExchangesAreChecked(t *testing.T) {
	checked := 0
	for _, s := range allSources(t) {
		if !s.isTest() || s.pkg != "internal/httpapi" && s.pkg != "test/e2e" {
			continue
		}
		for _, declared := range s.Decls {
			if f, ok := declared.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			ast.Inspect(declared, func(n ast.Node) bool {
				switch x, name := calledIn(n); {
				case x == "openapi" && name == "Handler":
					checked++
					return false
				case name == "Handler":
					t.Errorf("%s: wrap %s.Handler in openapi.Handler", s.at(n), x)
				case x == "httptest" && name == "NewServer":
					if by, with := calledIn(n.(*ast.CallExpr).Args[0]); by != "openapi" || with != "Handler" {
						t.Errorf("%s: wrap the server's handler in openapi.Handler", s.at(n))
					}
				}
				return true
			})
		}
	}
	if checked < 2 {
		t.Errorf("openapi.Handler is called %d times, want once in each package", checked)
	}
}
