package awstest

import (
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
)

// Queue is a running embedded SQS with one queue. It ends with the test that started it.
type Queue struct {
	SQS *awslocal.SQS
	// Endpoint is the service's URL, and URL the queue's.
	Endpoint, URL string
}

// StartQueue starts an SQS with an empty queue.
func StartQueue(tb testing.TB, o awslocal.SQSOptions) *Queue {
	tb.Helper()
	service := awslocal.NewSQS("scan-runs", o)
	server := httptest.NewServer(service)
	tb.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return &Queue{SQS: service, Endpoint: server.URL, URL: server.URL + "/" + awslocal.DefaultRegistry + "/scan-runs"}
}

// Client is a client of the queue, to receive what the service sends.
func (q *Queue) Client() *sqs.Client { return sqs.NewFromConfig(setup.Loopback(q.Endpoint)) }

// Chains builds scan runs through the queue, by the same code as a deployment.
func (a *AWS) Chains(q *Queue, log *slog.Logger) *scan.Chains {
	return setup.Chains(a.Watch(log), setup.Loopback(a.S3URL), setup.Loopback(q.Endpoint), Bucket, q.URL)
}
