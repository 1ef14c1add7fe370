package render

import (
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/rendertest"
)

func TestSummary(t *testing.T) {
	amazon, centos, ubuntu := rendertest.Config("amazonlinux", "2018.03"), rendertest.Config("test/centos"), rendertest.Config("test/ubuntu", "16.04", "latest")
	hard, multi := rendertest.Config("test/hard"), rendertest.Config("test/multi")
	child := rendertest.Image(multi, "latest", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Low: 1}})
	child.Image.Platform = "linux/arm64"
	failed := func(repo string, err error) report.Report {
		return rendertest.Failed(rendertest.Config(repo), err)
	}
	rendertest.Golden(t, "summary.txt", Summary(report.Overview{Reports: []report.Report{
		rendertest.ReportOf(amazon, rendertest.Image(amazon, "2018.03", scan.Result{State: scan.Completed, Counts: scan.Counts{}})),
		rendertest.ReportOf(centos, rendertest.Image(centos, "7", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Low: 7, scan.High: 7, scan.Medium: 20}})),
		rendertest.ReportOf(ubuntu,
			rendertest.Image(ubuntu, "16.04", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Informational: 19, scan.Low: 24, scan.Medium: 8}}),
			rendertest.Image(ubuntu, "latest", scan.Result{State: scan.Completed, Counts: scan.Counts{
				scan.Untriaged: 1, scan.Undefined: 2, scan.Informational: 3, scan.Low: 4, scan.Medium: 5, scan.High: 0, scan.Critical: 7, "BRAND NEW": 8,
			}}),
		),
		rendertest.ReportOf(hard,
			rendertest.Image(hard, "archived", scan.Result{State: scan.NotScanned, Reason: "archived"}),
			rendertest.Image(hard, "failed", scan.Result{State: scan.Failed, Reason: "UnsupportedImageError: the\noperating system \x1b[31m'x'\u202e is not supported " + strings.Repeat("long ", 100)}),
			rendertest.Image(hard, "gone", scan.Result{State: scan.NoSuchTag}),
			rendertest.Image(hard, "never", scan.Result{State: scan.NotScanned}),
			rendertest.Image(hard, "refused", scan.Result{State: scan.Refused, Reason: "no access to inspector2:ListFindings"}),
			rendertest.Image(hard, "running", scan.Result{State: scan.InProgress}),
			rendertest.Image(hard, "silent", scan.Result{State: scan.Failed}),
			rendertest.Image(hard, "throttled", scan.Result{State: scan.Unread, Reason: "throttled by ECR"}),
		),
		rendertest.ReportOf(multi, rendertest.Image(multi, "index", scan.Result{State: scan.NotScanned, Reason: "image index"}), child),
		failed("test/gone", &scan.Error{Code: scan.RepositoryNotFound, Message: "repository not found"}),
		failed("test/locked", &scan.Error{Code: scan.NoAccess, Message: "no access to ecr:DescribeImages"}),
		failed("test/dead", &scan.Error{Code: scan.Unavailable, Message: "no answer in time"}),
		failed("test/odd", &scan.Error{Code: scan.Internal, Message: "ECR refused the request"}),
		rendertest.ReportOf(rendertest.Config("test/empty")),
	}}, scan.Filter{}))
	rendertest.Golden(t, "summary-filtered.txt", Summary(report.Overview{Reports: []report.Report{
		rendertest.ReportOf(centos, rendertest.Image(centos, "7", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Low: 7, scan.High: 7, scan.Medium: 20}})),
		rendertest.ReportOf(ubuntu, rendertest.Image(ubuntu, "16.04", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Low: 24}}), rendertest.Image(ubuntu, "7", scan.Result{State: scan.InProgress})),
		failed("test/gone", &scan.Error{Code: scan.RepositoryNotFound, Message: "repository not found"}),
	}}, scan.Filter{Severity: scan.Medium, Tags: []string{"16.04", "7"}}))
}

// Changes are after the counts, also after a count of 0. A result that is not current has a date.
func TestSummaryOfChanges(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	app := rendertest.Config("test/app")
	changed := rendertest.Image(app, "1", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.High: 7, scan.Low: 3, scan.Undefined: 1}})
	changed.KnownSince, changed.Changes = ago(500), []history.CountChange{
		{At: ago(25), New: scan.Counts{scan.High: 5, scan.Critical: 1}, Fixed: scan.Counts{scan.Low: 5}},
		{At: ago(23), New: scan.Counts{scan.High: 1}, Fixed: scan.Counts{scan.Critical: 1}},
		{At: ago(1), New: scan.Counts{scan.High: 1}, Fixed: scan.Counts{scan.High: 1, scan.Medium: 2}},
	}
	old := changed
	old.Image.Tag, old.AsOf, old.AsOfReason = "2", ago(3), "ECR in us-west-2 can't be reached"
	running := rendertest.Image(app, "3", scan.Result{State: scan.InProgress})
	running.AsOf, running.AsOfReason = ago(2), "ECR in us-west-2 can't be reached"
	clean, unknown := rendertest.Image(app, "4", scan.Result{State: scan.Completed, Suppressed: 1}), rendertest.Image(app, "5", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.High: 1}})
	old.Suppressed, clean.Suppressed, unknown.Unsuppressed = 2, 2, true
	o := report.Overview{Since: ago(24), Now: now, Reports: []report.Report{rendertest.ReportOf(app, changed, old, running, clean, unknown)}}
	rendertest.Golden(t, "summary-changes.txt", Summary(o, scan.Filter{}))
	rendertest.Golden(t, "summary-changes-filtered.txt", Summary(o, scan.Filter{Severity: scan.High}))
}

// An image without a completed scan never looks clean.
func TestOnlyCompletedScansLookClean(t *testing.T) {
	for _, state := range []scan.State{scan.NotScanned, scan.InProgress, scan.Failed, scan.NoSuchTag, scan.Unread, scan.Refused, "", "unknown state"} {
		for _, reason := range []string{"", " ", "\x00\n"} {
			if lines := resultLines(report.Item{Result: scan.Result{State: state, Reason: reason}}, time.Time{}); len(lines) != 1 || strings.TrimSpace(lines[0]) == "" || strings.HasSuffix(lines[0], ": ") {
				t.Errorf("state %q with reason %q is shown as %q", state, reason, lines)
			}
		}
	}
}
