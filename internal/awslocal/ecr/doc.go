// Package ecr is an embedded Amazon ECR, an [http.Handler] that speaks ECR's wire protocol. It keeps registries in memory, scans images on a
// clock of its own, and counts its calls and fails on demand as package awslocal says.
//
// It checks no signatures, and pushes and pulls no layers. What ECR's documentation leaves open is answered in the stricter way, so that code which
// is right here is right there.
package ecr
