package sqsqueue_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/internal/sqsqueue"
)

func start(t *testing.T) (*awslocal.SQS, *sqsqueue.Queue, func() []scan.Message) {
	service := awslocal.NewSQS("runs", awslocal.SQSOptions{})
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	cfg, url := setup.Loopback(server.URL), server.URL+"/"+awslocal.DefaultRegistry+"/runs"
	client := sqs.NewFromConfig(cfg)
	received := func() []scan.Message {
		var messages []scan.Message
		for service.State().Visible > 0 {
			out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range out.Messages {
				message, err := scan.ParseMessage([]byte(*m.Body))
				if err != nil {
					t.Fatal(err)
				}
				messages = append(messages, message)
			}
		}
		return messages
	}
	return service, sqsqueue.New(cfg, url), received
}

func messages(n int) []scan.Message {
	all := make([]scan.Message, n)
	for i := range all {
		all[i] = scan.Message{
			Config: uuid.NewString(), Chain: uuid.NewString(), Hop: i, Place: scan.Place{Token: fmt.Sprintf("t=/+%d", i)},
			Total: scan.Tally{Started: i, NotScannable: map[string]int{"image index": 1}, Failed: map[string]int{}},
		}
	}
	return all
}

func TestSend(t *testing.T) {
	service, queue, received := start(t)
	want := messages(23)
	if errs := queue.Send(t.Context(), want); errs != nil {
		t.Fatal(errs)
	}
	if diff := cmp.Diff(want, received()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if calls := service.Count().Calls["SendMessageBatch"]; calls != 3 {
		t.Errorf("%d calls for 23 messages", calls)
	}
	if errs := queue.Send(t.Context(), nil); errs != nil {
		t.Errorf("nothing to send: %v", errs)
	}
}

// Of a batch that SQS took in part, the rest is sent again.
func TestPartsAreSentAgain(t *testing.T) {
	service, queue, received := start(t)
	service.RefuseEntries(12)
	if errs := queue.Send(t.Context(), messages(10)); errs != nil {
		t.Errorf("refused twice at most: %v", errs)
	}
	if got := received(); len(got) != 10 {
		t.Errorf("%d received", len(got))
	}
	service.RefuseEntries(10 + 10 + 3)
	errs := queue.Send(t.Context(), messages(10))
	sent := received()
	if len(errs) != 10 || len(sent) != 7 {
		t.Fatalf("%v, %d received", errs, len(sent))
	}
	for i, err := range errs {
		if (scan.CodeOf(err) == scan.Unavailable) != (i < 3) {
			t.Errorf("message %d: %v", i, err)
		}
	}
}

func TestQueueIsDown(t *testing.T) {
	service, queue, received := start(t)
	undo := service.Disturb(awslocal.Fault{Status: 500, Calls: 3})
	errs := queue.Send(t.Context(), messages(11))
	if len(errs) != 11 || errs[0] == nil || errs[9] == nil || errs[10] != nil || len(received()) != 1 {
		t.Errorf("the first call failed for good: %v", errs)
	}
	undo()
	defer service.Disturb(awslocal.Fault{Hang: true})()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if errs := queue.Send(ctx, messages(1)); len(errs) != 1 || scan.CodeOf(errs[0]) != scan.Unavailable {
		t.Errorf("no answer: %v", errs)
	}
}
