package httpapi_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// inspected returns a finding of Amazon Inspector in these packages.
func inspected(name, severity string, packages ...string) ecr.EnhancedFinding {
	f := ecr.EnhancedFinding{Severity: severity, Status: "ACTIVE", PackageDetails: &ecr.PackageVulnerability{VulnerabilityID: name}}
	for _, p := range packages {
		f.PackageDetails.VulnerablePackages = append(f.PackageDetails.VulnerablePackages, ecr.VulnerablePackage{Name: p, Version: "239", Release: "45.el8"})
	}
	return f
}

// startInspector returns a timeline whose image Amazon Inspector scans.
func startInspector(t *testing.T, findings ...ecr.EnhancedFinding) *timeline {
	a, h := start(t)
	a.ECR.SetScanType("", "", ecr.Enhanced)
	a.ECR.PutImage(appRepository, ecr.Image{Tags: []string{"v1"}, ScannedAt: a.Now().Add(-time.Minute), Enhanced: findings})
	s := &timeline{t, a, h, add(t, h, "team/app")}
	s.api.visit(t)
	return s
}

// inspectorFinds moves the clock by a day. Then Amazon Inspector has these findings, and the repository is visited.
func (s *timeline) inspectorFinds(findings ...ecr.EnhancedFinding) {
	s.Helper()
	s.aws.Advance(24 * time.Hour)
	s.update(func(i *ecr.Image) { i.ScannedAt, i.Enhanced = s.aws.Now().Add(-time.Minute), findings })
	s.api.visit(s.T)
}

func (s *timeline) get(target string) string {
	s.Helper()
	r := call(s.api, "GET", target, "", "")
	if r.status != 200 {
		s.Errorf("%s: status %d: %s", target, r.status, r.body)
	}
	return r.body
}

// summaryImage returns the image in the summary as JSON.
func (s *timeline) summaryImage() map[string]any {
	s.Helper()
	var summary struct {
		Configs []struct{ Images []map[string]any }
	}
	if err := json.Unmarshal([]byte(s.get("/summary?format=json&repository=team/app")), &summary); err != nil {
		s.Fatal(err)
	}
	return summary.Configs[0].Images[0]
}

