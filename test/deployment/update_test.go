//go:build deployment

package deployment

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A deploy updates a stack of an earlier commit. The queues and the event source mapping are replaced, and no
// stored object is lost.
func TestUpdateOfAnEarlierStack(t *testing.T) {
	t.Parallel()
	s := startStandIn(t)
	s.seed()
	s.setenv("AWS_REGION", region)
	path := filepath.Join(s.project, "template.yaml")
	template := readFile(t, path)
	writeFile(t, path, readFile(t, "testdata/template-before.yaml"))
	s.shell("make deploy")
	s.useAPI(s.keys().API)
	want(t, s.shell("curl -s -i --json @scan-config-centos.json $ECRSCANAPI_URL/configs"), "201 Created")
	s.setenv("BUCKET", s.bucket())
	for _, key := range []string{"runs/4471c156-29f5-40fe-883b-3cd26738d5a6.json", "set-aside/record/index", "notes.txt"} {
		s.shell("echo " + key + " | aws s3 cp - s3://$BUCKET/" + key)
	}
	s.checkQueues("ScanQueue", "DeadLetters")
	bucket, objects, keys := s.bucket(), s.objects(), s.keys()
	if strings.Count(objects, "\n") != 4 {
		t.Errorf("the bucket contains\n%swant four objects", objects)
	}

	writeFile(t, path, template)
	want(t, s.shell("make deploy"), "Successfully created/updated stack")
	s.checkQueues("VisitQueue", "VisitDeadLetters")
	if s.bucket() != bucket || s.objects() != objects || s.keys() != keys {
		t.Errorf("the bucket was %s with\n%s, and is %s with\n%s; or the keys have changed", bucket, objects, s.bucket(), s.objects())
	}
	want(t, s.shell("curl -s $ECRSCANAPI_URL/configs"), `"repository": "test/centos"`)
	want(t, s.shell("curl -s -i --json @scan-config-ubuntu.json $ECRSCANAPI_URL/configs"), "201 Created")
	s.awaitVisits()
	if report := s.scanNow(); report.Sent != 2 || report.NotSent != 0 {
		t.Errorf("the first schedule's report: %+v", report)
	}
	want(t, s.shell("make logs FUNCTIONS=startscan"), `"configs":2`)
	s.awaitVisits()
	s.scanNow() // records the results of the scans that the first visits started
	s.waitFor("curl -s $ECRSCANAPI_URL/summary", func(out string) bool {
		return strings.HasPrefix(out, "Results for test/centos:7 in us-west-2:\n HIGH: 7\n")
	})
}

// checkQueues checks that the stack has exactly these two queues, the second being the dead-letter queue. Only the
// first is an event source, and StartScanFunc has its URL.
func (s *standIn) checkQueues(queue, dead string) {
	s.t.Helper()
	prefix := "ecr-continuous-scan-"
	var urls []string
	for _, url := range strings.Fields(s.shell("aws --endpoint-url $AWS_ENDPOINT_URL sqs list-queues | jq -r '.QueueUrls[]'")) {
		name := url[strings.LastIndex(url, "/")+1:]
		urls = append(urls, strings.Split(strings.TrimPrefix(name, prefix), "-")[0])
		if fifo := strings.HasSuffix(name, ".fifo"); fifo != strings.HasPrefix(queue, "Visit") {
			s.t.Errorf("%s: FIFO is %t", name, fifo)
		}
	}
	slices.Sort(urls)
	wanted := []string{queue, dead}
	slices.Sort(wanted)
	if !slices.Equal(urls, wanted) {
		s.t.Errorf("the queues are %v, want %v", urls, wanted)
	}
	mapped := strings.Fields(s.shell("aws lambda list-event-source-mappings | jq -r '.EventSourceMappings[].EventSourceArn'"))
	if len(mapped) != 1 || !strings.Contains(mapped[0], ":"+prefix+queue+"-") {
		s.t.Errorf("the event sources are %v, want only %s", mapped, queue)
	}
	known := s.shell(`aws lambda list-functions | jq -r '.Functions[] | select(.FunctionName | contains("StartScan")).Environment.Variables.ECR_SCAN_QUEUE_URL'`)
	want(s.t, known, "/"+prefix+queue+"-")
}

// bucket returns the name of the stack's bucket.
func (s *standIn) bucket() string {
	s.t.Helper()
	return strings.TrimSpace(s.shell(`aws cloudformation describe-stacks --stack-name ecr-continuous-scan | jq -r '.Stacks[].Outputs[] | select(.OutputKey=="ConfigBucketName").OutputValue'`))
}

// objects lists the bucket's objects, one line for each with its key, version and ETag.
func (s *standIn) objects() string {
	s.t.Helper()
	return s.shell(`aws s3api list-object-versions --bucket $BUCKET | jq -r '.Versions[] | [.Key, .VersionId, .ETag] | join(" ")'`)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
