package usecases

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

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

// killed is the context key of a channel that is closed when the function is killed.
type killed struct{}

// dead returns an error if the function that makes a call has been killed.
func dead(ctx context.Context) error {
	died, _ := ctx.Value(killed{}).(chan struct{})
	select {
	case <-died:
		return fmt.Errorf("the function was killed: %w", context.Canceled)
	default:
		return nil
	}
}

// slowRegistry is a registry whose calls take a second, half of it before the effect of the call. A scan takes two
// minutes. It refuses a second scan of an image within 24 hours.
type slowRegistry struct {
	rescan.Scanner
	images map[string][]scan.Image

	mu      sync.Mutex
	started map[string][]time.Time // by digest
	refused int
}

const (
	callTime = time.Second
	scanTime = 2 * time.Minute
)

// wait waits for half the time of a call. It returns an error if the context ends or the caller is killed.
func wait(ctx context.Context) error {
	died, _ := ctx.Value(killed{}).(chan struct{})
	select {
	case <-time.After(callTime / 2):
		return dead(ctx)
	case <-died:
		return dead(ctx)
	case <-ctx.Done():
		return &scan.Error{Code: scan.Unavailable, Message: "no answer in time", Err: ctx.Err()}
	}
}

func (r *slowRegistry) Images(ctx context.Context, repo scan.Repository, _ scan.Wanted) (scan.Listing, error) {
	if err := wait(ctx); err != nil {
		return scan.Listing{}, err
	}
	images := make([]scan.Image, len(r.images[repo.Name]))
	for i, image := range r.images[repo.Name] {
		image.Repository = repo
		images[i] = image
	}
	return scan.Listing{Images: images}, wait(ctx)
}

func (r *slowRegistry) Findings(ctx context.Context, _ scan.Repository, digest string) (scan.Result, error) {
	if err := wait(ctx); err != nil {
		return scan.Result{}, err
	}
	r.mu.Lock()
	starts := r.started[digest]
	r.mu.Unlock()
	result := scan.Result{State: scan.NotScanned}
	if len(starts) > 0 {
		result.State = scan.InProgress
		if done := starts[len(starts)-1].Add(scanTime); !time.Now().Before(done) {
			result = scan.Result{State: scan.Completed, CompletedAt: done, Counts: scan.Counts{scan.High: 1}, Findings: []scan.Finding{{Name: "CVE-1", Severity: scan.High}}}
		}
	}
	return result, wait(ctx)
}

func (*slowRegistry) ImagesOf(context.Context, scan.Repository, string) ([]scan.Image, error) {
	return nil, nil
}

func (*slowRegistry) IsCovered(context.Context, scan.Repository) (bool, error) { return true, nil }

func (r *slowRegistry) StartScan(ctx context.Context, _ scan.Repository, digest string) error {
	if err := wait(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	starts := r.started[digest]
	refused := len(starts) > 0 && time.Since(starts[len(starts)-1]) < scanTime+scan.RescanInterval
	if refused {
		r.refused++
	} else {
		r.started[digest] = append(starts, time.Now())
	}
	r.mu.Unlock()
	if refused {
		return &scan.Error{Code: scan.ScannedRecently}
	}
	return wait(ctx)
}

// wantOnceEach checks that the scan of every image was started once and that no second start was tried.
func (r *slowRegistry) wantOnceEach(t *testing.T, images int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.started) != images {
		t.Errorf("the scans of %d of %d images were started", len(r.started), images)
	}
	for digest, starts := range r.started {
		if len(starts) != 1 {
			t.Errorf("scans of %s were started at %v", digest, starts)
		}
	}
	if r.refused > 0 {
		t.Errorf("%d starts of scans within 24 hours were tried", r.refused)
	}
}

// killableRecords stores nothing for killed functions.
type killableRecords struct{ *fakeRecords }

func (m killableRecords) Load(ctx context.Context, repo scan.Repository) (history.Record, error) {
	if err := dead(ctx); err != nil {
		return history.Record{}, err
	}
	return m.fakeRecords.Load(ctx, repo)
}

