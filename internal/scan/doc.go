// Package scan defines the basic types of the service and their rules. A [Config] names a [Repository] and,
// optionally, some of its tags. Each tag points to an [Image]. ECR's answer for an image is a [Result]. A completed
// result lists one [Finding] for each vulnerability and package. A [Filter] selects findings, images and
// repositories.
//
// The package makes no calls. It does not depend on the store, AWS, HTTP, Lambda, files or the environment.
package scan