// One vulnerability in four packages is one in the summary, in the new findings, in the lists and in the changes.
func TestOneUnitForEveryNumber(t *testing.T) {
	bash := inspected("CVE-2020-0001", "MEDIUM", "bash")
	s := startInspector(t, bash)
	s.inspectorFinds(bash, inspected("CVE-2021-33910", "MEDIUM", "systemd-pam", "systemd", "systemd-libs", "systemd-udev"))

	if got := s.get("/summary?repository=team/app"); !strings.Contains(got, " MEDIUM: 2 (+1)\n") {
		t.Errorf("summary %s", got)
	}
	image := s.summaryImage()
	if got := fmt.Sprint(image["counts"], image["new"], image["fixed"]); got != "map[MEDIUM:2] map[MEDIUM:1] map[]" {
		t.Errorf("counts, new and fixed %s", got)
	}
	rows, err := csv.NewReader(strings.NewReader(s.get("/findings/" + s.id + "?format=csv"))).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	if got := s.feed("").Entries; len(got) != 2 {
		t.Errorf("%d entries", len(got))
	}
	changes := s.feed("/changes")
	if diff := cmp.Diff([]string{"[NEW] [MEDIUM] found CVE-2021-33910"}, titles(changes)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	for _, name := range []string{"systemd", "systemd-libs", "systemd-pam", "systemd-udev"} {
		if !strings.Contains(changes.Entries[0].Content.Value, name) {
			t.Errorf("the change does not name %s", name)
		}
	}
	if got := s.get("/badge/" + s.id + ".svg"); !strings.Contains(got, "2 MEDIUM") {
		t.Errorf("badge %s", got)
	}
	if r := call(s.api, "GET", "/gate/"+s.id+"?max=LOW", "", ""); r.status != 409 || !strings.Contains(r.body, `MEDIUM: 2`) {
		t.Errorf("gate %d %s", r.status, r.body)
	}
}

// A suppressed finding is not open, no change, and not counted, except as suppressed.
func TestSuppressedFindings(t *testing.T) {
	a, b := inspected("CVE-1", "CRITICAL", "a"), inspected("CVE-2", "LOW", "b")
	s := startInspector(t, a, b)
	hidden := a
	hidden.Status = "SUPPRESSED"
	s.inspectorFinds(hidden, b)
	if got := titles(s.feed("/changes")); len(got) > 0 {
		t.Errorf("changes %v", got)
	}
	if got := titles(s.feed("")); len(got) != 1 || !strings.Contains(got[0], "CVE-2") {
		t.Errorf("findings %v", got)
	}
	image := s.summaryImage()
	if got := fmt.Sprint(image["counts"], image["new"], image["fixed"], image["suppressed"]); got != "map[LOW:1] map[] map[] 1" {
		t.Errorf("counts, new, fixed and suppressed %s", got)
	}
	if r := call(s.api, "GET", "/gate/"+s.id+"?max=LOW", "", ""); r.status != 200 || !strings.Contains(r.body, `"suppressed": 1`) {
		t.Errorf("gate %d %s", r.status, r.body)
	}
	untagged := s.aws.ECR.PutImage(appRepository, ecr.Image{Manifest: "untagged", ScannedAt: s.aws.Now().Add(-time.Minute), Enhanced: []ecr.EnhancedFinding{hidden}})
	for _, digest := range []string{"", "&digest=" + fmt.Sprint(image["digest"]), "&digest=" + untagged} {
		r := call(s.api, "GET", "/gate/"+s.id+"?max=LOW&suppressed=include"+digest, "", "")
		if r.status != 409 || !strings.Contains(r.body, `"CVE-1"`) || strings.Contains(r.body, `"suppressed"`) {
			t.Errorf("gate that judges suppressed findings: %d %s", r.status, r.body)
		}
	}
	closed := b
	closed.Status = "CLOSED"
	s.inspectorFinds(a, closed)
	if diff := cmp.Diff([]string{"[FIXED] [LOW]: CVE-2 is no longer found", "[NEW] [CRITICAL] found CVE-1"}, slices.Sorted(slices.Values(titles(s.feed("/changes"))))); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// Findings in packages are found by each name of the vulnerability and of its packages, and by the use of the image.
func TestNamesAndUseOfInspectorFindings(t *testing.T) {
	log4j := inspected("GHSA-jfh8-c2jp-5v3q", "CRITICAL", "log4j-api", "log4j-core")
	log4j.PackageDetails.RelatedVulnerabilities = []string{"CVE-2021-44228"}
	used := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	log4j.Resources = []ecr.Resource{{Details: ecr.ResourceDetails{Image: &ecr.ResourceImage{InUseCount: 2, LastInUseAt: ecr.Time{Time: used}}}}}
	s := startInspector(t, log4j)
	for query, want := range map[string]int{
		"cve=ghsa-jfh8-c2jp-5v3q": 1, "cve=CVE-2021-44228": 1, "cve=CVE-2021-4422": 0, "package=log4j-core": 1, "package=log4j": 0, "inuse=true": 1,
	} {
		if got := s.feed("?" + query).Entries; len(got) != want {
			t.Errorf("%s: %d entries", query, len(got))
		}
	}
	found := s.get("/findings/" + s.id + "?format=json")
	for _, text := range []string{`"relatedIds": [`, `"CVE-2021-44228"`, `"packages": [`, `"package": "log4j-api, log4j-core"`, `"inUse": 2`, `"lastInUseAt": "2026-11-20T08:00:00Z"`} {
		if !strings.Contains(found, text) {
			t.Errorf("the JSON has no %s", text)
		}
	}
	image := s.summaryImage()
	if image["inUse"] != 2.0 || image["lastInUseAt"] != "2026-11-20T08:00:00Z" {
		t.Errorf("in use %v, last %v", image["inUse"], image["lastInUseAt"])
	}
	log4j.Resources[0].Details.Image.InUseCount = 0
	s.inspectorFinds(log4j, inspected("CVE-9", "LOW", "new"))
	for _, path := range []string{"", "/changes"} {
		if got := s.feed(path + "?inuse=true").Entries; len(got) != 0 {
			t.Errorf("%s: %d entries of an image that is not in use", path, len(got))
		}
	}
}

// The last pull of an image is in the summary. It is no use of the image.
func TestLastPullOfAnImage(t *testing.T) {
	s := startTimeline(t, vulnerability("CVE-1", "HIGH"))
	if image := s.summaryImage(); image["lastPulledAt"] != nil {
		t.Errorf("an image that was never pulled: %v", image["lastPulledAt"])
	}
	s.update(func(i *ecr.Image) { i.PulledAt = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC) })
	s.later(time.Hour)
	if image := s.summaryImage(); image["lastPulledAt"] != "2026-11-20T08:00:00Z" || image["inUse"] != nil {
		t.Errorf("pulled %v, in use %v", image["lastPulledAt"], image["inUse"])
	}
	if got := s.feed("?inuse=true").Entries; len(got) > 0 {
		t.Errorf("%d entries of an image that is not in use", len(got))
	}
}

// A vulnerability is not milder because another of its findings has a low rating: the gate, the summary and the lists agree.
func TestGateOfMergedFindings(t *testing.T) {
	for name, other := range map[string]string{"no rating": "UNTRIAGED", "an unknown severity": "WEIRD"} {
		bad := inspected("CVE-2026-1", other, "openssl")
		bad.Score = 9.8
		s := startInspector(t, bad, inspected("CVE-2026-1", "LOW", "openssl-libs"))
		if got := call(s.api, "GET", "/gate/"+s.id+"?max=HIGH", "", ""); got.status != 409 {
			t.Errorf("%s: the gate passes: %d %s", name, got.status, got.body)
		}
		want := strings.Replace(other, "UNTRIAGED", "CRITICAL", 1)
		if counts := fmt.Sprint(s.summaryImage()["counts"]); counts != "map["+want+":1]" || !strings.Contains(s.get("/findings/"+s.id), "["+want+"] in image") {
			t.Errorf("%s: counts %s, want one %s", name, counts, want)
		}
	}
}
