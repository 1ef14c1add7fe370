package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/feedrules"
	"ecr-continuous-scan/test/lambdaruntime"
	"ecr-continuous-scan/test/sqslocal"
)

// One POST watches a registry of 1,000 repositories with the compiled functions. The next schedule finds a new repository and misses a deleted one,
// and the change feed has only these two.
func TestWholeRegistry(t *testing.T) {
	if testing.Short() {
		t.Skip("too slow with the race detector")
	}
	const repositories = 1000
	a := awstest.Start(t, ecr.Options{ScanTime: -1})
	q := awstest.StartQueue(t, sqslocal.Options{Now: a.Now})
	put := func(repo string, scanned time.Time) {
		a.ECR.PutImage(ecr.RepositoryID{Name: repo}, ecr.Image{Tags: []string{"v1"}, Manifest: repo, ScannedAt: scanned, Findings: []ecr.Finding{{Name: "CVE-1", Severity: "HIGH"}}})
	}
	for n := range repositories {
		put(fmt.Sprintf("team%02d/app%03d", n%20, n), a.Now().Add(-time.Hour))
	}
	g := &lambdaruntime.Gateway{Functions: map[string]*lambdaruntime.Function{}}
	for folder, routes := range functions() {
		f := lambdaruntime.Start(t, lambdaruntime.Build(t, folder), withQueue(a, q))
		for _, path := range routes.Paths() {
			g.Functions[path] = f
		}
	}
	api, s := serve(t, g), newStartScan(t, q, withQueue(a, q))
	check := func(visited int) {
		t.Helper()
		visits := s.visitAll(time.Minute)
		if all := tally(visits); len(visits) != visited || all.Images != repositories || len(failed(visits)) != visited-repositories {
			t.Errorf("%d visits: %+v, failed: %+v", len(visits), all, failed(visits))
		}
		_, got := request(t, "GET", api+"/summary", "")
		if n := strings.Count(got, ":v1 in us-west-2:\n HIGH: 1\n\n\n"); n != repositories || strings.Count(got, "Results for ") != n {
			t.Errorf("the summary has %d images with their counts, want %d: %.500s", n, repositories, got)
		}
	}
	if res, got := request(t, "POST", api+"/configs", `{"region":"us-west-2","registry":"123456789012","repository":"*","exclude":["*/cache"]}`); res.StatusCode != 201 {
		t.Fatalf("%d %s", res.StatusCode, got)
	}
	check(repositories)
	changes := func() (titles []string) {
		_, got := request(t, "GET", api+"/changes?format=json", "")
		for _, item := range feedrules.JSON(t, []byte(got)).Items {
			titles = append(titles, item.Title)
		}
		slices.Sort(titles)
		return titles
	}
	if got := changes(); len(got) > 0 {
		t.Errorf("changes of repositories that were there: %q", got)
	}
	a.Advance(time.Hour)
	put("team99/new", a.Now())
	put("team99/cache", a.Now())
	a.ECR.DeleteRepository(ecr.RepositoryID{Name: "team00/app000"})
	report, err := s.schedule()
	if err != nil || report.Sent != repositories+1 || report.Repositories != report.Sent || report.NotListed != 0 {
		t.Fatalf("schedule: %+v, %v", report, err)
	}
	check(repositories + 1)
	want := []string{"[NEW REPOSITORY] the registry has a new repository team99/new in us-west-2", "[REPOSITORY GONE] the registry has no repository team00/app000 in us-west-2 any more"}
	if got := changes(); !slices.Equal(got, want) {
		t.Errorf("changes: %q, want %q", got, want)
	}
}
