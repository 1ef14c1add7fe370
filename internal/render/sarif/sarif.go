// Package sarif writes a listing as SARIF 2.1.0, for code scanning tools.
package sarif

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// The parts of SARIF 2.1.0 that code scanning tools use.
type (
	document struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []run  `json:"runs"`
	}
	run struct {
		Tool        tool         `json:"tool"`
		Automation  automation   `json:"automationDetails"`
		Invocations []invocation `json:"invocations"`
		Results     []result     `json:"results"`
		Properties  page         `json:"properties"`
	}
	tool struct {
		Driver driver `json:"driver"`
	}
	driver struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	}
	// rule is a vulnerability.
	rule struct {
		ID         string         `json:"id"`
		Short      text           `json:"shortDescription"`
		Full       text           `json:"fullDescription"`
		Help       text           `json:"help"`
		HelpURI    string         `json:"helpUri,omitempty"`
		Properties ruleProperties `json:"properties"`
	}
	ruleProperties struct {
		Tags             []string `json:"tags"`
		SecuritySeverity string   `json:"security-severity,omitempty"`
	}
	text struct {
		Text string `json:"text"`
	}
	automation struct {
		ID string `json:"id"`
	}
	invocation struct {
		Successful    bool           `json:"executionSuccessful"`
		Notifications []notification `json:"toolExecutionNotifications"`
	}
	notification struct {
		Level   string `json:"level"`
		Message text   `json:"message"`
	}
	// result is a finding.
	result struct {
		RuleID       string             `json:"ruleId"`
		RuleIndex    int                `json:"ruleIndex"`
		Level        string             `json:"level"`
		Message      text               `json:"message"`
		Locations    []location         `json:"locations"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
		Properties   render.FindingData `json:"properties"`
	}
	location struct {
		Physical physical  `json:"physicalLocation"`
		Logical  []logical `json:"logicalLocations"`
	}
	physical struct {
		Artifact artifact `json:"artifactLocation"`
		Region   region   `json:"region"`
	}
	artifact struct {
		URI string `json:"uri"`
	}
	region struct {
		StartLine int `json:"startLine"`
	}
	logical struct {
		Name      string `json:"name"`
		Qualified string `json:"fullyQualifiedName"`
		Kind      string `json:"kind"`
	}
	page struct {
		Total int `json:"total"`
		Page  int `json:"page"`
		Pages int `json:"pages"`
	}
)

const schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// Log returns a page of a listing for code scanning tools (SARIF 2.1.0). Resolved findings are left out, so that the tools close them. For each
// image without a current result there is a notification, and then the run is marked as not successful.
func Log(l report.Listing) ([]byte, error) {
	notifications, isComplete := notificationsOf(l)
	return render.FitFindings(l, func(findings []render.FindingData) ([]byte, error) {
		one := run{
			Tool:        tool{driver{Name: "ecr-continuous-scan", Rules: []rule{}}},
			Automation:  automation{fmt.Sprintf("ecr-image-scan/%s/page-%d/", l.FeedID(), max(1, l.View.Page))},
			Invocations: []invocation{{isComplete, notifications}},
			Results:     []result{}, Properties: page{l.Total, max(1, l.View.Page), l.Pages()},
		}
		rules := make(map[string]int)
		for _, d := range findings {
			if d.Resolved == "" {
				one.add(d, rules)
			}
		}
		b, err := render.EncodeJSON(document{schema, "2.1.0", []run{one}}, false)
		if err != nil {
			return nil, fmt.Errorf("write the SARIF of %s: %w", render.ListingTitle(l), err)
		}
		return b, nil
	})
}

// add adds a finding, and its rule if the run does not have it yet. rules maps the id of a rule to its index. If a vulnerability is in several
// packages, its rule gets the highest score.
func (r *run) add(d render.FindingData, rules map[string]int) {
	id := cmp.Or(d.Vulnerability, "unnamed")
	at, known := rules[id]
	if !known {
		at = len(r.Tool.Driver.Rules)
		rules[id] = at
		r.Tool.Driver.Rules = append(r.Tool.Driver.Rules, newRule(id, d))
	}
	if p, score := &r.Tool.Driver.Rules[at].Properties, securitySeverity(d); higher(score, p.SecuritySeverity) {
		p.SecuritySeverity = score
	}
	_, fingerprint, _ := strings.Cut(d.ID, "urn:uuid:")
	r.Results = append(r.Results, result{
		RuleID: id, RuleIndex: at, Level: levelOf(d.Severity), Message: message(findingWords(id, d)), Locations: []location{newLocation(d)},
		// GitHub uses only the first one. Without it, the uploader would compute one from a line of a source file.
		Fingerprints: map[string]string{"primaryLocationLineHash": fingerprint + ":1", "findingId/v1": fingerprint}, Properties: d,
	})
}

// maxText is the maximum length of a description that code scanning accepts, in characters.
const maxText = 1000

func newRule(id string, d render.FindingData) rule {
	description := cmp.Or(d.Description, "The scanner gives no description.")
	return rule{
		ID: id, Short: message(id), Full: message(render.OneLine(description, maxText)), Help: message(description), HelpURI: d.URL,
		Properties: ruleProperties{Tags: []string{"security", "vulnerability"}},
	}
}

func findingWords(id string, d render.FindingData) string {
	words := d.Severity + ": " + id
	if d.Package != "" {
		words += " in " + strings.TrimSpace(d.Package+" "+strings.Join(d.Versions, ", "))
	}
	words += " of " + d.ImageName()
	if len(d.Images) > 0 {
		words += ", images " + strings.Join(d.Images, ", ")
	}
	if more := d.ImageCount - len(d.Images); more > 0 {
		words += fmt.Sprintf(" and %d more", more)
	}
	if len(d.FixedIn) > 0 {
		words += ". Fixed in " + strings.Join(d.FixedIn, ", ")
	}
	return words + "."
}

// newLocation returns the image's name as a file path, because code scanning tools require a file. The first part of the path contains no colon,
// so that tools don't mistake it for the scheme of a URL.
func newLocation(d render.FindingData) location {
	host := render.RegistryHost(scan.Repository{Registry: d.Registry, Region: d.Region})
	path := host + "/" + d.Repository
	if d.Tag != "" {
		path += scan.Image{Tag: d.Tag}.Separator() + url.PathEscape(strings.ReplaceAll(d.Tag, "/", "_")) // tags contain no slash; this keeps a malformed tag from changing the folder
	}
	return location{
		Physical: physical{artifact{path}, region{1}},
		Logical:  []logical{{d.ImageName(), host + "/" + d.ImageName(), "resource"}},
	}
}

// notificationsOf returns a warning for each image or config without a current result, and a note for each image of which ECR lists fewer findings
// than it counts. isComplete is false if there is a warning.
func notificationsOf(l report.Listing) (notifications []notification, isComplete bool) {
	withoutResult, more := render.WithoutResult(l)
	notifications = []notification{}
	add := func(level, text string) {
		notifications = append(notifications, notification{level, message(text)})
	}
	for _, d := range withoutResult {
		add("warning", stateWords(d))
	}
	if more > 0 {
		add("warning", fmt.Sprintf("%d more have no current result", more))
	}
	for _, d := range render.ShortLists(l) {
		add("note", stateWords(d))
	}
	switch {
	case l.View.Filter.IsZero() || l.Total > 0:
	case render.CountImages(l) == 0:
		add("warning", "no image matches the filter: "+render.FilterWords(l.View.Filter))
		return notifications, false
	default:
		add("note", "no finding matches the filter: "+render.FilterWords(l.View.Filter))
	}
	return notifications, len(withoutResult) == 0
}

func stateWords(d render.WithoutResultData) string {
	words := d.ImageName() + " in " + d.Region + ": " + d.State
	if d.AsOf != "" {
		words += " as of " + d.AsOf
	}
	if d.Reason != "" {
		words += ", " + d.Reason
	}
	return words
}

// message escapes a text: SARIF treats braces as placeholders, and brackets before a parenthesis as a link.
func message(s string) text {
	return text{strings.NewReplacer("{", "{{", "}", "}}", "](", "] (").Replace(s)}
}

// levelOf returns the level of a severity. Severities without a rating are warnings.
func levelOf(severity string) string {
	switch scan.Severity(severity) {
	case scan.Critical, scan.High:
		return "error"
	case scan.Low, scan.Informational:
		return "note"
	}
	return "warning"
}

// securitySeverity returns the CVSS score. Without a score, it returns the middle of the severity's range, or an empty text if the severity has no range.
func securitySeverity(d render.FindingData) string {
	if d.Score != nil {
		return strconv.FormatFloat(*d.Score, 'f', 1, 64)
	}
	switch scan.Severity(d.Severity) {
	case scan.Critical:
		return "9.5"
	case scan.High:
		return "8.0"
	case scan.Medium:
		return "5.5"
	case scan.Low:
		return "2.0"
	}
	return ""
}

// higher reports whether score a is higher than b. An empty score is the lowest.
func higher(a, b string) bool {
	x, errA := strconv.ParseFloat(a, 64)
	y, errB := strconv.ParseFloat(b, 64)
	return errA == nil && (errB != nil || x > y)
}
