package refresh_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/refresh"
)

// All functions run, with at most the maximum number at a time, also if several goroutines call Go.
func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, callers, each = 4, 3, 40
		var running, most, ended atomic.Int32
		w, calls := refresh.NewWorkers(limit), refresh.NewWorkers(callers)
		began := time.Now()
		for range callers {
			calls.Go(func() {
				for range each {
					w.Go(func() {
						n := running.Add(1)
						for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
						}
						time.Sleep(time.Second)
						running.Add(-1)
						ended.Add(1)
					})
				}
			})
		}
		calls.Wait()
		w.Wait()
		if ended.Load() != callers*each || most.Load() != limit {
			t.Errorf("%d functions ended, at most %d ran at a time", ended.Load(), most.Load())
		}
		if took := time.Since(began); took != callers*each/limit*time.Second {
			t.Errorf("they took %s of simulated time", took)
		}
	})
}

func TestWorkersWithoutFunctions(t *testing.T) {
	synctest.Test(t, func(*testing.T) { refresh.NewWorkers(4).Wait() })
}
