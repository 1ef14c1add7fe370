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

// recorder is an http.ResponseWriter that buffers the whole response. Unlike net/http's, its WriteHeader also panics for a status
// above 599, which the gateway would reject.
type recorder struct {
	header http.Header // the handler writes to this one
	sent   http.Header // copy of header at the time of WriteHeader; nil before
	status int
	body   bytes.Buffer
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
		w.sent.Set("Content-Type", http.DetectContentType(body)) // the default of the gateway is JSON
	}
	response := events.APIGatewayProxyResponse{StatusCode: w.status, MultiValueHeaders: responseHeader(w.sent)}
	// The gateway decodes base64 only for the media types that the API declares as binary, so text is not encoded.
	if utf8.Valid(body) {
		response.Body = string(body)
	} else {
		response.Body, response.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return response
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

// encodedSize returns the size of response in the JSON encoding that Start uses, in bytes.
func encodedSize(response events.APIGatewayProxyResponse) int {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(response); err != nil {
		panic(err) // strings, numbers and maps of them always encode
	}
	return encoded.Len()
}
