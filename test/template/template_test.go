package template

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/setup"
)

// folders returns the folder of each function's main package.
func folders() map[string]string {
	return map[string]string{"ConfigsFunc": "configs", "SummaryFunc": "summary", "FindingsFunc": "findings", "StartScanFunc": "startscan"}
}

func TestFunctions(t *testing.T) {
	found := functions(t, load(t))
	if len(found) != len(folders()) {
		t.Errorf("the template has %d functions, want %d", len(found), len(folders()))
	}
	for name, folder := range folders() {
		f := found[name]
		want := object{
			"CodeUri": "dist/" + folder + "/", "Handler": "bootstrap", "Runtime": "provided.al2023", "Tracing": "Active",
			"Architectures": []any{"arm64"},
		}
		for property, v := range want {
			if diff := cmp.Diff(v, f[property]); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", name, property, diff)
			}
		}
		if _, err := os.Stat(filepath.Join("../..", folder, "main.go")); err != nil {
			t.Errorf("%s has no main: %v", name, err)
		}
	}
}

// Without SkipBuild, `sam build` would try to compile the folders of the executables.
func TestFunctionsSkipBuild(t *testing.T) {
	for name, f := range ofType(t, load(t), "AWS::Serverless::Function") {
		if at(t, f, "Metadata", "SkipBuild") != true {
			t.Errorf("%s: SkipBuild is missing", name)
		}
	}
}

// A function behind API Gateway must time out before the gateway does, and must have more time than its own time
// limit for a request.
func TestTimeouts(t *testing.T) {
	for name, f := range functions(t, load(t)) {
		timeout := f["Timeout"].(int)
		if name == "StartScanFunc" { // see TestVisitQueue
			continue
		}
		if timeout > 29 || float64(timeout) <= httpapi.Budget.Seconds() {
			t.Errorf("the timeout of %s is %d seconds: API Gateway waits 29 seconds, and a request takes up to %v", name, timeout, httpapi.Budget)
		}
	}
}

// The queues have the right types, and their timeouts fit together.
func TestVisitQueue(t *testing.T) {
	template := load(t)
	want := map[string]object{
		"VisitQueue": {
			"FifoQueue": true, "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId", "SqsManagedSseEnabled": true,
			"VisibilityTimeout": 600, "MessageRetentionPeriod": 6 * 60 * 60,
			"RedrivePolicy": object{"deadLetterTargetArn": object{"Fn::GetAtt": "VisitDeadLetters.Arn"}, "maxReceiveCount": 3},
		},
		"VisitDeadLetters": {"FifoQueue": true, "SqsManagedSseEnabled": true, "MessageRetentionPeriod": 60 * 60},
	}
	got := map[string]object{}
	for name, queue := range ofType(t, template, "AWS::SQS::Queue") {
		got[name] = at(t, queue, "Properties").(object) // queues have no names: a change of a queue's type replaces it, which needs another name
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the queues (-want +got):\n%s", diff)
	}
	var minutes int
	if _, err := fmt.Sscanf(at(t, template, "Parameters", "Schedule", "Default").(string), "rate(%d minutes)", &minutes); err != nil {
		t.Fatal(err)
	}
	visible := at(t, got["VisitQueue"], "VisibilityTimeout").(int)
	if receives := at(t, got["VisitQueue"], "RedrivePolicy", "maxReceiveCount").(int); visible*receives > minutes*60 {
		t.Errorf("a visit without a response is tried %d times for %d s each, but the next message is sent after %d minutes", receives, visible, minutes)
	}
	// Lambda retries a throttled invocation, so a visit may begin some time after its message was received.
	if timeout := functions(t, template)["StartScanFunc"]["Timeout"].(int); visible < 2*timeout {
		t.Errorf("a visit may take %d s, but its message is delivered again after %d s", timeout, visible)
	}
}

