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

// crash is when the process of a visit dies, and what becomes of the message of that visit.
type crash struct {
	// call is at which of its writes and calls to ECR; 0 is never. Afterwards tells that the call is done all the same.
	call       int
	afterwards bool
	delivery   string
	// removes tells that no config watches the repository any more.
	removes bool
}

// The ways in which the queue may deliver the message of a visit that died.
const (
	lost       = "lost"       // never again
	redelivery = "redelivery" // once more after 10 minutes
	duplicate  = "duplicate"  // twice at once after 10 minutes
	late       = "late"       // after the next schedule
)

// recorded is what is remembered before a visit, after it, after the next schedule, and after the one that sees the results of its scans.
type recorded struct{ before, after, next, end, feed []string }

// Whatever write or call to ECR a visit dies at, the record is the old or the new one, and after the next visit as if nothing had happened,
// however the queue delivers the message.
func TestKilledAtEachCall(t *testing.T) {
	for _, removes := range []bool{false, true} {
		for _, delivery := range []string{lost, redelivery, duplicate, late} {
			for _, afterwards := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, call done %t, nobody watches %t", delivery, afterwards, removes), func(t *testing.T) {
					c := crash{afterwards: afterwards, delivery: delivery, removes: removes}
					killedAtEachCall(t, c)
				})
			}
		}
	}
}

func killedAtEachCall(t *testing.T, c crash) {
	var want, got recorded
	undisturbed := crash{delivery: lost, removes: c.removes}
	synctest.Test(t, func(t *testing.T) { want, _ = undisturbed.live(t) })
	died := true
	for died && !t.Failed() {
		c.call++
		synctest.Test(t, func(t *testing.T) { got, died = c.live(t) })
		if died {
			got.check(t, c.call, want)
		}
	}
	if c.call < 4 {
		t.Errorf("it dies at %d calls only", c.call-1)
	}
}

func (got recorded) check(t *testing.T, call int, want recorded) {
	t.Helper()
	if !slices.Equal(got.after, want.before) && !slices.Equal(got.after, want.after) {
		t.Errorf("call %d: neither the old nor the new is remembered (-old +got):\n%s", call, cmp.Diff(want.before, got.after))
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

// live lives through a crash and what follows. What the visit does half an hour later or earlier has the same hour.
func (c crash) live(t *testing.T) (r recorded, died bool) {
	w := newWorld(t)
	config := addConfig(t, w.service(), repo)
	w.push("one", "A:LOW B:LOW")
	w.push("two", "B:LOW")
	visit(t, w.service())
	time.Sleep(25*time.Hour + 31*time.Minute)
	r.before = remembered(t, w.s3)
	if c.removes {
		if err := w.service().Configs.Delete(t.Context(), config.ID); err != nil {
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
	p := &process{dies: c.call, afterwards: c.afterwards, die: func() { died = true; cancel() }}
	p.service(w.s3, w.ecr).Visitor.Visit(ctx, message)
	r.after = remembered(t, w.s3)
	c.deliver(t, w, message)
	r.next = remembered(t, w.s3, "due")
	time.Sleep(29 * time.Minute)
	visit(t, w.service())
	r.end = remembered(t, w.s3, "due")
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
	left := keys(t, w.s3, "record/")
	if want := images + 1; !c.removes && len(left) != want || c.removes && len(left) > 0 {
		t.Errorf("call %d: %d histories are remembered, and there are the objects %v", c.call, images, left)
	}
	return r, died
}

// deliver has the message of the visit delivered in its way, and the next schedule done, half an hour after the visit.
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
		atOnce(again, again)
	}
	time.Sleep(time.Until(began.Add(30 * time.Minute)))
	visit(t, w.service())
	if outcome := rescan.VisitDropped; c.delivery == late {
		if got := again(); got != outcome && !c.removes {
			t.Errorf("call %d: a late message: the visit %s", c.call, got)
		}
	}
}

func atOnce(all ...func() rescan.Outcome) {
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
