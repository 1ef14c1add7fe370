package demo

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// vulnerability is an element of vulnerabilities.json. Two elements have the same name if the vulnerability has different fixed
// versions in different packages.
type vulnerability struct {
	Name     string   `json:"name"`
	Severity string   `json:"severity"`
	Score    float64  `json:"score"`
	Vector   string   `json:"vector"`
	Affects  []string `json:"affects"` // packages with their versions
	Fixed    string   `json:"fixed"`
	Text     string   `json:"text"`
	URI      string   `json:"uri"`     // if empty: the page of the NVD
	Manager  string   `json:"manager"` // of packages of enhanced scanning
	Path     string   `json:"path"`    // of these packages

	known, fixKnown, exploited bool
	learned, changed           time.Time
}

// scanner is what the scanner of ECR knows.
type scanner struct{ all []vulnerability }

// newScanner returns a scanner that knows the vulnerabilities and fixed versions that no event makes known.
func newScanner(all []vulnerability, events []event, start time.Time) *scanner {
	later, fixedLater := map[string]bool{}, map[string]bool{}
	for _, e := range events {
		for _, name := range e.Learn {
			later[name] = true
		}
		for _, name := range e.Fix {
			fixedLater[name] = true
		}
	}
	for i := range all {
		v := &all[i]
		v.known, v.fixKnown = !later[v.Name], !fixedLater[v.Name]
		v.learned, v.changed = start, start
	}
	return &scanner{all}
}

// apply changes what the scanner knows. It reports whether an event changes it.
func (s *scanner) apply(e event, now time.Time) (changed bool) {
	for i := range s.all {
		v := &s.all[i]
		was := *v
		if !v.known && slices.Contains(e.Learn, v.Name) {
			v.known, v.learned = true, now
		}
		v.fixKnown = v.fixKnown || slices.Contains(e.Fix, v.Name)
		v.exploited = v.exploited || slices.Contains(e.Exploit, v.Name)
		for _, r := range e.Rate {
			if r.Name == v.Name {
				v.Severity, v.Score, v.Vector = r.Severity, r.Score, r.Vector
			}
		}
		if v.known != was.known || v.fixKnown != was.fixKnown || v.exploited != was.exploited || v.Severity != was.Severity {
			v.changed, changed = now, true
		}
	}
	return changed
}

// foundIn returns the known vulnerabilities of an image with the packages that have them.
func (s *scanner) foundIn(packages []string, found func(v vulnerability, affected []string)) {
	for _, v := range s.all {
		affected := slices.DeleteFunc(slices.Clone(v.Affects), func(p string) bool { return !slices.Contains(packages, p) })
		if v.known && len(affected) > 0 {
			found(v, affected)
		}
	}
}

func (v vulnerability) uri() string { return cmp.Or(v.URI, "https://nvd.nist.gov/vuln/detail/"+v.Name) }

func (v vulnerability) score() string {
	if v.Score == 0 {
		return ""
	}
	return strconv.FormatFloat(v.Score, 'f', 1, 64)
}

func (v vulnerability) cvssVersion() string {
	return strings.TrimPrefix(strings.SplitN(v.Vector, "/", 2)[0], "CVSS:")
}

// basic returns what basic scanning finds in an image.
func (s *scanner) basic(packages []string) []ecr.Finding {
	findings := []ecr.Finding{}
	s.foundIn(packages, func(v vulnerability, affected []string) {
		for _, p := range affected {
			name, version, _ := strings.Cut(p, " ")
			f := ecr.Finding{Name: v.Name, Severity: v.Severity, Description: v.Text, URI: v.uri()}
			for _, a := range []ecr.Attribute{
				{Key: "package_version", Value: version}, {Key: "package_name", Value: name}, {Key: "fixed_in_versions", Value: v.Fixed},
				{Key: "CVSS3_SCORE", Value: v.score()}, {Key: "CVSS3_VECTOR", Value: v.Vector},
			} {
				if a.Value != "" {
					f.Attributes = append(f.Attributes, a)
				}
			}
			findings = append(findings, f)
		}
	})
	return findings
}

// enhanced returns what Amazon Inspector finds in an image that was pushed at a time.
func (s *scanner) enhanced(packages []string, pushed time.Time, in ecr.ResourceImage) []ecr.EnhancedFinding {
	findings := []ecr.EnhancedFinding{}
	s.foundIn(packages, func(v vulnerability, affected []string) {
		first, changed := v.learned, v.changed
		if pushed.After(first) {
			first = pushed
		}
		if pushed.After(changed) {
			changed = pushed
		}
		f := ecr.EnhancedFinding{
			AWSAccountID: in.Registry, Description: v.Text, Severity: v.Severity, Score: v.Score, Status: "ACTIVE", Type: "PACKAGE_VULNERABILITY",
			FirstObservedAt: ecr.Time{Time: first}, LastObservedAt: ecr.Time{Time: changed}, UpdatedAt: ecr.Time{Time: changed},
			FixAvailable: "NO", ExploitAvailable: "NO",
			PackageDetails: &ecr.PackageVulnerability{
				Source: "NVD", SourceURL: v.uri(), VulnerabilityID: v.Name,
				CVSS: []ecr.CVSS{{BaseScore: v.Score, ScoringVector: v.Vector, Source: "NVD", Version: v.cvssVersion()}},
			},
			Resources: []ecr.Resource{{ID: in.RepositoryName + "@" + in.ImageHash, Type: "AWS_ECR_CONTAINER_IMAGE", Details: ecr.ResourceDetails{Image: &in}}},
		}
		fixed := v.Fixed
		if !v.fixKnown {
			fixed = ""
		}
		if fixed != "" {
			f.FixAvailable = "YES"
		}
		if v.exploited {
			f.ExploitAvailable = "YES"
		}
		for _, p := range affected {
			f.PackageDetails.VulnerablePackages = append(f.PackageDetails.VulnerablePackages, v.vulnerable(p, fixed))
		}
		f.Title = v.Name + " - " + f.PackageDetails.VulnerablePackages[0].Name
		findings = append(findings, f)
	})
	return findings
}

func (v vulnerability) vulnerable(p, fixed string) ecr.VulnerablePackage {
	name, version, _ := strings.Cut(p, " ")
	return ecr.VulnerablePackage{
		Name: name, Version: version, FixedInVersion: cmp.Or(fixed, "NotAvailable"), PackageManager: v.Manager, FilePath: v.Path + "/" + name[strings.LastIndex(name, ":")+1:],
	}
}
