package architecture

import (
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// reservedKeys are the keys that slog and Lambda's JSON log format use for the text, time and level of each line and for the id of
// the request. An attribute with the same key hides them.
func reservedKeys() []string {
	return []string{"message", "msg", "time", "timestamp", "level", "requestId"}
}

// logged returns the string constants in the arguments of a call that logs or that makes attributes, except the text of the line.
func logged(n ast.Node) []*ast.BasicLit {
	x, name := calledIn(n)
	makesAttribute := x == "slog" && slices.Contains([]string{"String", "Int", "Int64", "Uint64", "Float64", "Bool", "Time", "Duration", "Any", "Group", "GroupAttrs"}, name)
	logs := slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log", "LogAttrs", "With"}, strings.TrimSuffix(name, "Context"))
	switch {
	case makesAttribute:
		return literals(n.(*ast.CallExpr).Args[:1])
	case !logs:
		return nil
	}
	arguments := n.(*ast.CallExpr).Args
	if name != "With" && len(arguments) > 0 {
		text := slices.IndexFunc(arguments, func(e ast.Expr) bool { return len(literals([]ast.Expr{e})) > 0 })
		arguments = arguments[text+1:]
	}
	return literals(arguments)
}

// literals returns the string constants in expressions, also those in nested calls such as append.
func literals(expressions []ast.Expr) []*ast.BasicLit {
	var found []*ast.BasicLit
	for _, e := range expressions {
		ast.Inspect(e, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				found = append(found, literal)
			}
			return true
		})
	}
	return found
}

// attributeLists returns the string constants in composite literals of the types []any and []slog.Attr, which hold attributes.
func attributeLists(n ast.Node) []*ast.BasicLit {
	list, ok := n.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	array, ok := list.Type.(*ast.ArrayType)
	if !ok {
		return nil
	}
	if of, ok := array.Elt.(*ast.Ident); !ok || of.Name != "any" {
		return nil
	}
	return literals(list.Elts)
}

// No log line has an attribute with a key that Lambda's JSON log format uses itself.
func TestLogAttributesHaveKeysOfTheirOwn(t *testing.T) {
	keys := 0
	for _, s := range code(t) {
		if s.isForTests() || s.pkg == "deploy" {
			continue
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			for _, literal := range append(logged(n), attributeLists(n)...) {
				keys++
				if key, _ := strconv.Unquote(literal.Value); slices.Contains(reservedKeys(), key) {
					t.Errorf("%s: a log attribute has the key %s, which Lambda uses itself", s.at(literal), literal.Value)
				}
			}
			return true
		})
	}
	if keys < 50 {
		t.Errorf("only %d constants in the arguments of log calls", keys)
	}
}
