package scale

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
)

var growth = flag.Bool("growth", false, "simulate up to 100,000 images in TestGrowth, and print a table")

// cost is the cost of one operation on a simulated ECR.
type cost struct {
	time      time.Duration // simulated
	processor time.Duration // including that of the embedded services
	calls     int           // to ECR
	// memory is the maximum of bytes of heap and stacks in use, without those that were in use before or remain afterwards: the embedded
	// services keep data in memory too.
	memory uint64
}

// grown are the costs of a number of images: of their first visits, of visits in which nothing is due, of visits in which all scans are
// due, and of the summary as a page. sizes are the bytes of the summary by format.
type grown struct {
	images, repositories   int
	first, idle, due, page cost
	sizes                  map[string]int
	peak                   atomic.Uint64
}

// visitsOfProcess is the number of visits at once. In Lambda each has its own process.
const visitsOfProcess = 5

// Time, calls and memory grow at most linearly with the number of images, in one repository and in many. The flag -growth measures up to
// 100,000 images, which takes many minutes.
func TestGrowth(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	series := map[int][]int{1: {100, 1000}, 100: {1000}}
	if *growth {
		series = map[int][]int{1: {100, 1_000, 10_000, 100_000}, 1000: {1_000, 10_000, 100_000}}
		defer debug.SetGCPercent(debug.SetGCPercent(50)) // frequent collections make the measured memory more precise
		fmt.Println("| images in repositories | first visits | visits, all due | visits, nothing due | summary page | page / text / CSV / JSON, MB |\n| --- | --- | --- | --- | --- | --- |")
	}
	for _, repositories := range []int{1, 100, 1000} {
		var last *grown
		for _, images := range series[repositories] {
			g := &grown{images: images, repositories: repositories, sizes: map[string]int{}}
			ended := make(chan struct{})
			go watch(&g.peak, ended)
			synctest.Test(t, g.simulate)
			close(ended)
			g.check(t, last)
			last = g
			t.Log(g.row())
			if *growth {
				fmt.Println(g.row())
			}
		}
	}
}

// simulate runs the operations. The findings of the images do not change.
func (g *grown) simulate(t *testing.T) {
	configs := repositories("us-west-2", g.repositories)
	w := New(configs...)
	w.MaxConcurrentVisits = visitsOfProcess
	findings := []ecr.Finding{{Name: "CVE-2026-1", Severity: "HIGH"}, {Name: "CVE-2026-2", Severity: "LOW"}, {Name: "CVE-2026-3", Severity: "LOW"}}
	for _, c := range configs {
		for i := range g.images / g.repositories {
			w.ECR.PutImage(ID(c), ecr.Image{Tags: []string{fmt.Sprintf("v%d", i)}, ScannedAt: time.Now().Add(-25 * time.Hour), Findings: findings})
		}
	}
	run := func(starts int) func(context.Context) error {
		return func(ctx context.Context) error {
			visits, _, err := w.Run(ctx)
			if err == nil && visits.Started != starts {
				err = fmt.Errorf("started %d of %d: %+v", visits.Started, starts, visits.Tally)
			}
			return err
		}
	}
	g.first = g.measure(t, w, run(g.images))
	time.Sleep(every)
	_ = g.measure(t, w, run(0)) // reads the results
	time.Sleep(every)
	g.idle = g.measure(t, w, run(0))
	g.page = g.measure(t, w, g.read(w, "html"))
	if err := g.read(w, "text", "csv", "json")(t.Context()); err != nil {
		t.Error(err)
	}
	time.Sleep(24 * time.Hour)
	g.due = g.measure(t, w, run(g.images))
}

// read returns the function that reads the summary in the given formats.
func (g *grown) read(w *World, formats ...string) func(context.Context) error {
	handler := w.Handler("https://api.example")
	return func(context.Context) error {
		for _, format := range formats {
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequest("GET", "/summary?format="+format, nil))
			if answer.Code != 200 {
				return fmt.Errorf("%s: status %d, %.300s", format, answer.Code, answer.Body)
			}
			g.sizes[format] = answer.Body.Len()
		}
		return nil
	}
}

// check compares the costs with those of fewer images, and with the limits of the functions.
func (g *grown) check(t *testing.T, last *grown) {
	if last == nil {
		last = &grown{}
	}
	const memory, memoryOfVisit, largestAnswer = 512 << 20, 192 << 20, 6 << 20 // of a function
	for name, c := range map[string][2]cost{"first visit": {g.first, last.first}, "visit, nothing due": {g.idle, last.idle}, "visit, all due": {g.due, last.due}} {
		now, before := c[0], c[1]
		if before.calls > 0 {
			more := float64(g.images) / float64(last.images)
			if calls, simulated := float64(now.calls)/float64(before.calls)/more, float64(now.time)/float64(before.time)/more; calls > 1.15 || simulated > 1.15 { // 10,000 images need 11 pages of a list, and 1,000 need 1
				t.Errorf("%d images, %s: %.2f times the calls and %.2f times the time of linear growth", g.images, name, calls, simulated)
			}
		}
		if now.memory > memoryOfVisit {
			t.Errorf("%d images, %s: %d MiB of memory", g.images, name, now.memory>>20)
		}
	}
	if g.page.memory > memory || g.sizes["html"] > largestAnswer {
		t.Errorf("%d images, summary page: %d MiB of memory, %d bytes", g.images, g.page.memory>>20, g.sizes["html"])
	}
}

// row returns the row of the table in docs/operations.md.
func (g *grown) row() string {
	cells := []string{fmt.Sprintf("%d in %d", g.images, g.repositories)}
	for _, c := range []cost{g.first, g.due, g.idle} {
		cells = append(cells, fmt.Sprintf("%.2f s, %d, %d MiB", c.time.Seconds(), c.calls, c.memory>>20))
	}
	megabytes := func(format string) string { return fmt.Sprintf("%.1f", float64(g.sizes[format])/1e6) }
	cells = append(cells, fmt.Sprintf("%.1f s, %d MiB", g.page.processor.Seconds(), g.page.memory>>20), strings.Join([]string{megabytes("html"), megabytes("text"), megabytes("csv"), megabytes("json")}, " / "))
	return "| " + strings.Join(cells, " | ") + " |"
}

// watch sets peak to the maximum of the live bytes until ended is closed. It must be called outside of a bubble.
func watch(peak *atomic.Uint64, ended <-chan struct{}) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			peak.Store(max(peak.Load(), liveBytes()))
		case <-ended:
			return
		}
	}
}

// measure runs an operation. While it runs, a goroutine outside of the bubble reads the memory.
func (g *grown) measure(t *testing.T, w *World, operation func(context.Context) error) (c cost) {
	t.Helper()
	runtime.GC()
	w.ECR.ResetCount()
	before, began, used := liveBytes(), time.Now(), processorTime()
	g.peak.Store(0)
	if err := operation(t.Context()); err != nil {
		t.Fatal(err)
	}
	peak := g.peak.Load()
	c.time, c.processor, c.calls = time.Since(began), processorTime()-used, w.ECR.Count().Total()
	runtime.GC()
	c.memory = peak - min(peak, max(before, liveBytes()))
	return c
}

// liveBytes returns the bytes of the heap that the last garbage collection found in use, plus those of the stacks.
func liveBytes() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64()
}

// processorTime returns the processor time of this process.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails only for a wrong argument
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
