package render

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ecr-continuous-scan/internal/gate"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

type (
	// GatePass is the response of a gate that passes.
	GatePass struct {
		Passed     bool   `json:"passed"`
		Max        string `json:"max"`
		Images     int    `json:"images"`
		OldestScan string `json:"oldestScan"`
		Unjudged   int    `json:"unjudged"`             // the number of findings without a severity and without a score
		Ignored    int    `json:"ignored,omitempty"`    // the number of findings above the maximum that the request does not select
		Suppressed int    `json:"suppressed,omitempty"` // the number of findings that are not judged because they are suppressed
	}
	// GateReason is one reason why a gate fails.
	GateReason struct {
		Image  string `json:"image"`
		Reason string `json:"reason"`
		Detail string `json:"detail"`
		// Findings are the most severe findings that the reason is about. FindingsOmitted is the number of the others.
		Findings        []GateFinding `json:"findings,omitempty"`
		FindingsOmitted int           `json:"findingsOmitted,omitempty"`
	}
	// GateFinding is a finding that fails a gate. URL is that of the advisory, or of the page of the vulnerability.
	GateFinding struct {
		Severity      string   `json:"severity"`
		Vulnerability string   `json:"vulnerability"`
		Package       string   `json:"package,omitempty"`
		FixedIn       []string `json:"fixedIn,omitempty"`
		URL           string   `json:"url,omitempty"`
	}
)

// LinkOf returns the URL of the page of a vulnerability, or "".
type LinkOf func(vulnerability string) string

// NewGatePass returns the response for a result without failures.
func NewGatePass(v gate.Result) GatePass {
	return GatePass{true, string(v.Max), v.Images, RFC3339(v.OldestScan), v.Unjudged, v.Ignored, v.Suppressed}
}

// maxGateReasons is the maximum number of listed reasons, and maxGateFindings that of the listed findings of all reasons. The others are only
// counted. maxGateFixes is the maximum number of fixed versions of a finding.
const (
	maxGateReasons  = 100
	maxGateFindings = 100
	maxGateFixes    = 20
)

// GateReasons returns the first hundred reasons of a result in words, and the number of the others.
func GateReasons(v gate.Result, link LinkOf) (reasons []GateReason, more int) {
	left := maxGateFindings
	for _, o := range v.Failures[:min(len(v.Failures), maxGateReasons)] {
		r := GateReason{Image: o.Repository.Name, Reason: OneLine(o.Reason, maxReason), Detail: failureWords(o)}
		if o.Image != nil {
			r.Image = o.Image.Repository.Name + o.Image.Separator() + OneLine(o.Image.Label(), maxReason)
		}
		listed := o.Findings[:min(len(o.Findings), left)]
		left -= len(listed)
		for _, f := range listed {
			r.Findings = append(r.Findings, newGateFinding(f, link))
		}
		r.FindingsOmitted = o.Count() - len(listed)
		reasons = append(reasons, r)
	}
	return reasons, len(v.Failures) - len(reasons)
}

func newGateFinding(f scan.Finding, link LinkOf) GateFinding {
	one := GateFinding{
		Severity: OneLine(string(f.Severity), maxSeverity), Vulnerability: OneLine(f.Name, MaxName), Package: OneLine(f.Package, MaxName),
		URL: Advisory(f.URL, maxURL),
	}
	for _, version := range f.FixedIn[:min(len(f.FixedIn), maxGateFixes)] {
		one.FixedIn = append(one.FixedIn, OneLine(version, MaxName))
	}
	if one.URL == "" && link != nil {
		one.URL = link(f.Name)
	}
	return one
}

