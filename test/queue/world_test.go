package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/lambdaruntime"
)

const (
	// The function's timeout is so short that a visit of many images must be continued several times. If a function
	// is killed, its message is delivered again after the visibility timeout.
	timeout    = 2 * time.Second
	visibility = 6 * time.Second
	// latency is the latency of the calls that are made once per image.
	latency = 50 * time.Millisecond
	// workers is the number of functions that run at once.
	workers = 3

	recent = 10 // one of this many images was scanned an hour ago
)

// sizes returns the number of images of each repository.
func sizes() map[string]int {
	return map[string]int{"team/large": 3000, "team/named": 250, "team/small": 100, "team/tiny": 50}
}

// world is the service with its embedded services and queue.
type world struct {
	*awstest.AWS
	*awstest.Service
	t                  *testing.T
	endpoint, queueURL string
	client             *sqs.Client
	binary             string
	env                map[string]string

	mu          sync.Mutex
	functions   []*lambdaruntime.Function
	visiting    map[int]string // the message group that each worker visits
	requests    map[int]int    // requests to the queue since a visit last began, by worker
	received    int
	redelivered int // messages that were received more than once
}

func newWorld(t *testing.T, endpoint, queueURL string) *world {
	a := awstest.Start(t, ecr.Options{ScanTime: time.Hour}) // so long that no image is due again
	w := &world{
		AWS: a, Service: a.Service(awstest.Silent()), t: t, endpoint: endpoint, queueURL: queueURL, visiting: map[int]string{}, requests: map[int]int{},
		client: sqs.NewFromConfig(setup.Loopback(endpoint)), binary: lambdaruntime.Build(t, "startscan"), env: map[string]string{
			"ECR_SCAN_CONFIG_BUCKET": awstest.Bucket, "ECR_SCAN_QUEUE_URL": queueURL,
			"AWS_ENDPOINT_URL_S3": a.S3URL, "AWS_ENDPOINT_URL_ECR": a.ECRURL, "AWS_ENDPOINT_URL_SQS": endpoint,
		},
	}
	for repo, size := range sizes() {
		var tags []string
		for i := range size {
			image := ecr.Image{Tags: []string{fmt.Sprintf("v%d", i)}}
			if i%recent == 0 {
				image.ScannedAt = time.Now().Add(-time.Hour)
			}
			a.ECR.PutImage(ecr.RepositoryID{Name: repo}, image)
			if repo == "team/named" {
				tags = append(tags, image.Tags[0])
			}
		}
		w.AddConfig(t, repo, tags...)
	}
	for _, operation := range []string{"DescribeImageScanFindings", "StartImageScan"} {
		a.ECR.InjectFault(awslocal.Fault{Operation: operation, Delay: latency})
	}
	return w
}

// start starts a process of the function.
func (w *world) start() *lambdaruntime.Function {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := lambdaruntime.Start(w.t, w.binary, w.env)
	w.functions = append(w.functions, f)
	return f
}

// killAll ends every process, some of them during a visit.
func (w *world) killAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.functions {
		f.Kill()
	}
}

// logs returns the output of all processes.
func (w *world) logs() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all strings.Builder
	for _, f := range w.functions {
		all.WriteString(f.Logs())
	}
	return all.String()
}

// schedule invokes several schedules at once. They are invoked without an event id, so each sends its own message
// for each repository.
func (w *world) schedule(atOnce int) {
	w.t.Helper()
	var wg sync.WaitGroup
	for range atOnce {
		f := lambdaruntime.Start(w.t, w.binary, w.env)
		wg.Go(func() {
			var report rescan.ScheduleReport
			payload, err := f.Invoke(w.t.Context(), struct{}{}, time.Minute)
			if err == nil {
				err = json.Unmarshal(payload, &report)
			}
			if err != nil || report.Sent != len(sizes()) || report.NotSent > 0 {
				w.t.Errorf("schedule: %+v, %v", report, err)
			}
		})
	}
	wg.Wait()
}

