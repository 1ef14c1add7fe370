package scan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Filter selects findings, images and configs. Something matches when it matches every field of the filter that
// is set. It matches a list when it matches one value of the list. The zero value matches everything. [Filters]
// describes the fields.
type Filter struct {
	// Severity is the lowest severity that matches, in the order of [Severities]. Empty matches every severity.
	Severity Severity
	// Tags are tags of images. Packages and Names are names of packages and of vulnerabilities. nil matches all.
	// Each list is sorted.
	Tags, Packages, Names []string
	// Fixable matches only findings with a known fix.
	Fixable bool
	// InUse matches only findings of images that run, as Amazon Inspector reports it.
	InUse bool
	// Platforms and Digests are those of images, sorted. nil matches all.
	Platforms, Digests []string
	// Repositories are names of repositories, and Owners are owners of configs, sorted. nil matches all.
	Repositories, Owners []string
	// Suppressed is IncludeSuppressed, OnlySuppressed, or empty for only the findings that are not suppressed. What is suppressed is decided
	// elsewhere.
	Suppressed string
}

// The values of Suppressed.
const (
	IncludeSuppressed = "include"
	OnlySuppressed    = "only"
)

// Limits of a filter: the number of values in a list, and the length of a value in bytes.
const (
	maxFilterValues = 50
	maxFilterValue  = 200
)

// ParseFilter reads a filter from the parameters of a URL. Equivalent parameters return equal filters: lists are
// sorted and have no duplicates. It ignores other parameters. Errors: Invalid, with a field for each invalid
// parameter.
func ParseFilter(given map[string][]string) (Filter, error) {
	var f Filter
	var formErrors, valueErrors []FieldError
	for _, row := range Filters() {
		values := given[row.Name]
		wrong := func(detail string) FieldError { return FieldError{Pointer: "/" + row.Name, Detail: detail} }
		if row.list == nil && len(values) > 1 {
			formErrors = append(formErrors, wrong("is given twice"))
			continue
		}
		values = row.normal(values)
		switch bad := slices.ContainsFunc(values, func(v string) bool { return !row.valid(v) }); {
		case bad && row.flag != nil:
			formErrors = append(formErrors, wrong(row.rule))
		case bad:
			valueErrors = append(valueErrors, wrong(row.rule))
		}
		if len(values) > maxFilterValues {
			valueErrors = append(valueErrors, wrong(fmt.Sprintf("may be given at most %d times", maxFilterValues)))
		}
		row.set(&f, values)
	}
	if len(formErrors)+len(valueErrors) == 0 {
		return f, nil
	}
	slices.SortStableFunc(valueErrors, func(a, b FieldError) int { return cmp.Compare(a.Pointer, b.Pointer) })
	return Filter{}, &Error{Code: Invalid, Message: "The filter has invalid values.", Fields: append(formErrors, valueErrors...)}
}

// FilterOf returns the filter that selects an image, as narrow as [ParseFilter] accepts it.
func FilterOf(image Image) Filter {
	var f Filter
	switch {
	case isTag(image.Tag):
		f.Tags = []string{image.Tag}
	case digestForm.MatchString(image.Digest):
		f.Digests = []string{image.Digest}
	}
	if isName(image.Platform) {
		f.Platforms = []string{image.Platform}
	}
	return f
}

// Values returns the URL parameters of the filter by name. [ParseFilter] reads them.
func (f Filter) Values() map[string][]string {
	values := make(map[string][]string)
	for _, row := range Filters() {
		if given := row.Values(f); len(given) > 0 {
			values[row.Name] = given
		}
	}
	return values
}

// IsZero reports whether the filter matches everything.
func (f Filter) IsZero() bool { return len(f.Values()) == 0 }

// NarrowsImages reports whether the filter selects images, independently of their findings.
func (f Filter) NarrowsImages() bool {
	return f.has(slices.DeleteFunc(Filters(), func(r FilterRow) bool { return !r.NarrowsImages() }))
}

