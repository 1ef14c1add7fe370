// Package lambdaruntime runs the compiled functions in tests like Lambda and API Gateway do: each in its own
// process, with a clean environment and realistic events from a Runtime API on the loopback interface.
//
// It has one process per function, which handles one event at a time. Lambda would start more processes. It does
// not check permissions, does not freeze processes between events, and does not implement the Extensions, Telemetry
// and Logs APIs. Only tests import it.
package lambdaruntime

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// maxPayload is Lambda's maximum size of an event and of a response, in bytes.
const maxPayload = 6<<20 + 100

// timedOut is Lambda's type of the error for a process that exceeded a timeout.
const timedOut = "Sandbox.Timedout"

// Error is a failed invocation, as Lambda reports it to the caller.
type Error struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
	Log     string `json:"-"` // output of the process, if the process failed
}

func (e *Error) Error() string {
	if e.Log == "" {
		return e.Type + ": " + e.Message
	}
	return e.Type + ": " + e.Message + "\nlog:\n" + e.Log
}

// invocation is one event that a process has to handle.
type invocation struct {
	id      string
	payload []byte
	timeout time.Duration
	timer   *time.Timer // from delivery to the next poll, at which Lambda regards the invocation as finished
	result  chan result // of capacity 1; only the first result is used
}

type result struct {
	payload []byte
	err     error
}

func newInvocation(payload []byte, timeout time.Duration) *invocation {
	return &invocation{id: uuid.NewString(), payload: payload, timeout: timeout, result: make(chan result, 1)}
}

func (i *invocation) finish(payload []byte, err error) {
	select {
	case i.result <- result{payload, err}:
	default:
	}
}

// runtimeAPI returns the Runtime API of 2018-06-01, as far as functions need it.
func (f *Function) runtimeAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", f.serveNext)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", f.serveResponse)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", f.serveError)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", f.serveInitError)
	return mux
}

func (f *Function) serveNext(w http.ResponseWriter, r *http.Request) {
	f.recordPoll()
	select {
	case <-r.Context().Done():
	case i := <-f.next:
		deadline := f.deliver(i)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", i.id)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(deadline.UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:"+region+":"+account+":function:"+f.name)
		w.Header().Set("Lambda-Runtime-Trace-Id", "Root="+traceRoot()+";Parent="+randomHex(8)+";Sampled=0")
		_, _ = w.Write(i.payload) // if the process has ended, Invoke returns an error
	}
}

func (f *Function) serveResponse(w http.ResponseWriter, r *http.Request) {
	i := f.currentInvocation(r.PathValue("id"))
	if i == nil {
		writeStatus(w, http.StatusBadRequest, "InvalidRequestID")
		return
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		i.finish(nil, &Error{Type: "Function.ResponseSizeTooLarge",
			Message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxPayload)})
		writeStatus(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge")
		return
	case err != nil:
		i.finish(nil, &Error{Type: "Runtime.TruncatedResponse", Message: err.Error()})
	case r.Trailer.Get("Lambda-Runtime-Function-Error-Type") != "":
		i.finish(nil, trailerError(r.Trailer))
	default:
		i.finish(payload, nil)
	}
	writeStatus(w, http.StatusAccepted, "")
}

func (f *Function) serveError(w http.ResponseWriter, r *http.Request) {
	i := f.currentInvocation(r.PathValue("id"))
	if i == nil {
		writeStatus(w, http.StatusBadRequest, "InvalidRequestID")
		return
	}
	i.finish(nil, readError(r))
	writeStatus(w, http.StatusAccepted, "")
}

func (f *Function) serveInitError(w http.ResponseWriter, r *http.Request) {
	f.failInit(readError(r))
	writeStatus(w, http.StatusAccepted, "")
}

// readError reads the error that a runtime reports. If the report is invalid, the result is an error that says so.
func readError(r *http.Request) *Error {
	e := &Error{Type: r.Header.Get("Lambda-Runtime-Function-Error-Type")}
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxPayload)).Decode(e); err != nil {
		e.Message = "unreadable error: " + err.Error()
	}
	return e
}

// trailerError returns an error that occurred while the response was being sent.
func trailerError(trailer http.Header) *Error {
	e := &Error{Type: trailer.Get("Lambda-Runtime-Function-Error-Type")}
	body, err := base64.StdEncoding.DecodeString(trailer.Get("Lambda-Runtime-Function-Error-Body"))
	if err == nil {
		err = json.Unmarshal(body, e)
	}
	if err != nil {
		e.Message = "unreadable error: " + err.Error()
	}
	return e
}

func writeStatus(w http.ResponseWriter, status int, errorType string) {
	answer := map[string]string{"status": "OK"}
	if errorType != "" {
		answer = map[string]string{"errorType": errorType, "errorMessage": http.StatusText(status)}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // if the process has ended, Invoke returns an error
}

// traceRoot returns a trace id like those of API Gateway and Lambda.
func traceRoot() string {
	return fmt.Sprintf("1-%08x-%s", time.Now().Unix(), randomHex(12))
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return fmt.Sprintf("%x", b)
}