func (m killableRecords) Save(ctx context.Context, repo scan.Repository, r history.Record) (string, error) {
	if err := wait(ctx); err != nil {
		return "", err
	}
	version, err := m.fakeRecords.Save(ctx, repo, r)
	if lost := wait(ctx); lost != nil {
		return "", lost
	}
	return version, err
}

func (m killableRecords) AddHistories(ctx context.Context, repo scan.Repository, histories []history.History) ([]string, []error) {
	if err := wait(ctx); err != nil {
		return make([]string, len(histories)), slices.Repeat([]error{err}, len(histories))
	}
	return m.fakeRecords.AddHistories(ctx, repo, histories)
}

func (m killableRecords) Remove(ctx context.Context, repo scan.Repository) error {
	if err := dead(ctx); err != nil {
		return err
	}
	return m.fakeRecords.Remove(ctx, repo)
}

// fakeCloud is a FIFO queue and the functions that handle its messages. It delivers messages late and sometimes
// twice, and it kills functions during their work.
type fakeCloud struct {
	visitor *rescan.Visitor
	rand    *rand.Rand

	mu    sync.Mutex
	queue []*delivery
	sent  map[string]time.Time // by deduplication id
	kills int                  // how many functions can still be killed

	died, continued, dropped int
}

// delivery is a message in the queue.
type delivery struct {
	rescan.Received
	visible time.Time
	deleted bool
}

const (
	functionTime = 30 * time.Second
	visibility   = 2 * functionTime
	functions    = 4
)

func (c *fakeCloud) Send(ctx context.Context, sendings []rescan.Sending) []error {
	errs := make([]error, len(sendings))
	for i := range errs {
		errs[i] = dead(ctx)
	}
	if len(errs) == 0 || errs[0] != nil {
		return errs
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range sendings {
		if at, known := c.sent[s.Once]; known && time.Since(at) < 5*time.Minute {
			continue
		}
		c.sent[s.Once] = time.Now()
		late := time.Duration(c.rand.Int64N(int64(20 * time.Second)))
		m := rescan.Received{Message: s.Message, ID: fmt.Sprint("message", len(c.queue)), Sent: time.Now().Truncate(time.Millisecond)}
		c.queue = append(c.queue, &delivery{Received: m, visible: time.Now().Add(late)})
	}
	return nil
}

func (c *fakeCloud) Waiting(context.Context) (int, error) { return c.remaining(), nil }

// receive returns the first message that is visible and whose repository has no message in work. It returns nil when
// there is none.
func (c *fakeCloud) receive() *delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := make(map[scan.Repository]bool)
	for _, d := range c.queue {
		if d.deleted || held[d.Repo()] {
			continue
		}
		if held[d.Repo()] = true; !d.visible.After(time.Now()) {
			d.visible = time.Now().Add(visibility)
			return d
		}
	}
	return nil
}

// function handles messages of the queue until the context ends.
func (c *fakeCloud) function(ctx context.Context) {
	for ctx.Err() == nil {
		d := c.receive()
		if d == nil {
			time.Sleep(5 * time.Second)
			continue
		}
		died := make(chan struct{})
		invocation, end := context.WithTimeout(context.WithValue(ctx, killed{}, died), functionTime)
		killer := c.killer(died)
		report := c.visitor.Visit(invocation, d.Received)
		end()
		killer.Stop()
		c.finish(d, report, dead(invocation) != nil)
	}
}

// killer kills some of the functions during their work.
func (c *fakeCloud) killer(died chan struct{}) *time.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	after := time.Duration(c.rand.Int64N(c.rand.Int64N(int64(functionTime/2)) + 1)) // a nested random number, so that short times are more likely
	if c.kills == 0 || c.rand.IntN(2) == 0 {
		return time.AfterFunc(24*time.Hour, func() {})
	}
	return time.AfterFunc(after, func() { close(died) })
}

