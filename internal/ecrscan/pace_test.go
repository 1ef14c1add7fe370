package ecrscan

import (
	"math"
	"testing"
	"time"
)

// drive sends as fast as the pace allows until the time is up; each call is answered at once. refuse tells which are throttled.
func drive(p *pace, from time.Time, d time.Duration, refuse func(time.Time) bool) (sent int, end time.Time) {
	now := from
	for now.Before(from.Add(d)) {
		epoch, wait := p.send(now)
		if wait > 0 {
			now = now.Add(wait)
			continue
		}
		if sent++; refuse(now) {
			p.throttled(now, epoch)
		}
		if p.epoch == 0 {
			now = now.Add(time.Millisecond) // without a bound, a call a millisecond
		}
	}
	return sent, now
}

func never(time.Time) bool { return false }

func TestPace(t *testing.T) {
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	p := &pace{}
	if _, wait := p.send(start); wait > 0 || !math.IsInf(p.rate(start), 1) {
		t.Errorf("the first call waits for %s, at a rate of %v", wait, p.rate(start))
	}
	sent, now := drive(p, start, time.Second, never)
	if sent < 1000 || p.throttledWithin(now, time.Hour) {
		t.Errorf("%d calls in a second without a limit", sent)
	}
	_, _ = p.send(now.Add(catchUp))
	before := p.lately(now)
	for range 64 { // calls that were under way together are throttled together
		p.throttled(now, 0)
	}
	if rate := p.rate(now); math.Abs(rate-keptShare*before) > 1 || p.epoch != 1 {
		t.Errorf("after one cut of %.0f the rate is %.0f, epoch %d", before, rate, p.epoch)
	}
	if _, wait := p.send(now); wait <= 0 {
		t.Error("no pause after the cut")
	}
	if !p.throttledWithin(now.Add(time.Second), 2*time.Second) || p.throttledWithin(now.Add(3*time.Second), 2*time.Second) {
		t.Error("throttledWithin doesn't know when")
	}
}

// The curve falls to a share, is back at the ceiling after its time, stays near it and then grows beyond all bounds.
func TestPaceGrowsBack(t *testing.T) {
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, ceiling := range []float64{2, 20, 500} {
		p := &pace{epoch: 1, ceiling: ceiling, cutAt: start}
		back := time.Duration(math.Cbrt(ceiling*0.3/growth) * float64(time.Second))
		for after, want := range map[time.Duration]float64{0: 0.7 * ceiling, back: ceiling, back * 11 / 10: ceiling} {
			if rate := p.rate(start.Add(after)); math.Abs(rate-want) > ceiling/100 {
				t.Errorf("ceiling %.0f: %.2f after %s, want %.2f", ceiling, rate, after, want)
			}
		}
		if rate := p.rate(start.Add(time.Hour)); rate < 1e6 {
			t.Errorf("ceiling %.0f: %.0f after an hour", ceiling, rate)
		}
	}
}

// However often calls are throttled, one is tried each second.
func TestPaceNeverStops(t *testing.T) {
	p := &pace{}
	sent, _ := drive(p, time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), time.Minute, func(time.Time) bool { return true })
	if sent < 58 || sent > 75 {
		t.Errorf("%d calls in a minute in which each is throttled", sent)
	}
}
