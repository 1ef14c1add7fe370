package figures

import (
	"testing"
	"time"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"

	"github.com/google/go-cmp/cmp"
)

func TestTimesOf(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	completed := func(hours int) report.Item {
		return report.Item{Result: scan.Result{State: scan.Completed, CompletedAt: ago(hours)}}
	}
	inspector := func(continuous bool, hours, read int) report.Item {
		item := completed(hours)
		item.Result.Enhanced, item.Result.Continuous, item.ReadAt = true, continuous, ago(read)
		return item
	}
	in := func(state scan.State, reason string) report.Item {
		return report.Item{Result: scan.Result{State: state, Reason: reason, CompletedAt: ago(300)}}
	}
	outdated := completed(5)
	outdated.AsOf = ago(9)
	artifact := completed(500)
	artifact.Image.Kind = scan.Artifact
	for name, test := range map[string]struct {
		items []report.Item
		want  Times
	}{
		"no image":                     {nil, Times{}},
		"two basic scans":              {[]report.Item{completed(3), completed(20)}, Times{Images: 2, Oldest: ago(20), Newest: ago(3), Due: ago(-4)}},
		"no time":                      {[]report.Item{{Result: scan.Result{State: scan.Completed}}}, Times{Images: 1}},
		"ECR did not answer":           {[]report.Item{outdated}, Times{Images: 1, Oldest: ago(9), Newest: ago(9), Due: ago(-19)}},
		"no scan yet":                  {[]report.Item{{}, in(scan.NotScanned, "")}, Times{Images: 2, Waiting: true}},
		"a scan in progress":           {[]report.Item{in(scan.InProgress, ""), completed(1)}, Times{Images: 2, Oldest: ago(1), Newest: ago(1), Due: ago(-23), Running: true}},
		"images without a scan":        {[]report.Item{in(scan.Failed, "why"), in(scan.NotScanned, "archived"), in(scan.Unread, "throttled"), in(scan.NoSuchTag, ""), artifact}, Times{Images: 4}},
		"continuous scanning":          {[]report.Item{inspector(true, 900, 2), inspector(true, 3, 1)}, Times{Images: 2, Oldest: ago(2), Newest: ago(1), Enhanced: true, Continuous: true}},
		"enhanced scanning on push":    {[]report.Item{inspector(true, 900, 2), inspector(false, 90, 1)}, Times{Images: 2, Oldest: ago(90), Newest: ago(2), Enhanced: true}},
		"basic scanning and Inspector": {[]report.Item{inspector(true, 900, 2), completed(30)}, Times{Images: 2, Oldest: ago(30), Newest: ago(2), Due: ago(6), Enhanced: true, Continuous: true}},
	} {
		if diff := cmp.Diff(test.want, TimesOf([]report.Report{{Images: test.items}, {}})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
