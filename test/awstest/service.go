package awstest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
)

// Service is the whole service in one process, built by the same code as a deployment. Its queue is a list in memory: schedules and POST put
// messages there, and [Service.VisitAll] does their visits.
type Service struct {
	Configs httpapi.ConfigStore
	Reader  *report.Reader
	Visitor *rescan.Visitor
	Queue   *MemoryQueue
	// AtOnce is how many repositories VisitAll visits at once.
	AtOnce int
	// VisitTime is how long VisitAll lets a visit take, as a function does. 0 is without end.
	VisitTime time.Duration
	log       *slog.Logger
}

// NewService builds the service; S3 and ECR may be reached differently. now is its own clock.
func NewService(s3Config, ecrConfig aws.Config, now func() time.Time, log *slog.Logger) *Service {
	s := &Service{
		Configs: setup.NewConfigs(s3Config, Bucket, log), Reader: setup.NewReader(s3Config, ecrConfig, Bucket, log),
		Queue: &MemoryQueue{Now: now}, AtOnce: 5, log: log,
	}
	s.Visitor = setup.NewVisitor(s3Config, ecrConfig, Bucket, s.Queue, log)
	s.Reader.Now, s.Visitor.Now = now, now
	return s
}

// Service builds the service on the stand-in, with the clock of its services.
func (a *AWS) Service(log *slog.Logger) *Service {
	return NewService(setup.Loopback(a.S3URL), setup.Loopback(a.ECRURL), a.Now, log)
}

// API is the whole API of the service, open to everyone, with links that begin with base.
func (s *Service) API(base string) *httpapi.API {
	return &httpapi.API{
		Configs: s.Configs, Reports: s.Reader, Visits: rescan.Requests{Queue: s.Queue, Log: s.log},
		BaseURL: func(*http.Request) string { return base }, Access: httpapi.OpenAccess(), Now: s.Reader.Now, Log: s.log,
	}
}

// Handler serves the whole API.
func (s *Service) Handler(base string) http.Handler {
	api := s.API(base)
	return api.Handler(api.Routes())
}

// AddConfig stores a config of a repository in Region us-west-2 of the embedded registry, without asking for a visit.
func (s *Service) AddConfig(tb testing.TB, repository string, tags ...string) scan.Config {
	tb.Helper()
	c, err := scan.NewConfig(scan.Config{Region: "us-west-2", Registry: "123456789012", Repository: repository, Tags: tags}, s.Reader.Now())
	if err == nil {
		err = s.Configs.Put(context.Background(), c)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// Visits is what some visits did.
type Visits struct {
	// Reports are those of the visits, in the order of their ends.
	Reports []rescan.VisitReport
	// Tally is the sum of the reports' tallies.
	rescan.Tally
}

// Count is how many visits ended in a way.
func (v Visits) Count(outcome rescan.Outcome) int {
	n := 0
	for _, r := range v.Reports {
		if r.Outcome == outcome {
			n++
		}
	}
	return n
}

// ScheduleAndVisit has a schedule ask for a visit of each repository, and does them.
func (s *Service) ScheduleAndVisit(ctx context.Context) (Visits, error) {
	if _, err := s.Visitor.Schedule(ctx, func(rescan.Message) string { return uuid.NewString() }); err != nil {
		return Visits{}, err
	}
	return s.VisitAll(ctx), nil
}

// VisitAll does the visits that were asked for, and those that continue them, until there are none.
func (s *Service) VisitAll(ctx context.Context) Visits {
	var (
		mu  sync.Mutex
		all = Visits{Tally: rescan.Tally{NotScannable: map[string]int{}, Failed: map[string]int{}}}
	)
	for ctx.Err() == nil {
		messages := s.Queue.Take()
		if len(messages) == 0 {
			break
		}
		byRepository := make(map[scan.Repository][]rescan.Received)
		for _, m := range messages {
			byRepository[m.Repo()] = append(byRepository[m.Repo()], m)
		}
		var g errgroup.Group
		g.SetLimit(s.AtOnce)
		for _, group := range byRepository {
			g.Go(func() error {
				for _, m := range group {
					report := s.Visit(ctx, m)
					mu.Lock()
					all.add(report)
					mu.Unlock()
				}
				return nil
			})
		}
		_ = g.Wait() // no visit returns an error
	}
	return all
}

// Visit does the visit of a message.
func (s *Service) Visit(ctx context.Context, m rescan.Received) rescan.VisitReport {
	if s.VisitTime > 0 {
		within, cancel := context.WithTimeout(ctx, s.VisitTime)
		defer cancel()
		ctx = within
	}
	return s.Visitor.Visit(ctx, m)
}

func (v *Visits) add(r rescan.VisitReport) {
	v.Reports = append(v.Reports, r)
	v.Images += r.Images
	v.Started += r.Started
	v.Recent += r.Recent
	v.InProgress += r.InProgress
	v.Left += r.Left
	v.Artifacts += r.Artifacts
	for reason, n := range r.NotScannable {
		v.NotScannable[reason] += n
	}
	for reason, n := range r.Failed {
		v.Failed[reason] += n
	}
}

// MemoryQueue is a list of messages. It implements [rescan.Queue].
type MemoryQueue struct {
	Now func() time.Time
	// Fails makes Send fail while it is set.
	Fails bool

	mu       sync.Mutex
	messages []rescan.Received
}

// Send implements [rescan.Queue].
func (q *MemoryQueue) Send(_ context.Context, sendings []rescan.Sending) []error {
	q.mu.Lock()
	defer q.mu.Unlock()
	errs := make([]error, len(sendings))
	for i, one := range sendings {
		if errs[i] = nil; q.Fails {
			errs[i] = errors.New("the queue fails")
			continue
		}
		q.messages = append(q.messages, rescan.Received{Message: one.Message, ID: uuid.NewString(), Sent: q.Now()})
	}
	return errs
}

// Waiting implements [rescan.Queue].
func (q *MemoryQueue) Waiting(context.Context) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.messages), nil
}

// Take takes all messages out of the queue.
func (q *MemoryQueue) Take() []rescan.Received {
	q.mu.Lock()
	defer q.mu.Unlock()
	messages := q.messages
	q.messages = nil
	return messages
}
