// Package lambdahttp lets an http.Handler answer the Lambda proxy events of an API Gateway REST API, so that the same routes run
// in a Lambda, in a test and behind net/http.
//
// It is no router and no framework, it knows neither HTTP API (version 2) nor ALB events, and it doesn't compress: the gateway does.
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

// maxResponse is what Lambda takes as an answer, in bytes of JSON.
const maxResponse = 6 << 20

type eventKey struct{}

// Event returns the event that a request was made from, and false for a request that came another way.
func Event(ctx context.Context) (events.APIGatewayProxyRequest, bool) {
	event, ok := ctx.Value(eventKey{}).(events.APIGatewayProxyRequest)
	return event, ok
}

// Start serves h until Lambda ends the process. It never returns.
func Start(h http.Handler) {
	// Escaping <, > and & would make six bytes of one, and a feed is full of them.
	lambda.StartWithOptions(Handler(h), lambda.WithSetEscapeHTML(false))
}

// Handler adapts h. The function it returns fails for an event that is no API Gateway event and for nothing else, because the
// gateway turns each failure into a 502 without a reason: a bad request, a panic of h and an answer over Lambda's 6 MB are problem
// documents of RFC 9457, and the last two are logged.
func Handler(h http.Handler) func(context.Context, events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
	return func(ctx context.Context, event events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
		if event.HTTPMethod == "" {
			return events.APIGatewayProxyResponse{}, errors.New("not an event of an API Gateway REST API: it has no httpMethod")
		}
		response := answer(context.WithValue(ctx, eventKey{}, event), h, event)
		if event.HTTPMethod == http.MethodHead {
			response.Body, response.IsBase64Encoded = "", false
		}
		return response, nil
	}
}

func answer(ctx context.Context, h http.Handler, event events.APIGatewayProxyRequest) events.APIGatewayProxyResponse {
	r, err := newRequest(ctx, event)
	if err != nil {
		return problem(http.StatusBadRequest, "The request can't be read: "+err.Error()+".")
	}
	response := serve(h, r)
	if size := encodedSize(response); size > maxResponse {
		slog.ErrorContext(ctx, "answer too large for Lambda", "method", r.Method, "path", r.URL.Path, "bytes", size, "limit", maxResponse)
		return problem(http.StatusInternalServerError, "The answer is too large: it is over the 6 MB that can be sent.")
	}
	return response
}

// serve runs h, and like net/http it survives a panic and says nothing of http.ErrAbortHandler. There is no connection to abort
// here, so that one is a 500 too.
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
