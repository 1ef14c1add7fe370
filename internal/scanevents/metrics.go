package scanevents

import (
	"context"
	"log/slog"
	"time"

	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

// Namespace is the CloudWatch namespace of the service's metrics. Every metric has the dimension FunctionName, so that the metrics of
// several stacks are separate.
const Namespace = "ECRContinuousScan"

// The metrics. CloudWatch charges for each metric that has data, so there are only those with an alarm in the template, and each is written
// only if it can start its alarm. All other numbers are in the log.
const (
	// OldestScanAge is the age of the least recent scan of a repository, in seconds, if the scan is stale.
	OldestScanAge = "OldestScanAge"
	// VisitsCutOff counts visits that were not continued, because they reached the limit of continuations.
	VisitsCutOff = "VisitsCutOff"
	// VisitsFailed counts failed visits, and registries whose repositories could not be listed. It does not count repositories that are not found, because a config with a wrong name would
	// keep the alarm on forever.
	VisitsFailed = "VisitsFailed"
	// VisitsNotSent counts visits whose message the schedule could not send to the queue.
	VisitsNotSent = "VisitsNotSent"
)

// staleAfter is the age of a scan above which [OldestScanAge] is written. It is the threshold of its alarm.
const staleAfter = 2 * scan.RescanInterval

// AlarmMetrics returns the names of the metrics. Each has an alarm in the template.
func AlarmMetrics() []string {
	return []string{OldestScanAge, VisitsCutOff, VisitsFailed, VisitsNotSent}
}

// Metrics writes metrics to the log in CloudWatch's embedded metric format. CloudWatch extracts the metrics from the log lines, so
// that no call to AWS and no permission is needed. The log must be in JSON.
type Metrics struct {
	Log *slog.Logger
	// Function is the function's name, the value of the dimension FunctionName.
	Function string
	Now      func() time.Time
}

func (m Metrics) schedule(ctx context.Context, s rescan.ScheduleReport) {
	if s.NotSent > 0 {
		m.write(ctx, VisitsNotSent, "Count", float64(s.NotSent))
	}
	if s.NotListed > 0 {
		m.write(ctx, VisitsFailed, "Count", float64(s.NotListed))
	}
}

// visit writes the metrics of one visit. The oldest scan is known only after a complete visit.
func (m Metrics) visit(ctx context.Context, v rescan.VisitReport) {
	switch {
	case v.Outcome == rescan.VisitCutOff:
		m.write(ctx, VisitsCutOff, "Count", 1)
	case v.Outcome == rescan.VisitFailed && v.Code != scan.RepositoryNotFound:
		m.write(ctx, VisitsFailed, "Count", 1)
	case v.IsComplete() && v.OldestScan != nil && m.Now().Sub(*v.OldestScan) > staleAfter:
		m.write(ctx, OldestScanAge, "Seconds", m.Now().Sub(*v.OldestScan).Seconds())
	}
}

// The "_aws" object of the embedded metric format.
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

// write writes a log line with the value of a metric.
func (m Metrics) write(ctx context.Context, name, unit string, value float64) {
	d := directive{Namespace: Namespace, Dimensions: [][]string{{"FunctionName"}}, Metrics: []definition{{name, unit}}}
	m.Log.LogAttrs(ctx, slog.LevelInfo, "metric", slog.String("FunctionName", m.Function), slog.Float64(name, value),
		slog.Any("_aws", metadata{m.Now().UnixMilli(), []directive{d}}))
}
