package rescan_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecr-continuous-scan/internal/rescan"
)

func sending(repository string, configs ...string) rescan.Sending {
	return rescan.Sending{Message: rescan.Message{Registry: "123456789012", Region: "us-west-2", Repository: repository, Configs: configs}}
}

// visitor handles the messages of a queue. Each visit takes an hour, or the time in hold for its repository.
type visitor struct {
	t     *testing.T
	queue *rescan.Local
	hold  map[string]time.Duration

	mu                     sync.Mutex
	running, atOnce, ended int
	perRepo                map[string]int
	visits                 []rescan.Received
}

// start runs a queue with at most atOnce visits. The returned function stops it and waits until it has stopped.
func start(t *testing.T, atOnce int) (v *visitor, stop func()) {
	v = &visitor{t: t, queue: rescan.NewLocal(atOnce, time.Now), hold: map[string]time.Duration{}, perRepo: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.queue.Run(ctx, v.visit)
	}()
	return v, func() {
		cancel()
		<-done
	}
}

func (v *visitor) visit(_ context.Context, m rescan.Received) {
	v.mu.Lock()
	v.visits = append(v.visits, m)
	v.running++
	v.atOnce = max(v.atOnce, v.running)
	v.perRepo[m.Repository]++
	if v.perRepo[m.Repository] > 1 {
		v.t.Errorf("two visits of %s at once", m.Repository)
	}
	hold, ok := v.hold[m.Repository]
	if !ok {
		hold = time.Hour
	}
	v.mu.Unlock()

	time.Sleep(hold) // on the fake clock; a visit does not stop when ctx ends

	v.mu.Lock()
	defer v.mu.Unlock()
	v.running--
	v.perRepo[m.Repository]--
	v.ended++
}

func (v *visitor) send(s ...rescan.Sending) {
	v.t.Helper()
	if errs := v.queue.Send(v.t.Context(), s); errs != nil {
		v.t.Error(errs)
	}
}

// wantWaiting waits until all goroutines are idle, and checks the number of waiting messages.
func (v *visitor) wantWaiting(want int) {
	v.t.Helper()
	synctest.Wait()
	if got, err := v.queue.Waiting(v.t.Context()); got != want || err != nil {
		v.t.Errorf("%d messages are waiting (%v), want %d", got, err, want)
	}
}

// wantVisits checks the visits that have begun. It ignores the ids of their messages.
func (v *visitor) wantVisits(want ...rescan.Received) {
	v.t.Helper()
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	if diff := cmp.Diff(want, v.visits, cmpopts.IgnoreFields(rescan.Received{}, "ID"), cmpopts.EquateEmpty()); diff != "" {
		v.t.Errorf("visits (-want +got):\n%s", diff)
	}
	ids := map[string]bool{}
	for _, m := range v.visits {
		if m.ID == "" || ids[m.ID] {
			v.t.Errorf("the id %q of a message is empty or not unique", m.ID)
		}
		ids[m.ID] = true
	}
}

// counts returns the maximum number of concurrent visits and the number of visits that have ended.
func (v *visitor) counts() (atOnce, ended int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.atOnce, v.ended
}

func received(s rescan.Sending, at time.Time) rescan.Received {
	return rescan.Received{Message: s.Message, Sent: at.Truncate(time.Millisecond)}
}

func TestLocalVisitsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, stop := start(t, 1)
		defer stop()
		began := time.Now()
		var want []rescan.Received
		for i := range 5 {
			s := sending(fmt.Sprint("app", i), oneID)
			v.send(s)
			want = append(want, received(s, began))
		}
		v.wantWaiting(4)
		v.wantVisits(want[0])
		time.Sleep(4*time.Hour + time.Minute)
		v.wantWaiting(0)
		v.wantVisits(want...)
	})
}

func TestLocalLimitsConcurrentVisits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, stop := start(t, 3)
		defer stop()
		for i := range 10 {
			v.send(sending(fmt.Sprint("app", i)))
		}
		v.wantWaiting(7)
		time.Sleep(10 * time.Hour)
		v.wantWaiting(0)
		if atOnce, ended := v.counts(); atOnce != 3 || ended != 10 {
			t.Errorf("%d visits at once and %d in all, want 3 and 10", atOnce, ended)
		}
	})
}

// A visit that does not end blocks only the messages of its own repository.
func TestLocalHangingVisitBlocksOnlyItsRepository(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, stop := start(t, 2)
		defer stop()
		v.hold["hanging"] = 1000 * time.Hour
		v.send(sending("hanging"))
		synctest.Wait()
		v.send(sending("hanging"))
		for i := range 20 {
			v.send(sending(fmt.Sprint("app", i)))
		}
		time.Sleep(20*time.Hour + time.Minute)
		v.wantWaiting(1)
		if _, ended := v.counts(); ended != 20 {
			t.Errorf("%d visits have ended, want the 20 of the other repositories", ended)
		}
	})
}

// Messages that are sent during a visit lead to one more visit with the configs of all these messages.
func TestLocalMergesMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, stop := start(t, 2)
		defer stop()
		first, continuation, fresh := sending("app", oneID), sending("app", oneID), sending("app", otherID, oneID)
		backing := []string{oneID, "the sender's"}
		continuation.Configs, continuation.Continues = backing[:1], 4
		began := time.Now()
		v.send(first)
		v.wantVisits(received(first, began))
		time.Sleep(time.Minute)
		v.send(continuation)
		time.Sleep(time.Minute)
		later := time.Now()
		v.send(fresh)
		v.wantWaiting(1)
		merged := sending("app", oneID, otherID)
		merged.Continues = 4
		if diff := cmp.Diff([]string{oneID, "the sender's"}, backing); diff != "" {
			t.Errorf("the queue changed the sender's slice (-want +got):\n%s", diff)
		}
		v.wantVisits(received(first, began))
		time.Sleep(time.Hour)
		v.wantWaiting(0)
		v.wantVisits(received(first, began), received(merged, later))
	})
}

// Run waits for active visits. Waiting messages remain in the queue, and the next Run delivers them.
func TestLocalRunWaitsForVisits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, stop := start(t, 1)
		v.send(sending("one"), sending("two"))
		v.wantWaiting(1)
		began := time.Now()
		stop()
		if _, ended := v.counts(); ended != 1 || time.Since(began) != time.Hour {
			t.Errorf("Run ended after %v with %d visits ended, want 1h and 1", time.Since(began), ended)
		}
		v.wantWaiting(1)
		ctx, cancel := context.WithCancel(t.Context())
		again := make(chan string)
		go v.queue.Run(ctx, func(_ context.Context, m rescan.Received) { again <- m.Repository })
		if got := <-again; got != "two" {
			t.Errorf("the next Run delivers %s, want two", got)
		}
		cancel()
	})
}
