// Command bench measures the compiled functions as they are deployed: each process has the share of a processor that its
// memory buys in Lambda, and calls stand-ins of S3, ECR and SQS over TLS. The stand-ins are in another process, which is not
// limited, and respond after the latency that AWS has.
//
// It measures only on Linux. The share is a cgroup quota, which only root can create. Without it, the times are estimates.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// standInsCommand is the argument with which the program runs the stand-ins.
const standInsCommand = "stand-ins"

func main() {
	if len(os.Args) > 1 && os.Args[1] == standInsCommand {
		if err := serveStandIns(); err != nil {
			fmt.Fprintln(os.Stderr, "stand-ins:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags of the program.
type options struct {
	against, job             string
	rounds, pattern          int
	markdown, noQuota, ownCA bool
}

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&o.against, "against", "", "folder of a checkout of another commit, which is measured side by side")
	flags.StringVar(&o.job, "job", "", "regular expression of the names of the jobs; all jobs if empty")
	flags.IntVar(&o.rounds, "rounds", 10, "number of rounds; each has one new process and three requests to another process")
	flags.IntVar(&o.pattern, "pattern", 0, "instead of the jobs, measure the first visits of a pattern over so many repositories of 10 images, and of one repository with as many")
	flags.BoolVar(&o.markdown, "markdown", false, "print Markdown")
	flags.BoolVar(&o.noQuota, "no-quota", false, "estimate the times, as without root")
	flags.BoolVar(&o.ownCA, "own-ca", false, "let the functions trust only the stand-ins, without the machine's list of authorities")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.rounds < 1 || o.pattern < 0 {
		return o, fmt.Errorf("want no arguments, at least one round and no negative number: %q", args)
	}
	return o, nil
}

// bench measures the jobs that the arguments select, and prints a table.
func bench(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if runtime.GOOS != "linux" {
		return errors.New("processor time and memory can be measured only on Linux")
	}
	selected, err := selectJobs(jobs(1), o.job)
	if err != nil {
		return err
	}
	m := &measurement{rounds: o.rounds, ownCA: o.ownCA, progress: func(j job) { fmt.Fprintln(errs, j.name) }}
	if !o.noQuota {
		if m.groups, err = findCgroups("/sys/fs/cgroup"); err != nil {
			fmt.Fprintln(errs, "no quota:", err)
		} else {
			m.pause = 3 * quotaPeriod
		}
	}
	builds, err := compileAll(ctx, o.against)
	if err != nil {
		return err
	}
	warnIfBusy(errs)
	if o.pattern > 0 {
		return m.comparePattern(ctx, builds, o.pattern, out)
	}
	all, err := m.measureAll(ctx, builds, selected)
	if err != nil {
		return err
	}
	return writeReport(out, report{all, m.groups != nil, o.markdown, pageTime()})
}

// selectJobs returns the jobs whose names match the expression.
func selectJobs(all []job, expression string) ([]job, error) {
	matcher, err := regexp.Compile(expression)
	if err != nil {
		return nil, fmt.Errorf("-job: %w", err)
	}
	var names []string
	selected := slices.DeleteFunc(all, func(j job) bool {
		names = append(names, j.name)
		return !matcher.MatchString(j.name)
	})
	if len(selected) == 0 {
		return nil, fmt.Errorf("-job: no job matches; the jobs are %s", strings.Join(names, ", "))
	}
	return selected, nil
}

// compileAll compiles this checkout and the one to compare with.
func compileAll(ctx context.Context, against string) ([]build, error) {
	this, err := compile(ctx, "this", ".")
	if err != nil || against == "" {
		return []build{this}, err
	}
	other, err := compile(ctx, "other", against)
	return []build{this, other}, err
}

// withDeployments starts the stand-ins of each build, and calls measure.
func (m *measurement) withDeployments(builds []build, measure func() error) (err error) {
	folder, err := os.MkdirTemp("", "ecr-scan-bench")
	if err != nil {
		return err
	}
	defer func() {
		for _, d := range m.deployments {
			err = errors.Join(err, d.close())
		}
		err = errors.Join(err, os.RemoveAll(folder))
	}()
	for _, b := range builds {
		d, err := deploy(b, folder, m.groups, m.ownCA)
		if err != nil {
			return err
		}
		m.deployments = append(m.deployments, d)
	}
	return measure()
}

// measureAll measures the jobs with each build.
func (m *measurement) measureAll(ctx context.Context, builds []build, selected []job) (all []result, err error) {
	err = m.withDeployments(builds, func() error {
		for _, j := range selected {
			figures, err := m.measure(ctx, j)
			if err != nil {
				return err
			}
			all = append(all, result{j, figures})
		}
		return nil
	})
	return all, err
}

// warnIfBusy warns if other programs use the processors.
func warnIfBusy(errs io.Writer) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return
	}
	first, _, _ := strings.Cut(string(text), " ")
	if load, err := strconv.ParseFloat(first, 64); err == nil && load > 0.5 {
		fmt.Fprintf(errs, "This machine is busy (its load is %s). The times can be several times as long as on an idle one.\n", first)
	}
}

// milliseconds returns a duration in milliseconds.
func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }
