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

// startedOnce checks that each image of the configs was started exactly once.
func startedOnce(t *testing.T, w *World, configs []scan.Config) {
	t.Helper()
	for _, c := range configs {
		for _, image := range w.ECR.Images(ID(c)) {
			if image.Starts != 1 {
				t.Errorf("%s %v was started %d times", c.ID, image.Tags, image.Starts)
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

// At 20 calls a second, 2,000 images take 100 s, or a second less if a second's worth may be sent at once. However the limit is shaped and the
// images are spread, the visits take no more than 1.3 times as long, though each image takes two calls that follow one another, and little is
// wasted on calls that are throttled.
func TestThrottledVisits(t *testing.T) {
	const images, perSecond = 2000, 20
	for _, test := range []struct{ repositories, burst int }{{1, 0}, {200, 0}, {1, 1}, {10, 100}} {
		t.Run(fmt.Sprintf("%d repositories, burst %d", test.repositories, test.burst), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				configs := repositories("us-west-2", test.repositories)
				w := New(configs...)
				for _, c := range configs {
					w.Fill(c, images/test.repositories)
				}
				w.Limit(perSecond, test.burst)
				report, took, err := w.Run(t.Context())
				if err != nil || report.Started != images || report.ImagesFailed()+report.Left+report.Count(rescan.VisitFailed) != 0 || len(report.Reports) != test.repositories {
					t.Errorf("%v, report %+v", err, report)
				}
				startedOnce(t, w, configs)
				if most := images / perSecond * time.Second * 13 / 10; took > most {
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

// Without throttling, a visit of many images is bound by the calls under way alone, 64 of 30 ms: while results are read, scans are started.
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
		if most := (images/64 + 3 + 2) * Latency; took > most { // with the three pages of the listing before
			t.Errorf("took %s, want %s at most", took, most)
		}
	})
}

// A limit that rises in the middle of a visit is soon used, and so is the lack of one.
func TestLimitThatRises(t *testing.T) {
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
			// 1,200 are done by then; at the old limit the rest would take 65 s more, at ten times the limit 7.
			if most := before + 20*time.Second; took > most {
				t.Errorf("%s: took %s, want %s at most", name, took, most)
			}
			t.Logf("%s: took %s", name, took)
		})
	}
}

// A limit that falls in the middle of a visit costs no error.
func TestLimitThatFalls(t *testing.T) {
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

// A visit whose time is up while it is throttled reports all that it did and left, and no failure; those that continue it do the rest.
func TestThrottledBeyondTheDeadline(t *testing.T) {
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
		if took >= VisitTime || report.Images != images || report.Started+report.Left > images || report.Left == 0 || report.Started < 500/3 || report.ImagesFailed() != 0 {
			t.Errorf("after %s, report %+v", took, report)
		}
		starts := 0
		for _, image := range w.ECR.Images(ID(c)) {
			starts += image.Starts
		}
		if starts != report.Started {
			t.Errorf("%d scans were started, the report says %d", starts, report.Started)
		}
		rest := w.VisitAll(t.Context())
		last := rest.Reports[len(rest.Reports)-1]
		if rest.Count(rescan.VisitContinued) != len(rest.Reports)-1 || !last.IsComplete() || rest.Started != images-starts || rest.ImagesFailed() != 0 {
			t.Errorf("%d visits continue it, %d start a scan, the last one ends with %+v", len(rest.Reports), rest.Started, last)
		}
		startedOnce(t, w, []scan.Config{c})
	})
}

// goodRegion lives through visits of ten repositories in one Region beside 150 in another that has a fault, and gives how long after the begin the
// last scan of the one Region was started. Ten visits that share its calls don't take the same time each time.
func goodRegion(t *testing.T, fault *awslocal.Fault) (last time.Duration) {
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
		w.ECR.Disturb(*fault)
	}
	began := time.Now()
	report, _, err := w.Run(t.Context())
	if err != nil || report.Started < 1000 {
		t.Errorf("%v, started %d", err, report.Started)
	}
	for _, c := range good {
		for _, image := range w.ECR.Images(ID(c)) {
			if image.Starts != 1 {
				t.Fatalf("an image of the good Region was started %d times", image.Starts)
			}
			last = max(last, image.ScannedAt.Sub(began.Add(time.Minute)))
		}
	}
	return last
}

// A Region that doesn't answer, or only after seconds, delays no other.
func TestBadRegionDelaysNoOther(t *testing.T) {
	// At the best: the lists, 16 rounds of 64 results, and the start of the last ones.
	const best = (1 + 16 + 2) * Latency
	for name, fault := range map[string]*awslocal.Fault{
		"alone": nil, "dead": {Hang: true}, "slow": {Delay: 20 * time.Second}, "failing": {Status: 500}, "throttling": {Code: "ThrottlingException"},
	} {
		synctest.Test(t, func(t *testing.T) {
			if took := goodRegion(t, fault); took > best*13/10 {
				t.Errorf("%s: the last scan of the good Region was started after %s, want %s at most", name, took, best*13/10)
			}
		})
	}
}
