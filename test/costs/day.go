package costs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/scanevents"
	"ecr-continuous-scan/test/awstest"
)

// usage is what StartScanFunc uses in a day of one repository.
type usage struct {
	// gets, puts and lists are the calls to S3. ecr are those to ECR.
	gets, puts, lists, ecr float64
	// logged are the bytes that the function logs.
	logged float64
}

func (u usage) times(n float64) usage {
	return usage{n * u.gets, n * u.puts, n * u.lists, n * u.ecr, n * u.logged}
}

const (
	interval  = 30 * time.Minute // between schedules, the default of the template
	schedules = int(24 * time.Hour / interval)
)

// simulation is an embedded ECR and S3 with one repository, and StartScanFunc.
type simulation struct {
	ecr     *ecr.ECR
	s3      *awslocal.S3
	service *awstest.Service
	handler scanevents.Handler
	logged  counter
	// schedule and visits are what schedules and visits used until now.
	schedule, visits usage
}

// counter counts the bytes that are written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

var repository = ecr.RepositoryID{Region: "us-west-2", Registry: "123456789012", Name: "team/application"}

// newSimulation returns a repository with images whose last scans were completed at different times of the last day. It must be called in a
// bubble of testing/synctest.
func newSimulation(ctx context.Context, images int) (*simulation, error) {
	store, err := awslocal.NewMemoryS3(awstest.Bucket)
	if err != nil {
		return nil, err
	}
	s := &simulation{ecr: ecr.New(ecr.Options{ScanTime: time.Minute}), s3: store}
	log := slog.New(slog.NewJSONHandler(&s.logged, &slog.HandlerOptions{ReplaceAttr: asInLambda})).With("requestId", uuid.NewString())
	s.service = awstest.NewService(awstest.InProcess(store), awstest.InProcess(s.ecr), time.Now, log)
	s.handler = scanevents.Handler{
		Visitor: s.service.Visitor, Metrics: scanevents.Metrics{Log: log, Function: "ecr-continuous-scan-StartScanFunc-0123456789AB", Now: time.Now}, Log: log,
	}
	for i := range images {
		ago := time.Duration(i+1) * 24 * time.Hour / time.Duration(images+1)
		s.ecr.PutImage(repository, ecr.Image{Tags: []string{tag(i)}, Manifest: tag(i), ScannedAt: time.Now().Add(-ago), Findings: findings(20)})
	}
	c, err := scan.NewConfig(scan.Config{Region: repository.Region, Registry: repository.Registry, Repository: repository.Name}, time.Now())
	if err != nil {
		return nil, err
	}
	return s, s.service.Configs.Put(ctx, c)
}

// asInLambda gives the time and the text of a log line the keys of Lambda's JSON format.
func asInLambda(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		a.Key = "timestamp"
	}
	if len(groups) == 0 && a.Key == slog.MessageKey {
		a.Key = "message"
	}
	return a
}

func tag(i int) string { return fmt.Sprintf("v1.%d", i) }

func findings(n int) []ecr.Finding {
	all := make([]ecr.Finding, n)
	for i := range all {
		severities := []string{"HIGH", "MEDIUM", "LOW"}
		all[i] = ecr.Finding{Name: fmt.Sprintf("CVE-2026-%d", 1000+i), Severity: severities[i%len(severities)]}
	}
	return all
}

// day runs the schedules of a day and their visits. In the day, a new finding appears in each tenth image.
func (s *simulation) day(ctx context.Context, images, number int) error {
	for i := range images {
		if i%10 == number%10 {
			err := s.ecr.UpdateImage(repository, tag(i), func(image *ecr.Image) { image.Findings = findings(21 + number) })
			if err != nil {
				return err
			}
		}
	}
	for range schedules {
		began := time.Now()
		event := json.RawMessage(`{"source":"aws.events","time":"` + began.UTC().Format(time.RFC3339) + `"}`)
		if err := s.measure(ctx, &s.schedule, event); err != nil {
			return err
		}
		for _, m := range s.service.Queue.Take() {
			body, err := json.Marshal(m.Message)
			if err != nil {
				return err
			}
			event, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{{
				EventSource: "aws:sqs", MessageId: m.ID, Body: string(body), Attributes: map[string]string{"SentTimestamp": strconv.FormatInt(m.Sent.UnixMilli(), 10)},
			}}})
			if err == nil {
				err = s.measure(ctx, &s.visits, event)
			}
			if err != nil {
				return err
			}
		}
		time.Sleep(time.Until(began.Add(interval)))
	}
	return nil
}

// measure handles an event and adds what this used.
func (s *simulation) measure(ctx context.Context, u *usage, event json.RawMessage) error {
	s.s3.ResetCount()
	s.ecr.ResetCount()
	before := s.logged
	if _, err := s.handler.Handle(ctx, event); err != nil {
		return err
	}
	for operation, n := range s.s3.Count().Calls {
		switch {
		case strings.HasPrefix(operation, "List"):
			u.lists += float64(n)
		case strings.HasPrefix(operation, "Put"):
			u.puts += float64(n)
		case strings.HasPrefix(operation, "Get"):
			u.gets += float64(n)
		}
	}
	u.ecr += float64(s.ecr.Count().Total())
	u.logged += float64(s.logged - before)
	return nil
}

// simulate returns what the schedules and the visits of one repository use in a day, after the first day.
func simulate(ctx context.Context, images, days int) (schedule, visits usage, err error) {
	s, err := newSimulation(ctx, images)
	if err != nil {
		return usage{}, usage{}, err
	}
	for day := range days + 1 {
		if day == 1 {
			s.schedule, s.visits = usage{}, usage{}
		}
		if err := s.day(ctx, images, day); err != nil {
			return usage{}, usage{}, err
		}
	}
	return s.schedule.times(1 / float64(days)), s.visits.times(1 / float64(days)), nil
}
