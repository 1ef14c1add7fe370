package scanevents

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

var at = time.Unix(1_000_000, 0)

// written returns the log lines that write causes, without their times.
func written(write func(Metrics)) string {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	write(Metrics{Log: log, Function: "fn", Now: func() time.Time { return at }})
	return out.String()
}

// line returns a log line of metrics. dimensions is "" or one further dimension, such as Reason=archived. A metric is its name, value
// and unit; the default unit is Count.
func line(message, dimensions string, metrics ...string) string {
	var values, definitions []string
	for _, metric := range metrics {
		name, value, _ := strings.Cut(metric, " ")
		value, unit, given := strings.Cut(value, " ")
		if !given {
			unit = "Count"
		}
		values = append(values, `"`+name+`":`+value)
		definitions = append(definitions, `{"Name":"`+name+`","Unit":"`+unit+`"}`)
	}
	names := `"FunctionName"`
	if name, value, given := strings.Cut(dimensions, "="); given {
		names += `,"` + name + `"`
		values = append([]string{`"` + name + `":"` + value + `"`}, values...)
	}
	return `{"level":"INFO","msg":"` + message + `","FunctionName":"fn",` + strings.Join(values, ",") +
		`,"_aws":{"Timestamp":1000000000,"CloudWatchMetrics":[{"Namespace":"ECRContinuousScan","Dimensions":[[` + names + `]],"Metrics":[` + strings.Join(definitions, ",") + `]}]}}` + "\n"
}

// The test compares the exact bytes that CloudWatch reads.
func TestEmbeddedMetricFormat(t *testing.T) {
	got := written(func(m Metrics) { m.NotSent(t.Context()) })
	want := `{"level":"INFO","msg":"metrics of a request","FunctionName":"fn","VisitsNotSent":1,` +
		`"_aws":{"Timestamp":1000000000,"CloudWatchMetrics":[{"Namespace":"ECRContinuousScan","Dimensions":[["FunctionName"]],"Metrics":[{"Name":"VisitsNotSent","Unit":"Count"}]}]}}` + "\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// metricsOfVisit returns the log line of a visit. outcome is the metric of the visit's outcome, which is 1.
func metricsOfVisit(outcome string, images ...string) string {
	var metrics []string
	for _, name := range []string{"VisitsEnded", "VisitsContinued", "VisitsCutOff", "VisitsFailed", "MessagesDropped"} {
		n := "0"
		if name == outcome {
			n = "1"
		}
		metrics = append(metrics, name+" "+n)
	}
	return line("metrics of a visit", "", append(metrics, images...)...)
}

// Reasons that differ only in a number are counted together. Only a complete visit writes the metrics of all images.
func TestMetricsOfImages(t *testing.T) {
	oldest := at.Add(-25 * time.Hour)
	tally := rescan.Tally{
		Images: 10, Started: 4, NotScannable: map[string]int{"archived": 1}, Failed: map[string]int{"throttled by ECR": 2, "archived": 1, "image index of 70 images": 1, "image index of 90 images": 1},
	}
	unfinished := tally
	unfinished.NotReached = 3
	known := rescan.Known{OldestScan: &oldest, Findings: scan.Counts{scan.Low: 4, scan.High: 2}}
	const visit = "metrics of a visit"
	refused := line(visit, "Reason=archived", "ImagesRefused 2") + line(visit, "Reason=image index of too many images", "ImagesRefused 2") +
		line(visit, "Reason=throttled by ECR", "ImagesRefused 2")
	checkVisits(t, map[string]visitMetrics{
		"complete": {
			rescan.VisitReport{Outcome: rescan.VisitEnded, Configs: 2, Tally: tally, Known: known},
			metricsOfVisit("VisitsEnded", "ImagesDue 9", "ScansStarted 4", "ImagesFailed 5", "ImagesWatched 10", "OldestScanAge 90000 Seconds") +
				refused + line(visit, "Severity=HIGH", "Findings 2") + line(visit, "Severity=LOW", "Findings 4"),
		},
		"continued": {
			rescan.VisitReport{Outcome: rescan.VisitContinued, Configs: 2, Tally: unfinished, Known: known},
			metricsOfVisit("VisitsContinued", "ImagesDue 12", "ScansStarted 4", "ImagesFailed 5") + refused,
		},
		"the continuation was not sent": {
			rescan.VisitReport{Outcome: rescan.VisitEnded, Tally: rescan.Tally{NotReached: 1}, Known: known},
			metricsOfVisit("VisitsEnded", "ImagesDue 1", "ScansStarted 0", "ImagesFailed 0"),
		},
		"cut off": {
			rescan.VisitReport{Outcome: rescan.VisitCutOff, Tally: rescan.Tally{NotReached: 1}, Known: known},
			metricsOfVisit("VisitsCutOff", "ImagesDue 1", "ScansStarted 0", "ImagesFailed 0"),
		},
	})
}

// A repository that is not found does not count as a failed visit, because a config with a wrong name would keep the alarm on forever. Its
// configs count as failed.
func TestMetricsOfOutcomes(t *testing.T) {
	none := []string{"ImagesDue 0", "ScansStarted 0", "ImagesFailed 0"}
	checkVisits(t, map[string]visitMetrics{
		"without a scan": {rescan.VisitReport{Outcome: rescan.VisitEnded}, metricsOfVisit("VisitsEnded", append(none, "ImagesWatched 0")...)},
		"failed": {
			rescan.VisitReport{Outcome: rescan.VisitFailed, Code: scan.NoAccess, Reason: "no access", Configs: 2}, metricsOfVisit("VisitsFailed", append(none, "ConfigsFailed 2")...),
		},
		"repository not found": {
			rescan.VisitReport{Outcome: rescan.VisitFailed, Code: scan.RepositoryNotFound, Configs: 2}, metricsOfVisit("", append(none, "ConfigsFailed 2")...),
		},
		"dropped": {rescan.VisitReport{Outcome: rescan.VisitDropped}, metricsOfVisit("MessagesDropped", none...)},
	})
}

// visitMetrics is a report and the log lines of its metrics.
type visitMetrics struct {
	report rescan.VisitReport
	want   string
}

func checkVisits(t *testing.T, visits map[string]visitMetrics) {
	t.Helper()
	for name, test := range visits {
		t.Run(name, func(t *testing.T) {
			checkMetrics(t, func(m Metrics) { m.visit(t.Context(), test.report) }, test.want)
		})
	}
}

func checkMetrics(t *testing.T, write func(Metrics), want string) {
	t.Helper()
	got := written(write)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for line := range strings.Lines(got) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line that is not JSON: %s", line)
		}
	}
}

