package scan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Filter chooses findings. Its parts all hold at once; within a list, any of the values will do. The zero value lets everything through.
type Filter struct {
	// Severity is the lowest that is let through, in the order of [Severities]; empty for every one.
	Severity Severity
	// Tags, Packages and Names are the tags of images and the names of packages and of vulnerabilities; nil for every one.
	Tags, Packages, Names []string
	// Fixable lets only those through for which the scanner knows a fix.
	Fixable bool
	// Repositories are names of repositories; nil for every one. They are for a summary: Reports alone looks at them.
	Repositories []string
}

// Bounds of a filter: how many values a list may have, and how long one may be, in bytes.
const (
	maxFilterValues = 50
	maxFilterValue  = 200
)

// NewFilter checks a draft and brings it into its one form: what means the same is the same. Errors: Invalid, with the fields severity, tag,
// package, cve and repository.
func NewFilter(draft Filter) (Filter, error) {
	var wrong []FieldError
	field := func(ok bool, pointer, detail string) {
		if !ok {
			wrong = append(wrong, FieldError{Pointer: pointer, Detail: detail})
		}
	}
	f := Filter{
		Severity: Severity(strings.ToUpper(string(draft.Severity))), Fixable: draft.Fixable,
		Tags: distinct(draft.Tags), Packages: distinct(draft.Packages), Names: distinct(upper(draft.Names)), Repositories: distinct(draft.Repositories),
	}
	field(f.Severity == "" || slices.Contains(Severities(), f.Severity), "/severity", "must be one of "+severityNames())
	field(all(f.Tags, tagForm.MatchString), "/tag", "must be an image tag: 1 to 128 of letters, digits and . _ -, the first no . or -")
	field(all(f.Packages, isName), "/package", fmt.Sprintf("must be the name of a package, at most %d bytes", maxFilterValue))
	field(all(f.Names, isName), "/cve", fmt.Sprintf("must be the name of a vulnerability, such as CVE-2016-1585, at most %d bytes", maxFilterValue))
	field(all(f.Repositories, isRepository), "/repository", repositoryRule)
	for pointer, values := range map[string][]string{"/tag": f.Tags, "/package": f.Packages, "/cve": f.Names, "/repository": f.Repositories} {
		field(len(values) <= maxFilterValues, pointer, fmt.Sprintf("may be given %d times", maxFilterValues))
	}
	if len(wrong) > 0 {
		slices.SortStableFunc(wrong, func(a, b FieldError) int { return cmp.Compare(a.Pointer, b.Pointer) })
		return Filter{}, &Error{Code: Invalid, Message: "The filter has values that are wrong.", Fields: wrong}
	}
	return f, nil
}

func severityNames() string {
	names := make([]string, 0, len(Severities()))
	for _, s := range Severities() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

func all(values []string, ok func(string) bool) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !ok(v) })
}

func isName(s string) bool {
	return s != "" && len(s) <= maxFilterValue && utf8.ValidString(s) && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func upper(values []string) []string {
	up := make([]string, len(values))
	for i, v := range values {
		up[i] = strings.ToUpper(v)
	}
	return up
}

// distinct is the values in order and without repetition, nil when there are none.
func distinct(values []string) []string {
	if len(values) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(values)))
}

// IsZero reports whether the filter lets everything through.
func (f Filter) IsZero() bool {
	return f.Severity == "" && len(f.Tags)+len(f.Packages)+len(f.Names)+len(f.Repositories) == 0 && !f.Fixable
}

// hasTag is the part of the filter that is about images.
func (f Filter) hasTag(image Image) bool { return anyOf(f.Tags, image.Tag) }

// matches is the part of the filter that is about findings.
func (f Filter) matches(found Finding) bool {
	return f.reaches(found.Severity) && anyOf(f.Packages, found.Package) && anyOf(f.Names, strings.ToUpper(found.Name)) && (!f.Fixable || found.fixable())
}

func (f Filter) reaches(s Severity) bool { return f.Severity == "" || s.rank() <= f.Severity.rank() }

// anyOf reports whether s is one of the values, or there are none.
func anyOf(values []string, s string) bool {
	if len(values) == 0 {
		return true
	}
	_, found := slices.BinarySearch(values, s)
	return found
}

// fixable goes by the finding's own package: PARTIAL says that there is a fix for another one.
func (f Finding) fixable() bool { return len(f.FixedIn) > 0 || f.FixAvailable == "YES" }

// Reports is what a summary shows of the reports: images of a repository and with a tag of the filter, and of those that have counts only such
// as reach its severity, with those counts and their changes. An image without a result stays, since nobody knows what it holds, and so does
// a config that can't be read. The reports that it is given stay as they are. Only Severity, Tags and Repositories are looked at.
func (f Filter) Reports(reports []Report[Result]) []Report[Result] {
	if f.IsZero() {
		return reports
	}
	var kept []Report[Result]
	for _, r := range reports {
		if !anyOf(f.Repositories, r.Config.Repository) {
			continue
		}
		had := len(r.Images)
		r.Images = slices.DeleteFunc(f.taggedItems(r.Images), func(i Item[Result]) bool {
			return i.Value.State == Completed && f.Severity != "" && len(f.counts(i.Value.Counts)) == 0
		})
		for i := range r.Images {
			r.Images[i].Value.Counts = f.counts(r.Images[i].Value.Counts)
			r.Images[i].Value.Changes = f.changes(r.Images[i].Value.Changes)
		}
		if had == 0 || len(r.Images) > 0 {
			kept = append(kept, r)
		}
	}
	return kept
}

// taggedItems are copies of those items whose image has a tag of the filter.
func (f Filter) taggedItems(items []Item[Result]) []Item[Result] {
	var kept []Item[Result]
	for _, item := range items {
		if f.hasTag(item.Image) {
			kept = append(kept, item)
		}
	}
	return kept
}

// narrow leaves out the images without a tag of the filter.
func (f Filter) narrow(reports []Report[Result]) {
	if len(f.Tags) == 0 {
		return
	}
	for i := range reports {
		reports[i].Images = f.taggedItems(reports[i].Images)
	}
}

func (f Filter) counts(counts Counts) Counts {
	kept := make(Counts, len(counts))
	for s, n := range counts {
		if f.reaches(s) && n > 0 {
			kept[s] = n
		}
	}
	return kept
}

func (f Filter) changes(changes []CountChange) []CountChange {
	kept := make([]CountChange, len(changes))
	for i, c := range changes {
		kept[i] = CountChange{At: c.At, New: f.counts(c.New), Fixed: f.counts(c.Fixed)}
	}
	return kept
}

// parts are what makes one filter another, for ids. Each says which of the lists it is of.
func (f Filter) parts() []string {
	var parts []string
	if f.Severity != "" {
		parts = append(parts, "severity="+string(f.Severity))
	}
	for _, list := range []struct {
		name   string
		values []string
	}{{"tag", f.Tags}, {"package", f.Packages}, {"cve", f.Names}} {
		for _, v := range list.values {
			parts = append(parts, list.name+"="+v)
		}
	}
	if f.Fixable {
		parts = append(parts, "fixable=true")
	}
	return parts
}
