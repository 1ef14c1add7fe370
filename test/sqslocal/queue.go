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

// deduplicationTime is how long SQS remembers deduplication ids.
const deduplicationTime = 5 * time.Minute

// queue is a FIFO queue. It has no timers: each call finds what is visible
// then.
type queue struct {
	o Options

	mu       sync.Mutex
	changed  chan struct{}       // closed when a message may have become visible sooner than expected
	messages []*message          // in the order of sending
	known    map[string]*message // by deduplication id, deleted ones too
	sequence int                 // of the last message
	dead     []string
	refused  int // entries that are still to fail
}

type message struct {
	id, body, group, once, sequence string

	sent     time.Time
	visible  time.Time
	first    time.Time // received first
	received int
}

func newQueue(o Options) *queue {
	return &queue{o: o, changed: make(chan struct{}), known: map[string]*message{}}
}

// add puts a message at the end of the queue. If one with its deduplication id
// was sent less than 5 minutes ago, it returns that one and adds nothing.
func (q *queue) add(e sqsEntry) *message {
	now := q.o.Now()
	if m, ok := q.known[e.MessageDeduplicationID]; ok && now.Sub(m.sent) < deduplicationTime {
		return m
	}
	q.sequence++
	m := &message{
		id: uuid.NewString(), body: e.MessageBody, group: e.MessageGroupID, once: e.MessageDeduplicationID,
		sequence: fmt.Sprintf("188%017d", q.sequence), // 20 digits, as in AWS
		sent:     now, visible: now,
	}
	q.known[m.once] = m
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

// receive waits for a message as long as the caller is ready to.
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
		answer.Messages, next, changed = q.take(o)
		left := until.Sub(q.o.Now())
		if len(answer.Messages) > 0 || left <= 0 {
			return answer, nil
		}
		if !next.IsZero() {
			left = min(left, next.Sub(q.o.Now()))
		}
		timer := time.NewTimer(left)
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

// receiveOptions are the parameters of one receive.
type receiveOptions struct {
	most       int           // messages
	hide       time.Duration // how long they are hidden then
	attributes []string
}

func (r *sqsRequest) receiveOptions(visibility time.Duration) (receiveOptions, error) {
	o := receiveOptions{1, visibility, append(slices.Clone(r.AttributeNames), r.MessageSystemAttributeNames...)}
	if r.MaxNumberOfMessages != nil {
		o.most = *r.MaxNumberOfMessages
	}
	if r.VisibilityTimeout != nil {
		o.hide = time.Duration(*r.VisibilityTimeout) * time.Second
	}
	if o.most < 1 || o.most > sqsMaxBatch || r.WaitTimeSeconds < 0 || r.WaitTimeSeconds > 20 || o.hide < 0 || o.hide > 12*time.Hour {
		return o, awslocal.BadRequest("InvalidParameterValue", "One or more parameters are invalid.")
	}
	return o, nil
}

// take hides messages and gives them out: as many as it may of one group, then
// of the next, in the order of their first messages. It skips groups that have a
// message in flight. next is when the first message in flight becomes visible
// again, zero when there is none.
func (q *queue) take(o receiveOptions) (taken []receivedMessage, next time.Time, changed <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	q.expire(now)
	skip := map[string]bool{} // groups
	for _, m := range q.messages {
		if m.visible.After(now) {
			skip[m.group] = true
			if next.IsZero() || m.visible.Before(next) {
				next = m.visible
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
			case len(taken) == o.most:
				return taken, next, q.changed
			case q.o.MaxReceive > 0 && m.received >= q.o.MaxReceive:
				q.dead = append(q.dead, m.body)
				q.drop(m)
			default:
				taken = append(taken, m.receive(now, o))
			}
		}
	}
	return taken, next, q.changed
}

// expire deletes what is older than the retention.
func (q *queue) expire(now time.Time) {
	if q.o.Retention > 0 {
		q.messages = slices.DeleteFunc(q.messages, func(m *message) bool { return now.Sub(m.sent) > q.o.Retention })
	}
}

func (q *queue) drop(m *message) {
	q.messages = slices.DeleteFunc(q.messages, func(other *message) bool { return other == m })
}

func (m *message) receive(now time.Time, o receiveOptions) receivedMessage {
	if m.received == 0 {
		m.first = now
	}
	m.received++
	m.visible = now.Add(o.hide)
	stamp := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
	return receivedMessage{m.id, m.handle(), bodySum(m.body), m.body, asked(o.attributes, map[string]string{
		"ApproximateReceiveCount": strconv.Itoa(m.received), "SentTimestamp": stamp(m.sent),
		"ApproximateFirstReceiveTimestamp": stamp(m.first), "SenderId": awslocal.DefaultRegistry,
		"MessageGroupId": m.group, "MessageDeduplicationId": m.once, "SequenceNumber": m.sequence,
	})}
}

// asked is the attributes that were asked for by name. AWS gives no others.
func asked(names []string, attributes map[string]string) map[string]string {
	if !slices.Contains(names, "All") {
		maps.DeleteFunc(attributes, func(name, _ string) bool { return !slices.Contains(names, name) })
	}
	return attributes
}

// handle is the receipt handle of the last receive.
func (m *message) handle() string { return m.id + "/" + strconv.Itoa(m.received) }

// find returns the message of a receipt handle, nil when it is gone. The handle
// has expired when the message is visible again or was received again.
func (q *queue) find(handle string) (m *message, expired bool, err error) {
	id, _, ok := strings.Cut(handle, "/")
	if !ok || uuid.Validate(id) != nil {
		return nil, false, awslocal.BadRequest("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
	}
	now := q.o.Now()
	q.expire(now)
	for _, m := range q.messages {
		if m.id == id {
			return m, m.handle() != handle || !m.visible.After(now), nil
		}
	}
	return nil, false, nil
}

// delete refuses an expired handle, as a FIFO queue does. A message that is gone
// is deleted.
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
		q.drop(m)
		q.wake() // its group may be free now
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
	m.visible = q.o.Now().Add(time.Duration(*r.VisibilityTimeout) * time.Second)
	q.wake()
	return nil
}

func (q *queue) attributes(names []string) any {
	s := q.state()
	return struct{ Attributes map[string]string }{asked(names, map[string]string{
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
		if m.visible.After(now) {
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
	q.refused = n
}
