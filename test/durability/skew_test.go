package durability

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/test/awstest"
)

// Processes whose clocks are an hour fast or slow take turns. The changes and their dates are the same as with a
// correct clock.
func TestWrongClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &randomWorld{world: newWorld(t), random: rand.New(rand.NewPCG(5, 5))}
		rightS3 := newS3(t)
		right := (&process{}).service(rightS3, u.ecr)
		var wrong []*awstest.Service
		for _, skew := range []time.Duration{time.Hour, -time.Hour, 30 * time.Minute} {
			wrong = append(wrong, (&process{skew: skew}).service(u.s3, u.ecr))
		}
		for _, w := range []*awstest.Service{right, wrong[0]} {
			addConfig(t, w, repo)
		}
		start := time.Now()
		for round := range 100 {
			time.Sleep(time.Until(start.Add(time.Duration(round+1) * every)))
			u.change()
			startNone := u.ecr.InjectFault(noStarts) // no scan starts before both buckets have the result of the previous one
			visit(t, right)
			visit(t, wrong[u.random.IntN(3)])
			startNone()
			diff := cmp.Diff(read(t, right), read(t, wrong[u.random.IntN(3)]))
			visit(t, right)
			visit(t, wrong[u.random.IntN(3)])
			if diff != "" {
				t.Fatalf("round %d: the feed (-right +wrong):\n%s", round, diff)
			}
		}
		if diff := cmp.Diff(recordLines(t, rightS3), recordLines(t, u.s3)); diff != "" {
			t.Errorf("the record (-right +wrong):\n%s", diff)
		}
	})
}
