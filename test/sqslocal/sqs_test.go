package sqslocal_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/test/ecrclient"
	"ecr-continuous-scan/test/sqslocal"
)

// queueClient is a client of an embedded queue.
type queueClient struct {
	t *testing.T
	*sqslocal.SQS
	client *sqs.Client
	url    *string
}

func serveQueue(t *testing.T, o sqslocal.Options) queueClient {
	t.Helper()
	service, err := sqslocal.New("visits.fifo", o)
	if err != nil {
		t.Fatal(err)
	}
	client := sqs.New(sqs.Options{
		Region: awslocal.DefaultRegion, BaseEndpoint: aws.String("http://sqs.example"),
		HTTPClient:  &http.Client{Transport: awslocal.Transport{Handler: service}},
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""), Retryer: aws.NopRetryer{},
	})
	return queueClient{t, service, client, aws.String("http://sqs.example/" + awslocal.DefaultRegistry + "/visits.fifo")}
}

// send sends messages and returns the responses. Each message has the form "group/number". It is also the body and the
// deduplication id.
func (m queueClient) send(messages ...string) []*sqs.SendMessageOutput {
	m.t.Helper()
	var all []*sqs.SendMessageOutput
	for _, message := range messages {
		group, _, _ := strings.Cut(message, "/")
		out, err := m.client.SendMessage(m.t.Context(), &sqs.SendMessageInput{
			QueueUrl: m.url, MessageBody: &message, MessageGroupId: &group, MessageDeduplicationId: &message,
		})
		if err != nil {
			m.t.Fatal(err)
		}
		all = append(all, out)
	}
	return all
}

func (m queueClient) receive(maxMessages, wait int32) []types.Message {
	m.t.Helper()
	out, err := m.client.ReceiveMessage(m.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: m.url, MaxNumberOfMessages: maxMessages, WaitTimeSeconds: wait, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return out.Messages
}

// want receives messages, compares their bodies and returns them.
func (m queueClient) want(maxMessages int32, bodies ...string) []types.Message {
	m.t.Helper()
	messages := m.receive(maxMessages, 0)
	var got []string
	for _, message := range messages {
		got = append(got, *message.Body)
	}
	if diff := cmp.Diff(bodies, got); diff != "" {
		m.t.Fatalf("received (-want +got):\n%s", diff)
	}
	return messages
}

func (m queueClient) wantState(want sqslocal.QueueState) {
	m.t.Helper()
	if diff := cmp.Diff(want, m.State()); diff != "" {
		m.t.Errorf("state (-want +got):\n%s", diff)
	}
}

func (m queueClient) delete(message types.Message) error {
	_, err := m.client.DeleteMessage(m.t.Context(), &sqs.DeleteMessageInput{QueueUrl: m.url, ReceiptHandle: message.ReceiptHandle})
	return err
}

func (m queueClient) mustDelete(message types.Message) {
	m.t.Helper()
	if err := m.delete(message); err != nil {
		m.t.Fatal(err)
	}
}

func (m queueClient) changeVisibility(message types.Message, seconds int32) error {
	_, err := m.client.ChangeMessageVisibility(m.t.Context(), &sqs.ChangeMessageVisibilityInput{
		QueueUrl: m.url, ReceiptHandle: message.ReceiptHandle, VisibilityTimeout: seconds,
	})
	return err
}

func wantCode(t *testing.T, err error, code, message string) {
	t.Helper()
	if f := ecrclient.FailureOf(err); f.Code != code || !strings.Contains(f.Message, message) || f.Status != 400 {
		t.Errorf("error %v, want %s with %q", err, code, message)
	}
}

func TestQueueLocksGroupsInFlight(t *testing.T) {
	clock := ecrclient.NewClock()
	m := serveQueue(t, sqslocal.Options{Now: clock.Now, Visibility: time.Minute})
	m.send("a/1", "b/1", "a/2", "c/1", "a/3", "b/2")
	first := m.want(2, "a/1", "a/2") // as many messages of one group as allowed
	m.wantState(sqslocal.QueueState{Visible: 4, InFlight: 2})
	b := m.want(1, "b/1")
	c := m.want(10, "c/1")
	m.want(10)

	m.mustDelete(first[0])
	m.want(10) // the second message of the group is in flight
	m.mustDelete(first[1])
	m.want(10, "a/3")

	clock.Advance(time.Minute)
	again := m.want(10, "b/1", "b/2", "c/1", "a/3")
	if *again[0].MessageId != *b[0].MessageId || *again[0].ReceiptHandle == *b[0].ReceiptHandle {
		t.Errorf("second delivery %+v, first delivery %+v", again[0], b[0])
	}
	wantCode(t, m.delete(c[0]), "InvalidParameterValue", "The receipt handle has expired.")
	m.wantState(sqslocal.QueueState{InFlight: 4})
	for _, message := range again {
		m.mustDelete(message)
		m.mustDelete(message) // the second delete has no effect
	}
	m.wantState(sqslocal.QueueState{})
}

func TestQueueVisibility(t *testing.T) {
	clock := ecrclient.NewClock()
	m := serveQueue(t, sqslocal.Options{Now: clock.Now, Visibility: time.Minute})
	m.send("a/1", "a/2")
	a := m.want(1, "a/1")[0]
	if err := m.changeVisibility(a, 600); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Minute)
	m.want(10)
	if err := m.changeVisibility(a, 0); err != nil {
		t.Fatal(err)
	}
	wantCode(t, m.changeVisibility(a, 0), "MessageNotInflight", "")
	wantCode(t, m.delete(a), "InvalidParameterValue", "The receipt handle has expired.")
	both := m.want(10, "a/1", "a/2")
	wantCode(t, m.changeVisibility(both[0], 43201), "InvalidParameterValue", "VisibilityTimeout")
	m.mustDelete(both[0])
	wantCode(t, m.changeVisibility(both[0], 0), "InvalidParameterValue", "Message does not exist")
}

