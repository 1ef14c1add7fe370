package scanevents_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/scanevents"
	"ecr-continuous-scan/test/awstest"
)

// sentMessages is a queue that records the sent messages with their deduplication ids. It implements [rescan.Queue].
type sentMessages []rescan.Sending

func (s *sentMessages) Send(_ context.Context, sendings []rescan.Sending) []error {
	*s = append(*s, sendings...)
	return nil
}

func (s *sentMessages) Waiting(context.Context) (int, error) { return 0, nil }

type fixture struct {
	*awstest.AWS
	*awstest.Service
	handler *scanevents.Handler
	sent    *sentMessages
	log     bytes.Buffer
}

// start adds two configs: one of a repository with an image that is due, and one of a repository that does not exist.
func start(t *testing.T) *fixture {
	f := &fixture{AWS: awstest.Start(t, ecr.Options{}), sent: &sentMessages{}}
	log := slog.New(slog.NewJSONHandler(&f.log, &slog.HandlerOptions{ReplaceAttr: asInLambda}))
	f.Service = f.AWS.Service(log)
	f.Visitor.Queue = f.sent
	f.handler = &scanevents.Handler{Visitor: f.Visitor, Metrics: scanevents.Metrics{Log: log, Function: "fn", Now: f.AWS.Now}, Log: log}
	f.ECR.PutImage(ecr.RepositoryID{Name: "app"}, ecr.Image{Tags: []string{"1"}})
	for _, repository := range []string{"app", "gone"} {
		f.AddConfig(t, repository)
	}
	return f
}

// handle returns the response in JSON.
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

// event returns the event of SQS for messages with these bodies, sent at the given time.
func event(at time.Time, bodies ...string) events.SQSEvent {
	var e events.SQSEvent
	for _, body := range bodies {
		e.Records = append(e.Records, events.SQSMessage{
			EventSource: "aws:sqs", MessageId: uuid.NewString(), Body: body, Attributes: map[string]string{"SentTimestamp": strconv.FormatInt(at.UnixMilli(), 10)},
		})
	}
	return e
}

// bodies returns the bodies of the messages that a schedule sends, by repository.
func (f *fixture) bodies(t *testing.T) map[string]string {
	t.Helper()
	*f.sent = nil
	f.handle(t, nil)
	bodies := make(map[string]string)
	for _, s := range *f.sent {
		bodies[s.Repository] = string(encode(t, s.Message))
	}
	return bodies
}

// asInLambda gives the time and the text of a log line the keys of Lambda's JSON format.
func asInLambda(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) == 0 && a.Key == slog.TimeKey:
		a.Key = "timestamp"
	case len(groups) == 0 && a.Key == slog.MessageKey:
		a.Key = "message"
	}
	return a
}

// checkLog checks that the log contains each of these texts and no key twice in a line, and then clears the log.
func (f *fixture) checkLog(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(f.log.String(), text) {
			t.Errorf("no %s in the log:\n%s", text, f.log.String())
		}
	}
	for line := range strings.Lines(f.log.String()) {
		if !jsontext.Value(line).IsValid() { // also if a key occurs twice
			t.Errorf("invalid JSON: %s", line)
		}
	}
	f.log.Reset()
}

func (f *fixture) starts(t *testing.T) int {
	t.Helper()
	return f.ECR.Images(ecr.RepositoryID{Name: "app"})[0].ScansStarted
}

// Every event that does not come from SQS starts a schedule.
func TestSchedule(t *testing.T) {
	f := start(t)
	for name, e := range map[string]any{
		"EventBridge": map[string]any{"source": "aws.events", "time": "2026-11-28T12:00:00Z"}, "an empty object": map[string]any{}, "null": nil, "a text": "by hand",
		"no records": map[string]any{"Records": []any{}}, "records of another service": map[string]any{"Records": []any{map[string]any{"eventSource": "aws:s3"}}},
	} {
		*f.sent = nil
		if got := f.handle(t, e); got != `{"configs":2,"repositories":2,"waiting":0,"sent":2,"notSent":0,"notListed":0,"problems":[]}` {
			t.Errorf("%s: %s", name, got)
		}
		if len(*f.sent) != 2 {
			t.Errorf("%s: sent %+v", name, *f.sent)
		}
		f.checkLog(t, `"configs":2,"repositories":2,"waiting":0,"sent":2,"notSent":0`)
	}
	if n := f.starts(t); n != 0 {
		t.Errorf("a schedule started %d scans", n)
	}
}

