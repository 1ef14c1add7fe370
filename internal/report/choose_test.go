package report

import (
	"fmt"
	"testing"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"

	"github.com/google/go-cmp/cmp"
)

// Repositories without a visit are first, then those with the oldest visit. The order of the configs does not matter.
func TestRepositoriesWithTheOldestVisitAreSelectedFirst(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	begins := map[string]history.Stamp{"fresh": history.StampOf(now.Add(-time.Minute)), "late": history.StampOf(now.Add(-time.Hour)), "later": history.StampOf(now.Add(-2 * time.Hour))}
	var repositories []*watchedRepository
	for _, name := range []string{"fresh", "late", "later", "new"} {
		w := &watchedRepository{repo: scan.Repository{Name: name}}
		w.Refresher = refresh.NewRefresher(refresh.Source{Now: func() time.Time { return now }}, w.repo, history.Record{Begin: begins[name], Listed: begins[name], Now: now})
		repositories = append(repositories, w)
	}
	q := request{scope: allConfigs}
	q.selectRepositories(repositories)
	var got []string
	for _, one := range repositories {
		got = append(got, fmt.Sprint(one.repo.Name, " ", one.mayCall))
	}
	if diff := cmp.Diff([]string{"new true", "later true", "late true", "fresh false"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
