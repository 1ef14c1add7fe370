package history

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Seconds must give each second once, and the nearest one that is free; a plain set says which that is.
func TestSeconds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var s Seconds
		taken := map[Stamp]bool{}
		for range 300 {
			at := Stamp(100_000 + random.IntN(400))
			want := at
			for taken[want] {
				want--
			}
			if got := s.Take(at); got != want {
				t.Fatalf("take(%d) = %d, want %d of %v", at, got, want, s)
			}
			taken[want] = true
		}
		for i := 1; i < len(s); i++ {
			if s[i].From <= s[i-1].Until+1 {
				t.Fatalf("periods touch: %v", s)
			}
		}
	}
}

func TestSecondsAreBounded(t *testing.T) {
	var s Seconds
	for range int(maxShift/time.Second) + 1 {
		s.Take(100_000)
	}
	if got := s.Take(100_000); got != 100_000 {
		t.Errorf("an hour full: %d, want the second itself", got)
	}
	for i := range 3 * maxPeriods {
		s.Take(Stamp(200_000 + 2*i))
	}
	if len(s) != maxPeriods || !slices.IsSortedFunc(s, func(a, b Period) int { return int(a.From - b.From) }) {
		t.Errorf("%d periods", len(s))
	}
}
