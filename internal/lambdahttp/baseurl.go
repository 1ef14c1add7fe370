package lambdahttp

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// hostPattern is a host name or an IPv4 address with or without a port.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?$`)

// BaseURL returns the URL under which the client reaches the API's root, without a trailing slash: with the stage on the API's own
// domain (https://a1b2c3d4e5.execute-api.us-west-2.amazonaws.com/Prod), with the base path, if any, on a custom domain. It comes
// from what the gateway knows of the domain and never from the Host header, which a client can forge. It is "" for a request
// that came from no event, and for an event whose domain or path make no sense.
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

// trimResource takes the segments that the resource stands for off the end of path, and says whether they were there.
func trimResource(path, resource string) (string, bool) {
	have, want := segments(path), segments(resource)
	if len(have) < len(want) {
		return "", false
	}
	base, tail := have[:len(have)-len(want)], have[len(have)-len(want):]
	same := slices.EqualFunc(tail, want, func(got, template string) bool {
		_, parameter := parameterName(template)
		return parameter || got == template
	})
	return strings.Join(append([]string{""}, base...), "/"), same
}

func segments(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}
