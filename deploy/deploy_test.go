package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// deployable returns the answers for a first deploy that succeeds: the stack does not exist before it and exists
// after it.
func deployable() map[string][]answer {
	return map[string][]answer{
		"sts get-caller-identity":                 {identity()},
		"cloudformation describe-stacks":          {noStack(), stackIs("CREATE_COMPLETE")},
		"s3api head-bucket":                       {noBucket()},
		"s3api create-bucket":                     {{stdout: "{}"}},
		"s3api put-public-access-block":           {{}},
		"cloudformation package":                  {{stdout: "Uploading ...\n"}},
		"cloudformation deploy":                   {{stdout: "Successfully created/updated stack - watch\n"}},
		"cloudformation describe-stack-resources": {resources()},
		"lambda get-function-configuration":       {{stdout: `{}`}},
	}
}

func TestDeployFromNothing(t *testing.T) {
	w := newWorld(t, deployable())
	code, stdout, stderr := w.run(Settings{Region: "us-west-2"}, "deploy")
	if code != 0 {
		t.Fatalf("code %d, stderr %q", code, stderr)
	}
	const bucket = "ecr-continuous-scan-svc-123456789012-us-west-2"
	want := map[string]string{
		"s3api head-bucket":      "s3api head-bucket --bucket " + bucket + " --expected-bucket-owner 123456789012",
		"s3api create-bucket":    "s3api create-bucket --bucket " + bucket + " --create-bucket-configuration LocationConstraint=us-west-2",
		"cloudformation package": "cloudformation package --template-file template.yaml --output-template-file dist/packaged.yaml --s3-bucket " + bucket + " --s3-prefix watch",
		"cloudformation deploy": "cloudformation deploy --template-file dist/packaged.yaml --stack-name watch --capabilities CAPABILITY_IAM " +
			"CAPABILITY_AUTO_EXPAND --no-fail-on-empty-changeset --s3-bucket " + bucket + " --s3-prefix watch --parameter-overrides " +
			"ApiKeySha256=" + hashOf(w.kept().Full) + " ReadKeySha256=" + hashOf(w.kept().Read),
	}
	for call, line := range want {
		if got := w.called(call); !slices.Equal(got, []string{line}) {
			t.Errorf("called\n  %s\nwant\n  %s", strings.Join(got, "\n  "), line)
		}
	}
	if got := w.called("s3api put-public-access-block"); len(got) != 1 {
		t.Errorf("public access to the bucket was blocked %d times, want once", len(got))
	}
	for _, line := range []string{"Created bucket " + bucket, "The API is at https://abc.execute-api.us-west-2.amazonaws.com/Prod\n", "export ECRSCANAPI_URL=$(make -s url)", "make scan-now"} {
		if !strings.Contains(stdout, line) {
			t.Errorf("stdout lacks %q:\n%s", line, stdout)
		}
	}
	for _, c := range w.calls {
		if c.Name == "aws" && !slices.Contains(c.Env, "AWS_PAGER=") {
			t.Errorf("aws %v may start a pager", c.Args)
		}
	}
}

func TestDeployInUSEast1(t *testing.T) {
	w := newWorld(t, deployable())
	if code, _, stderr := w.run(Settings{Region: "us-east-1"}, "deploy"); code != 0 {
		t.Fatal(stderr)
	}
	if got, want := w.called("s3api create-bucket"), "s3api create-bucket --bucket ecr-continuous-scan-svc-123456789012-us-east-1"; !slices.Equal(got, []string{want}) {
		t.Errorf("called %q, want %q", got, want)
	}
}

func TestDeployWithBuckets(t *testing.T) {
	answers := deployable()
	answers["s3api head-bucket"] = []answer{{}}
	w := newWorld(t, answers)
	code, _, stderr := w.run(Settings{Region: "us-west-2", ArtifactBucket: "svc", ConfigBucket: "cfg"}, "deploy", "Schedule=rate(12 hours)")
	if code != 0 {
		t.Fatal(stderr)
	}
	if got := w.called("s3api create-bucket"); len(got) != 0 {
		t.Errorf("created a bucket: %q", got)
	}
	got := w.called("cloudformation deploy")
	if len(got) != 1 || !strings.Contains(got[0], " --s3-bucket svc ") || !strings.Contains(got[0], " --parameter-overrides ConfigBucket=cfg Schedule=rate(12 hours) ApiKeySha256=") {
		t.Errorf("called %q", got)
	}
	deploy := w.calls[slices.IndexFunc(w.calls, func(c Command) bool { return c.Name == "aws" && c.Args[1] == "deploy" })]
	if !slices.Contains(deploy.Args, "Schedule=rate(12 hours)") {
		t.Errorf("the value with a space was split: %q", deploy.Args)
	}
}

