package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// newRequest makes the request that net/http would have made of what the client sent. Its errors are fit to be shown to the client.
func newRequest(ctx context.Context, event events.APIGatewayProxyRequest) (*http.Request, error) {
	body := []byte(event.Body)
	if event.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(event.Body); err != nil {
			return nil, errors.New("the body is not valid base64")
		}
	}
	r, err := http.NewRequestWithContext(ctx, event.HTTPMethod, "/", bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the method is not valid")
	}
	if r.URL, err = requestURL(event); err != nil {
		return nil, err
	}
	if r.Header, err = requestHeader(event); err != nil {
		return nil, err
	}
	r.Host = event.RequestContext.DomainName
	r.RequestURI = r.URL.RequestURI()
	if ip := event.RequestContext.Identity.SourceIP; ip != "" {
		r.RemoteAddr = net.JoinHostPort(ip, "0") // the event doesn't know the port
	}
	return r, nil
}

// requestURL routes by the resource that the gateway has matched: the event's path holds the mapping of a custom domain too.
func requestURL(event events.APIGatewayProxyRequest) (*url.URL, error) {
	raw := event.Path
	if event.Resource != "" {
		raw = resourcePath(event.Resource, event.PathParameters)
	}
	path, err := url.PathUnescape(raw)
	if err != nil {
		return nil, errors.New("the path is not validly escaped")
	}
	query := url.Values(event.MultiValueQueryStringParameters)
	if len(query) == 0 {
		query = multi(event.QueryStringParameters)
	}
	return &url.URL{Path: rooted(path), RawPath: rooted(raw), RawQuery: query.Encode()}, nil
}

// resourcePath fills the parameters of a resource like /configs/{scanid} in, each as one escaped segment. A parameter without a
// value stays as it is: an empty one would make another resource of this one. Greedy parameters ({proxy+}) are one segment too.
func resourcePath(resource string, parameters map[string]string) string {
	segments := strings.Split(resource, "/")
	for i, segment := range segments {
		if name, ok := parameterName(segment); ok && parameters[name] != "" {
			segment = parameters[name]
			// A REST API hands parameters over as they stood in the URL. What isn't an escape is taken as it is.
			if plain, err := url.PathUnescape(segment); err == nil {
				segment = plain
			}
		}
		segments[i] = escapeSegment(segment)
	}
	return strings.Join(segments, "/")
}

func parameterName(segment string) (string, bool) {
	name, open := strings.CutPrefix(segment, "{")
	name, closed := strings.CutSuffix(name, "}")
	return name, open && closed
}

// escapeSegment also escapes the dots of "." and "..", which http.ServeMux would take for steps in the path and redirect.
func escapeSegment(segment string) string {
	if segment == "." || segment == ".." {
		return strings.ReplaceAll(segment, ".", "%2E")
	}
	return url.PathEscape(segment)
}

func rooted(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + path
}

// requestHeader refuses what net/http's server refuses, and like it keeps the host out of the header.
func requestHeader(event events.APIGatewayProxyRequest) (http.Header, error) {
	fields := event.MultiValueHeaders
	if len(fields) == 0 {
		fields = multi(event.Headers)
	}
	header := make(http.Header, len(fields))
	for name, values := range fields {
		if !validName(name) {
			return nil, fmt.Errorf("the header name %q is not valid", name)
		}
		for _, value := range values {
			if strings.ContainsFunc(value, isControl) {
				return nil, fmt.Errorf("the value of the header %s is not valid", name)
			}
			header.Add(name, value)
		}
	}
	header.Del("Host")
	return header, nil
}

func multi(single map[string]string) map[string][]string {
	many := make(map[string][]string, len(single))
	for key, value := range single {
		many[key] = []string{value}
	}
	return many
}
