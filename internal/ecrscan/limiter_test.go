package ecrscan

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Callers whose context ends release everything that they hold, so that later callers do not wait for them.
func TestLimiterReleasesCanceledCallers(t *testing.T) {
	for name, prepare := range map[string]func(*limiter){
		"low rate": func(l *limiter) {
			l.pacer = pacer{epoch: 1, ceiling: minRate, cutAt: time.Now(), next: time.Now().Add(time.Hour)}
		},
		"no slots": func(l *limiter) {
			for range CallsAtOnce {
				l.slots <- struct{}{}
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter()
			prepare(l)
			held := len(l.slots)
			var all sync.WaitGroup
			for i := range 3 * CallsAtOnce {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Second)
					defer cancel()
					if _, err := l.acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: caller %d: %v", name, i, err)
					}
				})
			}
			all.Wait()
			if len(l.slots) != held || len(l.turn) != 0 {
				t.Errorf("%s: %d slots and %d turns are still held", name, len(l.slots)-held, len(l.turn))
			}
		})
	}
}

// At most CallsAtOnce calls run. A released slot can be acquired again.
func TestLimiterLimitsConcurrentCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		for range CallsAtOnce {
			if _, err := l.acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.acquire(ctx); err == nil {
			t.Error("one call more than the limit was allowed")
		}
		l.release(0, false, 0)
		if _, err := l.acquire(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
