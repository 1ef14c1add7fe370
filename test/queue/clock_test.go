package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scanevents"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/internal/sqsqueue"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/lambdaruntime"
	"ecr-continuous-scan/test/sqslocal"
)

// visitTime is the timeout that the template gives StartScanFunc.
const visitTime = 300 * time.Second

// simulated is the service behind an embedded queue, in one process. It must be created and used in one bubble of
// testing/synctest.
type simulated struct {
	*awstest.Service
	t       *testing.T
	ecr     *ecr.ECR
	sqs     *sqslocal.SQS
	client  *sqs.Client
	url     string
	handler *scanevents.Handler
	// dies reports whether a message makes its function die. It may be nil.
	dies func(types.Message) bool

	mu     sync.Mutex
	visits map[string]int // number of ended visits by message group
	ended  chan struct{}  // gets a value for each ended visit
}

// inProcess returns a config that calls an embedded service without sockets.
func inProcess(h http.Handler) aws.Config {
	cfg := setup.Loopback("http://127.0.0.1:1")
	cfg.HTTPClient = &http.Client{Transport: awslocal.Transport{Handler: h}}
	return cfg
}

// simulate returns a service with the given number of repositories, each with an image that is due.
func simulate(t *testing.T, repositories int, o sqslocal.Options) *simulated {
	t.Helper()
	s := &simulated{t: t, ecr: ecr.New(ecr.Options{ScanTime: time.Hour}), visits: map[string]int{}, ended: make(chan struct{}, 2*repositories)}
	store, err := awslocal.NewMemoryS3(awstest.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	const name = "visits.fifo"
	if s.sqs, err = sqslocal.New(name, o); err != nil {
		t.Fatal(err)
	}
	s.url = "http://127.0.0.1:1/" + awslocal.DefaultRegistry + "/" + name
	s.client = sqs.NewFromConfig(inProcess(s.sqs))
	s.Service = awstest.NewService(inProcess(store), inProcess(s.ecr), time.Now, awstest.Silent())
	s.Visitor.Queue = sqsqueue.New(inProcess(s.sqs), s.url)
	s.handler = &scanevents.Handler{Visitor: s.Visitor, Metrics: scanevents.Metrics{Log: awstest.Silent(), Now: time.Now}, Log: awstest.Silent()}
	for i := range repositories {
		repo := fmt.Sprintf("team/app%d", i)
		s.ecr.PutImage(ecr.RepositoryID{Name: repo}, ecr.Image{Tags: []string{"v1"}})
		s.AddConfig(t, repo)
	}
	store.InjectFault(awslocal.Fault{Delay: 15 * time.Millisecond})
	s.ecr.InjectFault(awslocal.Fault{Delay: 30 * time.Millisecond})
	return s
}

// handle passes an event to the function.
func (s *simulated) handle(ctx context.Context, event any) {
	raw, err := json.Marshal(event)
	if err == nil {
		_, err = s.handler.Handle(ctx, raw)
	}
	if err != nil {
		s.t.Error(err)
	}
}

// work starts functions that work on the queue at the same time until ctx is done.
func (s *simulated) work(ctx context.Context, functions int) (wait func()) {
	var wg sync.WaitGroup
	for range functions {
		wg.Go(func() {
			for ctx.Err() == nil {
				s.receive(ctx)
			}
		})
	}
	return wg.Wait
}

func (s *simulated) receive(ctx context.Context) {
	out, err := s.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &s.url, WaitTimeSeconds: 20, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if ctx.Err() != nil || err == nil && len(out.Messages) == 0 {
		return
	}
	if err != nil {
		s.t.Error(err)
		return
	}
	m := out.Messages[0]
	if s.dies != nil && s.dies(m) {
		time.Sleep(visitTime)
		return
	}
	visit, cancel := context.WithTimeout(ctx, visitTime)
	defer cancel()
	s.handle(visit, lambdaruntime.SQSEvent(out.Messages))
	if _, err := s.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &s.url, ReceiptHandle: m.ReceiptHandle}); err != nil && ctx.Err() == nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.visits[m.Attributes["MessageGroupId"]]++
	s.mu.Unlock()
	s.ended <- struct{}{}
}

// visitMany runs one schedule and several functions, and returns the time until the given number of visits has ended.
func visitMany(t *testing.T, repositories, functions, until int, disturb awslocal.Fault) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		s := simulate(t, repositories, sqslocal.Options{Visibility: 2 * visitTime, MaxReceive: 3})
		if disturb.Resource != "" {
			s.ecr.InjectFault(disturb)
		}
		s.handle(t.Context(), lambdaruntime.ScheduleEvent())
		ctx, stop := context.WithCancel(t.Context())
		began := time.Now()
		wait := s.work(ctx, functions)
		for range until {
			<-s.ended
		}
		took = time.Since(began)
		stop()
		wait()
		if started := s.ecr.Count().Calls["StartImageScan"]; started != until {
			t.Errorf("%d scans were started by %d visits", started, until)
		}
	})
	return took
}

// Fifty functions visit 1,000 repositories in at most 1/40 of the time of one function, even if one visit hangs.
func TestConcurrentVisits(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	const many, functions = 1000, 50
	one := visitMany(t, many, 1, many, awslocal.Fault{})
	tests := []struct {
		name  string
		until int
		fault awslocal.Fault
	}{
		{"all answer", many, awslocal.Fault{}},
		{"one hangs", many - 1, awslocal.Fault{Resource: "team/app7", Hang: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if took := visitMany(t, many, functions, test.until, test.fault); took > one/40 {
				t.Errorf("%d visits took %s with %d functions, and %s with one: more than 1/40", test.until, took, functions, one)
			}
		})
	}
}

// If the visits of a repository always die, its messages do not accumulate: they become dead letters before the
// next schedule sends another one.
func TestVisitsThatAlwaysDie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const schedules, every = 48, 30 * time.Minute
		s := simulate(t, 2, sqslocal.Options{Visibility: 600 * time.Second, MaxReceive: 3, Retention: 6 * time.Hour})
		var dying string
		s.dies = func(m types.Message) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			if dying == "" {
				dying = m.Attributes["MessageGroupId"]
			}
			return m.Attributes["MessageGroupId"] == dying
		}
		ctx, stop := context.WithCancel(t.Context())
		wait := s.work(ctx, 5)
		most := 0
		for range schedules {
			s.handle(ctx, lambdaruntime.ScheduleEvent())
			for range every / time.Minute {
				time.Sleep(time.Minute)
				state := s.sqs.State()
				most = max(most, state.Visible+state.InFlight)
			}
			for len(s.ended) > 0 {
				<-s.ended
			}
		}
		state := s.sqs.State()
		stop()
		wait()
		if most > 2 || state.Visible+state.InFlight > 2 || state.Dead < schedules-2 {
			t.Errorf("at most %d messages waited, and after a day %+v", most, state)
		}
		if len(s.visits) != 1 || s.visits[dying] != 0 {
			t.Errorf("ended visits: %v, dying repository %s", s.visits, dying)
		}
		for _, n := range s.visits {
			if n != schedules {
				t.Errorf("the other repository was visited %d times, want %d", n, schedules)
			}
		}
	})
}
