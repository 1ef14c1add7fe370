package main

import (
	"slices"
	"strings"
	"testing"
)

func deployed() map[string][]answer {
	return map[string][]answer{
		"sts get-caller-identity":                 {identity()},
		"cloudformation describe-stacks":          {stackIs("UPDATE_COMPLETE")},
		"cloudformation describe-stack-resources": {resources()},
	}
}

func TestStatus(t *testing.T) {
	answers := deployed()
	answers["cloudwatch describe-alarms"] = []answer{{stdout: `{"MetricAlarms": [{"AlarmName": "watch-ScanRunFailed-1", "StateValue": "OK"}]}`}}
	w := newWorld(t, answers)
	code, stdout, stderr := w.run(Settings{Region: "us-west-2"}, "status")
	if code != 0 {
		t.Fatal(stderr)
	}
	want := `stack      watch in us-west-2, UPDATE_COMPLETE
version    1.2.3
changed    2026-11-24T21:00:00Z
API        https://abc.execute-api.us-west-2.amazonaws.com/Prod
configs    s3://watch-bucket-1
keys       full and read
parameter  Schedule=rate(1 day)
function   StartScanFunc  changed 2026-11-24T20:00:01Z
function   ConfigsFunc    changed 2026-11-24T20:00:02Z
alarm      ScanRunFailed  OK
`
	if stdout != want {
		t.Errorf("got\n%s\nwant\n%s", stdout, want)
	}
	if got := w.called("cloudwatch describe-alarms"); !slices.Equal(got, []string{"cloudwatch describe-alarms --alarm-names watch-ScanRunFailed-1 --output json"}) {
		t.Errorf("called %q", got)
	}
}

func TestScanNow(t *testing.T) {
	tests := map[string]struct {
		invoke         answer
		code           int
		stdout, stderr string
	}{
		"a report": {
			answer{stdout: `{"StatusCode": 200}`, writes: `{"configs":2,"repositories":1,"sent":1,"notSent":0,"waiting":0,"problems":[]}`}, 0,
			"{\n  \"configs\": 2,\n  \"repositories\": 1,\n  \"sent\": 1,\n  \"notSent\": 0,\n  \"waiting\": 0,\n  \"problems\": []\n}\n", "",
		},
		"a failed schedule": {answer{stdout: `{"StatusCode": 200, "FunctionError": "Unhandled"}`, writes: `{"errorMessage":"no configs"}`}, 1, "", "the schedule failed: {\"errorMessage\":\"no configs\"}"},
		"not JSON":          {answer{stdout: `{"StatusCode": 200}`, writes: "oops"}, 1, "", "is not JSON"},
		"no answer":         {answer{fails: true, stderr: "Read timeout on endpoint URL"}, 1, "", "aws lambda invoke: Read timeout"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answers := deployed()
			answers["lambda invoke"] = []answer{tt.invoke}
			w := newWorld(t, answers)
			code, stdout, stderr := w.run(Settings{Region: "us-west-2"}, "scan-now")
			if code != tt.code || stdout != tt.stdout || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
			calls := w.called("lambda invoke")
			if len(calls) != 1 || !strings.Contains(calls[0], "--function-name watch-StartScanFunc-1 ") {
				t.Errorf("called %q", calls)
			}
			if last := w.calls[len(w.calls)-1]; !slices.Contains(last.Env, "AWS_MAX_ATTEMPTS=1") {
				t.Error("the AWS CLI would repeat a slow call, which sends all messages twice")
			}
		})
	}
}

