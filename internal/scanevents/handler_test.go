package scanevents_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/scanevents"
	"ecr-continuous-scan/test/awstest"
)

type fixture struct {
	*awstest.AWS
	queue   *awstest.Queue
	handler *scanevents.Handler
	log     bytes.Buffer
}

// start has two configs: of an image that is due, and of a repository that is gone.
func start(t *testing.T) *fixture {
	f := &fixture{AWS: awstest.Start(t, awslocal.ECROptions{}), queue: awstest.StartQueue(t, awslocal.SQSOptions{})}
	log := slog.New(slog.NewJSONHandler(&f.log, nil))
	chains := f.Chains(f.queue, log)
	f.handler = &scanevents.Handler{Watch: chains.Watch, Chains: chains, Log: log}
	f.ECR.PutImage(awslocal.RepositoryID{Name: "app"}, awslocal.Image{Tags: []string{"1"}})
	for _, repo := range []string{"app", "gone"} {
		c, err := scan.NewConfig(scan.Config{Region: "us-west-2", Registry: "123456789012", Repository: repo}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := chains.Watch.Configs.Put(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// handle gives the answer as JSON.
func (f *fixture) handle(t *testing.T, event any) string {
	t.Helper()
	answer, err := f.handler.Handle(t.Context(), encode(t, event))
	if err != nil {
		t.Fatal(err)
	}
	return string(encode(t, answer))
}

func encode(t *testing.T, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// received is an event with everything in the queue, and with bodies that are none of ours.
func (f *fixture) received(t *testing.T, foreign ...string) events.SQSEvent {
	t.Helper()
	out, err := f.queue.Client().ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &f.queue.URL, MaxNumberOfMessages: 10})
	if err != nil {
		t.Fatal(err)
	}
	var e events.SQSEvent
	for i, body := range foreign {
		e.Records = append(e.Records, events.SQSMessage{EventSource: "aws:sqs", MessageId: fmt.Sprint("foreign", i), Body: body})
	}
	for _, m := range out.Messages {
		e.Records = append(e.Records, events.SQSMessage{EventSource: "aws:sqs", MessageId: *m.MessageId, Body: *m.Body})
	}
	return e
}

func TestWithoutAQueueTheScheduleDoesTheRun(t *testing.T) {
	f := start(t)
	f.handler.Chains = nil
	for _, event := range []any{map[string]any{"source": "aws.events"}, map[string]any{}, nil, "by hand", map[string]any{"Records": []any{}}} {
		var report scan.RunReport
		if err := json.Unmarshal([]byte(f.handle(t, event)), &report); err != nil || report.Configs != 2 || report.Started+report.InProgress != 1 {
			t.Errorf("%v: %+v, %v", event, report, err)
		}
	}
	if !strings.Contains(f.log.String(), `"ScansStarted":1`) || !strings.Contains(f.log.String(), `"_aws":`) {
		t.Errorf("no metrics in %s", f.log.String())
	}
	if _, err := f.handler.Handle(t.Context(), encode(t, f.received(t, "{}"))); err == nil {
		t.Error("a message: no error")
	}
}

func TestScheduleAndMessages(t *testing.T) {
	f := start(t)
	if got := f.handle(t, map[string]any{"source": "aws.events"}); got != `{"configs":2,"sent":2,"running":0,"notSent":0,"problems":[]}` {
		t.Errorf("schedule: %s", got)
	}
	event := f.received(t, "", "{", `{"config":"x"}`, strings.Repeat("[", 100_000))
	if got := f.handle(t, event); got != `{"batchItemFailures":[]}` {
		t.Errorf("messages: %s", got)
	}
	if images := f.ECR.Images(awslocal.RepositoryID{Name: "app"}); images[0].Starts != 1 {
		t.Errorf("%+v", images)
	}
	for _, want := range []string{`"ChainsStarted":2`, `"ScansStarted":1`, `"MessagesForeign":4`, `"ConfigsFailed":1`, `"msg":"scan run of a config"`, `"msg":"scan run of a config failed"`} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, f.log.String())
		}
	}
	if strings.Contains(f.log.String(), "[[[[") {
		t.Error("a foreign message stands in the log")
	}
	if got := f.handle(t, event); got != `{"batchItemFailures":[]}` || !strings.Contains(f.log.String(), `"MessagesStale":2`) {
		t.Errorf("delivered again: %s", got)
	}
}

// One message fails alone; when everything is down, all of ours do.
func TestFailuresAreToldByMessage(t *testing.T) {
	f := start(t)
	f.handle(t, nil)
	event := f.received(t, "{}")
	of := func(records ...events.SQSMessage) string {
		answer := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
		for _, r := range records {
			answer.BatchItemFailures = append(answer.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: r.MessageId})
		}
		return string(encode(t, answer))
	}
	f.S3.Disturb(awslocal.Fault{Status: 500})
	if diff := cmp.Diff(of(event.Records[1:]...), f.handle(t, event)); diff != "" {
		t.Errorf("S3 is down (-want +got):\n%s", diff)
	}
	f.S3.Calm()
	f.ECR.Disturb(awslocal.Fault{Resource: "app", Status: 500})
	got := f.handle(t, event)
	if got != of(event.Records[1]) && got != of(event.Records[2]) {
		t.Errorf("one repository can't be listed: %s", got)
	}
}

func TestRunsThatFailAsAWhole(t *testing.T) {
	f := start(t)
	f.S3.Disturb(awslocal.Fault{Status: 500})
	if _, err := f.handler.Handle(t.Context(), json.RawMessage("{}")); err == nil {
		t.Error("schedule: no error")
	}
	f.handler.Chains = nil
	if _, err := f.handler.Handle(t.Context(), json.RawMessage("{}")); err == nil {
		t.Error("run: no error")
	}
	if strings.Contains(f.log.String(), "_aws") {
		t.Error("metrics, though nothing is known")
	}
}
