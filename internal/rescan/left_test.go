package rescan

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
)

// An index that could not be resolved since the time was up was not reached: the next visit takes it.
func TestIndexLeftByAVisit(t *testing.T) {
	late := &scan.Error{Code: scan.Unavailable, Message: "no answer in time", Err: context.DeadlineExceeded}
	index := scan.Image{Tag: "multi", Digest: "i", Kind: scan.Index, Err: late}
	for past, want := range map[time.Duration]Tally{
		-time.Second: {Images: 1, Left: 1, NotScannable: map[string]int{}, Failed: map[string]int{}},
		time.Hour:    {Images: 1, NotScannable: map[string]int{}, Failed: map[string]int{"no answer in time": 1}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), past)
		defer cancel()
		got := newTally()
		v := &visit{Visitor: &Visitor{Log: slog.New(slog.DiscardHandler)}, calls: ctx}
		got.add(newWork(v).refused(index, late))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with %s left (-want +got):\n%s", past, diff)
		}
	}
}
