package ecrscan

import (
	"cmp"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"ecr-continuous-scan/internal/scan"
)

// maxName is the maximum length of a name, a version and other short texts of a finding, in bytes.
const maxName = 200

// maxText is the maximum length of a description or remediation, in bytes. Some scanners send pages of release notes.
const maxText = 4096

// maxPath is the maximum length of the path of a package, in bytes.
const maxPath = 400

// findingLists are the findings in the pages of an answer of ECR.
type findingLists struct {
	open []scan.Finding
	// suppressed are the findings that suppression rules of Amazon Inspector hide.
	suppressed []scan.Finding
	inUse      int
	lastInUse  time.Time
}

// add converts basic and enhanced findings. An answer can contain both. It omits findings that Amazon Inspector
// closed.
func (l *findingLists) add(page *types.ImageScanFindings) {
	for _, basic := range page.Findings {
		l.open = append(l.open, basicFinding(basic))
	}
	for _, enhanced := range page.EnhancedFindings {
		l.addUse(enhanced.Resources)
		switch strings.ToUpper(aws.ToString(enhanced.Status)) {
		case "CLOSED":
		case "SUPPRESSED":
			l.suppressed = append(l.suppressed, enhancedFinding(enhanced))
		default:
			l.open = append(l.open, enhancedFinding(enhanced))
		}
	}
}

func (l *findingLists) addUse(resources []types.Resource) {
	for _, r := range resources {
		if r.Details == nil || r.Details.AwsEcrContainerImage == nil {
			continue
		}
		image := r.Details.AwsEcrContainerImage
		l.inUse = max(l.inUse, int(min(aws.ToInt64(image.InUseCount), math.MaxInt32)))
		if at := aws.ToTime(image.LastInUseAt).UTC(); at.After(l.lastInUse) {
			l.lastInUse = at
		}
	}
}

// setIn sets the findings of a result. The counts are those of the merged findings, so that every number counts the
// same things. A vulnerability with an open and a suppressed finding is open.
func (l *findingLists) setIn(r *scan.Result) {
	r.Findings, r.InUse, r.LastInUse = scan.MergeFindings(l.open), l.inUse, l.lastInUse
	r.Counts = scan.Counts{}
	isOpen := make(map[string]bool)
	for _, open := range r.Findings {
		r.Counts[open.Severity]++
		isOpen[open.Name] = isOpen[open.Name] || open.IdentityPackage() == ""
	}
	for _, hidden := range scan.MergeFindings(l.suppressed) {
		if !isOpen[hidden.Name] {
			r.SuppressedFindings = append(r.SuppressedFindings, hidden)
		}
	}
	r.Suppressed = len(r.SuppressedFindings)
}

// basicFinding converts a finding of basic scanning. Each of its fields can be missing.
func basicFinding(f types.ImageScanFinding) scan.Finding {
	finding := scan.Finding{
		Name: firstName(text(f.Name), aws.ToString(f.Uri), text(f.Description)), Severity: scan.ParseSeverity(known(string(f.Severity))),
		Description: shorten(text(f.Description)), URL: webURL(aws.ToString(f.Uri)),
	}
	attributes := make(map[string]string, len(f.Attributes))
	for _, a := range f.Attributes {
		attributes[attributeKey(aws.ToString(a.Key))] = text(a.Value)
	}
	finding.Package = cut(attributes["PACKAGENAME"], maxName)
	if version := cut(attributes["PACKAGEVERSION"], maxName); version != "" {
		finding.Versions = []string{version}
	}
	for _, cvss := range []string{"CVSS4", "CVSS3", "CVSS2"} {
		if finding.Score = cut(attributes[cvss+"SCORE"], maxName); finding.Score != "" {
			finding.Vector = cut(attributes[cvss+"VECTOR"], maxName)
			break
		}
	}
	for _, key := range []string{"FIXEDINVERSIONS", "FIXEDINVERSION", "FIXEDVERSIONS", "FIXEDVERSION", "FIXEDIN"} {
		if fixed := scan.Distinct(strings.FieldsFunc(cut(attributes[key], maxText), isSeparator)); len(fixed) > 0 {
			for _, version := range fixed[:min(len(fixed), maxFixed)] {
				finding.FixedIn = append(finding.FixedIn, cut(version, maxName))
			}
			break
		}
	}
	return finding
}

// maxFixed is the maximum number of fixed versions of a basic finding.
const maxFixed = 20

// isSeparator reports whether a character separates the versions in an attribute.
func isSeparator(r rune) bool { return r == ',' || r == ';' || unicode.IsSpace(r) }

// attributeKey returns the key of an attribute in upper case without separators. ECR's documentation lists no keys,
// and those that were seen have different forms, such as package_name and CVSS3_SCORE.
func attributeKey(key string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToUpper(r)
	}, key)
}

