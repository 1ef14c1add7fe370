package ecrscan

import (
	"context"
	"sync"
	"time"
)

// limiter lets the calls of one operation in one registry and Region through: at most so many at once, and as fast as ECR takes them.
// Callers are served in the order in which they come, those that come again after they were throttled included, so none waits for ever.
type limiter struct {
	turn  chan struct{} // held by the caller that goes next
	slots chan struct{} // one for each call under way

	mu   sync.Mutex
	pace pace
}

func newLimiter() *limiter {
	return &limiter{turn: make(chan struct{}, 1), slots: make(chan struct{}, CallsAtOnce)}
}

// acquire waits until a call may be made, or until ctx ends. A call that was let through is given back with release, with its epoch.
func (l *limiter) acquire(ctx context.Context) (epoch int, err error) {
	if err := enter(ctx, l.turn); err != nil {
		return 0, err
	}
	defer func() { <-l.turn }()
	if err := enter(ctx, l.slots); err != nil {
		return 0, err
	}
	for {
		epoch, wait := l.send()
		if wait <= 0 {
			return epoch, nil
		}
		if err := sleep(ctx, wait); err != nil {
			<-l.slots
			return 0, err
		}
	}
}

// send books a call, or tells how long to wait before the next try. The pace may change in the meantime.
func (l *limiter) send() (epoch int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pace.send(time.Now())
}

// release ends a call, and learns from its answer.
func (l *limiter) release(epoch int, throttled bool) {
	if throttled {
		l.cut(epoch)
	}
	<-l.slots
}

func (l *limiter) cut(epoch int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pace.throttled(time.Now(), epoch)
}

// throttling tells whether it is ECR's throttling for which callers wait now.
func (l *limiter) throttling() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pace.throttledWithin(time.Now(), throttlingMemory)
}

// throttlingMemory is how long throttling is taken for the reason of a wait.
const throttlingMemory = 10 * time.Second

func enter(ctx context.Context, room chan<- struct{}) error {
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
