package simulation

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// livingRepository is a repository of a registry in which repositories appear and go.
type livingRepository struct {
	name string
	// isNew means that it was created after the first visit. isVisited means that a visit has listed it.
	isNew, isVisited, isDeleted bool
}

// livingRegistry is the registry, and a model of what its configs watch.
type livingRegistry struct {
	testing.TB
	*awstest.AWS
	random       *rand.Rand
	repositories []*livingRepository
	happened     map[string]int
}

func (l *livingRegistry) create(isNew bool) {
	name := fmt.Sprintf("%s%d", []string{"team/app-", "team/x-", "lib/"}[l.random.IntN(3)], len(l.repositories))
	l.ECR.PutImage(l.id(name), ecr.Image{Tags: []string{"v1"}, PushedAt: l.Now(), Findings: basicFindings(content{{"CVE-2026-1", "ssl"}: {severity: "HIGH"}})})
	l.repositories = append(l.repositories, &livingRepository{name: name, isNew: isNew})
}

func (l *livingRegistry) id(name string) ecr.RepositoryID {
	return ecr.RepositoryID{Region: awslocal.DefaultRegion, Registry: awslocal.DefaultRegistry, Name: name}
}

// happen creates and deletes repositories.
func (l *livingRegistry) happen() {
	for l.random.IntN(10) < 3 {
		l.create(true)
	}
	if r := l.repositories[l.random.IntN(len(l.repositories))]; l.random.IntN(5) == 0 && !r.isDeleted {
		l.ECR.DeleteRepository(l.id(r.name))
		r.isDeleted = true
	}
}

var repositoryChange = regexp.MustCompile(`^\[([A-Z ]+)\] .*\b((?:team|lib)/[a-z0-9-]+)`)

// check compares the summary and the changes of a config with the repositories for which watches returns true.
func (l *livingRegistry) check(r *reader, feed string, watches func(name string) bool) {
	l.Helper()
	var summary struct {
		Configs []struct {
			ID, Repository string
			Images         []struct{ Tag string }
		}
	}
	if err := json.Unmarshal([]byte(r.call("GET", "/summary?format=json", "")), &summary); err != nil {
		l.Fatal(err)
	}
	var got, want, told, wantTold []string
	for _, c := range summary.Configs {
		if c.ID == path.Base(feed) {
			for range c.Images {
				got = append(got, c.Repository)
			}
		}
	}
	for _, r := range l.repositories {
		switch {
		case !watches(r.name) || !r.isVisited:
			continue
		case r.isNew:
			wantTold = append(wantTold, "NEW REPOSITORY "+r.name)
		}
		if r.isDeleted {
			wantTold = append(wantTold, "REPOSITORY GONE "+r.name)
		} else {
			want = append(want, r.name)
		}
	}
	for _, e := range r.pages(feed + "/changes") {
		parts := repositoryChange.FindStringSubmatch(e.Title)
		if parts == nil {
			l.Fatalf("title %q", e.Title)
		}
		told = append(told, parts[1]+" "+parts[2])
		r.checkID(feed+told[len(told)-1], e.ID)
		l.happened[parts[1]]++
	}
	for _, names := range [][]string{want, told, wantTold} {
		slices.Sort(names)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		l.Errorf("%s: repositories of %s (-want +got):\n%s", l.Now().UTC().Format(time.RFC3339), feed, diff)
	}
	if diff := cmp.Diff(wantTold, told); diff != "" {
		l.Errorf("%s: changes of %s (-want +got):\n%s", l.Now().UTC().Format(time.RFC3339), feed, diff)
	}
}

// In a month in which repositories appear and go, each pattern has exactly the repositories that it matches, and tells exactly which are new and which
// are gone.
func TestMonthOfRepositories(t *testing.T) {
	l := &livingRegistry{TB: t, AWS: awstest.Start(t, ecr.Options{ScanTime: scanTime}), random: rand.New(rand.NewPCG(7, 19)), happened: make(map[string]int)}
	service := awstest.NewService(awstest.Config(l.S3URL), awstest.Config(l.ECRURL), l.Now, awstest.Silent())
	service.Queue.Now = l.Now
	for range 4 {
		l.create(false)
	}
	r := newReader(t, service)
	configs := map[string]func(string) bool{
		r.post("*", `"tags":null`):                 func(string) bool { return true },
		r.post("team/*", `"exclude":["team/x-*"]`): func(name string) bool { return strings.HasPrefix(name, "team/app-") },
	}
	for range 29 * 2 {
		visits, err := service.ScheduleAndVisit(t.Context())
		if isWrong := func(v rescan.VisitReport) bool {
			return v.Outcome != rescan.VisitEnded && v.Code != scan.RepositoryNotFound
		}; err != nil || slices.ContainsFunc(visits.Reports, isWrong) {
			t.Fatalf("%v, %+v", err, visits)
		}
		for _, one := range l.repositories {
			one.isVisited = one.isVisited || !one.isDeleted
		}
		for feed, watches := range configs {
			l.check(r, feed, watches)
		}
		if t.Failed() {
			t.FailNow()
		}
		l.Advance(12*time.Hour + time.Duration(l.random.IntN(10))*time.Minute)
		l.happen()
	}
	t.Logf("%v", l.happened)
	if l.happened["NEW REPOSITORY"] == 0 || l.happened["REPOSITORY GONE"] == 0 {
		t.Errorf("something never happened: %v", l.happened)
	}
}
