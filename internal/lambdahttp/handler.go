// Package lambdahttp adapts an http.Handler to the Lambda proxy events of an API Gateway REST API. The same routes run in a Lambda
// function, in a test and in an HTTP server.
//
// It does not route requests, it does not support events of HTTP APIs (version 2) or load balancers, and it does not compress
// responses, because the gateway does.
package lambdahttp

import (
	"context"
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
func Start(h http.Handler) {
	// JSON escapes of <, > and & have six bytes. Feeds contain many of these characters and would exceed Lambda's limit sooner.
	lambda.StartWithOptions(Handler(h), lambda.WithSetEscapeHTML(false))
}

// Handler returns a Lambda handler for h. The Lambda handler returns an error only for an event that is not an API Gateway event,
// because the gateway turns every error into a 502 without a reason. For an invalid request, a panic of h and a response above
// Lambda's limit of 6 MB it returns a problem document (RFC 9457). It logs panics and too large responses.
func Handler(h http.Handler) func(context.Context, events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
	return func(ctx context.Context, event events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
		if event.HTTPMethod == "" {
			return events.APIGatewayProxyResponse{}, errors.New("not an event of an API Gateway REST API: it has no httpMethod")
		}
		response := respond(context.WithValue(ctx, eventKey{}, event), h, event)
		if event.HTTPMethod == http.MethodHead {
			response.Body, response.IsBase64Encoded = "", false
		}
		return response, nil
	}
}

func respond(ctx context.Context, h http.Handler, event events.APIGatewayProxyRequest) events.APIGatewayProxyResponse {
	r, err := newRequest(ctx, event)
	if err != nil {
		return problem(http.StatusBadRequest, "The request can't be read: "+err.Error()+".")
	}
	response := serve(h, r)
	if size := encodedSize(response); size > maxResponse {
		slog.ErrorContext(ctx, "response too large for Lambda", "method", r.Method, "path", r.URL.Path, "bytes", size, "limit", maxResponse)
		return problem(http.StatusInternalServerError, "The response is too large: the limit is 6 MB. Use filters to make it smaller.")
	}
	return response
}

// serve runs h. Like net/http, it recovers from a panic and logs it, but does not log http.ErrAbortHandler. For every panic it
// returns status 500, because there is no connection to abort.
func serve(h http.Handler, r *http.Request) (response events.APIGatewayProxyResponse) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if cause != http.ErrAbortHandler {
			slog.ErrorContext(r.Context(), "handler panicked", "method", r.Method, "path", r.URL.Path,
				"cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
		response = problem(http.StatusInternalServerError, "The request could not be served.")
	}()
	w := &recorder{header: http.Header{}}
	h.ServeHTTP(w, r)
	return w.response()
}
