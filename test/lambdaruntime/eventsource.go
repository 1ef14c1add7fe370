package lambdaruntime

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// EventSource passes the messages of an SQS FIFO queue to a function, like Lambda's event source mapping without
// ReportBatchItemFailures: in batches and to several processes at once. If the function succeeds, the batch is
// deleted. If it fails, the queue delivers the messages again after their visibility timeout. The queue keeps the
// order of a group and never delivers two batches of it at once.
type EventSource struct {
	Client   *sqs.Client
	QueueURL string
	// BatchSize is the maximum number of messages in an event, 1 to 10. Concurrency is the number of processes.
	BatchSize   int32
	Concurrency int
	// Timeout is the function's timeout.
	Timeout time.Duration
	// Start starts a process, at the beginning and when a process has ended.
	Start func() *Function
	// Received, if not nil, is called for each received message.
	Received func(types.Message)
}

// pollWait is how long one call to the queue waits for a message, in seconds.
const pollWait = 1

// Run works until ctx is done. It returns errors of the queue.
func (s *EventSource) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, s.Concurrency)
	for i := range errs {
		wg.Go(func() { errs[i] = s.poll(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *EventSource) poll(ctx context.Context) error {
	f := s.Start()
	for ctx.Err() == nil {
		f = s.running(f)
		out, err := s.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &s.QueueURL, MaxNumberOfMessages: s.BatchSize, WaitTimeSeconds: pollWait,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case len(out.Messages) == 0:
			continue
		}
		for _, m := range out.Messages {
			if s.Received != nil {
				s.Received(m)
			}
		}
		_, err = f.Invoke(ctx, SQSEvent(out.Messages), s.Timeout)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			continue
		}
		if err := s.delete(ctx, out.Messages); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// running returns f, or a new process if f has ended.
func (s *EventSource) running(f *Function) *Function {
	select {
	case <-f.exited:
		return s.Start()
	default:
		return f
	}
}

// delete deletes the messages of a batch. It ignores messages whose visibility timeout is over, because a FIFO
// queue refuses to delete them and delivers them again.
func (s *EventSource) delete(ctx context.Context, messages []types.Message) error {
	for _, m := range messages {
		_, err := s.Client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &s.QueueURL, ReceiptHandle: m.ReceiptHandle})
		if refused, ok := errors.AsType[smithy.APIError](err); ok && refused.ErrorCode() == "InvalidParameterValue" {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// SQSEvent returns the event of a batch of messages from a FIFO queue. The messages must have all attributes,
// because Lambda requests all of them.
func SQSEvent(messages []types.Message) events.SQSEvent {
	var e events.SQSEvent
	for _, m := range messages {
		e.Records = append(e.Records, events.SQSMessage{
			MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Md5OfBody: *m.MD5OfBody,
			Attributes: m.Attributes, MessageAttributes: map[string]events.SQSMessageAttribute{},
			EventSource: "aws:sqs", EventSourceARN: "arn:aws:sqs:" + region + ":" + account + ":visits.fifo", AWSRegion: region,
		})
	}
	return e
}
