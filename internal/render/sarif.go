package render

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// The parts of SARIF 2.1.0 that code scanning tools use.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Automation  sarifAutomation   `json:"automationDetails"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
		Properties  sarifPage         `json:"properties"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	// sarifRule is a vulnerability.
	sarifRule struct {
		ID         string              `json:"id"`
		Short      sarifText           `json:"shortDescription"`
		Full       sarifText           `json:"fullDescription"`
		Help       sarifText           `json:"help"`
		HelpURI    string              `json:"helpUri,omitempty"`
		Properties sarifRuleProperties `json:"properties"`
	}
	sarifRuleProperties struct {
		Tags             []string `json:"tags"`
		SecuritySeverity string   `json:"security-severity,omitempty"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifAutomation struct {
		ID string `json:"id"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		Notifications []sarifNotification `json:"toolExecutionNotifications"`
	}
	sarifNotification struct {
		Level   string    `json:"level"`
		Message sarifText `json:"message"`
	}
	// sarifResult is a finding.
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		Properties   FindingData       `json:"properties"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifLogical struct {
		Name      string `json:"name"`
		Qualified string `json:"fullyQualifiedName"`
		Kind      string `json:"kind"`
	}
	sarifPage struct {
		Total int `json:"total"`
		Page  int `json:"page"`
		Pages int `json:"pages"`
	}
)

const sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// SARIF returns a page of a listing for code scanning tools (SARIF 2.1.0). Resolved findings are left out, so that the tools close them. For each
// image without a current result there is a notification, and then the run is marked as not successful.
func SARIF(l report.Listing) ([]byte, error) {
	notifications, isComplete := sarifNotifications(l)
	return fitFindings(l, func(findings []FindingData) ([]byte, error) {
		run := sarifRun{
			Tool:        sarifTool{sarifDriver{Name: "ecr-continuous-scan", Rules: []sarifRule{}}},
			Automation:  sarifAutomation{fmt.Sprintf("ecr-image-scan/%s/page-%d/", l.FeedID(), max(1, l.View.Page))},
			Invocations: []sarifInvocation{{isComplete, notifications}},
			Results:     []sarifResult{}, Properties: sarifPage{l.Total, max(1, l.View.Page), l.Pages()},
		}
		rules := make(map[string]int)
		for _, d := range findings {
			if d.Resolved == "" {
				run.add(d, rules)
			}
		}
		b, err := EncodeJSON(sarifLog{sarifSchema, "2.1.0", []sarifRun{run}}, true)
		if err != nil {
			return nil, fmt.Errorf("write the SARIF of %s: %w", ListingTitle(l), err)
		}
		return b, nil
	})
}

// add adds a finding, and its rule if the run does not have it yet. rules maps the id of a rule to its index. If a vulnerability is in several
// packages, its rule gets the highest score.
func (r *sarifRun) add(d FindingData, rules map[string]int) {
	id := cmp.Or(d.Vulnerability, "unnamed")
	at, known := rules[id]
	if !known {
		at = len(r.Tool.Driver.Rules)
		rules[id] = at
		r.Tool.Driver.Rules = append(r.Tool.Driver.Rules, newSarifRule(id, d))
	}
	if p, score := &r.Tool.Driver.Rules[at].Properties, securitySeverity(d); higher(score, p.SecuritySeverity) {
		p.SecuritySeverity = score
	}
	_, fingerprint, _ := strings.Cut(d.ID, "urn:uuid:")
	r.Results = append(r.Results, sarifResult{
		RuleID: id, RuleIndex: at, Level: sarifLevel(d.Severity), Message: sarifMessage(findingWords(id, d)), Locations: []sarifLocation{newSarifLocation(d)},
		// GitHub uses only the first one. Without it, the uploader would compute one from a line of a source file.
		Fingerprints: map[string]string{"primaryLocationLineHash": fingerprint + ":1", "findingId/v1": fingerprint}, Properties: d,
	})
}

// maxSarifText is the maximum length of a description that code scanning accepts, in characters.
const maxSarifText = 1000

