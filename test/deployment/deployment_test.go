//go:build deployment

package deployment

import (
	"encoding/json"
	"encoding/xml"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/test/awstest"
)

// The summary of the walkthrough's three configs.
const summary = awstest.WalkthroughSummary

// The user has only credentials, and the deploy creates everything. The test covers all commands from the first
// deploy to the end.
func TestLifeOfAStack(t *testing.T) {
	t.Parallel()
	s := startStandIn(t)
	s.seed()
	out := s.shell("make deploy PARAMETERS=\"'Schedule=rate(12 hours)' LogRetentionDays=90\"")
	first := s.keys()
	want(t, out, "Created bucket ecr-continuous-scan-svc-123456789012-us-west-2", "The API is at https://", first.API, first.Read, "?key=<read key>")
	s.useAPI(first.API)
	// Older instructions read the output this way.
	byHand := s.shell(`aws cloudformation describe-stacks --stack-name ecr-continuous-scan | jq '.Stacks[].Outputs[] | select(.OutputKey=="ECRScanAPIEndpoint").OutputValue' -r`)
	if !strings.HasPrefix(byHand, "https://") || strings.Replace(byHand, "https", "http", 1) != s.shell("echo $PLAIN") || !strings.HasSuffix(byHand, ".execute-api.us-west-2.amazonaws.com/Prod\n") {
		t.Errorf("the stack's output is %q", byHand)
	}
	s.setenv("AWS_REGION", region) // until here each command read it from the profile with the AWS CLI

	s.walkthrough()
	s.checkErrors()
	s.checkAccess(first)
	s.checkStatusAndLogs()
	s.checkPermissions()

	code := s.codeHashes()
	s.deployFromAnotherMachine()
	if again := s.codeHashes(); !maps.Equal(again, code) {
		t.Errorf("a deploy without a change replaced functions: %v, before %v", again, code)
	}
	writeFile(t, filepath.Join(s.project, "configs", "changed.go"), "package main\n\nimport \"os\"\n\nfunc init() { os.Stderr.WriteString(\"changed\\n\") }\n")
	want(t, s.shell("make deploy"), "Successfully created/updated stack")
	changed := s.codeHashes()
	for name, hash := range changed {
		if changed := hash != code[name]; changed != strings.Contains(name, "ConfigsFunc") {
			t.Errorf("%s: replaced: %t", name, changed)
		}
	}
	if s.keys() != first {
		t.Error("the deploy changed the keys")
	}
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"repository": "test/centos"`)

	second := s.rotateKeys(first)
	if !maps.Equal(s.codeHashes(), changed) {
		t.Error("make rotate-key replaced functions")
	}
	want(t, s.shell("make logs"), "Configs   changed\n") // prints all logs for checkLeaks
	s.checkLeaks(map[string][]string{
		first.API:              {"make deploy PARAMETERS=", "make -s url"},
		first.Read:             {"make deploy PARAMETERS="},
		s.shell("printf $OWN"): {"make -s url CONFIG=$ID", "curl -s $PLAIN/findings/$ID?key=$OWN", "curl -s $PLAIN/findings/$ID?key=$READ", "printf $OWN"},
		second.API:             {"make rotate-key", "make -s url"}, second.Read: {"make rotate-key KEY=read"},
	})
	s.destroyAndDeployAgain()
}

// deployFromAnotherMachine deploys without a change from a machine that does not have the keys.
func (s *standIn) deployFromAnotherMachine() {
	t := s.t
	t.Helper()
	s.shell("mv .ecr-scan-keys elsewhere")
	want(t, s.shell("make deploy"), "No changes to deploy", "The API's key was not changed, but this machine does not have it")
	want(t, s.shell("make status"), "Schedule=rate(12 hours)", "LogRetentionDays=90", "keys       full and read")
	url, _, errs := s.try("make -s url")
	if strings.Contains(url, "@") || !strings.Contains(errs, "this machine does not have the API's key: set ECR_SCAN_API_KEY") {
		t.Errorf("make url on another machine prints %q, %q", url, errs)
	}
	s.shell("mv elsewhere .ecr-scan-keys")
}

// destroyAndDeployAgain destroys the stack, then deploys again with the bucket that was kept.
func (s *standIn) destroyAndDeployAgain() {
	t := s.t
	t.Helper()
	bucket := s.bucket()
	want(t, s.shell("make destroy"), "Deleted stack ecr-continuous-scan", "Kept: bucket "+bucket, "Removed bucket ecr-continuous-scan-svc-123456789012-us-west-2", "Removed its keys from this machine.")
	if _, code, errs := s.try("make status"); code == 0 || !strings.Contains(errs, "there is no stack ecr-continuous-scan in us-west-2: run `make deploy`") {
		t.Errorf("make status of a deleted stack: code %d, %s", code, errs)
	}
	if left := strings.Fields(s.shell("aws s3api list-buckets | jq -r .Buckets[].Name")); !slices.Equal(left, []string{bucket}) {
		t.Errorf("the buckets %q are left, want only the one of the configs", left)
	}
	want(t, s.shell("make destroy"), "There is no stack ecr-continuous-scan in us-west-2.")

	s.setenv("ECR_SCAN_CONFIG_BUCKET", bucket)
	if _, code, errs := s.try("ECR_SCAN_API_KEY=none make deploy"); code != 0 || !strings.Contains(errs, "warning: ECR_SCAN_API_KEY=none: everyone who knows the URL") {
		t.Errorf("an open deploy: code %d, %s", code, errs)
	}
	s.useAPI("")
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"repository": "test/centos"`)
	want(t, s.shell("make deploy"), s.keys().API)
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"status": 401`)
	s.useAPI(s.keys().API)
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"repository": "test/centos"`)
}

