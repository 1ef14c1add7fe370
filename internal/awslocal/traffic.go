package awslocal

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Call says what a request asks for. In S3, Operation is the name of the SDK's
// operation, Resource the bucket and key ("bucket/key"), and the rest is empty.
type Call struct {
	Operation, Region, Registry, Resource string
}

// Fault makes calls go wrong: which ones, and how. Empty fields of the first
// part fit every call. Several faults may meet in one call: delays add up, the
// first of the others ends it.
type Fault struct {
	Operation, Region, Registry, Resource string

	After     int     // lets this many matching calls pass first
	Calls     int     // goes wrong this many times; always, when zero
	Share     float64 // of the matching calls, evenly spread; all, when zero
	PerSecond float64 // only calls above this rate go wrong; answers are throttling, unless Code says otherwise
	Burst     int     // of PerSecond; as much as one second's, at least 1, when zero

	Delay         time.Duration // before the call is answered or goes wrong otherwise
	Hang          bool          // no answer until the client gives up
	Drop          bool          // closes the connection without an answer
	Cut           bool          // closes the connection in the middle of the true answer
	Status        int           // answers an error with this HTTP status,
	Code, Message string        // with this code and message; the service's own when empty
}

func (f *Fault) fits(c Call) bool {
	fits := func(want, is string) bool { return want == "" || want == is }
	return fits(f.Operation, c.Operation) && fits(f.Region, c.Region) &&
		fits(f.Registry, c.Registry) && fits(f.Resource, c.Resource)
}

func (f *Fault) answers() bool { return f.Status != 0 || f.Code != "" || f.PerSecond > 0 }

// Throttle is the fault of calling an operation more often than so many times a
// second.
func Throttle(operation string, perSecond float64) Fault {
	return Fault{Operation: operation, PerSecond: perSecond}
}

const (
	// DefaultRegistry is the account whose registry a call means that names none.
	DefaultRegistry = "123456789012"
	// DefaultRegion is where data goes that names no Region.
	DefaultRegion = "us-west-2"
)

// Count is what has been called so far.
type Count struct {
	Calls     map[string]int            // by operation
	Errors    map[string]map[string]int // by operation and error code or HTTP status; "canceled", "dropped", "cut"
	InFlight  int                       // calls now being answered
	MaxFlight int                       // most at one time
	MaxOf     map[string]int            // most at one time, by operation
}

// Total returns the number of calls of all operations.
func (c Count) Total() int {
	total := 0
	for _, n := range c.Calls {
		total += n
	}
	return total
}

// Traffic counts the calls of a service and makes them go wrong on demand. All
// methods are safe for concurrent use.
type Traffic struct {
	now    func() time.Time
	answer func(http.ResponseWriter, Call, Fault) // writes an error as the service does

	mu     sync.Mutex
	faults []*activeFault
	count  Count
	flight map[string]int
}

// NewTraffic counts calls by a clock, and lets a service put a fault into its own words.
func NewTraffic(now func() time.Time, answer func(http.ResponseWriter, Call, Fault)) *Traffic {
	t := &Traffic{now: now, answer: answer}
	t.ResetCount()
	return t
}

// Disturb makes matching calls go wrong from now on; the returned function ends
// that.
func (t *Traffic) Disturb(f Fault) (undo func()) {
	a := &activeFault{Fault: f}
	if f.PerSecond > 0 {
		a.burst = float64(f.Burst)
		if f.Burst == 0 {
			a.burst = max(f.PerSecond, 1)
		}
		a.tokens, a.filled = a.burst, t.now()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, a)
	return func() { t.remove(a) }
}

func (t *Traffic) remove(a *activeFault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := make([]*activeFault, 0, len(t.faults))
	for _, f := range t.faults {
		if f != a {
			kept = append(kept, f)
		}
	}
	t.faults = kept
}

// Calm ends all faults.
func (t *Traffic) Calm() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = nil
}

// Count returns what has been called so far.
func (t *Traffic) Count() Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.count
	c.Calls, c.MaxOf = maps.Clone(c.Calls), maps.Clone(c.MaxOf)
	c.Errors = make(map[string]map[string]int, len(t.count.Errors))
	for op, codes := range t.count.Errors {
		c.Errors[op] = maps.Clone(codes)
	}
	return c
}

