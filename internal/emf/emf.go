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

// Metrics of a scan run that alarms of the template watch.
const (
	// OldestScanAge is the age of the oldest scan among the images watched, in seconds.
	OldestScanAge = "OldestScanAge"
	// ImagesFailed is how many images could have been scanned and were not.
	ImagesFailed = "ImagesFailed"
)

// metric is one number of a run.
type metric struct {
	name, unit string
	value      float64
}

// Log writes the metrics of a scan run of a function, as of now.
func Log(ctx context.Context, log *slog.Logger, function string, run scan.RunReport, now time.Time) {
	count := func(name string, n int) metric { return metric{name, "Count", float64(n)} }
	metrics := []metric{
		count("Configs", run.Configs), count("ConfigsFailed", run.ConfigsFailed), count("ConfigsLeft", run.ConfigsLeft),
		count("ImagesWatched", run.Images), count("ImagesDue", run.Started+run.ImagesFailed()+run.Left), count("ScansStarted", run.Started),
		count(ImagesFailed, run.ImagesFailed()), count("ImagesLeft", run.Left),
	}
	if run.OldestScan != nil {
		metrics = append(metrics, metric{OldestScanAge, "Seconds", now.Sub(*run.OldestScan).Seconds()})
	}
	line := func(metrics []metric, dimensions ...slog.Attr) {
		write(ctx, log, now, append([]slog.Attr{slog.String("FunctionName", function)}, dimensions...), metrics)
	}
	line(metrics)
	refused := maps.Clone(run.NotScannable)
	for reason, n := range run.Failed {
		refused[reason] += n
	}
	for _, reason := range slices.Sorted(maps.Keys(refused)) {
		line([]metric{count("ImagesRefused", refused[reason])}, slog.String("Reason", reason))
	}
	for _, c := range run.Findings.Ordered() {
		line([]metric{count("Findings", c.Count)}, slog.String("Severity", string(c.Severity)))
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

func write(ctx context.Context, log *slog.Logger, now time.Time, dimensions []slog.Attr, metrics []metric) {
	d := directive{Namespace: Namespace, Dimensions: [][]string{{}}}
	attrs := slices.Clone(dimensions)
	for _, dimension := range dimensions {
		d.Dimensions[0] = append(d.Dimensions[0], dimension.Key)
	}
	for _, m := range metrics {
		d.Metrics = append(d.Metrics, definition{m.name, m.unit})
		attrs = append(attrs, slog.Float64(m.name, m.value))
	}
	attrs = append(attrs, slog.Any("_aws", metadata{now.UnixMilli(), []directive{d}}))
	log.LogAttrs(ctx, slog.LevelInfo, "metrics of a scan run", attrs...)
}
