package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/test/feedrules"
)

// A log names the service and its version, but no key: it is uploaded to other services.
func TestToolOfASARIFLog(t *testing.T) {
	h, _, _ := withAccess(t, hash(fullKey), hash(readKey))
	got := call(h, "GET", inURL("/findings/all?format=sarif", readKey), "", "")
	driver := feedrules.SARIF(t, []byte(got.body)).Tool.Driver
	if *driver.Version != httpapi.Version || *driver.FullName != "ecr-continuous-scan "+httpapi.Version || *driver.InformationURI != base+"/summary" {
		t.Errorf("%s, %s, %s", *driver.Version, *driver.FullName, *driver.InformationURI)
	}
	if strings.Contains(got.body, readKey) {
		t.Error("the log has the key")
	}
}

// A resolved finding is absent, also if it is one of a grouped listing, and the total does not count it.
func TestSARIFHasOnlyOpenFindings(t *testing.T) {
	fixed, open := inspected("CVE-1", "CRITICAL", "a"), inspected("CVE-2", "LOW", "b")
	s := startInspector(t, fixed, open)
	s.inspectorFinds(open)
	for _, query := range []string{"", "&by=vulnerability"} {
		run := feedrules.SARIF(t, []byte(s.get("/findings/"+s.id+"?format=sarif"+query)))
		if len(run.Results) != 1 || *run.Results[0].RuleID != "CVE-2" || run.Properties.Properties["total"] != 1.0 {
			t.Errorf("%s: %d results, %v", query, len(run.Results), run.Properties.Properties)
		}
	}
	rows := feedrules.CSV(t, []byte(s.get("/findings/"+s.id+"?format=csv&cve=CVE-2")))
	run := feedrules.SARIF(t, []byte(s.get("/findings/"+s.id+"?format=sarif&cve=CVE-2")))
	if got := run.Results[0].PartialFingerprints["findingId/v1"]; "urn:uuid:"+got != rows[0]["id"] {
		t.Errorf("fingerprint %s, id %s", got, rows[0]["id"])
	}
}

// A log has up to 5,000 results. The header Link leads to the others, which are less severe.
func TestPagesOfSARIF(t *testing.T) {
	a, h := start(t)
	var list []ecr.Finding
	for i := range 5002 {
		list = append(list, ecr.Finding{Name: fmt.Sprint("CVE-", i%10), Severity: []string{"LOW", "HIGH"}[i%2], Attributes: []ecr.Attribute{{Key: "package_name", Value: fmt.Sprint("p", i)}}})
	}
	a.ECR.PutImage(appRepository, ecr.Image{Tags: []string{"v1"}, ScannedAt: a.Now(), Findings: list})
	path := "/findings/" + add(t, h, "team/app")
	for page, want := range map[int]struct {
		results int
		rel     string
	}{1: {5000, "next"}, 2: {2, "previous"}} {
		got := call(h, "GET", fmt.Sprintf("%s?format=sarif&page=%d", path, page), "", "")
		run := feedrules.SARIFRules(t, []byte(got.body))
		if p := run.Properties.Properties; len(run.Results) != want.results || p["total"] != 5002.0 || p["pages"] != 2.0 || !strings.Contains(strings.Join(got.header.Values("Link"), ", "), `rel="`+want.rel+`"`) {
			t.Errorf("page %d: %d results, %v, %v", page, len(run.Results), p, got.header.Values("Link"))
		}
		if severity := run.Results[0].Properties.Properties["severity"]; severity != map[int]string{1: "HIGH", 2: "LOW"}[page] {
			t.Errorf("page %d begins with %v", page, severity)
		}
	}
	checkProblem(t, call(h, "GET", path+"?format=sarif&page=3", "", ""), 404)
}
