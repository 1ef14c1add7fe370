package sqslocal

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal"
)

const (
	sqsMaxBatch = 10
	sqsMaxBytes = 256 << 10 // of a message and of a batch; AWS allows more since 2025

	defaultVisibility = 30 * time.Second
)

// sqsAPI contains the settings of SQS's protocol. It is not modified.
var sqsAPI = awslocal.JSONAPI{
	Target: "AmazonSQS.", Service: "sqs", ContentType: "application/x-amz-json-1.0",
	Namespace: "com.amazonaws.sqs#", InternalErrorCode: "InternalFailure", ThrottlingCode: "RequestThrottled",
}

// Options configures an embedded queue. The zero value is valid.
type Options struct {
	Now        func() time.Time // if nil: time.Now
	Visibility time.Duration    // default visibility timeout; if zero: 30 s
	MaxReceive int              // number of receives after which a message becomes a dead letter; if zero: no limit
	Retention  time.Duration    // older messages are deleted; if zero: never
}

// SQS is an embedded SQS with one FIFO queue and its dead letters, in memory. The queue has no content-based deduplication. The
// deduplication scope is the queue. All methods are safe for concurrent use.
type SQS struct {
	*awslocal.Traffic

	name  string
	queue *queue
}

// queueName matches valid names of FIFO queues.
var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,75}\.fifo$`)

// New returns an SQS with an empty queue. As in AWS, the name must end with ".fifo". The queue's URL is
// <URL of the service>/<awslocal.DefaultRegistry>/<name>.
func New(name string, o Options) (*SQS, error) {
	if !queueName.MatchString(name) {
		return nil, fmt.Errorf("create a FIFO queue: the name %q must have 1 to 75 letters, digits, \"-\" or \"_\", followed by .fifo", name)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Visibility = cmp.Or(o.Visibility, defaultVisibility)
	return &SQS{Traffic: awslocal.NewTraffic(o.Now, sqsFault), name: name, queue: newQueue(o)}, nil
}

// QueueState contains the number of messages in a queue. Visible includes messages of a group with a message in flight.
type QueueState struct {
	Visible, InFlight, Dead int
}

// State returns the number of messages in the queue.
func (s *SQS) State() QueueState { return s.queue.state() }

// DeadLetters returns the bodies of the messages that were received MaxReceive times.
func (s *SQS) DeadLetters() []string { return s.queue.deadLetters() }

// RefuseEntries makes the next n entries of SendMessageBatch fail. Their batches do not fail.
func (s *SQS) RefuseEntries(n int) { s.queue.refuse(n) }

// sqsRequest contains the parameters of all operations. Each operation uses its own.
type sqsRequest struct {
	QueueURL string `json:"QueueUrl"`
	sqsEntry
	Entries                     []sqsEntry
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             int
	ReceiptHandle               string
	AttributeNames              []string
	MessageSystemAttributeNames []string
}

// sqsEntry is a message to send. The id is only used in a batch.
type sqsEntry struct {
	ID                     string `json:"Id"`
	MessageBody            string
	DelaySeconds           int
	MessageGroupID         string `json:"MessageGroupId"`
	MessageDeduplicationID string `json:"MessageDeduplicationId"`
}

// ServeHTTP handles one call of SQS's API (AWS JSON 1.0).
func (s *SQS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &sqsRequest{}
	call, err := sqsAPI.Read(r, q)
	call.Resource = q.QueueURL[strings.LastIndex(q.QueueURL, "/")+1:]
	s.Serve(w, r, call, func(w http.ResponseWriter) {
		var answer any
		if err == nil {
			answer, err = s.do(r, call.Operation, q)
		}
		sqsAPI.Write(w, answer, err)
	})
}

func (s *SQS) do(r *http.Request, operation string, q *sqsRequest) (any, error) {
	if !strings.HasSuffix(q.QueueURL, "/"+awslocal.DefaultRegistry+"/"+s.name) {
		return nil, awslocal.BadRequest("QueueDoesNotExist", "The specified queue does not exist.")
	}
	switch operation {
	case "SendMessage":
		return s.queue.sendOne(q)
	case "SendMessageBatch":
		return s.queue.sendBatch(q)
	case "ReceiveMessage":
		return s.queue.receive(r.Context(), q)
	case "DeleteMessage":
		return struct{}{}, s.queue.delete(q.ReceiptHandle)
	case "ChangeMessageVisibility":
		return struct{}{}, s.queue.changeVisibility(q)
	case "GetQueueAttributes":
		return s.queue.attributes(q.AttributeNames), nil
	}
	return nil, awslocal.BadRequest("UnknownOperationException", "")
}

// sqsFault sends the error of a fault. Missing fields of the fault get SQS's defaults.
func sqsFault(w http.ResponseWriter, _ awslocal.Call, f awslocal.Fault) {
	sqsAPI.WriteFault(w, f, func(string) string { return "" })
}
