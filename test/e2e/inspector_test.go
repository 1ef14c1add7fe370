package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/lambdaruntime"
	"ecr-continuous-scan/test/sqslocal"
)

// The compiled functions count the findings that Amazon Inspector suppresses, and list them on demand with the reason: those that were open before, and those
// that never were.
func TestFindingsThatInspectorSuppresses(t *testing.T) {
	a := awstest.Start(t, ecr.Options{ScanTime: -1})
	q := awstest.StartQueue(t, sqslocal.Options{Now: a.Now})
	repo := ecr.RepositoryID{Name: "team/app"}
	a.ECR.SetScanType("", "", ecr.Enhanced)
	finding := func(name, status string) ecr.EnhancedFinding {
		return ecr.EnhancedFinding{Severity: "HIGH", Status: status, PackageDetails: &ecr.PackageVulnerability{
			VulnerabilityID: name, VulnerablePackages: []ecr.VulnerablePackage{{Name: "openssl", Version: "3.0.11"}},
		}}
	}
	digest := a.ECR.PutImage(repo, ecr.Image{Tags: []string{"v1"}, ScannedAt: a.Now().Add(-2 * time.Hour), Enhanced: []ecr.EnhancedFinding{
		finding("CVE-2026-1", "ACTIVE"), finding("CVE-2026-2", "ACTIVE"), finding("CVE-2026-3", "SUPPRESSED"),
	}})
	g := &lambdaruntime.Gateway{Functions: map[string]*lambdaruntime.Function{}}
	for folder, routes := range functions() {
		f := lambdaruntime.Start(t, lambdaruntime.Build(t, folder), withQueue(a, q))
		for _, path := range routes.Paths() {
			g.Functions[path] = f
		}
	}
	api, s := serve(t, g), newStartScan(t, q, withQueue(a, q))
	res, got := request(t, "POST", api+"/configs", `{"region":"us-west-2","registry":"123456789012","repository":"team/app"}`)
	id := res.Header.Get("Location")[strings.LastIndex(res.Header.Get("Location"), "/")+1:]
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", res.StatusCode, got)
	}
	s.visitAll(time.Minute)
	a.Advance(7 * time.Hour)
	if err := a.ECR.UpdateImage(repo, digest, func(i *ecr.Image) {
		i.ScannedAt, i.Enhanced = a.Now().Add(-time.Hour), []ecr.EnhancedFinding{finding("CVE-2026-1", "ACTIVE"), finding("CVE-2026-2", "SUPPRESSED"), finding("CVE-2026-3", "SUPPRESSED")}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.schedule(); err != nil {
		t.Fatal(err)
	}
	s.visitAll(time.Minute)
	const reason = "suppressed in Amazon Inspector"
	for target, want := range map[string]struct {
		status int
		texts  []string // with how often they occur
	}{
		"/summary":                                     {200, []string{"1 HIGH: 1", "1 SUPPRESSED: 2"}},
		"/summary?format=json":                         {200, []string{`1 "suppressed": 2`}},
		"/findings/%s":                                 {200, []string{"1 <entry>", "1 found CVE-2026-1<", "1 Suppressed findings: 2"}},
		"/findings/%s?suppressed=include":              {200, []string{"3 <entry>", "2 <title>[SUPPRESSED] [HIGH]", "2 " + reason}},
		"/findings/%s?suppressed=only":                 {200, []string{"2 <entry>", "1 found CVE-2026-2<", "1 found CVE-2026-3<", "2 " + reason}},
		"/findings/%s?suppressed=only&format=csv":      {200, []string{"2 " + reason, "0 CVE-2026-1,"}},
		"/findings/%s?format=sarif&suppressed=include": {200, []string{`2 "justification":"` + reason, `1 "suppressions":[]`}},
		"/findings/%s?format=html":                     {200, []string{"1 suppressed=only"}},
		"/findings/%s?format=html&suppressed=only":     {200, []string{"2 " + reason}},
		"/findings/%s/changes":                         {200, []string{"0 <entry>"}},
		"/gate/%s?max=MEDIUM":                          {409, []string{`0 CVE-2026-2"`, `1 "suppressed": 2`}},
		"/gate/%s?max=MEDIUM&suppressed=include":       {409, []string{`1 "HIGH: 3"`, `1 CVE-2026-3"`, `0 "suppressed"`}},
	} {
		if strings.Contains(target, "%s") {
			target = fmt.Sprintf(target, id)
		}
		res, got := request(t, "GET", api+target, "")
		for _, text := range want.texts {
			count, text, _ := strings.Cut(text, " ")
			if n := fmt.Sprint(strings.Count(got, text)); n != count || res.StatusCode != want.status {
				t.Errorf("%s: status %d has %s times %q, want %s times: %s", target, res.StatusCode, n, text, count, got)
			}
		}
	}
}
