package usecases

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/rescan"
	"ecr-continuous-scan/internal/scan"
)

func onceOf(m rescan.Message) string { return "once " + m.Repository }

// A schedule sends one message for each repository that a config watches or that has a record.
func TestSchedule(t *testing.T) {
	w := newService(&fakeRegistry{}, config("1", "app"), config("2", "lib"), config("3", "app", "a"), configInOtherRegion("4", "app"), config("5", "app"))
	w.records.set("app", func(*history.Record) {})
	w.records.set("old", func(*history.Record) {})
	report, err := w.visitor.Schedule(t.Context(), onceOf)
	if err != nil {
		t.Fatal(err)
	}
	sending := func(m rescan.Message) rescan.Sending { return rescan.Sending{Message: m, Once: onceOf(m)} }
	want := []rescan.Sending{
		sending(rescan.NewMessage(configInOtherRegion("", "app").Repo(), "4")), sending(rescan.NewMessage(config("", "app").Repo(), "1", "3", "5")),
		sending(rescan.NewMessage(config("", "lib").Repo(), "2")), sending(rescan.NewMessage(config("", "old").Repo(), []string{}...)),
	}
	if diff := cmp.Diff(want, w.queue.sent); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(rescan.ScheduleReport{Configs: 5, Repositories: 4, Sent: 4, Problems: []rescan.ScheduleProblem{}}, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// A schedule sends no messages while more messages are waiting than there are repositories.
func TestScheduleSendsNothingToALongQueue(t *testing.T) {
	w := newService(&fakeRegistry{}, config("1", "app"), config("2", "lib"))
	for _, want := range []int{2, 2, 0, 0} { // with two waiting messages it sends, with four it does not
		report, err := w.visitor.Schedule(t.Context(), onceOf)
		if err != nil || report.Sent != want || report.NotSent != 2-want {
			t.Errorf("%+v, %v, want %d sent", report, err, want)
		}
	}
	w.queue.next()
	w.queue.next()
	if report, err := w.visitor.Schedule(t.Context(), onceOf); err != nil || report.Sent != 2 {
		t.Errorf("with two waiting messages: %+v, %v", report, err)
	}
}

// The number of config ids in a message is limited. The record has the other ids.
func TestScheduleOfManyConfigs(t *testing.T) {
	var configs []scan.Config
	for i := range maxIDs + 10 {
		configs = append(configs, config(fmt.Sprint(i), "app"))
	}
	w := newService(&fakeRegistry{}, configs...)
	report, err := w.visitor.Schedule(t.Context(), onceOf)
	if err != nil || report.Sent != 1 || len(w.queue.sent[0].Configs) != maxIDs {
		t.Errorf("%+v, %v, %d ids", report, err, len(w.queue.sent[0].Configs))
	}
}

func TestScheduleReportsMessagesThatWereNotSent(t *testing.T) {
	var configs []scan.Config
	for i := range 250 {
		configs = append(configs, config(fmt.Sprint(i), fmt.Sprintf("app%03d", i)))
	}
	w := newService(&fakeRegistry{}, configs...)
	unavailable := &scan.Error{Code: scan.Unavailable, Message: "throttled by SQS"}
	w.queue.fail = func(m rescan.Message) error {
		if m.Repository < "app200" {
			return unavailable
		}
		return nil
	}
	report, err := w.visitor.Schedule(t.Context(), onceOf)
	if err != nil || report.Sent != 50 || report.NotSent != 200 || len(report.Problems) != maxProblems {
		t.Errorf("%d sent, %d not, %d problems, %v", report.Sent, report.NotSent, len(report.Problems), err)
	}
	if diff := cmp.Diff(rescan.ScheduleProblem{Registry: "123456789012", Region: "us-west-2", Repository: "app000", Error: "throttled by SQS"}, report.Problems[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.queue.fail = func(rescan.Message) error { return unavailable }
	w.queue.waiting = nil
	if report, err := w.visitor.Schedule(t.Context(), onceOf); !errors.Is(err, error(unavailable)) || report.NotSent != 250 {
		t.Errorf("none was sent: %d not sent, %v", report.NotSent, err)
	}
}

func TestScheduleFails(t *testing.T) {
	unavailable := &scan.Error{Code: scan.Unavailable}
	for name, breaks := range map[string]func(*service){
		"the configs can't be read": func(w *service) { w.configs.err = unavailable },
		"the queue can't be read":   func(w *service) { w.queue.waitingErr = unavailable },
	} {
		w := newService(&fakeRegistry{}, config("1", "app"))
		breaks(w)
		if _, err := w.visitor.Schedule(t.Context(), onceOf); scan.CodeOf(err) != scan.Unavailable || len(w.queue.sent) != 0 {
			t.Errorf("%s: %v, %d sent", name, err, len(w.queue.sent))
		}
	}
	if report, err := newService(&fakeRegistry{}).visitor.Schedule(t.Context(), onceOf); err != nil || report.Repositories != 0 {
		t.Errorf("no configs: %+v, %v", report, err)
	}
}

// A request for a visit that can't be sent is logged and is no error.
func TestRequestsNotSent(t *testing.T) {
	const warning = "could not request a visit"
	w := newService(&fakeRegistry{})
	requests := rescan.Requests{Queue: w.queue, Log: w.Log}
	app, web := config("1", "app", "a").Repo(), config("1", "web").Repo()
	requests.Request(t.Context(), config("1", "app", "a"), web)
	requests.Request(t.Context(), config("1", "app"))
	var sent []rescan.Message
	once := make(map[string]bool)
	for _, one := range w.queue.sent {
		sent, once[one.Once] = append(sent, one.Message), true
	}
	want := []rescan.Message{rescan.NewMessage(app, "1"), rescan.NewMessage(web, "1"), rescan.NewMessage(app, "1")}
	if diff := cmp.Diff(want, sent); diff != "" || strings.Contains(w.log.String(), warning) || len(once) != 3 {
		t.Errorf("%s, %d different deduplication ids (-want +got):\n%s", w.log, len(once), diff)
	}
	w.queue.fail = func(rescan.Message) error { return &scan.Error{Code: scan.Unavailable} }
	requests.Request(t.Context(), config("2", "app"))
	if len(w.queue.sent) != 3 || !strings.Contains(w.log.String(), warning) {
		t.Errorf("%d sent: %s", len(w.queue.sent), w.log)
	}
}

// If 1,000 configs for one repository are stored, one every 50 ms, there are only a few visits of the repository.
func TestManyRequestsLeadToFewVisits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const requested = 1000
		r := &fakeRegistry{images: map[string][]scan.Image{"app": {{Tag: "a", Digest: "1"}}}, list: func() { time.Sleep(20 * time.Second) }}
		w := newServiceInBubble(r)
		w.configs.set(config("0", "app"))
		requests := rescan.Requests{Queue: w.queue, Log: w.Log}
		var posts sync.WaitGroup
		posts.Go(func() {
			for i := range requested {
				c := config(fmt.Sprint(i), "app")
				w.configs.set(append(w.configs.configs[:i:i], c)...)
				requests.Request(t.Context(), c)
				time.Sleep(50 * time.Millisecond)
			}
		})
		synctest.Wait()
		outcomes := map[rescan.Outcome]int{}
		for m, ok := w.queue.next(); ok; m, ok = w.queue.next() {
			outcomes[w.visitor.Visit(t.Context(), m).Outcome]++
		}
		posts.Wait()
		// Visits begin at 0, 20, 40 and 60 seconds. There can be one more, because the begin is stored in whole
		// seconds.
		if visits := outcomes[rescan.VisitEnded]; visits < 4 || visits > 5 || outcomes[rescan.VisitDropped]+visits != requested {
			t.Errorf("%v", outcomes)
		}
		time.Sleep(30 * time.Minute)
		w.scheduleAndVisit(t)
		if n := len(w.records.of("app").Configs); n != requested {
			t.Errorf("after the next schedule the record names %d configs", n)
		}
	})
}
