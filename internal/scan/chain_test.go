package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// scanID makes an id of a number.
func scanID(n int) string { return fmt.Sprintf("0190c0de-0000-7000-8000-%012d", n) }

// chainsOf is chains over configs 0, 1 …, each of which watches the repository of that name, with a clock of the fake time.
func chainsOf(r *fakeRegistry, repositories ...string) (*Chains, *fakeQueue, *fakeMarkers) {
	var configs []Config
	for i, repo := range repositories {
		configs = append(configs, config(scanID(i), repo))
	}
	w := watchOf(r, configs...)
	queue, markers := &fakeQueue{}, &fakeMarkers{now: w.Now}
	return &Chains{Watch: w, Queue: queue, Markers: markers}, queue, markers
}

// setTime changes the clock of everything.
func setTime(c *Chains, m *fakeMarkers, now time.Time) {
	c.Watch.Now = func() time.Time { return now }
	m.now = c.Watch.Now
}

func TestScheduleAndWork(t *testing.T) {
	r := &fakeRegistry{images: map[string][]Image{"a": numbered(7), "b": numbered(2)}, fail: map[string]error{"gone": &Error{Code: RepositoryNotFound, Message: "gone"}}}
	c, queue, markers := chainsOf(r, "a", "b", "gone")
	report, err := c.Schedule(t.Context())
	if diff := cmp.Diff(ScheduleReport{Configs: 3, Sent: 3, Problems: []ScheduleProblem{}}, report); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	// A second schedule finds the chains under way.
	report, err = c.Schedule(t.Context())
	if err != nil || report.Running != 3 || report.Sent != 0 {
		t.Errorf("second schedule: %+v, %v", report, err)
	}
	messages := queue.take()
	work, errs := c.Work(t.Context(), messages)
	want := WorkReport{Messages: 3, Ended: 2, ConfigsFailed: 1, Known: Known{Findings: Counts{}}, Tally: Tally{Images: 9, Started: 9, NotScannable: map[string]int{}, Failed: map[string]int{}}}
	if diff := cmp.Diff(want, work); diff != "" || slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		t.Errorf("%v (-want +got):\n%s", errs, diff)
	}
	if len(markers.kept) != 0 || len(queue.take()) != 0 {
		t.Errorf("markers %v stay", markers.kept)
	}
	// All of it once more, as a queue may deliver it.
	work, _ = c.Work(t.Context(), messages)
	if work.Stale != 3 || r.calls["start d000"] != 2 || r.calls["start d006"] != 1 {
		t.Errorf("delivered again: %+v, calls %v", work, r.calls)
	}
}

