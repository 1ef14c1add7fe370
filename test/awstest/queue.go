package awstest

import (
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/sqslocal"
)

// Queue is a running embedded SQS with one FIFO queue. It ends with the test that started it.
type Queue struct {
	SQS *sqslocal.SQS
	// Endpoint is the service's URL, and URL the queue's.
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

// Client is a client of the queue, to receive what the service sends.
func (q *Queue) Client() *sqs.Client { return sqs.NewFromConfig(setup.Loopback(q.Endpoint)) }