func TestQueueDeadLetters(t *testing.T) {
	clock := ecrclient.NewClock()
	m := serveQueue(t, sqslocal.Options{Now: clock.Now, Visibility: time.Minute, MaxReceive: 3})
	m.send("a/1", "b/1", "a/2")
	for i := range 3 {
		got := m.want(1, "a/1")[0].Attributes["ApproximateReceiveCount"]
		if got != fmt.Sprint(i+1) {
			t.Errorf("receive count %s, want %d", got, i+1)
		}
		clock.Advance(time.Minute)
	}
	m.want(1, "a/2") // the next message of the group, after the dead letter
	m.wantState(sqslocal.QueueState{Visible: 1, InFlight: 1, Dead: 1})
	if diff := cmp.Diff([]string{"a/1"}, m.DeadLetters()); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
}

func TestQueueDeduplicates(t *testing.T) {
	clock := ecrclient.NewClock()
	m := serveQueue(t, sqslocal.Options{Now: clock.Now})
	first := m.send("a/1")[0]
	clock.Advance(time.Minute)
	m.wantSame(first, "while it is visible")
	received := m.want(10, "a/1")[0]
	m.wantSame(first, "in flight")
	m.mustDelete(received)
	m.wantSame(first, "after it was deleted")
	m.wantState(sqslocal.QueueState{})
	clock.Advance(4*time.Minute - time.Second)
	m.wantSame(first, "one second before the end of the 5 minutes, which duplicates do not extend")
	clock.Advance(time.Second)
	if later := m.send("a/1")[0]; *later.MessageId == *first.MessageId || *later.SequenceNumber <= *first.SequenceNumber {
		t.Errorf("after 5 minutes: %+v, first message: %+v", later, first)
	}
	m.want(10, "a/1")
	m.send("b/1")
	_, err := m.client.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: m.url, MessageBody: aws.String("c/1"), MessageGroupId: aws.String("c"), MessageDeduplicationId: aws.String("b/1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	m.want(10, "b/1") // the deduplication scope is the queue
}

// wantSame sends a duplicate of the first message and checks that it is ignored.
func (m queueClient) wantSame(first *sqs.SendMessageOutput, when string) {
	m.t.Helper()
	again := m.send("a/1")[0]
	if *again.MessageId != *first.MessageId || *again.SequenceNumber != *first.SequenceNumber {
		m.t.Errorf("%s: the response to a duplicate is %+v, want the response to the first message: %+v", when, again, first)
	}
	if s := m.State(); s.Visible+s.InFlight > 1 {
		m.t.Errorf("%s: the duplicate is in the queue: %+v", when, s)
	}
}

func TestMessageAttributes(t *testing.T) {
	clock := ecrclient.NewClock()
	m := serveQueue(t, sqslocal.Options{Now: clock.Now, Visibility: time.Minute})
	stamp := func() string { return fmt.Sprint(clock.Now().UnixMilli()) }
	sent, sequence := stamp(), *m.send("a/1")[0].SequenceNumber
	clock.Advance(1500 * time.Millisecond)
	first := stamp()
	m.want(10, "a/1")
	clock.Advance(time.Minute)
	want := map[string]string{
		"SentTimestamp": sent, "ApproximateFirstReceiveTimestamp": first, "ApproximateReceiveCount": "2", "SenderId": awslocal.DefaultRegistry,
		"MessageGroupId": "a", "MessageDeduplicationId": "a/1", "SequenceNumber": sequence,
	}
	if diff := cmp.Diff(want, m.want(10, "a/1")[0].Attributes); diff != "" || len(sequence) != 20 {
		t.Errorf("attributes, with the sequence number %s (-want +got):\n%s", sequence, diff)
	}
	for _, test := range []struct {
		names []types.MessageSystemAttributeName
		want  map[string]string
	}{
		{nil, nil},
		{[]types.MessageSystemAttributeName{"SentTimestamp", "MessageGroupId"}, map[string]string{"SentTimestamp": sent, "MessageGroupId": "a"}},
	} {
		clock.Advance(time.Minute)
		out, err := m.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: m.url, MessageSystemAttributeNames: test.names})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, out.Messages[0].Attributes); diff != "" {
			t.Errorf("of %v (-want +got):\n%s", test.names, diff)
		}
	}
}

