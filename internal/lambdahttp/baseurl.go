package lambdahttp

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// hostPattern matches a host name or an IPv4 address, with or without a port.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?$`)

// BaseURL returns the URL of the API's root as the client sees it, without a trailing slash. On the API's own domain it ends with
// the stage (https://a1b2c3d4e5.execute-api.us-west-2.amazonaws.com/Prod), on a custom domain with the base path, if there is one.
// BaseURL uses the domain name in the event, not the Host header, which a client can forge. It returns "" for a request without an
// event, and for an event with an invalid domain or path.
func BaseURL(r *http.Request) string {
	event, ok := Event(r.Context())
	if !ok || event.Resource == "" || !hostPattern.MatchString(event.RequestContext.DomainName) {
		return ""
	}
	base, ok := trimResource(event.RequestContext.Path, event.Resource)
	if !ok {
		return ""
	}
	return "https://" + event.RequestContext.DomainName + (&url.URL{Path: base}).EscapedPath()
}

// trimResource removes the segments that match the resource from the end of path. It returns false if they don't match.
func trimResource(path, resource string) (string, bool) {
	have, want := segments(path), segments(resource)
	if len(have) < len(want) {
		return "", false
	}
	base, tail := have[:len(have)-len(want)], have[len(have)-len(want):]
	matches := slices.EqualFunc(tail, want, func(got, template string) bool {
		_, isParameter := parameterName(template)
		return isParameter || got == template
	})
	return strings.Join(append([]string{""}, base...), "/"), matches
}

func segments(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}
