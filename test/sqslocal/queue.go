package sqslocal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"ecr-continuous-scan/internal/awslocal"
)

// deduplicationTime is the period in which SQS ignores messages with the same deduplication id.
const deduplicationTime = 5 * time.Minute

// queue is a FIFO queue. It has no timers: each call determines which messages are visible at that time.
type queue struct {
	o Options

	mu                sync.Mutex
	changed           chan struct{}       // closed when a message may have become visible earlier than expected
	messages          []*message          // in the order in which they were sent
	byDeduplicationID map[string]*message // includes deleted messages
	sequence          int                 // number of the last message
	dead              []string
	refuseNext        int // number of batch entries that still must fail
}

type message struct {
	id, body, group, deduplicationID, sequence string

	sentAt          time.Time
	visibleAt       time.Time
	firstReceivedAt time.Time // time of the first receive
	receiveCount    int
}

func newQueue(o Options) *queue {
	return &queue{o: o, changed: make(chan struct{}), byDeduplicationID: map[string]*message{}}
}

// add appends a message to the queue and returns it. If a message with the same deduplication id was sent less than 5 minutes
// ago, it returns that message instead.
func (q *queue) add(e sqsEntry) *message {
	now := q.o.Now()
	if m, ok := q.byDeduplicationID[e.MessageDeduplicationID]; ok && now.Sub(m.sentAt) < deduplicationTime {
		return m
	}
	q.sequence++
	m := &message{
		id: uuid.NewString(), body: e.MessageBody, group: e.MessageGroupID, deduplicationID: e.MessageDeduplicationID,
		sequence: fmt.Sprintf("188%017d", q.sequence), // 20 digits, as in AWS
		sentAt:   now, visibleAt: now,
	}
	q.byDeduplicationID[m.deduplicationID] = m
	q.messages = append(q.messages, m)
	q.wake()
	return m
}

func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

type receivedMessage struct {
	MessageID  string `json:"MessageId"`
	Handle     string `json:"ReceiptHandle"`
	MD5        string `json:"MD5OfBody"`
	Body       string
	Attributes map[string]string `json:",omitempty"`
}

// receive returns messages. It waits up to WaitTimeSeconds for the first one.
func (q *queue) receive(ctx context.Context, r *sqsRequest) (any, error) {
	o, err := r.receiveOptions(q.o.Visibility)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Messages []receivedMessage `json:",omitempty"`
	}
	until := q.o.Now().Add(time.Duration(r.WaitTimeSeconds) * time.Second)
	for {
		var next time.Time
		var changed <-chan struct{}
		answer.Messages, next, changed = q.takeVisible(o)
		remaining := until.Sub(q.o.Now())
		if len(answer.Messages) > 0 || remaining <= 0 {
			return answer, nil
		}
		if !next.IsZero() {
			remaining = min(remaining, next.Sub(q.o.Now()))
		}
		timer := time.NewTimer(remaining)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
			timer.Stop()
			return answer, nil
		}
		timer.Stop()
	}
}

// receiveOptions contains the parameters of one receive.
type receiveOptions struct {
	maxMessages int           // messages per receive
	visibility  time.Duration // visibility timeout
	attributes  []string
}

func (r *sqsRequest) receiveOptions(visibility time.Duration) (receiveOptions, error) {
	o := receiveOptions{1, visibility, append(slices.Clone(r.AttributeNames), r.MessageSystemAttributeNames...)}
	if r.MaxNumberOfMessages != nil {
		o.maxMessages = *r.MaxNumberOfMessages
	}
	if r.VisibilityTimeout != nil {
		o.visibility = time.Duration(*r.VisibilityTimeout) * time.Second
	}
	if o.maxMessages < 1 || o.maxMessages > sqsMaxBatch || r.WaitTimeSeconds < 0 || r.WaitTimeSeconds > 20 || o.visibility < 0 || o.visibility > 12*time.Hour {
		return o, awslocal.BadRequest("InvalidParameterValue", "One or more parameters are invalid.")
	}
	return o, nil
}

// takeVisible returns messages and starts their visibility timeout. It takes messages of one group until the maximum is
// reached, then messages of the next group, in the order of the groups' first messages. It skips groups with a message in
// flight. next is the earliest time when a message in flight becomes visible again; zero if there is none.
func (q *queue) takeVisible(o receiveOptions) (taken []receivedMessage, next time.Time, changed <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	q.expire(now)
	skip := map[string]bool{} // groups
	for _, m := range q.messages {
		if m.visibleAt.After(now) {
			skip[m.group] = true
			if next.IsZero() || m.visibleAt.Before(next) {
				next = m.visibleAt
			}
		}
	}
	all := slices.Clone(q.messages)
	for i, first := range all {
		if skip[first.group] {
			continue
		}
		skip[first.group] = true
		for _, m := range all[i:] {
			switch {
			case m.group != first.group:
			case len(taken) == o.maxMessages:
				return taken, next, q.changed
			case q.o.MaxReceive > 0 && m.receiveCount >= q.o.MaxReceive:
				q.dead = append(q.dead, m.body)
				q.remove(m)
			default:
				taken = append(taken, m.receive(now, o))
			}
		}
	}
	return taken, next, q.changed
}

