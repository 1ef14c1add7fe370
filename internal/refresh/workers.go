package refresh

import "sync"

// Workers runs functions concurrently in a bounded number of goroutines, and uses each goroutine for many functions: a call of
// the AWS SDK needs a large stack, and a new goroutine has to grow its stack first. Go may be called concurrently.
type Workers struct {
	functions chan func()
	// starts has an element for each goroutine that may still be started.
	starts chan struct{}
	wg     sync.WaitGroup
}

// NewWorkers returns workers for at most limit functions at a time.
func NewWorkers(limit int) *Workers {
	w := &Workers{functions: make(chan func()), starts: make(chan struct{}, limit)}
	for range limit {
		w.starts <- struct{}{}
	}
	return w
}

// Go runs f in another goroutine. It waits while the maximum number of functions runs.
func (w *Workers) Go(f func()) {
	select {
	case w.functions <- f:
		return
	default:
	}
	select {
	case w.functions <- f:
	case <-w.starts:
		w.wg.Go(func() {
			for f != nil {
				f()
				f = <-w.functions // nil after Wait
			}
		})
	}
}

// Wait waits until all functions have returned, and ends the goroutines. Go must not be called afterwards.
func (w *Workers) Wait() {
	close(w.functions)
	w.wg.Wait()
}