func TestQueueAttributes(t *testing.T) {
	m := serveQueue(t, sqslocal.Options{Visibility: time.Minute})
	m.send("a/1", "a/2", "b/1")
	m.want(1, "a/1")
	for _, test := range []struct {
		name types.QueueAttributeName
		want map[string]string
	}{
		{"ApproximateNumberOfMessages", map[string]string{"ApproximateNumberOfMessages": "2"}},
		{"ApproximateNumberOfMessagesNotVisible", map[string]string{"ApproximateNumberOfMessagesNotVisible": "1"}},
		{"All", map[string]string{
			"ApproximateNumberOfMessages": "2", "ApproximateNumberOfMessagesNotVisible": "1", "ApproximateNumberOfMessagesDelayed": "0",
			"VisibilityTimeout": "60", "FifoQueue": "true", "ContentBasedDeduplication": "false", "DeduplicationScope": "queue",
		}},
	} {
		in := &sqs.GetQueueAttributesInput{QueueUrl: m.url, AttributeNames: []types.QueueAttributeName{test.name}}
		out, err := m.client.GetQueueAttributes(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, out.Attributes); diff != "" {
			t.Errorf("%s of the queue (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestQueueRetention(t *testing.T) {
	clock := ecrclient.NewClock()
	m := serveQueue(t, sqslocal.Options{Now: clock.Now, Visibility: 2 * time.Hour, Retention: 6 * time.Hour})
	m.send("a/1", "b/1")
	a := m.want(1, "a/1")[0]
	clock.Advance(time.Hour)
	m.send("c/1")
	if err := m.changeVisibility(a, 43200); err != nil {
		t.Fatal(err)
	}
	clock.Advance(5 * time.Hour)
	m.wantState(sqslocal.QueueState{Visible: 2, InFlight: 1})
	clock.Advance(time.Second)
	m.wantState(sqslocal.QueueState{Visible: 1}) // whether in flight or not
	m.mustDelete(a)
	m.want(10, "c/1")
}

// A waiting receiver gets messages that are sent in the meantime, that become visible again, or whose group is no longer
// blocked.
func TestReceiveWaitsForAMessage(t *testing.T) {
	for _, test := range []struct {
		name  string
		then  func(m queueClient, inFlight types.Message)
		want  string
		after time.Duration
	}{
		{"a new message", func(m queueClient, _ types.Message) { m.send("b/1") }, "b/1", time.Second},
		{"visibility timeout", func(queueClient, types.Message) {}, "a/1", 10 * time.Second},
		{"delete of the message in flight", func(m queueClient, inFlight types.Message) { m.mustDelete(inFlight) }, "a/2", time.Second},
		{"no message", func(m queueClient, inFlight types.Message) {
			if err := m.changeVisibility(inFlight, 60); err != nil {
				m.t.Error(err)
			}
		}, "", 20 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := serveQueue(t, sqslocal.Options{Visibility: 10 * time.Second})
				m.send("a/1", "a/2")
				inFlight := m.want(1, "a/1")[0]
				began := time.Now()
				var other sync.WaitGroup
				other.Go(func() {
					time.Sleep(time.Second)
					test.then(m, inFlight)
				})
				messages, got := m.receive(1, 20), ""
				if len(messages) > 0 {
					got = *messages[0].Body
				}
				if took := time.Since(began); got != test.want || took != test.after {
					t.Errorf("received %q after %v, want %q after %v", got, took, test.want, test.after)
				}
				other.Wait() // its call can end after the message is received
			})
		})
	}
}

