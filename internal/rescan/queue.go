package rescan

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"ecr-continuous-scan/internal/scan"
)

// Local is a queue in the process, for the local server. It holds at most one waiting message for each repository, and it forgets all of
// them when the process ends. All methods are safe for concurrent use. It implements [Queue].
//
// It does not drop a message because of its deduplication id: a second copy becomes part of the message that waits, or costs a visit.
type Local struct {
	atOnce  int
	now     func() time.Time
	changed chan struct{} // holds a value when there may be more to do

	mu      sync.Mutex
	waiting []*Received // in the order of the first sending
	byRepo  map[scan.Repository]*Received
	running map[scan.Repository]bool
}

// NewLocal returns an empty queue that gives out at most atOnce messages at once, and that takes the time of sending from now.
func NewLocal(atOnce int, now func() time.Time) *Local {
	return &Local{
		atOnce: atOnce, now: now, changed: make(chan struct{}, 1),
		byRepo: map[scan.Repository]*Received{}, running: map[scan.Repository]bool{},
	}
}

// Send implements [Queue]. It never fails.
func (q *Local) Send(_ context.Context, s []Sending) []error {
	q.mu.Lock()
	defer q.mu.Unlock()
	sent := q.now().Truncate(time.Millisecond) // as SQS does
	for _, one := range s {
		if m := q.byRepo[one.Repo()]; m != nil {
			m.merge(one.Message, sent)
			continue
		}
		m := &Received{Message: one.Message, ID: uuid.NewString(), Sent: sent}
		m.Configs = slices.Clone(m.Configs)
		q.waiting = append(q.waiting, m)
		q.byRepo[m.Repo()] = m
	}
	q.wake()
	return nil
}

// merge makes one message of two for the same repository. The time is that of the later one: a visit that began between the two has
// not seen what the later one is about. The count is the larger one, so that work without end is noticed although schedules come between.
func (r *Received) merge(m Message, sent time.Time) {
	r.Sent, r.Continues = sent, max(r.Continues, m.Continues)
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

// Run calls handle for each message until ctx ends, and returns when the calls that run then have returned. There must be one Run at a
// time.
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
			defer q.end(m.Repo())
			handle(ctx, *m)
		})
	}
}

// next takes the first message whose repository is not being visited, and nil when there is none or enough visits run.
func (q *Local) next() *Received {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.running) >= q.atOnce {
		return nil
	}
	i := slices.IndexFunc(q.waiting, func(m *Received) bool { return !q.running[m.Repo()] })
	if i < 0 {
		return nil
	}
	m := q.waiting[i]
	q.waiting = slices.Delete(q.waiting, i, i+1)
	delete(q.byRepo, m.Repo())
	q.running[m.Repo()] = true
	return m
}

func (q *Local) end(r scan.Repository) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.running, r)
	q.wake()
}

// wake lets Run look again.
func (q *Local) wake() {
	select {
	case q.changed <- struct{}{}:
	default: // it will look anyway
	}
}
