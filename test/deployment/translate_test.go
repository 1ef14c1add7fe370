//go:build deployment

package deployment

import (
	"encoding/json"
	"os/exec"
	"reflect"
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
		t.Fatalf("cannot translate the template: %v\n%s", err, errs.String())
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

// The template works in all partitions, and SAM adds only the expected resources.
func TestTranslation(t *testing.T) {
	for _, region := range []string{"us-west-2", "us-east-1", "us-gov-west-1", "cn-north-1"} {
		t.Run(region, func(t *testing.T) {
			tr := translate(t, region)
			for kind, want := range map[string]int{
				"AWS::Lambda::Function": 4, "AWS::IAM::Role": 4, "AWS::Logs::LogGroup": 5, "AWS::Events::Rule": 1, "AWS::SQS::Queue": 2,
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
					t.Errorf("%s has a fixed name: two stacks would collide, and the deploy would need CAPABILITY_NAMED_IAM", name)
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

// SAM adds managed policies to the roles. They must only permit logs and traces.
func TestManagedPolicies(t *testing.T) {
	tr := translate(t, "us-west-2")
	roles := tr.ofType("AWS::IAM::Role")
	if len(roles) != 4 {
		t.Errorf("the roles are %v, want one for each function", roles)
	}
	for _, role := range roles {
		policies, _ := tr.Resources[role].Properties["ManagedPolicyArns"].([]any)
		var names []string
		for _, arn := range policies {
			text, _ := arn.(string)
			names = append(names, text[strings.LastIndex(text, "/")+1:])
		}
		slices.Sort(names)
		if want := []string{"AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}; !slices.Equal(names, want) {
			t.Errorf("%s has the managed policies %v, want %v", role, policies, want)
		}
	}
	if kinds := tr.ofType("AWS::IAM::Policy"); len(kinds)+len(tr.ofType("AWS::IAM::ManagedPolicy")) > 0 {
		t.Errorf("there are policies outside the roles: %v", kinds)
	}
}

// SummaryFunc and FindingsFunc have no permission to write. Their roles contain only the statements of the template.
func TestReadersHaveNoPermissionToWrite(t *testing.T) {
	tr := translate(t, "us-west-2")
	for _, role := range []string{"SummaryFuncRole", "FindingsFuncRole"} {
		policies, _ := tr.Resources[role].Properties["Policies"].([]any)
		if len(policies) != 1 {
			t.Fatalf("%s has %d inline policies, want one", role, len(policies))
		}
		document := policies[0].(map[string]any)["PolicyDocument"].(map[string]any)
		for _, statement := range document["Statement"].([]any) {
			if choice, ok := statement.(map[string]any)["Fn::If"].([]any); ok {
				statement = choice[1]
			}
			action := statement.(map[string]any)["Action"]
			actions, ok := action.([]any)
			if !ok {
				actions = []any{action}
			}
			for _, action := range actions {
				_, name, _ := strings.Cut(action.(string), ":")
				if action == "sts:AssumeRole" { // test/template checks what the role permits
					continue
				}
				if !slices.ContainsFunc([]string{"Get", "BatchGet", "List", "Describe"}, func(word string) bool { return strings.HasPrefix(name, word) }) {
					t.Errorf("%s may %v", role, action)
				}
			}
		}
	}
}

// The permissions for the queue are part of the function's role, so they exist before the event source mapping.
func TestMappingIsCreatedAfterTheRole(t *testing.T) {
	tr := translate(t, "us-west-2")
	mappings := tr.ofType("AWS::Lambda::EventSourceMapping")
	if !slices.Equal(mappings, []string{"VisitMapping"}) {
		t.Fatalf("the mappings are %v", mappings)
	}
	if got, want := tr.Resources["VisitMapping"].Properties["FunctionName"], any(map[string]any{"Ref": "StartScanFunc"}); !reflect.DeepEqual(got, want) {
		t.Errorf("the mapping refers to %v, want %v", got, want)
	}
	if got, want := tr.Resources["StartScanFunc"].Properties["Role"], any(map[string]any{"Fn::GetAtt": []any{"StartScanFuncRole", "Arn"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("the function refers to %v, want %v", got, want)
	}
}

// API Gateway only applies a changed resource policy with a new deployment.
func TestChangedAddressesCreateADeployment(t *testing.T) {
	const kind = "AWS::ApiGateway::Deployment"
	open, closed := translate(t, "us-west-2").ofType(kind), translate(t, "us-west-2", "AllowedCidrs=198.51.100.0/24").ofType(kind)
	if slices.Equal(open, closed) {
		t.Errorf("with other addresses the deployment is the same, %v", open)
	}
}
