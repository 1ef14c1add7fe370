package openapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// Handler wraps the API. The test fails if openapi.yaml does not allow a response, or if the API accepts a request that openapi.yaml does not
// allow. base is the prefix of the API's paths, such as /Prod.
func Handler(t testing.TB, base string, api http.Handler) http.Handler {
	t.Helper()
	d, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		original := r.Clone(r.Context())
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the body of %s %s: %v", r.Method, r.URL, err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		response := httptest.NewRecorder()
		api.ServeHTTP(response, r)

		original.URL.Path, original.URL.RawPath = strings.TrimPrefix(original.URL.Path, base), strings.TrimPrefix(original.URL.RawPath, base)
		original.Body = io.NopCloser(bytes.NewReader(body))
		if err := d.Check(original, response.Result()); err != nil {
			t.Errorf("openapi.yaml: %s %.200s: %d: %v", r.Method, r.URL, response.Code, err)
		}
		send(w, response)
	})
}

func send(w http.ResponseWriter, response *httptest.ResponseRecorder) {
	for name, values := range response.Result().Header {
		w.Header()[name] = values
	}
	w.WriteHeader(response.Code)
	_, _ = w.Write(response.Body.Bytes()) // an error means that the client closed the connection
}

// Check returns an error if openapi.yaml does not allow the response. It also checks the request, unless the response is a 4xx error, because
// tests send invalid requests on purpose. It reads both bodies.
func (d *Document) Check(r *http.Request, response *http.Response) error {
	r = withoutTrailingSlash(r)
	item, parameters := d.find(r)
	operation := operationOf(item, r.Method)
	err := d.checkResponse(r, d.documentedResponse(item, operation, response.StatusCode), response)
	if rejected := response.StatusCode >= 400 && response.StatusCode < 500; operation != nil && !rejected && r.Method != http.MethodOptions {
		err = errors.Join(err, d.checkRequest(r, item, operation, parameters))
	}
	return err
}

// operationOf returns the documented operation of a method, or nil if there is none. For HEAD it returns the operation of GET, because a
// response to HEAD has the headers of GET.
func operationOf(item *openapi3.PathItem, method string) *openapi3.Operation {
	switch {
	case item == nil, item.Operations()[method] == nil:
		return nil
	case method == http.MethodHead:
		return item.Get
	}
	return item.Operations()[method]
}

// documentedResponse returns the documented response for a status, or nil if there is none. In OpenAPI, unknown paths and methods can't have
// responses, so their responses are among the components.
func (d *Document) documentedResponse(item *openapi3.PathItem, operation *openapi3.Operation, status int) *openapi3.ResponseRef {
	if operation != nil {
		if response := operation.Responses.Status(status); response != nil {
			return response
		}
		return operation.Responses.Default()
	}
	named := map[int]string{http.StatusUnauthorized: "Unauthorized", http.StatusForbidden: "Forbidden", http.StatusMethodNotAllowed: "MethodNotAllowed"}
	if item == nil {
		delete(named, http.StatusMethodNotAllowed)
		named[http.StatusNotFound] = "NotFound"
	}
	return d.Components.Responses[named[status]]
}

// withoutTrailingSlash returns the request without a trailing slash in its path.
func withoutTrailingSlash(r *http.Request) *http.Request {
	u := *r.URL
	if len(u.Path) > 1 && strings.HasSuffix(u.EscapedPath(), "/") {
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	}
	trimmed := r.WithContext(r.Context())
	trimmed.URL = &u
	return trimmed
}

func (d *Document) checkRequest(r *http.Request, item *openapi3.PathItem, operation *openapi3.Operation, parameters map[string]string) error {
	query := r.URL.Query()
	known := []string{"key"}
	for _, p := range slices.Concat(item.Parameters, operation.Parameters) {
		if p.Value.In == openapi3.ParameterInQuery {
			known = append(known, p.Value.Name)
		}
	}
	for name := range query {
		if !slices.Contains(known, name) {
			return fmt.Errorf("the API accepted a parameter that isn't documented: %.100s", name)
		}
	}
	for _, name := range []string{"severity", "max"} {
		if query.Has(name) {
			query.Set(name, strings.ToUpper(query.Get(name))) // the API also accepts lower case
		}
	}
	if query.Get("format") == "html" {
		maps.DeleteFunc(query, func(_ string, values []string) bool { return strings.TrimSpace(strings.Join(values, "")) == "" }) // the API ignores empty fields of a form
	}
	err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, QueryParams: query,
		Route: &routers.Route{Spec: d.T, PathItem: item, Operation: operation},
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true,
		},
	})
	if err != nil {
		return fmt.Errorf("the API accepted a request that isn't documented: %w", err)
	}
	return nil
}

// checkResponse checks a response against the documented one.
func (d *Document) checkResponse(r *http.Request, documented *openapi3.ResponseRef, response *http.Response) error {
	if documented == nil {
		return errors.New("the status isn't documented")
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read the response: %w", err)
	}
	content := documented.Value.Content
	if len(content) == 0 && len(body) > 0 {
		return fmt.Errorf("a body where none is documented: %.200s", body)
	}
	if contentType := response.Header.Get("Content-Type"); len(content) > 0 && content[contentType] == nil {
		return fmt.Errorf("the content type %q isn't documented", contentType)
	}
	if err := checkHeaderNames(response.Header, documented.Value.Headers); err != nil {
		return err
	}
	hasBody := len(content) > 0 && r.Method != http.MethodHead // net/http sends no body for HEAD, even if the handler writes one
	return d.validate(r, documented, response.Header, body, hasBody)
}

// validate validates a response as if it were the response to a GET with status 200, because the validator ignores responses to HEAD and
// with status 304.
func (d *Document) validate(r *http.Request, documented *openapi3.ResponseRef, header http.Header, body []byte, hasBody bool) error {
	get := r.Clone(r.Context())
	get.Method = http.MethodGet
	operation := &openapi3.Operation{Responses: openapi3.NewResponses(openapi3.WithStatus(http.StatusOK, documented))}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: get, Route: &routers.Route{Spec: d.T, Operation: operation}},
		Status:                 http.StatusOK, Header: joined(header), Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{ExcludeResponseBody: !hasBody, IncludeResponseStatus: true},
	})
}

// joined joins the values of each header (RFC 9110, section 5.3).
func joined(header http.Header) http.Header {
	one := http.Header{}
	for name, values := range header {
		one.Set(name, strings.Join(values, ", "))
	}
	return one
}

// checkHeaderNames returns an error for a header that isn't documented. Headers of every response, of the gateway and of CORS need not be
// documented.
func checkHeaderNames(header http.Header, documented openapi3.Headers) error {
	known := []string{"Content-Length", "Content-Type", "Date", "Vary", "X-Content-Type-Options"}
	for name := range documented {
		known = append(known, http.CanonicalHeaderKey(name))
	}
	for name := range header {
		name = http.CanonicalHeaderKey(name)
		if !slices.Contains(known, name) && !strings.HasPrefix(name, "X-Amzn-") && !strings.HasPrefix(name, "Access-Control-") {
			return fmt.Errorf("the header %s isn't documented", name)
		}
	}
	return nil
}
