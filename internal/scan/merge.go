package scan

import (
	"cmp"
	"slices"
	"strings"
)

// Package is one vulnerable package that Amazon Inspector reports. Each field is empty when it is unknown.
type Package struct {
	Name string `json:"name,omitempty"`
	// Manager is the kind of package, such as OS or JAR, and Arch is the architecture of the package.
	Manager string `json:"manager,omitempty"`
	Arch    string `json:"arch,omitempty"`
	// Version is the installed version: epoch:version-release.
	Version string `json:"version,omitempty"`
	FixedIn string `json:"fixedIn,omitempty"`
	// Path is the file that contains the package.
	Path string `json:"path,omitempty"`
	// OS is the operating system of the image, such as UBUNTU_22_04, if the package is one of its packages.
	OS string `json:"os,omitempty"`
}

// Limits of a finding.
const (
	maxPackages = 100
	maxRelated  = 50
)

func comparePackages(a, b Package) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Path, b.Path), strings.Compare(a.Version, b.Version),
		strings.Compare(a.FixedIn, b.FixedIn), strings.Compare(a.Manager, b.Manager), strings.Compare(a.Arch, b.Arch),
		strings.Compare(a.OS, b.OS))
}

// WithPackages returns the finding with these packages: each once, sorted, and limited. Package, Versions and FixedIn
// list their values.
func (f Finding) WithPackages(packages []Package) Finding {
	packages = slices.Compact(slices.SortedFunc(slices.Values(packages), comparePackages))
	packages = packages[:min(len(packages), maxPackages)]
	if len(packages) == 0 {
		return f
	}
	f.Packages = packages
	var names []string
	f.Versions, f.FixedIn = nil, nil
	for _, p := range packages {
		names, f.Versions, f.FixedIn = withText(names, p.Name), withText(f.Versions, p.Version), withText(f.FixedIn, p.FixedIn)
	}
	f.Package = strings.Join(names, ", ")
	return f
}

// HasPackage reports whether the finding is in a package whose name has, returns true for.
func (f Finding) HasPackage(has func(name string) bool) bool {
	if len(f.Packages) == 0 {
		return has(f.Package)
	}
	return slices.ContainsFunc(f.Packages, func(p Package) bool { return has(p.Name) })
}

// InPackage returns the finding as it was before enhanced findings of one vulnerability were merged: with only one of
// its packages.
func (f Finding) InPackage(name string) Finding {
	only := slices.DeleteFunc(slices.Clone(f.Packages), func(p Package) bool { return p.Name != name })
	f.Versions, f.FixedIn = nil, nil
	f = f.WithPackages(only)
	f.Package, f.Packages = name, nil
	return f
}

// MergeFindings merges findings with the same identity into one, as by [MergeFinding]. It returns them sorted by
// [CompareFindings]. Scanners repeat a vulnerability for each copy of a package, and Amazon Inspector for each
// package.
func MergeFindings(findings []Finding) []Finding {
	type key struct{ name, pkg string }
	indexes := make(map[key]int, len(findings))
	merged := make([]Finding, 0, len(findings))
	for _, f := range findings {
		k := key{f.Name, f.IdentityPackage()}
		if i, known := indexes[k]; known {
			merged[i] = MergeFinding(merged[i], f)
			continue
		}
		indexes[k] = len(merged)
		merged = append(merged, f)
	}
	for i := range merged {
		merged[i].SortTexts()
	}
	slices.SortFunc(merged, CompareFindings)
	return merged
}

// MergeFinding merges two findings with the same identity. It returns the more severe one with the packages, versions
// and other names of both. Of the severities, the scores, the fix and the exploit, the worse holds. If only one of the
// findings has no rating, its severity is that of its score.
func MergeFinding(a, b Finding) Finding {
	if a.Severity.IsRating() || b.Severity.IsRating() {
		a.Severity, b.Severity = ratingOf(a), ratingOf(b)
	}
	if isWorse(b.Severity, a.Severity) {
		a, b = b, a
	}
	if compareRatings(b, a) > 0 {
		a.Score, a.Vector, a.ScoreSource = b.Score, b.Vector, b.ScoreSource
	}
	a.Versions, a.FixedIn = union(a.Versions, b.Versions), union(a.FixedIn, b.FixedIn)
	if len(a.Packages)+len(b.Packages) > 0 && !slices.Equal(a.Packages, b.Packages) {
		a = a.WithPackages(slices.Concat(a.Packages, b.Packages))
	}
	a = a.WithRelated(b.Related)
	a.FixAvailable, a.Exploit = worse(a.FixAvailable, b.FixAvailable, "NO", "PARTIAL", "YES"), worse(a.Exploit, b.Exploit, "YES", "NO")
	if !b.FirstSeen.IsZero() && (a.FirstSeen.IsZero() || b.FirstSeen.Before(a.FirstSeen)) {
		a.FirstSeen = b.FirstSeen
	}
	if b.Changed.After(a.Changed) {
		a.Changed = b.Changed
	}
	a.InUse = max(a.InUse, b.InUse)
	if b.LastInUse.After(a.LastInUse) {
		a.LastInUse = b.LastInUse
	}
	return a
}

// ratingOf returns the severity of a finding. Without a rating it is that of its score, if it has one.
func ratingOf(f Finding) Severity {
	if n, known := f.BaseScore(); known && n > 0 && !f.Severity.IsRating() {
		return SeverityOfScore(n)
	}
	return f.Severity
}

// isWorse reports whether a gate judges severity a as worse than b. An unknown severity is the worst.
func isWorse(a, b Severity) bool {
	if isKnown := a.Rank() < len(Severities()); isKnown != (b.Rank() < len(Severities())) {
		return !isKnown
	}
	return CompareSeverity(a, b) < 0
}

// WithRelated returns the finding with more names of the vulnerability, except its own name.
func (f Finding) WithRelated(names []string) Finding {
	if len(names) == 0 || slices.Equal(f.Related, names) {
		return f
	}
	all := slices.Compact(slices.Sorted(slices.Values(slices.Concat(f.Related, names))))
	all = slices.DeleteFunc(all, func(s string) bool { return strings.EqualFold(s, f.Name) })
	f.Related = nil // as it is read back, if it is empty
	if len(all) > 0 {
		f.Related = all[:min(len(all), maxRelated)]
	}
	return f
}

// SortTexts sorts the versions of a finding without packages. With packages they have the order of the packages.
func (f *Finding) SortTexts() {
	if len(f.Packages) == 0 {
		slices.Sort(f.Versions)
		slices.Sort(f.FixedIn)
	}
}

// compareRatings compares the scores of two findings. Equal scores are compared by their texts, so that the result of
// a merge does not depend on the order.
func compareRatings(a, b Finding) int {
	return cmp.Or(cmp.Compare(score(a), score(b)), strings.Compare(a.Vector, b.Vector), strings.Compare(a.ScoreSource, b.ScoreSource))
}

// score returns the score of a finding, or -1 when it is unknown.
func score(f Finding) float64 {
	if n, known := f.BaseScore(); known {
		return n
	}
	return -1
}

// worse returns the value that comes first in order. A value that is not in order comes last.
func worse(a, b string, order ...string) string {
	place := func(s string) int {
		if i := slices.Index(order, s); i >= 0 {
			return i
		}
		return len(order)
	}
	if place(b) < place(a) || a == "" {
		return b
	}
	return a
}

func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		all = withText(all, s)
	}
	return all
}

// withText appends a text that is not empty and not in the list.
func withText(list []string, s string) []string {
	if s == "" || slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