// The user creates two buckets before the deploy. The bucket for configs contains a config of the original demo.
func TestDeployWithExistingBuckets(t *testing.T) {
	t.Parallel()
	s := startStandIn(t)
	s.seed()
	s.setenv("AWS_REGION", region)
	s.setenv("ECR_SCAN_SVC_BUCKET", "ecr-continuous-scan-svc")
	s.setenv("ECR_SCAN_CONFIG_BUCKET", "ecr-continuous-scan-config")
	if _, code, errs := s.try("make deploy"); code == 0 || !strings.Contains(errs, "bucket ecr-continuous-scan-config, named by ECR_SCAN_CONFIG_BUCKET, does not exist") {
		t.Errorf("deploy without the buckets: code %d, %s", code, errs)
	}
	for _, bucket := range []string{"$ECR_SCAN_SVC_BUCKET", "$ECR_SCAN_CONFIG_BUCKET"} {
		s.shell("aws s3api create-bucket --bucket " + bucket + " --create-bucket-configuration LocationConstraint=us-west-2")
	}
	const old = `{"id":"4471c156-29f5-40fe-883b-3cd26738d5a6","created":"1569927812","region":"us-west-2","registry":"123456789012","repository":"amazonlinux","tags":["2018.03"]}`
	s.shell("echo '" + old + "' | aws s3 cp - s3://$ECR_SCAN_CONFIG_BUCKET/4471c156-29f5-40fe-883b-3cd26738d5a6.json")
	s.shell("echo 'another file' | aws s3 cp - s3://$ECR_SCAN_CONFIG_BUCKET/notes.txt")

	// The user's own key, access logs, and a web origin.
	own := "a-key-of-the-users" + "-own/+&="
	s.setenv("ECR_SCAN_API_KEY", own)
	const deploy = "make deploy PARAMETERS='AccessLogs=true AllowedOrigin=https://example.org'"
	if out, code, errs := s.try(deploy); code == 0 || !strings.Contains(errs, "AccessLogs=true needs a role with which API Gateway writes logs in us-west-2") || strings.Contains(out+errs, "Uploading") {
		t.Errorf("a deploy with access logs but without a role for them: code %d, %s%s", code, out, errs)
	}
	s.shell("aws apigateway update-account --patch-operations op=replace,path=/cloudwatchRoleArn,value=arn:aws:iam::123456789012:role/api-gateway-logs")
	want(t, s.shell(deploy), "The API is at https://", "the API has no read key: `make rotate-key KEY=read` creates one")
	s.useAPI(own)
	s.checkOrigins()
	s.shell("make logs FUNCTIONS=configs")
	s.checkLeaks(map[string][]string{own: {"make -s url"}})
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs/"), `"id": "4471c156-29f5-40fe-883b-3cd26738d5a6"`, `"created": "1569927812"`)
	want(t, s.shell("curl -s $ECRSCANAPI_URL/summary"), "Results for amazonlinux:2018.03 in us-west-2:\n NOT SCANNED\n")
	want(t, s.shell("curl -s -o /dev/null -w '%{http_code}' --request DELETE $ECRSCANAPI_URL/configs/4471c156-29f5-40fe-883b-3cd26738d5a6"), "204")

	want(t, s.shell("make destroy"), "Kept: bucket ecr-continuous-scan-config", "Kept: bucket ecr-continuous-scan-svc")
	want(t, s.shell("aws s3 ls s3://$ECR_SCAN_CONFIG_BUCKET"), "notes.txt")
	if buckets := s.shell("aws s3api list-buckets | jq -r .Buckets[].Name"); strings.Count(buckets, "\n") != 2 {
		t.Errorf("there are more buckets than the user's two:\n%s", buckets)
	}
	s.setenv("BUCKET", "ecr-continuous-scan-svc")
	s.checkCLI()
}

