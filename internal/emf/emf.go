// Package emf writes metrics as CloudWatch's embedded metric format: a log line that CloudWatch turns into metrics by itself, so that no
// call to AWS and no permission is needed. It needs logs in JSON.
package emf

import (
	"context"
	"log/slog"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// Namespace is the CloudWatch namespace of the service's metrics.
const Namespace = "ECRContinuousScan"

// metric is one count, without dimensions.
type metric struct {
	name  string
	value int
}

// Run writes the metrics of a scan run that one function did as a whole.
func Run(ctx context.Context, log *slog.Logger, run scan.RunReport) {
	write(ctx, log, "metrics of a scan run", []metric{
		{"Configs", run.Configs},
		{"ConfigsFailed", run.ConfigsFailed},
		{"ConfigsLeft", run.ConfigsLeft},
		{"ImagesWatched", run.Images},
		{"ScansStarted", run.Started},
		{"ImagesFailed", run.ImagesFailed()},
		{"ImagesLeft", run.Left},
	})
}

// Schedule writes the metrics of what was sent to the queue.
func Schedule(ctx context.Context, log *slog.Logger, s scan.ScheduleReport) {
	write(ctx, log, "metrics of a scan schedule", []metric{
		{"Configs", s.Configs},
		{"ConfigsLeft", s.NotSent},
		{"ChainsStarted", s.Sent},
		{"ChainsRunning", s.Running},
	})
}

// Work writes the metrics of the work on messages, of which foreign ones were none of ours. Over the messages of a chain they add up to what
// Run writes of a config.
func Work(ctx context.Context, log *slog.Logger, w scan.WorkReport, foreign int) {
	write(ctx, log, "metrics of scan work", []metric{
		{"ConfigsFailed", w.ConfigsFailed},
		{"ImagesWatched", w.Images},
		{"ScansStarted", w.Started},
		{"ImagesFailed", w.ImagesFailed()},
		{"ChainsEnded", w.Ended},
		{"ChainsPassedOn", w.PassedOn},
		{"ChainsCutOff", w.CutOff},
		{"MessagesStale", w.Stale},
		{"MessagesToRetry", w.ToRetry},
		{"MessagesForeign", foreign},
	})
}

func write(ctx context.Context, log *slog.Logger, message string, metrics []metric) {
	type definition struct {
		Name string
		Unit string
	}
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []definition
	}
	d := directive{Namespace: Namespace, Dimensions: [][]string{{}}}
	attrs := make([]slog.Attr, 0, len(metrics)+1)
	for _, m := range metrics {
		d.Metrics = append(d.Metrics, definition{m.name, "Count"})
		attrs = append(attrs, slog.Int(m.name, m.value))
	}
	attrs = append(attrs, slog.Any("_aws", struct {
		Timestamp         int64
		CloudWatchMetrics []directive
	}{time.Now().UnixMilli(), []directive{d}}))
	log.LogAttrs(ctx, slog.LevelInfo, message, attrs...)
}