func newSarifRule(id string, d FindingData) sarifRule {
	description := cmp.Or(d.Description, "The scanner gives no description.")
	return sarifRule{
		ID: id, Short: sarifMessage(id), Full: sarifMessage(OneLine(description, maxSarifText)), Help: sarifMessage(description), HelpURI: d.URL,
		Properties: sarifRuleProperties{Tags: []string{"security", "vulnerability"}},
	}
}

func findingWords(id string, d FindingData) string {
	words := d.Severity + ": " + id
	if d.Package != "" {
		words += " in " + strings.TrimSpace(d.Package+" "+strings.Join(d.Versions, ", "))
	}
	words += " of " + imageWords(d)
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

// imageWords returns the name of the image, or of the repository if there are several images.
func imageWords(d FindingData) string {
	if d.Tag == "" {
		return d.Repository
	}
	image := scan.Image{Tag: d.Tag, Platform: d.Platform}
	return d.Repository + image.Separator() + image.Label()
}

// newSarifLocation returns the image's name as a file path, because code scanning tools require a file. The first part of the path contains no colon,
// so that tools don't mistake it for the scheme of a URL.
func newSarifLocation(d FindingData) sarifLocation {
	host := registryHost(scan.Repository{Registry: d.Registry, Region: d.Region})
	path := host + "/" + d.Repository
	if d.Tag != "" {
		path += scan.Image{Tag: d.Tag}.Separator() + url.PathEscape(strings.ReplaceAll(d.Tag, "/", "_")) // tags contain no slash; this keeps a malformed tag from changing the folder
	}
	return sarifLocation{
		Physical: sarifPhysical{sarifArtifact{path}, sarifRegion{1}},
		Logical:  []sarifLogical{{imageWords(d), host + "/" + imageWords(d), "resource"}},
	}
}

// sarifNotifications returns a warning for each image or config without a current result, and a note for each image of which ECR lists fewer findings
// than it counts. isComplete is false if there is a warning.
func sarifNotifications(l report.Listing) (notifications []sarifNotification, isComplete bool) {
	withoutResult, more := WithoutResult(l)
	notifications = []sarifNotification{}
	add := func(level, text string) {
		notifications = append(notifications, sarifNotification{level, sarifMessage(text)})
	}
	for _, d := range withoutResult {
		add("warning", d.words())
	}
	if more > 0 {
		add("warning", fmt.Sprintf("%d more have no current result", more))
	}
	for _, d := range ShortLists(l) {
		add("note", d.words())
	}
	switch {
	case l.View.Filter.IsZero() || l.Total > 0:
	case CountImages(l) == 0:
		add("warning", "no image matches the filter: "+FilterWords(l.View.Filter))
		return notifications, false
	default:
		add("note", "no finding matches the filter: "+FilterWords(l.View.Filter))
	}
	return notifications, len(withoutResult) == 0
}

func (d WithoutResultData) words() string {
	words := imageWords(FindingData{repositoryData: d.repositoryData, Tag: d.Tag, Platform: d.Platform}) + " in " + d.Region + ": " + d.State
	if d.AsOf != "" {
		words += " as of " + d.AsOf
	}
	if d.Reason != "" {
		words += ", " + d.Reason
	}
	return words
}

// sarifMessage escapes a text: SARIF treats braces as placeholders, and brackets before a parenthesis as a link.
func sarifMessage(s string) sarifText {
	return sarifText{strings.NewReplacer("{", "{{", "}", "}}", "](", "] (").Replace(s)}
}

// sarifLevel returns the level of a severity. Severities without a rating are warnings.
func sarifLevel(severity string) string {
	switch scan.Severity(severity) {
	case scan.Critical, scan.High:
		return "error"
	case scan.Low, scan.Informational:
		return "note"
	}
	return "warning"
}

// securitySeverity returns the CVSS score. Without a score, it returns the middle of the severity's range, or an empty text if the severity has no range.
func securitySeverity(d FindingData) string {
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
