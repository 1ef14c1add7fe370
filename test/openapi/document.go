// Package openapi checks the requests and responses of tests against openapi.yaml.
//
// It does not check whether a response is the right one for its request, only whether openapi.yaml allows it.
package openapi

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

// Document is a valid openapi.yaml. Its examples are valid too.
type Document struct {
	*openapi3.T
	paths *http.ServeMux // matches the path of a request to a path of the document
}

// Load reads the project's openapi.yaml, which is two folders above the tested package. It reads the file once per process. Callers must
// not change the document.
var Load = sync.OnceValues(func() (*Document, error) {
	t, err := openapi3.NewLoader().LoadFromFile("../../openapi.yaml")
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	return New(t)
})

// onlyRoot is the pattern of the path "/". As a pattern, "/" would match every path.
const onlyRoot = "/{$}"

// New validates a loaded document. It forbids additional properties in all schemas, so that tests find fields that are not documented.
// Clients, in contrast, must accept unknown fields.
func New(t *openapi3.T) (*Document, error) {
	readAsText("application/atom+xml", "text/x-opml", "text/html", "text/csv", "image/svg+xml")
	for _, schema := range t.Components.Schemas {
		closeObjects(schema.Value)
	}
	if err := t.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	d := &Document{t, http.NewServeMux()}
	for path := range t.Paths.Map() {
		if path == "/" {
			path = onlyRoot
		}
		d.paths.Handle(path, http.NotFoundHandler())
	}
	return d, nil
}

// readAsText makes the validator read bodies of these media types as strings.
func readAsText(mediaTypes ...string) {
	for _, name := range mediaTypes {
		openapi3filter.RegisterBodyDecoder(name, openapi3filter.PlainBodyDecoder)
	}
}

// closeObjects forbids additional properties in a schema and in its nested schemas.
func closeObjects(s *openapi3.Schema) {
	if none := false; len(s.Properties) > 0 && s.AdditionalProperties == (openapi3.BoolSchema{}) {
		s.AdditionalProperties.Has = &none
	}
	for _, property := range s.Properties {
		closeInline(property)
	}
	closeInline(s.Items)
}

// closeInline does not change a reference, because New closes the referenced schema itself.
func closeInline(s *openapi3.SchemaRef) {
	if s != nil && s.Ref == "" {
		closeObjects(s.Value)
	}
}

// find returns the document's path for a request and the values of the path parameters. It returns nil if the document has no such path.
func (d *Document) find(r *http.Request) (item *openapi3.PathItem, parameters map[string]string) {
	if p := r.URL.EscapedPath(); path.Clean(p) != p {
		return nil, nil // the mux would clean the path and match another one
	}
	_, pattern := d.paths.Handler(r)
	if pattern == onlyRoot {
		pattern = "/"
	}
	item = d.Paths.Value(pattern)
	if item == nil {
		return nil, nil
	}
	parameters = map[string]string{}
	routed := r.Clone(r.Context())
	d.paths.ServeHTTP(discardWriter{}, routed)
	for _, p := range item.Parameters {
		if p.Value.In == openapi3.ParameterInPath {
			parameters[p.Value.Name] = routed.PathValue(p.Value.Name)
		}
	}
	return item, parameters
}

// QueryParameters returns the sorted names of a path's query parameters. The key is not one of them, because it is a security scheme.
func (d *Document) QueryParameters(path string) []string {
	names := []string{}
	for _, p := range d.Paths.Value(path).Parameters {
		if p.Value.In == openapi3.ParameterInQuery {
			names = append(names, p.Value.Name)
		}
	}
	slices.Sort(names)
	return names
}

// discardWriter is an http.ResponseWriter that discards the response.
type discardWriter struct{}

func (discardWriter) Header() http.Header         { return http.Header{} }
func (discardWriter) Write(b []byte) (int, error) { return len(b), nil }
func (discardWriter) WriteHeader(int)             {}
