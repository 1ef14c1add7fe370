package awslocal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Transport is a RoundTripper that calls a handler in the caller's goroutine,
// without a socket, so that an SDK client and an embedded service run on the
// fake clock of testing/synctest. Dropped and cut answers come as they do from
// a socket.
type Transport struct {
	Handler http.Handler
}

// RoundTrip answers req from the handler.
func (t Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	in := req.Clone(req.Context())
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "in-process"
	in.Host = cmp.Or(in.Host, req.URL.Host)
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.ContentLength > 0 || in.Body == http.NoBody {
		in.Header.Set("Content-Length", fmt.Sprint(in.ContentLength)) // a server keeps it too, and gofakes3 asks for it
	}
	rec := newRecorder()
	aborted := run(t.Handler, rec, in)
	if req.Body != nil {
		_ = req.Body.Close() // a RoundTripper must; what was read of it has been answered
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if aborted && !rec.wrote {
		return nil, errors.New("the embedded service closed the connection")
	}
	return rec.response(req, aborted), nil
}

// run reports whether the handler gave up with http.ErrAbortHandler.
func run(h http.Handler, w http.ResponseWriter, r *http.Request) (aborted bool) {
	defer func() {
		if cause := recover(); cause != nil {
			if err, ok := cause.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(cause)
			}
			aborted = true
		}
	}()
	h.ServeHTTP(w, r)
	return false
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	body   bytes.Buffer
	status int
	wrote  bool
}

func newRecorder() *recorder { return &recorder{header: http.Header{}, status: http.StatusOK} }

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if !r.wrote {
		r.status, r.wrote = status, true
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	return r.body.Write(b)
}

func (r *recorder) response(req *http.Request, aborted bool) *http.Response {
	length := int64(r.body.Len())
	var body io.Reader = &r.body
	if aborted {
		length = -1
		body = io.MultiReader(body, brokenReader{})
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)), StatusCode: r.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, Body: io.NopCloser(body), ContentLength: length, Request: req,
	}
}

// brokenReader is the end of a body that was cut off.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
