package sarif

import (
	"encoding/json"

	"ecr-continuous-scan/internal/render"
)

// The parts of SARIF 2.1.0 that code scanning tools use.
type (
	document struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []run  `json:"runs"`
	}
	run struct {
		Tool        tool              `json:"tool"`
		Automation  automation        `json:"automationDetails"`
		Invocations []invocation      `json:"invocations"`
		Results     []json.RawMessage `json:"results"` // of result
		Properties  pageOf            `json:"properties"`
	}
	tool struct {
		Driver driver `json:"driver"`
	}
	driver struct {
		Name           string       `json:"name"`
		FullName       string       `json:"fullName,omitempty"`
		Version        string       `json:"version,omitempty"`
		InformationURI string       `json:"informationUri,omitempty"`
		Rules          []rule       `json:"rules"`
		Notifications  []descriptor `json:"notifications"`
	}
	// rule is a vulnerability, or that an image has no result.
	rule struct {
		ID         string         `json:"id"`
		Name       string         `json:"name"`
		Short      text           `json:"shortDescription"`
		Full       text           `json:"fullDescription"`
		Help       text           `json:"help"`
		HelpURI    string         `json:"helpUri,omitempty"`
		Default    configuration  `json:"defaultConfiguration"`
		Properties ruleProperties `json:"properties"`
	}
	configuration struct {
		Level string `json:"level"`
	}
	ruleProperties struct {
		Tags             []string `json:"tags"`
		SecuritySeverity string   `json:"security-severity,omitempty"`
	}
	text struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	// descriptor is a kind of notifications.
	descriptor struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Short text   `json:"shortDescription"`
		Full  text   `json:"fullDescription"` // GitHub requires this and help
		Help  text   `json:"help"`
	}
	automation struct {
		ID string `json:"id"`
	}
	invocation struct {
		Successful    bool           `json:"executionSuccessful"`
		Notifications []notification `json:"toolExecutionNotifications"`
	}
	notification struct {
		Descriptor reference                 `json:"descriptor"`
		Level      string                    `json:"level"`
		Message    text                      `json:"message"`
		Locations  []location                `json:"locations,omitempty"`
		Properties *render.WithoutResultData `json:"properties,omitempty"`
	}
	reference struct {
		ID    string `json:"id"`
		Index int    `json:"index"`
	}
	// result is a finding, or an image without a result.
	result struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      text              `json:"message"`
		Locations    []location        `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		// Suppressions is set for all results of a run or for none.
		Suppressions *[]suppression `json:"suppressions,omitempty"`
		Properties   any            `json:"properties,omitempty"`
	}
	suppression struct {
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification"`
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
	// pageOf says which part of the results a log has. Total counts the results of all pages.
	pageOf struct {
		Total int `json:"total"`
		Page  int `json:"page"`
		Pages int `json:"pages"`
	}
)

const schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// Levels of results and notifications, most severe first.
const (
	levelError   = "error"
	levelWarning = "warning"
	levelNote    = "note"
)

// Indexes of the kinds of notifications in descriptors.
const (
	kindNotScanned = iota
	kindFindingsMissing
	kindNothingMatches
	kindNotListed
)

func descriptors() []descriptor {
	return []descriptor{
		kindNotScanned: {notScanned, "NotScanned", message("No current scan result"), message("An image or a config has no current and complete scan result."),
			message("The log can lack findings of this image.")},
		kindFindingsMissing: {"findings-missing", "FindingsMissing", message("Findings are missing"), message("ECR counts more findings of an image than it lists."),
			message("ECR did not return these findings.")},
		kindNothingMatches: {"nothing-matches", "NothingMatches", message("Nothing matches"), message("The filter of the request matches no image or no finding."),
			message("Check the parameters of the URL.")},
		kindNotListed: {"not-listed", "NotListed", message("Too many findings"), message("There are more findings than the pages of a log can have."),
			message("Use filters, and make a log for each.")},
	}
}
