package lambdaruntime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	maxRequest     = 10 << 20         // API Gateway's maximum size of a request, in bytes
	gatewayTimeout = 29 * time.Second // API Gateway's maximum time of a response
)

// Gateway is the stage Prod of an API Gateway REST API with Lambda proxy integrations. It must not be served by an
// http.ServeMux, which would clean paths. It must be served over TLS (httptest.NewTLSServer) so that the links of
// the functions work. It responds like an API without GatewayResponses. Like an API without binary media types, it
// does not decode base64.
type Gateway struct {
	Functions map[string]*Function // by path template, each for any method
	Timeout   time.Duration        // for the gateway and its functions; 29 s when zero
}

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	event, function, refusal := g.event(w, r)
	if refusal != 0 {
		refuse(w, refusal)
		return
	}
	timeout := g.Timeout
	if timeout == 0 {
		timeout = gatewayTimeout
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	payload, err := function.Invoke(ctx, event, timeout)
	var failure *Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &failure) && failure.Type == timedOut {
		refuse(w, http.StatusGatewayTimeout)
		return
	}
	if err != nil {
		refuse(w, http.StatusBadGateway)
		return
	}
	a, err := decodeAnswer(payload)
	if err != nil {
		refuse(w, http.StatusBadGateway)
		return
	}
	a.write(w)
}

// event returns the event of r and its function, or the status with which the gateway refuses r.
func (g *Gateway) event(w http.ResponseWriter, r *http.Request) (event []byte, function *Function, refusal int) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	fields, err := APIEvent(r, Stage, slices.Collect(maps.Keys(g.Functions))...)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, ErrNoResource):
		return nil, nil, http.StatusForbidden
	case errors.As(err, &tooLarge):
		return nil, nil, http.StatusRequestEntityTooLarge
	case err != nil:
		return nil, nil, http.StatusBadRequest
	}
	if event, err = json.Marshal(fields); err != nil {
		return nil, nil, http.StatusBadGateway
	}
	if len(event) > maxPayload {
		return nil, nil, http.StatusRequestEntityTooLarge
	}
	return event, g.Functions[fields["resource"].(string)], 0
}

// refuse writes the gateway's own error response.
func refuse(w http.ResponseWriter, status int) {
	var errorType, message string
	switch status {
	case http.StatusBadRequest:
		errorType, message = "BadRequestException", "Bad Request"
	case http.StatusForbidden:
		errorType, message = "MissingAuthenticationTokenException", "Missing Authentication Token"
	case http.StatusRequestEntityTooLarge:
		errorType, message = "RequestTooLargeException", "Request Too Long"
	case http.StatusGatewayTimeout:
		errorType, message = "InternalServerErrorException", "Endpoint request timed out"
	default:
		errorType, message = "InternalServerErrorException", "Internal server error"
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("x-amzn-ErrorType", errorType)
	w.Header().Set("x-amzn-RequestId", uuid.NewString())
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"message":%q}`, message)
}

// answer is the format of a function's response. The gateway answers 502 to any other response.
type answer struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

func decodeAnswer(payload []byte) (answer, error) {
	var a answer
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		return answer{}, fmt.Errorf("decode the response of the function: %w", err)
	}
	if a.StatusCode < 200 || a.StatusCode > 599 {
		return answer{}, fmt.Errorf("status %d of the function", a.StatusCode)
	}
	return a, nil
}

func (a answer) write(w http.ResponseWriter) {
	for name, values := range a.MultiValueHeaders {
		for _, value := range values {
			w.Header().Add(remapped(name), value)
		}
	}
	for name, value := range a.Headers {
		if name = remapped(name); !slices.Contains(w.Header().Values(name), value) {
			w.Header().Add(name, value)
		}
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("x-amzn-RequestId", uuid.NewString())
	w.WriteHeader(a.StatusCode)
	_, _ = io.WriteString(w, a.Body)
}

// remapped returns the name to which the gateway changes a header of a function.
func remapped(name string) string {
	switch strings.ToLower(name) {
	case "authorization", "connection", "content-length", "content-md5", "date", "expect", "host", "max-forwards",
		"proxy-authenticate", "server", "trailer", "upgrade", "user-agent", "www-authenticate":
		return "x-amzn-Remapped-" + name
	}
	return name
}
