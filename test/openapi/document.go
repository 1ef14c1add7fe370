// Package openapi holds what the API is asked and answers against openapi.yaml, in every test whose requests go through it.
//
// It doesn't say whether an answer is the right one, only whether it is one that the document knows.
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

// Document is openapi.yaml, read and found to be valid, examples included.
type Document struct {
	*openapi3.T
	paths *http.ServeMux // from a request's path to the document's
}

// Load reads the project's openapi.yaml, two folders above the package whose tests run; in a process once. It is not to be changed.
var Load = sync.OnceValues(func() (*Document, error) {
	t, err := openapi3.NewLoader().LoadFromFile("../../openapi.yaml")
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	return New(t)
})

// New makes a document of one that is loaded. It closes the document's objects: a client has to put up with fields that it doesn't know,
// a test has to find what isn't documented.
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
		d.paths.Handle(path, http.NotFoundHandler())
	}
	return d, nil
}

// readAsText has the validator read bodies that have no form of JSON as strings.
func readAsText(mediaTypes ...string) {
	for _, name := range mediaTypes {
		openapi3filter.RegisterBodyDecoder(name, openapi3filter.PlainBodyDecoder)
	}
}

// closeObjects refuses fields that a schema doesn't name, in what stands inside of it too.
func closeObjects(s *openapi3.Schema) {
	if none := false; len(s.Properties) > 0 && s.AdditionalProperties == (openapi3.BoolSchema{}) {
		s.AdditionalProperties.Has = &none
	}
	for _, property := range s.Properties {
		closeUnlessNamed(property)
	}
	closeUnlessNamed(s.Items)
}

// closeUnlessNamed leaves a reference alone: the schema that it names is closed by itself.
func closeUnlessNamed(s *openapi3.SchemaRef) {
	if s != nil && s.Ref == "" {
		closeObjects(s.Value)
	}
}

// find is the path of the document that a request goes to, and what its parameters are; nil when it has none.
func (d *Document) find(r *http.Request) (item *openapi3.PathItem, parameters map[string]string) {
	if p := r.URL.EscapedPath(); path.Clean(p) != p {
		return nil, nil // the mux would look for another path
	}
	_, pattern := d.paths.Handler(r)
	item = d.Paths.Value(pattern)
	if item == nil {
		return nil, nil
	}
	parameters = map[string]string{}
	routed := r.Clone(r.Context())
	d.paths.ServeHTTP(nowhere{}, routed)
	for _, p := range item.Parameters {
		if p.Value.In == openapi3.ParameterInPath {
			parameters[p.Value.Name] = routed.PathValue(p.Value.Name)
		}
	}
	return item, parameters
}

// QueryParameters are the names of a path's parameters in the query, sorted, without the key.
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

// nowhere is an answer that nobody reads.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}