// useAPI sets ECRSCANAPI_URL as users do, and PLAIN to the same URL without the key. The stand-in's gateway does
// not support TLS.
func (s *standIn) useAPI(key string) {
	s.t.Helper()
	made, err := url.Parse(strings.TrimSpace(s.shell("make -s url")))
	if err != nil {
		s.t.Fatal(err)
	}
	if got, _ := made.User.Password(); got != key || made.Scheme != "https" {
		s.t.Error("make url prints another scheme or key")
	}
	made.Scheme = "http"
	s.setenv("ECRSCANAPI_URL", made.String())
	made.User = nil
	s.setenv("PLAIN", made.String())
}

// walkthrough makes the calls of the README's walkthrough.
func (s *standIn) walkthrough() {
	t := s.t
	t.Helper()
	if out := s.shell("curl -s $ECRSCANAPI_URL/configs/"); out != "[]\n" {
		t.Errorf("before the first config, the configs are %q", out)
	}
	for _, name := range []string{"amazonlinux", "centos", "ubuntu"} {
		s.shell(`curl -s --fail-with-body --header "Content-Type: application/json" --request POST --data @scan-config-` + name + `.json $ECRSCANAPI_URL/configs/`)
	}
	got := s.shell(`curl -s $ECRSCANAPI_URL/configs/ | jq -c '[.[] | [.region, .registry, .repository, .tags]]'`)
	if want := `[["us-west-2","123456789012","amazonlinux",["2018.03"]],["us-west-2","123456789012","test/centos",null],["us-west-2","123456789012","test/ubuntu",["16.04","latest"]]]`; strings.TrimSpace(got) != want {
		t.Errorf("the configs are\n%s, want\n%s", got, want)
	}
	// Each new config starts a visit, which starts the scans. The next visit records the results.
	s.awaitVisits()
	s.scanNow()
	s.waitFor("curl -s $ECRSCANAPI_URL/summary", func(out string) bool { return out == summary })
	for _, path := range []string{"/summary", "/summary/"} {
		if got := s.shell("curl -s $ECRSCANAPI_URL" + path); got != summary {
			t.Errorf("%s is\n%s\nwant\n%s", path, got, summary)
		}
	}
	// The next schedule sends visits in which no scan is due.
	if report := s.scanNow(); report.Configs != 3 || report.Repositories != 3 || report.Sent != 3 || report.NotSent != 0 || len(report.Problems) > 0 {
		t.Errorf("the schedule's report: %+v", report)
	}
	const nothingDue = `"started":0,"scannedWithin24h":2`
	s.waitFor("make -s logs FUNCTIONS=startscan", func(out string) bool { return strings.Contains(out, nothingDue) })

	s.setenv("ID", strings.TrimSpace(s.shell(`curl -s $ECRSCANAPI_URL/configs | jq -r '.[] | select(.repository=="test/ubuntu").id'`)))
	s.checkFeed(s.shell("curl -s $ECRSCANAPI_URL/findings/$ID"))

	s.setenv("ID", strings.TrimSpace(s.shell(`curl -s $ECRSCANAPI_URL/configs | jq -r '.[] | select(.repository=="amazonlinux").id'`)))
	for _, status := range []string{"204", "404"} {
		want(t, s.shell(`curl -s -o /dev/null -w '%{http_code}' --request DELETE $ECRSCANAPI_URL/configs/$ID`), status)
	}
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs | jq length"), "2")
	// The next visit deletes the record of a repository that has no config.
	s.setenv("BUCKET", s.bucket())
	records := "aws s3api list-objects-v2 --bucket $BUCKET --prefix record/123456789012/us-west-2/amazonlinux/ | jq -r '.Contents[]?.Key'"
	want(t, s.shell(records), "record/123456789012/us-west-2/amazonlinux/")
	s.scanNow()
	s.waitFor(records, func(out string) bool { return out == "" })
	s.watchAll(records)
}

