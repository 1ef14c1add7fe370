package costs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/scanevents"
	"ecr-continuous-scan/test/awstest"
)

// usage is what the functions use.
type usage struct {
	// gets, puts and lists are the calls to S3. ecr are those to ECR.
	gets, puts, lists, ecr float64
	// waiting is the time in which the functions wait for S3 and ECR, in milliseconds.
	waiting float64
	// written are the bytes of the objects that they write, and logged those that they log.
	written, logged float64
}

func (u usage) times(n float64) usage {
	return usage{n * u.gets, n * u.puts, n * u.lists, n * u.ecr, n * u.waiting, n * u.written, n * u.logged}
}

func (u usage) plus(o usage) usage {
	return usage{u.gets + o.gets, u.puts + o.puts, u.lists + o.lists, u.ecr + o.ecr, u.waiting + o.waiting, u.written + o.written, u.logged + o.logged}
}

const (
	interval = 30 * time.Minute // between schedules, the default of the template
	perDay   = float64(24 * time.Hour / interval)
	// The times of a call are those of `make bench`.
	s3Latency  = 15 * time.Millisecond
	ecrLatency = 30 * time.Millisecond
)

// simulation is an embedded ECR and S3, and the functions that use them. It must be used in a bubble of testing/synctest.
type simulation struct {
	kind    ecr.ScanType
	ecr     *ecr.ECR
	s3      *awslocal.S3
	bucket  bucket
	configs []scan.Config
	logged  counter
	// images is the number of images of each repository.
	images int
}

// counter counts the bytes that are written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// newSimulation returns repositories with images whose last scans were completed at different times of the last day, and a config for each
// repository.
func newSimulation(ctx context.Context, kind ecr.ScanType, repositories, images int) (*simulation, error) {
	store, err := awslocal.NewMemoryS3(awstest.Bucket)
	if err != nil {
		return nil, err
	}
	s := &simulation{kind: kind, ecr: ecr.New(ecr.Options{ScanTime: time.Minute}), s3: store, bucket: bucket{store: store, sizes: map[string]int64{}}, images: images}
	s.ecr.SetScanType(awslocal.DefaultRegion, awslocal.DefaultRegistry, kind)
	first, configs := newImage(0), s.service().Configs
	for i := range repositories {
		id := ecr.RepositoryID{Name: fmt.Sprintf("team/application%d", i)}.WithDefaults()
		c, err := scan.NewConfig(scan.Config{Region: id.Region, Registry: id.Registry, Repository: id.Name}, time.Now())
		if err == nil {
			err = configs.Put(ctx, c)
		}
		if err != nil {
			return nil, err
		}
		s.configs = append(s.configs, c)
		for n := range images {
			image := first
			ago := time.Duration(n+1) * 24 * time.Hour / time.Duration(images+1)
			image.Tags, image.Manifest, image.ScannedAt = []string{tag(n)}, tag(n), time.Now().Add(-ago)
			s.ecr.PutImage(id, image)
		}
	}
	s.s3.InjectFault(awslocal.Fault{Delay: s3Latency})
	s.ecr.InjectFault(awslocal.Fault{Delay: ecrLatency})
	return s, nil
}

func tag(i int) string { return fmt.Sprintf("v1.%d", i) }

// service returns the service in a new process.
func (s *simulation) service() *awstest.Service {
	return awstest.NewService(awstest.InProcess(&s.bucket), awstest.InProcess(s.ecr), time.Now, s.log())
}

// log returns a logger as in Lambda.
func (s *simulation) log() *slog.Logger {
	keys := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			a.Key = "timestamp"
		}
		if len(groups) == 0 && a.Key == slog.MessageKey {
			a.Key = "message"
		}
		return a
	}
	return slog.New(slog.NewJSONHandler(&s.logged, &slog.HandlerOptions{ReplaceAttr: keys})).With("requestId", uuid.NewString())
}

// startScan is a process of StartScanFunc.
type startScan struct {
	*simulation
	service *awstest.Service
	handler scanevents.Handler
}

func (s *simulation) startScan() startScan {
	service, log := s.service(), s.log()
	m := scanevents.Metrics{Log: log, Function: "ecr-continuous-scan-StartScanFunc-0123456789AB", Now: time.Now}
	return startScan{s, service, scanevents.Handler{Visitor: service.Visitor, Metrics: m, Log: log}}
}

// schedule runs a schedule, and returns its messages and what it used. Each schedule has a new process, as in Lambda.
func (s *simulation) schedule(ctx context.Context) ([]rescan.Received, usage, error) {
	process := s.startScan()
	used, err := process.handle(ctx, map[string]any{"source": "aws.events", "time": time.Now().UTC()})
	return process.service.Queue.Take(), used, err
}

// visit makes the visits that messages request, and those that continue them, in a new process.
func (s *simulation) visit(ctx context.Context, messages []rescan.Received) (sum usage, err error) {
	process := s.startScan()
	for len(messages) > 0 {
		for _, m := range messages {
			body, err := json.Marshal(m.Message)
			if err != nil {
				return usage{}, err
			}
			used, err := process.handle(ctx, events.SQSEvent{Records: []events.SQSMessage{{
				EventSource: "aws:sqs", MessageId: m.ID, Body: string(body), Attributes: map[string]string{"SentTimestamp": strconv.FormatInt(m.Sent.UnixMilli(), 10)},
			}}})
			if err != nil {
				return usage{}, err
			}
			sum = sum.plus(used)
		}
		messages = process.service.Queue.Take()
	}
	return sum, nil
}

func (p startScan) handle(ctx context.Context, event any) (usage, error) {
	text, err := json.Marshal(event)
	if err != nil {
		return usage{}, err
	}
	return p.measure(func() error {
		_, err := p.handler.Handle(ctx, text)
		return err
	})
}

// get makes a request to the API in a new process, and returns what it used.
func (s *simulation) get(ctx context.Context, path string) (usage, error) {
	handler := s.service().Handler("https://api.example")
	return s.measure(func() error {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
		if answer.Code != http.StatusOK {
			return fmt.Errorf("%s: status %d: %.300s", path, answer.Code, answer.Body)
		}
		return nil
	})
}

// measure returns what an operation used.
func (s *simulation) measure(operation func() error) (u usage, err error) {
	s.s3.ResetCount()
	s.ecr.ResetCount()
	logged, written, began := s.logged, s.bucket.written.Load(), time.Now()
	if err := operation(); err != nil {
		return usage{}, err
	}
	u.waiting = float64(time.Since(began)) / float64(time.Millisecond)
	for name, n := range s.s3.Count().Calls {
		switch {
		case strings.HasPrefix(name, "List"):
			u.lists += float64(n)
		case strings.HasPrefix(name, "Put"):
			u.puts += float64(n)
		case strings.HasPrefix(name, "Get"):
			u.gets += float64(n)
		case name != "DeleteObject": // costs nothing
			return usage{}, fmt.Errorf("no price of %s", name)
		}
	}
	u.ecr, u.logged, u.written = float64(s.ecr.Count().Total()), float64(s.logged-logged), float64(s.bucket.written.Load()-written)
	return u, nil
}
