package queue

import (
	"strings"
	"sync"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/sqslocal"
)

// killing kills all functions each time when so many scans were tried.
func (w *world) killing(over <-chan struct{}, at ...int) {
	for _, n := range at {
		for w.starts() < n {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
			}
		}
		w.killAll()
	}
}

// shows tells whether the recorded summary has an image.
func (w *world) shows(image string) bool {
	w.t.Helper()
	overview, err := w.Reader.Summary(w.t.Context(), time.Time{})
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Contains(string(render.Summary(overview, scan.Filter{})), "Results for "+image+" in ")
}

// wantGone deletes a tag of the large repository, and checks that it is gone after the next visits, and its neighbour is not.
func (w *world) wantGone(deleted, neighbour string) {
	w.t.Helper()
	if !w.shows("team/large:" + deleted) {
		w.t.Errorf("%s is not there before it is deleted", deleted)
	}
	if err := w.ECR.DeleteImage(ecr.RepositoryID{Name: "team/large"}, deleted); err != nil {
		w.t.Fatal(err)
	}
	w.schedule(1)
	w.work()
	if w.shows("team/large:"+deleted) || !w.shows("team/large:"+neighbour) {
		w.t.Errorf("%s is still there, or its neighbour is gone", deleted)
	}
}

// Over more than 3,000 images, with two schedules at once and all functions killed three times, every image that is due is started once, and
// no two visits of a repository overlap. The next visits find nothing to do; after those, a tag that was deleted is gone.
func TestEverythingIsStartedOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("too long for the race detector")
	}
	queue := awstest.StartQueue(t, sqslocal.Options{Visibility: visibility, MaxReceive: 50})
	w := newWorld(t, queue.Endpoint, queue.URL)
	w.schedule(2)
	if state := queue.SQS.State(); state.Visible != 2*len(sizes()) {
		t.Errorf("two schedules at once: %+v", state)
	}
	over := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() { w.killing(over, 200, 900, 2000) })
	w.work()
	close(over)
	killer.Wait()
	w.wantOnceEach()
	logs := w.logs()
	for _, want := range []string{`"VisitsContinued":1`, `"MessagesDropped":1`} {
		if !strings.Contains(logs, want) {
			t.Errorf("no %s in the log: too quiet to show anything", want)
		}
	}
	if len(w.functions) < workers+3 || w.again < 3 {
		t.Errorf("%d functions lived, and %d messages came again: too quiet to show anything", len(w.functions), w.again)
	}

	began := w.starts()
	w.schedule(1)
	w.work()
	w.wantOnceEach()
	if again := w.starts() - began; again > 0 {
		t.Errorf("the next visits tried %d starts", again)
	}
	w.wantGone("v1501", "v1502")
	if dead := queue.SQS.DeadLetters(); len(dead) > 0 {
		t.Errorf("dead letters: %v", dead)
	}
}
