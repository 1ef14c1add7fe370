package lambdahttp

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// recorder is an http.ResponseWriter that buffers the whole response. Unlike net/http's, its WriteHeader also panics for a status
// above 599, which the gateway would reject.
type recorder struct {
	header http.Header // the handler writes to this one
	sent   http.Header // copy of header at the time of WriteHeader; nil before
	status int
	body   strings.Builder
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if status < 100 || status > 599 {
		panic(fmt.Sprintf("invalid status %d", status))
	}
	if status < 200 || w.sent != nil {
		return // a Lambda response can't contain informational (1xx) responses
	}
	w.status, w.sent = status, w.header.Clone()
	if length, err := strconv.Atoi(w.sent.Get("Content-Length")); err == nil && length > 0 {
		w.body.Grow(min(length, maxResponse)) // without it, the body would be copied each time it grows
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	return w.body.Write(p)
}

func (w *recorder) response() response {
	w.WriteHeader(http.StatusOK)
	body := w.body.String()
	if _, typed := w.sent["Content-Type"]; !typed && len(body) > 0 {
		w.sent.Set("Content-Type", http.DetectContentType([]byte(body[:min(len(body), maxDetected)]))) // the default of the gateway is JSON
	}
	r := response{StatusCode: w.status, Header: responseHeader(w.sent), Body: body}
	// The gateway decodes base64 only for the media types that the API declares as binary, so text is not encoded.
	if !utf8.ValidString(body) {
		r.Body, r.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(body)), true
	}
	return r
}

// maxDetected is the number of bytes of a body that decide its media type.
const maxDetected = 512

// response is a response for API Gateway. In JSON it also has the field body.
type response struct {
	StatusCode      int                 `json:"statusCode"`
	Header          map[string][]string `json:"multiValueHeaders"`
	IsBase64Encoded bool                `json:"isBase64Encoded"`
	Body            string              `json:"-"`
}

// encode returns the response as JSON, with or without its body. It writes the body once and with no more escapes than JSON requires:
// a large feed would cost several times the memory and time, and would exceed Lambda's limit sooner.
func (r response) encode(withBody bool) []byte {
	if !withBody {
		r.Body, r.IsBase64Encoded = "", false
	}
	head, err := json.Marshal(r, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // strings, numbers and maps of them always encode
	}
	escaped := strings.Count(r.Body, `"`) + strings.Count(r.Body, "\n") + strings.Count(r.Body, `\`)
	b := make([]byte, 0, len(head)+len(`,"body":""`)+len(r.Body)+escaped)
	b = append(b, head[:len(head)-len("}")]...)
	b = append(b, `,"body":`...)
	b, _ = jsontext.AppendQuote(b, r.Body) // the error is about invalid UTF-8, which it replaces
	return append(b, '}')
}

// responseHeader cleans the header like net/http: it drops invalid names and replaces control characters in values by spaces. It
// also removes Content-Length, which the gateway sets itself and would otherwise rename.
func responseHeader(header http.Header) map[string][]string {
	out := make(http.Header, len(header))
	for name, values := range header {
		for _, value := range values {
			if validName(name) {
				out.Add(name, strings.Map(spaceForControl, value))
			}
		}
	}
	out.Del("Content-Length")
	return out
}

// problem returns a problem document (RFC 9457).
func problem(status int, detail string) response {
	document, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(status), status, detail}, jsontext.WithIndent("  "), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // three strings and a number always encode
	}
	return response{
		StatusCode: status,
		Header: map[string][]string{
			"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"},
		},
		Body: string(document) + "\n",
	}
}
