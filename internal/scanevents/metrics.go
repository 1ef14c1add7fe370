package scanevents

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

// Namespace is the CloudWatch namespace of the service's metrics. Every metric has the dimension FunctionName, so that the metrics of
// several stacks are separate.
const Namespace = "ECRContinuousScan"

// Metrics with an alarm in the template.
const (
	// OldestScanAge is the age of the least recent scan of all watched images, in seconds.
	OldestScanAge = "OldestScanAge"
	// VisitsCutOff counts visits that were not continued, because they reached the limit of continuations.
	VisitsCutOff = "VisitsCutOff"
	// VisitsFailed counts failed visits. It does not count repositories that are not found, because a config with a wrong name would
	// keep the alarm on forever.
	VisitsFailed = "VisitsFailed"
	// VisitsNotSent counts visits whose message could not be sent to the queue.
	VisitsNotSent = "VisitsNotSent"
)

// AlarmMetrics returns the names of the metrics with an alarm in the template.
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

// metric is the value of one metric.
type metric struct {
	name, unit string
	value      float64
}

func count(name string, n int) metric { return metric{name, "Count", float64(n)} }

// flag is a count of 1 if set, otherwise 0.
func flag(name string, set bool) metric {
	if set {
		return count(name, 1)
	}
	return count(name, 0)
}

func (m Metrics) schedule(ctx context.Context, s rescan.ScheduleReport) {
	m.write(ctx, "metrics of a schedule", nil, []metric{
		count("Configs", s.Configs), count("VisitsSent", s.Sent), count(VisitsNotSent, s.NotSent), count("MessagesWaiting", s.Waiting),
	})
}

func (m Metrics) dropped(ctx context.Context) {
	m.write(ctx, "metrics of a message", nil, []metric{count("MessagesDropped", 1)})
}

// NotSent counts a visit that was not requested.
func (m Metrics) NotSent(ctx context.Context) {
	m.write(ctx, "metrics of a request", nil, []metric{count(VisitsNotSent, 1)})
}

// visit writes the metrics of one visit. It writes the metrics of all images only for a complete visit, because a continued visit
// would count the same images several times.
func (m Metrics) visit(ctx context.Context, v rescan.VisitReport) {
	const message = "metrics of a visit"
	failed := v.Outcome == rescan.VisitFailed
	metrics := []metric{
		flag("VisitsEnded", v.Outcome == rescan.VisitEnded), flag("VisitsContinued", v.Outcome == rescan.VisitContinued), flag(VisitsCutOff, v.Outcome == rescan.VisitCutOff),
		flag(VisitsFailed, failed && v.Code != scan.RepositoryNotFound), flag("MessagesDropped", v.Outcome == rescan.VisitDropped),
		count("ImagesDue", v.Started+v.ImagesFailed()+v.NotReached), count("ScansStarted", v.Started), count("ImagesFailed", v.ImagesFailed()),
	}
	if failed {
		metrics = append(metrics, count("ConfigsFailed", v.Configs))
	}
	if v.IsComplete() {
		metrics = append(metrics, count("ImagesWatched", v.Images))
	}
	if v.IsComplete() && v.OldestScan != nil {
		metrics = append(metrics, metric{OldestScanAge, "Seconds", m.Now().Sub(*v.OldestScan).Seconds()})
	}
	m.write(ctx, message, nil, metrics)
	refused := refusedBy(v.Tally)
	for _, reason := range slices.Sorted(maps.Keys(refused)) {
		m.write(ctx, message, []slog.Attr{slog.String("Reason", reason)}, []metric{count("ImagesRefused", refused[reason])})
	}
	if !v.IsComplete() {
		return
	}
	for _, c := range v.Findings.Ordered() {
		m.write(ctx, message, []slog.Attr{slog.String("Severity", string(c.Severity))}, []metric{count("Findings", c.Count)})
	}
}

// refusedBy counts the images that could not be scanned, by reason. The reason is a dimension, and CloudWatch makes one metric of each of its
// values. To limit their number, reasons that differ only in a number become one.
func refusedBy(t rescan.Tally) map[string]int {
	refused := make(map[string]int, len(t.NotScannable)+len(t.Failed))
	for _, counts := range []map[string]int{t.NotScannable, t.Failed} {
		for reason, n := range counts {
			if strings.HasPrefix(reason, "image index of ") {
				reason = "image index of too many images"
			}
			refused[reason] += n
		}
	}
	return refused
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

// write writes one log line with metrics that have the same dimensions. It adds the dimension FunctionName.
func (m Metrics) write(ctx context.Context, message string, dimensions []slog.Attr, metrics []metric) {
	attrs := append([]slog.Attr{slog.String("FunctionName", m.Function)}, dimensions...)
	d := directive{Namespace: Namespace, Dimensions: [][]string{{}}}
	for _, dimension := range attrs {
		d.Dimensions[0] = append(d.Dimensions[0], dimension.Key)
	}
	for _, each := range metrics {
		d.Metrics = append(d.Metrics, definition{each.name, each.unit})
		attrs = append(attrs, slog.Float64(each.name, each.value))
	}
	attrs = append(attrs, slog.Any("_aws", metadata{m.Now().UnixMilli(), []directive{d}}))
	m.Log.LogAttrs(ctx, slog.LevelInfo, message, attrs...)
}
