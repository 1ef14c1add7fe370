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

// Namespace is the CloudWatch namespace of the service's metrics. Each has the dimension FunctionName, so that stacks don't mix.
const Namespace = "ECRContinuousScan"

// Metrics that alarms of the template watch.
const (
	// OldestScanAge is the age of the oldest scan among the images watched, in seconds.
	OldestScanAge = "OldestScanAge"
	// VisitsCutOff is how many times too many visits continued one another.
	VisitsCutOff = "VisitsCutOff"
	// VisitsFailed is how many visits failed. A repository that is not found is no failure: a config with a wrong name would raise the alarm
	// for ever.
	VisitsFailed = "VisitsFailed"
	// VisitsNotSent is how many visits were not asked for that should have been.
	VisitsNotSent = "VisitsNotSent"
)

// AlarmMetrics lists the metrics that alarms of the template watch.
func AlarmMetrics() []string {
	return []string{OldestScanAge, VisitsCutOff, VisitsFailed, VisitsNotSent}
}

// Metrics writes metrics as CloudWatch's embedded metric format: log lines that CloudWatch turns into metrics by itself, so that no call to
// AWS and no permission is needed. It needs logs in JSON.
type Metrics struct {
	Log *slog.Logger
	// Function is the function's name, the dimension of every metric.
	Function string
	Now      func() time.Time
}

// metric is one number.
type metric struct {
	name, unit string
	value      float64
}

func count(name string, n int) metric { return metric{name, "Count", float64(n)} }

// is counts 1 for what is so.
func is(name string, so bool) metric {
	if so {
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

// visit writes the metrics of one visit. What is known of all images is written only by a visit that leaves nothing: one that is continued
// would count them again and again.
func (m Metrics) visit(ctx context.Context, v rescan.VisitReport) {
	const message = "metrics of a visit"
	failed := v.Outcome == rescan.VisitFailed
	metrics := []metric{
		is("VisitsEnded", v.Outcome == rescan.VisitEnded), is("VisitsContinued", v.Outcome == rescan.VisitContinued), is(VisitsCutOff, v.Outcome == rescan.VisitCutOff),
		is(VisitsFailed, failed && v.Code != scan.RepositoryNotFound), is("MessagesDropped", v.Outcome == rescan.VisitDropped),
		count("ImagesDue", v.Started+v.ImagesFailed()+v.Left), count("ScansStarted", v.Started), count("ImagesFailed", v.ImagesFailed()),
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

// refusedBy counts images by reason. A reason is a dimension, of which CloudWatch makes a metric each: those with a number in them are one.
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
func (m Metrics) write(ctx context.Context, message string, dimensions []slog.Attr, metrics []metric) {
	attrs := append([]slog.Attr{slog.String("FunctionName", m.Function)}, dimensions...)
	d := directive{Namespace: Namespace, Dimensions: [][]string{{}}}
	for _, dimension := range attrs {
		d.Dimensions[0] = append(d.Dimensions[0], dimension.Key)
	}
	for _, one := range metrics {
		d.Metrics = append(d.Metrics, definition{one.name, one.unit})
		attrs = append(attrs, slog.Float64(one.name, one.value))
	}
	attrs = append(attrs, slog.Any("_aws", metadata{m.Now().UnixMilli(), []directive{d}}))
	m.Log.LogAttrs(ctx, slog.LevelInfo, message, attrs...)
}
