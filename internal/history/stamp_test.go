package history

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Reserve must return each second once, and the nearest free one. The test compares it with a simple map.
func TestReserveReturnsTheNearestFreeSecond(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var s SecondSet
		taken := map[Stamp]bool{}
		for range 300 {
			at := Stamp(100_000 + random.IntN(400))
			if random.IntN(5) == 0 {
				s.use(at)
				taken[at] = true
			}
			want := at
			for taken[want] {
				want--
			}
			if got := s.Reserve(at); got != want {
				t.Fatalf("Reserve(%d) = %d, want %d of %v", at, got, want, s)
			}
			taken[want] = true
		}
		for i := 1; i < len(s); i++ {
			if s[i].From <= s[i-1].Until+1 {
				t.Fatalf("adjacent periods are not merged: %v", s)
			}
		}
	}
}

func TestSecondSetIsLimited(t *testing.T) {
	var s SecondSet
	for range int(maxShift/time.Second) + 1 {
		s.Reserve(100_000)
	}
	if got := s.Reserve(100_000); got != 100_000 {
		t.Errorf("with all seconds of an hour used: %d, want the requested second", got)
	}
	for i := range 3 * maxPeriods {
		s.Reserve(Stamp(200_000 + 2*i))
	}
	if len(s) != maxPeriods || !slices.IsSortedFunc(s, func(a, b Period) int { return int(a.From - b.From) }) {
		t.Errorf("%d periods", len(s))
	}
}
