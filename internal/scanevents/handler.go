// Package scanevents handles the events of StartScanFunc. An event from SQS contains messages that request visits, or the
// schedule of one config. Every other event
// starts a schedule, also a manual invocation. The package writes the metrics of both.
//
// It does not visit repositories (package rescan).
package scanevents

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"

	"ecr-continuous-scan/internal/rescan"
)

// Handler handles the events of StartScanFunc.
type Handler struct {
	Visitor *rescan.Visitor
	Metrics Metrics
	Log     *slog.Logger
}

// Handle handles each message, or sends the messages of a schedule. For messages it never returns an error, which
// would make SQS deliver them again: a failed visit is logged and counted, and the next schedule repeats it. For a schedule it
// returns the report, and an error if the schedule failed and sent no message.
func (h *Handler) Handle(ctx context.Context, event json.RawMessage) (any, error) {
	records, ok := messagesOf(event)
	if !ok {
		return h.schedule(ctx, event)
	}
	for _, record := range records {
		h.message(ctx, record)
	}
	return struct{}{}, nil
}

// messagesOf returns the messages of an event from SQS, and false for every other event.
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

func (h *Handler) scheduleConfig(ctx context.Context, id string) {
	report, err := h.Visitor.ScheduleConfig(ctx, id, func(rescan.Message) string { return uuid.NewString() })
	h.Metrics.schedule(ctx, report)
	if err != nil {
		h.Log.ErrorContext(ctx, "could not request the visits of a config; the next schedule requests them", "config", id, "error", err)
	}
}

func (h *Handler) schedule(ctx context.Context, event json.RawMessage) (rescan.ScheduleReport, error) {
	report, err := h.Visitor.Schedule(ctx, deduplicationIDs(event))
	h.Metrics.schedule(ctx, report)
	return report, err
}

// deduplicationIDs returns the function that makes the deduplication ids of the messages of one schedule. EventBridge may deliver an
// event twice. Both deliveries have the same time and get the same ids, so SQS drops the messages of the second one. A manual
// invocation has no time and gets random ids, so that its messages are never dropped.
func deduplicationIDs(event json.RawMessage) func(rescan.Message) string {
	var e events.EventBridgeEvent
	if json.Unmarshal(event, &e) != nil || e.Time.IsZero() {
		return func(rescan.Message) string { return uuid.NewString() }
	}
	at := strconv.FormatInt(e.Time.Unix(), 10)
	return func(m rescan.Message) string {
		sum := sha256.Sum256([]byte(m.Group() + " " + at))
		return hex.EncodeToString(sum[:])
	}
}

func (h *Handler) message(ctx context.Context, record events.SQSMessage) {
	m, err := rescan.ParseMessage([]byte(record.Body))
	if err != nil {
		h.Log.WarnContext(ctx, "dropped an invalid queue message", "id", record.MessageId, "bytes", len(record.Body), "error", err)
		return
	}
	if m.Schedule != "" {
		h.scheduleConfig(ctx, m.Schedule)
		return
	}
	report := h.Visitor.Visit(ctx, rescan.Received{Message: m, ID: record.MessageId, Sent: h.sentAt(record)})
	h.Metrics.visit(ctx, report)
}

// sentAt returns when a message was sent. For a message without a valid time it returns the current time, so that the visit does not
// drop it as stale. SQS always sets the time.
func (h *Handler) sentAt(record events.SQSMessage) time.Time {
	ms, err := strconv.ParseInt(record.Attributes["SentTimestamp"], 10, 64)
	if err != nil {
		return h.Visitor.Now()
	}
	return time.UnixMilli(ms)
}
