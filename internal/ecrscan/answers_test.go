package ecrscan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
	"ecr-continuous-scan/internal/scan"
)

// TestRecordedAnswers reads answers in the form that registries gave them. Their names and texts are invented.
func TestRecordedAnswers(t *testing.T) {
	e, c := start(t)
	if _, _, err := samples.LoadFindings(e, "testdata/answers"); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"team/app": `map[HIGH:1 UNTRIAGED:1], 1 suppressed
HIGH CVE-2025-58187 7.5 exploit YES fix YES: go/stdlib, versions [1.24.4 1.22.1], fixed in [1.25.3 1.24.9]
  go/stdlib 1.24.4 > 1.25.3 at usr/bin/a
  go/stdlib 1.22.1 > 1.24.9 at usr/bin/b
UNTRIAGED CVE-2025-24528 fix NO: krb5, versions [1:1.20.1-2+deb12u2], fixed in []
  krb5 1:1.20.1-2+deb12u2
`,
		"team/systemd": `map[MEDIUM:2], 0 suppressed
MEDIUM CVE-2020-0001 5.5 CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H of NVD: bash, versions [239-45.el8], fixed in []
  bash 239-45.el8 OS X86_64
MEDIUM CVE-2021-33910 5.5 CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H of NVD: systemd, systemd-libs, systemd-pam, systemd-udev, versions [239-45.el8], fixed in []
  systemd 239-45.el8 OS X86_64
  systemd-libs 239-45.el8 OS X86_64
  systemd-pam 239-45.el8 OS X86_64
  systemd-udev 239-45.el8 OS X86_64
`,
		"team/ecs-sample": `map[MEDIUM:1], 0 suppressed
MEDIUM CVE-2019-17498 6.5 CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:N/A:N of REDHAT_CVE: libssh2, versions [1.4.3-12.amzn2.2], fixed in []
  libssh2 1.4.3-12.amzn2.2 OS X86_64
`,
		"team/java": `map[CRITICAL:1], 0 suppressed
CRITICAL GHSA-jfh8-c2jp-5v3q [CVE-2021-44228] 9.8 CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H of NVD exploit YES fix YES: org.apache.logging.log4j:log4j-core, versions [2.14.1], fixed in [2.15.0]
  org.apache.logging.log4j:log4j-core 2.14.1 > 2.15.0 at app/app.jar/META-INF/maven/log4j-core/pom.xml JAR
`,
		"team/native": `map[CRITICAL:1 HIGH:1], 0 suppressed
CRITICAL CVE-2024-0001 9.3 CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N: openssl, versions [1.1.1n], fixed in [1.1.1w]
HIGH CVE-2025-0002 8.7 CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N: curl, versions [8.1], fixed in [8.5]
`,
	}
	got := map[string]string{}
	for _, id := range e.Repositories() {
		for _, image := range e.Images(id) {
			result, err := c.Findings(t.Context(), scan.Repository{Registry: id.Registry, Region: id.Region, Name: id.Name}, image.Digest)
			if err != nil {
				t.Fatal(err)
			}
			got[id.Name] += resultText(result)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// resultText returns the findings of a result as text, without what is empty.
func resultText(r scan.Result) string {
	text := fmt.Sprintf("%v, %d suppressed\n", r.Counts, r.Suppressed)
	for _, f := range r.Findings {
		words := []string{string(f.Severity), f.Name}
		if len(f.Related) > 0 {
			words = append(words, fmt.Sprint(f.Related))
		}
		words = append(words, f.Score, f.Vector, after("of ", f.ScoreSource), after("exploit ", f.Exploit), after("fix ", f.FixAvailable))
		text += strings.Join(strings.Fields(strings.Join(words, " ")), " ") + fmt.Sprintf(": %s, versions %v, fixed in %v\n", f.Package, f.Versions, f.FixedIn)
		for _, p := range f.Packages {
			words := []string{p.Name, p.Version, after("> ", p.FixedIn), after("at ", p.Path), p.Manager, p.Arch}
			text += "  " + strings.Join(strings.Fields(strings.Join(words, " ")), " ") + "\n"
		}
	}
	return text
}

// after returns a text after other words, or nothing when it is empty.
func after(words, text string) string {
	if text == "" {
		return ""
	}
	return words + text
}

func TestRatings(t *testing.T) {
	list := []ecr.CVSS{
		{BaseScore: 5.8, ScoringVector: "2 of NVD", Source: "NVD", Version: "2.0"}, {BaseScore: 6.5, ScoringVector: "3.0 of Red Hat", Source: "REDHAT_CVE", Version: "3.0"},
		{BaseScore: 8.1, ScoringVector: "3.1 of NVD", Source: "NVD", Version: "3.1"},
	}
	own := func(text string) ecr.EnhancedFinding {
		return ecr.EnhancedFinding{Score: 6.5, ScoreDetails: []byte(`{"cvss":` + text + `}`), PackageDetails: &ecr.PackageVulnerability{CVSS: list}}
	}
	listed := func(score float64, source string) ecr.EnhancedFinding {
		return ecr.EnhancedFinding{Score: score, PackageDetails: &ecr.PackageVulnerability{CVSS: list, Source: source}}
	}
	for name, test := range map[string]struct {
		finding ecr.EnhancedFinding
		want    string
	}{
		"the scanner's own":         {own(`{"score":7.2,"scoringVector":"own","scoreSource":"AMAZON_INSPECTOR","version":"3.1"}`), "7.2 own AMAZON_INSPECTOR"},
		"its own without a score":   {own(`{"version":"3.1"}`), "6.5 3.0 of Red Hat REDHAT_CVE"},
		"the entry with the score":  {listed(5.8, ""), "5.8 2 of NVD NVD"},
		"the entry of the source":   {listed(0, "REDHAT_CVE"), "6.5 3.0 of Red Hat REDHAT_CVE"},
		"the newest version":        {listed(0, ""), "8.1 3.1 of NVD NVD"},
		"a score without a list":    {ecr.EnhancedFinding{Score: 9.1}, "9.1"},
		"no score":                  {ecr.EnhancedFinding{}, ""},
		"no entry with the score":   {listed(9.9, "NVD"), "8.1 3.1 of NVD NVD"},
		"an entry without a source": {ecr.EnhancedFinding{PackageDetails: &ecr.PackageVulnerability{CVSS: []ecr.CVSS{{BaseScore: 1}}}}, "1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			e, c := start(t)
			test.finding.Title, test.finding.Severity = "CVE-1", "HIGH"
			digest := e.PutImage(id, ecr.Image{ScannedAt: old, Enhanced: []ecr.EnhancedFinding{test.finding}})
			e.SetScanType(repo.Region, repo.Registry, ecr.Enhanced)
			got, err := c.Findings(t.Context(), repo, digest)
			if err != nil {
				t.Fatal(err)
			}
			f := got.Findings[0]
			if text := strings.TrimSpace(f.Score + " " + f.Vector + " " + f.ScoreSource); text != test.want {
				t.Errorf("got %q, want %q", text, test.want)
			}
		})
	}
}

// Basic findings have their fixed versions and scores in attributes, whose names and forms differ.
func TestAttributesOfBasicFindings(t *testing.T) {
	for text, want := range map[string]string{
		"fixed_in_versions=1.1.1w":                            "[1.1.1w]",
		"fixedInVersions=1.2, 1.3;1.2":                        "[1.2 1.3]",
		"FIXED_IN_VERSION=2":                                  "[2]",
		"fixed_version=3":                                     "[3]",
		"fixed_in_versions=NotAvailable":                      "[]",
		"fixed_in_versions=not yet assigned":                  "[]",
		"fixed_in_versions= ":                                 "[]",
		"CVSS4_SCORE=9.3|CVSS3_SCORE=8.0|CVSS3_VECTOR=v3":     "[] 9.3",
		"cvss4-score=9.3|cvss4-vector=v4|CVSS3_SCORE=8.0":     "[] 9.3 v4",
		"CVSS2_SCORE=5|CVSS2_VECTOR=v2|CVSS3_SCORE= ":         "[] 5 v2",
		"CVSS4_SCORE=None Provided|CVSS3_SCORE=8|package=ssl": "[] 8",
	} {
		e, c := start(t)
		finding := ecr.Finding{Name: "CVE-1", Severity: "not yet assigned", Description: "None Provided"}
		for _, pair := range strings.Split(text, "|") {
			key, value, _ := strings.Cut(pair, "=")
			finding.Attributes = append(finding.Attributes, ecr.Attribute{Key: key, Value: value})
		}
		result, err := c.Findings(t.Context(), repo, e.PutImage(id, ecr.Image{ScannedAt: old, Findings: []ecr.Finding{finding}}))
		if err != nil {
			t.Fatal(err)
		}
		f := result.Findings[0]
		if got := strings.TrimSpace(fmt.Sprint(f.FixedIn) + " " + f.Score + " " + f.Vector); got != want || f.Description != "" || f.Severity != scan.Undefined {
			t.Errorf("%s: %q, want %q; %s %q", text, got, want, f.Severity, f.Description)
		}
	}
}

// A vulnerability with an open and a suppressed finding is open. Closed findings are not there.
func TestClosedAndSuppressedFindings(t *testing.T) {
	finding := func(name, status string) ecr.EnhancedFinding {
		return ecr.EnhancedFinding{Severity: "HIGH", Status: status, PackageDetails: &ecr.PackageVulnerability{
			VulnerabilityID: name, VulnerablePackages: []ecr.VulnerablePackage{{Name: status}},
		}}
	}
	e, c := start(t)
	digest := e.PutImage(id, ecr.Image{ScannedAt: old, Enhanced: []ecr.EnhancedFinding{
		finding("CVE-1", "ACTIVE"), finding("CVE-1", "SUPPRESSED"), finding("CVE-1", "CLOSED"), finding("CVE-2", "SUPPRESSED"), finding("CVE-2", "SUPPRESSED"),
		finding("CVE-3", "CLOSED"), finding("CVE-4", "CLOSED"), finding("CVE-4", "SUPPRESSED"), finding("CVE-5", ""), finding("CVE-6", "A_NEW_STATUS"),
	}})
	e.SetScanType(repo.Region, repo.Registry, ecr.Enhanced)
	got, err := c.Findings(t.Context(), repo, digest)
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, f := range got.Findings {
		open = append(open, f.Name+" "+f.Package)
	}
	if diff := cmp.Diff([]string{"CVE-1 ACTIVE", "CVE-5 ", "CVE-6 A_NEW_STATUS"}, open); diff != "" {
		t.Errorf("open (-want +got):\n%s", diff)
	}
	var hidden []string
	for _, f := range got.SuppressedFindings {
		hidden = append(hidden, f.Name+" "+f.Package)
	}
	if diff := cmp.Diff([]string{"CVE-2 SUPPRESSED", "CVE-4 SUPPRESSED"}, hidden); diff != "" || got.Suppressed != 2 || got.Counts[scan.High] != 3 {
		t.Errorf("suppressed %d, counts %v (-want +got):\n%s", got.Suppressed, got.Counts, diff)
	}
}

// Amazon Inspector reports the use of an image with each of its findings.
func TestUseOfAnImage(t *testing.T) {
	used := func(count int64, at time.Time) ecr.EnhancedFinding {
		return ecr.EnhancedFinding{Title: "CVE-1", Severity: "HIGH", Resources: []ecr.Resource{
			{Details: ecr.ResourceDetails{Image: &ecr.ResourceImage{InUseCount: count, LastInUseAt: ecr.Time{Time: at}}}},
			{},
		}}
	}
	e, c := start(t)
	digest := e.PutImage(id, ecr.Image{ScannedAt: old, Enhanced: []ecr.EnhancedFinding{used(2, old), used(3, old.Add(time.Hour)), used(-1, old)}})
	e.SetScanType(repo.Region, repo.Registry, ecr.Enhanced)
	got, err := c.Findings(t.Context(), repo, digest)
	if err != nil || got.InUse != 3 || !got.LastInUse.Equal(old.Add(time.Hour)) {
		t.Errorf("%d, %s, %v", got.InUse, got.LastInUse, err)
	}
}

// Amazon Inspector's package manager OS does not say of which kind a package is. The platform of the image does.
func TestOperatingSystemOfPackages(t *testing.T) {
	e, c := start(t)
	digest := e.PutImage(id, ecr.Image{ScannedAt: old, Enhanced: []ecr.EnhancedFinding{{
		Title: "CVE-1", Severity: "HIGH", Resources: []ecr.Resource{{}, {Details: ecr.ResourceDetails{Image: &ecr.ResourceImage{Platform: "DEBIAN_12"}}}},
		PackageDetails: &ecr.PackageVulnerability{VulnerablePackages: []ecr.VulnerablePackage{
			{Name: "a", PackageManager: "OS"}, {Name: "b", PackageManager: "NODEPKG"}, {Name: "c"},
		}},
	}}})
	e.SetScanType(repo.Region, repo.Registry, ecr.Enhanced)
	got, err := c.Findings(t.Context(), repo, digest)
	want := []scan.Package{{Name: "a", Manager: "OS", OS: "DEBIAN_12"}, {Name: "b", Manager: "NODEPKG"}, {Name: "c"}}
	if err != nil || len(got.Findings) != 1 {
		t.Fatalf("%+v, %v", got.Findings, err)
	}
	if diff := cmp.Diff(want, got.Findings[0].Packages); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Texts and lists of an answer have limits.
func TestFindingsAreLimited(t *testing.T) {
	long := strings.Repeat("é", 5000)
	finding := ecr.EnhancedFinding{Title: long, Severity: "HIGH", PackageDetails: &ecr.PackageVulnerability{VulnerabilityID: long, RelatedVulnerabilities: []string{long}}}
	for i := range 120 {
		finding.PackageDetails.RelatedVulnerabilities = append(finding.PackageDetails.RelatedVulnerabilities, fmt.Sprintf("CVE-2026-%04d", i))
		finding.PackageDetails.VulnerablePackages = append(finding.PackageDetails.VulnerablePackages, ecr.VulnerablePackage{
			Name: fmt.Sprint(i, long), Version: long, Release: long, FixedInVersion: long, FilePath: long, Arch: long, PackageManager: long,
		})
	}
	e, c := start(t)
	digest := e.PutImage(id, ecr.Image{ScannedAt: old, Enhanced: []ecr.EnhancedFinding{finding, finding}})
	e.SetScanType(repo.Region, repo.Registry, ecr.Enhanced)
	got, err := c.Findings(t.Context(), repo, digest)
	if err != nil || len(got.Findings) != 1 {
		t.Fatalf("%d findings, %v", len(got.Findings), err)
	}
	f := got.Findings[0]
	size := len(fmt.Sprint(f))
	if len(f.Packages) != 100 || len(f.Related) != 50 || size > 300_000 {
		t.Errorf("%d packages, %d related names, %d bytes", len(f.Packages), len(f.Related), size)
	}
}
