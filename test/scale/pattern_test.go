package scale

import (
	"fmt"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// callsOfPattern visits a registry with images spread over repositories: when the service sees them for the first time, when the results of
// the scans are there, and two more times when nothing is due. Between the last two is an hour, so that one of them stores the begin of the
// visit. It returns the calls to ECR and to S3 of the first two visits, and the most calls of one of the others.
func callsOfPattern(t *testing.T, c scan.Config, repositories, images int) (first, nothingDue int) {
	t.Helper()
	a := awstest.Start(t, ecr.Options{ScanTime: time.Second})
	for i := range images {
		name := "team/app"
		if repositories > 1 {
			name = fmt.Sprintf("team/app%04d", i%repositories)
		}
		a.ECR.PutImage(ecr.RepositoryID{Name: name}, ecr.Image{Tags: []string{fmt.Sprint("v", i)}, Manifest: fmt.Sprint(i)})
	}
	s := a.Service(awstest.Silent())
	if err := s.API("").Configs.Put(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	visit := func() int {
		t.Helper()
		a.ECR.ResetCount()
		a.S3.ResetCount()
		if _, err := s.Visitor.Schedule(t.Context(), func(m rescan.Message) string { return m.Group() }); err != nil {
			t.Fatal(err)
		}
		a.Advance(2 * time.Second) // the messages wait
		if visits := s.VisitAll(t.Context()); visits.NotReached+visits.ImagesFailed() > 0 || len(visits.Reports) != repositories {
			t.Fatalf("%d visits %+v", len(visits.Reports), visits.Tally)
		}
		a.Advance(31 * time.Minute)
		return a.ECR.Count().Total() + a.S3.Count().Total()
	}
	first = visit() + visit()
	return first, max(visit(), visit(), visit())
}

// The first visits of a pattern over many repositories cost at most 1.3 times the calls of one repository with as many images, also with the
// visits that read the results. With nothing due, a repository costs at most four: the record, the suppressions, the list of its images, and
// once an hour the write that stores the begin of the visit. A process reads the config once in ten seconds.
func TestCallsOfAPattern(t *testing.T) {
	const repositories, images = 100, 1000
	one, err := scan.NewConfig(scan.Config{Region: "us-west-2", Registry: "123456789012", Repository: "team/app"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pattern := one
	pattern.Repository = "team/*"
	of1, _ := callsOfPattern(t, one, 1, images)
	first, nothingDue := callsOfPattern(t, pattern, repositories, images)
	t.Logf("first visits: %d calls, of one repository %d; nothing due: %d calls of %d repositories", first, of1, nothingDue, repositories)
	if float64(first) > 1.3*float64(of1) {
		t.Errorf("the first visits take %d calls, more than 1.3 times the %d of one repository", first, of1)
	}
	if nothingDue > 4*repositories+20 { // the schedule makes some calls, and each process reads the config some times
		t.Errorf("with nothing due, %d repositories take %d calls", repositories, nothingDue)
	}
}
