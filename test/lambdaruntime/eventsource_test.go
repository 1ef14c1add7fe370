package lambdaruntime

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/test/sqslocal"
)

// fixture is an event source with an embedded queue.
type fixture struct {
	EventSource
	t     *testing.T
	queue *sqslocal.SQS

	mu       sync.Mutex
	started  int
	received []string // bodies
}

// newFixture returns an event source with two processes of the function at binary.
func newFixture(t *testing.T, binary string, o sqslocal.Options) *fixture {
	t.Helper()
	queue, err := sqslocal.New("visits.fifo", o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(queue)
	t.Cleanup(server.Close)
	f := &fixture{t: t, queue: queue, EventSource: EventSource{
		Client: sqs.New(sqs.Options{
			Region: region, BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
		}),
		QueueURL: server.URL + "/" + account + "/visits.fifo", BatchSize: 1, Concurrency: 2, Timeout: long,
	}}
	f.Start = func() *Function {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.started++
		return Start(t, binary, nil)
	}
	f.Received = func(m types.Message) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.received = append(f.received, *m.Body)
	}
	return f
}

// send sends messages "group/body". Each message is its own deduplication id.
func (f *fixture) send(messages ...string) {
	f.t.Helper()
	for _, message := range messages {
		group, _, _ := strings.Cut(message, "/")
		_, err := f.Client.SendMessage(f.t.Context(), &sqs.SendMessageInput{
			QueueUrl: &f.QueueURL, MessageBody: &message, MessageGroupId: &group, MessageDeduplicationId: &message,
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// runUntil runs the event source until the queue has the given state. It returns the received bodies by group.
func (f *fixture) runUntil(want sqslocal.QueueState) map[string][]string {
	f.t.Helper()
	ctx, stop := context.WithCancel(f.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	for f.queue.State() != want {
		select {
		case err := <-ended:
			f.t.Fatalf("Run ended: %v", err)
		case <-f.t.Context().Done():
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if err := <-ended; err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	byGroup := map[string][]string{}
	for _, body := range f.received {
		group, number, _ := strings.Cut(body, "/")
		byGroup[group] = append(byGroup[group], number)
	}
	return byGroup
}

func TestEventSourceDeletesMessages(t *testing.T) {
	f := newFixture(t, Build(t, bare), sqslocal.Options{})
	f.send("a/1", "a/2", "b/1", "a/3", "c/1", "b/2")
	got := f.runUntil(sqslocal.QueueState{})
	if diff := cmp.Diff(map[string][]string{"a": {"1", "2", "3"}, "b": {"1", "2"}, "c": {"1"}}, got); diff != "" || f.started != 2 {
		t.Errorf("%d processes, received (-want +got):\n%s", f.started, diff)
	}
}

// If the function fails, its message is delivered again until it is a dead letter. Only then the next message of
// the group is delivered.
func TestEventSourceRedeliversFailures(t *testing.T) {
	f := newFixture(t, Build(t, faulty), sqslocal.Options{Visibility: 10 * time.Millisecond, MaxReceive: 3})
	f.send("a/1", "a/2") // the function expects strings, not events, and fails
	got := f.runUntil(sqslocal.QueueState{Dead: 2})
	if diff := cmp.Diff(map[string][]string{"a": {"1", "1", "1", "2", "2", "2"}}, got); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a/1", "a/2"}, f.queue.DeadLetters()); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
}

// A process that has ended is replaced, and its message is delivered again.
func TestEventSourceReplacesProcesses(t *testing.T) {
	f := newFixture(t, Build(t, bare), sqslocal.Options{Visibility: 10 * time.Millisecond})
	f.Concurrency = 1
	var process *Function
	start, received := f.Start, f.Received
	f.Start = func() *Function {
		process = start()
		return process
	}
	f.Received = func(m types.Message) {
		received(m)
		if m.Attributes["ApproximateReceiveCount"] == "1" {
			process.Kill() // before it answers
		}
	}
	f.send("a/1")
	got := f.runUntil(sqslocal.QueueState{})
	if f.started != 2 || len(got["a"]) < 2 {
		t.Errorf("%d processes, want 2; received %v, want the message twice", f.started, got)
	}
}

// If the function responds after the visibility timeout, its message is delivered again.
func TestEventSourceAfterTheVisibilityTimeout(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	f := newFixture(t, Build(t, bare), sqslocal.Options{Visibility: time.Minute, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	f.Concurrency = 1
	received := f.Received
	f.Received = func(m types.Message) {
		received(m)
		if m.Attributes["ApproximateReceiveCount"] == "1" {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(time.Minute)
		}
	}
	f.send("a/1", "a/2")
	got := f.runUntil(sqslocal.QueueState{})
	if diff := cmp.Diff(map[string][]string{"a": {"1", "1", "2", "2"}}, got); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
}

func TestSQSEvent(t *testing.T) {
	f := newFixture(t, "", sqslocal.Options{})
	f.send("a/1")
	out, err := f.Client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &f.QueueURL, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := SQSEvent(out.Messages)
	if len(e.Records) != 1 {
		t.Fatalf("%d records, want 1", len(e.Records))
	}
	r := e.Records[0]
	for _, name := range []string{
		"ApproximateReceiveCount", "SentTimestamp", "SequenceNumber", "MessageGroupId", "SenderId", "MessageDeduplicationId",
		"ApproximateFirstReceiveTimestamp",
	} {
		if r.Attributes[name] == "" {
			t.Errorf("no attribute %s in %v", name, r.Attributes)
		}
	}
	r.Attributes = map[string]string{"MessageGroupId": r.Attributes["MessageGroupId"]}
	want := events.SQSMessage{
		MessageId: aws.ToString(out.Messages[0].MessageId), ReceiptHandle: aws.ToString(out.Messages[0].ReceiptHandle), Body: "a/1",
		Md5OfBody: aws.ToString(out.Messages[0].MD5OfBody), Attributes: map[string]string{"MessageGroupId": "a"},
		MessageAttributes: map[string]events.SQSMessageAttribute{}, EventSource: "aws:sqs",
		EventSourceARN: fmt.Sprintf("arn:aws:sqs:%s:%s:visits.fifo", region, account), AWSRegion: region,
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
