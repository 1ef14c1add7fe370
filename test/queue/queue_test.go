// Package queue runs the compiled StartScanFunc behind an SQS queue, over the wire, with everything that such a queue and Lambda may do to
// it: functions that end in the middle, messages that come twice, out of order and late. What S3 and ECR answer is embedded.
//
// Without a build tag the queue is embedded too; with the tag trial it is moto's.
package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/s3store"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/lambdaruntime"
)

const (
	// A function lives for so short a time that it must pass its work on again and again. What it doesn't answer for is delivered again after
	// visibility.
	timeout    = 2 * time.Second
	visibility = 3 * time.Second
	// latency of the calls that there is one of per image.
	latency = 50 * time.Millisecond

	recent = 10 // of so many images one was scanned an hour ago
)

// sizes is how many images each repository has.
func sizes() map[string]int {
	return map[string]int{"team/large": 2000, "team/middle": 600, "team/named": 250, "team/small": 100, "team/tiny": 50}
}

// world is the service on its stand-ins.
type world struct {
	*awstest.AWS
	t        *testing.T
	client   *sqs.Client
	queueURL string
	binary   string
	env      map[string]string
	received func(types.Message)

	mu        sync.Mutex
	functions []*lambdaruntime.Function
}

func newWorld(t *testing.T, client *sqs.Client, endpoint, queueURL string) *world {
	a := awstest.Start(t, awslocal.ECROptions{ScanTime: time.Hour}) // nothing is due again
	for repo, size := range sizes() {
		c := scan.Config{Region: "us-west-2", Registry: "123456789012", Repository: repo}
		for i := range size {
			image := awslocal.Image{Tags: []string{fmt.Sprintf("v%d", i)}}
			if i%recent == 0 {
				image.ScannedAt = time.Now().Add(-time.Hour)
			}
			a.ECR.PutImage(awslocal.RepositoryID{Name: repo}, image)
			if repo == "team/named" {
				c.Tags = append(c.Tags, image.Tags[0])
			}
		}
		c, err := scan.NewConfig(c, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Watch(awstest.Silent()).Configs.Put(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, operation := range []string{"DescribeImageScanFindings", "StartImageScan"} {
		a.ECR.Disturb(awslocal.Fault{Operation: operation, Delay: latency})
	}
	return &world{AWS: a, t: t, client: client, queueURL: queueURL, binary: lambdaruntime.Build(t, "startscan"), env: map[string]string{
		"ECR_SCAN_CONFIG_BUCKET": awstest.Bucket, "ECR_SCAN_QUEUE_URL": queueURL,
		"AWS_ENDPOINT_URL_S3": a.S3URL, "AWS_ENDPOINT_URL_ECR": a.ECRURL, "AWS_ENDPOINT_URL_SQS": endpoint,
	}}
}

// start starts a process of the function.
func (w *world) start() *lambdaruntime.Function {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := lambdaruntime.Start(w.t, w.binary, w.env)
	w.functions = append(w.functions, f)
	return f
}

// killAll ends every process, some of them in the middle of what they do.
func (w *world) killAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.functions {
		f.Kill()
	}
}

// logs is what the processes have written.
func (w *world) logs() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all strings.Builder
	for _, f := range w.functions {
		all.WriteString(f.Logs())
	}
	return all.String()
}

// schedule has several schedules at once and gives the number of chains that they started together.
func (w *world) schedule(atOnce int) (sent, running int) {
	w.t.Helper()
	reports := make([]scan.ScheduleReport, atOnce)
	var wg sync.WaitGroup
	for i := range reports {
		f := lambdaruntime.Start(w.t, w.binary, w.env)
		wg.Go(func() {
			payload, err := f.Invoke(w.t.Context(), lambdaruntime.ScheduleEvent(), time.Minute)
			if err == nil {
				err = json.Unmarshal(payload, &reports[i])
			}
			if err != nil {
				w.t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, r := range reports {
		sent += r.Sent
		running += r.Running
	}
	return sent, running
}

// work lets functions work from the queue until it is empty and no chain is under way.
func (w *world) work() {
	w.t.Helper()
	source := lambdaruntime.EventSource{
		Client: w.client, QueueURL: w.queueURL, BatchSize: 3, Concurrency: 3, Timeout: timeout, Start: w.start, Received: w.received,
	}
	ctx, stop := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- source.Run(ctx) }()
	for w.waiting() > 0 || w.markers() > 0 {
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		w.t.Error(err)
	}
}

// waiting is how many messages are in the queue, in flight or not.
func (w *world) waiting() int {
	w.t.Helper()
	out, err := w.client.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &w.queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
		var some int
		if _, err := fmt.Sscan(out.Attributes[name], &some); err != nil {
			w.t.Fatal(err)
		}
		n += some
	}
	return n
}

func (w *world) markers() int {
	w.t.Helper()
	out, err := w.S3Client().ListObjectsV2(w.t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(awstest.Bucket), Prefix: aws.String(s3store.MarkerPrefix)})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(out.Contents)
}

func (w *world) starts() int { return w.ECR.Count().Calls["StartImageScan"] }

// wantOnceEach checks that every image that was due was started once, and no other.
func (w *world) wantOnceEach() {
	w.t.Helper()
	for repo, size := range sizes() {
		wrong := 0
		images := w.ECR.Images(awslocal.RepositoryID{Name: repo})
		for i, image := range images {
			due := 1
			if i%recent == 0 {
				due = 0
			}
			if image.Starts != due {
				wrong++
			}
		}
		if wrong > 0 || len(images) != size {
			w.t.Errorf("%s: %d of %d images were not started, or more than once, or though they were not due", repo, wrong, size)
		}
	}
	if refused := w.ECR.Count().Errors["StartImageScan"]["LimitExceededException"]; refused > 0 {
		w.t.Errorf("%d starts were tried that ECR refuses", refused)
	}
}

// scenario is one run over 3,000 images with all functions killed three times, and another that finds nothing to do.
func (w *world) scenario() {
	if sent, running := w.schedule(2); sent != len(sizes()) || running != len(sizes()) {
		w.t.Fatalf("two schedules at once sent %d and found %d under way", sent, running)
	}
	var killer sync.WaitGroup
	over := make(chan struct{})
	killer.Go(func() {
		for _, at := range []int{200, 800, 1500} {
			for w.starts() < at {
				select {
				case <-over:
					return
				case <-time.After(time.Millisecond):
				}
			}
			w.killAll()
		}
	})
	w.work()
	close(over)
	killer.Wait()
	w.wantOnceEach()
	if logs := w.logs(); len(w.functions) < 12 || !regexp.MustCompile(`"ChainsPassedOn":[1-9]`).MatchString(logs) || !strings.Contains(logs, "a hop of the scan run of a config is to be done again") {
		w.t.Errorf("%d functions lived; they passed nothing on, or met no message twice: too quiet to show anything", len(w.functions))
	}

	began := w.starts()
	if sent, _ := w.schedule(1); sent != len(sizes()) {
		w.t.Errorf("the next schedule sent %d", sent)
	}
	w.work()
	w.wantOnceEach()
	if again := w.starts() - began; again > 0 {
		w.t.Errorf("the next run tried %d starts", again)
	}
}

func TestEverythingIsStartedOnce(t *testing.T) {
	queue := awstest.StartQueue(t, awslocal.SQSOptions{Visibility: visibility, MaxReceive: 50, Twice: 0.4, Shuffle: true, Seed: 7})
	w := newWorld(t, queue.Client(), queue.Endpoint, queue.URL)
	w.scenario()
	if dead := queue.SQS.DeadLetters(); len(dead) > 0 {
		t.Errorf("dead letters: %v", dead)
	}
}
