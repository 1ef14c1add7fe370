package scale

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

// checkStartedOnce checks that the scan of each image of the configs was started exactly once.
func checkStartedOnce(t *testing.T, w *World, configs []scan.Config) {
	t.Helper()
	for _, c := range configs {
		for _, image := range w.ECR.Images(ID(c)) {
			if image.ScansStarted != 1 {
				t.Errorf("the scan of %s %v was started %d times", c.ID, image.Tags, image.ScansStarted)
			}
		}
	}
}

func repositories(region string, n int) []scan.Config {
	configs := make([]scan.Config, n)
	for i := range configs {
		configs[i] = Config(region, fmt.Sprintf("team/app%d", i))
	}
	return configs
}

// At 20 calls per second, 2,000 images take 100 s, or one second less if ECR accepts the calls of a second as a
// burst. Visits of one repository take at most 1.05 times as long, although each image takes two calls one after the other. If ECR
// accepts no burst, or the list of each of 200 repositories must be read first, they take at most 1.2 times as long. Only a small part of
// the calls is throttled.
func TestThrottledVisits(t *testing.T) {
	const images, perSecond = 2000, 20
	for _, test := range []struct {
		repositories, burst int
		most                float64
	}{{1, 0, 1.05}, {200, 0, 1.2}, {1, 1, 1.2}, {10, 100, 1.1}} {
		t.Run(fmt.Sprintf("%d repositories, burst %d", test.repositories, test.burst), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				configs := repositories("us-west-2", test.repositories)
				w := New(configs...)
				for _, c := range configs {
					w.Fill(c, images/test.repositories)
				}
				w.Limit(perSecond, test.burst)
				report, took, err := w.Run(t.Context())
				if err != nil || report.Started != images || report.ImagesFailed()+report.NotReached+report.Count(rescan.VisitFailed) != 0 || len(report.Reports) != test.repositories {
					t.Errorf("%v, report %+v", err, report)
				}
				checkStartedOnce(t, w, configs)
				if most := time.Duration(images / perSecond * test.most * float64(time.Second)); took > most {
					t.Errorf("took %s, want %s at most", took, most)
				}
				calls, throttled := w.ECR.Count(), 0
				for _, op := range Operations() {
					n := calls.Errors[op]["ThrottlingException"]
					throttled += n
					if test.repositories == 1 && calls.Calls[op] > 100 && n*10 > calls.Calls[op] {
						t.Errorf("%d of %d calls of %s were throttled", n, calls.Calls[op], op)
					}
				}
				if throttled*10 > calls.Total() {
					t.Errorf("%d of %d calls were throttled", throttled, calls.Total())
				}
				t.Logf("took %s, %d calls, %.1f %% throttled", took, calls.Total(), 100*float64(throttled)/float64(calls.Total()))
			})
		})
	}
}

// Without throttling, the time of a visit of many images depends only on the number of concurrent calls, 64 of 30
// ms each. Scans are started while results are read.
func TestUnthrottledVisit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images = 2560
		c := Config("us-west-2", "app")
		w := New(c)
		w.Fill(c, images)
		report, took, err := w.Run(t.Context())
		if err != nil || report.Started != images {
			t.Errorf("%v, report %+v", err, report)
		}
		if most := (images/64 + 3 + 2 + 2) * Latency; took > most { // with the three pages of the list, and at first only 32 calls
			t.Errorf("took %s, want %s at most", took, most)
		}
	})
}

// If ECR's limit rises or disappears during a visit, the visit soon uses it.
func TestRisingLimit(t *testing.T) {
	for name, now := range map[string]float64{"tenfold": 200, "no limit": 0} {
		synctest.Test(t, func(t *testing.T) {
			const images, before = 2500, time.Minute
			c := Config("us-west-2", "app")
			w := New(c)
			w.Fill(c, images)
			undo := w.Limit(20, 0)
			time.AfterFunc(before, func() {
				undo()
				if now > 0 {
					w.Limit(now, 0)
				}
			})
			report, took, err := w.Run(t.Context())
			if err != nil || report.Started != images {
				t.Errorf("%s: %v, report %+v", name, err, report)
			}
			// 1,200 scans are started before the limit rises. The rest would take 65 s at the old limit and takes 7
			// s at the new one.
			if most := before + 20*time.Second; took > most {
				t.Errorf("%s: took %s, want %s at most", name, took, most)
			}
			t.Logf("%s: took %s", name, took)
		})
	}
}