// EventBridge may deliver an event twice, and SQS drops the messages of the second delivery. The messages of a manual invocation are never
// dropped. Different repositories and different events have different ids.
func TestDeduplicationIDs(t *testing.T) {
	f := start(t)
	ids := func(e any) []string {
		*f.sent = nil
		f.handle(t, e)
		var ids []string
		for _, s := range *f.sent {
			if s.Once == "" || len(s.Once) > 128 || strings.ContainsAny(s.Once, " \t\n") {
				t.Errorf("%q is not a valid deduplication id", s.Once)
			}
			ids = append(ids, s.Once)
		}
		return ids
	}
	noon := map[string]any{"source": "aws.events", "id": "a", "time": "2026-11-28T12:00:00Z"}
	first := ids(noon)
	noon["id"] = "b"
	if again := ids(noon); !slices.Equal(first, again) {
		t.Errorf("the same event twice: %q and %q", first, again)
	}
	all := slices.Concat(first, ids(map[string]any{"source": "aws.events", "time": "2026-11-28T12:30:00Z"}), ids(nil), ids(nil), ids(map[string]any{}))
	slices.Sort(all)
	if distinct := slices.Compact(slices.Clone(all)); len(distinct) != len(all) {
		t.Errorf("the same id twice in %q", all)
	}
}

func TestMessages(t *testing.T) {
	f := start(t)
	bodies := f.bodies(t)
	f.log.Reset()
	if got := f.handle(t, event(f.AWS.Now(), bodies["app"])); got != "{}" {
		t.Errorf("a message: %s", got)
	}
	if n := f.starts(t); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
	f.checkLog(t, `"outcome":"ended"`, `"started":1`, `"findings":{}`)

	// A failed visit returns no error, so that SQS does not deliver its message again.
	if got := f.handle(t, event(f.AWS.Now(), bodies["gone"])); got != "{}" {
		t.Errorf("a visit that fails: %s", got)
	}
	f.checkLog(t, `"outcome":"failed"`, `"code":"repository not found"`)
	f.ECR.InjectFault(awslocal.Fault{Operation: "DescribeImages", Status: 500})
	if got := f.handle(t, event(f.AWS.Now(), bodies["app"])); got != "{}" {
		t.Errorf("while ECR is unavailable: %s", got)
	}
	f.checkLog(t, `"VisitsFailed":1`, `"FunctionName":"fn"`)
}

// A message with a schedule requests the visits of one config, also if the registry can't be listed.
func TestMessageWithASchedule(t *testing.T) {
	f := start(t)
	const id = "019aa000-0000-7000-8000-000000000001"
	f.Visitor.Configs = onlyConfig{f.Visitor.Configs, scan.Config{ID: id, Region: "us-west-2", Registry: "123456789012", Repository: "a*"}}
	schedule := string(encode(t, rescan.Message{Schedule: id}))
	if got := f.handle(t, event(f.AWS.Now(), schedule)); got != "{}" || len(*f.sent) != 1 || (*f.sent)[0].Repository != "app" || (*f.sent)[0].Configs[0] != id {
		t.Errorf("%s, sent %+v", got, *f.sent)
	}
	f.checkLog(t, `"message":"schedule","configs":1,"repositories":1`)
	f.ECR.InjectFault(ecr.Deny("DescribeRepositories", ecr.RepositoryID{}))
	f.handle(t, event(f.AWS.Now(), schedule))
	f.checkLog(t, `"message":"could not list the repositories of a registry`, `"VisitsFailed":1`)
	f.handle(t, event(f.AWS.Now(), strings.Replace(schedule, "0001", "0002", 1))) // deleted
	if len(*f.sent) != 1 {
		t.Errorf("sent %+v", *f.sent)
	}
}

// onlyConfig is a store with one more config.
type onlyConfig struct {
	rescan.StoredConfigs
	config scan.Config
}

func (o onlyConfig) Stored(ctx context.Context, id string, since time.Time) (scan.Config, error) {
	if id == o.config.ID {
		return o.config, nil
	}
	return o.StoredConfigs.Stored(ctx, id, since)
}

// A message that is invalid, or whose visit fails, does not affect the other messages of the event.
func TestEventWithSeveralMessages(t *testing.T) {
	f := start(t)
	bodies := f.bodies(t)
	f.handle(t, event(f.AWS.Now(), "{", bodies["gone"], bodies["app"]))
	if n := f.starts(t); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
	f.checkLog(t, `"message":"dropped an invalid queue message"`, `"outcome":"failed"`, `"outcome":"ended"`)
}

// A message that was sent before the last visit began is dropped. A later message, or one without a time, is not.
func TestStaleMessages(t *testing.T) {
	f := start(t)
	body := f.bodies(t)["app"]
	sent := f.AWS.Now()
	f.AWS.Advance(time.Minute)
	f.handle(t, event(f.AWS.Now(), body))
	f.checkLog(t, `"outcome":"ended"`)
	f.handle(t, event(sent, body))
	f.checkLog(t, `"outcome":"dropped"`)
	f.handle(t, event(f.AWS.Now().Add(time.Second), body))
	f.checkLog(t, `"outcome":"ended"`)
	untimed := event(f.AWS.Now(), body)
	untimed.Records[0].Attributes = nil
	f.handle(t, untimed)
	f.checkLog(t, `"outcome":"ended"`)
}

