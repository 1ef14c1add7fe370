package lambdaruntime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"
)

// Stage is the base path of an API on its own domain. Any other base path belongs to a custom domain.
const Stage = "/Prod"

// ErrNoResource means that no resource of the API has the request's path.
var ErrNoResource = errors.New("no resource has this path")

// APIEvent returns the event that an API Gateway REST API without binary media types creates for r, a request to
// the API at r.Host. base is the base path: Stage, or the mapping of a custom domain ("" or "/scans"). resources
// are the API's path templates, such as /configs/{scanid}. It reads the body of r. It returns ErrNoResource if the
// gateway would refuse the path.
//
// The event is a map so that it contains exactly what the gateway sends, including nulls, and so that a test can
// change it.
func APIEvent(r *http.Request, base string, resources ...string) (map[string]any, error) {
	full := r.URL.EscapedPath()
	path, ok := strings.CutPrefix(full, base)
	if !ok || !strings.HasPrefix(path, "/") {
		return nil, ErrNoResource
	}
	resource, parameters, ok := match(path, resources)
	if !ok {
		return nil, ErrNoResource
	}
	if base != Stage {
		path = full // on a custom domain the path includes the mapping
	}
	body, err := eventBody(r)
	if err != nil {
		return nil, err
	}
	header := eventHeader(r)
	query := r.URL.Query()
	return map[string]any{
		"resource":                        resource,
		"path":                            path,
		"httpMethod":                      r.Method,
		"headers":                         lastValues(header),
		"multiValueHeaders":               header,
		"queryStringParameters":           orNull(lastValues(query)),
		"multiValueQueryStringParameters": orNull(query),
		"pathParameters":                  orNull(parameters),
		"stageVariables":                  nil,
		"requestContext":                  requestContext(r, resource, full),
		"body":                            body,
		"isBase64Encoded":                 false,
	}, nil
}

func requestContext(r *http.Request, resource, path string) map[string]any {
	now := time.Now().UTC()
	domainPrefix, _, _ := strings.Cut(r.Host, ".")
	return map[string]any{
		"resourceId": "x9k2m1", "resourcePath": resource, "httpMethod": r.Method, "path": path,
		"accountId": account, "apiId": "a1b2c3d4e5", "deploymentId": "k4t7qz", "stage": strings.Trim(Stage, "/"),
		"domainName": r.Host, "domainPrefix": domainPrefix, "protocol": r.Proto,
		"requestId": uuid.NewString(), "extendedRequestId": randomHex(8),
		"requestTime": now.Format("02/Jan/2006:15:04:05 -0700"), "requestTimeEpoch": now.UnixMilli(),
		"identity": map[string]any{
			"cognitoIdentityPoolId": nil, "accountId": nil, "cognitoIdentityId": nil, "caller": nil, "principalOrgId": nil, "accessKey": nil,
			"cognitoAuthenticationType": nil, "cognitoAuthenticationProvider": nil, "userArn": nil, "user": nil,
			"sourceIp": sourceIP(r), "userAgent": orNullString(r.UserAgent()),
		},
	}
}

// eventHeader returns the header of r as the gateway forwards it: without headers about the connection, and with
// those that proxies add.
func eventHeader(r *http.Request) http.Header {
	header := r.Header.Clone()
	for _, name := range []string{"Connection", "Content-Length", "Expect", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		header.Del(name)
	}
	forwarded := append(slices.Clone(header["X-Forwarded-For"]), sourceIP(r))
	header.Set("X-Forwarded-For", strings.Join(forwarded, ", "))
	header.Set("X-Forwarded-Port", "443")
	header.Set("X-Forwarded-Proto", "https")
	header.Set("X-Amzn-Trace-Id", "Root="+traceRoot())
	header.Set("Host", r.Host)
	return header
}

func eventBody(r *http.Request) (any, error) {
	if r.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	return orNullString(string(body)), nil
}

func sourceIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// match finds the resource for path. A trailing slash is ignored, a literal segment has priority over a parameter,
// and values of parameters stay escaped.
func match(path string, resources []string) (resource string, parameters map[string]string, ok bool) {
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	for _, candidate := range resources {
		found, fits := fill(strings.Split(strings.TrimSuffix(candidate, "/"), "/"), segments)
		if fits && (!ok || len(found) < len(parameters)) {
			resource, parameters, ok = candidate, found, true
		}
	}
	return resource, parameters, ok
}

func fill(template, segments []string) (map[string]string, bool) {
	if len(template) != len(segments) {
		return nil, false
	}
	parameters := map[string]string{}
	for i, part := range template {
		if name, open := strings.CutPrefix(part, "{"); open && segments[i] != "" {
			parameters[strings.TrimSuffix(name, "}")] = segments[i]
		} else if part != segments[i] {
			return nil, false
		}
	}
	return parameters, true
}

func lastValues(many map[string][]string) map[string]string {
	last := make(map[string]string, len(many))
	for key, values := range many {
		if len(values) > 0 {
			last[key] = values[len(values)-1]
		}
	}
	return last
}

func orNull[M ~map[string]V, V any](m M) any {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}

func orNullString(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// ScheduleEvent returns the event of an EventBridge schedule rule that fires now.
func ScheduleEvent() events.CloudWatchEvent {
	return events.CloudWatchEvent{
		Version:    "0",
		ID:         uuid.NewString(),
		DetailType: "Scheduled Event",
		Source:     "aws.events",
		AccountID:  account,
		Time:       time.Now().UTC().Truncate(time.Second),
		Region:     region,
		Resources:  []string{"arn:aws:events:" + region + ":" + account + ":rule/ecr-continuous-scan-StartScanFuncDue-1ABCDEFGHIJKL"},
		Detail:     json.RawMessage("{}"),
	}
}
