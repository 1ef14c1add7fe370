// Package httpapi implements the REST API: paths and methods, strict decoding of requests, content negotiation, headers and
// problem documents. It uses only net/http and runs behind API Gateway and in the local server.
//
// It does not collect results (package report), write their formats (package render and its subpackages) or visit repositories
// (package rescan).
package httpapi

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// Budget is the time limit of a request. API Gateway closes the connection after 29 seconds, so the response has to be written
// earlier.
const Budget = 25 * time.Second

// ConfigStore stores the configs.
type ConfigStore interface {
	report.ConfigReader
	// Put stores a config under its id. Errors: Unavailable.
	Put(ctx context.Context, c scan.Config) error
	// Replace stores the result of change instead of the config with this id. It calls change with the stored config, and again if another
	// call replaced that meanwhile. Errors: NotFound, Unavailable, and those of change, which store nothing.
	Replace(ctx context.Context, id string, change func(stored scan.Config) (scan.Config, error)) error
	// Delete deletes the config with this id. If check is not nil, it calls check with the stored config, and again if another call replaced that
	// meanwhile. Errors: NotFound, Unavailable, and those of check, which delete nothing.
	Delete(ctx context.Context, id string, check func(stored scan.Config) error) error
	// Pack stores copies of all configs in one object, so that new processes need not read each config. Errors:
	// Unavailable.
	Pack(ctx context.Context) error
}

// Visits requests visits of the repositories that a new or replaced config watches, and of those that it watched before. It logs
// errors and does not return them, because the next schedule requests the same visits.
type Visits interface {
	Request(ctx context.Context, config scan.Config, before ...scan.Repository)
}

// API handles the requests. Its fields must not change after the first request. Fields that the served routes don't use may be
// nil.
type API struct {
	Configs ConfigStore
	Reports *report.Reader
	// Suppressions stores the suppressions. SuppressionCounter may be nil: then their list has no numbers of findings.
	Suppressions       SuppressionStore
	SuppressionCounter SuppressionCounter
	// Visits may be nil. Then the next schedule requests the first visit of a new config.
	Visits Visits
	Now    func() time.Time
	// Build identifies the executable. Clients keep answers only of the same build, because another one can write the same data in another way.
	Build string
	// BaseURL returns the URL of the API as the client sees it, without a trailing slash, or "" if it is unknown.
	BaseURL func(*http.Request) string
	// Access defines who may call the API.
	Access Access
	// Origin is the web origin whose scripts may call the API, such as https://example.org. If it is empty, no origin may.
	Origin string
	Log    *slog.Logger
}

// Routes maps path patterns of net/http.ServeMux, without a method, to the methods of the path.
type Routes map[string]Methods

// Methods maps HTTP methods to handlers. OPTIONS is always supported, and HEAD wherever GET is.
type Methods map[string]Handler

// Handler writes the response to a request, or returns an error, for which the API writes a problem document or a page.
type Handler func(w http.ResponseWriter, r *http.Request) error

// ConfigRoutes returns the routes of ConfigsFunc.
func (a *API) ConfigRoutes() Routes {
	return Routes{
		"/configs": {http.MethodGet: withParameters(a.listConfigs), http.MethodPost: withParameters(a.addConfig)},
		"/configs/{scanid}": {
			http.MethodGet: withParameters(a.getConfig), http.MethodPut: withParameters(a.replaceConfig), http.MethodDelete: withParameters(a.deleteConfig),
		},
		"/suppressions": {http.MethodGet: withParameters(a.listSuppressions), http.MethodPost: withParameters(a.addSuppressions, "reason")},
		"/suppressions/{id}": {
			http.MethodGet: withParameters(a.getSuppression), http.MethodPut: withParameters(a.replaceSuppression), http.MethodDelete: withParameters(a.deleteSuppression),
		},
	}
}

// SummaryRoutes returns the routes of SummaryFunc.
func (a *API) SummaryRoutes() Routes {
	return Routes{
		"/":              {http.MethodGet: a.root},
		"/summary":       {http.MethodGet: a.summary},
		"/gate/{scanid}": {http.MethodGet: a.gate},
		"/badge/{badge}": {http.MethodGet: a.badge},
	}
}

// FindingsRoutes returns the routes of FindingsFunc.
func (a *API) FindingsRoutes() Routes {
	return Routes{
		"/findings":                  {http.MethodGet: a.feedList},
		"/findings/all":              {http.MethodGet: a.allFindings},
		"/findings/{scanid}":         {http.MethodGet: a.findings},
		"/findings/{scanid}/changes": {http.MethodGet: a.changes},
		"/changes":                   {http.MethodGet: a.allChanges},
	}
}

// Routes returns the routes of the whole API.
func (a *API) Routes() Routes {
	all := Routes{}
	for _, routes := range []Routes{a.ConfigRoutes(), a.SummaryRoutes(), a.FindingsRoutes()} {
		maps.Copy(all, routes)
	}
	return all
}

// Paths returns the sorted patterns.
func (r Routes) Paths() []string { return slices.Sorted(maps.Keys(r)) }

// Handler serves the given routes. Every other path gets an error with status 404.
func (a *API) Handler(routes Routes) http.Handler {
	mux := http.NewServeMux()
	for pattern, methods := range routes {
		if pattern == "/" {
			pattern = "/{$}" // only this path
		}
		mux.Handle(pattern, a.handle(methods.serve))
	}
	mux.Handle("/", a.handle(noSuchPath))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), Budget)
		defer cancel()
		r = trimSlash(r.WithContext(ctx))
		if answered := a.allowOrigin(w, r); answered {
			return
		}
		if err := a.Access.check(r); err != nil {
			a.writeProblem(w, r, err)
			return
		}
		if p := r.URL.EscapedPath(); path.Clean(p) != p {
			// The mux would redirect to the cleaned path, which is another resource.
			a.handle(noSuchPath).ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (a *API) handle(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			a.writeProblem(w, r, err)
		}
	})
}

// trimSlash removes a trailing slash from the path. It changes r, so the caller must pass its own copy.
func trimSlash(r *http.Request) *http.Request {
	u := *r.URL
	if len(u.Path) > 1 && strings.HasSuffix(u.EscapedPath(), "/") { // an escaped slash belongs to its segment
		u.Path = strings.TrimSuffix(u.Path, "/")
		u.RawPath = strings.TrimSuffix(u.RawPath, "/")
	}
	r.URL = &u
	return r
}

func (m Methods) serve(w http.ResponseWriter, r *http.Request) error {
	if h, ok := m[r.Method]; ok {
		return h(w, r)
	}
	get, ok := m[http.MethodGet]
	if ok && r.Method == http.MethodHead {
		return get(w, r)
	}
	w.Header().Set("Allow", m.allow())
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return &problem{Status: http.StatusMethodNotAllowed, Detail: "This path supports the methods " + m.allow() + "."}
}

func (m Methods) allow() string {
	allowed := append(slices.Collect(maps.Keys(m)), http.MethodOptions)
	if _, ok := m[http.MethodGet]; ok {
		allowed = append(allowed, http.MethodHead)
	}
	slices.Sort(allowed)
	return strings.Join(allowed, ", ")
}

func noSuchPath(http.ResponseWriter, *http.Request) error {
	return &problem{Status: http.StatusNotFound, Detail: "There is nothing at this path."}
}
