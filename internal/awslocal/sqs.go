package awslocal

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	sqsTarget      = "AmazonSQS."
	sqsContentType = "application/x-amz-json-1.0"
	sqsMaxBatch    = 10
	sqsMaxBytes    = 256 << 10 // of a message, and of a batch; AWS has taken more since 2025

	defaultVisibility = 30 * time.Second
)

// SQSOptions says how an embedded queue behaves; the zero value is a queue at
// its best.
type SQSOptions struct {
	Now        func() time.Time // time.Now, when nil
	Visibility time.Duration    // how long a message received is hidden: 30 s when zero
	MaxReceive int              // after so many receives a message goes to the dead letters; never when zero

	// What a standard queue may do at any time. The seed makes it happen again.
	Twice   float64 // the share of messages that are delivered once more, even after they were deleted
	Shuffle bool    // messages come in any order
	Seed    uint64
}

// SQS is an embedded SQS with one standard queue and its dead letters, in
// memory. All methods are safe for concurrent use.
type SQS struct {
	*Traffic

	name  string
	queue *queue
}

// NewSQS returns an SQS with an empty queue of that name. Its URL is that of
// the service, a slash, DefaultRegistry, a slash and the name.
func NewSQS(name string, o SQSOptions) *SQS {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Visibility == 0 {
		o.Visibility = defaultVisibility
	}
	return &SQS{Traffic: newTraffic(o.Now, sqsFault), name: name, queue: newQueue(o)}
}

// QueueState is how much there is in a queue.
type QueueState struct {
	Visible, InFlight, Delayed, Dead int
}

// State returns how much there is in the queue.
func (s *SQS) State() QueueState { return s.queue.state() }

// DeadLetters returns the bodies of the messages that were received too often.
func (s *SQS) DeadLetters() []string { return s.queue.deadLetters() }

// RefuseEntries makes the next n entries of SendMessageBatch fail, though their
// batches succeed.
func (s *SQS) RefuseEntries(n int) { s.queue.refuse(n) }

// sqsRequest has the parameters of all operations; each reads its own.
type sqsRequest struct {
	QueueURL            string `json:"QueueUrl"`
	MessageBody         string
	DelaySeconds        int
	Entries             []sqsEntry
	MaxNumberOfMessages *int
	VisibilityTimeout   *int
	WaitTimeSeconds     int
	ReceiptHandle       string
}

type sqsEntry struct {
	ID           string `json:"Id"`
	MessageBody  string
	DelaySeconds int
}

// ServeHTTP answers one call of SQS's AWS JSON 1.0 protocol.
func (s *SQS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call, q, err := s.readCall(r)
	s.serve(w, r, call, func(w http.ResponseWriter) {
		var answer any
		if err == nil {
			answer, err = s.do(r, call.Operation, q)
		}
		if err != nil {
			writeSQSError(w, err)
			return
		}
		writeSQS(w, http.StatusOK, answer)
	})
}

func (s *SQS) readCall(r *http.Request) (Call, *sqsRequest, error) {
	call := Call{Registry: DefaultRegistry}
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), sqsTarget)
	if !ok || r.Method != http.MethodPost {
		return call, nil, badRequest("UnknownOperationException", "")
	}
	call.Operation = name
	signed := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if signed == nil || signed[3] != "sqs" {
		return call, nil, badRequest("MissingAuthenticationTokenException", "the request must be signed for 'sqs'")
	}
	call.Region = signed[2]
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return call, nil, badRequest("SerializationException", "the body cannot be read: %v", err)
	}
	q := &sqsRequest{}
	if err := json.Unmarshal(body, q); err != nil {
		return call, nil, badRequest("SerializationException", "the body is not the JSON of a request: %v", err)
	}
	call.Resource = q.QueueURL[strings.LastIndex(q.QueueURL, "/")+1:]
	return call, q, nil
}

func (s *SQS) do(r *http.Request, operation string, q *sqsRequest) (any, error) {
	if !strings.HasSuffix(q.QueueURL, "/"+DefaultRegistry+"/"+s.name) {
		return nil, badRequest("QueueDoesNotExist", "The specified queue does not exist.")
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
		return s.queue.attributes(), nil
	}
	return nil, badRequest("UnknownOperationException", "")
}

func writeSQSError(w http.ResponseWriter, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{http.StatusInternalServerError, "InternalFailure", err.Error()}
	}
	writeSQS(w, e.status, map[string]string{"__type": "com.amazonaws.sqs#" + e.code, "message": e.message})
}

func writeSQS(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", sqsContentType)
	w.Header().Set("X-Amzn-RequestId", uuid.NewString())
	w.WriteHeader(status)
	_, _ = io.WriteString(w, mustJSON(v)) // nobody is left to tell when the client has gone
}

// sqsFault puts a fault into SQS's words.
func sqsFault(w http.ResponseWriter, _ Call, f Fault) {
	e := &apiError{f.Status, f.Code, f.Message}
	if e.code == "" {
		e.code = "InternalFailure"
		if f.PerSecond > 0 {
			e.code = "RequestThrottled"
		}
	}
	if e.status == 0 {
		e.status = http.StatusBadRequest
		if e.code == "InternalFailure" {
			e.status = http.StatusInternalServerError
		}
	}
	writeSQSError(w, e)
}
