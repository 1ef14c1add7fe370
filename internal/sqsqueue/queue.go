// Package sqsqueue sends messages to an Amazon SQS FIFO queue and reads how many messages wait in it.
//
// It does not receive messages, because Lambda does. Their content is defined in package rescan.
package sqsqueue

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/pace"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

const (
	perCall     = 10        // maximum number of messages of one SendMessageBatch
	maxBytes    = 256 << 10 // maximum size of one message, and of all messages of one SendMessageBatch
	callsAtOnce = 8         // maximum number of concurrent calls of SendMessageBatch in one Send
)

// Queue is one SQS queue. It implements [rescan.Queue].
type Queue struct {
	sqs *sqs.Client
	url string
}

// New returns the FIFO queue at url, which must be in cfg's Region.
func New(cfg aws.Config, url string) *Queue {
	return &Queue{sqs: sqs.NewFromConfig(cfg), url: url}
}

// Send implements [rescan.Queue]. It sends batches concurrently, so two messages for the same repository may be queued in any order.
// Errors: Unavailable; Internal for a message of more than 256 KiB.
func (q *Queue) Send(ctx context.Context, s []rescan.Sending) []error {
	errs := make([]error, len(s))
	var calls errgroup.Group
	calls.SetLimit(callsAtOnce)
	for batch := range batches(s, errs) {
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
		return 0, unavailable("can't read how many messages wait in the queue", fmt.Errorf("read the attributes of the queue: %w", err))
	}
	waiting, err := strconv.Atoi(out.Attributes[string(name)])
	if err != nil {
		return 0, unavailable("can't read how many messages wait in the queue", fmt.Errorf("read the queue's attribute %s: %w", name, err))
	}
	return waiting, nil
}

// batches returns the entries of the messages in batches that are within the limits of one call. The messages can be large, so each batch is
// made when it is needed. For a message that can't be sent, it sets the error in errs.
func batches(s []rescan.Sending, errs []error) iter.Seq[[]types.SendMessageBatchRequestEntry] {
	return func(yield func([]types.SendMessageBatchRequestEntry) bool) {
		var batch []types.SendMessageBatchRequestEntry
		size := 0
		for i, one := range s {
			var e types.SendMessageBatchRequestEntry
			if e, errs[i] = newEntry(i, one); errs[i] != nil {
				continue
			}
			if len(batch) == perCall || size+len(*e.MessageBody) > maxBytes {
				if !yield(batch) {
					return
				}
				batch, size = nil, 0
			}
			batch, size = append(batch, e), size+len(*e.MessageBody)
		}
		if len(batch) > 0 {
			yield(batch)
		}
	}
}

// newEntry returns the entry of a message. Its id is the index of the message.
func newEntry(index int, s rescan.Sending) (types.SendMessageBatchRequestEntry, error) {
	body, err := json.Marshal(s.Message)
	if err == nil && len(body) > maxBytes {
		err = fmt.Errorf("it has %d bytes, more than %d", len(body), maxBytes)
	}
	if err != nil {
		return types.SendMessageBatchRequestEntry{}, &scan.Error{Code: scan.Internal, Err: fmt.Errorf("make a message for %s: %w", s.Repo(), err)}
	}
	return types.SendMessageBatchRequestEntry{
		Id: aws.String(strconv.Itoa(index)), MessageBody: aws.String(string(body)),
		MessageGroupId: aws.String(s.Group()), MessageDeduplicationId: aws.String(s.Once),
	}, nil
}

// sendBatch sends one batch, and retries the entries that SQS temporarily refused as often as the SDK retries a call. It sets the
// errors in errs.
func (q *Queue) sendBatch(ctx context.Context, entries []types.SendMessageBatchRequestEntry, errs []error) {
	retryer := q.sqs.Options().Retryer
	for attempt := 1; ; attempt++ {
		out, err := q.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: entries})
		if err != nil { // the SDK has already retried the call if the error is retryable
			for _, e := range entries {
				errs[messageIndex(e.Id)] = notSent(err)
			}
			return
		}
		entries = failed(entries, out.Failed, errs)
		if len(entries) == 0 || attempt >= retryer.MaxAttempts() {
			return
		}
		if wait, stop := retryer.RetryDelay(attempt, errs[messageIndex(entries[0].Id)]); stop != nil || pace.Sleep(ctx, wait) != nil {
			return
		}
	}
}

// failed sets the errors of the refused entries in errs and removes the errors of the others. It returns the entries to retry.
func failed(entries []types.SendMessageBatchRequestEntry, refused []types.BatchResultErrorEntry, errs []error) []types.SendMessageBatchRequestEntry {
	errorsByID := make(map[string]types.BatchResultErrorEntry, len(refused))
	for _, r := range refused {
		errorsByID[aws.ToString(r.Id)] = r
	}
	var retry []types.SendMessageBatchRequestEntry
	for _, e := range entries {
		r, isRefused := errorsByID[*e.Id]
		if !isRefused {
			errs[messageIndex(e.Id)] = nil
			continue
		}
		errs[messageIndex(e.Id)] = notSent(fmt.Errorf("%s: %s", aws.ToString(r.Code), aws.ToString(r.Message)))
		if !r.SenderFault {
			retry = append(retry, e)
		}
	}
	return retry
}

// messageIndex returns the index of a message from the id of its entry.
func messageIndex(id *string) int {
	n, _ := strconv.Atoi(*id) // entriesOf made the id from a number
	return n
}

func notSent(cause error) error {
	return unavailable("can't send the message to the queue", fmt.Errorf("send to the queue: %w", cause))
}

func unavailable(message string, cause error) error {
	return &scan.Error{Code: scan.Unavailable, Message: message, Err: cause}
}