// Lambda passes the messages of the queue to the function one by one.
func TestVisitMapping(t *testing.T) {
	template := load(t)
	want := object{
		"FunctionName": object{"Ref": "StartScanFunc"}, "EventSourceArn": object{"Fn::GetAtt": "VisitQueue.Arn"}, "BatchSize": 1,
		"ScalingConfig": object{"MaximumConcurrency": object{"Ref": "ScanConcurrency"}},
	}
	mappings := ofType(t, template, "AWS::Lambda::EventSourceMapping")
	if len(mappings) != 1 {
		t.Errorf("there are %d mappings, want one", len(mappings))
	}
	for name, mapping := range mappings {
		if diff := cmp.Diff(want, at(t, mapping, "Properties")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for name, f := range functions(t, template) {
		for event, e := range at(t, f, "Events").(object) {
			if e.(object)["Type"] == "SQS" { // SAM adds a managed policy for every queue of the account
				t.Errorf("%s/%s is an event source of SAM", name, event)
			}
		}
	}
}

func TestQueuesRefuseCallsWithoutTLS(t *testing.T) {
	p := at(t, load(t), "Resources", "QueuePolicy", "Properties")
	if diff := cmp.Diff([]any{object{"Ref": "VisitQueue"}, object{"Ref": "VisitDeadLetters"}}, at(t, p, "Queues")); diff != "" {
		t.Errorf("the queues (-want +got):\n%s", diff)
	}
	want := []any{object{
		"Sid": "OnlyTLS", "Effect": "Deny", "Principal": "*", "Action": "sqs:*",
		"Resource":  []any{object{"Fn::GetAtt": "VisitQueue.Arn"}, object{"Fn::GetAtt": "VisitDeadLetters.Arn"}},
		"Condition": object{"Bool": object{"aws:SecureTransport": false}},
	}}
	if diff := cmp.Diff(want, at(t, p, "PolicyDocument", "Statement")); diff != "" {
		t.Errorf("the statements (-want +got):\n%s", diff)
	}
}

// Lambda creates a log group that is not declared, and its logs never expire.
func TestLogsExpire(t *testing.T) {
	template := load(t)
	groups := ofType(t, template, "AWS::Logs::LogGroup")
	for name, f := range functions(t, template) {
		group, _ := at(t, f, "LoggingConfig", "LogGroup").(object)["Ref"].(string)
		if groups[group] == nil {
			t.Fatalf("%s: the log group %q is not declared", name, group)
		}
	}
	for name, group := range groups {
		if diff := cmp.Diff(object{"Ref": "LogRetentionDays"}, at(t, group, "Properties", "RetentionInDays")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if len(groups) != len(folders())+1 {
		t.Errorf("there are %d log groups for %d functions and the access log", len(groups), len(folders()))
	}
}

func TestEnvironment(t *testing.T) {
	template := load(t)
	given := map[string]bool{}
	for name := range at(t, template, "Globals", "Function", "Environment", "Variables").(object) {
		given[name] = true
	}
	for _, f := range functions(t, template) {
		for name := range at(t, f, "Environment", "Variables").(object) {
			given[name] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(setup.Variables())), sorted(given)); diff != "" {
		t.Errorf("the variables that the code reads and the template sets differ (-code +template):\n%s", diff)
	}
}

// Only the functions that send visits have the URL of the queue.
func TestQueueURL(t *testing.T) {
	for name, f := range functions(t, load(t)) {
		var want any
		if name == "ConfigsFunc" || name == "StartScanFunc" {
			want = object{"Ref": "VisitQueue"}
		}
		if diff := cmp.Diff(want, at(t, f, "Environment", "Variables").(object)[setup.QueueURL]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRoutes(t *testing.T) {
	template := load(t)
	api := &httpapi.API{}
	want := map[string][]string{
		"ConfigsFunc": api.ConfigRoutes().Paths(), "SummaryFunc": api.SummaryRoutes().Paths(), "FindingsFunc": api.FindingsRoutes().Paths(), "StartScanFunc": nil,
	}
	for name, f := range functions(t, template) {
		var got []string
		for event, e := range at(t, f, "Events").(object) {
			if e.(object)["Type"] != "Api" {
				continue
			}
			properties := e.(object)["Properties"].(object)
			got = append(got, properties["Path"].(string))
			// The code handles HEAD, OPTIONS and 405.
			if properties["Method"] != "any" || !cmp.Equal(properties["RestApiId"], object{"Ref": "Api"}) {
				t.Errorf("%s/%s: %v", name, event, properties)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want[name], got); diff != "" {
			t.Errorf("%s: the routes of the code and of the template differ (-code +template):\n%s", name, diff)
		}
	}
}

func TestSchedule(t *testing.T) {
	template := load(t)
	var rules []any
	for _, e := range at(t, functions(t, template)["StartScanFunc"], "Events").(object) {
		if e.(object)["Type"] == "Schedule" { // an EventBridge rule whose name is generated
			rules = append(rules, at(t, e, "Properties", "Schedule"))
		}
	}
	if diff := cmp.Diff([]any{object{"Ref": "Schedule"}}, rules); diff != "" {
		t.Errorf("the schedules of StartScanFunc (-want +got):\n%s", diff)
	}
	if got := at(t, template, "Parameters", "Schedule", "Default"); got != "rate(30 minutes)" {
		t.Errorf("the default schedule is %v", got)
	}
}

// Errors of the gateway have the same format as errors of the code.
func TestGatewayResponses(t *testing.T) {
	responses := at(t, load(t), "Resources", "Api", "Properties", "GatewayResponses").(object)
	for kind, r := range responses {
		t.Run(kind, func(t *testing.T) {
			if got := at(t, r, "ResponseParameters", "Headers", "Content-Type"); got != "'application/problem+json'" {
				t.Errorf("the Content-Type is %v", got)
			}
			text, _ := at(t, r, "ResponseTemplates", "application/json").(string)
			status, _ := at(t, r, "StatusCode").(int)
			var problem struct{ Detail string }
			if err := json.Unmarshal([]byte(text), &problem); err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("{\n  \"type\": \"about:blank\",\n  \"title\": %q,\n  \"status\": %d,\n  \"detail\": %q\n}\n", http.StatusText(status), status, problem.Detail)
			if diff := cmp.Diff(want, text); diff != "" || problem.Detail == "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, kind := range []string{"DEFAULT_4XX", "DEFAULT_5XX"} {
		if responses[kind] == nil {
			t.Errorf("%s is missing", kind)
		}
	}
}

func TestUnknownPathIsTheSameEverywhere(t *testing.T) {
	api := &httpapi.API{Access: httpapi.OpenAccess(), Log: slog.New(slog.DiscardHandler)}
	server := httptest.NewServer(api.Handler(api.Routes()))
	defer server.Close()
	response, err := server.Client().Get(server.URL + "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	gateway := at(t, load(t), "Resources", "Api", "Properties", "GatewayResponses", "DEFAULT_4XX")
	if diff := cmp.Diff(string(body), at(t, gateway, "ResponseTemplates", "application/json")); diff != "" {
		t.Errorf("(-code +gateway):\n%s", diff)
	}
	if got := at(t, gateway, "StatusCode"); got != response.StatusCode {
		t.Errorf("the gateway answers %v, the code %d", got, response.StatusCode)
	}
}

// Traces of a stage contain query strings, which can contain a key. Therefore the stage writes no traces.
func TestStageHasNoTraces(t *testing.T) {
	api := at(t, load(t), "Resources", "Api", "Properties").(object)
	if api["TracingEnabled"] != nil || api["StageName"] != "Prod" || api["Cors"] != nil {
		t.Errorf("tracing %v, stage %v, CORS %v", api["TracingEnabled"], api["StageName"], api["Cors"])
	}
	for _, setting := range api["MethodSettings"].([]any) {
		for _, logs := range []string{"LoggingLevel", "DataTraceEnabled"} { // would log whole requests with their headers
			if setting.(object)[logs] != nil {
				t.Errorf("the stage has %s", logs)
			}
		}
	}
}

// Access logs are off by default and contain no field that can contain a key.
func TestAccessLogs(t *testing.T) {
	template := load(t)
	if got := at(t, template, "Parameters", "AccessLogs", "Default"); got != "false" {
		t.Errorf("the default is %v", got)
	}
	setting := at(t, template, "Resources", "Api", "Properties", "AccessLogSetting", "Fn::If").([]any)
	if diff := cmp.Diff([]any{"HasAccessLogs", object{"Ref": "AWS::NoValue"}}, []any{setting[0], setting[2]}); diff != "" {
		t.Errorf("the condition (-want +got):\n%s", diff)
	}
	if got := at(t, template, "Resources", "AccessLog", "Condition"); got != "HasAccessLogs" {
		t.Errorf("the log group's condition is %v", got)
	}
	format := at(t, setting[1], "Format").(string)
	var got map[string]string
	if err := json.Unmarshal([]byte(format), &got); err != nil || strings.Contains(format, "\n") {
		t.Fatalf("the format is not one line of JSON: %v\n%s", err, format)
	}
	want := map[string]string{"sourceIp": "$context.identity.sourceIp"}
	for _, name := range []string{"requestId", "requestTime", "httpMethod", "resourcePath", "status", "responseLength", "responseLatency"} {
		want[name] = "$context." + name
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the format (-want +got):\n%s", diff)
	}
}

// The hashes of keys are not shown. Without a key the API is not open.
func TestKeyParameters(t *testing.T) {
	template := load(t)
	for _, name := range []string{"ApiKeySha256", "ReadKeySha256"} {
		if p := at(t, template, "Parameters", name).(object); p["NoEcho"] != true || p["Default"] != "" {
			t.Errorf("%s: %v", name, p)
		}
	}
	for name, output := range at(t, template, "Outputs").(object) {
		if text := fmt.Sprint(output); strings.Contains(text, "Sha256") {
			t.Errorf("the output %s shows a hash: %s", name, text)
		}
	}
	for name, f := range functions(t, template) {
		_, got := at(t, f, "Environment", "Variables").(object)["ECR_SCAN_API_KEY_SHA256"]
		if got != (name != "StartScanFunc") {
			t.Errorf("%s has the hash of the key: %t", name, got)
		}
	}
}

// Badges are not public by default. Only SummaryFunc has the setting.
func TestPublicBadges(t *testing.T) {
	template := load(t)
	p := at(t, template, "Parameters", "PublicBadges").(object)
	if diff := cmp.Diff([]any{"false", []any{"false", "true"}}, []any{p["Default"], p["AllowedValues"]}); diff != "" {
		t.Errorf("the parameter (-want +got):\n%s", diff)
	}
	for name, f := range functions(t, template) {
		got := at(t, f, "Environment", "Variables").(object)[setup.PublicBadges]
		var want any
		if name == "SummaryFunc" {
			want = object{"Ref": "PublicBadges"}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParameters(t *testing.T) {
	template := load(t)
	text, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range at(t, template, "Parameters").(object) {
		parameter := p.(object)
		if description, _ := parameter["Description"].(string); !strings.HasSuffix(description, ".") {
			t.Errorf("%s has no description that ends with a full stop: %q", name, description)
		}
		if parameter["Default"] == nil {
			t.Errorf("%s has no default, so every deploy would have to set it", name)
		}
		if !regexp.MustCompile(`!Ref ` + name + `\b|\$\{` + name + `\}`).Match(text) {
			t.Errorf("%s is not used", name)
		}
	}
}

func TestOutputs(t *testing.T) {
	got := at(t, load(t), "Outputs", "ECRScanAPIEndpoint", "Value")
	want := object{"Fn::Sub": "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/Prod"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBucket(t *testing.T) {
	template := load(t)
	bucket := at(t, template, "Resources", "Bucket").(object)
	for _, key := range []string{"DeletionPolicy", "UpdateReplacePolicy"} {
		if policy, _ := bucket[key].(string); !strings.HasPrefix(policy, "Retain") {
			t.Errorf("%s is %q, so configs could be lost", key, policy)
		}
	}
	properties := at(t, bucket, "Properties").(object)
	if properties["BucketName"] != nil {
		t.Error("the bucket has a fixed name: a second stack could not be created")
	}
	for setting, v := range at(t, properties, "PublicAccessBlockConfiguration").(object) {
		if v != true {
			t.Errorf("%s is %v", setting, v)
		}
	}
	if n := len(at(t, properties, "PublicAccessBlockConfiguration").(object)); n != 4 {
		t.Errorf("%d of the 4 settings against public access are set", n)
	}
	at(t, properties, "BucketEncryption", "ServerSideEncryptionConfiguration")
	if got := at(t, properties, "VersioningConfiguration", "Status"); got != "Enabled" {
		t.Errorf("versioning is %v", got)
	}
	statements := at(t, template, "Resources", "BucketPolicy", "Properties", "PolicyDocument", "Statement").([]any)
	want := object{"Bool": object{"aws:SecureTransport": "false"}}
	if s := statements[0].(object); s["Effect"] != "Deny" || s["Action"] != "s3:*" || !cmp.Equal(s["Condition"], want) {
		t.Errorf("the bucket accepts calls without TLS: %v", s)
	}
}
