// Package history defines the stored data of a repository: the [Record], with the images that its tags point to and
// ECR's answers for them, and the [History] of the findings of one image. It decides which findings are new or
// resolved, which severities are raised or lowered, and which dates these changes get.
//
// The package makes no calls and stores nothing. Package refresh updates a record, and package rescan stores it.
package history