func TestMetricsOfMessages(t *testing.T) {
	checkMetrics(t, func(m Metrics) {
		m.schedule(t.Context(), rescan.ScheduleReport{Configs: 3, Repositories: 2, Waiting: 1, Sent: 1, NotSent: 1})
		m.dropped(t.Context())
	}, line("metrics of a schedule", "", "Configs 3", "VisitsSent 1", "VisitsNotSent 1", "MessagesWaiting 1")+line("metrics of a message", "", "MessagesDropped 1"))
}

// Each metric with an alarm is written with the dimension of the alarm. Otherwise the alarm could never go off.
func TestAlarmMetricsAreWritten(t *testing.T) {
	oldest := at.Add(-time.Hour)
	got := written(func(m Metrics) {
		for _, outcome := range []rescan.Outcome{rescan.VisitEnded, rescan.VisitCutOff, rescan.VisitFailed} {
			m.visit(t.Context(), rescan.VisitReport{Outcome: outcome, Code: scan.Unavailable, Known: rescan.Known{OldestScan: &oldest}})
		}
		m.schedule(t.Context(), rescan.ScheduleReport{NotSent: 1})
	})
	positive := make(map[string]bool) // metrics with a value above 0
	for text := range strings.Lines(got) {
		var values map[string]any
		var form struct {
			AWS metadata `json:"_aws"`
		}
		for _, v := range []any{&values, &form} {
			if err := json.Unmarshal([]byte(text), v); err != nil {
				t.Fatal(err)
			}
		}
		for _, d := range form.AWS.CloudWatchMetrics {
			if d.Namespace != Namespace || !cmp.Equal(d.Dimensions, [][]string{{"FunctionName"}}) {
				continue
			}
			for _, metric := range d.Metrics {
				if value, ok := values[metric.Name].(float64); ok && value > 0 {
					positive[metric.Name] = true
				}
			}
		}
	}
	for _, name := range AlarmMetrics() {
		if !positive[name] {
			t.Errorf("%s is not written in\n%s", name, got)
		}
	}
}
