package ecr

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Time is a time in ECR's JSON format: seconds since 1970 with a fraction. It also parses the ISO 8601 format of the AWS CLI.
type Time struct{ time.Time }

// MarshalJSON writes seconds since 1970 with millisecond precision.
func (t Time) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(t.UnixMilli())/1000, 'f', -1, 64), nil
}

// timeFormats are the forms of a time in text. Python writes a blank between date and time. Some tools
// write an offset without a colon.
func timeFormats() []string {
	return []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999Z07"}
}

// UnmarshalJSON reads seconds since 1970 or a time in one of [timeFormats].
func (t *Time) UnmarshalJSON(b []byte) error {
	var seconds float64
	if json.Unmarshal(b, &seconds) == nil {
		t.Time = time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("time %s is neither a number nor a string", b)
	}
	for _, format := range timeFormats() {
		if parsed, err := time.Parse(format, strings.Replace(text, " ", "T", 1)); err == nil {
			t.Time = parsed.UTC()
			return nil
		}
	}
	return fmt.Errorf("time %q is neither seconds since 1970 nor like 2020-10-21T16:51:26+03:00", text)
}

// Finding is a finding of basic scanning in ECR's JSON format. All fields are optional.
type Finding struct {
	Name        string      `json:"name,omitempty"`
	Description string      `json:"description,omitempty"`
	URI         string      `json:"uri,omitempty"`
	Severity    string      `json:"severity,omitempty"`
	Attributes  []Attribute `json:"attributes,omitempty"`
}

// Attribute is a key and value of a basic finding, such as package_name.
type Attribute struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
}

// EnhancedFinding is a finding of Amazon Inspector in ECR's JSON format. All fields are optional.
type EnhancedFinding struct {
	AWSAccountID     string                `json:"awsAccountId,omitempty"`
	Description      string                `json:"description,omitempty"`
	ARN              string                `json:"findingArn,omitempty"`
	FirstObservedAt  Time                  `json:"firstObservedAt,omitzero"`
	LastObservedAt   Time                  `json:"lastObservedAt,omitzero"`
	PackageDetails   *PackageVulnerability `json:"packageVulnerabilityDetails,omitempty"`
	Remediation      *Remediation          `json:"remediation,omitempty"`
	Resources        []Resource            `json:"resources,omitempty"`
	Score            float64               `json:"score,omitempty"`
	ScoreDetails     json.RawMessage       `json:"scoreDetails,omitempty"` // contains no times, so it is not parsed
	Severity         string                `json:"severity,omitempty"`
	Status           string                `json:"status,omitempty"`
	Title            string                `json:"title,omitempty"`
	Type             string                `json:"type,omitempty"`
	UpdatedAt        Time                  `json:"updatedAt,omitzero"`
	FixAvailable     string                `json:"fixAvailable,omitempty"`     // YES, NO or PARTIAL
	ExploitAvailable string                `json:"exploitAvailable,omitempty"` // YES or NO
}

// PackageVulnerability is the vulnerability of an enhanced finding.
type PackageVulnerability struct {
	CVSS                   []CVSS              `json:"cvss,omitempty"`
	ReferenceURLs          []string            `json:"referenceUrls,omitempty"`
	RelatedVulnerabilities []string            `json:"relatedVulnerabilities,omitempty"`
	Source                 string              `json:"source,omitempty"`
	SourceURL              string              `json:"sourceUrl,omitempty"`
	VendorCreatedAt        Time                `json:"vendorCreatedAt,omitzero"`
	VendorSeverity         string              `json:"vendorSeverity,omitempty"`
	VendorUpdatedAt        Time                `json:"vendorUpdatedAt,omitzero"`
	VulnerabilityID        string              `json:"vulnerabilityId,omitempty"`
	VulnerablePackages     []VulnerablePackage `json:"vulnerablePackages,omitempty"`
}

// CVSS is one rating of a vulnerability.
type CVSS struct {
	BaseScore     float64 `json:"baseScore,omitempty"`
	ScoringVector string  `json:"scoringVector,omitempty"`
	Source        string  `json:"source,omitempty"`
	Version       string  `json:"version,omitempty"`
}

// VulnerablePackage is an installed package that has the vulnerability.
type VulnerablePackage struct {
	Arch            string `json:"arch,omitempty"`
	Epoch           int    `json:"epoch,omitempty"`
	FilePath        string `json:"filePath,omitempty"`
	FixedInVersion  string `json:"fixedInVersion,omitempty"` // may be NotAvailable
	Name            string `json:"name,omitempty"`
	PackageManager  string `json:"packageManager,omitempty"`
	Release         string `json:"release,omitempty"`
	SourceLayerHash string `json:"sourceLayerHash,omitempty"`
	Version         string `json:"version,omitempty"`
}

// Remediation contains the recommendation for an enhanced finding.
type Remediation struct {
	Recommendation Recommendation `json:"recommendation,omitzero"`
}

// Recommendation is the text of a Remediation.
type Recommendation struct {
	Text string `json:"text,omitempty"`
	URL  string `json:"url,omitempty"`
}

// Resource is the resource that has an enhanced finding.
type Resource struct {
	Details ResourceDetails   `json:"details,omitzero"`
	ID      string            `json:"id,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`
	Type    string            `json:"type,omitempty"`
}

// ResourceDetails contains the image of a Resource.
type ResourceDetails struct {
	Image *ResourceImage `json:"awsEcrContainerImage,omitempty"`
}

// ResourceImage is the image of a Resource.
type ResourceImage struct {
	Architecture   string   `json:"architecture,omitempty"`
	Author         string   `json:"author,omitempty"`
	ImageHash      string   `json:"imageHash,omitempty"`
	ImageTags      []string `json:"imageTags,omitempty"`
	Platform       string   `json:"platform,omitempty"`
	PushedAt       Time     `json:"pushedAt,omitzero"`
	LastInUseAt    Time     `json:"lastInUseAt,omitzero"`
	InUseCount     int64    `json:"inUseCount,omitempty"`
	Registry       string   `json:"registry,omitempty"`
	RepositoryName string   `json:"repositoryName,omitempty"`
}

// countSeverities counts the findings of an image by severity. It counts a finding without a severity as UNDEFINED, so that
// the sum of the counts is the number of findings.
func countSeverities(findings []Finding, enhanced []EnhancedFinding) map[string]int {
	counts := map[string]int{}
	add := func(severity string) { counts[cmp.Or(severity, "UNDEFINED")]++ }
	for i := range findings {
		add(findings[i].Severity)
	}
	for i := range enhanced {
		add(enhanced[i].Severity)
	}
	return counts
}
