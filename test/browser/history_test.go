//go:build browser

package browser

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/awstest"
)

// simulateThreeWeeks simulates 21 days in which findings appear and disappear. On the last day, test/centos gets
// two findings and loses one.
func simulateThreeWeeks(t *testing.T, a *awstest.AWS, s *awstest.Service) {
	t.Helper()
	for day := range 21 {
		a.Advance(25 * time.Hour)
		for tag, name := range map[string]string{"7": "test/centos", "latest": "test/ubuntu"} {
			change := func(i *ecr.Image) { i.Findings = findingsOfDay(day, tag, i.Findings) }
			if err := a.ECR.UpdateImage(ecr.RepositoryID{Name: name}, tag, change); err != nil {
				t.Fatal(err)
			}
		}
		visits, err := s.ScheduleAndVisit(t.Context())
		if err != nil || visits.Started == 0 {
			t.Fatalf("visits: %+v, %v", visits, err)
		}
		if _, err := s.ScheduleAndVisit(t.Context()); err != nil { // records the results of the scans
			t.Fatal(err)
		}
	}
}

// findingsOfDay returns what the scan of a day finds, given the findings of the day before.
func findingsOfDay(day int, tag string, before []ecr.Finding) []ecr.Finding {
	add := func(n int, severity string) {
		for i := range n {
			name := fmt.Sprintf("CVE-2026-%d%02d%d", 4+len(tag), day, i)
			before = append(slices.Clone(before), ecr.Finding{
				Name: name, Severity: severity, URI: "https://example.org/" + name, Description: "A crafted certificate makes the library read past the end of a buffer.",
				Attributes: []ecr.Attribute{{Key: "package_name", Value: "openssl"}, {Key: "package_version", Value: "1.1.1-4"}},
			})
		}
	}
	switch {
	case day == 20 && tag == "7":
		add(2, "HIGH")
		return before[1:]
	case day == 20:
	case day%6 == 2:
		add(4, "MEDIUM")
	case day%8 == 5:
		add(3, "HIGH")
	case day%7 == 4:
		return before[:len(before)-3]
	}
	return before
}
