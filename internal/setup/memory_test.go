package setup_test

import (
	"log/slog"
	"math"
	"runtime/debug"
	"testing"

	"ecr-continuous-scan/internal/setup"
)

// In Lambda, the memory limit is below the memory size of the function. Outside Lambda, the settings are not changed.
func TestMemoryLimitOfAFunction(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	start(t)
	for _, tt := range []struct {
		memory  string
		percent int
		limit   int64
	}{{"", 100, math.MaxInt64}, {"much", 100, math.MaxInt64}, {"512", 400, 384 << 20}} {
		t.Setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", tt.memory)
		if _, err := setup.Findings(t.Context(), slog.New(slog.DiscardHandler), nil); err != nil {
			t.Fatal(err)
		}
		limit := debug.SetMemoryLimit(-1)
		if percent := debug.SetGCPercent(100); percent != tt.percent || limit != tt.limit {
			t.Errorf("%q MiB: a memory limit of %d bytes and a garbage percentage of %d, want %d and %d", tt.memory, limit, percent, tt.limit, tt.percent)
		}
	}
}
