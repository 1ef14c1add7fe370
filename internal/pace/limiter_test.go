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
			for range callsAtOnce / 2 {
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

// acquireAll acquires slots until none is free, and returns how many these were.
func acquireAll(t *testing.T, l *Limiter) (n int) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := l.Acquire(ctx)
		cancel()
		if err != nil {
			return n
		}
		n++
	}
}

// At most the given number of calls run: at first half of it, and one more after each accepted call. After a throttled call, only the rate
// is limited. A released slot can be acquired again.
func TestLimiterLimitsConcurrentCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(callsAtOnce)
		if n := acquireAll(t, l); n != callsAtOnce/2 {
			t.Errorf("%d calls at first", n)
		}
		for range 3 {
			l.Release(0, false, 0)
		}
		if n := acquireAll(t, l); n != 6 {
			t.Errorf("%d calls after 3 calls were accepted", n)
		}
		for range 100 {
			l.Release(0, false, 0)
			if _, err := l.Acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		_ = acquireAll(t, l)
		if n := len(l.slots); n != callsAtOnce || l.closed != 0 {
			t.Errorf("%d calls run, %d slots are closed", n, l.closed)
		}
		l.Release(0, false, 0)
		if n := acquireAll(t, l); n != 1 {
			t.Errorf("%d calls after one ended", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(callsAtOnce)
		epoch, err := l.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l.Release(epoch, true, 0)
		if len(l.slots) != 0 || l.closed != 0 {
			t.Errorf("after a throttled call, %d slots are in use and %d are closed", len(l.slots), l.closed)
		}
	})
}
