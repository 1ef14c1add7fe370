package setup

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

// prepareTime is the maximum time of prepare.
const prepareTime = time.Second

// prepare makes the first request faster. Lambda gives a process a whole processor until it asks for its first event, and then only the
// share that the memory of the function buys. In this time, do does what a process does only once: it reads the list of trusted
// authorities, connects to S3, reads the configs, and executes code for the first time. An error has no consequence, because the first
// request does the same again.
func prepare(ctx context.Context, e environment, log *slog.Logger, do func(context.Context) error) {
	if e.memory == 0 { // not in Lambda
		return
	}
	ctx, cancel := context.WithTimeout(ctx, prepareTime)
	defer cancel()
	defer func() {
		if cause := recover(); cause != nil {
			log.ErrorContext(ctx, "the preparation of the first request panicked", "cause", fmt.Sprint(cause))
		}
	}()
	if err := do(ctx); err != nil {
		log.InfoContext(ctx, "could not prepare the first request", "error", err)
	}
}

// listOnce lists the configs, which then are in the cache of this process.
func listOnce[T any](list func(context.Context) ([]T, error)) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := list(ctx)
		return err
	}
}

// searchOnce reads an object that does not exist: a visit needs no list of configs, only the connection.
func searchOnce(configs rescan.StoredConfigs) func(context.Context) error {
	return func(ctx context.Context) error {
		_, _ = configs.Stored(ctx, "ffffffff-ffff-7fff-bfff-ffffffffffff", time.Time{}) // always an error
		return ctx.Err()
	}
}

// recordsAtStart is the maximum number of records that a process of SummaryFunc reads while it starts. Most of its requests need all
// records, so these are the ones that the first request needs anyway.
const recordsAtStart = 64

// readRecords lists the configs, and reads the records of the first repositories, which then are in the cache of this process.
func readRecords(reader *report.Reader, limit int) func(context.Context) error {
	return func(ctx context.Context) error {
		configs, err := reader.Configs.List(ctx)
		if err != nil {
			return err
		}
		known := sync.OnceValue(func() refresh.KnownRepositories { return reader.FindKnown(ctx, configs) }) // one record may need no keys
		isRead := make(map[scan.Repository]bool)
		g, reading := errgroup.WithContext(ctx)
		g.SetLimit(connections)
		for _, c := range configs {
			if len(isRead) == limit {
				break
			}
			repositories := []scan.Repository{c.Repo()}
			if c.IsPattern() {
				repositories = known().Matching(c)
			}
			for _, repo := range repositories {
				if isRead[repo] || len(isRead) == limit {
					continue
				}
				isRead[repo] = true
				g.Go(func() error {
					_, err := reader.Open(reading, repo)
					return err
				})
			}
		}
		return g.Wait()
	}
}
