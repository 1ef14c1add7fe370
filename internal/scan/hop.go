package scan

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// WorkReport is what one invocation did with its messages.
type WorkReport struct {
	// Messages is the sum of the counts below.
	Messages int `json:"messages"`
	// Ended is how many chains came to their end, PassedOn how many hops sent on the next.
	Ended    int `json:"ended"`
	PassedOn int `json:"passedOn"`
	// ConfigsFailed is how many chains ended since their config can't be read as a whole, CutOff how many since they had MaxHops hops.
	ConfigsFailed int `json:"configsFailed"`
	CutOff        int `json:"cutOff"`
	// Stale is how many messages nobody needs any more, ToRetry how many are to be delivered again.
	Stale   int `json:"stale"`
	ToRetry int `json:"toRetry"`
	// Tally has no images left: they are passed on.
	Tally
	Known
}

// ending is how a message ended.
type ending int

const (
	toRetry ending = iota
	ended
	passedOn
	configFailed
	cutOff
	stale
)

// Work does the hops of messages, side by side, and returns before ctx's deadline. It gives an error for each message that is to be
// delivered again, and nil for the others.
func (c *Chains) Work(ctx context.Context, messages []Message) (WorkReport, []error) {
	calls, stop, cancel := runTimes(ctx)
	defer cancel()
	var (
		report = WorkReport{Messages: len(messages), Tally: newTally()}
		errs   = make([]error, len(messages))
		starts = newStarter(c.Watch, stop)
		mu     sync.Mutex
		wg     sync.WaitGroup
	)
	for i, m := range messages {
		wg.Go(func() {
			h := hop{c, m, c.Watch.Log.With("config", m.Config, "chain", m.Chain, "hop", m.Hop)}
			how, did, err := h.do(ctx, calls, starts)
			mu.Lock()
			defer mu.Unlock()
			errs[i] = err
			report.count(how)
			report.Tally = report.plus(did)
		})
	}
	wg.Wait()
	report.Known = starts.known
	return report, errs
}

func (r *WorkReport) count(how ending) {
	switch how {
	case toRetry:
		r.ToRetry++
	case ended:
		r.Ended++
	case passedOn:
		r.PassedOn++
	case configFailed:
		r.ConfigsFailed++
	case cutOff:
		r.CutOff++
	case stale:
		r.Stale++
	}
}

// hop is the work on one message.
type hop struct {
	*Chains
	Message
	log *slog.Logger
}

// do tells how the message ended, what was done, and with toRetry why.
func (h hop) do(ctx, calls context.Context, starts *starter) (ending, Tally, error) {
	if err := h.claim(calls, h.Message, h.until(ctx)); errors.Is(err, errStale) {
		h.log.InfoContext(ctx, "dropped a message that nobody needs any more")
		return stale, Tally{}, nil
	} else if err != nil {
		return h.retry(ctx, err)
	}
	config, err := h.Watch.Configs.Get(calls, h.Config)
	if CodeOf(err) == NotFound {
		h.log.InfoContext(ctx, "the scan run of a config ends: the config was deleted")
		return h.end(ctx, ended, Tally{})
	} else if err != nil {
		return h.retry(ctx, err)
	}
	h.log = h.log.With("registry", config.Registry, "region", config.Region, "repository", config.Repository)
	b := newBook()
	r := starts.startPages(ctx, calls, []Config{config}, h.Place, b.enter)
	next, did := h.Message.after(b, r)
	h.log.InfoContext(ctx, "hop of the scan run of a config", "tally", did)
	return h.conclude(ctx, next, did, r)
}

// conclude goes on as what is left of the config demands.
func (h hop) conclude(ctx context.Context, next Message, did Tally, r rest) (ending, Tally, error) {
	switch {
	case !r.images && r.err == nil:
		h.log.InfoContext(ctx, "scan run of a config", "hops", next.Hop, "tally", next.Total)
		return h.end(ctx, ended, did)
	case r.images, errors.Is(r.err, errLeft):
		return h.passOn(ctx, next, did)
	case CodeOf(r.err) == PageLost && !h.Anew:
		h.log.WarnContext(ctx, "the scan run of a config has lost its place and begins anew", "error", r.err)
		return h.passOn(ctx, next.anew(), did)
	case CodeOf(r.err) == Unavailable && r.at != h.Place:
		return h.passOn(ctx, next, did) // what was done isn't to be done again when the queue delivers this one again
	case CodeOf(r.err) == Unavailable:
		return h.retry(ctx, r.err)
	}
	h.log.WarnContext(ctx, "scan run of a config failed", "hops", next.Hop, "tally", next.Total, "error", r.err)
	return h.end(ctx, configFailed, did)
}

// passOn sends on the next message. Until it is sent, this one is needed: it may then be done again, but nothing is lost.
func (h hop) passOn(ctx context.Context, next Message, did Tally) (ending, Tally, error) {
	if next.Hop > MaxHops {
		h.log.ErrorContext(ctx, "the scan run of a config was ended: it goes on and on", "hops", next.Hop, "tally", next.Total)
		return h.end(ctx, cutOff, did)
	}
	if errs := h.Queue.Send(ctx, []Message{next}); len(errs) > 0 && errs[0] != nil {
		_, _, err := h.retry(ctx, errs[0])
		return toRetry, did, err
	}
	return passedOn, did, nil
}

// retry leaves the message to be delivered again.
func (h hop) retry(ctx context.Context, err error) (ending, Tally, error) {
	h.log.WarnContext(ctx, "a hop of the scan run of a config is to be done again", "error", err)
	return toRetry, Tally{}, err
}

// end ends the chain. Where its marker can't be removed it expires.
func (h hop) end(ctx context.Context, how ending, did Tally) (ending, Tally, error) {
	if err := h.Markers.Remove(ctx, h.Config); err != nil {
		h.log.WarnContext(ctx, "can't remove the marker of a scan run of a config; it will expire", "error", err)
	}
	return how, did, nil
}

// until is when this invocation ends at the latest, by the clock of the domain.
func (h hop) until(ctx context.Context) time.Time {
	left := maxHopTime
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	return h.Watch.Now().Add(left)
}

// after is the message that follows when a hop did what stands in the book and left r, and what that adds to the chain's total. A page that
// is not finished will be met again as a whole: of it, and of those behind it, only what was started counts now.
func (m Message) after(b *book, r rest) (next Message, did Tally) {
	did = newTally()
	ahead, again := 0, m.Again
	finished := b.finished()
	for number, page := range b.pages {
		if number < finished {
			did = did.plus(page.tally.without(&again))
		} else {
			ahead += page.tally.Started
		}
	}
	did.Started += ahead
	did.Images += ahead
	next = m
	next.Hop++
	next.Place = r.at
	next.Total = m.Total.plus(did)
	next.Again = again + ahead
	return next, did
}

// anew is the message for the same chain from the beginning: everything that was started is met again.
func (m Message) anew() Message {
	total := newTally()
	total.Images, total.Started = m.Total.Started, m.Total.Started
	m.Place, m.Total, m.Again, m.Anew = Place{}, total, m.Total.Started, true
	return m
}
