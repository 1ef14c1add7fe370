package render

import (
	"fmt"
	"strings"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// PackageData is one of the packages of an enhanced finding.
type PackageData struct {
	Name    string `json:"name,omitempty"`
	Manager string `json:"manager,omitempty"`
	Arch    string `json:"arch,omitempty"`
	Version string `json:"version,omitempty"`
	FixedIn string `json:"fixedIn,omitempty"`
	Path    string `json:"path,omitempty"`
}

// newPackages returns the first packages, with texts of at most limit bytes in total, and at least one.
func newPackages(packages []scan.Package, limit int) []PackageData {
	textLimit := min(2*MaxName, limit)
	text := func(s string) string {
		s = OneLine(s, textLimit)
		limit -= len(s)
		return s
	}
	var kept []PackageData
	for _, p := range packages {
		d := PackageData{text(p.Name), text(p.Manager), text(p.Arch), text(p.Version), text(p.FixedIn), text(p.Path)}
		if len(kept) > 0 && limit < 0 {
			break
		}
		kept = append(kept, d)
	}
	return kept
}

// setPackageLists sets the lists of properties of packages. Each list has each value once, in the order of the packages, and
// at most limit bytes. It has no shortened values: a program would take them for other packages or files.
func (d *FindingData) setPackageLists(packages []scan.Package, limit int) {
	list := func(property func(scan.Package) string) []string {
		var values []string
		size := 0
		seen := make(map[string]bool)
		for _, p := range packages {
			value := OneLine(property(p), limit+1)
			if value == "" || seen[value] {
				continue
			}
			if size += len(value); size > limit {
				break
			}
			seen[value] = true
			values = append(values, value)
		}
		return values
	}
	d.Ecosystem = list(func(p scan.Package) string { return p.Manager })
	d.Arch = list(func(p scan.Package) string { return p.Arch })
	d.Paths = list(func(p scan.Package) string { return p.Path })
	d.Purl = list(purlOf)
}

// packageNames returns the name of the package of a finding. For an enhanced finding it lists the names of all
// packages.
func packageNames(f scan.Finding, limit int) string {
	if len(f.Packages) > 0 {
		return OneLine(f.Package, max(limit, 100))
	}
	return OneLine(f.Package, min(MaxName, max(limit, 100)))
}

// PackageTerms returns the names of the first packages of a finding, at most limit.
func PackageTerms(f scan.Finding, limit int) []string {
	if len(f.Packages) == 0 {
		return []string{f.Package}
	}
	var names []string
	for _, p := range f.Packages {
		if n := len(names); n < limit && (n == 0 || names[n-1] != p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

// PackageWords describes the packages of an enhanced finding if it has several, or if the path of one is known.
// Otherwise it is empty: the name and the versions say everything.
func PackageWords(f scan.Finding, limit int) string {
	if len(f.Packages) == 0 || len(f.Packages) == 1 && f.Packages[0].Path == "" {
		return ""
	}
	var words []string
	for _, d := range newPackages(f.Packages, limit) {
		one := strings.TrimSpace(d.Name + " " + d.Version)
		if d.Path != "" {
			one += " in " + d.Path
		}
		if d.FixedIn != "" {
			one += ", fixed in " + d.FixedIn
		}
		words = append(words, one)
	}
	if more := len(f.Packages) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, "; ")
}

// UseWords says how often an image is in use and when it was last used, in the given layout of package time and in UTC. It is empty when the image
// is not known to be in use.
func UseWords(count int, last time.Time, layout string) string {
	if count <= 0 {
		return ""
	}
	words := fmt.Sprintf("%d running tasks or pods", count)
	if !last.IsZero() {
		words += ", last used " + last.UTC().Format(layout)
	}
	return words
}
