package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"time"
)

// options are the values of the flags.
type options struct {
	addr     string
	data     string
	every    time.Duration
	scanTime time.Duration
	findings string
	aws      bool
	bucket   string
	demo     bool
	demoDay  time.Duration
	version  bool
}

const usage = `Usage: go run ./local [flags]

Runs the whole service on this machine: the API, the scan schedule, and an embedded Amazon S3 and ECR
with a few sample repositories. It needs no AWS account. Press Ctrl-C to stop it.

Flags:
`

// How often each repository is visited, with the embedded ECR and with real registries. The result of a scan is
// recorded by the next visit, so these are short.
const (
	everyEmbedded = time.Minute
	everyOnAWS    = 5 * time.Minute
)

// errUsage is a wrong flag. Package flag has already printed the error.
var errUsage = errors.New("wrong flags")

// parse reads the flags. It returns flag.ErrHelp if the help was requested and printed.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("local", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.StringVar(&o.addr, "addr", "127.0.0.1:8080", "serve the API on this `host:port`")
	f.StringVar(&o.data, "data", ".ecr-scan", "store the scan configs and records in this `folder`; they survive a restart")
	f.DurationVar(&o.every, "every", everyEmbedded, "visit each repository at the start and then every `time`, for example 1h. A visit records the results of\nscans and starts the scans that are due (at most one per image in 24h). With -aws the default is 5m")
	f.DurationVar(&o.scanTime, "scan-time", 2*time.Second, "the `time` that a scan takes in the embedded ECR")
	f.StringVar(&o.findings, "findings", "", "load the recorded output of aws ecr describe-image-scan-findings (*.json) in this `folder` into the\nembedded ECR")
	f.BoolVar(&o.aws, "aws", false, "scan real registries with your own AWS credentials and profile; this deploys nothing, but it starts scans")
	f.StringVar(&o.bucket, "bucket", "", "with -aws: store the scan configs and records in this real S3 `bucket` instead of -data")
	f.BoolVar(&o.demo, "demo", false, "play a story in the embedded ECR: 30 days at once, then a day in each minute until today. Configs are already\nregistered. Nothing is stored on disk")
	f.DurationVar(&o.demoDay, "demo-day", time.Minute, "with -demo: the `time` that a day takes")
	f.BoolVar(&o.version, "version", false, "print the version and exit")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return o, err
	} else if err != nil {
		return o, errUsage
	}
	given := map[string]bool{}
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if o.aws && !given["every"] {
		o.every = everyOnAWS
	}
	return o, o.check(f.Args(), given)
}

func (o options) check(rest []string, given map[string]bool) error {
	for _, name := range []string{"data", "every", "scan-time", "findings", "aws", "bucket"} {
		if o.demo && given[name] {
			return fmt.Errorf("-demo has its own registry, times and data: remove -%s", name)
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unknown argument %q: only flags are allowed, see -h", rest[0])
	case given["demo-day"] && !o.demo:
		return errors.New("-demo-day needs -demo")
	case o.demoDay < time.Second || o.demoDay > 24*time.Hour:
		return errors.New("-demo-day must be between 1s and 24h")
	case o.bucket != "" && !o.aws:
		return errors.New("-bucket needs -aws: without it S3 is embedded")
	case o.findings != "" && o.aws:
		return errors.New("-findings loads into the embedded ECR, which -aws does not use: use only one of the two flags")
	case o.every < time.Second:
		return errors.New("-every must be at least 1s, for example 1m")
	case o.scanTime < 0:
		return errors.New("-scan-time must not be negative")
	}
	if _, _, err := net.SplitHostPort(o.addr); err != nil {
		return fmt.Errorf("-addr must be host:port, for example 127.0.0.1:8080: %w", err)
	}
	return nil
}
