package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/lambdaruntime"
	"ecr-continuous-scan/test/sqslocal"
)

// allowedCalls returns the calls that the template allows each function, by folder. Calls to S3 include the kind of object.
func allowedCalls() map[string][]string {
	reads := []string{
		"BatchGetImage", "DescribeImageScanFindings", "DescribeImages",
		"GetObject of a config", "GetObject of a record", "GetObject of packed/configs", "GetObject of suppressions/all.json", "ListObjectsV2",
	}
	return map[string][]string{
		"configs": {
			"DeleteObject of a config", "GetObject of a config", "GetObject of a record", "GetObject of packed/configs", "GetObject of suppressions/all.json",
			"ListObjectsV2", "PutObject of a config", "PutObject of packed/configs", "PutObject of suppressions/all.json", "SendMessageBatch",
		},
		"summary": reads, "findings": reads,
		"startscan": append([]string{
			"DeleteObject of a record", "DescribeRepositories", "GetQueueAttributes", "PutObject of a record", "PutObject of packed/configs", "SendMessageBatch", "StartImageScan",
		}, reads...),
	}
}

// startRecorder starts a recorder of the calls of one function, and returns the function's environment.
func startRecorder(t *testing.T, a *awstest.AWS, q *awstest.Queue) (*awstest.Recorder, map[string]string) {
	r, settings := new(awstest.Recorder), withQueue(a, q)
	maps.Copy(settings, map[string]string{
		"AWS_ENDPOINT_URL_S3": r.S3(t, a.S3), "AWS_ENDPOINT_URL_ECR": r.Start(t, a.ECR), "AWS_ENDPOINT_URL_SQS": r.Start(t, q.SQS),
	})
	return r, settings
}

// Each function makes all calls that the template allows, and no others, during the walkthrough with reads before and after visits.
func TestCallsAreWithinPermissions(t *testing.T) {
	a, q := walkthrough(t), awstest.StartQueue(t, sqslocal.Options{})
	service := a.Service(awstest.Silent())
	recorders := map[string]*awstest.Recorder{}
	g := &lambdaruntime.Gateway{Functions: map[string]*lambdaruntime.Function{}}
	for folder, routes := range functions() {
		r, settings := startRecorder(t, a, q)
		recorders[folder] = r
		f := lambdaruntime.Start(t, lambdaruntime.Build(t, folder), settings)
		for _, path := range routes.Paths() {
			g.Functions[path] = f
		}
	}
	api := serve(t, g)
	r, settings := startRecorder(t, a, q)
	recorders["startscan"] = r
	s := newStartScan(t, q, settings)

	ids := append(postSamples(t, api), service.AddConfig(t, "test/hardcases").ID, service.AddConfig(t, "test/*").ID)
	if res, got := request(t, "POST", api+"/suppressions", `{"package":"linux*","reason":"the kernel of the host runs"}`); res.StatusCode != 201 {
		t.Errorf("POST /suppressions: %d %s", res.StatusCode, got)
	}
	readAll(t, api, ids)
	s.visitAll(time.Minute) // POST requested three visits
	readAll(t, api, ids)
	a.ECR.PutImage(ecr.RepositoryID{Name: "test/ubuntu"}, ecr.Image{Tags: []string{"new"}})
	if _, err := s.schedule(); err != nil {
		t.Fatal(err)
	}
	s.visitAll(time.Minute)
	readAll(t, api, ids)
	if res, got := request(t, "PUT", api+"/configs/"+ids[0], `{"region":"us-west-2","registry":"123456789012","repository":"amazonlinux"}`); res.StatusCode != 200 {
		t.Errorf("PUT: %d %s", res.StatusCode, got)
	}
	for _, id := range ids[1:] {
		request(t, "DELETE", api+"/configs/"+id, "")
	}
	if _, err := s.schedule(); err != nil {
		t.Fatal(err)
	}
	s.visitAll(time.Minute)
	readAll(t, api, ids[:1])
	if starts := a.ECR.Count().Calls["StartImageScan"]; starts == 0 {
		t.Error("no scan was started")
	}
	for folder, allowed := range allowedCalls() {
		slices.Sort(allowed)
		if diff := cmp.Diff(allowed, recorders[folder].Calls()); diff != "" {
			t.Errorf("%s (-allowed +made):\n%s", folder, diff)
		}
	}
}

// postSamples adds the three sample configs and returns their ids.
func postSamples(t *testing.T, api string) []string {
	t.Helper()
	var ids []string
	for _, sample := range []string{"amazonlinux", "centos", "ubuntu"} {
		body, err := os.ReadFile("../../scan-config-" + sample + ".json")
		if err != nil {
			t.Fatal(err)
		}
		res, got := request(t, "POST", api+"/configs", string(body))
		var c scan.Config
		if err := json.Unmarshal([]byte(got), &c); err != nil || res.StatusCode != 201 {
			t.Fatalf("POST %s: %d %s", sample, res.StatusCode, got)
		}
		ids = append(ids, c.ID)
	}
	return ids
}

// readAll sends every kind of GET request.
func readAll(t *testing.T, api string, ids []string) {
	t.Helper()
	paths := []string{"/configs", "/suppressions", "/summary", "/summary?format=json", "/summary?format=csv", "/summary?format=html", "/findings", "/findings/all", "/changes"}
	for _, id := range ids {
		paths = append(paths, "/configs/"+id, "/findings/"+id, "/findings/"+id+"/changes", "/badge/"+id+".svg", "/gate/"+id+"?max=LOW")
		for _, format := range []string{"json", "csv", "html", "sarif"} {
			paths = append(paths, "/findings/"+id+"?format="+format)
		}
	}
	for _, path := range paths {
		if res, got := request(t, "GET", api+path, ""); res.StatusCode != 200 && res.StatusCode != 409 {
			t.Errorf("GET %s: %d %.300s", path, res.StatusCode, got)
		}
	}
}
