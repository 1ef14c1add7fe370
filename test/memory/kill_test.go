package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
)

// deed is what a process does when it is killed.
type deed struct {
	do func(context.Context, *scan.Watch)
	// before is what happens right before.
	before func(*testing.T, *world, scan.Config)
	// removes tells that nothing is to be remembered afterwards.
	removes bool
}

// outcome is what is remembered before a deed, after it, and after the next run.
type outcome struct{ before, after, next, feed []string }

// Whatever write a process dies at, what is remembered is the old or the new, and after the next run as if nothing had happened.
func TestKilledAtEachWrite(t *testing.T) {
	rescans := func(t *testing.T, w *world, _ scan.Config) {
		w.rescan(t, "one", "A:HIGH C:LOW")
		w.rescan(t, "two", "B:LOW")
		w.push("three", "C:LOW")
	}
	aRun := func(ctx context.Context, w *scan.Watch) { _, _ = w.Run(ctx) }
	for name, d := range map[string]deed{
		"run":     {do: aRun, before: rescans},
		"summary": {do: func(ctx context.Context, w *scan.Watch) { _, _ = w.Summary(ctx, time.Time{}) }, before: rescans},
		"feed":    {do: func(ctx context.Context, w *scan.Watch) { _, _ = w.AllFindings(ctx, scan.View{}) }, before: rescans},
		"nobody watches any more": {do: aRun, removes: true, before: func(t *testing.T, w *world, c scan.Config) {
			if err := w.watch().Configs.Delete(t.Context(), c.ID); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var want outcome
			synctest.Test(t, func(t *testing.T) { want, _ = d.killedAt(t, 0, false) })
			for _, afterwards := range []bool{false, true} {
				n, died := 1, true
				for ; died; n++ {
					t.Run(fmt.Sprintf("write %d, done %t", n, afterwards), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							var got outcome
							if got, died = d.killedAt(t, n, afterwards); died {
								got.check(t, want)
							}
						})
					})
				}
				if n < 4 {
					t.Errorf("it dies at %d writes only", n-2)
				}
			}
		})
	}
}

func (got outcome) check(t *testing.T, want outcome) {
	t.Helper()
	if !slices.Equal(got.after, want.before) && !slices.Equal(got.after, want.after) {
		t.Errorf("neither the old nor the new is remembered (-old +got):\n%s", cmp.Diff(want.before, got.after))
	}
	if diff := cmp.Diff(want.next, got.next); diff != "" {
		t.Errorf("after the next run (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.feed, got.feed); diff != "" {
		t.Errorf("the feed (-want +got):\n%s", diff)
	}
}

// killedAt lives through a deed in which the process dies at a write, and what follows. At 0 it doesn't die.
func (d deed) killedAt(t *testing.T, write int, afterwards bool) (o outcome, died bool) {
	w := newWorld(t)
	config := addConfig(t, w.watch(), repo)
	w.push("one", "A:LOW B:LOW")
	w.push("two", "B:LOW")
	run(t, w.watch())
	time.Sleep(25 * time.Hour)
	o.before = remembered(t, w.s3)
	d.before(t, w, config)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := &process{dies: write, afterwards: afterwards, die: func() { died = true; cancel() }}
	d.do(ctx, p.watch(w.s3, w.ecr))
	o.after = remembered(t, w.s3)

	time.Sleep(time.Minute)
	run(t, w.watch())
	o.next = remembered(t, w.s3)
	if !d.removes {
		o.feed = read(t, w.watch())
	}
	time.Sleep(7 * time.Hour)
	run(t, w.watch())
	images := 0
	for _, line := range o.next {
		if strings.Contains(line, ", scan sha256:") {
			images++
		}
	}
	left := keys(t, w.s3, "record/")
	if want := images + 1; !d.removes && len(left) != want || d.removes && len(left) > 0 {
		t.Errorf("%d histories are remembered, and there are the objects %v", images, left)
	}
	return o, died
}
