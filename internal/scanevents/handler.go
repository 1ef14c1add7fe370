// Package scanevents answers what invokes StartScanFunc: a message of the queue, and the schedule, which is everything else, a call by hand
// included. It writes the metrics of both. What a visit does is the business of package scan.
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

// Handle visits the repository of each message; a visit that fails is logged and counted, and the next schedule repeats it, so there is nothing to
// deliver again. A schedule gets the report of what was sent. Errors: that a schedule could send nothing.
func (h *Handler) Handle(ctx context.Context, event json.RawMessage) (any, error) {
	records, ok := messagesOf(event)
	if !ok {
		return h.schedule(ctx, event)
	}
	for _, record := range records {
		h.visit(ctx, record)
	}
	return struct{}{}, nil
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

func (h *Handler) schedule(ctx context.Context, event json.RawMessage) (rescan.ScheduleReport, error) {
	report, err := h.Visitor.Schedule(ctx, onceFor(event))
	if err == nil || report.Configs > 0 { // otherwise nothing is known, and zeros would be false
		h.Metrics.schedule(ctx, report)
	}
	return report, err
}

// onceFor makes the deduplication ids of the messages of one schedule. EventBridge may deliver an event twice: both have its time, and so the
// same ids. A call by hand has none, and sends its messages in any case.
func onceFor(event json.RawMessage) func(rescan.Message) string {
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

func (h *Handler) visit(ctx context.Context, record events.SQSMessage) {
	m, err := rescan.ParseMessage([]byte(record.Body))
	if err != nil {
		h.Log.WarnContext(ctx, "dropped a message that is not of this version", "id", record.MessageId, "bytes", len(record.Body), "error", err)
		h.Metrics.dropped(ctx)
		return
	}
	report := h.Visitor.Visit(ctx, rescan.Received{Message: m, ID: record.MessageId, Sent: h.sentAt(record)})
	h.Metrics.visit(ctx, report)
}

// sentAt is when a message was sent. One without a time, which SQS never delivers, was sent now: it is not dropped for being old.
func (h *Handler) sentAt(record events.SQSMessage) time.Time {
	ms, err := strconv.ParseInt(record.Attributes["SentTimestamp"], 10, 64)
	if err != nil {
		return h.Visitor.Now()
	}
	return time.UnixMilli(ms)
}
