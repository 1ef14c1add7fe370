// Package simulation runs the service's use cases against an embedded ECR on the fake clock of testing/synctest: the SDK's client, its
// retries and the pace of the calls are the real ones, and minutes pass in a moment. Its tests hold the service to its figures for throttling
// and size; the benchmarks measure by it.
//
// No socket is involved, so it says nothing of what connections cost.
package simulation

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/test/awstest"
)

// Latency is how long the simulated ECR takes to answer a call.
const Latency = 30 * time.Millisecond

// World is an embedded ECR and the service that watches it. Everything in it must be made and used in one bubble of testing/synctest.
type World struct {
	ECR   *awslocal.ECR
	Watch *scan.Watch
}

// New makes a world with the given configs, and no images yet. Each call to ECR takes Latency.
func New(configs ...scan.Config) *World {
	ecr := awslocal.NewECR(awslocal.ECROptions{ScanTime: time.Minute})
	ecr.Disturb(awslocal.Fault{Delay: Latency})
	cfg := setup.Loopback("http://ecr.example")
	cfg.HTTPClient = &http.Client{Transport: awslocal.Transport{Handler: ecr}}
	return &World{ECR: ecr, Watch: &scan.Watch{
		Configs: fixed{list: configs}, Registry: ecrscan.New(cfg), Now: time.Now, Log: awstest.Silent(),
	}}
}

// fixed is a store of configs that don't change.
type fixed struct {
	scan.ConfigStore
	list []scan.Config
}

func (f fixed) List(context.Context) ([]scan.Config, error) { return f.list, nil }

// Config watches all images of a repository.
func Config(region, repository string) scan.Config {
	return scan.Config{
		ID: region + " " + repository, Region: region, Registry: awslocal.DefaultRegistry, Repository: repository,
	}
}

// Fill puts n images into the repository of a config, each of which was scanned long ago.
func (w *World) Fill(c scan.Config, n int) {
	for i := range n {
		w.ECR.PutImage(ID(c), awslocal.Image{Tags: []string{fmt.Sprintf("v%d", i)}, ScannedAt: time.Now().Add(-25 * time.Hour)})
	}
}

// ID is the repository of a config, as the embedded ECR names it.
func ID(c scan.Config) awslocal.RepositoryID {
	return awslocal.RepositoryID{Region: c.Region, Registry: c.Registry, Name: c.Repository}
}

// RunTime is what a function has for a run.
const RunTime = 15 * time.Minute

// Run does one scan run with a function's deadline, and tells how long it took.
func (w *World) Run(ctx context.Context) (scan.RunReport, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, RunTime)
	defer cancel()
	began := time.Now()
	report, err := w.Watch.Run(ctx)
	return report, time.Since(began), err
}

// Operations are the calls to ECR that a run makes.
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
