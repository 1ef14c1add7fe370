package scan

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Finding is one vulnerability of an image. With basic scanning it is in one package. With enhanced scanning it has
// all its packages. The stored history uses its JSON form.
type Finding struct {
	// Name is the vulnerability's name, usually a CVE number.
	Name string `json:"name"`
	// Package is the name of the vulnerable package, or empty when the scanner does not report it. With enhanced
	// scanning it lists the names of Packages, separated by commas.
	Package string `json:"package,omitempty"`
	// Versions are the installed versions of the package. An image can contain several copies.
	Versions []string `json:"versions,omitempty"`
	// Packages are the vulnerable packages that Amazon Inspector reports, sorted, at most maxPackages. It is empty
	// with basic scanning. If it is set, Package, Versions and FixedIn list its values in its order.
	Packages []Package `json:"packages,omitempty"`
	// Related are other names of the vulnerability, such as the CVE numbers of an advisory. They are sorted, at most
	// maxRelated.
	Related  []string `json:"related,omitempty"`
	Severity Severity `json:"severity"`
	// Description is the scanner's text. Like all strings here it is untrusted: escape it for output.
	Description string `json:"description,omitempty"`
	// URL is the address of the advisory: empty, or http or https.
	URL string `json:"url,omitempty"`
	// Score is the CVSS base score, a decimal number. Vector is its CVSS vector, and ScoreSource is who rated the
	// vulnerability so. Each is empty when unknown.
	Score       string `json:"score,omitempty"`
	Vector      string `json:"vector,omitempty"`
	ScoreSource string `json:"scoreSource,omitempty"`
	// FixedIn are the fixed versions. It is empty when there are none or the scanner does not report them.
	FixedIn []string `json:"fixedIn,omitempty"`
	// FixAvailable is YES, NO or PARTIAL, and Exploit is YES or NO, as Amazon Inspector reports them. Both are empty
	// with basic scanning.
	FixAvailable string `json:"fixAvailable,omitempty"`
	Exploit      string `json:"exploit,omitempty"`
	// Remediation is Amazon Inspector's recommendation, or empty.
	Remediation string `json:"remediation,omitempty"`
	// FirstSeen and Changed are the times when Amazon Inspector first saw and last changed the finding. Both are zero
	// with basic scanning, which does not report them.
	FirstSeen time.Time `json:"firstSeen,omitzero"`
	Changed   time.Time `json:"changed,omitzero"`
	// InUse is the number of running tasks and pods that use the image, and LastInUse is when one last used it, as
	// Amazon Inspector reports them. They are properties of the image, so that the history does not store them.
	InUse     int       `json:"-"`
	LastInUse time.Time `json:"-"`
	// Episode counts how often the finding came back or its severity was raised. It starts at 0.
	Episode int `json:"episode,omitempty"`
	// NamesPackage means that titles name the package, because the image had the same vulnerability in another package
	// when the finding was first recorded. It never changes, so that titles do not change.
	NamesPackage bool `json:"namesPackage,omitempty"`
}

// BaseScore returns the CVSS score as a number. known is false if there is no valid score.
func (f Finding) BaseScore() (score float64, known bool) {
	score, err := strconv.ParseFloat(f.Score, 64)
	if err != nil || !(score >= 0 && score <= 10) { // NaN is neither
		return 0, false
	}
	return score, true
}

// IdentityPackage returns the part of the finding's identity that is about the package. It is empty with enhanced
// scanning, where all packages of a vulnerability are one finding.
func (f Finding) IdentityPackage() string {
	if len(f.Packages) > 0 {
		return ""
	}
	return f.Package
}

// namespace is the namespace of all name-based UUIDs. If it changes, every feed reader shows all entries as new.
var namespace = uuid.MustParse("9b1a7a44-64a7-4d0e-8f6b-2f4be0a3c6d1")

// FindingID returns the id of a finding of an image. The id does not change with a new scan, a push to the same tag,
// new versions or texts, or a lower severity.
func FindingID(image Image, f Finding) uuid.UUID {
	return NameID("finding", image.Repository.Registry, image.Repository.Region, image.Repository.Name, image.Tag, image.Platform,
		f.Name, f.IdentityPackage(), strconv.Itoa(f.Episode))
}

// VulnerabilityID returns the id of a finding in all images of a repository. It does not depend on tag and platform.
func VulnerabilityID(repo Repository, f Finding) uuid.UUID {
	return NameID("vulnerability", repo.Registry, repo.Region, repo.Name, f.Name, f.IdentityPackage(), strconv.Itoa(f.Episode))
}

// NameID returns the name-based UUID of parts. It quotes each part, so that different lists have different ids.
func NameID(parts ...string) uuid.UUID {
	quoted := []byte("[")
	for i, part := range parts {
		if i > 0 {
			quoted = append(quoted, ' ')
		}
		quoted = strconv.AppendQuote(quoted, part)
	}
	return uuid.NewSHA1(namespace, append(quoted, ']'))
}

// CompareFindings sorts by severity, most severe first, then by name and package.
func CompareFindings(a, b Finding) int {
	return cmp.Or(CompareSeverity(a.Severity, b.Severity), strings.Compare(a.Name, b.Name), strings.Compare(a.Package, b.Package))
}
