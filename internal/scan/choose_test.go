package scan

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Those that come first take their calls first, whatever the order of the configs.
func TestWhoIsAskedFirst(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	begins := map[string]Stamp{"fresh": StampOf(now.Add(-time.Minute)), "late": StampOf(now.Add(-time.Hour)), "later": StampOf(now.Add(-2 * time.Hour))}
	var repositories []*watchedRepository
	for _, name := range []string{"fresh", "late", "later", "new"} {
		w := &watchedRepository{repo: Repository{Name: name}}
		w.Refresher = NewRefresher(Source{Now: func() time.Time { return now }}, w.repo, Record{Begin: begins[name], Listed: begins[name], Now: now})
		repositories = append(repositories, w)
	}
	q := request{scope: allConfigs}
	q.choose(repositories)
	var got []string
	for _, one := range repositories {
		got = append(got, fmt.Sprint(one.repo.Name, " ", one.ask))
	}
	if diff := cmp.Diff([]string{"new true", "later true", "late true", "fresh false"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
