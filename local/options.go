package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"time"
)

// options are the flags.
type options struct {
	addr     string
	data     string
	every    time.Duration
	scanTime time.Duration
	findings string
	aws      bool
	bucket   string
}

const usage = `Usage: go run ./local [flags]

Runs the whole service on this machine: the API, the scan schedule, and an embedded Amazon S3 and ECR
with a few sample repositories. It needs no AWS account. Ctrl-C ends it.

Flags:
`

// How often repositories are visited, on the embedded registry and on real ones: the results of scans are recorded by the next visit.
const (
	everyEmbedded = time.Minute
	everyOnAWS    = 5 * time.Minute
)

// errUsage is an error of the flags that package flag has printed.
var errUsage = errors.New("wrong flags")

// parse reads the flags. Its error is flag.ErrHelp when the help was asked for and printed.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("local", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.StringVar(&o.addr, "addr", "127.0.0.1:8080", "serve the API on this `host:port`")
	f.StringVar(&o.data, "data", ".ecr-scan", "keep the scan configs in this `folder`; they survive a restart")
	f.DurationVar(&o.every, "every", everyEmbedded, "visit each repository at the start and then once in this `time`, such as 1h. A visit records the results of\nscans and starts the scans that are due (ECR scans an image once in 24h). With -aws it is 5m unless given")
	f.DurationVar(&o.scanTime, "scan-time", 2*time.Second, "the `time` that a scan takes in the embedded ECR")
	f.StringVar(&o.findings, "findings", "", "load the recorded answers of aws ecr describe-image-scan-findings (*.json) in this `folder` into the\nembedded ECR")
	f.BoolVar(&o.aws, "aws", false, "watch real registries with your own AWS credentials and profile; nothing is deployed, but scans are started")
	f.StringVar(&o.bucket, "bucket", "", "with -aws: keep the scan configs in this real S3 `bucket` instead of -data")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return o, err
	} else if err != nil {
		return o, errUsage
	}
	given := false
	f.Visit(func(f *flag.Flag) { given = given || f.Name == "every" })
	if o.aws && !given {
		o.every = everyOnAWS
	}
	return o, o.check(f.Args())
}

func (o options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is not understood: there are only flags, see -h", rest[0])
	case o.bucket != "" && !o.aws:
		return errors.New("-bucket needs -aws: without it S3 is embedded")
	case o.findings != "" && o.aws:
		return errors.New("-findings fills the embedded ECR, which -aws does not use: give one of them")
	case o.every < time.Second:
		return errors.New("-every must be a second or more, such as 1m")
	case o.scanTime < 0:
		return errors.New("-scan-time must not be negative")
	}
	if _, _, err := net.SplitHostPort(o.addr); err != nil {
		return fmt.Errorf("-addr must be host:port, such as 127.0.0.1:8080: %w", err)
	}
	return nil
}
