package e2e

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/feedrules"
	"ecr-continuous-scan/test/lambdaruntime"
)

// The limits of a function.
const (
	maxMemory   = 256 << 20        // the smallest memory size in the template
	maxTime     = 29 * time.Second // timeout of API Gateway
	maxResponse = 6 << 20          // limit of Lambda
)

// get sends a GET to a function like API Gateway, checks the limits and returns the body of the response.
func get(t *testing.T, a *awstest.AWS, folder, resource, path string) string {
	t.Helper()
	f := start(t, a, folder)
	event, err := lambdaruntime.APIEvent(httptest.NewRequest("GET", "https://api.example/Prod"+path, nil), "/Prod", resource)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := f.Invoke(t.Context(), event, maxTime)
	if err != nil {
		t.Fatal(err)
	}
	got := decode(t, event, payload)
	if got.StatusCode != 200 {
		t.Fatalf("GET %s: %d %.500s", path, got.StatusCode, got.Body)
	}
	memory := f.PeakMemory()
	t.Logf("GET %s: a response of %d bytes, at most %d MiB of memory", path, len(payload), memory>>20)
	if len(payload) > maxResponse || memory > maxMemory {
		t.Errorf("GET %s: a response of %d bytes, %d bytes of memory", path, len(payload), memory)
	}
	return got.Body
}

// The summary of 10,000 visited images contains the counts of each image. Each call to ECR takes 30 ms.
func TestSummaryOfManyImages(t *testing.T) {
	if testing.Short() {
		t.Skip("too slow with the race detector")
	}
	a := awstest.Start(t, ecr.Options{})
	service := a.Service(awstest.Silent())
	findings := []ecr.Finding{{Name: "CVE-1", Severity: "HIGH"}, {Name: "CVE-2", Severity: "LOW"}}
	for r := range 10 {
		repo := fmt.Sprintf("team/app%d", r)
		service.AddConfig(t, repo)
		for i := range 1000 {
			a.ECR.PutImage(ecr.RepositoryID{Name: repo}, ecr.Image{Tags: []string{fmt.Sprintf("v%d", i)}, ScannedAt: time.Now().Add(-time.Hour), Findings: findings})
		}
	}
	if visits, err := service.ScheduleAndVisit(t.Context()); err != nil || visits.Recent != 10_000 {
		t.Fatalf("visits: %+v, %v", visits.Tally, err)
	}
	a.ECR.InjectFault(awslocal.Fault{Delay: 30 * time.Millisecond})
	text := get(t, a, "summary", "/summary", "/summary")
	if n := strings.Count(text, " in us-west-2:\n HIGH: 1\n LOW: 1\n\n\n"); n != 10_000 {
		t.Errorf("%d images with their counts, want 10,000", n)
	}
	var data struct {
		Configs []struct {
			Images []struct{ Counts map[string]int }
		}
	}
	if err := json.Unmarshal([]byte(get(t, a, "summary", "/summary", "/summary?format=json")), &data); err != nil || len(data.Configs) != 10 || len(data.Configs[9].Images) != 1000 || data.Configs[9].Images[999].Counts["HIGH"] != 1 {
		t.Errorf("as JSON: %d configs, %v", len(data.Configs), err)
	}
	if rows := feedrules.CSV(t, []byte(get(t, a, "summary", "/summary", "/summary?format=csv"))); len(rows) != 10_000 {
		t.Errorf("as CSV: %d rows", len(rows))
	}
	page := get(t, a, "summary", "/summary", "/summary?format=html")
	if rows := strings.Count(page, `<th role="rowheader"`); rows < 1000 || !strings.Contains(page, "10000 images of 10 configs") || !strings.Contains(page, "not on this page") {
		t.Errorf("the page has %d images: %.1500s", rows, page)
	}
}

// The feed of an image with 5,000 findings, some of them long, lists the most severe ones and contains the total number.
func TestFeedOfManyFindings(t *testing.T) {
	if testing.Short() {
		t.Skip("too slow with the race detector")
	}
	a := awstest.Start(t, ecr.Options{})
	findings := make([]ecr.Finding, 5000)
	for i := range findings {
		findings[i] = ecr.Finding{
			Name: fmt.Sprintf("CVE-2026-%05d", i), Severity: []string{"LOW", "MEDIUM", "HIGH", "CRITICAL"}[i%4], Description: strings.Repeat("<long> ", 20+i%400),
			Attributes: []ecr.Attribute{{Key: "package_name", Value: fmt.Sprint("lib", i%100)}},
		}
	}
	c := a.Service(awstest.Silent()).AddConfig(t, "team/app")
	a.ECR.PutImage(ecr.RepositoryID{Name: "team/app"}, ecr.Image{Tags: []string{"v1"}, ScannedAt: time.Now().Add(-time.Hour), Findings: findings})
	a.ECR.InjectFault(awslocal.Fault{Delay: 30 * time.Millisecond})
	feed := get(t, a, "findings", "/findings/{scanid}", "/findings/"+c.ID)
	if entries := strings.Count(feed, "<entry>"); entries != 500 || strings.Count(feed, "<title>[CRITICAL]") != 500 || !strings.Contains(feed, "5000 findings") {
		t.Errorf("%d entries: %.1500s", entries, feed)
	}
	if items := feedrules.JSON(t, []byte(get(t, a, "findings", "/findings/{scanid}", "/findings/"+c.ID+"?format=json"))).Items; len(items) != 500 {
		t.Errorf("as JSON: %d items", len(items))
	}
	if rows := feedrules.CSV(t, []byte(get(t, a, "findings", "/findings/{scanid}", "/findings/"+c.ID+"?format=csv"))); len(rows) != 500 {
		t.Errorf("as CSV: %d rows", len(rows))
	}
	results := 0
	for page, pages := 1, 1; page <= pages; page++ {
		log := get(t, a, "findings", "/findings/{scanid}", fmt.Sprintf("/findings/%s?format=sarif&page=%d", c.ID, page))
		run := feedrules.SARIFRules(t, []byte(log))
		results, pages = results+len(run.Results), int(run.Properties.Properties["pages"].(float64))
		if pages > 5 {
			t.Fatalf("SARIF has %d pages", pages)
		}
	}
	if results != 5000 {
		t.Errorf("as SARIF: %d results", results)
	}
	page := get(t, a, "findings", "/findings/{scanid}", "/findings/"+c.ID+"?format=html&sort=package")
	if rows := strings.Count(page, `<th role="rowheader"`); rows != 500 || !strings.Contains(page, "Findings 1 to 500 of 5000") {
		t.Errorf("the page has %d findings: %.1500s", rows, page)
	}
}
