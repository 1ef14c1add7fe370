// Package scale runs the service's use cases with an embedded ECR on the fake clock of testing/synctest. The SDK's
// client, its retries and the limit of the calls are the real ones, but minutes pass immediately. A run is a
// schedule with its visits. The tests check throttling, size and the length of the queue. The benchmarks use this
// package too.
//
// It uses no sockets, so it does not measure the cost of connections.
package scale

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// Latency is the latency of the simulated ECR.
const Latency = 30 * time.Millisecond

// World is an embedded ECR and the service that scans its images. Everything in it must be created and used in one
// bubble of testing/synctest. All repositories are visited at once.
type World struct {
	ECR *ecr.ECR
	*awstest.Service
	store *awslocal.S3
	// dead means that the service's calls do not arrive.
	dead atomic.Bool
}

// maxRepositories is at least the number of repositories of a world.
const maxRepositories = 1000

// New returns a world with the given configs and without images. Each call to ECR takes Latency. Calls to S3 take
// no time.
func New(configs ...scan.Config) *World {
	registry := ecr.New(ecr.Options{ScanTime: time.Minute})
	registry.InjectFault(awslocal.Fault{Delay: Latency})
	store, err := awslocal.NewMemoryS3(awstest.Bucket)
	if err != nil {
		panic(err) // the name of the bucket is a constant
	}
	w := &World{ECR: registry, store: store}
	w.Service = w.another(configs)
	return w
}

// another returns the service in another process, as Lambda runs several visits at once. The processes share no limit of calls.
func (w *World) another(configs []scan.Config) *awstest.Service {
	s := awstest.NewService(awstest.InProcess(w.unlessDead(w.store)), awstest.InProcess(w.unlessDead(w.ECR)), time.Now, awstest.Silent())
	s.MaxConcurrentVisits, s.VisitTimeout = maxRepositories, VisitTime
	s.Reader.Configs, s.Visitor.Configs = fixedConfigs(configs), fixedConfigs(configs)
	return s
}

// unlessDead returns a handler that closes the connection of each call while the service is dead.
func (w *World) unlessDead(h http.Handler) http.Handler {
	return http.HandlerFunc(func(response http.ResponseWriter, r *http.Request) {
		if w.dead.Load() {
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(response, r)
	})
}

// fixedConfigs is a store of constant configs.
type fixedConfigs []scan.Config

func (f fixedConfigs) List(context.Context) ([]scan.Config, error) { return f, nil }

// LastDeleted implements [report.ConfigReader].
func (f fixedConfigs) LastDeleted(context.Context) (time.Time, error) { return time.Time{}, nil }

// Get implements [report.ConfigReader].
func (f fixedConfigs) Get(_ context.Context, id string) (scan.Config, error) {
	for _, c := range f {
		if c.ID == id {
			return c, nil
		}
	}
	return scan.Config{}, &scan.Error{Code: scan.NotFound, Message: "no such config"}
}

// Pack implements [rescan.StoredConfigs].
func (fixedConfigs) Pack(context.Context) error { return nil }

// Stored implements [rescan.StoredConfigs].
func (f fixedConfigs) Stored(ctx context.Context, id string, _ time.Time) (scan.Config, error) {
	return f.Get(ctx, id)
}

// Config returns a config for all tags of a repository.
func Config(region, repository string) scan.Config {
	return scan.Config{
		ID: region + " " + repository, Region: region, Registry: awslocal.DefaultRegistry, Repository: repository,
	}
}

// Fill adds n images to the repository of a config. Each was last scanned 25 hours ago.
func (w *World) Fill(c scan.Config, n int) {
	for i := range n {
		w.ECR.PutImage(ID(c), ecr.Image{Tags: []string{fmt.Sprintf("v%d", i)}, ScannedAt: time.Now().Add(-25 * time.Hour)})
	}
}

// ID returns the repository of a config as the embedded ECR names it.
func ID(c scan.Config) ecr.RepositoryID {
	return ecr.RepositoryID{Region: c.Region, Registry: c.Registry, Name: c.Repository}
}

// VisitTime is the time limit of a visit.
const VisitTime = 5 * time.Minute

// Run runs a schedule and its visits, including those that continue others. It returns how long they took.
func (w *World) Run(ctx context.Context) (awstest.Visits, time.Duration, error) {
	began := time.Now()
	visits, err := w.ScheduleAndVisit(ctx)
	return visits, time.Since(began), err
}

// Operations returns the names of the calls to ECR that a visit makes.
func Operations() []string {
	return []string{"DescribeImages", "BatchGetImage", "DescribeImageScanFindings", "StartImageScan"}
}

// Limit throttles each operation to the given number of calls per second. With a burst of 0, the burst is the
// number of calls of one second. undo removes the limit.
func (w *World) Limit(perSecond float64, burst int) (undo func()) {
	var undos []func()
	for _, op := range Operations() {
		undos = append(undos, w.ECR.InjectFault(awslocal.Fault{Operation: op, PerSecond: perSecond, Burst: burst}))
	}
	return func() {
		for _, undo := range undos {
			undo()
		}
	}
}
