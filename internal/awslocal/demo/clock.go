package demo

import (
	"sync"
	"time"
)

// Clock is the clock of the demo. It starts in the past, stands still or runs faster than the real clock, and never passes it.
// While it runs and has reached the real clock, it shows the same time. All methods are safe for concurrent use.
type Clock struct {
	real func() time.Time

	mu    sync.Mutex
	shown time.Time // the time that the clock showed
	since time.Time // when the real clock showed this time
	speed float64
	until time.Time // the clock stands still when it shows this time
}

// NewClock returns a clock that stands still at a time before the present.
func NewClock(real func() time.Time, start time.Time) *Clock {
	c := &Clock{real: real}
	c.Set(start)
	return c
}

// Now returns the time of the demo.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(c.real())
}

// at returns the time of the demo at a real time. It converts no long time to nanoseconds of the demo, because these can be too
// many for a Duration.
func (c *Clock) at(now time.Time) time.Time {
	limit := c.until
	if limit.After(now) {
		limit = now
	}
	passed := float64(now.Sub(c.since)) * c.speed
	if rest := limit.Sub(c.shown); passed < float64(rest) {
		return c.shown.Add(min(time.Duration(passed), rest))
	}
	return limit
}

// Set lets the clock stand still at t, or at the present if t is later.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.real()
	if t.After(now) {
		t = now
	}
	c.shown, c.since, c.speed, c.until = t, now, 0, t
}

// RunTo lets the clock run until it shows t. The speed is the time of the demo that passes in the same real time. It returns how long
// the clock needs.
func (c *Clock) RunTo(t time.Time, speed float64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.real()
	c.shown = c.at(now)
	c.since, c.speed, c.until = now, speed, t
	fast := time.Duration(float64(t.Sub(c.shown)) / speed)
	return max(fast, t.Sub(now), 0) // the clock does not pass the real one
}
