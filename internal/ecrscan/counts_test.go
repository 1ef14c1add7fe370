package ecrscan

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
)

// Counts of zero are removed. Records contain no such counts, so a result with them would always look changed.
func TestCountsOf(t *testing.T) {
	got := countsOf(map[string]int32{"CRITICAL": 0, "HIGH": 2, "high": 1, "": 3, "BRAND NEW": 4, "UNDEFINED": 0})
	if diff := cmp.Diff(scan.Counts{scan.High: 3, scan.Undefined: 3, "BRAND NEW": 4}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
