// Package scale runs the service's use cases against an embedded ECR on the fake clock of testing/synctest: the SDK's client, its
// retries and the pace of the calls are the real ones, and minutes pass in a moment. A run is a schedule with its visits. Its tests
// hold the service to its figures for throttling and size, and the queue to its bound; the benchmarks measure by it.
//
// No socket is involved, so it says nothing of what connections cost.
package scale

import (
	"context"
	"fmt"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
)

// Latency is how long the simulated ECR takes to answer a call.
const Latency = 30 * time.Millisecond

// World is an embedded ECR and the service that watches it. Everything in it must be made and used in one bubble of testing/synctest. It
// visits all repositories at once.
type World struct {
	ECR *ecr.ECR
	*awstest.Service
}

// everything is more repositories than a world has.
const everything = 1000

// New makes a world with the given configs, and no images yet. Each call to ECR takes Latency, and each to S3 no time.
func New(configs ...scan.Config) *World {
	registry := ecr.New(ecr.Options{ScanTime: time.Minute})
	registry.Disturb(awslocal.Fault{Delay: Latency})
	store, err := awslocal.NewMemoryS3(awstest.Bucket)
	if err != nil {
		panic(err) // the name of the bucket is a constant
	}
	w := &World{ECR: registry, Service: awstest.NewService(inProcess(store), inProcess(registry), time.Now, awstest.Silent())}
	w.AtOnce, w.VisitTime = everything, VisitTime
	w.Reader.Configs, w.Visitor.Configs = fixed(configs), fixed(configs)
	return w
}

// fixed is a store of configs that don't change.
type fixed []scan.Config

func (f fixed) List(context.Context) ([]scan.Config, error) { return f, nil }

// Get implements [report.ConfigReader].
func (f fixed) Get(_ context.Context, id string) (scan.Config, error) {
	for _, c := range f {
		if c.ID == id {
			return c, nil
		}
	}
	return scan.Config{}, &scan.Error{Code: scan.NotFound, Message: "no such config"}
}

// Stored implements [rescan.StoredConfigs].
func (f fixed) Stored(ctx context.Context, id string) (scan.Config, error) { return f.Get(ctx, id) }

// Config watches all images of a repository.
func Config(region, repository string) scan.Config {
	return scan.Config{
		ID: region + " " + repository, Region: region, Registry: awslocal.DefaultRegistry, Repository: repository,
	}
}

// Fill puts n images into the repository of a config, each of which was scanned long ago.
func (w *World) Fill(c scan.Config, n int) {
	for i := range n {
		w.ECR.PutImage(ID(c), ecr.Image{Tags: []string{fmt.Sprintf("v%d", i)}, ScannedAt: time.Now().Add(-25 * time.Hour)})
	}
}

// ID is the repository of a config, as the embedded ECR names it.
func ID(c scan.Config) ecr.RepositoryID {
	return ecr.RepositoryID{Region: c.Region, Registry: c.Registry, Name: c.Repository}
}

// VisitTime is what a function has for a visit.
const VisitTime = 5 * time.Minute

// Run does a schedule and its visits, each with a function's deadline, with those that continue them. It tells how long that took.
func (w *World) Run(ctx context.Context) (awstest.Visits, time.Duration, error) {
	began := time.Now()
	visits, err := w.ScheduleAndVisit(ctx)
	return visits, time.Since(began), err
}

// Operations are the calls to ECR that a visit makes.
func Operations() []string {
	return []string{"DescribeImages", "BatchGetImage", "DescribeImageScanFindings", "StartImageScan"}
}

// Limit makes each operation answer at most so many calls a second, and throttle the others. A burst of 0 is one second's worth.
func (w *World) Limit(perSecond float64, burst int) (undo func()) {
	var undos []func()
	for _, op := range Operations() {
		undos = append(undos, w.ECR.Disturb(awslocal.Fault{Operation: op, PerSecond: perSecond, Burst: burst}))
	}
	return func() {
		for _, undo := range undos {
			undo()
		}
	}
}
