package architecture

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// storing returns the names of the methods that store, send or start something.
func storing() []string {
	return []string{"Save", "AddHistories", "Sweep", "Remove", "Rewrite", "Put", "Delete", "Pack", "Send", "StartScan", "PutObject", "DeleteObject", "SendMessageBatch", "StartImageScan"}
}

// reachableFrom returns the project's packages that a package imports, directly or indirectly.
func reachableFrom(all []source, pkg string) []string {
	found := []string{pkg}
	for i := 0; i < len(found); i++ {
		for _, s := range all {
			if s.pkg != found[i] {
				continue
			}
			for _, spec := range s.Imports {
				if ours, ok := strings.CutPrefix(pathOf(spec), module+"/"); ok && !slices.Contains(found, ours) {
					found = append(found, ours)
				}
			}
		}
	}
	return found
}

// Reads cannot store anything: no package that internal/report imports, directly or indirectly, has a function,
// method or interface that stores. The method Put of a record's map is allowed, because it only changes memory.
func TestReadersCannotStore(t *testing.T) {
	all := code(t)
	reached := reachableFrom(all, "internal/report")
	if len(reached) < 4 || slices.Contains(reached, "internal/s3store") || slices.Contains(reached, "internal/rescan") {
		t.Errorf("internal/report imports %v, directly or indirectly", reached)
	}
	for _, s := range all {
		if !slices.Contains(reached, s.pkg) {
			continue
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if slices.Contains(storing(), n.Name.Name) && s.pkg+"/"+s.name+" "+n.Name.Name != "internal/history/record.go Put" {
					t.Errorf("%s: %s stores, and internal/report imports it directly or indirectly", s.at(n), n.Name.Name)
				}
			case *ast.InterfaceType:
				for _, method := range n.Methods.List {
					for _, name := range method.Names {
						if slices.Contains(storing(), name.Name) {
							t.Errorf("%s: an interface has %s, and internal/report imports it directly or indirectly", s.at(method), name.Name)
						}
					}
				}
			}
			return true
		})
	}
}
