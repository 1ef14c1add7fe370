// Package queue runs visits behind an SQS FIFO queue, with everything that such a queue and Lambda may do: the compiled StartScanFunc over the
// wire, with functions that end in the middle and messages that come twice and late; and, on a fake clock, many repositories at once and a
// visit that always dies. What S3 and ECR answer is embedded.
//
// Without a build tag the queue is embedded too; with the tag deployment it is moto's.
package queue
