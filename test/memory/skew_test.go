package memory

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
)

// Processes whose clocks are an hour ahead and behind take turns. What is told, and when, is the same as with a clock that is right.
func TestClocksThatAreWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upheaval{world: newWorld(t), random: rand.New(rand.NewPCG(5, 5))}
		alone := newS3(t)
		right := (&process{}).watch(alone, u.ecr)
		var wrong []*scan.Watch
		for _, skew := range []time.Duration{time.Hour, -time.Hour, 30 * time.Minute} {
			wrong = append(wrong, (&process{skew: skew}).watch(u.s3, u.ecr))
		}
		for _, w := range []*scan.Watch{right, wrong[0]} {
			addConfig(t, w, repo)
		}
		start := time.Now()
		for round := range 100 {
			time.Sleep(time.Until(start.Add(time.Duration(round+1) * every)))
			u.change()
			diff := cmp.Diff(read(t, right), read(t, wrong[u.random.IntN(3)]))
			run(t, right)
			run(t, wrong[u.random.IntN(3)])
			if diff != "" {
				t.Fatalf("round %d: the feed (-right +wrong):\n%s", round, diff)
			}
		}
		if diff := cmp.Diff(remembered(t, alone), remembered(t, u.s3)); diff != "" {
			t.Errorf("the record (-right +wrong):\n%s", diff)
		}
	})
}
