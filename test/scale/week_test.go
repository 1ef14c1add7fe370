package scale

import (
	"testing"
	"testing/synctest"
	"time"
)

// No scan gets older than 25 hours, and less than 1 % of the calls are starts that ECR refuses.
func TestWeek(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	synctest.Test(t, func(t *testing.T) {
		r, err := Week(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", r)
		if most := 25 * time.Hour; r.Oldest >= most {
			t.Errorf("a scan was %s old, want less than %s", r.Oldest, most)
		}
		if r.Refused*100 > r.Starts || r.Refused*100 > r.Calls {
			t.Errorf("%d of %d starts were refused, with %d calls in all", r.Refused, r.Starts, r.Calls)
		}
		if r.Starts < (days-1)*images || r.Pushes == 0 || r.Schedules < days*47 {
			t.Errorf("the week is incomplete: %+v", r)
		}
	})
}
