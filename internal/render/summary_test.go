package render

import (
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
)

func config(repo string, tags ...string) scan.Config {
	return scan.Config{ID: "fc41dda8-f15e-4826-8908-11603b01dac4", Created: 1569927812, Region: "us-west-2", Registry: "123456789012", Repository: repo, Tags: tags}
}

func image(c scan.Config, tag string, r scan.Result) scan.Item {
	return scan.Item{Image: scan.Image{Repository: c.Repo(), Tag: tag, Digest: "sha256:" + strings.Repeat("ab", 32)}, Result: r}
}

func report(c scan.Config, images ...scan.Item) scan.Report {
	return scan.Report{Config: c, Images: images}
}

func TestSummary(t *testing.T) {
	amazon, centos, ubuntu := config("amazonlinux", "2018.03"), config("test/centos"), config("test/ubuntu", "16.04", "latest")
	hard, multi := config("test/hard"), config("test/multi")
	child := image(multi, "latest", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Low: 1}})
	child.Image.Platform = "linux/arm64"
	failed := func(repo string, err error) scan.Report {
		return scan.Report{Config: config(repo), Err: err}
	}
	golden(t, "summary.txt", Summary(scan.Overview{Reports: []scan.Report{
		report(amazon, image(amazon, "2018.03", scan.Result{State: scan.Completed, Counts: scan.Counts{}})),
		report(centos, image(centos, "7", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Low: 7, scan.High: 7, scan.Medium: 20}})),
		report(ubuntu,
			image(ubuntu, "16.04", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Informational: 19, scan.Low: 24, scan.Medium: 8}}),
			image(ubuntu, "latest", scan.Result{State: scan.Completed, Counts: scan.Counts{
				scan.Untriaged: 1, scan.Undefined: 2, scan.Informational: 3, scan.Low: 4, scan.Medium: 5, scan.High: 0, scan.Critical: 7, "BRAND NEW": 8,
			}}),
		),
		report(hard,
			image(hard, "archived", scan.Result{State: scan.NotScanned, Reason: "archived"}),
			image(hard, "failed", scan.Result{State: scan.Failed, Reason: "UnsupportedImageError: the\noperating system \x1b[31m'x'\u202e is not supported " + strings.Repeat("long ", 100)}),
			image(hard, "gone", scan.Result{State: scan.NoSuchTag}),
			image(hard, "never", scan.Result{State: scan.NotScanned}),
			image(hard, "refused", scan.Result{State: scan.Refused, Reason: "no access to inspector2:ListFindings"}),
			image(hard, "running", scan.Result{State: scan.InProgress}),
			image(hard, "silent", scan.Result{State: scan.Failed}),
			image(hard, "throttled", scan.Result{State: scan.Unread, Reason: "throttled by ECR"}),
		),
		report(multi, image(multi, "index", scan.Result{State: scan.NotScanned, Reason: "image index"}), child),
		failed("test/gone", &scan.Error{Code: scan.RepositoryNotFound, Message: "repository not found"}),
		failed("test/locked", &scan.Error{Code: scan.NoAccess, Message: "no access to ecr:DescribeImages"}),
		failed("test/dead", &scan.Error{Code: scan.Unavailable, Message: "no answer in time"}),
		failed("test/odd", &scan.Error{Code: scan.Internal, Message: "ECR refused the request"}),
		report(config("test/empty")),
	}}, scan.Filter{}))
	golden(t, "summary-filtered.txt", Summary(scan.Overview{Reports: []scan.Report{
		report(centos, image(centos, "7", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Low: 7, scan.High: 7, scan.Medium: 20}})),
		report(ubuntu, image(ubuntu, "16.04", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Low: 24}}), image(ubuntu, "7", scan.Result{State: scan.InProgress})),
		failed("test/gone", &scan.Error{Code: scan.RepositoryNotFound, Message: "repository not found"}),
	}}, scan.Filter{Severity: scan.Medium, Tags: []string{"16.04", "7"}}))
}

// What changed stands behind the counts, those of which nothing is left too, and an answer that isn't of now says of when it is.
func TestSummaryOfChanges(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	app := config("test/app")
	changed := image(app, "1", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.High: 7, scan.Low: 3, scan.Undefined: 1}})
	changed.KnownSince, changed.Changes = ago(500), []scan.CountChange{
		{At: ago(25), New: scan.Counts{scan.High: 5, scan.Critical: 1}, Fixed: scan.Counts{scan.Low: 5}},
		{At: ago(23), New: scan.Counts{scan.High: 1}, Fixed: scan.Counts{scan.Critical: 1}},
		{At: ago(1), New: scan.Counts{scan.High: 1}, Fixed: scan.Counts{scan.High: 1, scan.Medium: 2}},
	}
	old := changed
	old.Image.Tag, old.AsOf, old.AsOfReason = "2", ago(3), "ECR in us-west-2 can't be reached"
	running := image(app, "3", scan.Result{State: scan.InProgress})
	running.AsOf, running.AsOfReason = ago(2), "ECR in us-west-2 can't be reached"
	o := scan.Overview{Since: ago(24), Now: now, Reports: []scan.Report{report(app, changed, old, running)}}
	golden(t, "summary-changes.txt", Summary(o, scan.Filter{}))
	golden(t, "summary-changes-filtered.txt", Summary(o, scan.Filter{Severity: scan.High}))
}

// Only a completed scan without findings may look like one.
func TestOnlyCompletedLooksClean(t *testing.T) {
	for _, state := range []scan.State{scan.NotScanned, scan.InProgress, scan.Failed, scan.NoSuchTag, scan.Unread, scan.Refused, "", "unheard of"} {
		for _, reason := range []string{"", " ", "\x00\n"} {
			if lines := resultLines(scan.Item{Result: scan.Result{State: state, Reason: reason}}, time.Time{}); len(lines) != 1 || strings.TrimSpace(lines[0]) == "" || strings.HasSuffix(lines[0], ": ") {
				t.Errorf("state %q with reason %q is shown as %q", state, reason, lines)
			}
		}
	}
}
