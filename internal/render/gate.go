package render

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"ecr-continuous-scan/internal/report"
)

type (
	// GatePass is the response of a gate that passes.
	GatePass struct {
		Passed     bool   `json:"passed"`
		Max        string `json:"max"`
		Images     int    `json:"images"`
		OldestScan string `json:"oldestScan"`
		Unjudged   int    `json:"unjudged"`             // the number of findings without a severity and without a score
		Suppressed int    `json:"suppressed,omitempty"` // the number of findings that are not judged because they are suppressed
	}
	// GateReason is one reason why a gate fails.
	GateReason struct {
		Image  string `json:"image"`
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	}
)

// NewGatePass returns the response for a result without failures.
func NewGatePass(v report.GateResult) GatePass {
	return GatePass{true, string(v.Max), v.Images, RFC3339(v.OldestScan), v.Unjudged, v.Suppressed}
}

// maxGateReasons is the maximum number of listed reasons. The others are only counted.
const maxGateReasons = 100

// GateReasons returns the first hundred reasons of a result in words, and the number of the others.
func GateReasons(v report.GateResult) (reasons []GateReason, more int) {
	for _, o := range v.Failures[:min(len(v.Failures), maxGateReasons)] {
		name := o.Repository.Name
		if o.Image != nil {
			name = o.Image.Repository.Name + o.Image.Separator() + OneLine(o.Image.Label(), maxReason)
		}
		reasons = append(reasons, GateReason{name, OneLine(o.Reason, maxReason), failureWords(o)})
	}
	return reasons, len(v.Failures) - len(reasons)
}

func failureWords(o report.GateFailure) string {
	switch {
	case o.Reason == report.AboveMax:
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
	case o.Reason == report.Stale && o.At.IsZero():
		return "the completion time of the last scan is unknown"
	case o.Reason == report.Stale:
		return fmt.Sprintf("the last result is from %s, more than %d hours ago", RFC3339(o.At), report.StaleAfter/time.Hour)
	}
	return OneLine(o.Detail, maxReason)
}
