// Package samples pushes sample images into an embedded ECR: the repositories of the README's walkthrough, or recorded
// responses of a real ECR.
//
// The behaviour of the embedded ECR is in package ecr.
package samples