// GateText returns a result as text, for the log of a pipeline: a line for each reason, and an indented line for each finding.
func GateText(v gate.Result, link LinkOf) []byte {
	var b bytes.Buffer
	if len(v.Failures) == 0 {
		fmt.Fprintf(&b, "PASSED: %s, no finding above %s fails the gate\n", images(v.Images), v.Max)
		if v.Unjudged > 0 {
			fmt.Fprintf(&b, "without severity and score, so not judged: %d\n", v.Unjudged)
		}
		writeLeftOut(&b, v)
		return b.Bytes()
	}
	word := "FAILED"
	if v.IsNotYet() {
		word = "NOT YET"
	}
	fmt.Fprintf(&b, "%s: %s, the maximum is %s\n", word, failedWords(v), v.Max)
	reasons, more := GateReasons(v, link)
	for _, r := range reasons {
		fmt.Fprintf(&b, "%s: %s\n", r.Image, WithReason(r.Reason, r.Detail))
		for _, f := range r.Findings {
			fmt.Fprintf(&b, "  %s\n", strings.Join(f.words(), ", "))
		}
		if r.FindingsOmitted > 0 {
			fmt.Fprintf(&b, "  and %d more\n", r.FindingsOmitted)
		}
	}
	if more > 0 {
		fmt.Fprintf(&b, "and %d more reasons\n", more)
	}
	writeLeftOut(&b, v)
	return b.Bytes()
}

// writeLeftOut writes how many findings do not count because of the request or of suppressions.
func writeLeftOut(b *bytes.Buffer, v gate.Result) {
	if v.Ignored > 0 {
		fmt.Fprintf(b, "above %s, but ignored because of fixable or new: %d\n", v.Max, v.Ignored)
	}
	if v.Suppressed > 0 {
		fmt.Fprintf(b, "suppressed: %d\n", v.Suppressed)
	}
}

func images(n int) string {
	if n == 1 {
		return "1 image"
	}
	return fmt.Sprintf("%d images", n)
}

// failedWords says how many images and whole repositories have a reason.
func failedWords(v gate.Result) string {
	type name struct {
		repository scan.Repository
		label      string
	}
	failed := make(map[name]bool)
	repositories := 0
	for _, o := range v.Failures {
		if o.Image == nil {
			repositories++
			continue
		}
		failed[name{o.Image.Repository, o.Image.Label()}] = true
	}
	words := fmt.Sprintf("%d of %s", len(failed), images(v.Images))
	switch {
	case v.Images == 0:
		return "no image to judge"
	case repositories == 1:
		return words + " and 1 repository"
	case repositories > 1:
		return fmt.Sprintf("%s and %d repositories", words, repositories)
	}
	return words
}

func (f GateFinding) words() []string {
	name, fix := f.Severity+" "+f.Vulnerability, "no fixed version"
	if f.Package != "" {
		name += " in " + f.Package
	}
	if len(f.FixedIn) > 0 {
		fix = "fixed in " + strings.Join(f.FixedIn, " ")
	}
	words := []string{name, fix}
	if f.URL != "" {
		words = append(words, f.URL)
	}
	return words
}

func failureWords(o gate.Failure) string {
	switch {
	case o.Reason == gate.AboveMax, o.Reason == gate.Unjudged:
		var counts []string
		for _, c := range o.Counts.Ordered() {
			counts = append(counts, fmt.Sprintf("%s: %d", OneLine(string(c.Severity), maxSeverity), c.Count))
		}
		for _, s := range o.Scored {
			words := "with the CVSS score"
			if s.Count > 1 {
				words = "with CVSS scores up to"
			}
			counts = append(counts, fmt.Sprintf("%s: %d %s %s", s.Severity, s.Count, words, strconv.FormatFloat(s.Highest, 'f', 1, 64)))
		}
		return strings.Join(counts, ", ")
	case o.Reason == gate.Stale && o.At.IsZero():
		return "the completion time of the last scan is unknown"
	case o.Reason == gate.Stale:
		return fmt.Sprintf("the last result is from %s, more than %d hours ago", RFC3339(o.At), report.StaleAfter/time.Hour)
	}
	return OneLine(cmp.Or(o.Detail, noImageWords(o.Empty)), maxReason)
}

// noImageWords says why the config watches no image of repositories that can be read.
func noImageWords(reports []report.Report) string {
	var untagged, older, unused int
	var tags []string
	for _, r := range reports {
		older, unused, tags = older+r.Older, unused+r.Unused, r.Config.Tags
		if r.NotWatched != nil {
			untagged += *r.NotWatched
		}
	}
	if words := NotWatchedWords(untagged, older, unused); words != "" || len(tags) == 0 {
		return words
	}
	return "no tag matches " + strings.Join(tags, ", ")
}
