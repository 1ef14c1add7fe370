package awstest

import (
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/test/sqslocal"
)

// Queue is a running embedded SQS with one FIFO queue. It stops at the end of the test.
type Queue struct {
	SQS *sqslocal.SQS
	// Endpoint is the URL of the service. URL is the URL of the queue.
	Endpoint, URL string
}

// StartQueue starts an SQS with an empty FIFO queue.
func StartQueue(tb testing.TB, o sqslocal.Options) *Queue {
	tb.Helper()
	const name = "visits.fifo"
	service, err := sqslocal.New(name, o)
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(service)
	tb.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return &Queue{SQS: service, Endpoint: server.URL, URL: server.URL + "/" + awslocal.DefaultRegistry + "/" + name}
}

// Client returns a client of the queue, for example to receive the service's messages.
func (q *Queue) Client() *sqs.Client { return sqs.NewFromConfig(Config(q.Endpoint)) }