// If ECR's limit falls during a visit, no scan fails.
func TestFallingLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images = 2000
		c := Config("us-west-2", "app")
		w := New(c)
		w.Fill(c, images)
		undo := w.Limit(200, 0)
		time.AfterFunc(5*time.Second, func() {
			undo()
			w.Limit(10, 0)
		})
		report, took, err := w.Run(t.Context())
		if err != nil || report.Started != images || report.ImagesFailed() != 0 {
			t.Errorf("%v, report %+v", err, report)
		}
		if most := 5*time.Second + images/10*time.Second*13/10; took > most {
			t.Errorf("took %s, want %s at most", took, most)
		}
	})
}

// A throttled visit that reaches its deadline reports what it did and what is left, without failures. The visits
// that continue it do the rest.
func TestThrottledVisitReachesItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images = 2000
		c := Config("us-west-2", "app")
		w := New(c)
		w.Fill(c, images)
		w.Limit(1, 0)
		began := time.Now()
		message := rescan.Received{Message: rescan.NewMessage(c.Repo(), c.ID), ID: "first", Sent: began}
		report := w.Visit(t.Context(), message)
		took := time.Since(began)
		if took >= VisitTime || report.Images != images || report.Started+report.NotReached > images || report.NotReached == 0 || report.Started < 500/3 || report.ImagesFailed() != 0 {
			t.Errorf("after %s, report %+v", took, report)
		}
		starts := 0
		for _, image := range w.ECR.Images(ID(c)) {
			starts += image.ScansStarted
		}
		if starts != report.Started {
			t.Errorf("%d scans were started, but the report says %d", starts, report.Started)
		}
		rest := w.VisitAll(t.Context())
		last := rest.Reports[len(rest.Reports)-1]
		if rest.Count(rescan.VisitContinued) != len(rest.Reports)-1 || !last.IsComplete() || rest.Started != images-starts || rest.ImagesFailed() != 0 {
			t.Errorf("%d visits continued it and started %d scans; the last report is %+v", len(rest.Reports), rest.Started, last)
		}
		checkStartedOnce(t, w, []scan.Config{c})
	})
}

// lastStart visits ten repositories in one Region and, if fault is not nil, at the same time 150 in another Region
// that has the fault. It returns the time until the last scan of the first Region was started. The time varies
// slightly, because ten visits share the Region's calls.
func lastStart(t *testing.T, fault *awslocal.Fault) (last time.Duration) {
	t.Helper()
	bad, good := repositories("us-east-1", 150), repositories("eu-west-1", 10)
	configs := good
	if fault != nil {
		configs = append(bad, good...)
	}
	w := New(configs...)
	for _, c := range good {
		w.Fill(c, 100)
	}
	if fault != nil {
		for _, c := range bad {
			w.Fill(c, 2)
		}
		fault.Region = "us-east-1"
		w.ECR.InjectFault(*fault)
	}
	began := time.Now()
	report, _, err := w.Run(t.Context())
	if err != nil || report.Started < 1000 {
		t.Errorf("%v, started %d", err, report.Started)
	}
	for _, c := range good {
		for _, image := range w.ECR.Images(ID(c)) {
			if image.ScansStarted != 1 {
				t.Fatalf("an image of the good Region was started %d times", image.ScansStarted)
			}
			last = max(last, image.ScannedAt.Sub(began.Add(time.Minute)))
		}
	}
	return last
}

// A Region that does not respond, or only after seconds, does not delay another Region.
func TestFailingRegionDoesNotDelayOthers(t *testing.T) {
	// The shortest possible time: the lists, 16 rounds of 64 results, and the starts of the last scans.
	const best = (1 + 16 + 2) * Latency
	for name, fault := range map[string]*awslocal.Fault{
		"no fault": nil, "hanging": {Hang: true}, "slow": {Delay: 20 * time.Second}, "failing": {Status: 500}, "throttling": {Code: "ThrottlingException"},
	} {
		synctest.Test(t, func(t *testing.T) {
			if took := lastStart(t, fault); took > best*13/10 {
				t.Errorf("%s: the last scan of the good Region was started after %s, want %s at most", name, took, best*13/10)
			}
		})
	}
}
