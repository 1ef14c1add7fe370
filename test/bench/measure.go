package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	// warmUps is the number of requests before those of a warm process are measured.
	warmUps = 5
	// warmPerRound is the number of measured requests to a warm process in each round.
	warmPerRound = 3
)

// sample is one measured request.
type sample struct {
	time, processor time.Duration
	calls           Calls
	bytes           int
	// pages is the number of pages of memory that the process used for the first time.
	pages int
	// start is the time from the start of the process to its first poll, if the request is its first one.
	start time.Duration
}

// figures are the medians of the samples of one job and build.
type figures struct {
	build      string
	memory     int // MB
	warm, cold sample
	peak       int64 // bytes
}

// gigabyteSeconds returns what Lambda charges for a number of warm requests.
func (f figures) gigabyteSeconds(requests int) float64 {
	return float64(requests) * float64(f.memory) / 1024 * f.warm.time.Seconds()
}

// measurement measures jobs with one or two builds.
type measurement struct {
	deployments []*deployment
	rounds      int
	// groups is nil if the processes have no quota.
	groups *cgroups
	// ownCA means that the functions trust only the stand-ins.
	ownCA bool
	// pause is the time before each request in which the quota of the previous ones is refilled.
	pause time.Duration
	// progress is called before each job.
	progress func(job)
}

// measure measures a job. In each round, each build handles a request in a new process, and some in a process that has
// handled requests before.
func (m *measurement) measure(ctx context.Context, j job) (_ []figures, err error) {
	m.progress(j)
	runs := make([]*run, len(m.deployments))
	defer func() {
		for _, r := range runs {
			if r != nil {
				err = errors.Join(err, r.warm.end())
			}
		}
	}()
	for i, d := range m.deployments {
		if runs[i], err = m.begin(ctx, d, j); err != nil {
			return nil, fmt.Errorf("%s, %s: %w", j.name, d.name, err)
		}
	}
	for round := range m.rounds {
		for i := range runs {
			r := runs[(i+round)%len(runs)] // so that no build is always the first one
			if err := r.round(ctx); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", j.name, r.name, err)
			}
		}
	}
	all := make([]figures, len(runs))
	for i, r := range runs {
		all[i] = r.figures()
	}
	return all, nil
}

// run is the measurement of one job with one build.
type run struct {
	*deployment
	job   job
	pause time.Duration
	warm  *process
	etag  string
	n     int // number of requests so far

	warmSamples, coldSamples []sample
	peak                     int64
}

// begin prepares the data, unless they are still there, and starts the process that stays.
func (m *measurement) begin(ctx context.Context, d *deployment, j job) (*run, error) {
	w := j.world
	if j.world.Repositories == 0 {
		w.Repositories = warmUps + m.rounds*(1+warmPerRound)
	}
	if d.data.World != w || j.world.Repositories == 0 {
		// The clock of the stand-ins is an hour late, so that it can be set to a later time that is not in the future.
		if err := d.prepare(ctx, w, time.Now().Add(-maxAge)); err != nil {
			return nil, err
		}
	}
	if err := d.call("Delay", d.data.Now.Add(j.age), &struct{}{}); err != nil {
		return nil, err
	}
	warm, err := d.start(ctx, j.function, true)
	if err != nil {
		return nil, err
	}
	r := &run{deployment: d, job: j, pause: m.pause, warm: warm}
	for range warmUps {
		event, err := j.event(d, r.n, "")
		if err != nil {
			return nil, errors.Join(err, warm.end())
		}
		a, err := warm.invoke(ctx, event)
		if err != nil {
			return nil, errors.Join(err, warm.end())
		}
		r.etag = a.Header.Get("ETag")
		r.n++
	}
	return r, nil
}

// round measures the first request of a new process, and requests to the warm one.
func (r *run) round(ctx context.Context) error {
	p, err := r.start(ctx, r.job.function, true)
	if err != nil {
		return err
	}
	s, err := r.request(ctx, p)
	if err := errors.Join(err, p.end()); err != nil {
		return err
	}
	s.start = p.began
	r.coldSamples = append(r.coldSamples, s)
	for range warmPerRound {
		time.Sleep(r.pause)
		if s, err = r.request(ctx, r.warm); err != nil {
			return err
		}
		r.warmSamples = append(r.warmSamples, s)
	}
	return nil
}

// request measures a request to a process. The processor time includes what the process does after its response, such as
// garbage collection.
func (r *run) request(ctx context.Context, p *process) (sample, error) {
	event, err := r.job.event(r.deployment, r.n, r.etag)
	if err != nil {
		return sample{}, err
	}
	r.n++
	if err := r.clear(); err != nil {
		return sample{}, err
	}
	before, pages := p.ProcessorTime(), p.NewPages()
	began := time.Now()
	a, err := p.invoke(ctx, event)
	s := sample{time: time.Since(began), bytes: len(a.Body)}
	if err != nil {
		return sample{}, err
	}
	if err := r.call("TakeCalls", struct{}{}, &s.calls); err != nil {
		return sample{}, err
	}
	if err := r.job.check(a, s.calls); err != nil {
		return sample{}, fmt.Errorf("%w\nlog:\n%.2000s", err, p.Logs())
	}
	time.Sleep(r.pause)
	s.processor, s.pages = p.ProcessorTime()-before, p.NewPages()-pages
	if p.group == nil {
		s.time = estimate(s.time, s.processor, p.settings.memory)
	}
	r.peak = max(r.peak, p.PeakMemory())
	return s, nil
}

// clear removes the messages and the calls of earlier requests. A schedule sends nothing while many messages wait.
func (r *run) clear() error {
	return errors.Join(r.call("TakeMessages", struct{}{}, &[]types.Message{}), r.call("TakeCalls", struct{}{}, &Calls{}))
}

func (r *run) figures() figures {
	return figures{r.name, r.functions[r.job.function].memory, medianOf(r.warmSamples), medianOf(r.coldSamples), r.peak}
}

// medianOf returns the median of each figure.
func medianOf(samples []sample) sample {
	return sample{
		time: median(samples, func(s sample) time.Duration { return s.time }), processor: median(samples, func(s sample) time.Duration { return s.processor }),
		calls: samples[len(samples)/2].calls, bytes: median(samples, func(s sample) int { return s.bytes }),
		start: median(samples, func(s sample) time.Duration { return s.start }), pages: median(samples, func(s sample) int { return s.pages }),
	}
}

// pageTime measures how long the first use of a page of memory takes, and is 0 if the system gives no memory. It differs much between machines: a
// virtual machine may have to get the page from its host. A cold process uses thousands of pages for the first time.
func pageTime() time.Duration {
	const pages = 16 << 10
	memory, err := syscall.Mmap(-1, 0, pages*os.Getpagesize(), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return 0
	}
	defer syscall.Munmap(memory)
	began := time.Now()
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	return time.Since(began) / pages
}

func median[T cmp.Ordered](samples []sample, value func(sample) T) T {
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = value(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