// expire deletes messages that are older than the retention period.
func (q *queue) expire(now time.Time) {
	if q.o.Retention > 0 {
		q.messages = slices.DeleteFunc(q.messages, func(m *message) bool { return now.Sub(m.sentAt) > q.o.Retention })
	}
}

func (q *queue) remove(m *message) {
	q.messages = slices.DeleteFunc(q.messages, func(other *message) bool { return other == m })
}

func (m *message) receive(now time.Time, o receiveOptions) receivedMessage {
	if m.receiveCount == 0 {
		m.firstReceivedAt = now
	}
	m.receiveCount++
	m.visibleAt = now.Add(o.visibility)
	stamp := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
	return receivedMessage{m.id, m.handle(), md5Hex(m.body), m.body, selectAttributes(o.attributes, map[string]string{
		"ApproximateReceiveCount": strconv.Itoa(m.receiveCount), "SentTimestamp": stamp(m.sentAt),
		"ApproximateFirstReceiveTimestamp": stamp(m.firstReceivedAt), "SenderId": awslocal.DefaultRegistry,
		"MessageGroupId": m.group, "MessageDeduplicationId": m.deduplicationID, "SequenceNumber": m.sequence,
	})}
}

// selectAttributes returns the attributes that were requested by name, or all for the name All.
func selectAttributes(names []string, attributes map[string]string) map[string]string {
	if !slices.Contains(names, "All") {
		maps.DeleteFunc(attributes, func(name, _ string) bool { return !slices.Contains(names, name) })
	}
	return attributes
}

// handle returns the receipt handle of the last receive.
func (m *message) handle() string { return m.id + "/" + strconv.Itoa(m.receiveCount) }

// find returns the message of a receipt handle, or nil if the message was deleted. The handle has expired if the message is
// visible again or was received again.
func (q *queue) find(handle string) (m *message, expired bool, err error) {
	id, _, ok := strings.Cut(handle, "/")
	if !ok || uuid.Validate(id) != nil {
		return nil, false, awslocal.BadRequest("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
	}
	now := q.o.Now()
	q.expire(now)
	for _, m := range q.messages {
		if m.id == id {
			return m, m.handle() != handle || !m.visibleAt.After(now), nil
		}
	}
	return nil, false, nil
}

// delete deletes a message. Like AWS, it returns an error for an expired handle, but not for a message that is already
// deleted.
func (q *queue) delete(handle string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	m, expired, err := q.find(handle)
	switch {
	case err != nil:
		return err
	case expired:
		return awslocal.BadRequest("InvalidParameterValue", "Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", handle)
	case m != nil:
		q.remove(m)
		q.wake() // other messages of its group may be visible now
	}
	return nil
}

func (q *queue) changeVisibility(r *sqsRequest) error {
	if r.VisibilityTimeout == nil || *r.VisibilityTimeout < 0 || *r.VisibilityTimeout > 43200 {
		return awslocal.BadRequest("InvalidParameterValue", "VisibilityTimeout must be >= 0 and <= 43200.")
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	m, expired, err := q.find(r.ReceiptHandle)
	switch {
	case err != nil:
		return err
	case m == nil:
		return awslocal.BadRequest("InvalidParameterValue", "Value %s for parameter ReceiptHandle is invalid. "+
			"Reason: Message does not exist or is not available for visibility timeout change.", r.ReceiptHandle)
	case expired:
		return awslocal.BadRequest("MessageNotInflight", "The specified message isn't in flight.")
	}
	m.visibleAt = q.o.Now().Add(time.Duration(*r.VisibilityTimeout) * time.Second)
	q.wake()
	return nil
}

func (q *queue) attributes(names []string) any {
	s := q.state()
	return struct{ Attributes map[string]string }{selectAttributes(names, map[string]string{
		"ApproximateNumberOfMessages":           strconv.Itoa(s.Visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(s.InFlight),
		"ApproximateNumberOfMessagesDelayed":    "0",
		"VisibilityTimeout":                     strconv.Itoa(int(q.o.Visibility.Seconds())),
		"FifoQueue":                             "true",
		"ContentBasedDeduplication":             "false",
		"DeduplicationScope":                    "queue",
	})}
}

func (q *queue) state() QueueState {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	q.expire(now)
	s := QueueState{Dead: len(q.dead)}
	for _, m := range q.messages {
		if m.visibleAt.After(now) {
			s.InFlight++
		} else {
			s.Visible++
		}
	}
	return s
}

func (q *queue) deadLetters() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.dead)
}

func (q *queue) refuse(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuseNext = n
}