func TestScheduleSaysWhatWasNotSent(t *testing.T) {
	repositories := make([]string, 35)
	c, queue, markers := chainsOf(&fakeRegistry{}, repositories...)
	queue.fail = func(m Message) error {
		if m.Config == scanID(3) || m.Config == scanID(30) {
			return &Error{Code: Unavailable, Message: "busy"}
		}
		return nil
	}
	report, err := c.Schedule(t.Context())
	if err != nil || report.Sent != 33 || report.NotSent != 2 || len(report.Problems) != 2 || report.Problems[0].Error != "busy" {
		t.Errorf("%+v, %v", report, err)
	}
	if len(markers.kept) != 33 {
		t.Errorf("%d markers, want none of what was not sent", len(markers.kept))
	}
	queue.fail = nil
	if report, err = c.Schedule(t.Context()); err != nil || report.Sent != 2 || report.Running != 33 {
		t.Errorf("the next schedule: %+v, %v", report, err)
	}
	// What was said not to be sent has arrived all the same, and is being worked on.
	c, queue, markers = chainsOf(&fakeRegistry{}, "a")
	queue.fail = func(m Message) error {
		if err := c.claim(t.Context(), m, c.Watch.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
		return &Error{Code: Unavailable}
	}
	if report, err = c.Schedule(t.Context()); err == nil || report.NotSent != 1 || len(markers.kept) != 1 {
		t.Errorf("%+v, %v, markers %v", report, err, markers.kept)
	}
}

func TestScheduleFailsAsAWhole(t *testing.T) {
	c, queue, markers := chainsOf(&fakeRegistry{}, "a", "b")
	queue.fail = func(Message) error { return &Error{Code: Unavailable, Message: "down"} }
	if report, err := c.Schedule(t.Context()); err == nil || report.NotSent != 2 {
		t.Errorf("no queue: %+v, %v", report, err)
	}
	queue.fail, markers.fail = nil, &Error{Code: Unavailable, Message: "down"}
	if report, err := c.Schedule(t.Context()); err == nil || report.NotSent != 2 {
		t.Errorf("no markers: %+v, %v", report, err)
	}
	c.Watch.Configs = fakeStore{err: &Error{Code: Unavailable}}
	if _, err := c.Schedule(t.Context()); err == nil {
		t.Error("no configs: no error")
	}
	c.Watch.Configs = fakeStore{}
	if report, err := c.Schedule(t.Context()); err != nil || report.Configs != 0 {
		t.Errorf("none to send: %+v, %v", report, err)
	}
	c, _, _ = chainsOf(&fakeRegistry{}, "a")
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if report, err := c.Schedule(late); err == nil || report.NotSent != 1 {
		t.Errorf("no time: %+v, %v", report, err)
	}
}

func TestSchedulesAtOnceStartOneChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, queue, _ := chainsOf(&fakeRegistry{}, make([]string, 100)...)
		reports := make(chan ScheduleReport)
		for range 5 {
			go func() {
				report, err := c.Schedule(t.Context())
				if err != nil {
					t.Error(err)
				}
				reports <- report
			}()
		}
		sent, running := 0, 0
		for range 5 {
			report := <-reports
			sent += report.Sent
			running += report.Running
		}
		if sent != 100 || running != 400 || len(queue.take()) != 100 {
			t.Errorf("%d sent, %d running", sent, running)
		}
	})
}

// What a message may find in place of the marker of its own chain.
func TestClaim(t *testing.T) {
	own, other := uuid.NewString(), uuid.NewString()
	var now time.Time
	for name, test := range map[string]struct {
		marker *Marker
		hop    int
		want   error
	}{
		"not begun":                   {&Marker{Chain: own}, 0, nil},
		"the next hop":                {&Marker{Chain: own, Hop: 2, Worker: "x", Until: now.Add(time.Minute)}, 3, nil},
		"worker is dead":              {&Marker{Chain: own, Hop: 3, Worker: "x", Until: now}, 3, nil},
		"worker is at it":             {&Marker{Chain: own, Hop: 3, Worker: "x", Until: now.Add(1)}, 3, errBusy},
		"the hop before":              {&Marker{Chain: own, Hop: 4, Worker: "x", Until: now}, 3, errStale},
		"ended":                       {nil, 0, errStale},
		"ended later":                 {nil, 3, errStale},
		"replaced, not begun":         {&Marker{Chain: other}, 0, nil},
		"replaced and begun":          {&Marker{Chain: other, Worker: "x"}, 0, errStale},
		"replaced in the middle":      {&Marker{Chain: other}, 1, errStale},
		"something else in its place": {&Marker{}, 0, errStale},
	} {
		c, _, markers := chainsOf(&fakeRegistry{}, "a")
		setTime(c, markers, now)
		if test.marker != nil {
			markers.put(scanID(0), *test.marker)
		}
		err := c.claim(t.Context(), Message{Config: scanID(0), Chain: own, Hop: test.hop}, now.Add(time.Hour))
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if m := markers.kept[scanID(0)]; err == nil && (m.Chain != own || m.Hop != test.hop || m.Worker == "" || !m.Until.Equal(now.Add(time.Hour))) {
			t.Errorf("%s: marker %+v", name, m)
		}
	}
	// Of two at the same moment one gets it.
	c, _, markers := chainsOf(&fakeRegistry{}, "a")
	markers.put(scanID(0), Marker{Chain: own})
	raced := &racedMarkers{fakeMarkers: markers}
	c.Markers = raced
	if err := c.claim(t.Context(), Message{Config: scanID(0), Chain: own}, now); !errors.Is(err, errBusy) {
		t.Errorf("overtaken: %v", err)
	}
}

