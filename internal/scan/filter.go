package scan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Filter chooses findings, images and repositories. Its parts all hold at once; within a list, any of the values will do. The zero value lets
// everything through. What each part means is in [Filters].
type Filter struct {
	// Severity is the lowest that is let through, in the order of [Severities]; empty for every one.
	Severity Severity
	// Tags, Packages and Names are the tags of images and the names of packages and of vulnerabilities; nil for every one.
	Tags, Packages, Names []string
	// Fixable lets only those through for which the scanner knows a fix.
	Fixable bool
	// Repositories are names of repositories; nil for every one.
	Repositories []string
}

// Bounds of a filter: how many values a list may have, and how long one may be, in bytes.
const (
	maxFilterValues = 50
	maxFilterValue  = 200
)

// ParseFilter reads a filter from the parameters of a URL and brings it into its one form: what means the same is the same. Other parameters
// are not looked at. Errors: Invalid, with a field for each wrong parameter.
func ParseFilter(given map[string][]string) (Filter, error) {
	var f Filter
	var form, rules []FieldError // of the query's form, and of its values
	for _, row := range Filters() {
		values := given[row.Name]
		wrong := func(detail string) FieldError { return FieldError{Pointer: "/" + row.Name, Detail: detail} }
		if row.list == nil && len(values) > 1 {
			form = append(form, wrong("is given twice"))
			continue
		}
		values = row.normal(values)
		switch bad := slices.ContainsFunc(values, func(v string) bool { return !row.valid(v) }); {
		case bad && row.flag != nil:
			form = append(form, wrong(row.rule))
		case bad:
			rules = append(rules, wrong(row.rule))
		}
		if len(values) > maxFilterValues {
			rules = append(rules, wrong(fmt.Sprintf("may be given %d times", maxFilterValues)))
		}
		row.set(&f, values)
	}
	if len(form)+len(rules) == 0 {
		return f, nil
	}
	slices.SortStableFunc(rules, func(a, b FieldError) int { return cmp.Compare(a.Pointer, b.Pointer) })
	return Filter{}, &Error{Code: Invalid, Message: "The filter has values that are wrong.", Fields: append(form, rules...)}
}

// Values are the parameters that give the filter, by name. ParseFilter reads them.
func (f Filter) Values() map[string][]string {
	values := make(map[string][]string)
	for _, row := range Filters() {
		if given := row.Values(f); len(given) > 0 {
			values[row.Name] = given
		}
	}
	return values
}

// IsZero reports whether the filter lets everything through.
func (f Filter) IsZero() bool { return len(f.Values()) == 0 }

// NarrowsImages reports whether the filter leaves out images, whatever they hold.
func (f Filter) NarrowsImages() bool { return f.has(ImageFilters()) }

// NarrowsFindings reports whether the filter looks for certain findings, of whatever severity.
func (f Filter) NarrowsFindings() bool { return f.has(filtersAbout(findings)) }

func (f Filter) has(rows []FilterRow) bool {
	return slices.ContainsFunc(rows, func(r FilterRow) bool { return len(r.Values(f)) > 0 })
}

// Matches is the part of the filter that is about findings, their severity included.
func (f Filter) Matches(found Finding) bool {
	return f.Reaches(found.Severity) && anyOf(f.Packages, found.Package) && anyOf(f.Names, strings.ToUpper(found.Name)) &&
		(!f.Fixable || found.Fixable())
}

// Reaches is the part of the filter that is about severities.
func (f Filter) Reaches(s Severity) bool { return f.Severity == "" || s.Rank() <= f.Severity.Rank() }

// MatchesImage is the part of the filter that is about images.
func (f Filter) MatchesImage(image Image) bool { return anyOf(f.Tags, image.Tag) }

// MatchesRepository is the part of the filter that is about repositories, by their names.
func (f Filter) MatchesRepository(name string) bool { return anyOf(f.Repositories, name) }

// Counts are those of the counts that the filter lets through, without those that are zero.
func (f Filter) Counts(counts Counts) Counts {
	kept := make(Counts, len(counts))
	for s, n := range counts {
		if n > 0 && f.Reaches(s) {
			kept[s] = n
		}
	}
	return kept
}

// Parts are what makes a feed with this filter another one than that without, for ids. Each says which parameter it is of.
func (f Filter) Parts() []string {
	var parts []string
	for _, row := range FindingsFilters() {
		for _, v := range row.Values(f) {
			parts = append(parts, row.Name+"="+v)
		}
	}
	return parts
}

// anyOf reports whether s is one of the sorted values, or there are none.
func anyOf(values []string, s string) bool {
	if len(values) == 0 {
		return true
	}
	_, found := slices.BinarySearch(values, s)
	return found
}

// Fixable goes by the finding's own package: PARTIAL says that there is a fix for another one.
func (f Finding) Fixable() bool { return len(f.FixedIn) > 0 || f.FixAvailable == "YES" }

func isName(s string) bool {
	return s != "" && len(s) <= maxFilterValue && utf8.ValidString(s) && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
