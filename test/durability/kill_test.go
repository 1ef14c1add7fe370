package durability

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/rescan"
)

// crash says at which call the process of a visit dies, and how the queue then delivers the visit's message.
type crash struct {
	// call is the number of the write or call to ECR at which the process dies; 0 is never. If completes
	// is true, S3 or ECR still completes the call.
	call      int
	completes bool
	delivery  string
	// removes is true if the repository's config is deleted before the visit.
	removes bool
}

// How the queue delivers the message of a visit that died.
const (
	lost       = "lost"       // not again
	redelivery = "redelivery" // once after 10 minutes
	duplicate  = "duplicate"  // twice at the same time after 10 minutes
	late       = "late"       // after the next schedule
)

// recorded is the record before a visit, after it, after the next schedule, and after the schedule that records the
// results of its scans; and the feed at the end.
type recorded struct{ before, after, next, end, feed []string }

// A visit can die at any write or call to ECR. Afterwards the record is either the old or the new one. After the
// next visit everything is as if the visit had not died, however the queue delivers the message.
func TestKilledAtEachCall(t *testing.T) {
	for _, removes := range []bool{false, true} {
		for _, delivery := range []string{lost, redelivery, duplicate, late} {
			for _, completes := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, call completes %t, config deleted %t", delivery, completes, removes), func(t *testing.T) {
					c := crash{completes: completes, delivery: delivery, removes: removes}
					killedAtEachCall(t, c)
				})
			}
		}
	}
}

func killedAtEachCall(t *testing.T, c crash) {
	var want, got recorded
	undisturbed := crash{delivery: lost, removes: c.removes}
	synctest.Test(t, func(t *testing.T) { want, _ = undisturbed.simulate(t) })
	died := true
	for died && !t.Failed() {
		c.call++
		synctest.Test(t, func(t *testing.T) { got, died = c.simulate(t) })
		if died {
			got.check(t, c.call, want)
		}
	}
	if c.call < 4 {
		t.Errorf("the visit died at only %d calls", c.call-1)
	}
}

// dueTags are the images whose scans the visit starts.
var dueTags = []string{"due", "due0", "due1", "due2", "due3", "due4"}

func (got recorded) check(t *testing.T, call int, want recorded) {
	t.Helper()
	if !slices.Equal(got.after, want.before) && !slices.Equal(got.after, want.after) {
		t.Errorf("call %d: the record is neither the old nor the new one (-old +got):\n%s", call, cmp.Diff(want.before, got.after))
	}
	isDue := func(line string) bool { return strings.HasPrefix(line, "due") }
	got.next, want.next = slices.DeleteFunc(got.next, isDue), slices.DeleteFunc(slices.Clone(want.next), isDue)
	if diff := cmp.Diff(want.next, got.next); diff != "" {
		t.Errorf("call %d: after the next schedule (-want +got):\n%s", call, diff)
	}
	if diff := cmp.Diff(want.end, got.end); diff != "" {
		t.Errorf("call %d: after the results of its scans (-want +got):\n%s", call, diff)
	}
	if diff := cmp.Diff(want.feed, got.feed); diff != "" {
		t.Errorf("call %d: the feed (-want +got):\n%s", call, diff)
	}
}

// simulate runs a visit that dies and everything after it. The compared dates are rounded to hours, so half an hour
// makes no difference.
func (c crash) simulate(t *testing.T) (r recorded, died bool) {
	w := newWorld(t)
	config := addConfig(t, w.service(), repo)
	w.push("one", "A:LOW B:LOW")
	w.push("two", "B:LOW")
	visit(t, w.service())
	for i := range 5 { // so many packs that the visit that dies merges them
		w.push(fmt.Sprint("due", i), "B:LOW")
		time.Sleep(10 * time.Minute)
		visit(t, w.service())
	}
	time.Sleep(25*time.Hour + 31*time.Minute)
	r.before = recordLines(t, w.s3)
	if c.removes {
		if err := w.service().Configs.Delete(t.Context(), config.ID, nil); err != nil {
			t.Fatal(err)
		}
	} else {
		w.rescan(t, "one", "A:HIGH C:LOW")
		w.rescan(t, "two", "B:LOW")
		w.push("three", "C:LOW")
		w.ecr.PutImage(ecrID(repo), ecr.Image{Tags: []string{"due"}, Findings: findings("D:HIGH")})
	}
	ctx, cancel := context.WithTimeout(t.Context(), visitTime)
	defer cancel()
	message := rescan.Received{Message: rescan.NewMessage(repo, config.ID), ID: "first", Sent: time.Now()}
	p := &process{diesAtCall: c.call, completes: c.completes, onDeath: func() { died = true; cancel() }}
	p.service(w.s3, w.ecr).Visitor.Visit(ctx, message)
	r.after = recordLines(t, w.s3)
	checkReadable(t, w.service())
	c.deliver(t, w, message)
	r.next = recordLines(t, w.s3, dueTags...)
	time.Sleep(29 * time.Minute)
	visit(t, w.service())
	r.end = recordLines(t, w.s3, dueTags...)
	if !c.removes {
		r.feed = read(t, w.service())
		time.Sleep(7 * time.Hour)
		visit(t, w.service())
	}
	images := 0
	for _, line := range r.end {
		if strings.Contains(line, ", scan sha256:") {
			images++
		}
	}
	left, want := keys(t, w.s3, "record/"), packKeys(t, w.s3)
	if !c.removes && !slices.Equal(left, append(want, indexKey)) || c.removes && len(left) > 0 {
		t.Errorf("call %d: the record has the packs %v, but the objects are %v", c.call, want, left)
	}
	return r, died
}

// deliver delivers the visit's message again as c.delivery says, and runs the next schedule half an hour after the
// visit.
func (c crash) deliver(t *testing.T, w *world, m rescan.Received) {
	t.Helper()
	began := time.Now()
	again := func() rescan.Outcome {
		ctx, cancel := context.WithTimeout(t.Context(), visitTime)
		defer cancel()
		return w.service().Visitor.Visit(ctx, m).Outcome
	}
	switch c.delivery {
	case redelivery:
		time.Sleep(10 * time.Minute)
		again()
	case duplicate:
		time.Sleep(10 * time.Minute)
		runConcurrently(again, again)
	}
	time.Sleep(time.Until(began.Add(30 * time.Minute)))
	visit(t, w.service())
	if outcome := rescan.VisitDropped; c.delivery == late {
		if got := again(); got != outcome && !c.removes {
			t.Errorf("call %d: the outcome of a late message is %s", c.call, got)
		}
	}
}

func runConcurrently(all ...func() rescan.Outcome) {
	done := make(chan struct{})
	for _, do := range all {
		go func() {
			do()
			done <- struct{}{}
		}()
	}
	for range all {
		<-done
	}
}
