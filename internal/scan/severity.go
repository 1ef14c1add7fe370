package scan

import (
	"cmp"
	"slices"
	"strings"
)

// Severity is how bad a finding is. ECR's basic scanning knows Critical to Undefined, enhanced scanning adds Untriaged; the set is open, so
// an unknown one is kept as it came.
type Severity string

// The known severities, worst first.
const (
	Critical      Severity = "CRITICAL"
	High          Severity = "HIGH"
	Medium        Severity = "MEDIUM"
	Low           Severity = "LOW"
	Informational Severity = "INFORMATIONAL"
	Undefined     Severity = "UNDEFINED"
	Untriaged     Severity = "UNTRIAGED"
)

// Severities lists the known severities in the order of the API, worst first.
func Severities() []Severity {
	return []Severity{Critical, High, Medium, Low, Informational, Undefined, Untriaged}
}

// SeverityNames are the known severities as text, worst first.
func SeverityNames() []string {
	var names []string
	for _, s := range Severities() {
		names = append(names, string(s))
	}
	return names
}

// ParseSeverity takes what a scanner wrote; nothing at all is Undefined.
func ParseSeverity(s string) Severity {
	s = strings.ToUpper(strings.TrimSpace(s))
	if s == "" {
		return Undefined
	}
	return Severity(s)
}

// CompareSeverity orders worst first, and unknown severities last, by name.
func CompareSeverity(a, b Severity) int {
	return cmp.Or(cmp.Compare(a.Rank(), b.Rank()), strings.Compare(string(a), string(b)))
}

// Rank is the place of a severity among the known ones, 0 for the worst; unknown ones come after them.
func (s Severity) Rank() int {
	known := Severities()
	if i := slices.Index(known, s); i >= 0 {
		return i
	}
	return len(known)
}

// Counts is the number of findings of each severity.
type Counts map[Severity]int

// SeverityCount is one line of Counts.
type SeverityCount struct {
	Severity Severity
	Count    int
}

// Ordered lists the counts worst first, without those that are zero.
func (c Counts) Ordered() []SeverityCount {
	lines := make([]SeverityCount, 0, len(c))
	for s, n := range c {
		if n > 0 {
			lines = append(lines, SeverityCount{s, n})
		}
	}
	slices.SortFunc(lines, func(a, b SeverityCount) int { return CompareSeverity(a.Severity, b.Severity) })
	return lines
}

// With is the counts with one more of a severity; the empty one isn't counted.
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

// Add adds other counts to these.
func (c Counts) Add(other Counts) {
	for s, n := range other {
		c[s] += n
	}
}
