// Package queue tests visits behind an SQS FIFO queue. The compiled StartScanFunc runs with functions that are
// killed and with messages that are repeated or late. On a fake clock, it tests many repositories at once and
// visits that always die. S3 and ECR are embedded.
//
// Without a build tag the queue is also embedded. With the tag deployment it is moto's.
package queue
