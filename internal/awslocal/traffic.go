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

// Call identifies a request. For S3, Operation is the SDK's name of the operation, Resource is "bucket/key", and the other
// fields are empty.
type Call struct {
	Operation, Region, Registry, Resource string
}

// Fault defines calls that fail or are delayed. The fields in the first group select calls; an empty field matches all
// calls. If several faults apply to one call, their delays are added and the first other effect ends the call.
type Fault struct {
	Operation, Region, Registry, Resource string

	After     int     // number of matching calls that succeed first
	Calls     int     // number of calls that the fault applies to; no limit if zero
	Share     float64 // share of the matching calls, evenly distributed; all if zero
	PerSecond float64 // the fault applies only to calls above this rate; the error is throttling, unless Code is set
	Burst     int     // burst size for PerSecond; if zero, the calls of one second, at least 1

	Delay         time.Duration // before the response or the other effects
	Hang          bool          // no response until the client cancels the request
	Drop          bool          // closes the connection without a response
	Cut           bool          // closes the connection in the middle of the normal response
	Status        int           // responds with this HTTP status,
	Code, Message string        // error code and message; the service's defaults if empty
	RetryAfter    time.Duration // in the error's header X-Amz-Retry-After; none if zero
}

func (f *Fault) matches(c Call) bool {
	fits := func(want, is string) bool { return want == "" || want == is }
	return fits(f.Operation, c.Operation) && fits(f.Region, c.Region) &&
		fits(f.Registry, c.Registry) && fits(f.Resource, c.Resource)
}

func (f *Fault) isError() bool { return f.Status != 0 || f.Code != "" || f.PerSecond > 0 }

// Throttle returns a fault that throttles calls of an operation above a rate.
func Throttle(operation string, perSecond float64) Fault {
	return Fault{Operation: operation, PerSecond: perSecond}
}

const (
	// DefaultRegistry is the account id of the registry for calls without a registry id.
	DefaultRegistry = "123456789012"
	// DefaultRegion is the Region of data without a Region.
	DefaultRegion = "us-west-2"
)

// Count contains the number of calls since the last reset.
type Count struct {
	Calls                  map[string]int            // by operation
	Errors                 map[string]map[string]int // by operation and error code or HTTP status; "canceled", "dropped", "cut"
	InFlight               int                       // calls in progress
	MaxInFlight            int                       // maximum of concurrent calls
	MaxInFlightByOperation map[string]int            // maximum of concurrent calls, by operation
}

// Total returns the number of calls of all operations.
func (c Count) Total() int {
	total := 0
	for _, n := range c.Calls {
		total += n
	}
	return total
}

// Traffic counts the calls of a service and injects faults into them. All methods are safe for concurrent use.
type Traffic struct {
	now        func() time.Time
	writeError func(http.ResponseWriter, Call, Fault) // sends the error of a fault in the service's format

	mu       sync.Mutex
	faults   []*activeFault
	count    Count
	inFlight map[string]int
}

// NewTraffic returns a Traffic without faults. It uses now as clock for rates, and writeError to send the errors of faults.
func NewTraffic(now func() time.Time, writeError func(http.ResponseWriter, Call, Fault)) *Traffic {
	t := &Traffic{now: now, writeError: writeError}
	t.ResetCount()
	return t
}

// InjectFault applies a fault to matching calls from now on. The returned function removes the fault.
func (t *Traffic) InjectFault(f Fault) (undo func()) {
	a := &activeFault{Fault: f}
	if f.PerSecond > 0 {
		a.burst = float64(f.Burst)
		if f.Burst == 0 {
			a.burst = max(f.PerSecond, 1)
		}
		a.tokens, a.refilled = a.burst, t.now()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, a)
	return func() { t.remove(a) }
}

func (t *Traffic) remove(a *activeFault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	remaining := make([]*activeFault, 0, len(t.faults))
	for _, f := range t.faults {
		if f != a {
			remaining = append(remaining, f)
		}
	}
	t.faults = remaining
}

// ClearFaults removes all faults.
func (t *Traffic) ClearFaults() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = nil
}

