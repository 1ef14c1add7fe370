package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/demo"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/setup"
	"ecr-continuous-scan/internal/suppresscount"
)

// localBucket is the bucket of the embedded S3.
const localBucket = "ecr-scan-config"

// backend is the part of the service behind the API. Its S3 and ECR are each embedded or real.
type backend struct {
	configs      httpapi.ConfigStore
	suppressions httpapi.SuppressionStore
	counter      suppresscount.Counter
	reader       *report.Reader
	visitor      *rescan.Visitor
	queue        *rescan.Local
	shown        []string // the lines of the start message
	loaded       []ecr.RepositoryID
	now          func() time.Time
	demo         *demo.Demo // nil without -demo
	closes       []func() error
}

func (b *backend) close() {
	for _, c := range b.closes {
		_ = c() // the process is about to end, and all writes are complete
	}
}

// openBackend starts the embedded services on loopback ports and makes the clients of the real ones.
func openBackend(ctx context.Context, o options, log *slog.Logger) (b *backend, err error) {
	b = &backend{now: time.Now}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	bucket, s3Config, ecrConfig := localBucket, aws.Config{}, aws.Config{}
	if o.demo {
		if s3Config, ecrConfig, err = b.embedDemo(); err != nil {
			return b, err
		}
		b.connect(s3Config, ecrConfig, bucket, slog.New(quiet{log.Handler()}))
		return b, nil
	}
	if o.aws {
		if ecrConfig, err = realAWS(ctx); err != nil {
			return b, err
		}
		b.shown = append(b.shown, "ECR       Amazon ECR, with your credentials")
	} else if ecrConfig, err = b.embedECR(o, log); err != nil {
		return b, err
	}
	if o.bucket != "" {
		bucket, s3Config = o.bucket, ecrConfig
		b.shown = append(b.shown, "S3        bucket "+o.bucket+" of Amazon S3")
	} else if s3Config, err = b.embedS3(o); err != nil {
		return b, err
	}
	b.connect(s3Config, ecrConfig, bucket, log)
	return b, nil
}

// connect makes the parts of the service that use S3 and ECR.
func (b *backend) connect(s3Config, ecrConfig aws.Config, bucket string, log *slog.Logger) {
	b.queue = rescan.NewLocal(visitsAtOnce, b.now)
	b.configs, b.suppressions = setup.NewConfigs(s3Config, bucket, log), setup.NewSuppressions(s3Config, bucket)
	b.counter = setup.NewSuppressionCounter(s3Config, bucket, b.configs, log)
	b.reader = setup.NewReader(s3Config, ecrConfig, bucket, log)
	b.visitor = setup.NewVisitor(s3Config, ecrConfig, bucket, b.queue, log)
	b.reader.Now, b.visitor.Now, b.counter.Now = b.now, b.now, b.now
}

// realAWS checks the user's credentials once, so that a missing login is reported at the start and not for each image.
func realAWS(ctx context.Context) (aws.Config, error) {
	cfg, err := setup.AWSConfig(ctx)
	if err != nil {
		return cfg, err
	}
	if cfg.Region == "" {
		cfg.Region = "us-west-2" // only for this check and the bucket: each config has its own Region
	}
	if _, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err != nil {
		return cfg, fmt.Errorf("-aws needs valid AWS credentials: log in (aws sso login, or aws configure) or set AWS_PROFILE: %w", err)
	}
	return cfg, nil
}

func (b *backend) embedECR(o options, log *slog.Logger) (aws.Config, error) {
	scanTime := o.scanTime
	if scanTime == 0 {
		scanTime = -1 // no delay; zero is the default of ecr.Options
	}
	registry := ecr.New(ecr.Options{ScanTime: scanTime})
	if err := samples.PutWalkthrough(registry); err != nil {
		return aws.Config{}, err
	}
	if o.findings != "" {
		loaded, ignored, err := samples.LoadFindings(registry, o.findings)
		if err != nil {
			return aws.Config{}, fmt.Errorf("-findings: %w", err)
		}
		for _, err := range ignored {
			log.Warn("ignored a file of -findings", "error", err)
		}
		b.loaded = loaded
	}
	endpoint, err := b.start(registry)
	if err != nil {
		return aws.Config{}, err
	}
	b.shown = append(b.shown, "ECR       "+endpoint+"  embedded, registry 123456789012 in us-west-2")
	for _, r := range b.loaded {
		b.shown = append(b.shown, fmt.Sprintf("          loaded %s of registry %s in %s", r.Name, r.Registry, r.Region))
	}
	return setup.Loopback(endpoint), nil
}

func (b *backend) embedS3(o options) (aws.Config, error) {
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return aws.Config{}, fmt.Errorf("-data: %w", err)
	}
	s3, err := awslocal.NewS3(filepath.Join(o.data, "s3.db"), localBucket)
	if err != nil {
		return aws.Config{}, fmt.Errorf("-data: %w", err)
	}
	b.closes = append(b.closes, s3.Close)
	endpoint, err := b.start(s3)
	if err != nil {
		return aws.Config{}, err
	}
	b.shown = append(b.shown, "S3        "+endpoint+"  embedded, bucket "+localBucket+", stored in "+o.data)
	return setup.Loopback(endpoint), nil
}

// start serves an embedded service on its own loopback port. close stops the server before it closes the server's storage.
func (b *backend) start(h http.Handler) (endpoint string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("start an embedded service: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("an embedded service stopped", "error", err)
		}
	}()
	b.closes = append([]func() error{func() error {
		err := server.Close()
		<-done
		return err
	}}, b.closes...)
	return "http://" + l.Addr().String(), nil
}

// startMessage lists what is running and what to do next.
func startMessage(o options, base string, b *backend) string {
	lines := append([]string{"API       " + base}, b.shown...)
	run := `curl -s --header "Content-Type: application/json" --request POST --data @scan-config-ubuntu.json $ECRSCANAPI_URL/configs/
  curl $ECRSCANAPI_URL/summary`
	open := base + "/summary"
	switch {
	case o.demo:
		lines = append(lines, fmt.Sprintf("time      %s, a day in %s until today", b.now().Format("2 January 2006"), short(o.demoDay.String())))
		run = `curl $ECRSCANAPI_URL/summary
  ID=$(curl -s $ECRSCANAPI_URL/configs/ | jq -r '.[] | select(.repository == "shop/web").id')
  curl -i "$ECRSCANAPI_URL/gate/$ID?max=HIGH"`
		open += "\nChanges:      " + base + "/changes?format=html"
	case o.aws:
		run = strings.Replace(run, "@scan-config-ubuntu.json", `'{"region":"us-west-2","registry":"<your account id>","repository":"<a repository>"}'`, 1)
	}
	if !o.demo {
		lines = append(lines, fmt.Sprintf("schedule  now, then every %s", short(o.every.String())))
	}
	return "ECR container image re-scan, on this machine:\n\n  " + strings.Join(lines, "\n  ") + `

In another terminal, run:

  export ECRSCANAPI_URL=` + base + "\n  " + run + `

In a browser: ` + open + `

Press Ctrl-C to stop it.

`
}

// short removes the zeros at the end of a printed duration: 24h0m0s becomes 24h.
func short(duration string) string {
	if s, ok := strings.CutSuffix(duration, "m0s"); ok {
		duration = s + "m"
	}
	if s, ok := strings.CutSuffix(duration, "h0m"); ok {
		duration = s + "h"
	}
	return duration
}