// racedMarkers has another writer between each Get and Put.
type racedMarkers struct{ *fakeMarkers }

func (r *racedMarkers) Get(ctx context.Context, config string) (Marker, error) {
	m, err := r.fakeMarkers.Get(ctx, config)
	r.put(config, m)
	return m, err
}

func TestDeadChainsAreReplaced(t *testing.T) {
	c, queue, markers := chainsOf(&fakeRegistry{images: map[string][]Image{"a": numbered(1)}}, "a")
	begin := c.Watch.Now()
	schedule := func(after time.Duration) ScheduleReport {
		t.Helper()
		setTime(c, markers, begin.Add(after))
		report, err := c.Schedule(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	schedule(0)
	if report := schedule(ChainExpiry - 1); report.Running != 1 {
		t.Errorf("before its expiry: %+v", report)
	}
	if report := schedule(ChainExpiry); report.Sent != 1 {
		t.Errorf("at its expiry: %+v", report)
	}
	// Both messages had only been waiting: one of them is worked on, whichever comes first.
	messages := queue.take()
	for _, m := range messages {
		if _, errs := c.Work(t.Context(), []Message{m}); errs[0] != nil {
			t.Error(errs)
		}
	}
	if len(messages) != 2 || c.Watch.Registry.(*fakeRegistry).calls["start d000"] != 1 {
		t.Errorf("%d messages, calls %v", len(messages), c.Watch.Registry.(*fakeRegistry).calls)
	}
	markers.put(scanID(0), Marker{}) // something foreign
	if report := schedule(ChainExpiry + 1); report.Running != 1 {
		t.Errorf("a fresh foreign marker: %+v", report)
	}
	if report := schedule(2 * ChainExpiry); report.Sent != 1 {
		t.Errorf("an old foreign marker: %+v", report)
	}
}

// sendOne gives the message of the one config.
func sendOne(t *testing.T, c *Chains, queue *fakeQueue) Message {
	t.Helper()
	if _, err := c.Schedule(t.Context()); err != nil {
		t.Fatal(err)
	}
	messages := queue.take()
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	return messages[0]
}

// workOne does one hop.
func workOne(ctx context.Context, c *Chains, m Message) (WorkReport, error) {
	report, errs := c.Work(ctx, []Message{m})
	return report, errs[0]
}

func TestDeletedConfigEndsItsChain(t *testing.T) {
	r := &fakeRegistry{}
	c, queue, markers := chainsOf(r, "a")
	m := sendOne(t, c, queue)
	c.Watch.Configs = fakeStore{}
	if report, err := workOne(t.Context(), c, m); err != nil || report.Ended != 1 || len(markers.kept) != 0 || len(r.calls) != 0 {
		t.Errorf("%+v, %v, markers %v, calls %v", report, err, markers.kept, r.calls)
	}
}

// Which failures of a config as a whole the queue should try again.
func TestFailuresOfAConfig(t *testing.T) {
	for code, retried := range map[Code]bool{Unavailable: true, RepositoryNotFound: false, NoAccess: false, Internal: false} {
		r := &fakeRegistry{fail: map[string]error{"a": &Error{Code: code, Message: "why"}}}
		c, queue, markers := chainsOf(r, "a")
		m := sendOne(t, c, queue)
		report, err := workOne(t.Context(), c, m)
		if retried != (err != nil) || retried != (report.ToRetry == 1) || retried == (report.ConfigsFailed == 1) || retried != (len(markers.kept) == 1) {
			t.Errorf("%s: %+v, %v, markers %v", code, report, err, markers.kept)
		}
		if !retried {
			continue
		}
		r.fail, r.images = nil, map[string][]Image{"a": numbered(3)}
		if _, err := workOne(t.Context(), c, m); !errors.Is(err, errBusy) {
			t.Errorf("at once: %v", err)
		}
		setTime(c, markers, c.Watch.Now().Add(maxHopTime))
		if report, err := workOne(t.Context(), c, m); err != nil || report.Started != 3 || report.Ended != 1 {
			t.Errorf("later: %+v, %v", report, err)
		}
	}
}

func TestStoreOutagesAreTriedAgain(t *testing.T) {
	c, queue, markers := chainsOf(&fakeRegistry{}, "a", "b")
	if _, err := c.Schedule(t.Context()); err != nil {
		t.Fatal(err)
	}
	messages := queue.take()
	markers.fail = &Error{Code: Unavailable}
	if report, errs := c.Work(t.Context(), messages); errs[0] == nil || errs[1] == nil || report.ToRetry != 2 {
		t.Errorf("no markers: %+v, %v", report, errs)
	}
	markers.fail = nil
	c.Watch.Configs = failingStore{fakeStore: c.Watch.Configs.(fakeStore), id: scanID(1)}
	if report, errs := c.Work(t.Context(), messages); errs[0] != nil || errs[1] == nil || report.Ended != 1 {
		t.Errorf("one config can't be read: %+v, %v", report, errs)
	}
}

type failingStore struct {
	fakeStore
	id string
}

func (s failingStore) Get(ctx context.Context, id string) (Config, error) {
	if id == s.id {
		return Config{}, &Error{Code: Unavailable}
	}
	return s.fakeStore.Get(ctx, id)
}

// A chain that is cut by its deadline again and again starts everything once, and counts it once.
func TestChainOfManyHops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const images = 500
		r := newSlowRegistry(map[string][]Image{"a": numbered(images)}, 25)
		c, queue, markers := chainsOf(nil, "a")
		c.Watch.Registry, c.Watch.Now, markers.now = r, time.Now, time.Now
		next := []Message{sendOne(t, c, queue)}
		var last Message
		var sum Tally
		hops := 0
		for ; len(next) > 0; next = queue.take() {
			last = next[0]
			// Some hops have hardly time enough to do anything.
			ctx, cancel := context.WithTimeout(t.Context(), []time.Duration{8 * time.Second, 3 * time.Second, 12 * time.Second}[hops%3])
			report, err := workOne(ctx, c, last)
			if err != nil || ctx.Err() != nil {
				t.Fatalf("hop %d: %v, its deadline: %v", hops, err, ctx.Err())
			}
			cancel()
			sum = sum.plus(report.Tally)
			hops++
		}
		if hops < 5 || last.Hop != hops-1 {
			t.Errorf("%d hops, the last was numbered %d", hops, last.Hop)
		}
		if sum.Images != images || sum.Started != images || sum.Recent+sum.InProgress != 0 {
			t.Errorf("the hops' sum: %+v", sum)
		}
		r.wantOnceEach(t, images)
		if len(markers.kept) != 0 {
			t.Error("the marker stays")
		}
	})
}