// ResetCount starts counting anew.
func (t *Traffic) ResetCount() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count = Count{
		Calls: map[string]int{}, Errors: map[string]map[string]int{}, MaxOf: map[string]int{},
		InFlight: t.count.InFlight,
	}
	if t.flight == nil {
		t.flight = map[string]int{}
	}
}

// activeFault is a fault with its state.
type activeFault struct {
	Fault
	seen, hit     int
	owed          float64 // of Share
	tokens, burst float64 // of PerSecond
	filled        time.Time
}

// strikes says whether the fault hits the matching call at hand.
func (a *activeFault) strikes(now time.Time) bool {
	a.seen++
	if a.seen <= a.After || a.Calls > 0 && a.hit >= a.Calls {
		return false
	}
	if a.Share > 0 {
		if a.owed += a.Share; a.owed < 1-1e-9 {
			return false
		}
		a.owed--
	}
	if a.PerSecond > 0 {
		a.tokens = min(a.burst, a.tokens+now.Sub(a.filled).Seconds()*a.PerSecond)
		a.filled = now
		if a.tokens >= 1 {
			a.tokens--
			return false
		}
	}
	a.hit++
	return true
}

// enter counts a call in and sums up the faults that hit it.
func (t *Traffic) enter(c Call) Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count.Calls[c.Operation]++
	t.count.InFlight++
	t.count.MaxFlight = max(t.count.MaxFlight, t.count.InFlight)
	t.flight[c.Operation]++
	t.count.MaxOf[c.Operation] = max(t.count.MaxOf[c.Operation], t.flight[c.Operation])

	var sum Fault
	now := t.now()
	for _, a := range t.faults {
		if sum.ends() {
			break
		}
		if a.fits(c) && a.strikes(now) {
			delay := sum.Delay + a.Delay
			sum = a.Fault
			sum.Delay = delay
		}
	}
	return sum
}

func (f *Fault) ends() bool { return f.Hang || f.Drop || f.Cut || f.answers() }

func (t *Traffic) leave(c Call, code string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count.InFlight--
	t.flight[c.Operation]--
	if code == "" {
		return
	}
	if t.count.Errors[c.Operation] == nil {
		t.count.Errors[c.Operation] = map[string]int{}
	}
	t.count.Errors[c.Operation][code]++
}

// Serve answers a call with next, or as its faults say.
func (t *Traffic) Serve(w http.ResponseWriter, r *http.Request, c Call, next func(http.ResponseWriter)) {
	f := t.enter(c)
	code := ""
	defer func() { t.leave(c, code) }()

	if err := wait(r, f); err != nil {
		code = "canceled"
		panic(http.ErrAbortHandler)
	}
	switch {
	case f.Drop:
		code = "dropped"
		panic(http.ErrAbortHandler)
	case f.Cut:
		code = "cut"
		cut(w, next)
	default:
		seen := &codeWriter{ResponseWriter: w}
		if f.answers() {
			t.answer(seen, c, f)
		} else {
			next(seen)
		}
		code = seen.code
	}
}

// wait sleeps for the fault's delay, or until the client gives up.
func wait(r *http.Request, f Fault) error {
	if !f.Hang && f.Delay <= 0 {
		return nil
	}
	// The server notices that a client has gone only when the body is read.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var after <-chan time.Time
	if !f.Hang {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-after:
		return nil
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

// cut sends the first half of the true answer and closes the connection.
func cut(w http.ResponseWriter, next func(http.ResponseWriter)) {
	full := newRecorder()
	next(full)
	maps.Copy(w.Header(), full.header)
	w.Header().Set("Content-Length", strconv.Itoa(full.body.Len()))
	w.WriteHeader(full.status)
	if _, err := w.Write(full.body.Bytes()[:full.body.Len()/2]); err == nil {
		if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			panic(http.ErrAbortHandler)
		}
	}
	panic(http.ErrAbortHandler)
}

// codeWriter notes with which error a call was answered.
type codeWriter struct {
	http.ResponseWriter
	code string
}

func (w *codeWriter) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		w.code = w.Header().Get("X-Amzn-ErrorType")
		if w.code == "" {
			w.code = strconv.Itoa(status)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *codeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
