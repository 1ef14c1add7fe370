package report

import "slices"

// shortlist keeps only the first values of a long list, so that the list need not fit into memory.
type shortlist[T any] struct {
	order func(a, b *T) int
	// limit is how many values are kept: those of all pages up to the requested one.
	limit, pageSize int
	kept            []*T // may contain more than limit until the next trim
	// total is the number of all values that were added.
	total int
}

// newShortlist returns a shortlist for the page of a view.
func newShortlist[T any](v View, order func(a, b *T) int) shortlist[T] {
	return shortlist[T]{order: order, limit: v.page() * v.pageSize(), pageSize: v.pageSize()}
}

func (s *shortlist[T]) add(value T) {
	s.total++
	s.kept = append(s.kept, &value)
	if len(s.kept) > s.limit+s.limit/4+PageSize {
		s.trim()
	}
}

func (s *shortlist[T]) trim() {
	slices.SortFunc(s.kept, s.order)
	if len(s.kept) > s.limit {
		clear(s.kept[s.limit:]) // lets the garbage collector free them
		s.kept = s.kept[:s.limit]
	}
}

// page returns the values of the requested page in an order of their own. Nothing may be added after it.
func (s *shortlist[T]) page(withinPage func(a, b *T) int) []T {
	s.trim()
	kept := s.kept[min(len(s.kept), s.limit-s.pageSize):]
	slices.SortFunc(kept, withinPage)
	page := make([]T, len(kept))
	for i, value := range kept {
		page[i] = *value
	}
	return page
}
