package lambdahttp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// recorder is an http.ResponseWriter that keeps the answer until it is whole. It differs from net/http's in one point: a status
// over 599, which the gateway would refuse, panics like one under 100.
type recorder struct {
	header http.Header // what the handler writes to
	sent   http.Header // what it was at WriteHeader; nil before
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if status < 100 || status > 599 {
		panic(fmt.Sprintf("invalid status %d", status))
	}
	if status < 200 || w.sent != nil {
		return // an event has no place for informational answers
	}
	w.status, w.sent = status, w.header.Clone()
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	return w.body.Write(p)
}

func (w *recorder) response() events.APIGatewayProxyResponse {
	w.WriteHeader(http.StatusOK)
	body := w.body.Bytes()
	if _, typed := w.sent["Content-Type"]; !typed && len(body) > 0 {
		w.sent.Set("Content-Type", http.DetectContentType(body)) // the gateway would call it JSON
	}
	response := events.APIGatewayProxyResponse{StatusCode: w.status, MultiValueHeaders: responseHeader(w.sent)}
	// The gateway decodes base64 only for the media types that the API declares as binary, so text goes as text.
	if utf8.Valid(body) {
		response.Body = string(body)
	} else {
		response.Body, response.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return response
}

// responseHeader makes of header what can be sent, as net/http does: names that are none are left out, a line break in a value
// is a space. The gateway counts the body itself and would rename a Content-Length.
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

// problem is a problem document of RFC 9457.
func problem(status int, detail string) events.APIGatewayProxyResponse {
	document, err := json.MarshalIndent(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(status), status, detail}, "", "  ")
	if err != nil {
		panic(err) // three strings and a number always encode
	}
	return events.APIGatewayProxyResponse{
		StatusCode: status,
		MultiValueHeaders: map[string][]string{
			"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"},
		},
		Body: string(document) + "\n",
	}
}

// encodedSize is what response measures as Start sends it, in bytes.
func encodedSize(response events.APIGatewayProxyResponse) int {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(response); err != nil {
		panic(err) // strings, numbers and maps of them always encode
	}
	return encoded.Len()
}
