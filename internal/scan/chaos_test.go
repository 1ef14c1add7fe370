package scan

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowRegistry takes a second for each call, half of it before it acts, scans an image in two minutes, and refuses to do so twice in 24 h.
type slowRegistry struct {
	pagedRegistry

	mu      sync.Mutex
	started map[string][]time.Time // by digest
	refused int
}

const (
	callTime = time.Second
	scanTime = 2 * time.Minute
)

func newSlowRegistry(images map[string][]Image, pageSize int) *slowRegistry {
	return &slowRegistry{pagedRegistry: pagedRegistry{fakeRegistry: &fakeRegistry{images: images}, size: pageSize}, started: map[string][]time.Time{}}
}

// wait is half a call; its error is that of a caller who gave up or was killed.
func wait(ctx context.Context) error {
	dead, _ := ctx.Value(killed{}).(chan struct{})
	select {
	case <-time.After(callTime / 2):
		return gone(ctx)
	case <-dead:
		return gone(ctx)
	case <-ctx.Done():
		return &Error{Code: Unavailable, Message: "no answer in time", Err: ctx.Err()}
	}
}

func (r *slowRegistry) Page(ctx context.Context, repo Repository, token string) ([]Image, string, error) {
	if err := wait(ctx); err != nil {
		return nil, "", err
	}
	images, next, err := r.pagedRegistry.Page(ctx, repo, token)
	return images, next, firstError(err, wait(ctx))
}

func (r *slowRegistry) Result(ctx context.Context, _ Repository, digest string) (Result, error) {
	if err := wait(ctx); err != nil {
		return Result{}, err
	}
	r.mu.Lock()
	starts := r.started[digest]
	r.mu.Unlock()
	result := Result{State: NotScanned}
	if len(starts) > 0 {
		result.State = InProgress
		if done := starts[len(starts)-1].Add(scanTime); !time.Now().Before(done) {
			result = Result{State: Completed, CompletedAt: done}
		}
	}
	return result, wait(ctx)
}

func (r *slowRegistry) StartScan(ctx context.Context, _ Repository, digest string) error {
	if err := wait(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	starts := r.started[digest]
	refused := len(starts) > 0 && time.Since(starts[len(starts)-1]) < scanTime+Rescan
	if refused {
		r.refused++
	} else {
		r.started[digest] = append(starts, time.Now())
	}
	r.mu.Unlock()
	if refused {
		return &Error{Code: ScannedRecently}
	}
	return wait(ctx)
}

// wantOnceEach checks that every image was started once and that no second start of one was tried.
func (r *slowRegistry) wantOnceEach(t *testing.T, images int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.started) != images {
		t.Errorf("%d of %d images were started", len(r.started), images)
	}
	for digest, starts := range r.started {
		if len(starts) != 1 {
			t.Errorf("%s was started at %v", digest, starts)
		}
	}
	if r.refused > 0 {
		t.Errorf("%d starts of images that were scanned already were tried", r.refused)
	}
}

// cloud is a queue and the functions that work from it, with everything that such a queue may do: it delivers messages twice, in any order
// and late, and functions die in the middle.
type cloud struct {
	chains *Chains
	rand   *rand.Rand

	mu    sync.Mutex
	queue []*delivery
	kills int // left

	died, passedOn int
}

// delivery is one copy of a message in the queue.
type delivery struct {
	message Message
	visible time.Time
	gone    bool
}

const (
	functionTime = 30 * time.Second
	visibility   = 6 * functionTime
	batchSize    = 3
	functions    = 4
)

// Send puts messages into the queue, some of them twice, some late.
func (c *cloud) Send(ctx context.Context, messages []Message) []error {
	if err := gone(ctx); err != nil {
		return slices.Repeat([]error{err}, len(messages))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range messages {
		for range 1 + c.rand.IntN(2) {
			late := time.Duration(c.rand.Int64N(int64(20 * time.Second)))
			c.queue = append(c.queue, &delivery{message: m, visible: time.Now().Add(late)})
		}
	}
	return nil
}

// receive is some of the messages that are visible, in no order. Now and then one of them stays visible.
func (c *cloud) receive() []*delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	var batch []*delivery
	for _, i := range c.rand.Perm(len(c.queue)) {
		d := c.queue[i]
		if d.gone || d.visible.After(time.Now()) || len(batch) == batchSize {
			continue
		}
		if c.rand.IntN(5) > 0 {
			d.visible = time.Now().Add(visibility)
		}
		batch = append(batch, d)
	}
	return batch
}

