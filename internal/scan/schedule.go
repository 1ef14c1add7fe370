package scan

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// ScheduleReport is what was sent to the queue.
type ScheduleReport struct {
	// Configs is how many configs there are, and the sum of Sent, Running and NotSent.
	Configs int `json:"configs"`
	// Sent is how many chains were started.
	Sent int `json:"sent"`
	// Running is how many configs got none since they have one that is under way.
	Running int `json:"running"`
	// NotSent is how many should have got one and did not. They are as due at the next schedule.
	NotSent int `json:"notSent"`
	// Problems tells of those, the first hundred of them. Each stands in the log.
	Problems []ScheduleProblem `json:"problems"`
}

// ScheduleProblem is why a config got no chain.
type ScheduleProblem struct {
	ID    string `json:"id"`
	Error string `json:"error"`
}

// A few configs are marked and then sent at once, so that hardly one is marked and not sent when a function ends in the middle.
const (
	chainsPerSend = 10
	sendsAtOnce   = 12
)

// Schedule starts a chain for each config that has none under way. What goes wrong with one config stands in the report and the log; the
// error is for when nothing works: configs unreadable, or none of those that should be sent was.
func (c *Chains) Schedule(ctx context.Context) (ScheduleReport, error) {
	calls, stop, cancel := runTimes(ctx)
	defer cancel()
	configs, err := c.Watch.Configs.List(calls)
	if err != nil {
		return ScheduleReport{}, fmt.Errorf("scan schedule: can't read the configs: %w", err)
	}
	report := ScheduleReport{Configs: len(configs), Problems: []ScheduleProblem{}}
	var (
		failure error // of one of those that were not sent
		mu      sync.Mutex
		g       errgroup.Group
	)
	g.SetLimit(sendsAtOnce)
	for some := range slices.Chunk(configs, chainsPerSend) {
		g.Go(func() error {
			starts := c.startSome(ctx, calls, stop, some)
			mu.Lock()
			defer mu.Unlock()
			for _, s := range starts {
				report.add(s)
				if s.err != nil {
					failure = s.err
					c.Watch.Log.WarnContext(ctx, "no scan run of a config was sent", "config", s.config, "error", s.err)
				}
			}
			return nil
		})
	}
	_ = g.Wait() // what happened stands in the report
	c.Watch.tidy(calls, stop, configs)
	c.Watch.Log.InfoContext(ctx, "scan schedule", "configs", report.Configs, "sent", report.Sent, "running", report.Running, "notSent", report.NotSent)
	if report.NotSent > 0 && report.Sent == 0 {
		return report, fmt.Errorf("scan schedule: no scan run could be sent, one of them since: %w", failure)
	}
	return report, nil
}

// start is what became of one config.
type start struct {
	config string
	// message is the first of its chain; sent tells that there is one.
	message Message
	sent    bool
	err     error
}

// startSome marks some configs and sends their chains' first messages. A config whose message could not be sent isn't left marked.
func (c *Chains) startSome(ctx, calls, stop context.Context, configs []Config) []start {
	starts := make([]start, len(configs))
	var wg sync.WaitGroup
	for i, config := range configs {
		starts[i].config = config.ID
		if stop.Err() != nil {
			starts[i].err = errLeft
			continue
		}
		wg.Go(func() {
			s := &starts[i]
			s.message, s.sent, s.err = c.first(calls, config.ID)
		})
	}
	wg.Wait()
	var (
		messages []Message
		at       []int
	)
	for i, s := range starts {
		if s.sent {
			messages, at = append(messages, s.message), append(at, i)
		}
	}
	if len(messages) == 0 {
		return starts
	}
	for i, err := range c.Queue.Send(calls, messages) {
		if err != nil {
			s := &starts[at[i]]
			s.sent, s.err = false, err
			wg.Go(func() { c.unmark(ctx, s.message) })
		}
	}
	wg.Wait()
	return starts
}

// unmark takes back the mark of a chain whose first message was not sent, unless it has arrived all the same and is being worked on.
func (c *Chains) unmark(ctx context.Context, first Message) {
	m, err := c.Markers.Get(ctx, first.Config)
	if err == nil && m.Chain == first.Chain && m.Worker == "" {
		err = c.Markers.Remove(ctx, first.Config)
	}
	if err != nil && CodeOf(err) != NotFound {
		c.Watch.Log.WarnContext(ctx, "can't remove the marker of a scan run of a config that was not sent; it will expire", "config", first.Config, "error", err)
	}
}

func (r *ScheduleReport) add(s start) {
	switch {
	case s.err != nil:
		r.NotSent++
		if len(r.Problems) < maxProblems {
			r.Problems = append(r.Problems, ScheduleProblem{s.config, MessageOf(s.err)})
		}
	case s.sent:
		r.Sent++
	default:
		r.Running++
	}
}
