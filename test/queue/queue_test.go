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

// killAllAt kills all functions each time ECR has received one of the given numbers of calls to start a scan.
func (w *world) killAllAt(over <-chan struct{}, at ...int) {
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

// shows reports whether the summary contains an image.
func (w *world) shows(image string) bool {
	w.t.Helper()
	overview, err := w.Reader.Summary(w.t.Context(), time.Time{})
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Contains(string(render.Summary(overview, scan.Filter{})), "Results for "+image+" in ")
}

// checkDeletedTag deletes a tag of the large repository. After the next visits, the summary must not contain it but
// must contain its neighbour.
func (w *world) checkDeletedTag(deleted, neighbour string) {
	w.t.Helper()
	if !w.shows("team/large:" + deleted) {
		w.t.Errorf("the summary does not contain %s before it is deleted", deleted)
	}
	if err := w.ECR.DeleteImage(ecr.RepositoryID{Name: "team/large"}, deleted); err != nil {
		w.t.Fatal(err)
	}
	w.schedule(1)
	w.work()
	if w.shows("team/large:"+deleted) || !w.shows("team/large:"+neighbour) {
		w.t.Errorf("the summary still contains %s, or does not contain its neighbour", deleted)
	}
}

// With more than 3,000 images, two schedules at once, and all functions killed three times, the scan of each due
// image is started once, and visits of a repository never overlap. The next visits start no scan, and after them a
// deleted tag is not shown.
func TestEachDueScanIsStartedOnce(t *testing.T) {
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
	killer.Go(func() { w.killAllAt(over, 200, 900, 2000) })
	w.work()
	close(over)
	killer.Wait()
	w.checkEachStartedOnce()
	logs := w.logs()
	for _, want := range []string{`"outcome":"continued"`, `"outcome":"dropped"`} {
		if !strings.Contains(logs, want) {
			t.Errorf("no %s in the log: the test did not cover this case", want)
		}
	}
	if len(w.functions) < workers+3 || w.redelivered < 3 {
		t.Errorf("%d functions ran and %d messages were redelivered: the test did not cover these cases", len(w.functions), w.redelivered)
	}

	began := w.starts()
	w.schedule(1)
	w.work()
	w.checkEachStartedOnce()
	if again := w.starts() - began; again > 0 {
		t.Errorf("the next visits tried to start %d scans", again)
	}
	w.checkDeletedTag("v1501", "v1502")
	if dead := queue.SQS.DeadLetters(); len(dead) > 0 {
		t.Errorf("dead letters: %v", dead)
	}
}
