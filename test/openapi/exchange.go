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

// Handler is the API behind a check: the test fails for an answer that openapi.yaml doesn't know, and for a request that it wouldn't
// allow and that the API took all the same. base is what stands before the API's paths, such as /Prod.
func Handler(t testing.TB, base string, api http.Handler) http.Handler {
	t.Helper()
	d, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Clone(r.Context())
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the body of %s %s: %v", r.Method, r.URL, err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, r)

		asked.URL.Path, asked.URL.RawPath = strings.TrimPrefix(asked.URL.Path, base), strings.TrimPrefix(asked.URL.RawPath, base)
		asked.Body = io.NopCloser(bytes.NewReader(body))
		if err := d.Check(asked, answer.Result()); err != nil {
			t.Errorf("openapi.yaml: %s %.200s: %d: %v", r.Method, r.URL, answer.Code, err)
		}
		send(w, answer)
	})
}

func send(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	for name, values := range answer.Result().Header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the client may be gone
}

// Check says what openapi.yaml doesn't know of an answer; and of the request, unless the API refused it: what a test asks wrongly on
// purpose need not be right. It reads both bodies.
func (d *Document) Check(r *http.Request, answer *http.Response) error {
	r = plainPath(r)
	item, parameters := d.find(r)
	operation := operationOf(item, r.Method)
	err := d.checkAnswer(r, d.answerOf(item, operation, answer.StatusCode), answer)
	if refused := answer.StatusCode >= 400 && answer.StatusCode < 500; operation != nil && !refused && r.Method != http.MethodOptions {
		err = errors.Join(err, d.checkRequest(r, item, operation, parameters))
	}
	return err
}

// operationOf is what the document has for a method; nil for nothing. HEAD is held against GET, whose headers it has.
func operationOf(item *openapi3.PathItem, method string) *openapi3.Operation {
	switch {
	case item == nil, item.Operations()[method] == nil:
		return nil
	case method == http.MethodHead:
		return item.Get
	}
	return item.Operations()[method]
}

// answerOf is what the document has for a status; nil for nothing. OpenAPI has no place for what isn't there, so that the answers to a path
// or a method that the API doesn't have stand among the components.
func (d *Document) answerOf(item *openapi3.PathItem, operation *openapi3.Operation, status int) *openapi3.ResponseRef {
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

// plainPath is the request without a slash at the end of its path, which means the same.
func plainPath(r *http.Request) *http.Request {
	u := *r.URL
	if len(u.Path) > 1 && strings.HasSuffix(u.EscapedPath(), "/") {
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	}
	plain := r.WithContext(r.Context())
	plain.URL = &u
	return plain
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
			return fmt.Errorf("the request was taken with a parameter that isn't documented: %.100s", name)
		}
	}
	for _, name := range []string{"severity", "max"} {
		if query.Has(name) {
			query.Set(name, strings.ToUpper(query.Get(name))) // the document has one form, the API takes lower case too
		}
	}
	if query.Get("format") == "html" {
		maps.DeleteFunc(query, func(_ string, values []string) bool { return strings.TrimSpace(strings.Join(values, "")) == "" }) // a form's empty fields
	}
	err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, QueryParams: query,
		Route: &routers.Route{Spec: d.T, PathItem: item, Operation: operation},
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true,
		},
	})
	if err != nil {
		return fmt.Errorf("the request was taken, and isn't allowed: %w", err)
	}
	return nil
}

// checkAnswer holds an answer against the one that the document has for it.
func (d *Document) checkAnswer(r *http.Request, documented *openapi3.ResponseRef, answer *http.Response) error {
	if documented == nil {
		return errors.New("the status isn't documented")
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	content := documented.Value.Content
	if len(content) == 0 && len(body) > 0 {
		return fmt.Errorf("a body where none is documented: %.200s", body)
	}
	if contentType := answer.Header.Get("Content-Type"); len(content) > 0 && content[contentType] == nil {
		return fmt.Errorf("the content type %q isn't documented", contentType)
	}
	if err := checkNames(answer.Header, documented.Value.Headers); err != nil {
		return err
	}
	hasBody := len(content) > 0 && r.Method != http.MethodHead // a server sends none then, whatever is written
	return d.validate(r, documented, answer.Header, body, hasBody)
}

// validate hands an answer over to the validator as if it were the only one of a GET with 200: for HEAD and 304 it would look at nothing.
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

// joined has one line for each header (RFC 9110, section 5.3).
func joined(header http.Header) http.Header {
	one := http.Header{}
	for name, values := range header {
		one.Set(name, strings.Join(values, ", "))
	}
	return one
}

// checkNames looks for headers that aren't documented. Those that every answer has, or that the gateway or CORS add, need not be.
func checkNames(header http.Header, documented openapi3.Headers) error {
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
