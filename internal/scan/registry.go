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

// ListedRepository is a repository in a listing of a registry.
type ListedRepository struct {
	Repository
	// Created is when the repository was created; zero if ECR did not say it.
	Created time.Time
}
