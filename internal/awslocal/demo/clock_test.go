package demo

import (
	"math/rand/v2"
	"testing"
	"time"
)

const day = 24 * time.Hour

// fakeReal is a real clock that a test moves.
type fakeReal struct{ time.Time }

func (f *fakeReal) now() time.Time          { return f.Time }
func (f *fakeReal) advance(d time.Duration) { f.Time = f.Add(d) }

func TestClockNeverPassesTheRealClock(t *testing.T) {
	random := rand.New(rand.NewPCG(16, 1))
	for range 200 {
		real := &fakeReal{time.Date(2026, 11, 29, 1, 2, 3, 4, time.UTC)}
		c := NewClock(real.now, real.Add(-60*day))
		last := c.Now()
		for step := range 100 {
			switch random.IntN(6) {
			case 0:
				c.Set(last.Add(time.Duration(random.Int64N(int64(2 * day)))))
			case 1:
				c.RunTo(last.Add(time.Duration(random.Int64N(int64(100*day)))), []float64{1, 1440, 43_200, 1e9}[random.IntN(4)])
			}
			real.advance(time.Duration(random.Int64N(int64([]time.Duration{time.Second, time.Hour, 400 * day}[random.IntN(3)]))))
			now := c.Now()
			if now.After(real.Time) || now.Before(last) {
				t.Fatalf("step %d: the clock shows %s after %s, the real time is %s", step, now, last, real.Time)
			}
			last = now
		}
	}
}

// A demo that runs for years must not overflow.
func TestClockReachesTheRealClock(t *testing.T) {
	real := &fakeReal{time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)}
	start := real.Add(-30 * day)
	c := NewClock(real.now, start)
	if wait := c.RunTo(start.Add(day), 1440); wait != time.Minute {
		t.Errorf("a day takes %s", wait)
	}
	real.advance(30 * time.Second)
	if now := c.Now(); !now.Equal(start.Add(day / 2)) {
		t.Errorf("after half a minute the clock shows %s", now)
	}
	real.advance(time.Hour)
	if now := c.Now(); !now.Equal(start.Add(day)) {
		t.Errorf("the clock shows %s, it must stand still after a day", now)
	}
	real.Time = real.Add(-time.Hour)
	c.RunTo(start.Add(250*365*day), 1440)
	real.advance(30 * time.Second)
	real.advance(29*time.Minute + 2*time.Second) // the real clock has moved by half an hour too
	if now := c.Now(); !now.Equal(real.Time) {
		t.Errorf("after half an hour the clock shows %s, the real time is %s", now, real.Time)
	}
	if wait := c.RunTo(real.Add(time.Hour), 1440); wait != time.Hour {
		t.Errorf("an hour takes %s at the end", wait)
	}
	c.RunTo(real.Add(250*365*day), 1440)
	real.advance(200 * 365 * day)
	if now := c.Now(); !now.Equal(real.Time) {
		t.Errorf("after 200 years the clock shows %s, the real time is %s", now, real.Time)
	}
}

func TestClockStandsStill(t *testing.T) {
	real := &fakeReal{time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)}
	c := NewClock(real.now, real.Add(-day))
	c.Set(real.Add(-time.Hour))
	real.advance(30 * time.Minute)
	if now := c.Now(); !now.Equal(real.Add(-90 * time.Minute)) {
		t.Errorf("it shows %s", now)
	}
}
