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

// Log writes the metrics of a scan run: counts, without dimensions.
func Log(ctx context.Context, log *slog.Logger, run scan.RunReport) {
	metrics := []struct {
		name  string
		value int
	}{
		{"Configs", run.Configs},
		{"ConfigsFailed", run.ConfigsFailed},
		{"ConfigsLeft", run.ConfigsLeft},
		{"ImagesWatched", run.Images},
		{"ScansStarted", run.Started},
		{"ImagesFailed", run.ImagesFailed()},
		{"ImagesLeft", run.Left},
	}
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
	log.LogAttrs(ctx, slog.LevelInfo, "metrics of a scan run", attrs...)
}
