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
	"ecr-continuous-scan/internal/suppresscount"
)

// Service is the whole service in one process, set up by the same code as a deployment. Its queue is a list in memory:
// schedules and POST requests add messages, and [Service.VisitAll] makes their visits.
type Service struct {
	Configs      httpapi.ConfigStore
	Suppressions httpapi.SuppressionStore
	Counter      suppresscount.Counter
	Reader       *report.Reader
	Visitor      *rescan.Visitor
	Queue        *MemoryQueue
	// MaxConcurrentVisits is the maximum number of repositories that VisitAll visits concurrently.
	MaxConcurrentVisits int
	// VisitTimeout is the maximum duration of a visit, like the timeout of a Lambda function. 0 means no limit.
	VisitTimeout time.Duration
	log          *slog.Logger
}

// NewService returns a service with separate AWS configurations for S3 and ECR. now is the service's clock.
func NewService(s3Config, ecrConfig aws.Config, now func() time.Time, log *slog.Logger) *Service {
	s := &Service{
		Configs: setup.NewConfigs(s3Config, Bucket, log), Reader: setup.NewReader(s3Config, ecrConfig, Bucket, log),
		Suppressions: setup.NewSuppressions(s3Config, Bucket), Queue: &MemoryQueue{Now: now}, MaxConcurrentVisits: 5, log: log,
	}
	s.Visitor = setup.NewVisitor(s3Config, ecrConfig, Bucket, s.Queue, log)
	s.Counter = setup.NewSuppressionCounter(s3Config, Bucket, s.Configs, log)
	s.Reader.Now, s.Visitor.Now, s.Counter.Now = now, now, now
	return s
}

// Service returns a service that uses the embedded services and their clock.
func (a *AWS) Service(log *slog.Logger) *Service {
	return NewService(Config(a.S3URL), Config(a.ECRURL), a.Now, log)
}

// API returns the API of the service, without access control. base is the prefix of links.
func (s *Service) API(base string) *httpapi.API {
	return &httpapi.API{
		Configs: s.Configs, Suppressions: s.Suppressions, SuppressionCounter: s.Counter, Reports: s.Reader, Visits: rescan.Requests{Queue: s.Queue, Log: s.log},
		BaseURL: func(*http.Request) string { return base }, Access: httpapi.OpenAccess(), Now: s.Reader.Now, Log: s.log,
	}
}

// Handler returns an HTTP handler with all routes of the API.
func (s *Service) Handler(base string) http.Handler {
	api := s.API(base)
	return api.Handler(api.Routes())
}

// AddConfig stores a config of a repository in the default registry in us-west-2. It does not request a visit.
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

// Visits contains the results of visits.
type Visits struct {
	// Reports contains a report for each visit, in the order in which the visits ended.
	Reports []rescan.VisitReport
	// Tally is the sum of the reports' tallies.
	rescan.Tally
}

// Count returns the number of visits with an outcome.
func (v Visits) Count(outcome rescan.Outcome) int {
	n := 0
	for _, r := range v.Reports {
		if r.Outcome == outcome {
			n++
		}
	}
	return n
}

// ScheduleAndVisit runs the schedule, which requests a visit of each repository, and makes these visits.
func (s *Service) ScheduleAndVisit(ctx context.Context) (Visits, error) {
	if _, err := s.Visitor.Schedule(ctx, func(rescan.Message) string { return uuid.NewString() }); err != nil {
		return Visits{}, err
	}
	return s.VisitAll(ctx), nil
}

// VisitAll makes all requested visits, and those that continue them, until the queue is empty.
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
		g.SetLimit(s.MaxConcurrentVisits)
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

// Visit makes the visit that a message requests.
func (s *Service) Visit(ctx context.Context, m rescan.Received) rescan.VisitReport {
	if s.VisitTimeout > 0 {
		within, cancel := context.WithTimeout(ctx, s.VisitTimeout)
		defer cancel()
		ctx = within
	}
	if m.Schedule != "" {
		_, _ = s.Visitor.ScheduleConfig(ctx, m.Schedule, func(rescan.Message) string { return uuid.NewString() }) // errors are in the log
		return rescan.VisitReport{Outcome: rescan.VisitEnded}
	}
	return s.Visitor.Visit(ctx, m)
}

func (v *Visits) add(r rescan.VisitReport) {
	v.Reports = append(v.Reports, r)
	v.Images += r.Images
	v.Started += r.Started
	v.Recent += r.Recent
	v.InProgress += r.InProgress
	v.NotReached += r.NotReached
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

// Take removes and returns all messages of the queue.
func (q *MemoryQueue) Take() []rescan.Received {
	q.mu.Lock()
	defer q.mu.Unlock()
	messages := q.messages
	q.messages = nil
	return messages
}
