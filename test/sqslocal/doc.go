// Package sqslocal contains an embedded Amazon SQS for tests: an [http.Handler] that implements SQS's API, with one FIFO queue
// and its dead letters. It counts calls and injects faults; see package awslocal.
//
// The local server does not use it. It has a queue in memory.
package sqslocal
