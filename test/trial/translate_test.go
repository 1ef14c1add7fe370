//go:build trial

package trial

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

type translated struct {
	Resources map[string]struct {
		Type       string
		Properties map[string]any
	}
}

func translate(t *testing.T, args ...string) translated {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{"translate.py"}, args...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the template can't be translated: %v\n%s", err, errs.String())
	}
	var tr translated
	if err := json.Unmarshal(out, &tr); err != nil {
		t.Fatal(err)
	}
	return tr
}

func (tr translated) ofType(kind string) []string {
	var names []string
	for name, r := range tr.Resources {
		if r.Type == kind {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// The template is one for all partitions, and what SAM adds by itself is what it should be.
func TestTranslation(t *testing.T) {
	for _, region := range []string{"us-west-2", "us-east-1", "us-gov-west-1", "cn-north-1"} {
		t.Run(region, func(t *testing.T) {
			tr := translate(t, region)
			for kind, want := range map[string]int{
				"AWS::Lambda::Function": 4, "AWS::IAM::Role": 4, "AWS::Logs::LogGroup": 5, "AWS::Events::Rule": 1,
				"AWS::ApiGateway::RestApi": 1, "AWS::ApiGateway::Deployment": 1, "AWS::ApiGateway::Stage": 1,
			} {
				if got := tr.ofType(kind); len(got) != want {
					t.Errorf("%s: %v, want %d", kind, got, want)
				}
			}
			for _, name := range tr.ofType("AWS::ApiGateway::Stage") {
				p := tr.Resources[name].Properties
				if p["StageName"] != "Prod" || p["TracingEnabled"] == true {
					t.Errorf("the stage is %v", p)
				}
			}
			for _, name := range tr.ofType("AWS::IAM::Role") {
				if _, ok := tr.Resources[name].Properties["RoleName"]; ok {
					t.Errorf("%s has a fixed name: two stacks would collide, and CAPABILITY_NAMED_IAM be needed", name)
				}
			}
			for _, name := range tr.ofType("AWS::Lambda::Function") {
				p := tr.Resources[name].Properties
				if _, ok := p["FunctionName"]; ok || p["Runtime"] != "provided.al2023" || p["Handler"] != "bootstrap" {
					t.Errorf("%s is %v", name, p)
				}
			}
		})
	}
}

// API Gateway takes up another resource policy only with a new deployment.
func TestOtherAddressesAreDeployed(t *testing.T) {
	const kind = "AWS::ApiGateway::Deployment"
	open, closed := translate(t, "us-west-2").ofType(kind), translate(t, "us-west-2", "AllowedCidrs=198.51.100.0/24").ofType(kind)
	if slices.Equal(open, closed) {
		t.Errorf("with other addresses there is the same deployment, %v", open)
	}
}
