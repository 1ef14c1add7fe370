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

// maxName is the maximum length of a finding's name, in bytes.
const maxName = 200

// maxText is the maximum length of a description or remediation, in bytes. Some scanners send pages of release notes.
const maxText = 4096

// findingsOf converts basic and enhanced findings. A response can contain both.
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

// basicFinding converts a finding of basic scanning. Each of its fields can be missing.
func basicFinding(f types.ImageScanFinding) scan.Finding {
	finding := scan.Finding{
		Name: firstName(aws.ToString(f.Name), aws.ToString(f.Uri), aws.ToString(f.Description)), Severity: scan.ParseSeverity(string(f.Severity)),
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

// enhancedFindings converts a finding of Amazon Inspector to one finding for each of its packages, or to one finding
// without a package.
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
		common.Name = firstName(aws.ToString(f.Title), aws.ToString(f.Description))
		return []scan.Finding{common}
	}
	common.Name = firstName(aws.ToString(d.VulnerabilityId), aws.ToString(f.Title), aws.ToString(f.Description))
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

// cvss returns Inspector's own score, or else the base score of the newest CVSS version, and the vector of that version.
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

// firstName returns the first non-empty name, truncated to maxName. Callers also pass the title or the description, so that
// two findings without a name are not merged into one.
func firstName(names ...string) string {
	for _, n := range names {
		if n = strings.TrimSpace(n); n != "" {
			return strings.ToValidUTF8(n[:min(len(n), maxName)], "")
		}
	}
	return "unnamed finding"
}

// webURL returns s as a safe HTTP or HTTPS URL, and an empty string for other schemes, such as javascript.
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

// shorten truncates a text to maxText at a rune boundary and appends an ellipsis.
func shorten(s string) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + " …"
}
