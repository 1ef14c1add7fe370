// Package ecr contains an embedded Amazon ECR: an [http.Handler] that implements ECR's API. It stores registries in memory,
// simulates scans on a configurable clock, counts calls and injects faults; see package awslocal.
//
// It does not verify signatures and has no operations for layers. If ECR's documentation does not define a behaviour, this
// package uses the stricter one, so that code that works with it also works with ECR.
package ecr
