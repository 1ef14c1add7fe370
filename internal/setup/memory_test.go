package setup_test

import (
	"log/slog"
	"math"
	"runtime/debug"
	"testing"

	"ecr-continuous-scan/internal/setup"
)

// A function stays below what Lambda kills it for, and elsewhere nothing is changed.
func TestMemoryOfAFunction(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	t.Setenv(setup.ConfigBucket, "bucket")
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
			t.Errorf("of %q MiB: a limit of %d bytes and garbage of %d %%, want %d and %d", tt.memory, limit, percent, tt.limit, tt.percent)
		}
	}
}
