package awslocal_test

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"ecr-continuous-scan/internal/awslocal"
)

// mailbox is a client of an embedded queue.
type mailbox struct {
	t *testing.T
	*awslocal.SQS
	client *sqs.Client
	url    *string
}

func serveQueue(t *testing.T, o awslocal.SQSOptions) mailbox {
	t.Helper()
	service := awslocal.NewSQS("runs", o)
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	client := sqs.New(sqs.Options{
		Region: awslocal.DefaultRegion, BaseEndpoint: &server.URL, HTTPClient: server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""), Retryer: aws.NopRetryer{},
	})
	return mailbox{t, service, client, aws.String(server.URL + "/" + awslocal.DefaultRegistry + "/runs")}
}

func (m mailbox) send(bodies ...string) {
	m.t.Helper()
	for _, body := range bodies {
		if _, err := m.client.SendMessage(m.t.Context(), &sqs.SendMessageInput{QueueUrl: m.url, MessageBody: &body}); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m mailbox) receive(wait int32) []types.Message {
	m.t.Helper()
	out, err := m.client.ReceiveMessage(m.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: m.url, MaxNumberOfMessages: 10, WaitTimeSeconds: wait, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return out.Messages
}

func (m mailbox) delete(message types.Message) {
	m.t.Helper()
	if _, err := m.client.DeleteMessage(m.t.Context(), &sqs.DeleteMessageInput{QueueUrl: m.url, ReceiptHandle: message.ReceiptHandle}); err != nil {
		m.t.Fatal(err)
	}
}

func bodies(messages []types.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, *m.Body)
	}
	return all
}

func TestQueueHidesWhatWasReceived(t *testing.T) {
	clock := newClock()
	m := serveQueue(t, awslocal.SQSOptions{Now: clock.Now, Visibility: time.Minute, MaxReceive: 3})
	m.send("a", "b")
	first := m.receive(0)
	if got := bodies(first); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("received %v", got)
	}
	if m.State() != (awslocal.QueueState{InFlight: 2}) || len(m.receive(0)) != 0 {
		t.Errorf("they are not hidden: %+v", m.State())
	}
	m.delete(first[0])
	clock.Move(time.Minute)
	second := m.receive(0)
	if len(second) != 1 || second[0].Attributes["ApproximateReceiveCount"] != "2" || *second[0].MessageId != *first[1].MessageId {
		t.Fatalf("after a minute: %+v", second)
	}
	m.delete(first[1]) // with the handle of the first time
	if m.State().InFlight != 1 {
		t.Error("an old handle deletes")
	}
	visibility := func(seconds int32) error {
		_, err := m.client.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
			QueueUrl: m.url, ReceiptHandle: second[0].ReceiptHandle, VisibilityTimeout: seconds,
		})
		return err
	}
	if err := visibility(600); err != nil {
		t.Fatal(err)
	}
	clock.Move(time.Minute)
	if len(m.receive(0)) != 0 {
		t.Error("visible though its time was extended")
	}
	if err := visibility(0); err != nil || len(m.receive(0)) != 1 {
		t.Errorf("not visible at once: %v", err)
	}
	if err := visibility(0); failureOf(err).Code != "MessageNotInflight" {
		t.Errorf("by an old handle: %v", err)
	}
	clock.Move(time.Minute)
	if len(m.receive(0)) != 0 || !slices.Equal(m.DeadLetters(), []string{"b"}) || m.State() != (awslocal.QueueState{Dead: 1}) {
		t.Errorf("after three times: %+v, dead %v", m.State(), m.DeadLetters())
	}
}

func TestQueueMayDoAnything(t *testing.T) {
	m := serveQueue(t, awslocal.SQSOptions{Twice: 0.5, Shuffle: true, Seed: 1})
	var sent []string
	for i := range 50 {
		sent = append(sent, fmt.Sprintf("%02d", i))
	}
	m.send(sent...)
	var got []string
	ids := map[string]int{}
	for m.State().Visible > 0 {
		for _, message := range m.receive(0) {
			m.delete(message)
			got = append(got, *message.Body)
			ids[*message.MessageId]++
		}
	}
	if len(got) < 60 || len(got) > 90 || len(ids) != 50 || slices.IsSorted(got) {
		t.Errorf("%d deliveries of %d messages: %v", len(got), len(ids), got)
	}
}

// A receiver that waits gets what is sent meanwhile, and what becomes visible again.
func TestQueueWaits(t *testing.T) {
	m := serveQueue(t, awslocal.SQSOptions{Visibility: 10 * time.Millisecond})
	got := make(chan []types.Message)
	go func() { got <- m.receive(20) }()
	for m.Count().InFlight == 0 {
		time.Sleep(time.Millisecond)
	}
	m.send("a")
	if messages := <-got; len(messages) != 1 {
		t.Fatalf("received %v", messages)
	}
	if messages := m.receive(20); len(messages) != 1 {
		t.Errorf("received again: %v", messages)
	}
}

func TestQueueRefuses(t *testing.T) {
	m := serveQueue(t, awslocal.SQSOptions{})
	entry := func(id, body string) types.SendMessageBatchRequestEntry {
		return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body}
	}
	var eleven []types.SendMessageBatchRequestEntry
	for i := range 11 {
		eleven = append(eleven, entry(fmt.Sprint(i), "x"))
	}
	large := strings.Repeat("x", 200<<10)
	for want, entries := range map[string][]types.SendMessageBatchRequestEntry{
		"EmptyBatchRequest": {}, "TooManyEntriesInBatchRequest": eleven, "BatchEntryIdsNotDistinct": {entry("1", "x"), entry("1", "x")},
		"InvalidBatchEntryId": {entry("a b", "x")}, "BatchRequestTooLong": {entry("1", large), entry("2", large)},
	} {
		_, err := m.client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: m.url, Entries: entries})
		if f := failureOf(err); f.Code != want || f.Status != 400 {
			t.Errorf("%+v, want %s", f, want)
		}
	}
	out, err := m.client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: m.url, Entries: []types.SendMessageBatchRequestEntry{entry("1", "x"), entry("2", "")}})
	if err != nil || len(out.Successful) != 1 || len(out.Failed) != 1 || *out.Failed[0].Id != "2" || !out.Failed[0].SenderFault {
		t.Errorf("a batch with an empty body: %+v, %v", out, err)
	}
	other := aws.String(*m.url + "x")
	if _, err := m.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: other}); failureOf(err).Code != "QueueDoesNotExist" {
		t.Errorf("another queue: %v", err)
	}
	if _, err := m.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: m.url, MaxNumberOfMessages: 11}); failureOf(err).Code != "InvalidParameterValue" {
		t.Errorf("eleven at once: %v", err)
	}
	if _, err := m.client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: m.url, ReceiptHandle: aws.String("x")}); failureOf(err).Code != "ReceiptHandleIsInvalid" {
		t.Errorf("no handle: %v", err)
	}
	if _, err := m.client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: m.url}); failureOf(err).Code != "UnknownOperationException" {
		t.Errorf("an operation that it doesn't have: %v", err)
	}
	attributes, err := m.client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: m.url})
	if err != nil || attributes.Attributes["ApproximateNumberOfMessages"] != "1" {
		t.Errorf("%v, %v", attributes, err)
	}
	m.Disturb(awslocal.Fault{Operation: "SendMessage", PerSecond: 0.001})
	m.send("x")
	_, err = m.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: m.url, MessageBody: aws.String("x")})
	if f := failureOf(err); f.Code != "RequestThrottled" {
		t.Errorf("too many: %+v", f)
	}
}
