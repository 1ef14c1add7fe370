package e2e

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/lambdaruntime"
	"ecr-continuous-scan/test/sqslocal"
)

// startScan is StartScanFunc with its queue.
type startScan struct {
	t *testing.T
	*lambdaruntime.Function
	queue *awstest.Queue
	at    time.Time // time of the next schedule
	read  int       // number of bytes of the log that logged has read
}

// withQueue returns the environment of a function that also uses a queue.
func withQueue(a *awstest.AWS, q *awstest.Queue) map[string]string {
	settings := environment(a)
	settings["ECR_SCAN_QUEUE_URL"], settings["AWS_ENDPOINT_URL_SQS"] = q.URL, q.Endpoint
	return settings
}

func newStartScan(t *testing.T, queue *awstest.Queue, settings map[string]string) *startScan {
	return &startScan{t: t, Function: lambdaruntime.Start(t, lambdaruntime.Build(t, "startscan"), settings), queue: queue, at: time.Now()}
}

// schedule invokes the function for a schedule, half an hour after the last one.
func (s *startScan) schedule() (report rescan.ScheduleReport, err error) {
	s.t.Helper()
	event := lambdaruntime.ScheduleEvent()
	event.Time, s.at = s.at, s.at.Add(30*time.Minute)
	payload, err := s.Invoke(s.t.Context(), event, time.Minute)
	if err != nil {
		return report, err
	}
	if err := json.Unmarshal(payload, &report); err != nil {
		s.t.Fatalf("%v in %s", err, payload)
	}
	return report, nil
}

// visit is the log entry of one visit.
type visit struct {
	Message, Region, Repository string
	Outcome                     rescan.Outcome
	Code                        scan.Code
	Reason                      string
	Configs                     int
	Tally                       rescan.Tally
}

