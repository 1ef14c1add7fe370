package pace

import (
	"math"
	"time"
)

// The rate limits of the service are not published, and other programs use a part of them. Therefore the pacer adapts its rate
// with the CUBIC algorithm (RFC 9438, with calls instead of segments): when a call is throttled, it reduces the rate to a share,
// then returns to the old rate quickly, stays near it for a while, and then increases faster and faster. The rate stays close
// to the limit, few calls are throttled, and a limit that has increased is detected soon.
const (
	reducedShare = 0.7 // of the rate, after throttling
	growth       = 0.4 // coefficient C of the curve, in calls per second per cubic second
	minRate      = 1.0 // calls per second; at this rate a throttled call costs less than a longer wait
)

// maxCatchUp is the maximum timer delay that following calls compensate by being sent sooner.
const maxCatchUp = 10 * time.Millisecond

// pacer controls the rate of one operation's calls. The rate is unlimited until the first call is throttled.
type pacer struct {
	// epoch is the number of rate reductions. Throttling of a call that was sent before the last reduction is not a
	// reason to reduce the rate again.
	epoch int
	// ceiling is the rate before the last reduction, in calls per second.
	ceiling     float64
	cutAt       time.Time
	throttledAt time.Time // when a call was last throttled
	next        time.Time // when the next call may be sent

	// recent is the number of calls in about the last second: an exponentially decaying sum with a time constant of 1 s.
	recent   float64
	recentAt time.Time
}

// rate returns the allowed calls per second.
func (p *pacer) rate(now time.Time) float64 {
	if p.epoch == 0 {
		return math.Inf(1)
	}
	back := math.Cbrt(p.ceiling * (1 - reducedShare) / growth) // seconds until the rate reaches the ceiling again
	t := now.Sub(p.cutAt).Seconds() - back
	return max(minRate, p.ceiling+growth*t*t*t)
}

func (p *pacer) interval(now time.Time) time.Duration {
	return time.Duration(float64(time.Second) / p.rate(now))
}

// reserve reserves a call that is sent now and returns its epoch, or returns how long to wait.
func (p *pacer) reserve(now time.Time) (epoch int, wait time.Duration) {
	if wait := p.next.Sub(now); wait > 0 {
		return 0, wait
	}
	if earliest := now.Add(-maxCatchUp); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(p.interval(now))
	p.recent, p.recentAt = p.recentCalls(now)+1, now
	return p.epoch, 0
}

func (p *pacer) recentCalls(now time.Time) float64 {
	return p.recent * math.Exp(-now.Sub(p.recentAt).Seconds())
}

// reduceRate reduces the rate once for all calls of the same epoch. The new rate depends on the calls that were actually
// sent, because a rate that was allowed but not used is untested. If few calls were sent, the new rate is below the service's limit.
// The recovery takes some seconds; a higher rate would cost many throttled calls.
func (p *pacer) reduceRate(now time.Time, epoch int) {
	p.throttledAt = now
	if epoch != p.epoch {
		return
	}
	p.ceiling = max(minRate, min(p.rate(now), p.recentCalls(now)))
	p.cutAt = now
	p.epoch++
	p.next = now.Add(p.interval(now))
}

// hold delays the next call until t.
func (p *pacer) hold(t time.Time) {
	if t.After(p.next) {
		p.next = t
	}
}

// throttledWithin reports whether a call was throttled in the last d.
func (p *pacer) throttledWithin(now time.Time, d time.Duration) bool {
	return p.epoch > 0 && now.Sub(p.throttledAt) < d
}