// Messages of earlier versions and invalid messages are dropped and counted, and a warning is logged. The log never contains their bodies.
func TestInvalidMessages(t *testing.T) {
	const id = "0199d7e2-58b5-7b43-95a5-0d6e1ab2a0f1"
	valid := `{"registry":"123456789012","region":"us-west-2","repository":"app","configs":["` + id + `"]`
	for name, body := range map[string]string{
		"of the previous version":   `{"config":{"id":"` + id + `","region":"us-west-2","registry":"123456789012","repository":"app"},"chain":"` + id + `","page":"x"}`,
		"of both versions":          valid + `,"chain":"` + id + `"}`,
		"empty":                     "",
		"half":                      valid,
		"deep":                      strings.Repeat("[", 100_000),
		"a list":                    "[" + valid + "}]",
		"a Region that is a host":   strings.Replace(valid, "us-west-2", "evil.example/#", 1) + "}",
		"a registry of 3 digits":    strings.Replace(valid, "123456789012", "123", 1) + "}",
		"an id that is a path":      strings.Replace(valid, id, "../x", 1) + "}",
		"too many continuations":    valid + `,"continues":101}`,
		"continuations below zero":  valid + `,"continues":-1}`,
		"a repository in uppercase": strings.Replace(valid, "app", "APP", 1) + "}",
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			f.ECR.ResetCount()
			f.S3.ResetCount()
			if got := f.handle(t, event(f.AWS.Now(), body)); got != "{}" {
				t.Errorf("answer %s", got)
			}
			if n := f.ECR.Count().Total() + f.S3.Count().Total(); n != 0 {
				t.Errorf("%d calls to AWS", n)
			}
			if strings.Contains(f.log.String(), "[[[[") || strings.Contains(f.log.String(), `"outcome"`) {
				t.Errorf("log: %.2000s", f.log.String())
			}
			f.checkLog(t, `"level":"WARN"`, `"message":"dropped an invalid queue message"`)
		})
	}
}

// The message that continues a visit has the id of the visit's message as its deduplication id. If SQS delivers a message twice, it is
// continued only once.
func TestContinuation(t *testing.T) {
	f := start(t)
	for _, tag := range []string{"2", "3"} {
		f.ECR.PutImage(ecr.RepositoryID{Name: "app"}, ecr.Image{Tags: []string{tag}})
	}
	e := event(f.AWS.Now(), f.bodies(t)["app"])
	*f.sent = nil
	f.log.Reset()
	f.ECR.InjectFault(awslocal.Fault{Operation: "DescribeImageScanFindings", Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := f.handler.Handle(ctx, encode(t, e)); err != nil {
		t.Fatal(err)
	}
	if len(*f.sent) != 1 {
		t.Fatalf("sent %+v\n%s", *f.sent, f.log.String())
	}
	next := (*f.sent)[0]
	if next.Once != e.Records[0].MessageId || next.Continues != 1 || next.Repository != "app" || len(next.Configs) != 1 {
		t.Errorf("continued by %+v, want the id %s", next, e.Records[0].MessageId)
	}
	if strings.Contains(f.log.String(), `"findings"`) || strings.Contains(f.log.String(), scanevents.OldestScanAge) {
		t.Errorf("an incomplete visit logged the findings of all images: %s", f.log.String())
	}
	f.checkLog(t, `"outcome":"continued"`)
}

// If the configs can't be read, no metrics are written, because zeros would be wrong.
func TestScheduleThatCantReadConfigs(t *testing.T) {
	f := start(t)
	f.S3.InjectFault(awslocal.Fault{Status: 500})
	if _, err := f.handler.Handle(t.Context(), json.RawMessage("{}")); err == nil {
		t.Error("no error")
	}
	if strings.Contains(f.log.String(), "_aws") || len(*f.sent) != 0 {
		t.Errorf("the schedule wrote metrics or sent messages: %s", f.log.String())
	}
}

// The response of a schedule lists the messages that could not be sent, for users who invoke the function manually.
func TestScheduleThatSendsSomeMessages(t *testing.T) {
	f := start(t)
	f.Visitor.Queue = refusingQueue{"gone"}
	var report rescan.ScheduleReport
	if err := json.Unmarshal([]byte(f.handle(t, nil)), &report); err != nil {
		t.Fatal(err)
	}
	want := rescan.ScheduleReport{
		Configs: 2, Repositories: 2, Sent: 1, NotSent: 1,
		Problems: []rescan.ScheduleProblem{{Registry: "123456789012", Region: "us-west-2", Repository: "gone", Error: "refused by the queue"}},
	}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f.checkLog(t, `"sent":1,"notSent":1`, `"VisitsNotSent":1`)
}

// refusingQueue is a queue that returns an error for the messages of one repository.
type refusingQueue struct{ repository string }

func (r refusingQueue) Send(_ context.Context, sendings []rescan.Sending) []error {
	errs := make([]error, len(sendings))
	for i, s := range sendings {
		if s.Repository == r.repository {
			errs[i] = &scan.Error{Code: scan.Unavailable, Message: "refused by the queue"}
		}
	}
	return errs
}

func (refusingQueue) Waiting(context.Context) (int, error) { return 0, nil }
