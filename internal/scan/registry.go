package scan

import (
	"cmp"
	"strings"
	"time"
)

// Registry identifies the registry of an AWS account in a Region. It can be used as a map key.
type Registry struct {
	// ID is the id of the AWS account, 12 digits.
	ID, Region string
}

// CompareRegistries sorts by id, then by Region.
func CompareRegistries(a, b Registry) int {
	return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Region, b.Region))
}

// In returns the registry of the repository.
func (r Repository) In() Registry { return Registry{r.Registry, r.Region} }

// IsPattern reports whether the name is a pattern. Such a value stands for all repositories that a config watches.
func (r Repository) IsPattern() bool { return strings.Contains(r.Name, "*") }

// ListedRepository is a repository in a listing of a registry.
type ListedRepository struct {
	Repository
	// Created is when the repository was created; zero if ECR did not say it.
	Created time.Time
}

// PatternKey identifies which repositories the config watches. Configs with the same key watch the same repositories.
func (c Config) PatternKey() string { // no part has a space
	return strings.Join(append([]string{c.Registry, c.Region, c.Repository}, Distinct(c.Exclude)...), " ")
}

// In returns the registry of the repositories that the config watches.
func (c Config) In() Registry { return Registry{c.Registry, c.Region} }

// Head returns what the names of all watched repositories start with.
func (c Config) Head() string {
	head, _, _ := strings.Cut(c.Repository, "*")
	return head
}

// IsValid reports whether a repository of this name can exist.
func (r Repository) IsValid() bool {
	return isRepository(r.Name) && registryForm.MatchString(r.Registry) && isRegion(r.Region)
}
