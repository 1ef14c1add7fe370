package sqsqueue_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/internal/sqsqueue"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/sqslocal"
)

func start(t *testing.T) (*awstest.Queue, *sqsqueue.Queue) {
	t.Helper()
	service := awstest.StartQueue(t, sqslocal.Options{})
	return service, sqsqueue.New(awstest.Config(service.Endpoint), service.URL)
}

// received returns all messages of the queue, sorted by repository. It checks their groups.
func received(t *testing.T, service *awstest.Queue) []rescan.Sending {
	t.Helper()
	client := service.Client()
	var all []rescan.Sending
	for {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &service.URL, MaxNumberOfMessages: 10, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			message, err := rescan.ParseMessage([]byte(*m.Body))
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Attributes["MessageGroupId"]; got != message.Group() {
				t.Errorf("%s is in the group %s, want %s", message.Repository, got, message.Group())
			}
			all = append(all, rescan.Sending{Message: message, Once: m.Attributes["MessageDeduplicationId"]})
		}
	}
	slices.SortFunc(all, func(a, b rescan.Sending) int { return strings.Compare(a.Repository, b.Repository) })
	return all
}

// sendings returns messages for n repositories, sorted by name. The deduplication ids begin with prefix.
func sendings(prefix string, n int) []rescan.Sending {
	all := make([]rescan.Sending, n)
	for i := range all {
		all[i] = rescan.Sending{Once: fmt.Sprint(prefix, i), Message: rescan.Message{
			Registry: "123456789012", Region: "us-west-2", Repository: fmt.Sprintf("test/%04d", i),
			Configs: []string{"019aa000-0000-7000-8000-000000000001"}, Continues: i % 7,
		}}
	}
	return all
}

// withConfigs adds config ids to a message until it has about the given number of bytes.
func withConfigs(s rescan.Sending, bytes int) rescan.Sending {
	s.Configs = slices.Repeat(s.Configs, bytes/39)
	return s
}

func TestSend(t *testing.T) {
	large := sendings("large", 5)
	for i := range large {
		large[i] = withConfigs(large[i], 100<<10)
	}
	tests := []struct {
		name  string
		s     []rescan.Sending
		calls int
	}{
		{"none", nil, 0},
		{"one", sendings("", 1), 1},
		{"more than a batch", sendings("", 23), 3},
		{"more bytes than the limit of a batch", large, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			service, queue := start(t)
			if errs := queue.Send(t.Context(), test.s); errs != nil {
				t.Fatal(errs)
			}
			if diff := cmp.Diff(test.s, received(t, service)); diff != "" {
				t.Errorf("received (-want +got):\n%s", diff)
			}
			if calls := service.SQS.Count().Calls["SendMessageBatch"]; calls != test.calls {
				t.Errorf("%d calls, want %d", calls, test.calls)
			}
		})
	}
}

// A message that is too long gets an error, and the others are sent.
func TestSendWithATooLongMessage(t *testing.T) {
	service, queue := start(t)
	s := sendings("", 12)
	s[3] = withConfigs(s[3], 300<<10)
	errs := queue.Send(t.Context(), s)
	for i, err := range errs {
		if (err != nil) != (i == 3) {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if len(errs) != 12 || scan.CodeOf(errs[3]) != scan.Internal || !strings.Contains(errs[3].Error(), "test/0003") {
		t.Errorf("errors %v, want one for test/0003", errs)
	}
	if got := received(t, service); len(got) != 11 {
		t.Errorf("%d received, want the other 11", len(got))
	}
	if refused := service.SQS.Count().Errors; len(refused) > 0 {
		t.Errorf("SQS refused %v", refused)
	}
}

// SQS drops a second message with the same deduplication id, and Send returns no error for it.
func TestSendOfTheSameDeduplicationIDs(t *testing.T) {
	service, queue := start(t)
	for range 2 {
		if errs := queue.Send(t.Context(), sendings("", 3)); errs != nil {
			t.Fatal(errs)
		}
	}
	if diff := cmp.Diff(sendings("", 3), received(t, service)); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
}

// Send makes at most eight calls concurrently.
func TestSendLimitsConcurrentCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service, err := sqslocal.New("visits.fifo", sqslocal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		service.InjectFault(awslocal.Fault{Operation: "SendMessageBatch", Delay: time.Second})
		cfg := setup.Loopback("http://sqs.example")
		cfg.HTTPClient = &http.Client{Transport: awslocal.Transport{Handler: service}}
		began := time.Now()
		if errs := sqsqueue.New(cfg, "http://sqs.example/"+awslocal.DefaultRegistry+"/visits.fifo").Send(t.Context(), sendings("", 300)); errs != nil {
			t.Fatal(errs)
		}
		if atOnce, took := service.Count().MaxInFlight, time.Since(began); atOnce != 8 || took != 4*time.Second {
			t.Errorf("%d batches at once and %v for 30, want 8 and 4s", atOnce, took)
		}
	})
}

