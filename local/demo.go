package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/demo"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/setup"
)

// Times of the demo. The first days are played at once, with two visits a day: one starts the scans, and the other one reads their
// results. pastStep is a little more than a day, because a scan is due a day after the end of the last one. presentStep is the time
// between two visits later, as in a deployment.
const (
	pastDays    = 30
	pastStep    = 24*time.Hour + 5*time.Minute
	resultAfter = 10 * time.Minute
	presentStep = 30 * time.Minute
)

// embedDemo starts the embedded ECR of the demo, and an S3 that stores nothing on disk. Both use the clock of the demo.
func (b *backend) embedDemo() (s3Config, ecrConfig aws.Config, err error) {
	if b.demo, err = demo.New(time.Now); err != nil {
		return s3Config, ecrConfig, err
	}
	b.now = b.demo.Clock.Now
	s3, err := awslocal.NewMemoryS3OnClock(localBucket, b.now)
	if err != nil {
		return s3Config, ecrConfig, err
	}
	ecrURL, err := b.start(b.demo.ECR)
	if err != nil {
		return s3Config, ecrConfig, err
	}
	s3URL, err := b.start(s3)
	if err != nil {
		return s3Config, ecrConfig, err
	}
	b.shown = append(b.shown, "ECR       "+ecrURL+"  embedded, with the demo", "S3        "+s3URL+"  embedded, bucket "+localBucket+", in memory")
	return inProcess(s3URL, s3), inProcess(ecrURL, b.demo.ECR), nil
}

// inProcess returns the settings for an embedded service that is called without a socket, because the past has many calls.
func inProcess(url string, service http.Handler) aws.Config {
	cfg := setup.Loopback(url)
	cfg.HTTPClient = &http.Client{Transport: awslocal.Transport{Handler: service}}
	return cfg
}

// quiet is a log handler for the parts of the service that report each visit. In the demo, visits come every second and some fail
// on purpose.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

// player plays the demo: what happens in ECR, and the visits of the service.
type player struct {
	*backend
	log    *slog.Logger
	stdout io.Writer
}

// past registers the configs and plays the first days as fast as possible.
func (p player) past(ctx context.Context) error {
	fmt.Fprintf(p.stdout, "The demo plays %d days.\n", pastDays)
	began, start := time.Now(), p.now()
	for _, c := range p.demo.Configs {
		config, err := scan.NewConfig(scan.Config{Region: c.Region, Registry: c.Registry, Repository: c.Repository, Tags: c.Tags}, start)
		if err == nil {
			err = p.configs.Put(ctx, config)
		}
		if err != nil {
			return fmt.Errorf("register the configs of the demo: %w", err)
		}
	}
	end := start.Add(pastDays * 24 * time.Hour)
	for at := start; at.Before(end); at = at.Add(pastStep) {
		for _, at := range []time.Time{at, at.Add(resultAfter)} {
			p.demo.Clock.Set(at)
			if _, err := p.demo.Play(); err != nil {
				return err
			}
			scheduleOnce(ctx, p.visitor, p.log)
			p.queue.Drain(ctx, visit(p.visitor))
		}
	}
	p.demo.Clock.Set(end)
	if _, err := p.demo.Play(); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "It took %s.\n\n", time.Since(began).Round(100*time.Millisecond))
	return nil
}

// present plays the days until today, and then goes on in real time. It prints what happens. If the visits need more time than
// there is, the clock waits for them. So what one sees does not depend on the machine.
func (p player) present(ctx context.Context, day time.Duration) {
	clock, speed := p.demo.Clock, float64(24*time.Hour)/float64(day)
	next := clock.Now()
	for ctx.Err() == nil {
		if !clock.Now().Before(next) {
			if err := p.tell(); err != nil {
				p.log.ErrorContext(ctx, "the demo stopped", "error", err)
				return
			}
			scheduleOnce(ctx, p.visitor, p.log)
			next = next.Add(presentStep)
		}
		p.queue.Drain(ctx, visit(p.visitor)) // also the visits of new configs
		timer := time.NewTimer(min(clock.RunTo(next, speed), time.Second))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// tell plays what is due and prints it.
func (p player) tell() error {
	happened, err := p.demo.Play()
	for _, h := range happened {
		fmt.Fprintf(p.stdout, "day %.1f (%s): %s\n", h.Day, h.At.Format("2 January 15:04"), h.Text)
	}
	return err
}