// watchAll adds a config that watches all repositories, until the output of records shows that another one is visited, and deletes it again.
func (s *standIn) watchAll(records string) {
	s.t.Helper()
	s.setenv("ID", strings.TrimSpace(s.shell(`curl -s --header "Content-Type: application/json" --request POST --data '{"region":"us-west-2","registry":"123456789012","repository":"*"}' $ECRSCANAPI_URL/configs | jq -r .id`)))
	s.waitFor(records, func(out string) bool { return out != "" })
	want(s.t, s.shell("curl -s $ECRSCANAPI_URL/findings/$ID"), "[amazonlinux]")
	s.shell("curl -s --request DELETE $ECRSCANAPI_URL/configs/$ID")
	s.awaitVisits()
	s.scanNow()
	s.waitFor(records, func(out string) bool { return out == "" })
}

// report is the report of a schedule.
type report struct {
	Configs, Repositories, Sent, NotSent, Waiting int
	Problems                                      []json.RawMessage
}

// waitFor repeats a command until its output is right, because the functions handle messages asynchronously.
func (s *standIn) waitFor(command string, right func(out string) bool) {
	s.t.Helper()
	var out string
	for range 60 {
		if out = s.shell(command); right(out) {
			return
		}
		time.Sleep(time.Second)
	}
	s.t.Errorf("%s did not print what is expected; the last output is\n%s", command, out)
}

// awaitVisits waits until the queue is empty and no visit is running.
func (s *standIn) awaitVisits() {
	s.t.Helper()
	s.waitFor(`
		url=$(aws --endpoint-url $AWS_ENDPOINT_URL sqs list-queues | jq -r '.QueueUrls[] | select(contains("VisitQueue"))')
		aws --endpoint-url $AWS_ENDPOINT_URL sqs get-queue-attributes --attribute-names All --queue-url $url |
			jq -r '.Attributes | .ApproximateNumberOfMessages + " " + .ApproximateNumberOfMessagesNotVisible'`,
		func(out string) bool { return out == "0 0\n" })
}

func (s *standIn) scanNow() report {
	s.t.Helper()
	var r report
	if out := s.shell("make -s scan-now"); json.Unmarshal([]byte(out), &r) != nil {
		s.t.Errorf("make scan-now printed %q, which is not a report", out)
	}
	return r
}

func (s *standIn) checkFeed(text string) {
	s.t.Helper()
	var feed struct {
		XMLName xml.Name
		Title   string `xml:"title"`
		Entries []struct {
			ID    string `xml:"id"`
			Title string `xml:"title"`
		} `xml:"entry"`
	}
	if err := xml.Unmarshal([]byte(text), &feed); err != nil {
		s.t.Fatalf("the feed is invalid: %v\n%s", err, text)
	}
	if feed.XMLName.Space != "http://www.w3.org/2005/Atom" || feed.Title != "ECR repository test/ubuntu in us-west-2" || len(feed.Entries) != 80 {
		s.t.Errorf("the feed %v %q has %d entries, want 80", feed.XMLName, feed.Title, len(feed.Entries))
	}
	ids, titles := map[string]bool{}, map[string]bool{}
	for _, e := range feed.Entries {
		ids[e.ID], titles[e.Title] = true, true
	}
	if len(ids) != len(feed.Entries) {
		s.t.Errorf("%d entries share %d ids", len(feed.Entries), len(ids))
	}
	if title := "[MEDIUM] in image test/ubuntu:16.04 found CVE-2016-1585"; !titles[title] {
		s.t.Errorf("no entry has the title %q", title)
	}
}

// checkErrors checks that errors of the functions and of the gateway have the same format.
func (s *standIn) checkErrors() {
	tests := map[string]struct{ curl, status string }{
		"unknown path":            {"$ECRSCANAPI_URL/nothing/here", "404"},
		"unknown path, wrong key": {"-u ecr:key $PLAIN/nothing", "404"},
		"unknown config":          {"$ECRSCANAPI_URL/findings/4471c156-29f5-40fe-883b-3cd26738d5a6", "404"},
		"unknown method":          {"--request PATCH $ECRSCANAPI_URL/summary", "405"},
		"an invalid config":       {"--json '{}' $ECRSCANAPI_URL/configs", "400"},
	}
	for name, tt := range tests {
		s.t.Run(name, func(t *testing.T) {
			out := s.shell(`curl -s -w '\n%{http_code} %{content_type}' ` + tt.curl)
			body, last, _ := strings.Cut(out, "\n\n")
			var problem struct {
				Type, Title, Detail string
				Status              json.Number
			}
			if err := json.Unmarshal([]byte(body), &problem); err != nil {
				t.Fatalf("%v: %q", err, out)
			}
			if last != tt.status+" application/problem+json" || problem.Status.String() != tt.status || problem.Title == "" || problem.Detail == "" || problem.Type == "" {
				t.Errorf("the response is %s", out)
			}
		})
	}
	want(s.t, s.shell("curl -s -I $ECRSCANAPI_URL/summary"), "HTTP/1.1 200 OK")
	want(s.t, s.shell("curl -s -i $ECRSCANAPI_URL/"), "303 See Other", "Location: https://", "/Prod/summary")
	want(s.t, s.shell("curl -s -i --request OPTIONS $ECRSCANAPI_URL/configs"), "204 No Content", "Allow: GET, HEAD, OPTIONS, POST")
	want(s.t, s.shell(`curl -s -i --json @scan-config-ubuntu.json $ECRSCANAPI_URL/configs`), "201 Created", "Location: https://")
}