func TestQueueRejectsInvalidMessages(t *testing.T) {
	m := serveQueue(t, sqslocal.Options{})
	for _, test := range []struct {
		name               string
		change             func(*sqs.SendMessageInput)
		code, message      string
		failsTheWholeBatch bool
	}{
		{"no group", func(in *sqs.SendMessageInput) { in.MessageGroupId = nil }, "MissingParameter", "MessageGroupId", true},
		{"no deduplication id", func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = nil }, "InvalidParameterValue", "MessageDeduplicationId", true},
		{"a group with a space", func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String("a b") },
			"InvalidParameterValue", "MessageGroupId can only", false},
		{"a long group", func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String(strings.Repeat("x", 129)) },
			"InvalidParameterValue", "128", false},
		{"a long deduplication id", func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = aws.String(strings.Repeat("x", 129)) },
			"InvalidParameterValue", "MessageDeduplicationId can only", false},
		{"a delay", func(in *sqs.SendMessageInput) { in.DelaySeconds = 5 }, "InvalidParameterValue", "not valid for this queue type", false},
		{"an empty body", func(in *sqs.SendMessageInput) { in.MessageBody = aws.String("") }, "MissingParameter", "MessageBody", false},
		{"a long body", func(in *sqs.SendMessageInput) { in.MessageBody = aws.String(strings.Repeat("x", 256<<10+1)) },
			"InvalidParameterValue", "262144", true}, // exceeds the maximum size of a batch
	} {
		t.Run(test.name, func(t *testing.T) {
			in := &sqs.SendMessageInput{
				QueueUrl: m.url, MessageBody: aws.String("x"), MessageGroupId: aws.String("a"), MessageDeduplicationId: aws.String("once"),
			}
			test.change(in)
			_, err := m.client.SendMessage(t.Context(), in)
			wantCode(t, err, test.code, test.message)
			out, err := m.client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: m.url, Entries: []types.SendMessageBatchRequestEntry{{
				Id: aws.String("1"), MessageBody: in.MessageBody, MessageGroupId: in.MessageGroupId, MessageDeduplicationId: in.MessageDeduplicationId,
				DelaySeconds: in.DelaySeconds,
			}}})
			switch {
			case test.failsTheWholeBatch:
				if ecrclient.FailureOf(err).Status != 400 {
					t.Errorf("the batch does not fail: %+v, %v", out, err)
				}
			case err != nil:
				t.Errorf("the batch fails: %v", err)
			case len(out.Failed) != 1 || *out.Failed[0].Code != test.code || !out.Failed[0].SenderFault:
				t.Errorf("the entry does not fail with %s: %+v", test.code, out)
			}
			m.wantState(sqslocal.QueueState{})
		})
	}
}

