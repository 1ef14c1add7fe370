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

// line returns the log line of a metric. The default unit is Count.
func line(name, value, unit string) string {
	return `{"level":"INFO","msg":"metric","FunctionName":"fn","` + name + `":` + value + `,"_aws":{"Timestamp":1000000000,"CloudWatchMetrics":[{"Namespace":"ECRContinuousScan",` +
		`"Dimensions":[["FunctionName"]],"Metrics":[{"Name":"` + name + `","Unit":"` + unit + `"}]}]}}` + "\n"
}

// A metric is written only if it can start its alarm. The test compares the exact bytes that CloudWatch reads. A repository that is not found
// does not count as a failed visit, because a config with a wrong name would keep the alarm on forever. The oldest scan is known only after
// a complete visit.
func TestMetrics(t *testing.T) {
	hours := func(n int) rescan.Known {
		oldest := at.Add(-time.Duration(n) * time.Hour)
		return rescan.Known{OldestScan: &oldest, Findings: scan.Counts{scan.High: 2}}
	}
	tally := rescan.Tally{Images: 10, Started: 4, NotScannable: map[string]int{"archived": 1}, Failed: map[string]int{"throttled by ECR": 2}}
	for name, test := range map[string]struct {
		report rescan.VisitReport
		want   string
	}{
		"ended":                         {rescan.VisitReport{Outcome: rescan.VisitEnded, Configs: 2, Tally: tally, Known: hours(48)}, ""},
		"a stale scan":                  {rescan.VisitReport{Outcome: rescan.VisitEnded, Tally: tally, Known: hours(49)}, line("OldestScanAge", "176400", "Seconds")},
		"without a scan":                {rescan.VisitReport{Outcome: rescan.VisitEnded}, ""},
		"continued":                     {rescan.VisitReport{Outcome: rescan.VisitContinued, Tally: rescan.Tally{NotReached: 1}, Known: hours(49)}, ""},
		"the continuation was not sent": {rescan.VisitReport{Outcome: rescan.VisitEnded, Tally: rescan.Tally{NotReached: 1}, Known: hours(49)}, ""},
		"cut off":                       {rescan.VisitReport{Outcome: rescan.VisitCutOff, Tally: rescan.Tally{NotReached: 1}}, line("VisitsCutOff", "1", "Count")},
		"failed":                        {rescan.VisitReport{Outcome: rescan.VisitFailed, Code: scan.NoAccess, Configs: 2}, line("VisitsFailed", "1", "Count")},
		"the repository does not exist": {rescan.VisitReport{Outcome: rescan.VisitFailed, Code: scan.RepositoryNotFound, Configs: 2}, ""},
		"the message was not necessary": {rescan.VisitReport{Outcome: rescan.VisitDropped}, ""},
	} {
		if diff := cmp.Diff(test.want, written(func(m Metrics) { m.visit(t.Context(), test.report) })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for notSent, want := range map[int]string{0: "", 3: line("VisitsNotSent", "3", "Count")} {
		if diff := cmp.Diff(want, written(func(m Metrics) { m.schedule(t.Context(), rescan.ScheduleReport{Configs: 3, Sent: 1, NotSent: notSent}) })); diff != "" {
			t.Errorf("%d messages not sent (-want +got):\n%s", notSent, diff)
		}
	}
	if diff := cmp.Diff(line("VisitsFailed", "2", "Count"), written(func(m Metrics) { m.schedule(t.Context(), rescan.ScheduleReport{NotListed: 2}) })); diff != "" {
		t.Errorf("registries that were not listed (-want +got):\n%s", diff)
	}
}

// Each metric with an alarm is written with the dimension of the alarm. Otherwise the alarm could never go off.
func TestAlarmMetricsAreWritten(t *testing.T) {
	oldest := at.Add(-100 * time.Hour)
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
