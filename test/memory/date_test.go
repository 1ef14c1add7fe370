package memory

import (
	"testing"
	"testing/synctest"

	"ecr-continuous-scan/internal/scan"
)

// No two changes have the same date, or who read between them would never be told of the second.
func TestEachChangeHasItsDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := addConfig(t, w.watch(), repo)
		var last scan.Stamp
		for _, tag := range []string{"one", "two", "three"} { // all in one second
			w.push(tag, "A:LOW")
			if _, err := w.watch().Gate(t.Context(), c.ID, scan.Severities()[0], nil); err != nil {
				t.Fatal(err)
			}
			if changed := changedIn(t, w); changed <= last {
				t.Errorf("%s: changed at %d, before at %d", tag, changed, last)
			} else {
				last = changed
			}
		}
	})
}

func changedIn(t *testing.T, w *world) scan.Stamp {
	t.Helper()
	r, err := store(w.s3).Load(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	return r.Changed
}