// NarrowsFindings reports whether the filter selects findings by anything other than severity.
func (f Filter) NarrowsFindings() bool {
	return f.has(filtersAbout(findings)) || f.Suppressed == OnlySuppressed
}

// SelectsFindings reports whether the filter can select some findings of an image and not others, apart from suppressed ones.
func (f Filter) SelectsFindings() bool {
	return f.Severity != "" || f.has(filtersAbout(findings))
}

func (f Filter) has(rows []FilterRow) bool {
	return slices.ContainsFunc(rows, func(r FilterRow) bool { return len(r.Values(f)) > 0 })
}

// Matches reports whether the filter selects a finding by its severity, packages, names, fix and use.
func (f Filter) Matches(found Finding) bool {
	return f.MatchesSeverity(found.Severity) && f.matchesName(found) && (!f.Fixable || found.Fixable()) && (!f.InUse || found.InUse > 0) &&
		(len(f.Packages) == 0 || found.HasPackage(func(name string) bool { return anyOf(f.Packages, name) }))
}

// matchesName reports whether the filter selects one of the names of a vulnerability.
func (f Filter) matchesName(found Finding) bool {
	matches := func(name string) bool { return anyOf(f.Names, strings.ToUpper(name)) }
	return matches(found.Name) || slices.ContainsFunc(found.Related, matches)
}

// MatchesSeverity reports whether the filter selects findings of severity s.
func (f Filter) MatchesSeverity(s Severity) bool {
	return f.Severity == "" || s.Rank() <= f.Severity.Rank()
}

// MatchesImage reports whether the filter selects an image by its repository, tag, platform and digest. The digest of an index selects its images.
func (f Filter) MatchesImage(image Image) bool {
	return f.MatchesRepository(image.Repository) && anyOf(f.Tags, image.Tag) && anyOf(f.Platforms, image.Platform) &&
		(anyOf(f.Digests, image.Digest) || image.Index != "" && anyOf(f.Digests, image.Index))
}

// MatchesRepository reports whether the filter selects a repository.
func (f Filter) MatchesRepository(repo Repository) bool { return anyOf(f.Repositories, repo.Name) }

// MatchesConfig reports whether the filter selects a config by its owner, and by the repositories that it watches.
func (f Filter) MatchesConfig(c Config) bool {
	watches := func(name string) bool {
		return c.Watches(Repository{Registry: c.Registry, Region: c.Region, Name: name})
	}
	return anyOf(f.Owners, c.Owner) && (len(f.Repositories) == 0 || slices.ContainsFunc(f.Repositories, watches))
}

// Counts returns the counts of the severities that match, without zero counts.
func (f Filter) Counts(counts Counts) Counts {
	matching := make(Counts, len(counts))
	for s, n := range counts {
		if n > 0 && f.MatchesSeverity(s) {
			matching[s] = n
		}
	}
	return matching
}

// IDParts returns the parts of a feed's id that depend on the filter, each as "parameter=value". A feed with a filter
// and the same feed without it have different ids.
func (f Filter) IDParts() []string {
	var parts []string
	for _, row := range FindingsFilters() {
		for _, v := range row.Values(f) {
			parts = append(parts, row.Name+"="+v)
		}
	}
	return parts
}

// anyOf reports whether s is one of the sorted values, or values is empty.
func anyOf(values []string, s string) bool {
	if len(values) == 0 {
		return true
	}
	_, found := slices.BinarySearch(values, s)
	return found
}

// Fixable reports whether there is a fix for one of the finding's packages. PARTIAL alone is not enough: Amazon
// Inspector does not say then which package has the fix.
func (f Finding) Fixable() bool { return len(f.FixedIn) > 0 || f.FixAvailable == "YES" }

func isName(s string) bool {
	return s != "" && len(s) <= maxFilterValue && utf8.ValidString(s) && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
