package ecrscan

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
)

// FuzzFindings converts findings with any texts. The result is bounded, its URL is safe, and the counts are those of the findings.
func FuzzFindings(f *testing.F) {
	f.Add("CVE-2026-1", "HIGH", "package_version", "1:2.3-4", "https://example.org/a b", 9.8)
	f.Add("", "", "fixed_in_versions", "1.2, 1.3; 1.4", "javascript:alert(1)", -1.0)
	f.Add("None Provided", "untriaged", "CVSS3_SCORE", "9.8", "http://a/<script>", 1e300)
	f.Add(strings.Repeat("é", 300), strings.Repeat("x", 300), "package_name", strings.Repeat("ü", 5000), "//", 0.05)
	f.Add("CVE-2026-1", "HIGH", "package_name", "CVE-2026-1 - openssl", "https://example.org", 7.5)
	f.Fuzz(func(t *testing.T, name, severity, key, value, link string, score float64) {
		for _, text := range []*string{&name, &severity, &key, &value, &link} {
			*text = strings.ToValidUTF8(*text, "\uFFFD") // as the SDK does
		}
		basic := types.ImageScanFinding{
			Name: &name, Description: &value, Uri: &link, Severity: types.FindingSeverity(severity),
			Attributes: []types.Attribute{{Key: aws.String("package_name"), Value: &name}, {Key: &key, Value: &value}, {Key: aws.String("CVSS3_VECTOR"), Value: &value}},
		}
		enhanced := types.EnhancedImageScanFinding{
			Title: &value, Description: &value, Severity: &severity, Score: score, FixAvailable: &value, ExploitAvailable: &value, Status: &key,
			Remediation: &types.Remediation{Recommendation: &types.Recommendation{Text: &value}},
			PackageVulnerabilityDetails: &types.PackageVulnerabilityDetails{
				VulnerabilityId: &name, SourceUrl: &link, RelatedVulnerabilities: []string{value}, Cvss: []types.CvssScore{{BaseScore: score, ScoringVector: &value, Source: &value}},
				VulnerablePackages: []types.VulnerablePackage{
					{Name: &name, Version: &value, Release: &value, FixedInVersion: &value, FilePath: &value, PackageManager: &value, Arch: &value}, {},
				},
			},
		}
		var lists findingLists
		lists.add(&types.ImageScanFindings{Findings: []types.ImageScanFinding{basic, basic}, EnhancedFindings: []types.EnhancedImageScanFinding{enhanced}})
		var result scan.Result
		lists.setIn(&result)
		sum := 0
		for _, n := range result.Counts {
			sum += n
		}
		if sum != len(result.Findings) || sum == 0 {
			t.Errorf("counts %v of %d findings, %d suppressed", result.Counts, len(result.Findings), result.Suppressed)
		}
		for _, found := range append(lists.open, lists.suppressed...) {
			checkBounds(t, found)
			checkStored(t, found)
		}
	})
}

// checkStored checks that a finding is the same after it was stored. Otherwise each visit would store the history again.
func checkStored(t *testing.T, f scan.Finding) {
	t.Helper()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var back scan.Finding
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(f, back) {
		t.Errorf("%v (-want +stored):\n%s", err, cmp.Diff(f, back))
	}
}

func checkBounds(t *testing.T, f scan.Finding) {
	t.Helper()
	texts := map[string][]string{
		"name": {f.Name}, "package": {f.Package}, "severity": {string(f.Severity)}, "score": {f.Score, f.Vector, f.ScoreSource}, "version": f.Versions, "fixed version": f.FixedIn,
		"fix": {f.FixAvailable}, "exploit": {f.Exploit}, "related": f.Related,
	}
	for what, all := range texts {
		for _, s := range all {
			if most := 2*maxName + 2; len(s) > most || !utf8.ValidString(s) { // Package can list two names
				t.Errorf("%s: %d bytes %.20q", what, len(s), s)
			}
		}
	}
	if len(f.Description)+len(f.Remediation) > 2*(maxText+len(" …")) || len(f.Versions)+len(f.FixedIn)+len(f.Related) > 3*maxFixed || f.Name == "" || f.Severity == "" {
		t.Errorf("%+v", f)
	}
	if u, err := url.Parse(f.URL); err != nil || f.URL != "" && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https") || strings.ContainsAny(f.URL, "<>\"` \n") {
		t.Errorf("URL %q, %v", f.URL, err)
	}
	if _, known := f.BaseScore(); f.Score != "" && f.ScoreSource != "" && !known {
		t.Errorf("score %q", f.Score)
	}
}