// enhancedFinding converts a finding of Amazon Inspector with all its packages.
func enhancedFinding(f types.EnhancedImageScanFinding) scan.Finding {
	finding := scan.Finding{
		Name: firstName(text(f.Title), text(f.Description)), Severity: scan.ParseSeverity(text(f.Severity)), Description: shorten(text(f.Description)),
		FixAvailable: name(f.FixAvailable), Exploit: name(f.ExploitAvailable),
		FirstSeen: aws.ToTime(f.FirstObservedAt).UTC(), Changed: aws.ToTime(f.UpdatedAt).UTC(),
	}
	if r := f.Remediation; r != nil && r.Recommendation != nil {
		finding.Remediation = shorten(text(r.Recommendation.Text))
	}
	d := f.PackageVulnerabilityDetails
	if d == nil {
		d = &types.PackageVulnerabilityDetails{}
	}
	finding.Name = firstName(text(d.VulnerabilityId), finding.Name)
	finding.URL = webURL(aws.ToString(d.SourceUrl))
	finding.Score, finding.Vector, finding.ScoreSource = rating(f, d)
	packages := make([]scan.Package, 0, len(d.VulnerablePackages))
	for _, p := range d.VulnerablePackages {
		packages = append(packages, scan.Package{
			Name: name(p.Name), Manager: name(p.PackageManager), Arch: name(p.Arch), Version: installedVersion(p), FixedIn: name(p.FixedInVersion), Path: cut(text(p.FilePath), maxPath),
			OS: operatingSystem(p, f.Resources),
		})
	}
	related := cveNumber.FindAllString(aws.ToString(f.Title), -1)
	for _, other := range d.RelatedVulnerabilities {
		if other = name(&other); other != "" {
			related = append(related, other)
		}
	}
	return finding.WithPackages(packages).WithRelated(related)
}

// operatingSystem returns the operating system of the image if the package belongs to it. Amazon Inspector's package
// manager OS does not say whether the package is a deb, an rpm or an apk.
func operatingSystem(p types.VulnerablePackage, resources []types.Resource) string {
	if p.PackageManager == nil || !strings.EqualFold(*p.PackageManager, "OS") {
		return ""
	}
	for _, r := range resources {
		if r.Details != nil && r.Details.AwsEcrContainerImage != nil {
			return cut(text(r.Details.AwsEcrContainerImage.Platform), maxName)
		}
	}
	return ""
}

// cveNumber matches the CVE numbers in the title of an advisory, which has a name of its own.
var cveNumber = regexp.MustCompile(`CVE-[0-9]{4}-[0-9]{4,19}`)

// installedVersion returns the version of a package as package managers write it, and as fixed versions are written:
// epoch:version-release. An epoch of 0 is omitted.
func installedVersion(p types.VulnerablePackage) string {
	version := text(p.Version)
	if version == "" {
		return ""
	}
	if release := text(p.Release); release != "" {
		version += "-" + release
	}
	if epoch := aws.ToInt32(p.Epoch); epoch > 0 {
		version = strconv.Itoa(int(epoch)) + ":" + version
	}
	return cut(version, maxName)
}

// rating returns the score, the vector and the source of one rating of a finding: Amazon Inspector's own, or else one
// of the list.
func rating(f types.EnhancedImageScanFinding, d *types.PackageVulnerabilityDetails) (score, vector, source string) {
	best := types.CvssScore{BaseScore: f.Score}
	if own := f.ScoreDetails; own != nil && own.Cvss != nil && own.Cvss.Score > 0 {
		best = types.CvssScore{BaseScore: own.Cvss.Score, ScoringVector: own.Cvss.ScoringVector, Source: own.Cvss.ScoreSource}
	} else if len(d.Cvss) > 0 {
		best = slices.MaxFunc(d.Cvss, func(a, b types.CvssScore) int {
			return cmp.Or(compareBool(a.BaseScore == f.Score, b.BaseScore == f.Score), compareBool(isOf(a, d.Source), isOf(b, d.Source)),
				strings.Compare(aws.ToString(a.Version), aws.ToString(b.Version)))
		})
	}
	if best.BaseScore > 0 && best.BaseScore <= 10 {
		score = strconv.FormatFloat(best.BaseScore, 'f', 1, 64)
	}
	return score, name(best.ScoringVector), name(best.Source)
}

func isOf(s types.CvssScore, source *string) bool {
	return source != nil && aws.ToString(s.Source) == *source
}

// compareBool sorts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// text returns a text of ECR without spaces around it. It is empty when the scanner says that it does not know it.
func text(s *string) string { return known(aws.ToString(s)) }

// name is like text, but truncates it to maxName.
func name(s *string) string { return cut(text(s), maxName) }

func known(s string) string {
	s = strings.TrimSpace(s)
	switch strings.ToLower(strings.ReplaceAll(s, " ", "")) {
	case "noneprovided", "notavailable", "notyetassigned":
		return ""
	}
	return s
}

// firstName returns the first non-empty name, truncated to maxName. Callers also pass the title or the description,
// so that two findings without a name are not merged into one.
func firstName(names ...string) string {
	for _, n := range names {
		if n = strings.TrimSpace(n); n != "" {
			return cut(n, maxName)
		}
	}
	return "unnamed finding"
}

// webURL returns s as a safe HTTP or HTTPS URL, and an empty string for other schemes, such as javascript.
func webURL(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	safe := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`"<>\^{|}`+"`", r) {
			return -1
		}
		return r
	}, strings.ReplaceAll(u.String(), " ", "%20"))
	if u, err = url.Parse(safe); err != nil || u.Host == "" {
		return ""
	}
	return safe
}

// shorten truncates a text to maxText at a rune boundary and appends an ellipsis.
func shorten(s string) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + " …"
}
