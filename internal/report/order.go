package report

import (
	"cmp"
	"slices"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// comparison is the function that sorts a list of entries.
type comparison func(a, b *Entry) int

// order returns two comparisons: one divides the list into pages, the other sorts the entries within a page.
func (v View) order() (paging, withinPage comparison) {
	if v.AllOpen { // another page size divides it again
		return worstFirst, worstFirst
	}
	if v.Order == FeedOrder {
		return worstFirst, newestFirst
	}
	by := v.Order.compare()
	if v.Reverse {
		forward := by
		by = func(a, b *Entry) int { return forward(b, a) }
	}
	whole := func(a, b *Entry) int {
		if order := cmp.Or(CompareBool(a.Resolved.IsZero(), b.Resolved.IsZero()), by(a, b)); order != 0 {
			return order
		}
		return worstFirst(a, b)
	}
	return whole, whole
}

// compare returns a comparison of only the field that the order is named after.
func (o Order) compare() comparison {
	switch o {
	case ByName:
		return func(a, b *Entry) int { return strings.Compare(a.Finding.Name, b.Finding.Name) }
	case ByPackage:
		return func(a, b *Entry) int { return strings.Compare(a.Finding.Package, b.Finding.Package) }
	case ByImage:
		return func(a, b *Entry) int {
			x, y := a.Images[0], b.Images[0]
			return cmp.Or(strings.Compare(x.Repository.Name, y.Repository.Name), scan.CompareImages(*x, *y))
		}
	case ByFix:
		return func(a, b *Entry) int {
			return cmp.Or(CompareBool(a.Finding.Fixable(), b.Finding.Fixable()), slices.Compare(a.Finding.FixedIn, b.Finding.FixedIn))
		}
	case ByFirstSeen:
		return func(a, b *Entry) int { return b.Published.Compare(a.Published) }
	}
	return func(a, b *Entry) int { return scan.CompareSeverity(a.Finding.Severity, b.Finding.Severity) }
}
