package report

import (
	"cmp"
	"slices"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// comparison orders a whole list.
type comparison func(a, b Entry) int

// order is how the view chooses the entries of its pages, and how it sorts them within one.
func (v View) order() (choose, show comparison) {
	if v.Order == FeedOrder {
		return worstFirst, newestFirst
	}
	by := v.Order.compare()
	if v.Reverse {
		forward := by
		by = func(a, b Entry) int { return forward(b, a) }
	}
	whole := func(a, b Entry) int {
		return cmp.Or(CompareBool(a.Resolved.IsZero(), b.Resolved.IsZero()), by(a, b), worstFirst(a, b))
	}
	return whole, whole
}

// compare looks at what gives the order its name alone.
func (o Order) compare() comparison {
	switch o {
	case ByName:
		return func(a, b Entry) int { return strings.Compare(a.Finding.Name, b.Finding.Name) }
	case ByPackage:
		return func(a, b Entry) int { return strings.Compare(a.Finding.Package, b.Finding.Package) }
	case ByImage:
		return func(a, b Entry) int {
			x, y := a.Images[0], b.Images[0]
			return cmp.Or(strings.Compare(x.Repository.Name, y.Repository.Name), scan.CompareImages(*x, *y))
		}
	case ByFix:
		return func(a, b Entry) int {
			return cmp.Or(CompareBool(a.Finding.Fixable(), b.Finding.Fixable()), slices.Compare(a.Finding.FixedIn, b.Finding.FixedIn))
		}
	case ByFirstSeen:
		return func(a, b Entry) int { return b.Published.Compare(a.Published) }
	}
	return func(a, b Entry) int { return scan.CompareSeverity(a.Finding.Severity, b.Finding.Severity) }
}