func TestLogs(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"all functions, sorted by time": {nil, "2026-11-24T20:00:00.000Z StartScan first\n2026-11-24T20:00:01.500Z Configs   second\n2026-11-24T20:00:02.000Z StartScan third\n"},
		"one function":                  {[]string{"-since", "24h", "startscan"}, "2026-11-24T20:00:00.000Z StartScan first\n2026-11-24T20:00:02.000Z StartScan third\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answers := deployed()
			startScan := answer{stdout: `{"events": [{"timestamp": 1795550400000, "message": "first\n"}, {"timestamp": 1795550402000, "message": "third\n"}]}`}
			answers["logs filter-log-events"] = []answer{{stdout: `{"events": [{"timestamp": 1795550401500, "message": "second\n"}]}`}, startScan}
			if len(tt.args) > 0 {
				answers["logs filter-log-events"] = []answer{startScan}
			}
			w := newWorld(t, answers)
			code, stdout, stderr := w.run(Settings{Region: "us-west-2"}, append([]string{"logs"}, tt.args...)...)
			if code != 0 || stdout != tt.want {
				t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
}

func TestDestroy(t *testing.T) {
	const own = "ecr-continuous-scan-svc-123456789012-us-west-2"
	notEmpty := answer{fails: true, stderr: "An error occurred (BucketNotEmpty) when calling the DeleteBucket operation: The bucket you tried to delete is not empty"}
	tests := map[string]struct {
		settings Settings
		answers  map[string][]answer
		prints   []string
		removes  []string
	}{
		"default buckets": {
			Settings{}, nil,
			[]string{"Deleted stack watch", "Kept: bucket watch-bucket-1 with the scan configs.", "ECR_SCAN_CONFIG_BUCKET=watch-bucket-1 make deploy", "Removed bucket " + own},
			[]string{"s3 rm s3://" + own + "/watch/ --recursive", "s3api delete-bucket --bucket " + own},
		},
		"the user's own bucket for the packaged functions": {
			Settings{ArtifactBucket: "svc"}, nil,
			[]string{"Deleted stack watch", "Kept: bucket svc with the packaged functions, under watch/."}, nil,
		},
		"another stack uses the bucket": {
			Settings{}, map[string][]answer{"s3api delete-bucket": {notEmpty}},
			[]string{"Deleted stack watch", "Kept: bucket " + own + ". It contains the packaged functions of other stacks."},
			[]string{"s3 rm s3://" + own + "/watch/ --recursive", "s3api delete-bucket --bucket " + own},
		},
		"no stack": {
			Settings{}, map[string][]answer{"cloudformation describe-stacks": {noStack()}, "s3api head-bucket": {noBucket()}},
			[]string{"There is no stack watch in us-west-2."}, nil,
		},
		"another account's bucket with the default name": {
			Settings{}, map[string][]answer{"s3api head-bucket": {noAccess()}}, []string{"Deleted stack watch"}, nil,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answers := deployed()
			for _, call := range []string{"cloudformation delete-stack", "cloudformation wait", "s3api head-bucket", "s3 rm", "s3api delete-bucket"} {
				answers[call] = []answer{{}}
			}
			for call, a := range tt.answers {
				answers[call] = a
			}
			w := newWorld(t, answers)
			tt.settings.Region = "us-west-2"
			code, stdout, stderr := w.run(tt.settings, "destroy")
			if code != 0 {
				t.Fatal(stderr)
			}
			for _, line := range tt.prints {
				if !strings.Contains(stdout, line) {
					t.Errorf("stdout lacks %q:\n%s", line, stdout)
				}
			}
			if got := slices.Concat(w.called("s3 rm"), w.called("s3api delete-bucket")); !slices.Equal(got, tt.removes) {
				t.Errorf("removes with %q, want %q", got, tt.removes)
			}
		})
	}
}

func TestFailedDestroyPrintsTheReasons(t *testing.T) {
	answers := deployed()
	answers["cloudformation delete-stack"] = []answer{{}}
	answers["cloudformation wait"] = []answer{{fails: true, stderr: "Waiter StackDeleteComplete failed"}}
	answers["cloudformation describe-stack-events"] = []answer{{stdout: `{"StackEvents": [
		{"LogicalResourceId": "Api", "ResourceStatus": "DELETE_FAILED", "ResourceStatusReason": "in use by a base path mapping"},
		{"LogicalResourceId": "watch", "ResourceStatus": "DELETE_IN_PROGRESS", "ResourceStatusReason": "User Initiated"}]}`}}
	w := newWorld(t, answers)
	code, _, stderr := w.run(Settings{Region: "us-west-2"}, "destroy")
	if code != 1 || !strings.Contains(stderr, "Api: in use by a base path mapping\n") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}
