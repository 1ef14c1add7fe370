package report

import "slices"

// shortlist keeps the first of many, in an order, without holding them all.
type shortlist[T any] struct {
	order func(a, b T) int
	// most is how many are wanted: all pages up to the one that is shown.
	most int
	kept []T // the first, and some that have come since they were chosen
	// total counts those that are, or were, in kept.
	total int
}

// newShortlist is for the page that a view asks for.
func newShortlist[T any](page int, order func(a, b T) int) shortlist[T] {
	return shortlist[T]{order: order, most: page * PageSize}
}

func (s *shortlist[T]) add(one T) {
	s.total++
	s.kept = append(s.kept, one)
	if len(s.kept) > s.most+s.most/4+PageSize {
		s.cut()
	}
}

func (s *shortlist[T]) cut() {
	slices.SortFunc(s.kept, s.order)
	if len(s.kept) > s.most {
		clear(s.kept[s.most:]) // frees their strings
		s.kept = s.kept[:s.most]
	}
}

// page are the last of those that are wanted, a page of them. It ends the list.
func (s *shortlist[T]) page() []T {
	s.cut()
	return s.kept[min(len(s.kept), s.most-PageSize):]
}
