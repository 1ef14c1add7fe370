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
	sqsMaxBytes = 256 << 10 // of a message, and of a batch; AWS has taken more since 2025

	defaultVisibility = 30 * time.Second
)

// sqsAPI is SQS's protocol; read only.
var sqsAPI = awslocal.JSONAPI{
	Target: "AmazonSQS.", Service: "sqs", ContentType: "application/x-amz-json-1.0",
	Namespace: "com.amazonaws.sqs#", Failed: "InternalFailure", Throttled: "RequestThrottled",
}

// SQSOptions says how an embedded queue behaves; the zero value is a queue at
// its best.
type Options struct {
	Now        func() time.Time // time.Now, when nil
	Visibility time.Duration    // how long a message received is hidden: 30 s when zero
	MaxReceive int              // after so many receives a message goes to the dead letters; never when zero
	Retention  time.Duration    // an older message is deleted; never when zero
}

// SQS is an embedded SQS with one FIFO queue and its dead letters, in memory.
// The queue has no content-based deduplication, and deduplication ids are those
// of the whole queue. All methods are safe for concurrent use.
type SQS struct {
	*awslocal.Traffic

	name  string
	queue *queue
}

// queueName is the form of a FIFO queue's name; compiled once, read only.
var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,75}\.fifo$`)

// New returns an SQS with an empty queue of that name, which must end in
// ".fifo", as AWS demands. Its URL is that of the service, a slash,
// DefaultRegistry, a slash and the name.
func New(name string, o Options) (*SQS, error) {
	if !queueName.MatchString(name) {
		return nil, fmt.Errorf("make a FIFO queue: the name %q must have up to 75 letters, digits, - and _, then .fifo", name)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Visibility = cmp.Or(o.Visibility, defaultVisibility)
	return &SQS{Traffic: awslocal.NewTraffic(o.Now, sqsFault), name: name, queue: newQueue(o)}, nil
}

// QueueState is how many messages there are in a queue. Visible are those that
// are not in flight, also where another of their group is.
type QueueState struct {
	Visible, InFlight, Dead int
}

// State returns how many messages there are in the queue.
func (s *SQS) State() QueueState { return s.queue.state() }

// DeadLetters returns the bodies of the messages that were received too often.
func (s *SQS) DeadLetters() []string { return s.queue.deadLetters() }

// RefuseEntries makes the next n entries of SendMessageBatch fail, though their
// batches succeed.
func (s *SQS) RefuseEntries(n int) { s.queue.refuse(n) }

// sqsRequest has the parameters of all operations; each reads its own.
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

// sqsEntry is a message to send. Its id is that of an entry of a batch.
type sqsEntry struct {
	ID                     string `json:"Id"`
	MessageBody            string
	DelaySeconds           int
	MessageGroupID         string `json:"MessageGroupId"`
	MessageDeduplicationID string `json:"MessageDeduplicationId"`
}

// ServeHTTP answers one call of SQS's AWS JSON 1.0 protocol.
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

// sqsFault puts a fault into SQS's words.
func sqsFault(w http.ResponseWriter, _ awslocal.Call, f awslocal.Fault) {
	sqsAPI.Fault(w, f, func(string) string { return "" })
}
