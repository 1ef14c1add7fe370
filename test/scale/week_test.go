package scale

import (
	"testing"
	"testing/synctest"
	"time"
)

// No image waits for its next scan longer than it must, and hardly a call is wasted on one that ECR would refuse.
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
		if r.Starts < (days-1)*images || r.Pushes == 0 || r.Runs < days*47 {
			t.Errorf("hardly a week: %+v", r)
		}
	})
}
