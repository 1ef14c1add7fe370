package scan

import (
	"slices"
	"strings"
)

// FilterRow is one filter: a parameter of the URL, and everything that follows from it. A new filter is a new row, with a field of [Filter] for
// its values and a place in the method of [Filter] that says what it matches.
type FilterRow struct {
	// Name is the name of the parameter. It stands in the ids of feeds too.
	Name string
	// Noun says to people what the filter goes by; of one that is on or off, what it lets through.
	Noun string
	// Choices are all values, on a scale: each lets through those before it as well. It is nil where other values may be given.
	Choices []string
	// Pattern is what a browser lets be sent, a regular expression of JavaScript, and Hint the same in words. The rule is stricter.
	Pattern, Hint string

	about subject
	// rule says what a value must be, and valid checks it. upper values are taken in any case.
	rule  string
	valid func(string) bool
	upper bool

	// Where the values are, one of these: text may be given once, list several times, and flag is true or left out.
	text func(*Filter) *string
	list func(*Filter) *[]string
	flag func(*Filter) *bool
}

// subject is what a filter looks at. A summary knows no findings, only counts by severity.
type subject int

const (
	findings subject = iota
	severities
	images
	repositories
)

const (
	namePattern = `.{1,200}`
	nameHint    = "at most 200 characters"
)

// Filters is the table of all filters. Its order is that of the words for people, of the page's forms and of the parts of a feed's id.
func Filters() []FilterRow {
	return []FilterRow{
		{
			Name: "severity", Noun: "severity", about: severities, Choices: SeverityNames(), upper: true,
			rule: "must be one of " + strings.Join(SeverityNames(), ", "), valid: isSeverity,
			text: func(f *Filter) *string { return (*string)(&f.Severity) },
		},
		{
			Name: "repository", Noun: "repository", about: repositories, rule: repositoryRule, valid: isRepository,
			Pattern: `\s*[a-z0-9][a-z0-9._\-\/]{1,255}\s*`, Hint: "the whole name of a repository: lower-case letters, digits and . _ - /",
			list: func(f *Filter) *[]string { return &f.Repositories },
		},
		{
			Name: "tag", Noun: "tag", about: images, rule: tagRule, valid: isTag,
			Pattern: `\s*[A-Za-z0-9_][A-Za-z0-9._\-]{0,127}\s*`, Hint: "an image tag: letters, digits and . _ -, the first no . or -",
			list: func(f *Filter) *[]string { return &f.Tags },
		},
		{
			Name: "package", Noun: "package", rule: "must be the name of a package, at most 200 bytes", valid: isName,
			Pattern: namePattern, Hint: nameHint,
			list: func(f *Filter) *[]string { return &f.Packages },
		},
		{
			Name: "cve", Noun: "vulnerability", rule: "must be the name of a vulnerability, such as CVE-2016-1585, at most 200 bytes", valid: isName, upper: true,
			Pattern: namePattern, Hint: nameHint,
			list: func(f *Filter) *[]string { return &f.Names },
		},
		{
			Name: "fixable", Noun: "with a fix", rule: "must be true, or left out", valid: isTrue,
			flag: func(f *Filter) *bool { return &f.Fixable },
		},
	}
}

// filtersNotAbout are those that look at anything else.
func filtersNotAbout(what subject) []FilterRow {
	return slices.DeleteFunc(Filters(), func(r FilterRow) bool { return r.about == what })
}

func filtersAbout(what subject) []FilterRow {
	return slices.DeleteFunc(Filters(), func(r FilterRow) bool { return r.about != what })
}

// SummaryFilters are those that a summary takes: what it needs no findings for.
func SummaryFilters() []FilterRow { return filtersNotAbout(findings) }

// FindingsFilters are those that a list of findings or of their changes takes.
func FindingsFilters() []FilterRow { return filtersNotAbout(repositories) }

// ImageFilters are those that choose images, whatever these hold.
func ImageFilters() []FilterRow { return filtersAbout(images) }

// IsSwitch reports whether the filter is on or off, and takes no other value than true.
func (r FilterRow) IsSwitch() bool { return r.flag != nil }

// NarrowsImages reports whether the filter chooses images, whatever these hold.
func (r FilterRow) NarrowsImages() bool { return r.about == images }

// Values are the values that a filter has for the row, nil when it has none.
func (r FilterRow) Values(f Filter) []string {
	switch {
	case r.list != nil:
		return *r.list(&f)
	case r.text != nil && *r.text(&f) != "":
		return []string{*r.text(&f)}
	case r.flag != nil && *r.flag(&f):
		return []string{"true"}
	}
	return nil
}

// set gives a filter the values, which may be none.
func (r FilterRow) set(f *Filter, values []string) {
	switch {
	case r.list != nil:
		*r.list(f) = values
	case r.text != nil && len(values) > 0:
		*r.text(f) = values[0]
	case r.flag != nil:
		*r.flag(f) = len(values) > 0
	}
}

// normal is the one form of some values.
func (r FilterRow) normal(values []string) []string {
	if r.upper {
		values = slices.Clone(values)
		for i, v := range values {
			values[i] = strings.ToUpper(v)
		}
	}
	return Distinct(values)
}

// Distinct is the values in order and without repetition, nil when there are none.
func Distinct(values []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}

func isSeverity(s string) bool { return slices.Contains(SeverityNames(), s) }

func isTrue(s string) bool { return s == "true" }
