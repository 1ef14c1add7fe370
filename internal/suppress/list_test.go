package suppress_test

import (
	"testing"
	"time"

	"ecr-continuous-scan/internal/suppress"
)

// A suppression is kept for 30 days after its end, and without an end for ever.
func TestIsKept(t *testing.T) {
	for name, test := range map[string]struct {
		s    suppress.Suppression
		want bool
	}{
		"no end":                         {suppress.Suppression{}, true},
		"in the future":                  {suppress.Suppression{Until: now.Add(time.Hour)}, true},
		"30 days ago":                    {suppress.Suppression{Until: now.Add(-suppress.Retention)}, true},
		"more than 30 days ago":          {suppress.Suppression{Until: now.Add(-suppress.Retention - time.Second)}, false},
		"deleted more than 30 days ago":  {suppress.Suppression{Deleted: now.Add(-suppress.Retention - time.Second).Unix()}, false},
		"replaced more than 30 days ago": {suppress.Suppression{Replaced: now.Add(-suppress.Retention - time.Second).Unix(), Until: now}, false},
	} {
		if got := test.s.IsKept(now); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
