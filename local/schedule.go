package main

import (
	"context"
	"log/slog"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// runTimeout is StartScanFunc's.
const runTimeout = 15 * time.Minute

// atLeast is between two runs of which the second comes sooner than -every says.
const atLeast = 10 * time.Minute

// schedule runs the scans now and then again and again until ctx ends, as the EventBridge rule does for StartScanFunc.
func schedule(ctx context.Context, watch *scan.Watch, every time.Duration, log *slog.Logger) {
	for {
		timer := time.NewTimer(pause(runOnce(ctx, watch, log), watch.Now(), every))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func runOnce(ctx context.Context, watch *scan.Watch, log *slog.Logger) scan.RunReport {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	report, err := watch.Run(ctx)
	if err != nil && ctx.Err() == nil {
		log.ErrorContext(ctx, "scan run failed", "error", err)
	}
	return report
}

// pause is how long to wait for the next run. An image that becomes due sooner is not left waiting: a rule that fires once in 24 hours
// would find every image just short of due, and scan it every second day.
// That is not a run for each image: between two runs there are some minutes.
func pause(last scan.RunReport, now time.Time, every time.Duration) time.Duration {
	if last.NextDue == nil {
		return every
	}
	return min(every, max(last.NextDue.Sub(now), atLeast))
}