// Count returns the number of calls since the last reset.
func (t *Traffic) Count() Count {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.count
	c.Calls, c.MaxInFlightByOperation = maps.Clone(c.Calls), maps.Clone(c.MaxInFlightByOperation)
	c.Errors = make(map[string]map[string]int, len(t.count.Errors))
	for op, codes := range t.count.Errors {
		c.Errors[op] = maps.Clone(codes)
	}
	return c
}

// ResetCount sets all counts to zero, except for the calls in progress.
func (t *Traffic) ResetCount() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count = Count{
		Calls: map[string]int{}, Errors: map[string]map[string]int{}, MaxInFlightByOperation: map[string]int{},
		InFlight: t.count.InFlight,
	}
	if t.inFlight == nil {
		t.inFlight = map[string]int{}
	}
}

// activeFault is a fault with its state.
type activeFault struct {
	Fault
	matched, applied int
	shareSum         float64 // accumulated Share; the fault applies when it reaches 1
	tokens, burst    float64 // token bucket for PerSecond
	refilled         time.Time
}

// applies reports whether the fault applies to a matching call.
func (a *activeFault) applies(now time.Time) bool {
	a.matched++
	if a.matched <= a.After || a.Calls > 0 && a.applied >= a.Calls {
		return false
	}
	if a.Share > 0 {
		if a.shareSum += a.Share; a.shareSum < 1-1e-9 {
			return false
		}
		a.shareSum--
	}
	if a.PerSecond > 0 {
		a.tokens = min(a.burst, a.tokens+now.Sub(a.refilled).Seconds()*a.PerSecond)
		a.refilled = now
		if a.tokens >= 1 {
			a.tokens--
			return false
		}
	}
	a.applied++
	return true
}

// begin counts a call and combines the faults that apply to it.
func (t *Traffic) begin(c Call) Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count.Calls[c.Operation]++
	t.count.InFlight++
	t.count.MaxInFlight = max(t.count.MaxInFlight, t.count.InFlight)
	t.inFlight[c.Operation]++
	t.count.MaxInFlightByOperation[c.Operation] = max(t.count.MaxInFlightByOperation[c.Operation], t.inFlight[c.Operation])

	var sum Fault
	now := t.now()
	for _, a := range t.faults {
		if sum.endsCall() {
			break
		}
		if a.matches(c) && a.applies(now) {
			delay := sum.Delay + a.Delay
			sum = a.Fault
			sum.Delay = delay
		}
	}
	return sum
}

func (f *Fault) endsCall() bool { return f.Hang || f.Drop || f.Cut || f.isError() }

func (t *Traffic) end(c Call, code string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count.InFlight--
	t.inFlight[c.Operation]--
	if code == "" {
		return
	}
	if t.count.Errors[c.Operation] == nil {
		t.count.Errors[c.Operation] = map[string]int{}
	}
	t.count.Errors[c.Operation][code]++
}

// Serve handles a call with next, subject to the faults.
func (t *Traffic) Serve(w http.ResponseWriter, r *http.Request, c Call, next func(http.ResponseWriter)) {
	f := t.begin(c)
	code := ""
	defer func() { t.end(c, code) }()

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
		truncateResponse(w, next)
	default:
		written := &codeWriter{ResponseWriter: w}
		if f.isError() {
			if f.RetryAfter > 0 {
				w.Header().Set("X-Amz-Retry-After", strconv.FormatInt(f.RetryAfter.Milliseconds(), 10))
			}
			t.writeError(written, c, f)
		} else {
			next(written)
		}
		code = written.code
	}
}

// wait sleeps for the fault's delay, or until the client cancels the request.
func wait(r *http.Request, f Fault) error {
	if !f.Hang && f.Delay <= 0 {
		return nil
	}
	// net/http detects that a client has disconnected only after the body is read.
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

// truncateResponse sends the first half of the normal response and closes the connection.
func truncateResponse(w http.ResponseWriter, next func(http.ResponseWriter)) {
	response := newRecorder()
	next(response)
	maps.Copy(w.Header(), response.header)
	w.Header().Set("Content-Length", strconv.Itoa(response.body.Len()))
	w.WriteHeader(response.status)
	if _, err := w.Write(response.body.Bytes()[:response.body.Len()/2]); err == nil {
		if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			panic(http.ErrAbortHandler)
		}
	}
	panic(http.ErrAbortHandler)
}

// codeWriter stores the error code or status of an error response.
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
