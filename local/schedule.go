package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"ecr-continuous-scan/internal/rescan"
)

// The template's settings for StartScanFunc: how many repositories are visited at once, and the time limit of one
// visit.
const (
	visitsAtOnce = 5
	visitTime    = 5 * time.Minute
)

// schedule sends a visit of each repository to the queue at the start and then every `every` until ctx is done, as
// the EventBridge rule does.
func schedule(ctx context.Context, visitor *rescan.Visitor, every time.Duration, log *slog.Logger) {
	for {
		scheduleOnce(ctx, visitor, log)
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func scheduleOnce(ctx context.Context, visitor *rescan.Visitor, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, visitTime)
	defer cancel()
	_, err := visitor.Schedule(ctx, once)
	if err != nil && ctx.Err() == nil {
		log.ErrorContext(ctx, "schedule failed", "error", err)
	}
}

// visit returns the handler of the queue's messages. A visit that is running when ctx is done stops early. The next
// start repeats it.
func visit(visitor *rescan.Visitor) func(context.Context, rescan.Received) {
	return func(ctx context.Context, m rescan.Received) {
		ctx, cancel := context.WithTimeout(ctx, visitTime)
		defer cancel()
		if m.Schedule == "" {
			visitor.Visit(ctx, m)
			return
		}
		if _, err := visitor.ScheduleConfig(ctx, m.Schedule, once); err != nil && ctx.Err() == nil {
			visitor.Log.ErrorContext(ctx, "could not request the visits of a config; the next schedule requests them", "config", m.Schedule, "error", err)
		}
	}
}

// once returns the deduplication id of a message. The queue ignores it.
func once(rescan.Message) string { return uuid.NewString() }
