// Package sqsqueue sends messages to an Amazon SQS FIFO queue and tells how many wait there. Lambda receives them, and package scan says
// what they mean.
package sqsqueue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

const (
	perCall     = 10        // the most messages that one SendMessageBatch takes
	maxBytes    = 256 << 10 // the most bytes of one message, and of one SendMessageBatch
	callsAtOnce = 8         // of SendMessageBatch, for one Send
	attempts    = 3
	backoff     = 100 * time.Millisecond // doubles
)

// Queue sends to one queue. It implements [rescan.Queue].
type Queue struct {
	sqs *sqs.Client
	url string
}

// New makes a sender to the FIFO queue at url, which must be in cfg's Region.
func New(cfg aws.Config, url string) *Queue {
	return &Queue{sqs: sqs.NewFromConfig(cfg), url: url}
}

// Send implements [rescan.Queue]. Messages of one call are sent side by side: two for the same repository may be queued in any order.
// Errors: Unavailable; Internal for a message of more than 256 KiB.
func (q *Queue) Send(ctx context.Context, s []rescan.Sending) []error {
	errs := make([]error, len(s))
	var calls errgroup.Group
	calls.SetLimit(callsAtOnce)
	for _, batch := range batches(entriesOf(s, errs)) {
		calls.Go(func() error {
			q.sendBatch(ctx, batch, errs)
			return nil
		})
	}
	_ = calls.Wait() // the errors are in errs
	if !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		return nil
	}
	return errs
}

// Waiting implements [rescan.Queue]. Errors: Unavailable.
func (q *Queue) Waiting(ctx context.Context) (int, error) {
	const name = types.QueueAttributeNameApproximateNumberOfMessages
	out, err := q.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &q.url, AttributeNames: []types.QueueAttributeName{name}})
	if err != nil {
		return 0, unavailable("the queue does not tell how many messages wait", fmt.Errorf("read the attributes of the queue: %w", err))
	}
	waiting, err := strconv.Atoi(out.Attributes[string(name)])
	if err != nil {
		return 0, unavailable("the queue does not tell how many messages wait", fmt.Errorf("read the queue's attribute %s: %w", name, err))
	}
	return waiting, nil
}

// entriesOf makes the entries of batches. An entry's id is the index of its message. A message that can't be sent has its error in errs
// and no entry.
func entriesOf(s []rescan.Sending, errs []error) []types.SendMessageBatchRequestEntry {
	entries := make([]types.SendMessageBatchRequestEntry, 0, len(s))
	for i, one := range s {
		body, err := json.Marshal(one.Message)
		if err == nil && len(body) > maxBytes {
			err = fmt.Errorf("it has %d bytes, more than %d", len(body), maxBytes)
		}
		if err != nil {
			errs[i] = &scan.Error{Code: scan.Internal, Err: fmt.Errorf("make a message for %s: %w", one.Repo(), err)}
			continue
		}
		entries = append(entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(body)),
			MessageGroupId: aws.String(one.Group()), MessageDeduplicationId: aws.String(one.Once),
		})
	}
	return entries
}

// batches groups entries into as many as one call takes, by number and by size.
func batches(entries []types.SendMessageBatchRequestEntry) [][]types.SendMessageBatchRequestEntry {
	var all [][]types.SendMessageBatchRequestEntry
	begin, size := 0, 0
	for i, e := range entries {
		if i-begin == perCall || size+len(*e.MessageBody) > maxBytes {
			all = append(all, entries[begin:i])
			begin, size = i, 0
		}
		size += len(*e.MessageBody)
	}
	if begin < len(entries) {
		all = append(all, entries[begin:])
	}
	return all
}

// sendBatch sends the entries of one call, and sends those again that SQS could not take at first. Errors go to errs.
func (q *Queue) sendBatch(ctx context.Context, entries []types.SendMessageBatchRequestEntry, errs []error) {
	for attempt := 1; ; attempt++ {
		out, err := q.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: entries})
		if err != nil { // the client has tried again already, where that makes sense
			for _, e := range entries {
				errs[number(e.Id)] = notSent(err)
			}
			return
		}
		entries = failed(entries, out.Failed, errs)
		if len(entries) == 0 || attempt == attempts || !pause(ctx, backoff<<(attempt-1)) {
			return
		}
	}
}

// failed stores why entries were refused, removes the errors of the others, and returns those that are worth another try.
func failed(entries []types.SendMessageBatchRequestEntry, refused []types.BatchResultErrorEntry, errs []error) []types.SendMessageBatchRequestEntry {
	why := make(map[string]types.BatchResultErrorEntry, len(refused))
	for _, r := range refused {
		why[aws.ToString(r.Id)] = r
	}
	var again []types.SendMessageBatchRequestEntry
	for _, e := range entries {
		r, isRefused := why[*e.Id]
		if !isRefused {
			errs[number(e.Id)] = nil
			continue
		}
		errs[number(e.Id)] = notSent(fmt.Errorf("%s: %s", aws.ToString(r.Code), aws.ToString(r.Message)))
		if !r.SenderFault {
			again = append(again, e)
		}
	}
	return again
}

// number is the index of a message, from its entry's id.
func number(id *string) int {
	n, _ := strconv.Atoi(*id) // made from a number
	return n
}

// pause is false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func notSent(cause error) error {
	return unavailable("the queue does not take the message", fmt.Errorf("send to the queue: %w", cause))
}

func unavailable(message string, cause error) error {
	return &scan.Error{Code: scan.Unavailable, Message: message, Err: cause}
}
