package report

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"

	"github.com/google/go-cmp/cmp"
)

func config(id, repo string) scan.Config {
	return scan.Config{ID: id, Region: "us-west-2", Registry: "123456789012", Repository: repo}
}

func TestNarrow(t *testing.T) {
	image := func(tag string, r scan.Result) Item { return Item{Image: scan.Image{Tag: tag}, Result: r} }
	given := func() []Report {
		return []Report{
			{Config: config("1", "app"), Images: []Item{
				image("a", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.High: 1, scan.Low: 2}}), image("b", scan.Result{State: scan.Completed, Counts: scan.Counts{scan.Low: 2, scan.Medium: 0}}),
				image("c", scan.Result{State: scan.Completed}), image("d", scan.Result{State: scan.Failed}), image("e", scan.Result{State: scan.NotScanned}),
			}},
			{Config: config("2", "gone"), Err: &scan.Error{Code: scan.RepositoryNotFound}},
			{Config: config("3", "empty")},
			{Config: config("4", "clean"), Images: []Item{image("a", scan.Result{State: scan.Completed})}},
		}
	}
	for name, test := range map[string]struct {
		filter scan.Filter
		want   []string
	}{
		"no filter": {scan.Filter{}, []string{
			"1: a map[HIGH:1 LOW:2]", "1: b map[LOW:2 MEDIUM:0]", "1: c map[]", "1: d map[]", "1: e map[]", "2: repository not found", "3: none", "4: a map[]",
		}},
		"severity": {scan.Filter{Severity: scan.Medium}, []string{"1: a map[HIGH:1]", "1: d map[]", "1: e map[]", "2: repository not found", "3: none"}},
		"tag":      {scan.Filter{Tags: []string{"a", "c"}}, []string{"1: a map[HIGH:1 LOW:2]", "1: c map[]", "2: repository not found", "3: none", "4: a map[]"}},
		"both":     {scan.Filter{Severity: scan.Medium, Tags: []string{"b", "d"}}, []string{"1: d map[]", "2: repository not found", "3: none"}},
		"no match": {scan.Filter{Tags: []string{"x"}}, []string{"2: repository not found", "3: none"}},
	} {
		reports := given()
		if diff := cmp.Diff(test.want, counted(Narrow(reports, test.filter))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(counted(given()), counted(reports)); diff != "" {
			t.Errorf("%s: the given reports changed (-was +is):\n%s", name, diff)
		}
	}
}

// counted returns the reports as lines such as "config: tag counts".
func counted(reports []Report) []string {
	var lines []string
	for _, r := range reports {
		switch {
		case r.Err != nil:
			lines = append(lines, fmt.Sprintf("%s: %s", r.Config.ID, scan.CodeOf(r.Err)))
		case len(r.Images) == 0:
			lines = append(lines, r.Config.ID+": none")
		}
		for _, item := range r.Images {
			lines = append(lines, fmt.Sprintf("%s: %s %v", r.Config.ID, item.Image.Tag, item.Result.Counts))
		}
	}
	return lines
}

func TestNarrowByRepository(t *testing.T) {
	config := func(name string) scan.Config { return scan.Config{Repository: name} }
	change := history.CountChange{At: time.Unix(1, 0), New: scan.Counts{scan.High: 1, scan.Low: 2}, Fixed: scan.Counts{scan.Low: 1}, Suppressed: scan.Counts{scan.High: 1, scan.Low: 1}}
	reports := []Report{
		{Config: config("test/a"), Repository: config("test/a").Repo(), Images: []Item{{
			Image: scan.Image{Repository: scan.Repository{Name: "test/a"}, Tag: "x"}, Result: scan.Result{State: scan.Completed, Counts: scan.Counts{scan.High: 1, scan.Low: 2}}, Changes: []history.CountChange{change},
		}}},
		{Config: config("test/b"), Repository: config("test/b").Repo(), Err: errors.New("x")},
		{Config: config("test/c"), Repository: config("test/c").Repo(), Err: errors.New("x")},
	}
	got := Narrow(reports, scan.Filter{Repositories: []string{"test/a", "test/c"}, Severity: scan.High})
	if len(got) != 2 || got[0].Config.Repository != "test/a" || got[1].Config.Repository != "test/c" {
		t.Fatalf("reports of two repositories: %+v", got)
	}
	want := []history.CountChange{{At: change.At, New: scan.Counts{scan.High: 1}, Fixed: scan.Counts{}, Suppressed: scan.Counts{scan.High: 1}}}
	if diff := cmp.Diff(want, got[0].Images[0].Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if len(reports[0].Images[0].Changes[0].New) != 2 {
		t.Error("Narrow changed the given reports")
	}
}
