package setup

import (
	"context"
	"log/slog"
	"strings"
	"testing"
)

// A panic while a function starts does not end the process, which would end at each start again. It is logged.
func TestPrepareRecovers(t *testing.T) {
	var log strings.Builder
	prepare(t.Context(), environment{memory: 512}, slog.New(slog.NewTextHandler(&log, nil)), func(context.Context) error { panic("broken") })
	if !strings.Contains(log.String(), "broken") {
		t.Errorf("log: %s", log.String())
	}
}
