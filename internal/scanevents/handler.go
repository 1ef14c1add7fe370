// Package scanevents answers what invokes StartScanFunc: batches of SQS messages, and the schedule, which is everything else, a call by hand
// included. What is due and what is started is the domain's business (package scan).
package scanevents

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/aws/aws-lambda-go/events"

	"ecr-continuous-scan/internal/emf"
	"ecr-continuous-scan/internal/scan"
)

// Handler handles the events of StartScanFunc.
type Handler struct {
	Watch *scan.Watch
	// Chains is nil when there is no queue: then the schedule does the whole run by itself.
	Chains *scan.Chains
	Log    *slog.Logger
	// Function is the name of the function, for its metrics.
	Function string
}

func (h *Handler) metrics() emf.Log {
	return emf.Log{Logger: h.Log, Function: h.Function, Now: h.Watch.Now}
}

// Handle gives SQS the messages to deliver again, and a schedule the report of what was done or sent. An error is for what failed as a whole.
func (h *Handler) Handle(ctx context.Context, event json.RawMessage) (any, error) {
	records, ok := messagesOf(event)
	switch {
	case ok && h.Chains == nil:
		return nil, errors.New("messages of a queue, and no queue is set to send on to")
	case ok:
		return h.work(ctx, records), nil
	case h.Chains != nil:
		return h.schedule(ctx)
	}
	return h.run(ctx)
}

// messagesOf is the messages of an event that comes from SQS.
func messagesOf(event json.RawMessage) ([]events.SQSMessage, bool) {
	var e events.SQSEvent
	if json.Unmarshal(event, &e) != nil || len(e.Records) == 0 {
		return nil, false
	}
	for _, record := range e.Records {
		if record.EventSource != "aws:sqs" {
			return nil, false
		}
	}
	return e.Records, true
}

func (h *Handler) run(ctx context.Context) (scan.RunReport, error) {
	report, err := h.Watch.Run(ctx)
	if err == nil || report.Configs > 0 { // otherwise nothing is known, and zeros would be false
		h.metrics().Run(ctx, report)
	}
	return report, err
}

func (h *Handler) schedule(ctx context.Context) (scan.ScheduleReport, error) {
	report, err := h.Chains.Schedule(ctx)
	if err == nil || report.Configs > 0 {
		h.metrics().Schedule(ctx, report)
	}
	return report, err
}

// work says of each message by itself whether it failed. One that is none of ours never gets better: it is dropped.
func (h *Handler) work(ctx context.Context, records []events.SQSMessage) events.SQSEventResponse {
	var (
		messages []scan.Message
		ids      []string
		foreign  int
	)
	for _, record := range records {
		m, err := scan.ParseMessage([]byte(record.Body))
		if err != nil {
			h.Log.ErrorContext(ctx, "dropped a message that is none of ours", "message", record.MessageId, "bytes", len(record.Body), "error", err)
			foreign++
			continue
		}
		messages, ids = append(messages, m), append(ids, record.MessageId)
	}
	report, errs := h.Chains.Work(ctx, messages)
	h.metrics().Work(ctx, report, foreign)
	answer := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for i, err := range errs {
		if err != nil {
			answer.BatchItemFailures = append(answer.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: ids[i]})
		}
	}
	return answer
}
