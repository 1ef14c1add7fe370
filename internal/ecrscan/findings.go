package ecrscan

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"ecr-continuous-scan/internal/scan"
)

// maxName bounds a name, in bytes.
const maxName = 200

// maxText bounds a description or remediation, in bytes: scanners have sent pages of release notes.
const maxText = 4096

// findingsOf reads both kinds of findings, whichever kind of scanning the registry is set to: both lists may be there.
func findingsOf(found *types.ImageScanFindings) []scan.Finding {
	if found == nil {
		return nil
	}
	findings := make([]scan.Finding, 0, len(found.Findings)+len(found.EnhancedFindings))
	for _, f := range found.Findings {
		findings = append(findings, basicFinding(f))
	}
	for _, f := range found.EnhancedFindings {
		findings = append(findings, enhancedFindings(f)...)
	}
	return findings
}

// basicFinding reads a finding of basic scanning, each field of which may be missing.
func basicFinding(f types.ImageScanFinding) scan.Finding {
	finding := scan.Finding{
		Name: name(aws.ToString(f.Name), aws.ToString(f.Uri), aws.ToString(f.Description)), Severity: scan.ParseSeverity(string(f.Severity)),
		Description: shorten(aws.ToString(f.Description)), URL: webURL(aws.ToString(f.Uri)),
	}
	attributes := make(map[string]string, len(f.Attributes))
	for _, a := range f.Attributes {
		attributes[aws.ToString(a.Key)] = aws.ToString(a.Value)
	}
	finding.Package = attributes["package_name"]
	if version := attributes["package_version"]; version != "" {
		finding.Versions = []string{version}
	}
	finding.Score, finding.Vector = attributes["CVSS3_SCORE"], attributes["CVSS3_VECTOR"]
	if finding.Score == "" {
		finding.Score, finding.Vector = attributes["CVSS2_SCORE"], attributes["CVSS2_VECTOR"]
	}
	return finding
}

// enhancedFindings reads a finding of Amazon Inspector: one for each package that it names, or one without a package.
func enhancedFindings(f types.EnhancedImageScanFinding) []scan.Finding {
	common := scan.Finding{
		Severity: scan.ParseSeverity(aws.ToString(f.Severity)), Description: shorten(aws.ToString(f.Description)),
		FixAvailable: aws.ToString(f.FixAvailable), Exploit: aws.ToString(f.ExploitAvailable),
		FirstSeen: aws.ToTime(f.FirstObservedAt).UTC(), Changed: aws.ToTime(f.UpdatedAt).UTC(),
	}
	if r := f.Remediation; r != nil && r.Recommendation != nil {
		common.Remediation = shorten(aws.ToString(r.Recommendation.Text))
	}
	d := f.PackageVulnerabilityDetails
	if d == nil {
		common.Name = name(aws.ToString(f.Title), aws.ToString(f.Description))
		return []scan.Finding{common}
	}
	common.Name = name(aws.ToString(d.VulnerabilityId), aws.ToString(f.Title), aws.ToString(f.Description))
	common.URL = webURL(aws.ToString(d.SourceUrl))
	common.Score, common.Vector = cvss(f.Score, d.Cvss)
	if len(d.VulnerablePackages) == 0 {
		return []scan.Finding{common}
	}
	findings := make([]scan.Finding, 0, len(d.VulnerablePackages))
	for _, p := range d.VulnerablePackages {
		one := common
		one.Package = aws.ToString(p.Name)
		if version := aws.ToString(p.Version); version != "" {
			one.Versions = []string{version}
		}
		if fixed := aws.ToString(p.FixedInVersion); fixed != "" && fixed != "NotAvailable" {
			one.FixedIn = []string{fixed}
		}
		findings = append(findings, one)
	}
	return findings
}

// cvss takes Inspector's own score, and the vector of the newest CVSS version that has one.
func cvss(score float64, all []types.CvssScore) (string, string) {
	var best types.CvssScore
	for _, s := range all {
		if aws.ToString(s.Version) >= aws.ToString(best.Version) {
			best = s
		}
	}
	if score = cmp.Or(score, best.BaseScore); score == 0 {
		return "", aws.ToString(best.ScoringVector)
	}
	return strconv.FormatFloat(score, 'f', 1, 64), aws.ToString(best.ScoringVector)
}

// name is the first of the names that isn't blank. Two findings without a name must not become one, so there is something else of theirs
// among them.
func name(names ...string) string {
	for _, n := range names {
		if n = strings.TrimSpace(n); n != "" {
			return strings.ToValidUTF8(n[:min(len(n), maxName)], "")
		}
	}
	return "unnamed finding"
}

// webURL lets only links to web pages through, so that no other scheme reaches a reader.
func webURL(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`"<>\^{|}`+"`", r) {
			return -1
		}
		return r
	}, strings.ReplaceAll(u.String(), " ", "%20"))
}

// shorten cuts a text at maxText, at a rune's border, and shows that it was cut.
func shorten(s string) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + " …"
}
