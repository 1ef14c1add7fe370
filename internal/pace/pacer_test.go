package pace

import (
	"math"
	"testing"
	"time"
)

// sendFor sends calls as fast as the pacer allows for a duration. Each call returns immediately. throttle reports whether a
// call is throttled.
func sendFor(p *pacer, from time.Time, d time.Duration, throttle func(time.Time) bool) (sent int, end time.Time) {
	now := from
	for now.Before(from.Add(d)) {
		epoch, wait := p.reserve(now)
		if wait > 0 {
			now = now.Add(wait)
			continue
		}
		if sent++; throttle(now) {
			p.reduceRate(now, epoch)
		}
		if p.epoch == 0 {
			now = now.Add(time.Millisecond) // one call per millisecond while the rate is unlimited
		}
	}
	return sent, now
}

func never(time.Time) bool { return false }

func TestPacer(t *testing.T) {
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	p := &pacer{}
	if _, wait := p.reserve(start); wait > 0 || !math.IsInf(p.rate(start), 1) {
		t.Errorf("the first call waits for %s, at a rate of %v", wait, p.rate(start))
	}
	sent, now := sendFor(p, start, time.Second, never)
	if sent < 1000 || p.throttledWithin(now, time.Hour) {
		t.Errorf("%d calls in a second without a limit", sent)
	}
	_, _ = p.reserve(now.Add(maxCatchUp))
	before := p.recentCalls(now)
	for range 64 { // concurrent calls that are throttled reduce the rate once
		p.reduceRate(now, 0)
	}
	if rate := p.rate(now); math.Abs(rate-reducedShare*before) > 1 || p.epoch != 1 {
		t.Errorf("after one reduction from %.0f the rate is %.0f, epoch %d", before, rate, p.epoch)
	}
	if _, wait := p.reserve(now); wait <= 0 {
		t.Error("no pause after the reduction")
	}
	if !p.throttledWithin(now.Add(time.Second), 2*time.Second) || p.throttledWithin(now.Add(3*time.Second), 2*time.Second) {
		t.Error("throttledWithin returns the wrong period")
	}
}

// The rate falls to a share, recovers to the ceiling, stays near it for a while, and then grows without limit.
func TestRateRecovers(t *testing.T) {
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, ceiling := range []float64{2, 20, 500} {
		p := &pacer{epoch: 1, ceiling: ceiling, cutAt: start}
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

// Even if all calls are throttled, one call per second is sent.
func TestRateNeverFallsBelowTheMinimum(t *testing.T) {
	p := &pacer{}
	sent, _ := sendFor(p, time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), time.Minute, func(time.Time) bool { return true })
	if sent < 58 || sent > 75 {
		t.Errorf("%d calls in a minute in which each is throttled", sent)
	}
}
