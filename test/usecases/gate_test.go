package usecases

import (
	stdcmp "cmp"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/gate"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	fresh := now.Add(-25 * time.Hour)
	done := func(at time.Time, counts scan.Counts) report.Item {
		return report.Item{Result: scan.Result{State: scan.Completed, CompletedAt: at, Counts: counts}}
	}
	last := func(asOf time.Time) report.Item {
		return report.Item{Result: scan.Result{State: scan.Completed, CompletedAt: now.Add(-time.Hour)}, AsOf: asOf, AsOfReason: "throttled by ECR"}
	}
	continuous := func(readAt time.Time) report.Item { // Amazon Inspector watches the image, and nothing has changed for a month
		return report.Item{
			Result: scan.Result{State: scan.Completed, CompletedAt: now.Add(-30 * 24 * time.Hour), Enhanced: true, Continuous: true},
			ReadAt: stdcmp.Or(readAt, now),
		}
	}
	for name, test := range map[string]struct {
		max  scan.Severity
		item report.Item
		want []string
	}{
		"clean":                         {scan.Untriaged, done(fresh, scan.Counts{}), nil},
		"at the maximum":                {scan.Medium, done(fresh, scan.Counts{scan.Medium: 3, scan.Low: 1}), nil},
		"above it":                      {scan.Medium, done(fresh, scan.Counts{scan.High: 1, scan.Medium: 3}), []string{gate.AboveMax}},
		"counts of zero":                {scan.Medium, done(fresh, scan.Counts{scan.High: 0}), nil},
		"undefined is low":              {scan.Informational, done(fresh, scan.Counts{scan.Undefined: 1, scan.Untriaged: 1}), nil},
		"untriaged is lower":            {scan.Undefined, done(fresh, scan.Counts{scan.Untriaged: 1}), nil},
		"undefined above untriaged":     {scan.Untriaged, done(fresh, scan.Counts{scan.Undefined: 1}), []string{gate.AboveMax}},
		"informational above undefined": {scan.Undefined, done(fresh, scan.Counts{scan.Informational: 1}), []string{gate.AboveMax}},
		"an unknown severity":           {scan.Critical, done(fresh, scan.Counts{"SEVERE": 1}), []string{gate.AboveMax}},
		"exactly 48 hours old":          {scan.Critical, done(now.Add(-48*time.Hour), scan.Counts{}), nil},
		"a second older":                {scan.Critical, done(now.Add(-48*time.Hour-time.Second), scan.Counts{}), []string{gate.Stale}},
		"at an unknown time":            {scan.Critical, done(time.Time{}, scan.Counts{}), []string{gate.Stale}},
		"stale and above":               {scan.Low, done(now.Add(-72*time.Hour), scan.Counts{scan.Critical: 1}), []string{gate.Stale, gate.AboveMax}},
		"a recorded result":             {scan.Critical, last(now.Add(-10 * time.Minute)), []string{string(scan.Unread)}},
		"an old recorded result":        {scan.Critical, last(now.Add(-49 * time.Hour)), []string{string(scan.Unread)}},
		"continuous, scanned long ago":  {scan.Critical, continuous(time.Time{}), nil},
		"continuous, read long ago":     {scan.Critical, continuous(now.Add(-49 * time.Hour)), []string{gate.Stale}},
		"not scanned":                   {scan.Critical, report.Item{Result: scan.Result{State: scan.NotScanned, Reason: "archived", Counts: scan.Counts{}}}, []string{"not scanned"}},
		"no state":                      {scan.Critical, report.Item{Result: scan.Result{}}, []string{"not scanned"}},
		"in progress":                   {scan.Critical, report.Item{Result: scan.Result{State: scan.InProgress, CompletedAt: fresh}}, []string{"in progress"}},
		"failed":                        {scan.Critical, report.Item{Result: scan.Result{State: scan.Failed}}, []string{"failed"}},
		"no such tag":                   {scan.Critical, report.Item{Result: scan.Result{State: scan.NoSuchTag}}, []string{"tag not found"}},
		"unread":                        {scan.Critical, report.Item{Result: scan.Result{State: scan.Unread}}, []string{"unavailable"}},
		"refused":                       {scan.Critical, report.Item{Result: scan.Result{State: scan.Refused}}, []string{"no access"}},
	} {
		good := done(fresh, scan.Counts{})
		v := gate.Evaluate([]report.Report{{Images: []report.Item{good, test.item}}}, gate.Request{Max: test.max}, now)
		var got []string
		for _, o := range v.Failures {
			got = append(got, o.Reason)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || v.Images != 2 {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for name, test := range map[string]struct {
		report report.Report
		want   string
	}{
		"no images":  {report.Report{}, string(report.NoImages)},
		"not found":  {report.Report{Err: &scan.Error{Code: scan.RepositoryNotFound}}, string(scan.RepositoryNotFound)},
		"unreadable": {report.Report{Err: io.EOF}, string(scan.Internal)},
	} {
		if v := gate.Evaluate([]report.Report{test.report}, gate.Request{Max: scan.Critical}, now); len(v.Failures) != 1 || v.Failures[0].Reason != test.want || v.Failures[0].Image != nil {
			t.Errorf("%s: %+v", name, v.Failures)
		}
	}
}

// A gate checks one config, and only the given tags if there are any.
func TestGateReadsOneConfig(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{
		"app":   {{Tag: "a", Digest: "good"}, {Tag: "b", Digest: "bad"}, {Tag: "c", Digest: "good"}, {Tag: "sig", Digest: "s", Kind: scan.Artifact}},
		"other": {{Tag: "1", Digest: "bad"}},
	}}
	w := newService(r, config("all", "app"), config("some", "app", "a", "b"), config("other", "other"))
	r.results = map[string]scan.Result{"good": completed(w, time.Hour, scan.Counts{scan.Low: 1}), "bad": completed(w, time.Hour, scan.Counts{scan.High: 1})}
	for name, test := range map[string]struct {
		id     string
		tags   []string
		images int
		want   []string // the tags that fail, with the reason
	}{
		"all":                     {"all", nil, 3, []string{"b: above max"}},
		"one passing tag":         {"all", []string{"a"}, 1, nil},
		"a missing tag":           {"all", []string{"a", "none"}, 2, []string{"none: tag not found"}},
		"not an image":            {"all", []string{"sig"}, 1, []string{"sig: tag not found"}},
		"some":                    {"some", nil, 2, []string{"b: above max"}},
		"one passing watched tag": {"some", []string{"a"}, 1, nil},
		"one tag is not watched":  {"some", []string{"a", "c"}, 2, []string{"c: tag not found"}},
		"the tag is not watched":  {"some", []string{"c"}, 1, []string{"c: tag not found"}},
		"a tag of another config": {"other", []string{"a"}, 1, []string{"a: tag not found"}},
	} {
		v, err := w.Gate(t.Context(), test.id, gate.Request{Max: scan.Low, Filter: scan.Filter{Tags: test.tags}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range v.Failures {
			got = append(got, o.Image.Label()+": "+o.Reason)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || v.Images != test.images || v.Config.ID != test.id {
			t.Errorf("%s: %d images (-want +got):\n%s", name, v.Images, diff)
		}
	}
	if _, err := w.Gate(t.Context(), "nobody's", gate.Request{Max: scan.Low}); scan.CodeOf(err) != scan.NotFound {
		t.Errorf("an unknown config: %v", err)
	}
}

// Amazon Inspector scans an image with the status ACTIVE whenever something changes. So a quiet image passes for ever. A scan on
// push, with the status COMPLETE, becomes stale.
func TestContinuousScansAreNotStale(t *testing.T) {
	r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "1", Digest: "active"}, {Tag: "2", Digest: "pushed"}}}}
	w := newService(r, config("all", "app"))
	active, pushed := completed(w, time.Hour, scan.Counts{}), completed(w, time.Hour, scan.Counts{})
	active.Enhanced, active.Continuous, pushed.Enhanced = true, true, true
	r.results = map[string]scan.Result{"active": active, "pushed": pushed}
	w.visit(t, "app", "all")
	w.advance(72 * time.Hour)
	w.visit(t, "app", "all")
	for tag, want := range map[string]int{"1": 0, "2": 1} {
		v, err := w.Gate(t.Context(), "all", gate.Request{Max: scan.Critical, Filter: scan.Filter{Tags: []string{tag}}})
		if err != nil || len(v.Failures) != want {
			t.Errorf("gate of %s: %+v, %v", tag, v.Failures, err)
		}
		current, err := w.Current(t.Context(), "all", []string{tag})
		if err != nil || current.Images[0].Stale(w.Now()) != (want > 0) {
			t.Errorf("stale %s: %+v, %v", tag, current.Images[0], err)
		}
	}
}
