// Package sqslocal is an embedded Amazon SQS with one FIFO queue and its dead letters, an [http.Handler] that speaks SQS's wire protocol, for tests of
// what goes through a queue. It counts its calls and fails on demand as package awslocal says.
//
// The local server does not need it: it has a queue in its process.
package sqslocal
