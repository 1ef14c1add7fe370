package render

import (
	"fmt"
	"strings"
	"time"

	"ecr-continuous-scan/internal/report"
)

type (
	// GatePass is the answer of a gate that lets through.
	GatePass struct {
		Passed     bool   `json:"passed"`
		Max        string `json:"max"`
		Images     int    `json:"images"`
		OldestScan string `json:"oldestScan"`
	}
	// GateReason is one reason why a gate stays shut.
	GateReason struct {
		Image  string `json:"image"`
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	}
)

// NewGatePass says of a verdict without obstacles what was looked at.
func NewGatePass(v report.Verdict) GatePass {
	return GatePass{true, string(v.Max), v.Images, RFC3339(v.OldestScan)}
}

// maxGateReasons is how many reasons are named before the rest is counted.
const maxGateReasons = 100

// GateReasons are the reasons of a verdict in words, the first hundred of them, and how many more there are.
func GateReasons(v report.Verdict) (reasons []GateReason, more int) {
	for _, o := range v.Obstacles[:min(len(v.Obstacles), maxGateReasons)] {
		name := v.Config.Repository
		if o.Image != nil {
			name += ":" + OneLine(o.Image.Label(), maxReason)
		}
		reasons = append(reasons, GateReason{name, OneLine(o.Reason, maxReason), obstacleWords(o)})
	}
	return reasons, len(v.Obstacles) - len(reasons)
}

func obstacleWords(o report.Obstacle) string {
	switch {
	case o.Reason == report.AboveMax:
		var counts []string
		for _, c := range o.Counts.Ordered() {
			counts = append(counts, fmt.Sprintf("%s: %d", OneLine(string(c.Severity), maxSeverity), c.Count))
		}
		return strings.Join(counts, ", ")
	case o.Reason == report.Stale && o.At.IsZero():
		return "when the last scan was completed isn't known"
	case o.Reason == report.Stale:
		return fmt.Sprintf("what is known is of %s, more than %d hours ago", RFC3339(o.At), report.StaleAfter/time.Hour)
	}
	return OneLine(o.Detail, maxReason)
}
