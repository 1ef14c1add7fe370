package rescan

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Local is a queue in memory for the local server. It stores at most one waiting message for each group. All
// messages are lost when the process ends. All methods are safe for concurrent use. It implements [Queue].
//
// It ignores the deduplication id: it merges a second copy into the waiting message. If none is waiting, there is one
// more visit.
type Local struct {
	atOnce  int
	now     func() time.Time
	changed chan struct{} // has a value when a message can be ready

	mu      sync.Mutex
	waiting []*Received // in the order of the first sending
	byGroup map[string]*Received
	running map[string]bool
}

// NewLocal returns an empty queue that delivers at most atOnce messages at once. now returns the time for the Sent
// field of messages.
func NewLocal(atOnce int, now func() time.Time) *Local {
	return &Local{
		atOnce: atOnce, now: now, changed: make(chan struct{}, 1),
		byGroup: map[string]*Received{}, running: map[string]bool{},
	}
}

// Send implements [Queue]. It never fails.
func (q *Local) Send(_ context.Context, s []Sending) []error {
	q.mu.Lock()
	defer q.mu.Unlock()
	sent := q.now().Truncate(time.Millisecond) // as SQS does
	for _, one := range s {
		if m := q.byGroup[one.Group()]; m != nil {
			m.merge(one.Message, sent)
			continue
		}
		m := &Received{Message: one.Message, ID: uuid.NewString(), Sent: sent}
		m.Configs = slices.Clone(m.Configs)
		q.waiting = append(q.waiting, m)
		q.byGroup[m.Group()] = m
	}
	q.wake()
	return nil
}

// merge adds a second message of the same group. The result has the later time, because a visit that began
// between the two messages has not read the configs of the second one. It has the larger number of continuations, so
// that endless continuations reach the limit even if schedules send messages in between.
func (r *Received) merge(m Message, sent time.Time) {
	r.Sent, r.Continues, r.Created = sent, max(r.Continues, m.Continues), max(r.Created, m.Created)
	for _, id := range m.Configs {
		if !slices.Contains(r.Configs, id) {
			r.Configs = append(r.Configs, id)
		}
	}
}

// Waiting implements [Queue]. It never fails.
func (q *Local) Waiting(context.Context) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting), nil
}

// Run calls handle for each message until ctx ends, and returns when all calls of handle have returned. Only one Run
// may be active at a time.
func (q *Local) Run(ctx context.Context, handle func(context.Context, Received)) {
	var visits sync.WaitGroup
	defer visits.Wait()
	for ctx.Err() == nil {
		m := q.next()
		if m == nil {
			select {
			case <-q.changed:
			case <-ctx.Done():
			}
			continue
		}
		visits.Go(func() {
			defer q.end(m.Group())
			handle(ctx, *m)
		})
	}
}

// Drain calls handle for each waiting message, and for those that are sent meanwhile, one after the other. It returns when none is
// left or ctx ends. It must not run together with Run.
func (q *Local) Drain(ctx context.Context, handle func(context.Context, Received)) {
	for ctx.Err() == nil {
		m := q.next()
		if m == nil {
			return
		}
		handle(ctx, *m)
		q.end(m.Group())
	}
}

// next removes and returns the first message whose group is not being handled. It returns nil when there is none
// or the maximum number of visits is active.
func (q *Local) next() *Received {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.running) >= q.atOnce {
		return nil
	}
	i := slices.IndexFunc(q.waiting, func(m *Received) bool { return !q.running[m.Group()] })
	if i < 0 {
		return nil
	}
	m := q.waiting[i]
	q.waiting = slices.Delete(q.waiting, i, i+1)
	delete(q.byGroup, m.Group())
	q.running[m.Group()] = true
	return m
}

func (q *Local) end(group string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.running, group)
	q.wake()
}

// wake makes Run check the queue again.
func (q *Local) wake() {
	select {
	case q.changed <- struct{}{}:
	default: // Run already has a wake-up
	}
}
