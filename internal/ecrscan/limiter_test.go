package ecrscan

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Callers that give up, wherever they wait, leave nothing behind that the next would wait for.
func TestLimiterForgetsWhoGivesUp(t *testing.T) {
	for name, prepare := range map[string]func(*limiter){
		"slow pace": func(l *limiter) {
			l.pace = pace{epoch: 1, ceiling: slowest, cutAt: time.Now(), next: time.Now().Add(time.Hour)}
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
				t.Errorf("%s: %d slots and %d turns are held still", name, len(l.slots)-held, len(l.turn))
			}
		})
	}
}

// A call that ended without an answer frees its slot as any other.
func TestLimiterBounds(t *testing.T) {
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
			t.Error("there was room for one more")
		}
		l.release(0, false)
		if _, err := l.acquire(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
