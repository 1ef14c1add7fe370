package scale

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// fifo is a queue with message groups. It delivers the oldest message whose repository is not being visited.
type fifo struct {
	mu      sync.Mutex
	sent    int
	waiting []rescan.Received
	running map[scan.Repository]bool
	most    int
}

// Send implements [rescan.Queue].
func (q *fifo) Send(_ context.Context, s []rescan.Sending) []error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, one := range s {
		q.sent++
		q.waiting = append(q.waiting, rescan.Received{Message: one.Message, ID: fmt.Sprint(q.sent), Sent: time.Now()})
	}
	q.most = max(q.most, len(q.waiting))
	return nil
}

// Waiting implements [rescan.Queue].
func (q *fifo) Waiting(context.Context) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting), nil
}

func (q *fifo) take() (rescan.Received, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := slices.IndexFunc(q.waiting, func(m rescan.Received) bool { return !q.running[m.Repo()] })
	if at < 0 {
		return rescan.Received{}, false
	}
	m := q.waiting[at]
	q.waiting, q.running[m.Repo()] = slices.Delete(q.waiting, at, at+1), true
	return m, true
}

func (q *fifo) end(m rescan.Received) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.running, m.Repo())
}

// slowECR lists perSecond repositories per second. They contain no images.
type slowECR struct {
	rescan.Scanner
	perSecond int
	turn      chan struct{} // of capacity 1, used as a mutex: the clock of a bubble does not advance while a goroutine waits for a sync.Mutex
	listed    int
}

func (e *slowECR) Images(context.Context, scan.Repository, scan.Wanted) (scan.Listing, error) {
	e.turn <- struct{}{}
	defer func() { <-e.turn }()
	time.Sleep(time.Second / time.Duration(e.perSecond))
	e.listed++
	return scan.Listing{}, nil
}

func (*slowECR) Findings(context.Context, scan.Repository, string) (scan.Result, error) {
	return scan.Result{State: scan.NotScanned}, nil
}

func (*slowECR) ImagesOf(context.Context, scan.Repository, string) ([]scan.Image, error) {
	return nil, nil
}

func (*slowECR) IsCovered(context.Context, scan.Repository) (bool, error) { return true, nil }

func (*slowECR) StartScan(context.Context, scan.Repository, string) error { return nil }

// memoryRecords stores records in memory, without histories.
type memoryRecords struct {
	rescan.RecordWriter
	mu      sync.Mutex
	records map[scan.Repository]history.Record
}

func (m *memoryRecords) Load(_ context.Context, repo scan.Repository) (history.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.records[repo]
	r.Now = time.Now()
	return r, nil
}

func (m *memoryRecords) Save(_ context.Context, repo scan.Repository, r history.Record) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Version != m.records[repo].Version {
		return "", nil
	}
	r.Version = fmt.Sprint(len(m.records), r.Changed, r.Begin)
	m.records[repo] = r
	return r.Version, nil
}

func (*memoryRecords) Sweep(context.Context, scan.Repository, history.Record, []string, history.Stamp) ([]string, map[string]string, error) {
	return nil, nil, nil
}

func (m *memoryRecords) Repositories(context.Context) ([]scan.Repository, error) { return nil, nil }

// If ECR is slower than the schedule, messages do not accumulate: a schedule sends none while more messages wait
// than there are repositories. Each repository is still visited.
func TestQueueOfSlowVisits(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	synctest.Test(t, func(t *testing.T) {
		const many, atOnce, schedules = 10_000, 5, 24
		queue, ecr := &fifo{running: map[scan.Repository]bool{}}, &slowECR{perSecond: 2, turn: make(chan struct{}, 1)}
		records := &memoryRecords{records: make(map[scan.Repository]history.Record, many)}
		visitor := &rescan.Visitor{
			Configs: indexed(repositories("us-west-2", many)), Scanner: ecr, Records: records, Queue: queue, Now: time.Now, Log: awstest.Silent(),
		}
		ctx, cancel := context.WithCancel(t.Context())
		var workers sync.WaitGroup
		for range atOnce {
			workers.Go(func() { work(ctx, queue, visitor) })
		}
		sent := 0
		for range schedules {
			report, err := visitor.Schedule(ctx, func(rescan.Message) string { return "" })
			if err != nil || report.Sent != 0 && report.Sent != many {
				t.Fatalf("%v, report %+v", err, report)
			}
			sent += report.Sent / many
			time.Sleep(every)
		}
		cancel()
		workers.Wait()
		if queue.most > 2*many {
			t.Errorf("%d messages waited", queue.most)
		}
		if sent < schedules/4 || sent == schedules {
			t.Errorf("%d of %d schedules sent messages", sent, schedules)
		}
		begins := make([]history.Stamp, 0, many)
		for _, r := range records.records {
			begins = append(begins, r.Begin)
		}
		if oldest := time.Since(slices.Min(begins).Time()); len(begins) != many || oldest > 4*time.Hour {
			t.Errorf("%d repositories were visited, and the oldest visit is %s ago", len(begins), oldest)
		}
		t.Logf("at most %d messages waited, %d schedules sent, %d lists", queue.most, sent, ecr.listed)
	})
}

func work(ctx context.Context, queue *fifo, visitor *rescan.Visitor) {
	for ctx.Err() == nil {
		m, is := queue.take()
		if !is {
			time.Sleep(time.Second)
			continue
		}
		visitor.Visit(ctx, m)
		queue.end(m)
	}
}

// indexedConfigs are constant configs, indexed by id.
type indexedConfigs struct {
	fixedConfigs
	byID map[string]scan.Config
}

func indexed(configs []scan.Config) indexedConfigs {
	byID := make(map[string]scan.Config, len(configs))
	for _, c := range configs {
		byID[c.ID] = c
	}
	return indexedConfigs{configs, byID}
}

// Pack implements [rescan.StoredConfigs].
func (indexedConfigs) Pack(context.Context) error { return nil }

// Stored implements [rescan.StoredConfigs].
func (c indexedConfigs) Stored(_ context.Context, id string, _ time.Time) (scan.Config, error) {
	return c.byID[id], nil
}
