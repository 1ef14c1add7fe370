package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// world is a fake machine. It answers the programs that are run and records how they were run.
type world struct {
	t *testing.T
	// dir is the project's folder.
	dir string
	// answers are keyed by the first two arguments of the AWS CLI. The last answer of a list is repeated for all
	// further calls.
	answers map[string][]answer
	// missing are the programs that are not installed.
	missing []string
	calls   []Command
}

type answer struct {
	stdout, stderr string
	fails          bool
	// writes is written to the output file that the call names.
	writes string
	// onCall is called during the call.
	onCall func()
}

func newWorld(t *testing.T, answers map[string][]answer) *world {
	w := &world{t: t, dir: t.TempDir(), answers: map[string][]answer{}}
	for call, a := range answers {
		w.answers[call] = slices.Clone(a)
	}
	template := "Transform: x\n\nParameters:\n  ConfigBucket:\n    Type: String\n  Schedule:\n    Type: String\n  AccessLogs:\n    Type: String\n\nGlobals:\n  Function: 1\n"
	if err := os.WriteFile(filepath.Join(w.dir, templateFile), []byte(template), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

var errExit = errors.New("exit status 254")

func (w *world) Run(_ context.Context, c Command) error {
	w.calls = append(w.calls, c)
	if slices.Contains(w.missing, c.Name) {
		return &exec.Error{Name: c.Name, Err: exec.ErrNotFound}
	}
	if c.Name == "go" {
		out := c.Args[slices.Index(c.Args, "-o")+1]
		return os.WriteFile(filepath.Join(w.dir, out), []byte("binary"), 0o600)
	}
	call := strings.Join(c.Args[:2], " ")
	queue, ok := w.answers[call]
	if !ok {
		w.t.Errorf("unexpected call: aws %s", strings.Join(c.Args, " "))
		return errExit
	}
	a := queue[0]
	if len(queue) > 1 {
		w.answers[call] = queue[1:]
	}
	if a.onCall != nil {
		a.onCall()
	}
	fmt.Fprint(c.Stdout, a.stdout)
	fmt.Fprint(c.Stderr, a.stderr)
	if a.writes != "" {
		file := c.Args[slices.Index(c.Args, "--cli-read-timeout")+2]
		if err := os.WriteFile(file, []byte(a.writes), 0o600); err != nil {
			w.t.Error(err)
		}
	}
	if a.fails {
		return errExit
	}
	return nil
}

// run runs a command on this machine.
func (w *world) run(s Settings, args ...string) (code int, stdout, stderr string) {
	if s.Stack == "" {
		s.Stack = "watch"
	}
	var out, errs bytes.Buffer
	t := &tool{Settings: s, dir: w.dir, stdout: &out, stderr: &errs, runner: w}
	code = t.dispatch(w.t.Context(), args)
	w.checkNoKeyInCalls(s)
	return code, out.String(), errs.String()
}

// checkNoKeyInCalls checks that no key is an argument or in the environment of a program: every user of a machine
// can list the command lines of its processes.
func (w *world) checkNoKeyInCalls(s Settings) {
	w.t.Helper()
	secret := []string{s.FullKey, s.ReadKey}
	for _, f := range []keyFile{w.keyFile(), w.keyFile().pending()} {
		k, _ := f.read() // some tests make the file invalid
		secret = append(secret, k.Full, k.Read)
	}
	for _, c := range w.calls {
		for _, key := range secret {
			if len(key) >= minKey && strings.Contains(strings.Join(slices.Concat(c.Args, c.Env), " "), key) {
				w.t.Errorf("the call %s %s contains a key", c.Name, strings.Join(c.Args[:2], " "))
			}
		}
	}
}

// called returns the command lines of the AWS CLI that begin with these two arguments, without the Region.
func (w *world) called(call string) []string {
	var lines []string
	for _, c := range w.calls {
		if c.Name != "aws" || strings.Join(c.Args[:2], " ") != call {
			continue
		}
		line := strings.Join(c.Args, " ")
		line, _, _ = strings.Cut(line, " --region ")
		lines = append(lines, line)
	}
	return lines
}

// Answers with the texts of the real AWS CLI.
func noStack() answer {
	return answer{fails: true, stderr: "\nAn error occurred (ValidationError) when calling the DescribeStacks operation: Stack with id watch does not exist\n"}
}

func stackIs(status string) answer { return stackWith(status, bothKeys) }

// stackWith returns a stack with the output ApiKeys and more parameters, each as "Name=value".
func stackWith(status, apiKeys string, parameters ...string) answer {
	more := ""
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		more += `, {"ParameterKey": "` + name + `", "ParameterValue": "` + value + `"}`
	}
	return answer{stdout: `{"Stacks": [{"StackId": "arn:aws:cloudformation:us-west-2:123456789012:stack/watch/1", "StackStatus": "` + status + `",
		"CreationTime": "2026-11-24T20:00:00.123Z", "LastUpdatedTime": "2026-11-24T21:00:00+00:00",
		"Parameters": [{"ParameterKey": "Schedule", "ParameterValue": "rate(1 day)"}, {"ParameterKey": "ConfigBucket", "ParameterValue": ""},
			{"ParameterKey": "ApiKeySha256", "ParameterValue": "****"}, {"ParameterKey": "ReadKeySha256", "ParameterValue": "****"}` + more + `],
		"Outputs": [{"OutputKey": "ECRScanAPIEndpoint", "OutputValue": "https://abc.execute-api.us-west-2.amazonaws.com/Prod"},
			{"OutputKey": "ApiKeys", "OutputValue": "` + apiKeys + `"}, {"OutputKey": "ConfigBucketName", "OutputValue": "watch-bucket-1"},
			{"OutputKey": "Version", "OutputValue": "1.2.3"}]}]}`}
}

// functionSettings returns a function's settings with the hashes of two keys.
func functionSettings(k keys) answer {
	return answer{stdout: `{"Environment": {"Variables": {"ECR_SCAN_API_KEY_SHA256": "` + hashOf(k.Full) + `", "ECR_SCAN_READ_KEY_SHA256": "` + hashOf(k.Read) + `"}}}`}
}

func resources() answer {
	return answer{stdout: `{"StackResources": [
		{"LogicalResourceId": "StartScanFunc", "PhysicalResourceId": "watch-StartScanFunc-1", "ResourceType": "AWS::Lambda::Function", "Timestamp": "2026-11-24T20:00:01Z"},
		{"LogicalResourceId": "ConfigsFunc", "PhysicalResourceId": "watch-ConfigsFunc-1", "ResourceType": "AWS::Lambda::Function", "Timestamp": "2026-11-24T20:00:02Z"},
		{"LogicalResourceId": "ConfigsLog", "PhysicalResourceId": "watch-ConfigsLog-1", "ResourceType": "AWS::Logs::LogGroup", "Timestamp": "2026-11-24T20:00:01Z"},
		{"LogicalResourceId": "StartScanLog", "PhysicalResourceId": "watch-StartScanLog-1", "ResourceType": "AWS::Logs::LogGroup", "Timestamp": "2026-11-24T20:00:01Z"},
		{"LogicalResourceId": "ScanRunFailed", "PhysicalResourceId": "watch-ScanRunFailed-1", "ResourceType": "AWS::CloudWatch::Alarm", "Timestamp": "2026-11-24T20:00:01Z"}]}`}
}

func identity() answer { return answer{stdout: `{"Account": "123456789012"}`} }

func noBucket() answer {
	return answer{fails: true, stderr: "\nAn error occurred (404) when calling the HeadBucket operation: Not Found\n"}
}

func noAccess() answer {
	return answer{fails: true, stderr: "\nAn error occurred (403) when calling the HeadBucket operation: Forbidden\n"}
}