// answered deletes a message that was handled. Sometimes it does not delete it, so that it is delivered again.
func (c *fakeCloud) finish(d *delivery, report rescan.VisitReport, died bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case died:
		c.died++
		c.kills = max(c.kills-1, 0)
		return
	case report.Outcome == rescan.VisitContinued:
		c.continued++
	case report.Outcome == rescan.VisitDropped:
		c.dropped++
	}
	d.deleted = c.rand.IntN(5) > 0
}

func (c *fakeCloud) remaining() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, d := range c.queue {
		if !d.deleted {
			n++
		}
	}
	return n
}

// With killed functions and late and repeated messages, each scan is started once, no start is refused by ECR, and
// all results are recorded.
func TestVisitsWithKilledFunctionsAndRepeatedMessages(t *testing.T) {
	var died, continued, dropped atomic.Int64
	t.Run("seed", func(t *testing.T) {
		for seed := range uint64(12) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := runVisits(t, seed)
					died.Add(int64(c.died))
					continued.Add(int64(c.continued))
					dropped.Add(int64(c.dropped))
				})
			})
		}
	})
	if died.Load() < 24 || continued.Load() < 24 || dropped.Load() < 24 {
		t.Errorf("%d functions died, %d visits were continued, %d messages dropped: too few for a useful test", died.Load(), continued.Load(), dropped.Load())
	}
}

func runVisits(t *testing.T, seed uint64) *fakeCloud {
	r := &slowRegistry{images: map[string][]scan.Image{}, started: map[string][]time.Time{}}
	w := newServiceInBubble(nil)
	repositories := []string{"large", "middle", "small", "tiny", "none"}
	total := 0
	for i, size := range []int{2000, 800, 400, 100, 0} {
		for j := range size {
			name := fmt.Sprintf("%s%d", repositories[i], j)
			r.images[repositories[i]] = append(r.images[repositories[i]], scan.Image{Tag: name, Digest: name})
		}
		w.configs.configs = append(w.configs.configs, config(fmt.Sprint(i), repositories[i]))
		total += size
	}
	c := &fakeCloud{visitor: w.visitor, rand: rand.New(rand.NewPCG(seed, 0)), sent: map[string]time.Time{}, kills: 10}
	w.visitor.Scanner, w.visitor.Records, w.visitor.Queue = r, killableRecords{w.records}, c

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range functions {
		running.Go(func() { c.function(ctx) })
	}
	for range 8 {
		var schedules sync.WaitGroup
		at := time.Now()
		for n := range 2 { // two schedules at once, with the same or with different deduplication ids
			schedules.Go(func() {
				once := func(m rescan.Message) string { return fmt.Sprint(m.Group(), at, uint64(n)*(seed%2)) }
				if _, err := w.visitor.Schedule(ctx, once); err != nil {
					t.Error(err)
				}
			})
		}
		schedules.Wait()
		time.Sleep(30 * time.Minute)
	}
	for waited := time.Duration(0); c.remaining() > 0 && waited < 100*visibility; waited += visibility {
		time.Sleep(visibility)
	}
	stop()
	running.Wait()
	r.wantOnceEach(t, total)
	if n := c.remaining(); n > 0 {
		t.Errorf("%d messages remain in the queue", n)
	}
	r.wantRecorded(t, w.records)
	return c
}

// wantRecorded checks that the result of every image is recorded.
func (r *slowRegistry) wantRecorded(t *testing.T, records *fakeRecords) {
	t.Helper()
	for repo, images := range r.images {
		record := records.of(repo)
		for label, i := range record.Images {
			if i.Last.State != scan.Completed || !i.IsRecorded() || records.histories[i.History].Tag != i.Tag {
				t.Errorf("%s is recorded as %+v", label, i)
			}
		}
		if len(record.Images) != len(images) {
			t.Errorf("%s: %d images are recorded", repo, len(record.Images))
		}
	}
}
