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

// Nothing but credentials: the deploy makes what it needs. Then the whole life of a stack.
func TestFromNothing(t *testing.T) {
	t.Parallel()
	s := startStandIn(t)
	s.seed()
	out := s.shell("make deploy PARAMETERS=\"'Schedule=rate(12 hours)' LogRetentionDays=90\"")
	first := s.keys()
	want(t, out, "Made bucket ecr-continuous-scan-svc-123456789012-us-west-2", "The API is at https://", first.API, first.Read, "?key=<read key>")
	s.useAPI(first.API)
	// As users do who follow older instructions.
	byHand := s.shell(`aws cloudformation describe-stacks --stack-name ecr-continuous-scan | jq '.Stacks[].Outputs[] | select(.OutputKey=="ECRScanAPIEndpoint").OutputValue' -r`)
	if !strings.HasPrefix(byHand, "https://") || strings.Replace(byHand, "https", "http", 1) != s.shell("echo $PLAIN") || !strings.HasSuffix(byHand, ".execute-api.us-west-2.amazonaws.com/Prod\n") {
		t.Errorf("the stack's output is %q", byHand)
	}
	s.setenv("AWS_REGION", region) // so far it came from the profile, by a call of the AWS CLI each time

	s.walkthrough()
	s.refusals()
	s.access(first)
	s.operate()
	s.permissions()

	code := s.codeHashes()
	s.elsewhere()
	if again := s.codeHashes(); !maps.Equal(again, code) {
		t.Errorf("a deploy without a change replaced functions: %v, %v before", again, code)
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

	second := s.rotate(first)
	if !maps.Equal(s.codeHashes(), changed) {
		t.Error("make rotate-key replaced functions")
	}
	want(t, s.shell("make logs"), "Configs   changed\n") // with all else that the functions logged, for the search
	s.secrets(map[string][]string{
		first.API:  {"make deploy PARAMETERS=", "make -s url"},
		first.Read: {"make deploy PARAMETERS=", "curl -s $PLAIN/findings/$ID?key=$READ"},
		second.API: {"make rotate-key", "make -s url"}, second.Read: {"make rotate-key KEY=read"},
	})
	s.end()
}

// elsewhere deploys, without a change, from a machine that doesn't have the keys.
func (s *standIn) elsewhere() {
	t := s.t
	t.Helper()
	s.shell("mv .ecr-scan-keys elsewhere")
	want(t, s.shell("make deploy"), "No changes to deploy", "It has a key that this machine doesn't have, and keeps it")
	want(t, s.shell("make status"), "Schedule=rate(12 hours)", "LogRetentionDays=90", "keys       full and read")
	url, _, errs := s.try("make -s url")
	if strings.Contains(url, "@") || !strings.Contains(errs, "this machine doesn't have the API's key: set ECR_SCAN_API_KEY") {
		t.Errorf("make url on another machine prints %q, %q", url, errs)
	}
	s.shell("mv elsewhere .ecr-scan-keys")
}

// end destroys the stack, and deploys once more with the bucket that stays.
func (s *standIn) end() {
	t := s.t
	t.Helper()
	bucket := s.bucket()
	want(t, s.shell("make destroy"), "Deleted stack ecr-continuous-scan", "Kept: bucket "+bucket, "Removed bucket ecr-continuous-scan-svc-123456789012-us-west-2", "Removed its keys from this machine.")
	if _, code, errs := s.try("make status"); code == 0 || !strings.Contains(errs, "there is no stack ecr-continuous-scan in us-west-2: run `make deploy`") {
		t.Errorf("make status of a stack that is gone: code %d, %s", code, errs)
	}
	if left := strings.Fields(s.shell("aws s3api list-buckets | jq -r .Buckets[].Name")); !slices.Equal(left, []string{bucket}) {
		t.Errorf("the buckets %q are left, want the one of the configs", left)
	}
	want(t, s.shell("make destroy"), "There is no stack ecr-continuous-scan in us-west-2.")

	s.setenv("ECR_SCAN_CONFIG_BUCKET", bucket)
	if _, code, errs := s.try("ECR_SCAN_API_KEY=none make deploy"); code != 0 || !strings.Contains(errs, "warning: ECR_SCAN_API_KEY=none: whoever knows the URL") {
		t.Errorf("an open deploy: code %d, %s", code, errs)
	}
	s.useAPI("")
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"repository": "test/centos"`)
	want(t, s.shell("make deploy"), s.keys().API)
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"status": 401`)
	s.useAPI(s.keys().API)
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"repository": "test/centos"`)
}

// The walkthrough's way: two buckets made beforehand. The one for configs was in use by the demo that this service follows.
func TestGivenBuckets(t *testing.T) {
	t.Parallel()
	s := startStandIn(t)
	s.seed()
	s.setenv("AWS_REGION", region)
	s.setenv("ECR_SCAN_SVC_BUCKET", "ecr-continuous-scan-svc")
	s.setenv("ECR_SCAN_CONFIG_BUCKET", "ecr-continuous-scan-config")
	if _, code, errs := s.try("make deploy"); code == 0 || !strings.Contains(errs, "there is no bucket ecr-continuous-scan-config, which ECR_SCAN_CONFIG_BUCKET names") {
		t.Errorf("deploy without the buckets: code %d, %s", code, errs)
	}
	for _, bucket := range []string{"$ECR_SCAN_SVC_BUCKET", "$ECR_SCAN_CONFIG_BUCKET"} {
		s.shell("aws s3api create-bucket --bucket " + bucket + " --create-bucket-configuration LocationConstraint=us-west-2")
	}
	const old = `{"id":"4471c156-29f5-40fe-883b-3cd26738d5a6","created":"1569927812","region":"us-west-2","registry":"123456789012","repository":"amazonlinux","tags":["2018.03"]}`
	s.shell("echo '" + old + "' | aws s3 cp - s3://$ECR_SCAN_CONFIG_BUCKET/4471c156-29f5-40fe-883b-3cd26738d5a6.json")
	s.shell("echo 'left by somebody' | aws s3 cp - s3://$ECR_SCAN_CONFIG_BUCKET/notes.txt")

	// A key of the user's own, access logs, and a web origin.
	own := "a-key-of-the-users" + "-own/+&="
	s.setenv("ECR_SCAN_API_KEY", own)
	const deploy = "make deploy PARAMETERS='AccessLogs=true AllowedOrigin=https://example.org'"
	if out, code, errs := s.try(deploy); code == 0 || !strings.Contains(errs, "API Gateway may not write logs in us-west-2 yet") || strings.Contains(out+errs, "Uploading") {
		t.Errorf("a deploy with access logs, and no role for them: code %d, %s%s", code, out, errs)
	}
	s.shell("aws apigateway update-account --patch-operations op=replace,path=/cloudwatchRoleArn,value=arn:aws:iam::123456789012:role/api-gateway-logs")
	want(t, s.shell(deploy), "The API is at https://", "there is none yet: `make rotate-key KEY=read` makes one")
	s.useAPI(own)
	s.origins()
	s.shell("make logs FUNCTIONS=configs")
	s.secrets(map[string][]string{own: {"make -s url"}})
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs/"), `"id": "4471c156-29f5-40fe-883b-3cd26738d5a6"`, `"created": "1569927812"`)
	want(t, s.shell("curl -s $ECRSCANAPI_URL/summary"), "Results for amazonlinux:2018.03 in us-west-2:\n NOT SCANNED\n")
	want(t, s.shell("curl -s -o /dev/null -w '%{http_code}' --request DELETE $ECRSCANAPI_URL/configs/4471c156-29f5-40fe-883b-3cd26738d5a6"), "204")

	want(t, s.shell("make destroy"), "Kept: bucket ecr-continuous-scan-config", "Kept: bucket ecr-continuous-scan-svc")
	want(t, s.shell("aws s3 ls s3://$ECR_SCAN_CONFIG_BUCKET"), "notes.txt")
	if buckets := s.shell("aws s3api list-buckets | jq -r .Buckets[].Name"); strings.Count(buckets, "\n") != 2 {
		t.Errorf("there are other buckets than the two that were given:\n%s", buckets)
	}
}

// useAPI sets ECRSCANAPI_URL as users do, and PLAIN to the same without the key. The stand-in's gateway has no TLS.
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

// walkthrough makes the README's calls as they stand there.
func (s *standIn) walkthrough() {
	t := s.t
	t.Helper()
	if out := s.shell("curl -s $ECRSCANAPI_URL/configs/"); out != "[]\n" {
		t.Errorf("at first there are the configs %q", out)
	}
	for _, name := range []string{"amazonlinux", "centos", "ubuntu"} {
		s.shell(`curl -s --fail-with-body --header "Content-Type: application/json" --request POST --data @scan-config-` + name + `.json $ECRSCANAPI_URL/configs/`)
	}
	got := s.shell(`curl -s $ECRSCANAPI_URL/configs/ | jq -c '[.[] | [.region, .registry, .repository, .tags]]'`)
	if want := `[["us-west-2","123456789012","amazonlinux",["2018.03"]],["us-west-2","123456789012","test/centos",null],["us-west-2","123456789012","test/ubuntu",["16.04","latest"]]]`; strings.TrimSpace(got) != want {
		t.Errorf("the configs are\n%s, want\n%s", got, want)
	}
	// Each new config has its repository visited, which starts the scans; the next visit records what they found.
	s.awaitVisits()
	s.scanNow()
	s.settle("curl -s $ECRSCANAPI_URL/summary", func(out string) bool { return out == summary })
	for _, path := range []string{"/summary", "/summary/"} {
		if got := s.shell("curl -s $ECRSCANAPI_URL" + path); got != summary {
			t.Errorf("%s is\n%s\nwant\n%s", path, got, summary)
		}
	}
	// Another schedule asks for visits in which nothing is due any more.
	if report := s.scanNow(); report.Configs != 3 || report.Repositories != 3 || report.Sent != 3 || report.NotSent != 0 || len(report.Problems) > 0 {
		t.Errorf("the schedule's report: %+v", report)
	}
	const nothing = `"started":0,"scannedWithin24h":2`
	s.settle("make -s logs FUNCTIONS=startscan", func(out string) bool { return strings.Contains(out, nothing) })

	s.setenv("ID", strings.TrimSpace(s.shell(`curl -s $ECRSCANAPI_URL/configs | jq -r '.[] | select(.repository=="test/ubuntu").id'`)))
	s.feed(s.shell("curl -s $ECRSCANAPI_URL/findings/$ID"))

	s.setenv("ID", strings.TrimSpace(s.shell(`curl -s $ECRSCANAPI_URL/configs | jq -r '.[] | select(.repository=="amazonlinux").id'`)))
	for _, status := range []string{"204", "404"} {
		want(t, s.shell(`curl -s -o /dev/null -w '%{http_code}' --request DELETE $ECRSCANAPI_URL/configs/$ID`), status)
	}
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs | jq length"), "2")
	// What no config watches any more is forgotten at the next visit.
	s.setenv("BUCKET", s.bucket())
	records := "aws s3api list-objects-v2 --bucket $BUCKET --prefix record/123456789012/us-west-2/amazonlinux/ | jq -r '.Contents[]?.Key'"
	want(t, s.shell(records), "record/123456789012/us-west-2/amazonlinux/")
	s.scanNow()
	s.settle(records, func(out string) bool { return out == "" })
}

// report is what a schedule says of itself.
type report struct {
	Configs, Repositories, Sent, NotSent, Waiting int
	Problems                                      []json.RawMessage
}

// settle runs a command until its output is right; the functions work on messages in their own time.
func (s *standIn) settle(command string, right func(out string) bool) {
	s.t.Helper()
	var out string
	for range 60 {
		if out = s.shell(command); right(out) {
			return
		}
		time.Sleep(time.Second)
	}
	s.t.Errorf("%s never gives what it should, at last\n%s", command, out)
}

// awaitVisits waits until the queue holds no message and no visit goes on.
func (s *standIn) awaitVisits() {
	s.t.Helper()
	s.settle(`
		url=$(aws --endpoint-url $AWS_ENDPOINT_URL sqs list-queues | jq -r '.QueueUrls[] | select(contains("VisitQueue"))')
		aws --endpoint-url $AWS_ENDPOINT_URL sqs get-queue-attributes --attribute-names All --queue-url $url |
			jq -r '.Attributes | .ApproximateNumberOfMessages + " " + .ApproximateNumberOfMessagesNotVisible'`,
		func(out string) bool { return out == "0 0\n" })
}

func (s *standIn) scanNow() report {
	s.t.Helper()
	var r report
	if out := s.shell("make -s scan-now"); json.Unmarshal([]byte(out), &r) != nil {
		s.t.Errorf("make scan-now prints no report but %q", out)
	}
	return r
}

func (s *standIn) feed(text string) {
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
		s.t.Fatalf("the feed can't be read: %v\n%s", err, text)
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

// refusals are errors of the functions and of the gateway, which look alike.
func (s *standIn) refusals() {
	tests := map[string]struct{ curl, status string }{
		"no such path":            {"$ECRSCANAPI_URL/nothing/here", "404"},
		"no such path, wrong key": {"-u ecr:key $PLAIN/nothing", "404"},
		"the root":                {"$ECRSCANAPI_URL/", "404"},
		"no such config":          {"$ECRSCANAPI_URL/findings/4471c156-29f5-40fe-883b-3cd26738d5a6", "404"},
		"no such method":          {"--request PATCH $ECRSCANAPI_URL/summary", "405"},
		"a config that is wrong":  {"--json '{}' $ECRSCANAPI_URL/configs", "400"},
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
				t.Errorf("answers %s", out)
			}
		})
	}
	want(s.t, s.shell("curl -s -I $ECRSCANAPI_URL/summary"), "HTTP/1.1 200 OK")
	want(s.t, s.shell("curl -s -i --request OPTIONS $ECRSCANAPI_URL/configs"), "204 No Content", "Allow: GET, HEAD, OPTIONS, POST")
	want(s.t, s.shell(`curl -s -i --json @scan-config-ubuntu.json $ECRSCANAPI_URL/configs`), "201 Created", "Location: https://")
}

// operate uses what looks after a stack.
func (s *standIn) operate() {
	status := s.shell("make status")
	want(s.t, status, "ecr-continuous-scan in us-west-2, CREATE_COMPLETE", "https://", "s3://ecr-continuous-scan-")
	for _, name := range []string{"ConfigsFunc", "SummaryFunc", "FindingsFunc", "StartScanFunc"} {
		want(s.t, status, name)
	}
	logs := s.shell("make logs")
	want(s.t, logs, "StartScan", `"configs":3`)
	if only := s.shell("make logs FUNCTIONS=summary"); strings.Contains(only, "StartScan") {
		s.t.Errorf("make logs FUNCTIONS=summary prints the log of another function:\n%s", only)
	}
}

// permissions compares what each function did with what it may do, by the roles that were deployed. A call that it may not make was refused
// by the stand-in and has failed a step before.
func (s *standIn) permissions() {
	t := s.t
	t.Helper()
	if text, err := os.ReadFile(s.log.Name()); err != nil || strings.Contains(string(text), " may not ") {
		t.Errorf("a function lacks a permission: %v\n%s", err, s.lastLog(6000))
	}
	// Without records the readers ask ECR. No visit makes one meanwhile.
	s.awaitVisits()
	bucket := s.bucket()
	want(t, s.shell("aws s3 rm --recursive s3://"+bucket+"/record/"), "delete: s3://"+bucket+"/record/123456789012/us-west-2/test~centos/index")
	for _, path := range []string{"/findings/all", "/summary"} {
		s.shell("curl -s --fail $ECRSCANAPI_URL" + path)
	}
	if records := s.shell("aws s3api list-objects-v2 --bucket " + bucket + " --prefix record/ | jq -r '.Contents[]?.Key'"); records != "" {
		t.Errorf("a reader has stored\n%s", records)
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
	// These aren't called but make others work: a missing object is a 404, enhanced findings can be read, and Lambda receives messages in the
	// function's name. The stand-in has no image index.
	silent := []string{
		"s3:ListBucket", "inspector2:ListCoverage", "inspector2:ListFindings", "sqs:ReceiveMessage", "sqs:DeleteMessage", "ecr:BatchGetImage",
	}
	for _, f := range functions {
		for _, action := range f.May {
			if !slices.Contains(f.Tried, action) && !slices.Contains(silent, action) {
				t.Errorf("%s may %s and never does", f.Function, action)
			}
		}
	}
}

// codeHashes are the hashes of the functions' code, by name.
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

// want checks that a text has certain parts.
func want(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
}
