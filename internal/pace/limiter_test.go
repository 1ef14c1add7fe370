package pace

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const callsAtOnce = 64

// Callers whose context ends release everything that they hold, so that later callers do not wait for them.
func TestLimiterReleasesCanceledCallers(t *testing.T) {
	for name, prepare := range map[string]func(*Limiter){
		"low rate": func(l *Limiter) {
			l.pacer = pacer{epoch: 1, ceiling: minRate, cutAt: time.Now(), next: time.Now().Add(time.Hour)}
		},
		"no slots": func(l *Limiter) {
			for range callsAtOnce {
				l.slots <- struct{}{}
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := NewLimiter(callsAtOnce)
			prepare(l)
			held := len(l.slots)
			var all sync.WaitGroup
			for i := range 3 * callsAtOnce {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Second)
					defer cancel()
					if _, err := l.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
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

// At most the given number of calls run. A released slot can be acquired again.
func TestLimiterLimitsConcurrentCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(callsAtOnce)
		for range callsAtOnce {
			if _, err := l.Acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Acquire(ctx); err == nil {
			t.Error("one call more than the limit was allowed")
		}
		l.Release(0, false, 0)
		if _, err := l.Acquire(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
