package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"ecr-continuous-scan/test/lambdaruntime"
)

// imagesOfRepository is the number of images in each repository of the pattern.
const imagesOfRepository = 10

// The most calls and processor time that the first visits of a pattern may need, as multiples of those of one repository with as many images.
const (
	mostCalls     = 1.3
	mostProcessor = 1.5
)

// patternWorlds returns the two worlds to compare: repositories that a pattern matches, and one repository with as many images. All scans are
// due.
func patternWorlds(repositories int) (pattern, one World) {
	pattern = World{Repositories: repositories, Images: imagesOfRepository, Findings: 5, ScannedAgo: 25 * time.Hour, Pattern: true}
	one = pattern
	one.Repositories, one.Images, one.Pattern = 1, repositories*imagesOfRepository, false
	return pattern, one
}

// firstVisits are what the first visits of a world needed, with the schedule that requested them.
type firstVisits struct {
	build     string
	world     World
	visits    int
	processor time.Duration
	calls     Calls
	peak      int64
}

// comparePattern measures the first visits of a pattern over many repositories and those of one repository with as many images, and prints both
// and their ratios.
func (m *measurement) comparePattern(ctx context.Context, builds []build, repositories int, out io.Writer) error {
	return m.withDeployments(builds, func() error {
		for _, d := range m.deployments {
			var all [2]firstVisits
			pattern, one := patternWorlds(repositories)
			for i, w := range []World{pattern, one} {
				var err error
				if all[i], err = d.firstVisits(ctx, w); err != nil {
					return fmt.Errorf("first visits of %d repositories, %s: %w", w.Repositories, d.name, err)
				}
			}
			if _, err := io.WriteString(out, ratioOfPattern(all[0], all[1])); err != nil {
				return err
			}
		}
		return nil
	})
}

// firstVisits runs a schedule and the visits that it requests, in one process. The clock of the stand-ins is ahead, so that what the process read
// counts as read after the messages were sent, as in a queue in which messages wait.
func (d *deployment) firstVisits(ctx context.Context, w World) (f firstVisits, err error) {
	now := time.Now().Add(time.Minute)
	if err := d.prepare(ctx, w, now); err != nil {
		return f, err
	}
	if err := d.call("Delay", now, &struct{}{}); err != nil {
		return f, err
	}
	p, err := d.start(ctx, "startscan", true)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	if err := d.call("TakeCalls", struct{}{}, &Calls{}); err != nil {
		return f, err
	}
	f = firstVisits{build: d.name, world: w}
	schedule := lambdaruntime.ScheduleEvent()
	schedule.Time = schedule.Time.Add(-time.Minute) // SQS ignores the messages of a schedule with the time of the one in prepare
	before := p.ProcessorTime()
	if _, err := p.invoke(ctx, schedule); err != nil {
		return f, err
	}
	for {
		var messages []types.Message
		if err := d.call("TakeMessages", struct{}{}, &messages); err != nil {
			return f, err
		}
		if len(messages) == 0 {
			break
		}
		for _, m := range messages {
			if _, err := p.invoke(ctx, lambdaruntime.SQSEvent([]types.Message{m})); err != nil {
				return f, err
			}
			f.visits++
		}
	}
	f.processor, f.peak = p.ProcessorTime()-before, p.PeakMemory()
	if err := d.call("TakeCalls", struct{}{}, &f.calls); err != nil {
		return f, err
	}
	delete(f.calls.SQS, "ReceiveMessage") // the calls of this program
	delete(f.calls.SQS, "DeleteMessage")
	if want := w.Repositories * w.Images; f.calls.ECR["StartImageScan"] != want || f.visits < w.Repositories {
		return f, fmt.Errorf("%d visits, want %d scans to be started; calls: %v\nlog:\n%.2000s", f.visits, want, f.calls, p.Logs())
	}
	return f, nil
}

// ratioOfPattern says what the first visits needed, and whether they reach the goals.
func ratioOfPattern(pattern, one firstVisits) string {
	text := ""
	for _, f := range []firstVisits{pattern, one} {
		text += fmt.Sprintf("%s: first visits of %d images in %d repositories: %d visits, %s s of a processor, %s calls to S3, ECR and SQS, %d MB\n",
			f.build, f.world.Repositories*f.world.Images, f.world.Repositories, f.visits, decimal(f.processor.Seconds()), f.calls, f.peak>>20)
	}
	goal := func(ratio, most float64) string {
		if ratio > most {
			return fmt.Sprintf("%.2f, more than %.1f!", ratio, most)
		}
		return fmt.Sprintf("%.2f (goal: %.1f)", ratio, most)
	}
	return text + fmt.Sprintf("%s: ratio of the calls %s, of the processor time %s\n", pattern.build,
		goal(float64(pattern.calls.sum())/float64(one.calls.sum()), mostCalls), goal(float64(pattern.processor)/float64(one.processor), mostProcessor))
}
