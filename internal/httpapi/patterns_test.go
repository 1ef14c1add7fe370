package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scan"
)

// A config with a pattern, from POST to every call that reads. Each answer matches openapi.yaml.
func TestPatternOfRepositories(t *testing.T) {
	a, s := start(t)
	for _, name := range []string{"team/app", "team/web", "team/cache", "lib"} {
		a.ECR.PutImage(ecr.RepositoryID{Name: name}, ecr.Image{Tags: []string{"v1"}})
	}
	post := func(body string, want int) string {
		t.Helper()
		got := call(s, "POST", "/configs", "application/json", body)
		if got.status != want {
			t.Fatalf("%d %s", got.status, got.body)
		}
		var c scan.Config
		_ = json.Unmarshal([]byte(got.body), &c)
		return c.ID
	}
	id := post(`{"region":"us-west-2","registry":"123456789012","repository":"team/*","exclude":["*/cache"]}`, 201)
	post(`{"region":"us-west-2","registry":"123456789012","repository":"team/**"}`, 400)
	read := func(path, want string) {
		t.Helper()
		if got := call(s, "GET", path, "", ""); got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d without %q: %s", path, got.status, want, got.body)
		}
	}
	read("/summary", "Results for team/* in us-west-2:\n UNAVAILABLE: not visited yet\n")
	read("/findings/"+id, "UNAVAILABLE: not visited yet")
	s.VisitAll(t.Context())
	read("/summary", "Results for team/app:v1 in us-west-2:\n")
	read("/summary?format=json", fmt.Sprintf("\"id\": %q,\n      \"region\": \"us-west-2\",\n      \"registry\": \"123456789012\",\n      \"repository\": \"team/web\",\n      \"pattern\": \"team/*\"", id))
	read("/summary?format=csv", "team/web,v1")
	read("/summary?format=html", "team/<wbr>web:<wbr>v1")
	read("/findings/"+id, "<title>ECR repository team/* in us-west-2</title>")
	read("/findings/"+id, "across the repositories: [team/app] [team/web]")
	read("/findings/"+id+"?repository=team/web", "repository team/web")
	read("/findings/"+id+"?format=json", "team/*")
	read("/findings/"+id+"?format=csv", "team/")
	read("/findings/"+id+"?format=sarif", "team/app:v1")
	read("/findings/"+id+"?format=html", "team/*")
	read("/findings/"+id+"/changes?format=html", "team/*")
	read("/findings", `title="ECR repository team/* in us-west-2"`)
	read("/findings?repository=team/web", url.QueryEscape("team/web"))
	read("/badge/"+id+".svg", "image scan")
	if got := call(s, "GET", "/gate/"+id+"?max=LOW&repository=lib", "", ""); got.status != 409 || !strings.Contains(got.body, "repository not found") {
		t.Errorf("the gate of a repository that is not watched: %d %s", got.status, got.body)
	}
	if got := call(s, "GET", "/summary", "", ""); strings.Contains(got.body, "cache") || strings.Contains(got.body, "lib") {
		t.Errorf("the summary has excluded repositories: %s", got.body)
	}
	put := call(s, "PUT", "/configs/"+id, "application/json", `{"region":"us-west-2","registry":"123456789012","repository":"lib"}`)
	if put.status != 200 {
		t.Fatalf("%d %s", put.status, put.body)
	}
	s.VisitAll(t.Context())
	if _, err := s.ScheduleAndVisit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"team/app", "team/web"} {
		r, err := s.Visitor.Records.Load(t.Context(), scan.Repository{Registry: "123456789012", Region: "us-west-2", Name: name})
		if err != nil || r.Version != "" {
			t.Errorf("the record of %s is not deleted: %v", name, err)
		}
	}
}

// Each named repository that the config does not watch fails the gate and is named, also if other repositories pass.
func TestGateOfRepositoriesThatAreNotWatched(t *testing.T) {
	a, s := start(t)
	for _, name := range []string{"team/app", "lib"} {
		a.ECR.PutImage(ecr.RepositoryID{Name: name}, ecr.Image{Tags: []string{"v1"}, ScannedAt: time.Now().Add(-time.Hour), Findings: []ecr.Finding{}})
	}
	pattern, plain := add(t, s, "team/*"), add(t, s, "team/app")
	s.visit(t)
	for _, id := range []string{pattern, plain} {
		for query, want := range map[string]string{
			"repository=team/app":                                      "PASSED: 1 image, no finding above CRITICAL fails the gate\n",
			"repository=team/app&repository=lib":                       "FAILED: 0 of 1 image and 1 repository, the maximum is CRITICAL\nlib: repository not found: the config does not watch this repository\n",
			"repository=nosuch&repository=team/app":                    "FAILED: 0 of 1 image and 1 repository, the maximum is CRITICAL\nnosuch: repository not found: the config does not watch this repository\n",
			"repository=lib":                                           "FAILED: no image to judge, the maximum is CRITICAL\nlib: repository not found: the config does not watch this repository\n",
			"repository=team/app&repository=team/app&repository=lib/*": "",
		} {
			path, status := "/gate/"+id+"?max=CRITICAL&"+query, 409
			switch got := call(s, "GET", path+"&format=text", "", ""); {
			case want == "":
				checkProblem(t, got, 400)
				continue
			case got.body != want:
				t.Errorf("%s: %d\n%s\nwant\n%s", path, got.status, got.body, want)
			}
			if strings.HasPrefix(want, "PASSED") {
				status = 200
			}
			if got := call(s, "GET", path, "", ""); got.status != status || status == 409 && strings.Contains(got.body, "at least one image") {
				t.Errorf("%s: %d, want %d: %s", path, got.status, status, got.body)
			}
		}
	}
}
