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

// newRequest makes the same request as net/http would make of the client's message. Its error texts can be shown to the client.
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
		r.RemoteAddr = net.JoinHostPort(ip, "0") // the event does not contain the port
	}
	return r, nil
}

// requestURL builds the URL from the resource that the gateway matched. The event's path can't be used, because on a custom domain
// it also contains the base path.
func requestURL(event events.APIGatewayProxyRequest) (*url.URL, error) {
	raw := event.Path
	if event.Resource != "" {
		raw = resourcePath(event.Resource, event.PathParameters)
	}
	path, err := url.PathUnescape(raw)
	if err != nil {
		return nil, errors.New("the path contains an invalid escape")
	}
	query := url.Values(event.MultiValueQueryStringParameters)
	if len(query) == 0 {
		query = toMultiValue(event.QueryStringParameters)
	}
	return &url.URL{Path: rooted(path), RawPath: rooted(raw), RawQuery: query.Encode()}, nil
}

// resourcePath replaces the parameters of a resource such as /configs/{scanid} by their values, each as one escaped segment. It
// keeps the placeholder of a parameter without a value, because an empty segment would select another resource. The value of a
// greedy parameter ({proxy+}) is also one segment.
func resourcePath(resource string, parameters map[string]string) string {
	segments := strings.Split(resource, "/")
	for i, segment := range segments {
		if name, ok := parameterName(segment); ok && parameters[name] != "" {
			segment = parameters[name]
			// A REST API passes parameters as they are in the URL, possibly escaped. An invalid escape is used literally.
			if unescaped, err := url.PathUnescape(segment); err == nil {
				segment = unescaped
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

// escapeSegment also escapes the dots of "." and "..", because http.ServeMux would resolve them and redirect.
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

// requestHeader rejects the headers that net/http's server rejects. Like that server, it removes the Host header.
func requestHeader(event events.APIGatewayProxyRequest) (http.Header, error) {
	fields := event.MultiValueHeaders
	if len(fields) == 0 {
		fields = toMultiValue(event.Headers)
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

func toMultiValue(single map[string]string) map[string][]string {
	multi := make(map[string][]string, len(single))
	for key, value := range single {
		multi[key] = []string{value}
	}
	return multi
}
