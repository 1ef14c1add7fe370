package main

import (
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		want Settings
	}{
		"nothing set": {nil, Settings{Stack: "ecr-continuous-scan"}},
		"all set": {
			map[string]string{
				"ECR_SCAN_STACK_NAME": "s", "ECR_SCAN_SVC_BUCKET": "a", "ECR_SCAN_CONFIG_BUCKET": "c",
				"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1", "ECR_SCAN_API_KEY": "k", "ECR_SCAN_READ_KEY": "r",
			},
			Settings{Stack: "s", ArtifactBucket: "a", ConfigBucket: "c", Region: "eu-west-1", FullKey: "k", ReadKey: "r"},
		},
		"the older Region variable": {map[string]string{"AWS_DEFAULT_REGION": "us-east-1"}, Settings{Stack: "ecr-continuous-scan", Region: "us-east-1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Environment(func(k string) string { return tt.env[k] }); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestUnknownCommandShowsUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"launch"}} {
		w := newWorld(t, nil)
		code, stdout, stderr := w.run(Settings{}, args...)
		if code != 2 || stdout != "" {
			t.Errorf("%q: code %d, stdout %q", args, code, stdout)
		}
		for _, c := range commands() {
			if !strings.Contains(stderr, c.name) {
				t.Errorf("%q: the usage does not list %s", args, c.name)
			}
		}
	}
}

// Every command that needs AWS reports a missing requirement in one line that says what to do.
func TestMissingRequirements(t *testing.T) {
	noCredentials := answer{fails: true, stderr: "\nUnable to locate credentials. You can configure credentials by running \"aws configure\".\n"}
	expired := answer{fails: true, stderr: "\nAn error occurred (ExpiredToken) when calling the DescribeStacks operation: The security token included in the request is expired\n"}
	unreachable := answer{fails: true, stderr: "\nCould not connect to the endpoint URL: \"https://cloudformation.mars-1.amazonaws.com/\"\n"}
	tests := map[string]struct {
		settings Settings
		answers  map[string][]answer
		missing  []string
		want     string
	}{
		"the AWS CLI":                  {Settings{}, nil, []string{"aws"}, "the AWS CLI is missing: install it"},
		"the AWS CLI, with the Region": {Settings{Region: "us-west-2"}, nil, []string{"aws"}, "the AWS CLI is missing: install it"},
		"the Region":                   {Settings{}, map[string][]answer{"configure get": {{fails: true}}}, nil, "no AWS Region is set: export AWS_REGION="},
		"the profile": {
			Settings{},
			map[string][]answer{"configure get": {{fails: true, stderr: "\nThe config profile (x) could not be found\n"}}}, nil,
			"set AWS_PROFILE",
		},
		"credentials": {
			Settings{Region: "us-west-2"},
			map[string][]answer{"sts get-caller-identity": {noCredentials}, "cloudformation describe-stacks": {noCredentials}},
			nil, "no valid AWS credentials: run `aws configure`",
		},
		"expired credentials": {
			Settings{Region: "us-west-2"},
			map[string][]answer{"sts get-caller-identity": {expired}, "cloudformation describe-stacks": {expired}},
			nil, "no valid AWS credentials: run `aws configure`",
		},
		"the network": {
			Settings{Region: "mars-1"},
			map[string][]answer{"sts get-caller-identity": {unreachable}, "cloudformation describe-stacks": {unreachable}},
			nil, "check the network and whether mars-1 is a Region",
		},
	}
	for name, tt := range tests {
		for _, command := range []string{"deploy", "status", "url", "rotate-key", "scan-now", "logs", "destroy"} {
			t.Run(name+"/"+command, func(t *testing.T) {
				w := newWorld(t, tt.answers)
				w.missing = tt.missing
				code, stdout, stderr := w.run(tt.settings, command)
				if code != 1 || stdout != "" {
					t.Errorf("code %d, stdout %q", code, stdout)
				}
				if !strings.Contains(stderr, tt.want) || strings.Count(strings.TrimSpace(stderr), "\n") > 0 {
					t.Errorf("stderr is %q, want one line with %q", stderr, tt.want)
				}
				for _, c := range w.calls {
					if c.Name == "go" {
						t.Error("built in spite of the error")
					}
				}
			})
		}
	}
}

func TestNoStack(t *testing.T) {
	for _, command := range []string{"status", "url", "rotate-key", "scan-now", "logs"} {
		w := newWorld(t, map[string][]answer{"cloudformation describe-stacks": {noStack()}})
		code, stdout, stderr := w.run(Settings{Region: "us-west-2"}, command)
		if want := "there is no stack watch in us-west-2: run `make deploy`"; code != 1 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: code %d, stdout %q, stderr %q", command, code, stdout, stderr)
		}
	}
}

func TestRegionOfTheProfile(t *testing.T) {
	w := newWorld(t, map[string][]answer{"configure get": {{stdout: "eu-central-1\n"}}, "cloudformation describe-stacks": {stackIs("UPDATE_COMPLETE")}})
	if code, _, stderr := w.run(Settings{}, "url"); code != 0 {
		t.Fatal(stderr)
	}
	last := strings.Join(w.calls[len(w.calls)-1].Args, " ")
	if !strings.HasSuffix(last, "--region eu-central-1") {
		t.Errorf("called with %s", last)
	}
}
