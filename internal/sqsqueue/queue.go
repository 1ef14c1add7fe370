// Package sqsqueue sends the messages of scan runs to an Amazon SQS queue. Receiving them is Lambda's business, and what they mean the
// domain's (package scan).
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

	"ecr-continuous-scan/internal/awsretry"
	"ecr-continuous-scan/internal/scan"
)

const (
	perCall  = 10 // the most messages that one SendMessageBatch takes
	attempts = 3
	backoff  = 100 * time.Millisecond // doubles
)

// Queue sends to one queue. It implements [scan.Queue].
type Queue struct {
	sqs *sqs.Client
	url string
}

// New makes a sender to the queue at url, which must be in cfg's Region.
func New(cfg aws.Config, url string) *Queue {
	return &Queue{sqs: sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.Retryer = awsretry.New() }), url: url}
}

// Send implements [scan.Queue].
func (q *Queue) Send(ctx context.Context, messages []scan.Message) []error {
	errs := make([]error, 0, len(messages))
	for some := range slices.Chunk(messages, perCall) {
		errs = append(errs, q.sendSome(ctx, some)...)
	}
	if !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		return nil
	}
	return errs
}

// sendSome sends as many as one call takes, and again those that SQS could not take just then.
func (q *Queue) sendSome(ctx context.Context, messages []scan.Message) []error {
	errs := make([]error, len(messages))
	entries := make([]types.SendMessageBatchRequestEntry, len(messages))
	for i, m := range messages {
		body, err := json.Marshal(m)
		if err != nil {
			return slices.Repeat([]error{fmt.Errorf("encode a message: %w", err)}, len(messages))
		}
		entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(body))}
	}
	for attempt := 1; ; attempt++ {
		out, err := q.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: entries})
		if err != nil { // tried again already, where that makes sense
			for _, e := range entries {
				errs[number(e.Id)] = unavailable(err)
			}
			return errs
		}
		entries = failed(entries, out.Failed, errs)
		if len(entries) == 0 || attempt == attempts || !pause(ctx, backoff<<(attempt-1)) {
			return errs
		}
	}
}

// failed notes why entries were refused, takes the note off the others, and gives those that are worth another try.
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
		errs[number(e.Id)] = unavailable(fmt.Errorf("%s: %s", aws.ToString(r.Code), aws.ToString(r.Message)))
		if !r.SenderFault {
			again = append(again, e)
		}
	}
	return again
}

// number is the place of a message from its entry's id.
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

func unavailable(cause error) error {
	return &scan.Error{Code: scan.Unavailable, Message: "the queue doesn't take the message", Err: fmt.Errorf("send to the queue: %w", cause)}
}
