package scan

import (
	"cmp"
	"slices"
	"strings"
)

// Severity is the severity of a finding. ECR's basic scanning reports Critical to Undefined. Enhanced scanning also
// reports Untriaged. An unknown severity is stored unchanged.
type Severity string

// The known severities, most severe first.
const (
	Critical      Severity = "CRITICAL"
	High          Severity = "HIGH"
	Medium        Severity = "MEDIUM"
	Low           Severity = "LOW"
	Informational Severity = "INFORMATIONAL"
	Undefined     Severity = "UNDEFINED"
	Untriaged     Severity = "UNTRIAGED"
)

// Severities returns the known severities in the order of the API, most severe first.
func Severities() []Severity {
	return []Severity{Critical, High, Medium, Low, Informational, Undefined, Untriaged}
}

// SeverityNames returns the known severities as text, most severe first.
func SeverityNames() []string {
	var names []string
	for _, s := range Severities() {
		names = append(names, string(s))
	}
	return names
}

// maxSeverity is the maximum length of a severity, in bytes.
const maxSeverity = 64

// ParseSeverity converts a scanner's text to a severity. Empty text is Undefined. It truncates the text to maxSeverity.
func ParseSeverity(s string) Severity {
	s = strings.ToUpper(strings.TrimSpace(s))
	s = strings.ToValidUTF8(s[:min(len(s), maxSeverity)], "")
	if s == "" {
		return Undefined
	}
	return Severity(s)
}

// CompareSeverity sorts most severe first. Unknown severities are last, by name.
func CompareSeverity(a, b Severity) int {
	return cmp.Or(cmp.Compare(a.Rank(), b.Rank()), strings.Compare(string(a), string(b)))
}

// MoreSevere returns the more severe one of two severities. An empty one is less severe than any other.
func MoreSevere(a, b Severity) Severity {
	if b == "" || a != "" && CompareSeverity(a, b) < 0 {
		return a
	}
	return b
}

// Rank returns the index of s in [Severities]. 0 is the most severe. The rank of an unknown severity is the number of
// known ones.
func (s Severity) Rank() int {
	known := Severities()
	if i := slices.Index(known, s); i >= 0 {
		return i
	}
	return len(known)
}

// IsRating reports whether s says how severe a finding is. Undefined and Untriaged do not.
func (s Severity) IsRating() bool { return s != Undefined && s != Untriaged }

// SeverityOfScore returns the severity of a CVSS score, by the scale of CVSS 3. It is Undefined for the score 0.
func SeverityOfScore(score float64) Severity {
	switch {
	case score >= 9:
		return Critical
	case score >= 7:
		return High
	case score >= 4:
		return Medium
	case score > 0:
		return Low
	}
	return Undefined
}

// Counts is the number of findings of each severity.
type Counts map[Severity]int

// SeverityCount is the number of findings of one severity.
type SeverityCount struct {
	Severity Severity
	Count    int
}

// Ordered returns the counts, most severe first, without zero counts.
func (c Counts) Ordered() []SeverityCount {
	ordered := make([]SeverityCount, 0, len(c))
	for s, n := range c {
		if n > 0 {
			ordered = append(ordered, SeverityCount{s, n})
		}
	}
	slices.SortFunc(ordered, func(a, b SeverityCount) int { return CompareSeverity(a.Severity, b.Severity) })
	return ordered
}

// With adds one finding of severity s to the counts and returns them. It ignores an empty severity. It creates the
// map when c is nil.
func (c Counts) With(s Severity) Counts {
	if s == "" {
		return c
	}
	if c == nil {
		c = Counts{}
	}
	c[s]++
	return c
}

// Add adds the counts of other to c.
func (c Counts) Add(other Counts) {
	for s, n := range other {
		c[s] += n
	}
}
