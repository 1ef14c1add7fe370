// Package emf writes metrics as CloudWatch's embedded metric format: log lines that CloudWatch turns into metrics by itself, so that no call
// to AWS and no permission is needed. It needs logs in JSON, and decides nothing of what is counted.
package emf

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// Namespace is the CloudWatch namespace of the service's metrics. Each has the dimension FunctionName, so that stacks don't mix.
const Namespace = "ECRContinuousScan"

// Metrics that alarms of the template watch.
const (
	// OldestScanAge is the age of the oldest scan among the images watched, in seconds.
	OldestScanAge = "OldestScanAge"
	// ChainsCutOff is how many runs of a config were ended since they went on and on.
	ChainsCutOff = "ChainsCutOff"
)

// metric is one number.
type metric struct {
	name, unit string
	value      float64
}

func count(name string, n int) metric { return metric{name, "Count", float64(n)} }

// Log writes metrics of one function.
type Log struct {
	*slog.Logger
	// Function is the function's name, the dimension of every metric.
	Function string
	Now      func() time.Time
}

// Run writes the metrics of a scan run that one function did as a whole.
func (l Log) Run(ctx context.Context, run scan.RunReport) {
	metrics := []metric{
		count("Configs", run.Configs), count("ConfigsFailed", run.ConfigsFailed), count("ConfigsLeft", run.ConfigsLeft), count("ImagesLeft", run.Left),
	}
	l.images(ctx, "metrics of a scan run", metrics, run.Tally, run.Known)
}

// Schedule writes the metrics of what was sent to the queue.
func (l Log) Schedule(ctx context.Context, s scan.ScheduleReport) {
	l.write(ctx, "metrics of a scan schedule", nil, []metric{
		count("Configs", s.Configs), count("ConfigsLeft", s.NotSent), count("ChainsStarted", s.Sent), count("ChainsRunning", s.Running),
	})
}

// Work writes the metrics of the work on messages, of which foreign ones were none of ours. Over the messages of a chain they add up to what
// Run writes of a config; what is done again after a function was cut off is counted again.
func (l Log) Work(ctx context.Context, w scan.WorkReport, foreign int) {
	metrics := []metric{
		count("ConfigsFailed", w.ConfigsFailed), count("ChainsEnded", w.Ended), count("ChainsPassedOn", w.PassedOn), count(ChainsCutOff, w.CutOff),
		count("MessagesStale", w.Stale), count("MessagesToRetry", w.ToRetry), count("MessagesForeign", foreign),
	}
	l.images(ctx, "metrics of scan work", metrics, w.Tally, w.Known)
}

// images writes what happened to images, and what is known of them, beside other metrics.
func (l Log) images(ctx context.Context, message string, metrics []metric, t scan.Tally, known scan.Known) {
	metrics = append(metrics, count("ImagesWatched", t.Images), count("ImagesDue", t.Started+t.ImagesFailed()+t.Left),
		count("ScansStarted", t.Started), count("ImagesFailed", t.ImagesFailed()))
	if known.OldestScan != nil {
		metrics = append(metrics, metric{OldestScanAge, "Seconds", l.Now().Sub(*known.OldestScan).Seconds()})
	}
	l.write(ctx, message, nil, metrics)
	refused := maps.Clone(t.NotScannable)
	for reason, n := range t.Failed {
		refused[reason] += n
	}
	for _, reason := range slices.Sorted(maps.Keys(refused)) {
		l.write(ctx, message, []slog.Attr{slog.String("Reason", reason)}, []metric{count("ImagesRefused", refused[reason])})
	}
	for _, c := range known.Findings.Ordered() {
		l.write(ctx, message, []slog.Attr{slog.String("Severity", string(c.Severity))}, []metric{count("Findings", c.Count)})
	}
}

// The form of the "_aws" object, as CloudWatch specifies it.
type (
	metadata struct {
		Timestamp         int64 // Unix milliseconds
		CloudWatchMetrics []directive
	}
	directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []definition
	}
	definition struct{ Name, Unit string }
)

// write writes metrics that have the same dimensions, the function's name and others.
func (l Log) write(ctx context.Context, message string, dimensions []slog.Attr, metrics []metric) {
	attrs := append([]slog.Attr{slog.String("FunctionName", l.Function)}, dimensions...)
	d := directive{Namespace: Namespace, Dimensions: [][]string{{}}}
	for _, dimension := range attrs {
		d.Dimensions[0] = append(d.Dimensions[0], dimension.Key)
	}
	for _, m := range metrics {
		d.Metrics = append(d.Metrics, definition{m.name, m.unit})
		attrs = append(attrs, slog.Float64(m.name, m.value))
	}
	attrs = append(attrs, slog.Any("_aws", metadata{l.Now().UnixMilli(), []directive{d}}))
	l.LogAttrs(ctx, slog.LevelInfo, message, attrs...)
}
