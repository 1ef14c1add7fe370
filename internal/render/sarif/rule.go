package sarif

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
)

// notScanned is the id of the rule and of the notifications about images without a current result. Tools that ignore notifications would show such
// an image as an image without findings.
const notScanned = "not-scanned"

const (
	// maxText is the maximum length of a description that code scanning accepts, in characters.
	maxText = 1000
	// maxPackages is the maximum number of packages that a rule names.
	maxPackages = 20
)

// vulnerability collects what the findings of one vulnerability on a page say about it.
type vulnerability struct {
	rule
	severity, score string
	related         []string
	packages        []installed // at most maxPackages
	hasMore         bool        // packages
}

// installed is a vulnerable package.
type installed struct{ name, version, fixedIn string }

// with returns the vulnerability with one more finding. The worst severity and score of its findings hold. v is not changed.
func (v vulnerability) with(d render.FindingData) vulnerability {
	if v.ID == "" {
		v.rule = rule{
			ID: ruleID(d), Name: "VulnerablePackage", HelpURI: d.URL, Properties: ruleProperties{Tags: []string{"security", "vulnerability"}},
			Full: both(cmp.Or(render.OneLine(d.Description, maxText), "The scanner gives no description.")),
		}
		v.severity, v.score, v.related = d.Severity, scoreWords(d), d.RelatedIDs
	}
	if scan.CompareSeverity(scan.Severity(d.Severity), scan.Severity(v.severity)) < 0 {
		v.severity, v.score = d.Severity, scoreWords(d)
	}
	v.Default.Level = worse(v.Default.Level, levelOf(d.Severity))
	v.Properties.SecuritySeverity = higher(v.Properties.SecuritySeverity, securitySeverity(d))
	v.packages = slices.Clone(v.packages)
	for _, p := range packagesOf(d) {
		switch {
		case slices.Contains(v.packages, p):
		case len(v.packages) == maxPackages:
			v.hasMore = true
		default:
			v.packages = append(v.packages, p)
		}
	}
	return v
}

func ruleID(d render.FindingData) string {
	if d.Vulnerability == "" || d.Vulnerability == notScanned {
		return strings.TrimSpace("unnamed " + d.Vulnerability)
	}
	return d.Vulnerability
}

func scoreWords(d render.FindingData) string {
	if d.Score == nil {
		return ""
	}
	words := score(*d.Score)
	for _, detail := range []string{d.Vector, d.ScoreSource} {
		if detail != "" {
			words += ", " + detail
		}
	}
	return words
}

func packagesOf(d render.FindingData) []installed {
	if len(d.Packages) == 0 && d.Package == "" {
		return nil
	}
	if len(d.Packages) == 0 {
		return []installed{{d.Package, strings.Join(d.Versions, ", "), strings.Join(d.FixedIn, ", ")}}
	}
	all := make([]installed, len(d.Packages))
	for i, p := range d.Packages {
		all[i] = installed{p.Name, p.Version, p.FixedIn}
	}
	return all
}

// describe returns the rule with its texts.
func (v vulnerability) describe() rule {
	r := v.rule
	r.Short = message(r.ID + v.packageWords())
	r.Help = text{plain(v.helpText()), v.helpMarkdown()}
	return r
}

// packageWords names the packages of the vulnerability, with a leading " in".
func (v vulnerability) packageWords() string {
	var names []string
	for _, p := range v.packages {
		if p.name != "" && !slices.Contains(names, p.name) {
			names = append(names, p.name)
		}
	}
	switch {
	case len(names) == 0:
		return ""
	case v.hasMore:
		return " in " + strings.Join(names, ", ") + " and more packages"
	}
	return " in " + strings.Join(names, ", ")
}

// facts are what the help says besides the packages. The description is not repeated here.
func (v vulnerability) facts() [][2]string {
	return [][2]string{{"Severity", cmp.Or(v.severity, "unknown")}, {"CVSS score", v.score}, {"Other names", strings.Join(v.related, ", ")}}
}

func (v vulnerability) helpText() string {
	var sentences []string
	for _, fact := range v.facts() {
		if fact[1] != "" {
			sentences = append(sentences, fact[0]+": "+fact[1]+".")
		}
	}
	for _, p := range v.packages {
		sentences = append(sentences, strings.TrimSpace(p.name+" "+p.version)+": fixed in "+cmp.Or(p.fixedIn, "no known version")+".")
	}
	if v.HelpURI != "" {
		sentences = append(sentences, "Advisory: "+v.HelpURI)
	}
	return strings.Join(sentences, "\n")
}

func (v vulnerability) helpMarkdown() string {
	var b strings.Builder
	for _, fact := range v.facts() {
		if fact[1] != "" {
			fmt.Fprintf(&b, "**%s:** %s\n\n", fact[0], markdown(fact[1]))
		}
	}
	if len(v.packages) > 0 {
		b.WriteString("| package | installed | fixed in |\n| --- | --- | --- |\n")
	}
	for _, p := range v.packages {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", markdown(p.name), markdown(p.version), markdown(p.fixedIn))
	}
	if v.HelpURI != "" {
		fmt.Fprintf(&b, "\n[Advisory](<%s>)\n", strings.NewReplacer("<", "%3C", ">", "%3E", `\`, "%5C", "{", "%7B").Replace(v.HelpURI))
	}
	return b.String()
}

// notScannedRule returns the rule of images without a current result.
func notScannedRule(level string) rule {
	return rule{
		ID: notScanned, Name: "NotScanned", Short: message("No current scan result"), Default: configuration{level},
		Full:       both("ECR has no current and complete scan result of this image, or the config has no image whose result can be read. It can have any vulnerability."),
		Help:       both("The message says why. When a scan is completed and its result can be read, this result is absent."),
		Properties: ruleProperties{Tags: []string{"security"}},
	}
}
