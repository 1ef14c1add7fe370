package template

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scanevents"
)

// Each alarm uses a metric that the code writes, with the same dimensions. Otherwise the alarm could never start.
func TestAlarms(t *testing.T) {
	startScan := []any{object{"Name": "FunctionName", "Value": object{"Ref": "StartScanFunc"}}}
	stage := []any{object{"Name": "ApiName", "Value": object{"Ref": "AWS::StackName"}}, object{"Name": "Stage", "Value": "Prod"}}
	deadLetters := []any{object{"Name": "QueueName", "Value": object{"Fn::GetAtt": "VisitDeadLetters.QueueName"}}}
	type alarm struct {
		namespace, metric string
		dimensions        []any
		statistic         string
		period            int // seconds
		bad, of           int // periods
		operator          string
		threshold         int
	}
	const atLeast, above = "GreaterThanOrEqualToThreshold", "GreaterThanThreshold"
	want := map[string]alarm{
		"ScanRunFailed": {"AWS/Lambda", "Errors", startScan, "Sum", 300, 1, 1, atLeast, 1},
		"ApiFailed":     {"AWS/ApiGateway", "5XXError", stage, "Sum", 300, 1, 1, atLeast, 1},
		"ScansUndone":   {"AWS/SQS", "ApproximateNumberOfMessagesVisible", deadLetters, "Maximum", 300, 1, 1, atLeast, 1},
		"ScansEndless":  {scanevents.Namespace, scanevents.VisitsCutOff, startScan, "Sum", 300, 1, 1, atLeast, 1},
		"VisitsFail":    {scanevents.Namespace, scanevents.VisitsFailed, startScan, "Sum", 3600, 2, 4, atLeast, 1},
		"VisitsNotSent": {scanevents.Namespace, scanevents.VisitsNotSent, startScan, "Sum", 3600, 2, 4, atLeast, 1},
		"ScansTooOld":   {scanevents.Namespace, scanevents.OldestScanAge, startScan, "Maximum", 3600, 1, 4, above, 48 * 60 * 60},
	}
	got := map[string]alarm{}
	for name, resource := range ofType(t, load(t), "AWS::CloudWatch::Alarm") {
		p := at(t, resource, "Properties").(object)
		of := at(t, p, "EvaluationPeriods").(int)
		bad, isGiven := p["DatapointsToAlarm"].(int)
		if !isGiven {
			bad = of
		}
		if p["TreatMissingData"] != "notBreaching" {
			t.Errorf("%s: without data its state is %v", name, p["TreatMissingData"])
		}
		got[name] = alarm{
			at(t, p, "Namespace").(string), at(t, p, "MetricName").(string), at(t, p, "Dimensions").([]any), at(t, p, "Statistic").(string),
			at(t, p, "Period").(int), bad, of, at(t, p, "ComparisonOperator").(string), at(t, p, "Threshold").(int),
		}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(alarm{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The metrics that the code writes for alarms are the metrics of the alarms.
func TestAlarmMetrics(t *testing.T) {
	used := map[string]bool{}
	for _, resource := range ofType(t, load(t), "AWS::CloudWatch::Alarm") {
		if at(t, resource, "Properties", "Namespace") == scanevents.Namespace {
			used[at(t, resource, "Properties", "MetricName").(string)] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(scanevents.AlarmMetrics())), sorted(used)); diff != "" {
		t.Errorf("(-code +template):\n%s", diff)
	}
}

// docs/operations.md lists exactly the metrics that the code writes, because each one costs money.
func TestDocumentedMetrics(t *testing.T) {
	_, table, _ := strings.Cut(document(t, "docs/operations.md"), "\n## Metrics\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var listed []string
	for line := range strings.Lines(table) {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ = strings.Cut(name, "`")
			listed = append(listed, name)
		}
	}
	slices.Sort(listed)
	if diff := cmp.Diff(slices.Sorted(slices.Values(scanevents.AlarmMetrics())), listed); diff != "" {
		t.Errorf("(-code +document):\n%s", diff)
	}
}
