package ecrscan

import (
	"math"
	"time"
)

// The rates of ECR's API are not published and hold for the whole account, so they are found by trying. The rule is CUBIC's (RFC 9438, with
// calls for segments): when throttled, fall to a share of the rate, come back to it quickly, stay near it for a while, and then try more and
// more. It loses little below the limit, is throttled seldom above it, and soon finds a limit that has risen.
const (
	keptShare = 0.7 // of the rate, when throttled
	growth    = 0.4 // of the curve, in calls per second and cubic second
	slowest   = 1.0 // call per second: below it a try costs less than the wait
)

// catchUp is how much of the time that timers lose is made good by calls in quick succession.
const catchUp = 10 * time.Millisecond

// pace is the rate of one operation's calls. It begins without a bound.
type pace struct {
	// epoch is how often the rate was cut. A call that was sent before the last cut says nothing of the rate after it.
	epoch int
	// ceiling is the rate, in calls per second, at which the last cut was made.
	ceiling float64
	cutAt   time.Time
	hitAt   time.Time // when a call was throttled last
	next    time.Time // when the next call may be sent

	// sent is how many calls were sent in about the last second; each fades over a second.
	sent   float64
	sentAt time.Time
}

// rate is how many calls a second are allowed.
func (p *pace) rate(now time.Time) float64 {
	if p.epoch == 0 {
		return math.Inf(1)
	}
	back := math.Cbrt(p.ceiling * (1 - keptShare) / growth) // seconds until the rate is at the ceiling again
	t := now.Sub(p.cutAt).Seconds() - back
	return max(slowest, p.ceiling+growth*t*t*t)
}

func (p *pace) interval(now time.Time) time.Duration {
	return time.Duration(float64(time.Second) / p.rate(now))
}

// send books a call if one may be sent now, or else tells how long to wait.
func (p *pace) send(now time.Time) (epoch int, wait time.Duration) {
	if wait := p.next.Sub(now); wait > 0 {
		return 0, wait
	}
	if earliest := now.Add(-catchUp); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(p.interval(now))
	p.sent, p.sentAt = p.lately(now)+1, now
	return p.epoch, 0
}

func (p *pace) lately(now time.Time) float64 {
	return p.sent * math.Exp(-now.Sub(p.sentAt).Seconds())
}

// throttled cuts the rate, once for all the calls that were sent at it. It is cut below what was really sent: a rate that was not used has
// not been tried. Where little was sent so far, that is less than what ECR takes, which costs some seconds; more would cost many calls.
func (p *pace) throttled(now time.Time, epoch int) {
	p.hitAt = now
	if epoch != p.epoch {
		return
	}
	p.ceiling = max(slowest, min(p.rate(now), p.lately(now)))
	p.cutAt = now
	p.epoch++
	p.next = now.Add(p.interval(now))
}

// throttledWithin tells whether a call was throttled in the last d.
func (p *pace) throttledWithin(now time.Time, d time.Duration) bool {
	return p.epoch > 0 && now.Sub(p.hitAt) < d
}
