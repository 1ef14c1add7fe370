package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"ecr-continuous-scan/internal/rescan"
)

// What StartScanFunc has in the template: how many repositories are visited at once, and how long one visit may take.
const (
	visitsAtOnce = 5
	visitTime    = 5 * time.Minute
)

// schedule asks for a visit of each repository now and then again and again until ctx ends, as the EventBridge rule does.
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
	_, err := visitor.Schedule(ctx, func(rescan.Message) string { return uuid.NewString() })
	if err != nil && ctx.Err() == nil {
		log.ErrorContext(ctx, "schedule failed", "error", err)
	}
}

// visit does the visits that the queue asks for. One that is under way when ctx ends stops early, and is done again at the next start.
func visit(visitor *rescan.Visitor) func(context.Context, rescan.Received) {
	return func(ctx context.Context, m rescan.Received) {
		ctx, cancel := context.WithTimeout(ctx, visitTime)
		defer cancel()
		visitor.Visit(ctx, m)
	}
}
