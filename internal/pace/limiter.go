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
	slots chan struct{} // one entry for each call in progress

	mu    sync.Mutex
	pacer pacer
}

// NewLimiter returns a limiter that allows a maximum number of concurrent calls.
func NewLimiter(callsAtOnce int) *Limiter {
	return &Limiter{turn: make(chan struct{}, 1), slots: make(chan struct{}, callsAtOnce)}
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
		if err := sleep(ctx, wait); err != nil {
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
	if throttled {
		l.reduceRate(epoch, after)
	}
	<-l.slots
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

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
