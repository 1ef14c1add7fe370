package awslocal

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
)

// queue is a standard queue. There are no timers: each look at it finds what
// is visible then.
type queue struct {
	o SQSOptions

	mu      sync.Mutex
	rand    *rand.Rand
	changed chan struct{} // closed when a message may have become visible sooner than it was to
	letters []*letter     // as sent
	dead    []string
	refused int // entries that are still to fail
}

// letter is one copy of a message.
type letter struct {
	id, body string
	sent     time.Time
	visible  time.Time
	first    time.Time // received first
	received int
	handle   string // of the last receive
}

func newQueue(o SQSOptions) *queue {
	return &queue{o: o, rand: rand.New(rand.NewPCG(o.Seed, 0)), changed: make(chan struct{})}
}

type sentMessage struct {
	ID        string `json:"Id,omitempty"`
	MD5       string `json:"MD5OfMessageBody"`
	MessageID string `json:"MessageId"`
}

type failedEntry struct {
	ID          string `json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

func (q *queue) sendOne(r *sqsRequest) (any, error) {
	if err := checkBody(r.MessageBody, r.DelaySeconds); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.add("", r.MessageBody, r.DelaySeconds), nil
}

// sendBatch fails as a whole for a batch that is none, and otherwise entry by
// entry.
func (q *queue) sendBatch(r *sqsRequest) (any, error) {
	if err := checkBatch(r.Entries); err != nil {
		return nil, err
	}
	answer := struct {
		Successful []sentMessage
		Failed     []failedEntry
	}{[]sentMessage{}, []failedEntry{}}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range r.Entries {
		switch err := checkBody(e.MessageBody, e.DelaySeconds); {
		case err != nil:
			answer.Failed = append(answer.Failed, failedEntry{e.ID, err.code, err.message, true})
		case q.refused > 0:
			q.refused--
			answer.Failed = append(answer.Failed, failedEntry{e.ID, "InternalError", "", false})
		default:
			answer.Successful = append(answer.Successful, q.add(e.ID, e.MessageBody, e.DelaySeconds))
		}
	}
	return answer, nil
}

func checkBody(body string, delay int) *apiError {
	switch {
	case body == "":
		return badRequest("MissingParameter", "The request must contain the parameter MessageBody.")
	case len(body) > sqsMaxBytes:
		return badRequest("InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", sqsMaxBytes)
	case delay < 0 || delay > 900:
		return badRequest("InvalidParameterValue", "Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", delay)
	}
	return nil
}

// entryID is the form of an entry's id; compiled once, read only.
var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

func checkBatch(entries []sqsEntry) error {
	switch {
	case len(entries) == 0:
		return badRequest("EmptyBatchRequest", "There should be at least one SendMessageBatchRequestEntry in the request.")
	case len(entries) > sqsMaxBatch:
		return badRequest("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent %d.", len(entries))
	}
	seen, size := map[string]bool{}, 0
	for _, e := range entries {
		if !entryID.MatchString(e.ID) {
			return badRequest("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores.")
		}
		if seen[e.ID] {
			return badRequest("BatchEntryIdsNotDistinct", "Id %s repeated.", e.ID)
		}
		seen[e.ID] = true
		size += len(e.MessageBody)
	}
	if size > sqsMaxBytes {
		return badRequest("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", sqsMaxBytes, size)
	}
	return nil
}

// add puts a message into the queue, and its second copy, if it is to have one.
func (q *queue) add(entry, body string, delay int) sentMessage {
	now := q.o.Now()
	l := letter{id: uuid.NewString(), body: body, sent: now, visible: now.Add(time.Duration(delay) * time.Second)}
	q.letters = append(q.letters, &l)
	if q.rand.Float64() < q.o.Twice {
		again := l
		q.letters = append(q.letters, &again)
	}
	q.wake()
	return sentMessage{entry, bodySum(body), l.id}
}

// bodySum is the sum with which SQS answers, and which SDKs verify.
func bodySum(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
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
	Attributes map[string]string
}

// receive waits for a message as long as the caller is ready to.
func (q *queue) receive(ctx context.Context, r *sqsRequest) (any, error) {
	most, hide, err := r.receiveOptions(q.o.Visibility)
	if err != nil {
		return nil, err
	}
	var answer struct{ Messages []receivedMessage }
	until := q.o.Now().Add(time.Duration(r.WaitTimeSeconds) * time.Second)
	for {
		var next time.Time
		var changed <-chan struct{}
		answer.Messages, next, changed = q.take(most, hide)
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

func (r *sqsRequest) receiveOptions(visibility time.Duration) (most int, hide time.Duration, err error) {
	most, hide = 1, visibility
	if r.MaxNumberOfMessages != nil {
		most = *r.MaxNumberOfMessages
	}
	if r.VisibilityTimeout != nil {
		hide = time.Duration(*r.VisibilityTimeout) * time.Second
	}
	if most < 1 || most > sqsMaxBatch || r.WaitTimeSeconds < 0 || r.WaitTimeSeconds > 20 || hide < 0 || hide > 12*time.Hour {
		return 0, 0, badRequest("InvalidParameterValue", "One or more parameters are invalid.")
	}
	return most, hide, nil
}

// take hides some of the visible messages and gives them out. With none there
// is the time at which one becomes visible, zero when there is none at all.
func (q *queue) take(most int, hide time.Duration) (taken []receivedMessage, next time.Time, changed <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	for _, l := range q.inOrder() {
		switch {
		case l.visible.After(now):
			if next.IsZero() || l.visible.Before(next) {
				next = l.visible
			}
		case q.o.MaxReceive > 0 && l.received == q.o.MaxReceive:
			q.dead = append(q.dead, l.body)
			q.drop(l)
		case len(taken) < most:
			taken = append(taken, l.receive(now, hide))
		}
	}
	return taken, next, q.changed
}

// inOrder is every message, in the order in which they come.
func (q *queue) inOrder() []*letter {
	letters := slices.Clone(q.letters)
	if q.o.Shuffle {
		q.rand.Shuffle(len(letters), func(i, j int) { letters[i], letters[j] = letters[j], letters[i] })
	}
	return letters
}

func (q *queue) drop(l *letter) {
	q.letters = slices.DeleteFunc(q.letters, func(other *letter) bool { return other == l })
}

func (l *letter) receive(now time.Time, hide time.Duration) receivedMessage {
	if l.received == 0 {
		l.first = now
	}
	l.received++
	l.visible, l.handle = now.Add(hide), uuid.NewString()
	stamp := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
	return receivedMessage{l.id, l.handle, bodySum(l.body), l.body, map[string]string{
		"ApproximateReceiveCount": strconv.Itoa(l.received), "SentTimestamp": stamp(l.sent),
		"ApproximateFirstReceiveTimestamp": stamp(l.first), "SenderId": DefaultRegistry,
	}}
}

// find returns the message that a receipt handle was given out for last.
func (q *queue) find(handle string) *letter {
	for _, l := range q.letters {
		if l.handle == handle && handle != "" {
			return l
		}
	}
	return nil
}

// delete does nothing for the handle of an earlier receive, and says so to
// nobody, as SQS may.
func (q *queue) delete(handle string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if uuid.Validate(handle) != nil {
		return badRequest("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
	}
	if l := q.find(handle); l != nil {
		q.drop(l)
	}
	return nil
}

func (q *queue) changeVisibility(r *sqsRequest) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.find(r.ReceiptHandle)
	switch {
	case r.VisibilityTimeout == nil || *r.VisibilityTimeout < 0 || *r.VisibilityTimeout > 43200:
		return badRequest("InvalidParameterValue", "VisibilityTimeout must be >= 0 and <= 43200.")
	case l == nil || !l.visible.After(q.o.Now()):
		return badRequest("MessageNotInflight", "The specified message isn't in flight.")
	}
	l.visible = q.o.Now().Add(time.Duration(*r.VisibilityTimeout) * time.Second)
	q.wake()
	return nil
}

func (q *queue) attributes() any {
	s := q.state()
	return struct{ Attributes map[string]string }{map[string]string{
		"ApproximateNumberOfMessages":           strconv.Itoa(s.Visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(s.InFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(s.Delayed),
		"VisibilityTimeout":                     strconv.Itoa(int(q.o.Visibility.Seconds())),
	}}
}

func (q *queue) state() QueueState {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := QueueState{Dead: len(q.dead)}
	now := q.o.Now()
	for _, l := range q.letters {
		switch {
		case !l.visible.After(now):
			s.Visible++
		case l.received == 0:
			s.Delayed++
		default:
			s.InFlight++
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