// checkStatusAndLogs runs the commands that show the state of a stack.
func (s *standIn) checkStatusAndLogs() {
	status := s.shell("make status")
	want(s.t, status, "ecr-continuous-scan in us-west-2, CREATE_COMPLETE", "version    1.", "https://", "s3://ecr-continuous-scan-")
	for _, name := range []string{"ConfigsFunc", "SummaryFunc", "FindingsFunc", "StartScanFunc"} {
		want(s.t, status, name)
	}
	logs := s.shell("make logs")
	want(s.t, logs, "StartScan", `"configs":3`)
	if only := s.shell("make logs FUNCTIONS=summary"); strings.Contains(only, "StartScan") {
		s.t.Errorf("make logs FUNCTIONS=summary prints the log of another function:\n%s", only)
	}
}

// checkPermissions compares what each function did with the permissions of its deployed role. The stand-in refuses
// calls without permission, which makes an earlier step fail.
func (s *standIn) checkPermissions() {
	t := s.t
	t.Helper()
	if text, err := os.ReadFile(s.log.Name()); err != nil || strings.Contains(string(text), " may not ") {
		t.Errorf("a function lacks a permission: %v\n%s", err, s.lastLog(6000))
	}
	// Without records, reads call ECR. The queue must be empty, so that no visit creates a record.
	s.awaitVisits()
	bucket := s.bucket()
	want(t, s.shell("aws s3 rm --recursive s3://"+bucket+"/record/"), "delete: s3://"+bucket+"/record/123456789012/us-west-2/test~centos/index")
	for _, path := range []string{"/findings/all", "/summary"} {
		s.shell("curl -s --fail $ECRSCANAPI_URL" + path)
	}
	if records := s.shell("aws s3api list-objects-v2 --bucket " + bucket + " --prefix record/ | jq -r '.Contents[]?.Key'"); records != "" {
		t.Errorf("a read stored\n%s", records)
	}
	var functions []struct {
		Function   string
		Tried, May []string
	}
	if err := json.Unmarshal([]byte(s.shell("curl -s $AWS_ENDPOINT_URL/deployment/permissions")), &functions); err != nil {
		t.Fatal(err)
	}
	if len(functions) != 4 {
		t.Errorf("%d functions have run, want 4", len(functions))
	}
	// No function calls these, but other things need them: they make a missing object a 404, enhanced findings need
	// them, and Lambda receives messages with the function's role. The stand-in has no image index.
	indirect := []string{
		"s3:ListBucket", "inspector2:ListCoverage", "inspector2:ListFindings", "ecr:BatchGetRepositoryScanningConfiguration",
		"sqs:ReceiveMessage", "sqs:DeleteMessage", "ecr:BatchGetImage",
	}
	for _, f := range functions {
		for _, action := range f.May {
			if !slices.Contains(f.Tried, action) && !slices.Contains(indirect, action) {
				t.Errorf("%s has the permission %s but does not use it", f.Function, action)
			}
		}
	}
}

// codeHashes returns the hashes of the functions' code, by function name.
func (s *standIn) codeHashes() map[string]string {
	s.t.Helper()
	hashes := map[string]string{}
	for line := range strings.Lines(s.shell(`aws lambda list-functions | jq -r '.Functions[] | .FunctionName + " " + .CodeSha256'`)) {
		name, hash, _ := strings.Cut(strings.TrimSpace(line), " ")
		hashes[name] = hash
	}
	if len(hashes) != 4 {
		s.t.Fatalf("%d functions are deployed, want 4", len(hashes))
	}
	return hashes
}

// want checks that a text contains all parts.
func want(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
}
