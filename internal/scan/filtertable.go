package scan

import (
	"regexp"
	"slices"
	"strings"
)

// FilterRow describes one filter parameter of the URL. To add a filter, add a row, a field of [Filter] for its
// values, and a condition in the method of [Filter] that matches them.
type FilterRow struct {
	// Name is the name of the parameter. It is also a part of the ids of feeds.
	Name string
	// Noun is the text for users: what the filter compares, or for an on/off filter, what it selects.
	Noun string
	// Choices are all possible values. Without Texts they are a scale, highest first, and a value also selects all values before it. nil means
	// that the values are free text.
	Choices []string
	// Texts are the choices in words, and None is the text for no choice. They are empty if the choices are a scale.
	Texts []string
	None  string
	// Pattern is a JavaScript regular expression with which a browser checks an input. Hint is the same in words. The
	// server's rule is stricter.
	Pattern, Hint string
	// Rare is true if a form has the filter only when it is set. Links set it.
	Rare bool

	about subject
	// rule is the error text for an invalid value, and valid checks a value. When upper is set, values are converted
	// to upper case.
	rule  string
	valid func(string) bool
	upper bool

	// One of these is set. It returns the field of the filter that stores the values. text is for a parameter that
	// may be given once, list for one that may be given several times, flag for one that is true or omitted.
	text func(*Filter) *string
	list func(*Filter) *[]string
	flag func(*Filter) *bool
}

// subject is what a filter selects. A summary can't be filtered by findings, because it has only counts by severity.
type subject int

const (
	findings subject = iota
	severities
	images
	parts // of an image index, or one digest of a tag
	repositories
	configs
	suppressed
)

const (
	namePattern = `.{1,200}`
	nameHint    = "at most 200 characters"
)

// Filters returns the table of all filters. Texts for users, forms and the parts of a feed's id use its order.
func Filters() []FilterRow {
	return append([]FilterRow{
		{
			Name: "severity", Noun: "severity", about: severities, Choices: SeverityNames(), upper: true,
			rule: "must be one of " + strings.Join(SeverityNames(), ", "), valid: isSeverity,
			text: func(f *Filter) *string { return (*string)(&f.Severity) },
		},
		{
			Name: "repository", Noun: "repository", about: repositories, rule: repositoryRule, valid: isRepository,
			Pattern: `\s*[a-z0-9][a-z0-9._\-\/]{1,255}\s*`, Hint: "the full name of a repository: lower-case letters, digits, \".\", \"_\", \"-\" or \"/\"",
			list: func(f *Filter) *[]string { return &f.Repositories },
		},
		{
			Name: "owner", Noun: "owner", about: configs, Rare: true, rule: LabelRule, valid: isLabel,
			Pattern: `.{1,100}`, Hint: "at most 100 characters",
			list: func(f *Filter) *[]string { return &f.Owners },
		},
		{
			Name: "tag", Noun: "tag", about: images, rule: tagRule, valid: isTag,
			Pattern: `\s*[A-Za-z0-9_][A-Za-z0-9._\-]{0,127}\s*`, Hint: "an image tag: letters, digits, \".\", \"_\" or \"-\", not starting with \".\" or \"-\"",
			list: func(f *Filter) *[]string { return &f.Tags },
		},
		{
			Name: "platform", Noun: "platform", about: parts, Rare: true, rule: "must be a platform such as linux/arm64, at most 200 bytes", valid: isName,
			Pattern: namePattern, Hint: nameHint,
			list: func(f *Filter) *[]string { return &f.Platforms },
		},
		{
			Name: "digest", Noun: "digest", about: parts, Rare: true, rule: "must be a digest: sha256: and 64 digits or letters a to f, or sha512: and 128", valid: digestForm.MatchString,
			Pattern: namePattern, Hint: nameHint,
			list: func(f *Filter) *[]string { return &f.Digests },
		},
	}, append(ofFindings(), FilterRow{
		Name: "suppressed", Noun: "suppressed findings", about: suppressed, Rare: true, rule: "must be include or only, or omitted", valid: isSuppressed,
		Choices: []string{IncludeSuppressed, OnlySuppressed}, Texts: []string{"included", "only"}, None: "Left out",
		text: func(f *Filter) *string { return &f.Suppressed },
	})...)
}

// ofFindings returns the filters that select findings by anything other than severity.
func ofFindings() []FilterRow {
	return []FilterRow{
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
			Name: "fixable", Noun: "with a fix", rule: "must be true or omitted", valid: isTrue,
			flag: func(f *Filter) *bool { return &f.Fixable },
		},
		{
			Name: "inuse", Noun: "in use", rule: "must be true or omitted", valid: isTrue,
			flag: func(f *Filter) *bool { return &f.InUse },
		},
	}
}

func filtersAbout(what subject) []FilterRow {
	return slices.DeleteFunc(Filters(), func(r FilterRow) bool { return r.about != what })
}

// SummaryFilters returns the filters for a summary. They need no findings.
func SummaryFilters() []FilterRow {
	return slices.DeleteFunc(Filters(), func(r FilterRow) bool { return r.about == findings || r.about == suppressed })
}

// FindingsFilters returns the filters for a list of the findings or of the changes of all configs.
func FindingsFilters() []FilterRow { return Filters() }

// ConfigFilters returns the filters for a list of the findings or of the changes of one config. They select no configs.
func ConfigFilters() []FilterRow {
	return slices.DeleteFunc(FindingsFilters(), func(r FilterRow) bool { return r.about == configs })
}

// ImageFilters returns the filters of a badge. They select images by their tags.
func ImageFilters() []FilterRow { return filtersAbout(images) }

// GateFilters returns the filters of a gate. They select images, and which findings can fail it.
func GateFilters() []FilterRow {
	return slices.DeleteFunc(Filters(), func(r FilterRow) bool {
		return !slices.Contains([]string{"repository", "tag", "digest", "fixable"}, r.Name)
	})
}

// IsSwitch reports whether the filter's only value is true.
func (r FilterRow) IsSwitch() bool { return r.flag != nil }

// NarrowsImages reports whether the filter selects images, independently of their findings.
func (r FilterRow) NarrowsImages() bool {
	return r.about == images || r.about == parts || r.about == repositories
}

// IsOfRepositories reports whether the filter selects repositories.
func (r FilterRow) IsOfRepositories() bool { return r.about == repositories }

// Values returns the values that f has for the row, or nil.
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

// set stores the values in a filter. values may be empty.
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

// normal returns the values in their normal form: sorted, without duplicates, and in upper case if upper is set.
func (r FilterRow) normal(values []string) []string {
	if r.upper {
		values = slices.Clone(values)
		for i, v := range values {
			values[i] = strings.ToUpper(v)
		}
	}
	return Distinct(values)
}

var digestForm = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

func isSeverity(s string) bool { return slices.Contains(SeverityNames(), s) }

func isTrue(s string) bool { return s == "true" }

func isSuppressed(s string) bool { return s == IncludeSuppressed || s == OnlySuppressed }