func TestDeployRefuses(t *testing.T) {
	tests := map[string]struct {
		settings Settings
		answers  map[string][]answer
		args     []string
		want     string
	}{
		"a config bucket that does not exist": {
			Settings{ConfigBucket: "cfg"}, map[string][]answer{"s3api head-bucket": {noBucket()}}, nil,
			"bucket cfg, named by ECR_SCAN_CONFIG_BUCKET, does not exist: create it (aws s3 mb s3://cfg --region us-west-2)",
		},
		"an artifact bucket that does not exist": {
			Settings{ArtifactBucket: "svc"}, map[string][]answer{"s3api head-bucket": {noBucket()}}, nil,
			"bucket svc, named by ECR_SCAN_SVC_BUCKET, does not exist",
		},
		"another account's bucket with the default name": {
			Settings{}, map[string][]answer{"s3api head-bucket": {noAccess()}}, nil,
			"bucket ecr-continuous-scan-svc-123456789012-us-west-2 belongs to another account",
		},
		"a config bucket in another Region": {
			Settings{ConfigBucket: "cfg"}, map[string][]answer{"s3api head-bucket": {{stdout: "eu-west-1\n"}}}, nil,
			"bucket cfg, named by ECR_SCAN_CONFIG_BUCKET, is in eu-west-1 and not in us-west-2",
		},
		"an artifact bucket in another Region": {
			Settings{ArtifactBucket: "svc"}, map[string][]answer{"s3api head-bucket": {{stdout: "eu-west-1\n"}}}, nil,
			"bucket svc, named by ECR_SCAN_SVC_BUCKET, is in eu-west-1 and not in us-west-2",
		},
		"another account's config bucket": {
			Settings{ConfigBucket: "cfg"}, map[string][]answer{"s3api head-bucket": {noAccess()}}, nil,
			"bucket cfg, named by ECR_SCAN_CONFIG_BUCKET, belongs to another account or is not in us-west-2",
		},
		"a stack whose first deploy failed": {
			Settings{}, map[string][]answer{"cloudformation describe-stacks": {stackIs("ROLLBACK_COMPLETE")}}, nil,
			"run `make destroy`, then `make deploy`",
		},
		"a stack that is being changed": {
			Settings{}, map[string][]answer{"cloudformation describe-stacks": {stackIs("UPDATE_IN_PROGRESS")}}, nil,
			"try again when that is done",
		},
		"an unknown parameter": {
			Settings{}, nil, []string{"Scedule=rate(1 hour)"}, `the template has no parameter "Scedule"; it has ConfigBucket, Schedule`,
		},
		"a key's hash as a parameter": {Settings{}, nil, []string{"ApiKeySha256=none"}, "ApiKeySha256 is computed from the key: set ECR_SCAN_API_KEY"},
		"access logs without a role for them": {
			Settings{}, map[string][]answer{"apigateway get-account": {{stdout: `{"throttleSettings": {}}`}}}, []string{"AccessLogs=true"},
			"AccessLogs=true needs a role with which API Gateway writes logs in us-west-2: create a role that apigateway.amazonaws.com can assume",
		},
		"access logs enabled earlier, without a role for them": {
			Settings{}, map[string][]answer{
				"cloudformation describe-stacks": {stackWith("UPDATE_COMPLETE", bothKeys, "AccessLogs=true")}, "apigateway get-account": {{stdout: `{}`}},
			}, nil, "aws apigateway update-account",
		},
		"a parameter without a value": {Settings{}, nil, []string{"Schedule"}, `"Schedule" is not of the form Parameter=value`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answers := deployable()
			for call, a := range tt.answers {
				answers[call] = a
			}
			w := newWorld(t, answers)
			tt.settings.Region = "us-west-2"
			code, _, stderr := w.run(tt.settings, append([]string{"deploy"}, tt.args...)...)
			if code != 1 || !strings.Contains(stderr, tt.want) {
				t.Errorf("code %d, stderr %q, want %q", code, stderr, tt.want)
			}
			for _, call := range []string{"s3api create-bucket", "cloudformation package", "cloudformation deploy"} {
				if got := w.called(call); len(got) != 0 {
					t.Errorf("called %q after the refusal", got)
				}
			}
		})
	}
}