// visitAll invokes the function for each message in the queue and returns the logged visits. timeout is the time limit of one visit.
func (s *startScan) visitAll(timeout time.Duration) []visit {
	s.t.Helper()
	client := s.queue.Client()
	for {
		out, err := client.ReceiveMessage(s.t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &s.queue.URL, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err != nil {
			s.t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return s.logged()
		}
		if payload, err := s.Invoke(s.t.Context(), lambdaruntime.SQSEvent(out.Messages), timeout); err != nil || string(payload) != "{}" {
			s.t.Fatalf("a message: %s, %v", payload, err)
		}
		if _, err := client.DeleteMessage(s.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &s.queue.URL, ReceiptHandle: out.Messages[0].ReceiptHandle}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// logged returns the visits that were logged since the last call. It checks that each line is JSON, except the error lines of the Lambda
// runtime.
func (s *startScan) logged() []visit {
	s.t.Helper()
	logs := s.Logs()
	var visits []visit
	for line := range strings.Lines(logs[s.read:]) {
		var v visit
		if strings.Contains(line, ` {"errorMessage":`) {
			continue
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			s.t.Errorf("a log line that is not JSON: %v in %s", err, line)
		}
		if v.Outcome != "" {
			visits = append(visits, v)
		}
	}
	s.read = len(logs)
	return visits
}

// tally returns the sums of the visits' counts.
func tally(visits []visit) (sum rescan.Tally) {
	sum.NotScannable = map[string]int{}
	for _, v := range visits {
		sum.Images += v.Tally.Images
		sum.Started += v.Tally.Started
		sum.Recent += v.Tally.Recent
		sum.Artifacts += v.Tally.Artifacts
		for reason, n := range v.Tally.NotScannable {
			sum.NotScannable[reason] += n
		}
	}
	return sum
}

func failed(visits []visit) []visit {
	return slices.DeleteFunc(slices.Clone(visits), func(v visit) bool { return v.Outcome != rescan.VisitFailed })
}

func TestStartScan(t *testing.T) {
	a := walkthrough(t)
	service := a.Service(awstest.Silent())
	for _, repo := range []string{"amazonlinux", "test/centos", "test/ubuntu", "test/gone", "test/hardcases"} {
		service.AddConfig(t, repo)
	}
	q := awstest.StartQueue(t, sqslocal.Options{})
	s := newStartScan(t, q, withQueue(a, q))
	run := func() []visit {
		t.Helper()
		report, err := s.schedule()
		if err != nil || report.Configs != 5 || report.Sent != 5 || report.NotSent+report.Waiting+len(report.Problems) != 0 {
			t.Fatalf("schedule: %+v, %v", report, err)
		}
		visits := s.visitAll(time.Minute)
		if failures := failed(visits); len(visits) != 5 || len(failures) != 1 || failures[0].Repository != "test/gone" || failures[0].Reason != "repository not found" || failures[0].Configs != 1 {
			t.Fatalf("%d visits, failed: %+v", len(visits), failures)
		}
		return visits
	}
	first := tally(run())
	if first.Started < 6 || first.NotScannable["image index"] != 0 || first.NotScannable["archived"] != 1 || first.Artifacts == 0 {
		t.Errorf("first visits: %+v", first)
	}
	second := tally(run())
	if second.Started >= first.Started || second.Recent == 0 {
		t.Errorf("second visits: %+v", second)
	}
	if got := a.ECR.Count().Errors["StartImageScan"]["LimitExceededException"]; got > 2*first.Images {
		t.Errorf("%d starts were refused", got)
	}
	for _, line := range []string{`"message":"visit failed`, `"message":"visit"`, `"message":"schedule"`, `"requestId":`} {
		if !strings.Contains(s.Logs(), line) {
			t.Errorf("no %s in the log:\n%s", line, s.Logs())
		}
	}
	// CloudWatch charges for each metric that has data, so there is none until an alarm needs it.
	if strings.Contains(s.Logs(), `"_aws":`) {
		t.Errorf("a metric is written although all is well:\n%s", s.Logs())
	}
	a.ECR.InjectFault(awslocal.Fault{Operation: "DescribeImages", Code: "AccessDeniedException"})
	if _, err := s.schedule(); err != nil {
		t.Fatal(err)
	}
	s.visitAll(time.Minute)
	if !strings.Contains(s.Logs(), `"VisitsFailed":1`) || !strings.Contains(s.Logs(), `"_aws":`) {
		t.Errorf("no metric for failed visits:\n%s", s.Logs())
	}
}

// The function fails only if a schedule fails and sends no message. A failed visit is logged, and its message is not delivered again.
func TestStartScanErrors(t *testing.T) {
	a := walkthrough(t)
	q := awstest.StartQueue(t, sqslocal.Options{})
	s := newStartScan(t, q, withQueue(a, q))
	if report, err := s.schedule(); err != nil || report.Sent != 0 {
		t.Errorf("no configs: %+v, %v", report, err)
	}
	a.Service(awstest.Silent()).AddConfig(t, "test/gone")
	if _, err := s.schedule(); err != nil {
		t.Fatal(err)
	}
	if visits := s.visitAll(time.Minute); len(visits) != 1 || visits[0].Code != scan.RepositoryNotFound {
		t.Errorf("a repository that does not exist: %+v", visits)
	}
	if _, err := s.schedule(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		traffic *awslocal.Traffic
		message string
	}{
		{"S3 is unavailable", a.S3.Traffic, "could not read the configs"},
		{"the queue is unavailable", s.queue.SQS.Traffic, "could not read the number of waiting messages"},
	}
	for _, test := range tests {
		undo := test.traffic.InjectFault(awslocal.Fault{Status: 500})
		_, err := s.schedule()
		if failure, ok := errors.AsType[*lambdaruntime.Error](err); !ok || !strings.Contains(failure.Message, test.message) {
			t.Errorf("%s: %v", test.name, err)
		}
		undo()
	}
	a.S3.InjectFault(awslocal.Fault{Status: 500})
	if visits := s.visitAll(time.Minute); len(visits) != 1 || visits[0].Outcome != rescan.VisitFailed || visits[0].Code != scan.Unavailable {
		t.Errorf("a visit while S3 is unavailable: %+v", visits)
	}
}

// A Region that does not respond delays only the visits of its own repositories. The function returns before Lambda's timeout.
func TestStartScanReturnsBeforeTheTimeout(t *testing.T) {
	a := walkthrough(t)
	service := a.Service(awstest.Silent())
	service.AddConfig(t, "test/ubuntu")
	other, err := scan.NewConfig(scan.Config{Region: "eu-west-1", Registry: "123456789012", Repository: "test/ubuntu"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Configs.Put(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	a.ECR.InjectFault(awslocal.Fault{Region: "eu-west-1", Hang: true})
	q := awstest.StartQueue(t, sqslocal.Options{})
	s := newStartScan(t, q, withQueue(a, q))
	if report, err := s.schedule(); err != nil || report.Sent != 2 {
		t.Fatalf("schedule: %+v, %v", report, err)
	}
	visits := s.visitAll(4 * time.Second)
	failures := failed(visits)
	if len(visits) != 2 || tally(visits).Started != 2 || len(failures) != 1 || failures[0].Region != "eu-west-1" || failures[0].Code != scan.Unavailable {
		t.Errorf("visits: %+v", visits)
	}
}
