package awslocal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Transport is an [http.RoundTripper] that calls a handler in the caller's goroutine, without a socket. With it, an SDK client
// and an embedded service can run on the fake clock of testing/synctest. Dropped and truncated responses cause the same errors
// as with a socket.
type Transport struct {
	Handler http.Handler
}

// RoundTrip returns the handler's response to req.
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
		in.Header.Set("Content-Length", fmt.Sprint(in.ContentLength)) // like net/http's server; gofakes3 reads the header
	}
	rec := newRecorder()
	aborted := serve(t.Handler, rec, in)
	if req.Body != nil {
		_ = req.Body.Close() // RoundTrip must close the body; an error does not affect the response
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if aborted && !rec.wrote {
		return nil, errors.New("the embedded service closed the connection")
	}
	return rec.response(req, aborted), nil
}

// serve calls the handler and reports whether it panicked with http.ErrAbortHandler.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (aborted bool) {
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

// responseRecorder stores a response.
type responseRecorder struct {
	header http.Header
	body   bytes.Buffer
	status int
	wrote  bool
}

func newRecorder() *responseRecorder {
	return &responseRecorder{header: http.Header{}, status: http.StatusOK}
}

func (r *responseRecorder) Header() http.Header { return r.header }

func (r *responseRecorder) WriteHeader(status int) {
	if !r.wrote {
		r.status, r.wrote = status, true
	}
}

func (r *responseRecorder) Write(b []byte) (int, error) {
	r.wrote = true
	return r.body.Write(b)
}

func (r *responseRecorder) response(req *http.Request, aborted bool) *http.Response {
	length := int64(r.body.Len())
	var body io.Reader = &r.body
	if aborted {
		length = -1
		body = io.MultiReader(body, unexpectedEOFReader{})
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)), StatusCode: r.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, Body: io.NopCloser(body), ContentLength: length, Request: req,
	}
}

// unexpectedEOFReader is the end of a truncated body.
type unexpectedEOFReader struct{}

func (unexpectedEOFReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
