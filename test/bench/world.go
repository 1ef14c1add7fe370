package main

import (
	"fmt"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

// World is what a job measures with: repositories in ECR, and one config for each or one for all of them.
type World struct {
	// Repositories is the number of repositories. 0 means one for each request, because a request changes what is stored.
	Repositories int
	// Images is the number of images in each repository, and Findings the number of findings of each image.
	Images, Findings int
	// ScannedAgo is the age of the last scan of each image.
	ScannedAgo time.Duration
	// Visited means that each repository was visited once.
	Visited bool
	// Pattern means that one config watches all repositories.
	Pattern bool
}

// watched returns what the configs watch.
func (w World) watched() []string {
	if w.Pattern {
		return []string{"team/*"}
	}
	names := make([]string, w.Repositories)
	for n := range names {
		names[n] = w.name(n)
	}
	return names
}

// name returns the name of a repository.
func (World) name(n int) string { return fmt.Sprintf("team/app%d", n) }

// fill adds the repositories to an ECR.
func (w World) fill(e *ecr.ECR) {
	findings := newFindings(w.Findings)
	for n := range w.Repositories {
		id := ecr.RepositoryID{Name: w.name(n)}
		for i := range w.Images {
			e.PutImage(id, ecr.Image{Tags: []string{fmt.Sprintf("v%d", i)}, ScannedAt: e.Now().Add(-w.ScannedAgo), Findings: findings})
		}
	}
}

// newFindings returns different findings. Their descriptions are about as long as those of real findings, and are not
// equal, because equal ones would be stored in almost no space.
func newFindings(n int) []ecr.Finding {
	parts := []string{"parser", "decoder", "resolver", "certificate check", "file lock", "renderer", "scheduler"}
	causes := []string{"an integer overflow", "a missing check of a length", "a use after free", "a race condition", "an unbounded recursion"}
	effects := []string{"read memory of other processes", "end the process", "run commands", "overwrite files", "skip the authentication"}
	severities := []string{"CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL"}
	all := make([]ecr.Finding, n)
	for i := range all {
		name, pkg := fmt.Sprintf("CVE-20%02d-%05d", 10+i%17, i), fmt.Sprintf("lib%s%d", parts[i%len(parts)][:4], i%50)
		all[i] = ecr.Finding{
			Name: name, Severity: severities[i%len(severities)], URI: "https://security.example.org/tracker/" + name,
			Description: fmt.Sprintf("In %s before 1.%d.%d, %s in the %s lets a remote attacker %s with a request that has %d nested headers. Only versions that were built with the option 0x%x are affected.",
				pkg, i%13, i%29, causes[i/3%len(causes)], parts[i%len(parts)], effects[i/7%len(effects)], i, i*2654435761),
			Attributes: []ecr.Attribute{
				{Key: "package_name", Value: pkg}, {Key: "package_version", Value: fmt.Sprintf("1.%d.%d-r%d", i%13, i%28, i%3)},
				{Key: "CVSS2_VECTOR", Value: "AV:N/AC:L/Au:N/C:P/I:P/A:P"}, {Key: "CVSS2_SCORE", Value: fmt.Sprintf("%d.%d", i%10, i%7)},
			},
		}
	}
	return all
}