func TestDeployWithAccessLogs(t *testing.T) {
	tests := map[string]struct {
		stack answer
		args  []string
		reads int // of the account's settings
	}{
		"off":              {stackWith("UPDATE_COMPLETE", bothKeys, "AccessLogs=false"), nil, 0},
		"on, with a role":  {noStack(), []string{"AccessLogs=true"}, 1},
		"already on":       {stackWith("UPDATE_COMPLETE", bothKeys, "AccessLogs=true"), nil, 1},
		"to be turned off": {stackWith("UPDATE_COMPLETE", bothKeys, "AccessLogs=true"), []string{"AccessLogs=false"}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answers := deployable()
			answers["cloudformation describe-stacks"] = []answer{tt.stack, stackIs("UPDATE_COMPLETE")}
			answers["apigateway get-account"] = []answer{{stdout: `{"cloudwatchRoleArn": "arn:aws:iam::123456789012:role/logs"}`}}
			w := newWorld(t, answers)
			code, _, stderr := w.run(Settings{Region: "us-west-2"}, append([]string{"deploy"}, tt.args...)...)
			if reads := len(w.called("apigateway get-account")); code != 0 || reads != tt.reads {
				t.Errorf("code %d, stderr %q, read the account's settings %d times, want %d", code, stderr, reads, tt.reads)
			}
		})
	}
}

// A first deploy that was interrupted at its start leaves an empty stack in review. The AWS CLI continues with it.
func TestDeployAfterAnInterruptedFirstDeploy(t *testing.T) {
	answers := deployable()
	answers["cloudformation describe-stacks"] = []answer{{stdout: `{"Stacks": [{"StackId": "a:b:c:d:123456789012:e", "StackStatus": "REVIEW_IN_PROGRESS"}]}`}, stackIs("CREATE_COMPLETE")}
	w := newWorld(t, answers)
	if code, _, stderr := w.run(Settings{Region: "us-west-2"}, "deploy"); code != 0 || w.kept().Full == "" {
		t.Errorf("code %d, stderr %q, keys %v", code, stderr, w.kept() != keys{})
	}
}

func TestDeployOutsideTheProject(t *testing.T) {
	w := newWorld(t, nil)
	if err := os.Remove(filepath.Join(w.dir, templateFile)); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := w.run(Settings{Region: "us-west-2"}, "deploy")
	if code != 1 || !strings.Contains(stderr, "run this in the project's folder") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

func TestFailedDeployPrintsTheReasons(t *testing.T) {
	answers := deployable()
	answers["cloudformation deploy"] = []answer{{fails: true, stderr: "\nFailed to create/update the stack.\n"}}
	answers["cloudformation describe-stack-events"] = []answer{{stdout: `{"StackEvents": [
		{"LogicalResourceId": "Api", "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "Resource creation cancelled"},
		{"LogicalResourceId": "SummaryFunc", "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "unreserved concurrency is too low"},
		{"LogicalResourceId": "watch", "ResourceStatus": "CREATE_IN_PROGRESS", "ResourceStatusReason": "User Initiated"},
		{"LogicalResourceId": "Old", "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "of an earlier deploy"}]}`}}
	w := newWorld(t, answers)
	code, stdout, stderr := w.run(Settings{Region: "us-west-2"}, "deploy")
	if code != 1 || strings.Contains(stdout, "The API is at") {
		t.Errorf("code %d, stdout %q", code, stdout)
	}
	if !strings.Contains(stderr, "SummaryFunc: unreserved concurrency is too low\n") {
		t.Errorf("stderr lacks the reason: %q", stderr)
	}
	for _, noise := range []string{"cancelled", "of an earlier deploy"} {
		if strings.Contains(stderr, noise) {
			t.Errorf("stderr contains %q, which is not a reason: %q", noise, stderr)
		}
	}
}

// If a rebuild gave other zip files, each deploy would replace each function.
func TestBuildIsReproducible(t *testing.T) {
	w := newWorld(t, nil)
	stale := filepath.Join(w.dir, "dist", "summary", "left-behind")
	if err := os.MkdirAll(filepath.Dir(stale), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := w.run(Settings{}, "build"); code != 0 {
		t.Fatal(stderr)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("a file of an earlier build would be deployed")
	}
	for _, name := range functions() {
		info, err := os.Stat(filepath.Join(w.dir, "dist", name, "bootstrap"))
		if err != nil {
			t.Fatal(err)
		}
		if want := time.Date(2001, 1, 1, 0, 0, 0, 0, time.Local); !info.ModTime().Equal(want) || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: modified %v, mode %v", name, info.ModTime(), info.Mode())
		}
	}
	for _, c := range w.calls {
		if !slices.Equal(c.Env, []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64"}) {
			t.Errorf("go %q is run with %q", c.Args, c.Env)
		}
	}
}

func TestBuildStopsAtAnError(t *testing.T) {
	w := newWorld(t, nil)
	w.missing = []string{"go"}
	if code, _, stderr := w.run(Settings{}, "build"); code != 1 || !strings.Contains(stderr, "configs: ") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}