func TestQueueRejectsInvalidBatches(t *testing.T) {
	m := serveQueue(t, sqslocal.Options{})
	entry := func(id, body string) types.SendMessageBatchRequestEntry {
		return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body, MessageGroupId: aws.String("a"), MessageDeduplicationId: &id}
	}
	var eleven []types.SendMessageBatchRequestEntry
	for i := range 11 {
		eleven = append(eleven, entry(fmt.Sprint(i), "x"))
	}
	large := strings.Repeat("x", 200<<10)
	send := func(entries ...types.SendMessageBatchRequestEntry) (*sqs.SendMessageBatchOutput, error) {
		return m.client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: m.url, Entries: entries})
	}
	for want, entries := range map[string][]types.SendMessageBatchRequestEntry{
		"EmptyBatchRequest": {}, "TooManyEntriesInBatchRequest": eleven, "BatchEntryIdsNotDistinct": {entry("1", "x"), entry("1", "x")},
		"InvalidBatchEntryId": {entry("a b", "x")}, "BatchRequestTooLong": {entry("1", large), entry("2", large)},
	} {
		_, err := send(entries...)
		wantCode(t, err, want, "")
	}
	m.RefuseEntries(1)
	out, err := send(entry("1", "x"), entry("2", "y"))
	if err != nil || len(out.Successful) != 1 || len(out.Failed) != 1 || *out.Failed[0].Id != "1" || out.Failed[0].SenderFault {
		t.Errorf("with an entry refused: %+v, %v", out, err)
	}
	again := entry("3", "y") // has the deduplication id of an earlier message
	again.MessageDeduplicationId = aws.String("2")
	duplicate, err := send(again)
	if err != nil || len(duplicate.Successful) != 1 || *duplicate.Successful[0].MessageId != *out.Successful[0].MessageId {
		t.Errorf("a duplicate in a batch: %+v, %v", duplicate, err)
	}
	m.want(10, "y")
}

func TestQueueRejectsInvalidCalls(t *testing.T) {
	m := serveQueue(t, sqslocal.Options{})
	other := aws.String(*m.url + "x")
	_, err := m.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: other})
	wantCode(t, err, "QueueDoesNotExist", "")
	_, err = m.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: m.url, MaxNumberOfMessages: 11})
	wantCode(t, err, "InvalidParameterValue", "")
	wantCode(t, m.delete(types.Message{ReceiptHandle: aws.String("x")}), "ReceiptHandleIsInvalid", "")
	_, err = m.client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: m.url})
	wantCode(t, err, "UnknownOperationException", "")
	m.InjectFault(awslocal.Fault{Operation: "SendMessage", PerSecond: 0.001})
	m.send("a/1")
	_, err = m.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: m.url, MessageBody: aws.String("x")})
	wantCode(t, err, "RequestThrottled", "")
}

func TestQueueName(t *testing.T) {
	for name, ok := range map[string]bool{
		"visits.fifo": true, strings.Repeat("x", 75) + ".fifo": true,
		"visits": false, ".fifo": false, "a.b.fifo": false, "visits.fifo/": false, strings.Repeat("x", 76) + ".fifo": false,
	} {
		if _, err := sqslocal.New(name, sqslocal.Options{}); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestQueueRawRequests sends requests without the SDK and checks the raw responses.
func TestQueueRawRequests(t *testing.T) {
	service, err := sqslocal.New("visits.fifo", sqslocal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const signed = "AWS4-HMAC-SHA256 Credential=KEY/20261124/us-west-2/sqs/aws4_request, SignedHeaders=host, Signature=00"
	for _, test := range []struct {
		name, authorization, body string
		status                    int
		answer                    string
	}{
		{"unsigned", "", `{}`, 400, `{"__type":"com.amazonaws.sqs#MissingAuthenticationTokenException","message":"Missing Authentication Token"}`},
		{"signed for ECR", strings.Replace(signed, "/sqs/", "/ecr/", 1), `{}`, 400,
			`{"__type":"com.amazonaws.sqs#InvalidSignatureException","message":"Credential should be scoped to correct service: 'sqs'. "}`},
		{"another queue", signed, `{"QueueUrl":"http://x/123456789012/visits"}`, 400,
			`{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}`},
		{"an empty queue", signed, `{"QueueUrl":"http://x/123456789012/visits.fifo"}`, 200, `{}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(test.body))
			r.Header.Set("X-Amz-Target", "AmazonSQS.ReceiveMessage")
			r.Header.Set("Authorization", test.authorization)
			w := httptest.NewRecorder()
			service.ServeHTTP(w, r)
			if w.Code != test.status || w.Body.String() != test.answer || w.Header().Get("Content-Type") != "application/x-amz-json-1.0" {
				t.Errorf("got %d %v %s, want %d %s", w.Code, w.Header(), w.Body, test.status, test.answer)
			}
		})
	}
}
