package scale

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// cost is the cost of one operation on a simulated ECR.
type cost struct {
	images    int
	time      time.Duration // simulated
	calls     int
	allocated uint64 // bytes, including those of the embedded ECR
	peak      uint64 // maximum bytes of heap and stacks in use, minus those before the operation
}

// BenchmarkScanRun visits repositories in which each image is due, on a fake clock. ECR responds after 30 ms.
func BenchmarkScanRun(b *testing.B) {
	benchmarkSizes(b, func(context.Context, *World) error { return nil }, func(ctx context.Context, w *World, images int) error {
		visits, _, err := w.Run(ctx)
		if err == nil && visits.Started != images {
			err = fmt.Errorf("started %d of %d", visits.Started, images)
		}
		return err
	})
}

// BenchmarkSummarySimulated reads the summary of the same images from the records.
func BenchmarkSummarySimulated(b *testing.B) {
	visit := func(ctx context.Context, w *World) error {
		_, _, err := w.Run(ctx)
		return err
	}
	benchmarkSizes(b, visit, func(ctx context.Context, w *World, images int) error {
		overview, err := w.Reader.Summary(ctx, time.Time{})
		n := 0
		for _, r := range overview.Reports {
			n += len(r.Images)
		}
		if err == nil && n != images {
			err = fmt.Errorf("%d of %d images", n, images)
		}
		return err
	})
}

// benchmarkSizes measures an operation for growing numbers of images, first in one repository and finally in a
// thousand. It reports how the cost grows relative to the number of images: 1 is linear. A simulation always gives
// the same figures, so each size runs once, whatever the number of rounds. prepare is not measured.
func benchmarkSizes(b *testing.B, prepare func(context.Context, *World) error, operation func(context.Context, *World, int) error) {
	var last cost
	for _, size := range []struct{ images, repositories int }{{100, 1}, {1_000, 1}, {10_000, 1}, {100_000, 1}, {100_000, 1_000}} {
		var c cost
		b.Run(fmt.Sprintf("%dimages/%drepositories", size.images, size.repositories), func(b *testing.B) {
			if c.images == 0 {
				c = simulate(b, size.images, size.repositories, prepare, operation)
			}
			c.report(b, last)
		})
		last = c
	}
}

func (c cost) report(b *testing.B, last cost) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(c.time.Seconds(), "simulated-s")
	b.ReportMetric(float64(c.calls)/float64(c.images), "calls/image")
	b.ReportMetric(float64(c.allocated)/float64(c.images)/1024, "alloc-KiB/image")
	b.ReportMetric(float64(c.peak)/(1<<20), "peak-MiB")
	if last.images > 0 {
		more := float64(c.images) / float64(last.images)
		if last.calls > 0 { // without calls, no simulated time passes
			b.ReportMetric(float64(c.time)/float64(last.time)/more, "×linear-time")
			b.ReportMetric(float64(c.calls)/float64(last.calls)/more, "×linear-calls")
		}
		b.ReportMetric(float64(c.peak)/float64(last.peak)/more, "×linear-peak")
	}
}

// simulate measures the operation in a bubble of package synctest. Only tests can create a bubble.
func simulate(b *testing.B, images, repositories int, prepare func(context.Context, *World) error, operation func(context.Context, *World, int) error) (c cost) {
	b.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // frequent collections make the measured live memory precise enough
	ok := testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "simulation", F: func(t *testing.T) {
			ended, peak := make(chan struct{}), make(chan uint64)
			go func() { peak <- peakLiveBytes(ended) }()
			synctest.Test(t, func(t *testing.T) {
				configs := make([]scan.Config, repositories)
				for i := range configs {
					configs[i] = Config("us-west-2", fmt.Sprintf("team/app%d", i))
				}
				w := New(configs...)
				for _, config := range configs {
					w.Fill(config, images/repositories)
				}
				if err := prepare(t.Context(), w); err != nil {
					t.Error(err)
				}
				w.ECR.ResetCount()
				c = measureOne(t, w, images, operation)
			})
			close(ended)
			c.peak = max(<-peak, c.peak) - c.peak
		},
	}})
	if !ok {
		b.FailNow()
	}
	return c
}

// measureOne runs the operation. It sets peak to the live bytes before the operation.
func measureOne(t *testing.T, w *World, images int, operation func(context.Context, *World, int) error) cost {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := cost{images: images, peak: liveBytes()}
	began := time.Now()
	if err := operation(t.Context(), w, images); err != nil {
		t.Error(err)
	}
	c.time = time.Since(began)
	runtime.ReadMemStats(&after)
	c.allocated, c.calls = after.TotalAlloc-before.TotalAlloc, w.ECR.Count().Total()
	return c
}

// peakLiveBytes measures the live bytes repeatedly until ended is closed.
func peakLiveBytes(ended <-chan struct{}) (most uint64) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			most = max(most, liveBytes())
		case <-ended:
			return most
		}
	}
}

// liveBytes returns the bytes of the heap that the last garbage collection found in use, plus those of the stacks.
func liveBytes() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64()
}

// BenchmarkThrottledRun starts scans of 2,000 images at 20 calls per second, on a fake clock.
func BenchmarkThrottledRun(b *testing.B) {
	const images, perSecond = 2000, 20
	runInBubble(b, func(t *testing.T) {
		c := Config("us-west-2", "team/app")
		w := New(c)
		w.Fill(c, images)
		w.Limit(perSecond, 0)
		visits, took, err := w.Run(t.Context())
		if err != nil || visits.Started != images {
			t.Errorf("%v, visits %+v", err, visits.Tally)
		}
		count, throttled := w.ECR.Count(), 0
		for _, op := range Operations() {
			throttled += count.Errors[op]["ThrottlingException"]
		}
		b.ReportMetric(took.Seconds()/(images/perSecond), "×floor")
		b.ReportMetric(100*float64(throttled)/float64(count.Total()), "%throttled")
	})
	b.ReportMetric(0, "ns/op")
}

// BenchmarkWeek simulates a week, on a fake clock.
func BenchmarkWeek(b *testing.B) {
	runInBubble(b, func(t *testing.T) {
		r, err := Week(t.Context())
		if err != nil {
			t.Error(err)
		}
		b.ReportMetric(r.Oldest.Hours(), "h-oldest-scan")
		b.ReportMetric(100*float64(r.Refused)/float64(r.Calls), "%refused")
		b.ReportMetric(float64(r.Calls)/float64(r.Schedules), "calls/run")
	})
	b.ReportMetric(0, "ns/op")
}

// runInBubble runs f in a bubble of package synctest. Only tests can create a bubble.
func runInBubble(b *testing.B, f func(*testing.T)) {
	b.Helper()
	ok := testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "simulation", F: func(t *testing.T) { synctest.Test(t, f) },
	}})
	if !ok {
		b.FailNow()
	}
}
