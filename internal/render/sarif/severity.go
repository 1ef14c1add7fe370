package sarif

import (
	"slices"
	"strconv"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
)

// band is GitHub's range of scores for a severity, and the score for a finding without a score.
type band struct{ low, high, middle float64 }

// bandOf returns the band of a severity. Code scanning shows only the score, so a score of another band would show another severity than the
// service shows and uses for its gate.
func bandOf(severity scan.Severity) (band, bool) {
	switch severity {
	case scan.Critical:
		return band{9.1, 10, 9.5}, true
	case scan.High:
		return band{7.0, 8.9, 8.0}, true
	case scan.Medium:
		return band{4.0, 6.9, 5.5}, true
	case scan.Low:
		return band{0.1, 3.9, 2.0}, true
	case scan.Informational:
		return band{0.1, 0.1, 0.1}, true
	}
	return band{}, false
}

// securitySeverity returns the CVSS score if it is in the band of the severity, and otherwise the nearest score of the band. A severity without a
// rating has no band: its score stays, and it can have none.
func securitySeverity(d render.FindingData) string {
	b, hasBand := bandOf(scan.Severity(d.Severity))
	switch {
	case hasBand && d.Score != nil:
		return score(max(b.low, min(b.high, *d.Score)))
	case hasBand:
		return score(b.middle)
	case d.Score != nil:
		return score(*d.Score)
	}
	return ""
}

func score(n float64) string { return strconv.FormatFloat(n, 'f', 1, 64) }

// higher returns the higher of two scores. An empty score is the lowest.
func higher(a, b string) string {
	x, errA := strconv.ParseFloat(a, 64)
	y, errB := strconv.ParseFloat(b, 64)
	if errB != nil || errA == nil && x >= y {
		return a
	}
	return b
}

// levelOf returns the level of a severity. Severities without a rating are warnings.
func levelOf(severity string) string {
	switch scan.Severity(severity) {
	case scan.Critical, scan.High:
		return levelError
	case scan.Low, scan.Informational:
		return levelNote
	}
	return levelWarning
}

// worse returns the more severe level. An empty level is the least severe.
func worse(a, b string) string {
	order := []string{"", levelNote, levelWarning, levelError}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}
