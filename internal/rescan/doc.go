// Package rescan is the writer: the [Visitor] visits one repository at a time, records what ECR says of its images and starts the scans that are
// due. A schedule sends a [Message] for each repository to a [Queue], and [Local] is a queue in the process.
//
// It answers nobody: package report does, from what is recorded. It does not know SQS, Lambda or S3.
package rescan
