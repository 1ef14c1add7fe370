package bench

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
	"ecr-continuous-scan/test/scale"
)

// cost is what one operation on a simulated ECR takes.
type cost struct {
	images    int
	time      time.Duration // simulated
	calls     int
	allocated uint64 // bytes, with what the embedded ECR allocates
	peak      uint64 // bytes of heap and stacks in use at most, above those before the operation
}

// BenchmarkScanRun visits so many images, each of them due, on a fake clock and with ECR answering after 30 ms.
func BenchmarkScanRun(b *testing.B) {
	growing(b, func(context.Context, *scale.World) error { return nil }, func(ctx context.Context, w *scale.World, images int) error {
		visits, _, err := w.Run(ctx)
		if err == nil && visits.Started != images {
			err = fmt.Errorf("started %d of %d", visits.Started, images)
		}
		return err
	})
}

// BenchmarkSummarySimulated sums the same images up, from the records of visits.
func BenchmarkSummarySimulated(b *testing.B) {
	visit := func(ctx context.Context, w *scale.World) error {
		_, _, err := w.Run(ctx)
		return err
	}
	growing(b, visit, func(ctx context.Context, w *scale.World, images int) error {
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

// growing measures an operation for more and more images, in one repository and at last in a thousand, and how its cost grows in relation to
// them: 1 is linear. A simulation gives the same figures each time, so each is made once, whatever the number of rounds.
// What prepare does before is not measured.
func growing(b *testing.B, prepare func(context.Context, *scale.World) error, operation func(context.Context, *scale.World, int) error) {
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
		if last.calls > 0 { // else nothing takes simulated time
			b.ReportMetric(float64(c.time)/float64(last.time)/more, "×linear-time")
			b.ReportMetric(float64(c.calls)/float64(last.calls)/more, "×linear-calls")
		}
		b.ReportMetric(float64(c.peak)/float64(last.peak)/more, "×linear-peak")
	}
}

// simulate measures the operation in a bubble of synctest, which only a test can have.
func simulate(b *testing.B, images, repositories int, prepare func(context.Context, *scale.World) error, operation func(context.Context, *scale.World, int) error) (c cost) {
	b.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // so that what is alive is known closely enough
	ok := testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "simulation", F: func(t *testing.T) {
			ended, peak := make(chan struct{}), make(chan uint64)
			go func() { peak <- mostAlive(ended) }()
			synctest.Test(t, func(t *testing.T) {
				configs := make([]scan.Config, repositories)
				for i := range configs {
					configs[i] = scale.Config("us-west-2", fmt.Sprintf("team/app%d", i))
				}
				w := scale.New(configs...)
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

// measureOne leaves what was alive before in peak.
func measureOne(t *testing.T, w *scale.World, images int, operation func(context.Context, *scale.World, int) error) cost {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := cost{images: images, peak: alive()}
	began := time.Now()
	if err := operation(t.Context(), w, images); err != nil {
		t.Error(err)
	}
	c.time = time.Since(began)
	runtime.ReadMemStats(&after)
	c.allocated, c.calls = after.TotalAlloc-before.TotalAlloc, w.ECR.Count().Total()
	return c
}

// mostAlive looks again and again until ended.
func mostAlive(ended <-chan struct{}) (most uint64) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			most = max(most, alive())
		case <-ended:
			return most
		}
	}
}

// alive is what the last collection of garbage found in use of the heap, and the stacks, in bytes.
func alive() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64()
}

// BenchmarkThrottledRun starts 2,000 images at 20 calls a second for each operation, on a fake clock.
func BenchmarkThrottledRun(b *testing.B) {
	const images, perSecond = 2000, 20
	bubble(b, func(t *testing.T) {
		c := scale.Config("us-west-2", "team/app")
		w := scale.New(c)
		w.Fill(c, images)
		w.Limit(perSecond, 0)
		visits, took, err := w.Run(t.Context())
		if err != nil || visits.Started != images {
			t.Errorf("%v, visits %+v", err, visits.Tally)
		}
		count, throttled := w.ECR.Count(), 0
		for _, op := range scale.Operations() {
			throttled += count.Errors[op]["ThrottlingException"]
		}
		b.ReportMetric(took.Seconds()/(images/perSecond), "×floor")
		b.ReportMetric(100*float64(throttled)/float64(count.Total()), "%throttled")
	})
	b.ReportMetric(0, "ns/op")
}

// BenchmarkWeek lives through a week, on a fake clock.
func BenchmarkWeek(b *testing.B) {
	bubble(b, func(t *testing.T) {
		r, err := scale.Week(t.Context())
		if err != nil {
			t.Error(err)
		}
		b.ReportMetric(r.Oldest.Hours(), "h-oldest-scan")
		b.ReportMetric(100*float64(r.Refused)/float64(r.Calls), "%refused")
		b.ReportMetric(float64(r.Calls)/float64(r.Runs), "calls/run")
	})
	b.ReportMetric(0, "ns/op")
}

// bubble runs f in a bubble of synctest, which only a test can have.
func bubble(b *testing.B, f func(*testing.T)) {
	b.Helper()
	ok := testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "simulation", F: func(t *testing.T) { synctest.Test(t, f) },
	}})
	if !ok {
		b.FailNow()
	}
}