// work lets functions work on the queue until it is empty. Each worker has its own event source, so that the
// beginning and the end of each visit are known.
func (w *world) work() {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	clear(w.requests)
	var wg sync.WaitGroup
	for worker := range workers {
		client := sqs.NewFromConfig(setup.Loopback(w.endpoint), func(o *sqs.Options) {
			o.HTTPClient = &http.Client{Transport: beforeEach{func() { w.onRequest(worker) }, http.DefaultTransport}}
		})
		source := lambdaruntime.EventSource{
			Client: client, QueueURL: w.queueURL, BatchSize: 1, Concurrency: 1, Timeout: timeout, Start: w.start,
			Received: func(m types.Message) { w.onBegin(worker, m) },
		}
		wg.Go(func() {
			if err := source.Run(ctx); err != nil {
				w.t.Error(err)
			}
		})
	}
	for !w.isIdle() && !w.t.Failed() {
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	wg.Wait()
}

// beforeEach calls do before each request to the queue. A worker that sends a request has finished its visit.
type beforeEach struct {
	do func()
	http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b beforeEach) RoundTrip(r *http.Request) (*http.Response, error) {
	b.do()
	return b.RoundTripper.RoundTrip(r)
}

func (w *world) onRequest(worker int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.visiting, worker)
	w.requests[worker]++
}

// isIdle reports whether the queue is empty and each worker has waited for a message without success since then.
// That takes three requests, because the first one may delete a message. The counts of the queue are not sufficient
// because they are approximate.
func (w *world) isIdle() bool {
	if w.waiting() > 0 {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for worker := range workers {
		if w.requests[worker] < 3 {
			return false
		}
	}
	return true
}

// onBegin checks that no other visit of the repository is running. It sends some messages a second time.
func (w *world) onBegin(worker int, m types.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	group := m.Attributes["MessageGroupId"]
	for other, visited := range w.visiting {
		if visited == group {
			w.t.Errorf("workers %d and %d visit one repository at once: %s", other, worker, *m.Body)
		}
	}
	w.visiting[worker] = group
	clear(w.requests)
	w.received++
	if m.Attributes["ApproximateReceiveCount"] != "1" {
		w.redelivered++
	}
	if w.received%3 != 1 || w.received > 20 {
		return
	}
	once := uuid.NewString()
	_, err := w.client.SendMessage(w.t.Context(), &sqs.SendMessageInput{QueueUrl: &w.queueURL, MessageBody: m.Body, MessageGroupId: &group, MessageDeduplicationId: &once})
	if err != nil {
		w.t.Error(err)
	}
}

// waiting returns the number of messages in the queue, including those in flight.
func (w *world) waiting() int {
	w.t.Helper()
	out, err := w.client.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &w.queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"} {
		var some int
		if _, err := fmt.Sscan(out.Attributes[name], &some); err != nil {
			w.t.Fatal(err)
		}
		n += some
	}
	return n
}

func (w *world) starts() int { return w.ECR.Count().Calls["StartImageScan"] }

// checkEachStartedOnce checks that the scan of each due image was started once, and no other scan.
func (w *world) checkEachStartedOnce() {
	w.t.Helper()
	for repo, size := range sizes() {
		wrong := 0
		images := w.ECR.Images(ecr.RepositoryID{Name: repo})
		for i, image := range images {
			due := 1
			if i%recent == 0 {
				due = 0
			}
			if image.ScansStarted != due {
				wrong++
			}
		}
		if wrong > 0 || len(images) != size {
			w.t.Errorf("%s: %d of %d images have a wrong number of started scans", repo, wrong, size)
		}
	}
	if refused := w.ECR.Count().Errors["StartImageScan"]["LimitExceededException"]; refused > 0 {
		w.t.Errorf("ECR refused %d scans because the last scan is too recent", refused)
	}
}
