package rescan

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
)

// An index that could not be read before the deadline counts as not reached, because the next visit reads it.
func TestIndexNotReadBeforeTheDeadline(t *testing.T) {
	late := &scan.Error{Code: scan.Unavailable, Message: "no answer in time", Err: context.DeadlineExceeded}
	index := scan.Image{Tag: "multi", Digest: "i", Kind: scan.Index, Err: late}
	for timeout, want := range map[time.Duration]Tally{
		-time.Second: {Images: 1, NotReached: 1, NotScannable: map[string]int{}, Failed: map[string]int{}},
		time.Hour:    {Images: 1, NotScannable: map[string]int{}, Failed: map[string]int{"no answer in time": 1}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		got := newTally()
		v := &visit{Refresher: &refresh.Refresher{}, Visitor: &Visitor{Log: slog.New(slog.DiscardHandler)}, callCtx: ctx}
		got.add(newWork(v).outcomeOfError(index, late))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with a timeout of %s (-want +got):\n%s", timeout, diff)
		}
	}
}
