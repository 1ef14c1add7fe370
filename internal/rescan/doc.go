// Package rescan is the only writer of records. A [Visitor] visits one repository at a time: it records ECR's results
// and starts the scans that are due. A schedule sends one [Message] for each repository to a [Queue]. [Local] is a
// queue in memory.
//
// The package does not answer requests; package report does this from the records. It does not depend on SQS, Lambda
// or S3.
package rescan
