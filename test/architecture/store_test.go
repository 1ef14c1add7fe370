package architecture

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// storing are the methods by which anything is stored, sent or started.
func storing() []string {
	return []string{"Save", "AddHistory", "Sweep", "Remove", "Put", "Delete", "Send", "StartScan", "PutObject", "DeleteObject", "SendMessageBatch", "StartImageScan"}
}

// reaches are the packages of ours that a package imports, directly or not.
func reaches(all []source, pkg string) []string {
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

// A read stores nothing since it can't: no package that internal/report reaches has a function, a method or an interface with one that stores.
// The map of a record has a method Put, which is in memory.
func TestReadersReachNothingThatStores(t *testing.T) {
	all := code(t)
	reached := reaches(all, "internal/report")
	if len(reached) < 4 || slices.Contains(reached, "internal/s3store") || slices.Contains(reached, "internal/rescan") {
		t.Errorf("internal/report reaches %v", reached)
	}
	for _, s := range all {
		if !slices.Contains(reached, s.pkg) {
			continue
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if slices.Contains(storing(), n.Name.Name) && s.pkg+"/"+s.name+" "+n.Name.Name != "internal/history/record.go Put" {
					t.Errorf("%s: %s stores, and internal/report reaches it", s.at(n), n.Name.Name)
				}
			case *ast.InterfaceType:
				for _, method := range n.Methods.List {
					for _, name := range method.Names {
						if slices.Contains(storing(), name.Name) {
							t.Errorf("%s: an interface with %s, and internal/report reaches it", s.at(method), name.Name)
						}
					}
				}
			}
			return true
		})
	}
}
