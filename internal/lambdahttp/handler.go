// Package lambdahttp adapts an http.Handler to the Lambda proxy events of an API Gateway REST API. The same routes run in a Lambda
// function, in a test and in an HTTP server.
//
// It does not route requests, it does not support events of HTTP APIs (version 2) or load balancers, and it does not compress
// responses, because the gateway does.
package lambdahttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

// maxResponse is Lambda's limit for a response, in bytes of JSON.
const maxResponse = 6 << 20

type eventKey struct{}

// Event returns the event of a request, and false if the request was not made from an event.
func Event(ctx context.Context) (events.APIGatewayProxyRequest, bool) {
	event, ok := ctx.Value(eventKey{}).(events.APIGatewayProxyRequest)
	return event, ok
}

// Start serves h until Lambda ends the process. It never returns.
func Start(h http.Handler) { lambda.Start(Handler(h)) }

// Handler returns a Lambda handler for h. The Lambda handler returns an error only for an event that is not an API Gateway event,
// because the gateway turns every error into a 502 without a reason. For an invalid request, a panic of h and a response above
// Lambda's limit of 6 MB it returns a problem document (RFC 9457). It logs panics and too large responses.
func Handler(h http.Handler) lambda.Handler { return handler{h} }

// handler implements lambda.Handler, which gets and returns JSON. For a function with types of its own, the Lambda library would write
// the JSON of the response, and could not tell its size before.
type handler struct{ http.Handler }

// Invoke implements lambda.Handler.
func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var event events.APIGatewayProxyRequest
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, fmt.Errorf("not an event of an API Gateway REST API: %w", err)
	}
	if event.HTTPMethod == "" {
		return nil, errors.New("not an event of an API Gateway REST API: it has no httpMethod")
	}
	return h.respond(context.WithValue(ctx, eventKey{}, event), event), nil
}

func (h handler) respond(ctx context.Context, event events.APIGatewayProxyRequest) []byte {
	withBody := event.HTTPMethod != http.MethodHead
	r, err := newRequest(ctx, event)
	if err != nil {
		return problem(http.StatusBadRequest, "The request can't be read: "+err.Error()+".").encode(withBody)
	}
	encoded := serve(h, r).encode(withBody)
	if size := len(encoded); size > maxResponse {
		slog.ErrorContext(ctx, "response too large for Lambda", "method", r.Method, "path", r.URL.Path, "bytes", size, "limit", maxResponse)
		return problem(http.StatusInternalServerError, "The response is too large: the limit is 6 MB. Parameters such as repository, tag and severity make it smaller.").encode(withBody)
	}
	return encoded
}

// serve runs h. Like net/http, it recovers from a panic and logs it, but does not log http.ErrAbortHandler. For every panic it
// returns status 500, because there is no connection to abort.
func serve(h http.Handler, r *http.Request) (answer response) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if cause != http.ErrAbortHandler {
			slog.ErrorContext(r.Context(), "handler panicked", "method", r.Method, "path", r.URL.Path,
				"cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
		answer = problem(http.StatusInternalServerError, "The request could not be served.")
	}()
	w := &recorder{header: http.Header{}}
	h.ServeHTTP(w, r)
	return w.response()
}
