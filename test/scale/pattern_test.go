package scale

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/sqsqueue"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/sqslocal"
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

// registryECR is an ECR that lists many repositories.
type registryECR struct {
	rescan.Scanner
	all []scan.ListedRepository
}

func (e registryECR) Repositories(context.Context, scan.Registry) ([]scan.ListedRepository, error) {
	return e.all, nil
}

// patternRecords are records of many repositories.
type patternRecords struct {
	rescan.RecordWriter
	all []scan.Repository
}

func (r patternRecords) Repositories(context.Context) ([]scan.Repository, error) { return r.all, nil }

func (patternRecords) Patterns(context.Context) (history.Patterns, error) {
	return history.Patterns{Now: history.StampOf(time.Now())}, nil
}

func (patternRecords) SavePatterns(context.Context, history.Patterns) (bool, error) { return true, nil }

// A schedule of 100 patterns, which each match 10,000 repositories, needs at most 64 MiB, also while it sends the messages.
func TestMemoryOfPatterns(t *testing.T) {
	const patterns, repositories = 100, 10_000
	var configs []scan.Config
	for n := range patterns {
		c, err := scan.NewConfig(scan.Config{Region: "us-west-2", Registry: "123456789012", Repository: "team/*", Exclude: []string{fmt.Sprint("team/none", n)}}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		configs = append(configs, c)
	}
	var listed []scan.ListedRepository
	var recorded []scan.Repository
	for n := range repositories {
		recorded = append(recorded, scan.Repository{Registry: "123456789012", Region: "us-west-2", Name: fmt.Sprintf("team/app%05d", n)})
		listed = append(listed, scan.ListedRepository{Repository: recorded[n], Created: time.Now()})
	}
	q, err := sqslocal.New("visits.fifo", sqslocal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	var mu sync.Mutex
	most, calls := uint64(0), 0
	cfg := awstest.InProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "SendMessageBatch") {
			_, _ = w.Write([]byte(`{"Successful":[],"Failed":[]}`))
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls%100 == 0 {
				most = max(most, heap())
			}
			return
		}
		q.ServeHTTP(w, r)
	}))
	visitor := &rescan.Visitor{
		Configs: indexed(configs), Scanner: registryECR{all: listed}, Records: patternRecords{all: recorded},
		Queue: sqsqueue.New(cfg, "https://sqs.us-west-2.amazonaws.com/123456789012/visits.fifo"), Now: time.Now, Log: awstest.Silent(),
	}
	report, err := visitor.Schedule(t.Context(), rescan.Message.Group)
	if err != nil || report.Sent != repositories {
		t.Fatalf("%+v, %v", report, err)
	}
	t.Logf("%d calls, %d MiB", calls, (most-before)>>20)
	if most-before > 64<<20 {
		t.Errorf("the schedule needs %d MiB", (most-before)>>20)
	}
}

// heap returns the memory in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