func TestLostPlace(t *testing.T) {
	r := &fakeRegistry{images: map[string][]Image{"a": numbered(10)}}
	c, queue, _ := chainsOf(r, "a")
	paged := pagedRegistry{fakeRegistry: r, size: 3, lost: map[string]bool{"3": true}}
	c.Watch.Registry = paged
	first := sendOne(t, c, queue)
	report, err := workOne(t.Context(), c, first)
	again := queue.take()
	if err != nil || report.PassedOn != 1 || len(again) != 1 {
		t.Fatalf("%+v, %v, sent %v", report, err, again)
	}
	want := Message{Config: first.Config, Chain: first.Chain, Hop: 1, Anew: true, Again: 3, Total: Tally{Images: 3, Started: 3, NotScannable: map[string]int{}, Failed: map[string]int{}}}
	if diff := cmp.Diff(want, again[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// It is lost again.
	if report, err = workOne(t.Context(), c, again[0]); err != nil || report.ConfigsFailed != 1 || len(queue.take()) != 0 {
		t.Errorf("lost twice: %+v, %v", report, err)
	}
	// It is there again.
	first = sendOne(t, c, queue)
	if _, err := workOne(t.Context(), c, first); err != nil {
		t.Fatal(err)
	}
	delete(paged.lost, "3")
	if report, err = workOne(t.Context(), c, queue.take()[0]); err != nil || report.Ended != 1 {
		t.Errorf("found again: %+v, %v", report, err)
	}
}

// A page that can't be listed costs nothing of what was done before it.
func TestOutageInTheMiddle(t *testing.T) {
	r := &fakeRegistry{images: map[string][]Image{"a": numbered(10)}}
	c, queue, markers := chainsOf(r, "a")
	down := &downRegistry{pagedRegistry: pagedRegistry{fakeRegistry: r, size: 3}, token: "6"}
	c.Watch.Registry = down
	report, err := workOne(t.Context(), c, sendOne(t, c, queue))
	next := queue.take()
	if err != nil || report.PassedOn != 1 || report.Started != 6 || len(next) != 1 || next[0].Place.Token != "6" {
		t.Fatalf("%+v, %v, sent %+v", report, err, next)
	}
	if report, err = workOne(t.Context(), c, next[0]); err == nil || report.ToRetry != 1 || len(queue.take()) != 0 {
		t.Errorf("still down: %+v, %v", report, err)
	}
	down.token = "none"
	setTime(c, markers, c.Watch.Now().Add(maxHopTime))
	if report, err = workOne(t.Context(), c, next[0]); err != nil || report.Started != 4 || report.Ended != 1 {
		t.Errorf("up again: %+v, %v", report, err)
	}
}

type downRegistry struct {
	pagedRegistry
	token string
}

func (d *downRegistry) Page(ctx context.Context, repo Repository, token string) ([]Image, string, error) {
	if token == d.token {
		return nil, "", &Error{Code: Unavailable, Message: "down"}
	}
	return d.pagedRegistry.Page(ctx, repo, token)
}

func TestRunawaysEnd(t *testing.T) {
	r := &fakeRegistry{images: map[string][]Image{"a": numbered(10)}}
	c, queue, markers := chainsOf(r, "a")
	m := sendOne(t, c, queue)
	hops := 0
	for ended := false; !ended; hops++ {
		ctx, cancel := context.WithDeadline(t.Context(), time.Now()) // no time at all
		report, err := workOne(ctx, c, m)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if ended = report.CutOff == 1; !ended {
			m = queue.take()[0]
		}
	}
	if hops != MaxHops+1 || len(queue.take()) != 0 || len(markers.kept) != 0 {
		t.Errorf("%d hops, markers %v", hops, markers.kept)
	}
}

func TestQueueOutageLosesNothing(t *testing.T) {
	r := &fakeRegistry{images: map[string][]Image{"a": numbered(10)}}
	c, queue, markers := chainsOf(r, "a")
	m := sendOne(t, c, queue)
	queue.fail = func(Message) error { return &Error{Code: Unavailable} }
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if report, err := workOne(ctx, c, m); err == nil || report.ToRetry != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	queue.fail = nil
	if report, err := workOne(t.Context(), c, m); err != nil || report.Started != 10 || len(markers.kept) != 0 {
		t.Errorf("later: %+v, %v", report, err)
	}
}

func TestParseMessage(t *testing.T) {
	m := Message{Config: scanID(1), Chain: uuid.NewString(), Hop: 3, Place: Place{Token: "t"}, Total: newTally(), Again: 2, Anew: true}
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseMessage(body)
	if diff := cmp.Diff(m, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for name, change := range map[string][2]string{
		"no JSON": {"{", ""}, "another type": {`"hop":3`, `"hop":"3"`}, "config": {scanID(1), "../" + scanID(1)}, "chain": {m.Chain, "x"},
		"hop below 0": {`"hop":3`, `"hop":-1`}, "hop too high": {`"hop":3`, `"hop":301`}, "again": {`"again":2`, `"again":-2`}, "place": {`"token":"t"`, `"tag":-1`},
	} {
		other := strings.Replace(string(body), change[0], change[1], 1)
		if m, err := ParseMessage([]byte(other)); err == nil {
			t.Errorf("%s: %s gives %+v", name, other, m)
		}
	}
}