// An outage of SQS of two seconds loses no message, whether the calls or only the entries of a batch are refused.
func TestOutageOfTwoSeconds(t *testing.T) {
	for name, begin := range map[string]func(*sqslocal.SQS){
		"500":     func(s *sqslocal.SQS) { s.InjectFault(awslocal.Fault{Status: 500}) },
		"dropped": func(s *sqslocal.SQS) { s.InjectFault(awslocal.Fault{Drop: true}) },
		"entries": func(s *sqslocal.SQS) { s.RefuseEntries(1 << 20) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service, err := sqslocal.New("visits.fifo", sqslocal.Options{})
				if err != nil {
					t.Fatal(err)
				}
				cfg := setup.Loopback("http://sqs.example")
				cfg.HTTPClient = &http.Client{Transport: awslocal.Transport{Handler: service}}
				queue := sqsqueue.New(cfg, "http://sqs.example/"+awslocal.DefaultRegistry+"/visits.fifo")
				begin(service)
				time.AfterFunc(2*time.Second, func() {
					service.ClearFaults()
					service.RefuseEntries(0)
				})
				if errs := queue.Send(t.Context(), sendings("", 12)); errs != nil {
					t.Error(errs)
				}
				if waiting, err := queue.Waiting(t.Context()); err != nil || waiting != 12 {
					t.Errorf("%d messages wait, %v", waiting, err)
				}
			})
		})
	}
}

// If SQS refuses some entries of a batch, Send retries only these entries, at most five times.
func TestSendRetriesRefusedEntries(t *testing.T) {
	service, queue := start(t)
	service.SQS.RefuseEntries(12)
	if errs := queue.Send(t.Context(), sendings("first", 10)); errs != nil {
		t.Errorf("entries that are refused twice: %v", errs)
	}
	if got := received(t, service); len(got) != 10 {
		t.Errorf("%d received, want 10", len(got))
	}
	service, queue = start(t)
	service.SQS.RefuseEntries(5*10 + 3)
	errs := queue.Send(t.Context(), sendings("second", 10))
	if got := received(t, service); len(errs) != 10 || len(got) != 7 {
		t.Fatalf("%v, %d received, want 7", errs, len(got))
	}
	for i, err := range errs {
		if (scan.CodeOf(err) == scan.Unavailable) != (i < 3) {
			t.Errorf("message %d: %v", i, err)
		}
	}
}

// Send does not retry an entry if SQS reports a fault of the sender.
func TestSendDoesNotRetryInvalidEntries(t *testing.T) {
	service, queue := start(t)
	s := sendings("", 2)
	s[1].Once = "with a space"
	errs := queue.Send(t.Context(), s)
	if len(errs) != 2 || errs[0] != nil || scan.CodeOf(errs[1]) != scan.Unavailable {
		t.Errorf("errors %v, want one for the second", errs)
	}
	if calls := service.SQS.Count().Calls["SendMessageBatch"]; calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
}

func TestSendToAnUnavailableQueue(t *testing.T) {
	service, queue := start(t)
	undo := service.SQS.InjectFault(awslocal.Fault{Status: 500})
	for i, err := range queue.Send(t.Context(), sendings("", 11)) {
		if scan.CodeOf(err) != scan.Unavailable {
			t.Errorf("message %d: %v", i, err)
		}
	}
	undo()
	defer service.SQS.InjectFault(awslocal.Fault{Hang: true})()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if errs := queue.Send(ctx, sendings("", 1)); len(errs) != 1 || scan.CodeOf(errs[0]) != scan.Unavailable {
		t.Errorf("no response: %v", errs)
	}
}

func TestWaiting(t *testing.T) {
	service, queue := start(t)
	want := func(want int) {
		t.Helper()
		if got, err := queue.Waiting(t.Context()); got != want || err != nil {
			t.Errorf("%d messages wait (%v), want %d", got, err, want)
		}
	}
	want(0)
	if errs := queue.Send(t.Context(), sendings("", 15)); errs != nil {
		t.Fatal(errs)
	}
	want(15)
	if _, err := service.Client().ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &service.URL}); err != nil {
		t.Fatal(err)
	}
	want(14)
	service.SQS.InjectFault(awslocal.Fault{Status: 500})
	if _, err := queue.Waiting(t.Context()); scan.CodeOf(err) != scan.Unavailable {
		t.Errorf("from an unavailable queue: %v", err)
	}
}
