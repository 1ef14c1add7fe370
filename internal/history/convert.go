package history

import (
	"ecr-continuous-scan/internal/scan"
)

// An earlier version stored each package of an enhanced finding as a finding of its own. These functions convert such
// a history. The conversion is no change of the image.

// mergePackages merges the present findings of each vulnerability into one, unless next, the findings of the next
// scan, have the same finding of a package. The merged finding has the rating and the fix of the finding in next:
// they are those of several packages now, and have not changed.
func mergePackages(findings []TrackedFinding, next []scan.Finding) []TrackedFinding {
	continues := make(map[findingKey]bool, len(next))
	for _, f := range next {
		continues[keyOf(f)] = true
	}
	merged := make(map[string]TrackedFinding)
	var kept []TrackedFinding
	for _, f := range findings {
		if f.Status != Present || f.Package != "" && continues[keyOf(f.Finding)] {
			kept = append(kept, f)
			continue
		}
		f.Finding = f.Finding.WithPackages(packagesOf(f.Finding))
		merged[f.Name] = mergeTracked(merged[f.Name], f)
	}
	for _, f := range next {
		if old, known := merged[f.Name]; known && f.IdentityPackage() == "" {
			old.Score, old.Vector, old.FixedIn, old.FixAvailable = f.Score, f.Vector, f.FixedIn, f.FixAvailable
			merged[f.Name] = old
		}
	}
	for _, f := range merged {
		kept = append(kept, f)
	}
	return kept
}

// mergeTracked merges two present findings of one vulnerability. a may be empty.
func mergeTracked(a, b TrackedFinding) TrackedFinding {
	if a.Name == "" {
		return b
	}
	if b.Updated > a.Updated {
		a.Updated, a.Note = b.Updated, b.Note
	}
	a.Published = min(a.Published, b.Published)
	episode := max(a.Episode, b.Episode)
	a.Finding = scan.MergeFinding(a.Finding, b.Finding)
	a.Episode = episode
	return a
}

// packagesOf returns the packages of a finding: one for each of its versions.
func packagesOf(f scan.Finding) []scan.Package {
	if len(f.Packages) > 0 || f.Package == "" {
		return f.Packages
	}
	one := scan.Package{Name: f.Package}
	if len(f.FixedIn) > 0 {
		one.FixedIn = f.FixedIn[0]
	}
	packages := []scan.Package{one}
	for i, version := range f.Versions {
		packages = append(packages[:i], one)
		packages[i].Version = version
	}
	return packages
}