// function works from the queue until the context ends.
func (c *cloud) function(ctx context.Context) {
	for ctx.Err() == nil {
		batch := c.receive()
		if len(batch) == 0 {
			time.Sleep(5 * time.Second)
			continue
		}
		messages := make([]Message, len(batch))
		for i, d := range batch {
			messages[i] = d.message
		}
		dead := make(chan struct{})
		invocation, end := context.WithTimeout(context.WithValue(ctx, killed{}, dead), functionTime)
		killer := c.killer(dead)
		report, errs := c.chains.Work(invocation, messages)
		end()
		killer.Stop()
		c.answered(batch, report, errs, gone(invocation) != nil)
	}
}

// killer ends some of the functions in the middle.
func (c *cloud) killer(dead chan struct{}) *time.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	after := time.Duration(c.rand.Int64N(c.rand.Int64N(int64(functionTime/2)) + 1)) // rather sooner than later: some live for a moment only
	if c.kills == 0 || c.rand.IntN(2) == 0 {
		return time.AfterFunc(24*time.Hour, func() {})
	}
	return time.AfterFunc(after, func() { close(dead) })
}

// answered deletes what was done; of a function that died nothing is.
func (c *cloud) answered(batch []*delivery, report WorkReport, errs []error, died bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if died {
		c.died++
		c.kills = max(c.kills-1, 0)
		return
	}
	c.passedOn += report.PassedOn
	for i, d := range batch {
		d.gone = d.gone || errs[i] == nil
	}
}

func (c *cloud) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := 0
	for _, d := range c.queue {
		if !d.gone {
			left++
		}
	}
	return left
}

// Whatever the queue and the functions do, every image is started once, and no start is tried that ECR would refuse.
func TestChaos(t *testing.T) {
	var died, passedOn atomic.Int64
	t.Run("seed", func(t *testing.T) {
		for seed := range uint64(12) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := chaos(t, seed)
					died.Add(int64(c.died))
					passedOn.Add(int64(c.passedOn))
				})
			})
		}
	})
	if died.Load() < 24 || passedOn.Load() < 24 {
		t.Errorf("%d functions died and %d passed something on: too quiet to show anything", died.Load(), passedOn.Load())
	}
}

func chaos(t *testing.T, seed uint64) *cloud {
	repositories := []string{"large", "middle", "small", "tiny", "none"}
	images := map[string][]Image{}
	total := 0
	for i, size := range []int{2000, 800, 400, 100, 0} {
		for j := range size {
			name := fmt.Sprintf("%s%d", repositories[i], j)
			images[repositories[i]] = append(images[repositories[i]], Image{Tag: name, Digest: name})
		}
		total += size
	}
	r := newSlowRegistry(images, 50)
	chains, _, markers := chainsOf(nil, repositories...)
	chains.Watch.Registry, chains.Watch.Now, markers.now = r, time.Now, time.Now
	c := &cloud{chains: chains, rand: rand.New(rand.NewPCG(seed, 0)), kills: 10}
	chains.Queue = c

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range functions {
		running.Go(func() { c.function(ctx) })
	}
	// Half of the times there is a single schedule, so that nothing is mended by the next; otherwise some, which find chains under way.
	for range 1 + 7*(seed%2) {
		var schedules sync.WaitGroup
		for range 2 { // at once
			schedules.Go(func() {
				if _, err := chains.Schedule(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		schedules.Wait()
		time.Sleep(30 * time.Minute)
	}
	for waited := time.Duration(0); markers.count() > 0 && waited < 100*visibility; waited += visibility {
		time.Sleep(visibility)
	}
	time.Sleep(2 * visibility) // for what is delivered late
	stop()
	running.Wait()
	r.wantOnceEach(t, total)
	if left := c.left(); left > 0 {
		t.Errorf("%d messages stay in the queue", left)
	}
	if n := markers.count(); n > 0 {
		t.Errorf("%d markers stay", n)
	}
	return c
}
