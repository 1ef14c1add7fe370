// Package pace limits the concurrency and the rate of calls to a service whose rate limits are not published.
package pace

import (
	"context"
	"sync"
	"time"
)

// Limiter limits the concurrency and the rate of calls that share a rate limit of the service. Callers are served in the order
// of arrival. A throttled caller goes back to the end of the queue, so no caller waits forever.
type Limiter struct {
	turn  chan struct{} // held by the next caller
	slots chan struct{} // one entry for each call in progress, and for each closed slot

	mu    sync.Mutex
	pacer pacer
	// closed is the number of closed slots. At first only half of the slots are open, because the service may accept few calls at once.
	// Each accepted call opens one more. After a throttled call, the pacer limits the calls, and all slots are open.
	closed int
}

// NewLimiter returns a limiter that allows a maximum number of concurrent calls.
func NewLimiter(callsAtOnce int) *Limiter {
	l := &Limiter{turn: make(chan struct{}, 1), slots: make(chan struct{}, callsAtOnce), closed: callsAtOnce / 2}
	for range l.closed {
		l.slots <- struct{}{}
	}
	return l
}

// Acquire waits until a call may be made, or until ctx ends. The caller must call Release with the returned epoch.
func (l *Limiter) Acquire(ctx context.Context) (epoch int, err error) {
	if err := acquireSlot(ctx, l.turn); err != nil {
		return 0, err
	}
	defer func() { <-l.turn }()
	if err := acquireSlot(ctx, l.slots); err != nil {
		return 0, err
	}
	for {
		epoch, wait := l.reserve()
		if wait <= 0 {
			return epoch, nil
		}
		if err := Sleep(ctx, wait); err != nil {
			<-l.slots
			return 0, err
		}
	}
}

// reserve reserves a call, or returns how long to wait before the next try. The rate can change in the meantime.
func (l *Limiter) reserve() (epoch int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pacer.reserve(time.Now())
}

// Release ends a call. It reduces the rate if the service throttled the call. Then no call is sent before the time after.
func (l *Limiter) Release(epoch int, throttled bool, after time.Duration) {
	free := 1
	if throttled {
		l.reduceRate(epoch, after)
		free += l.open(cap(l.slots))
	} else {
		free += l.open(1)
	}
	for range free {
		<-l.slots
	}
}

// open opens up to n closed slots and returns their number. The caller must take them from the channel.
func (l *Limiter) open(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = min(n, l.closed)
	l.closed -= n
	return n
}

func (l *Limiter) reduceRate(epoch int, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.pacer.reduceRate(now, epoch)
	l.pacer.hold(now.Add(after))
}

// RecentlyThrottled reports whether the service throttled a call within throttlingPeriod, so that callers wait for that reason.
func (l *Limiter) RecentlyThrottled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pacer.throttledWithin(time.Now(), throttlingPeriod)
}

// throttlingPeriod is how long throttling counts as the reason for a wait.
const throttlingPeriod = 10 * time.Second

func acquireSlot(ctx context.Context, room chan<- struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Sleep waits for d. It returns ctx's error if ctx ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
