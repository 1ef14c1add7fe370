// Package httpapi is the REST API: paths and methods, strict decoding of what comes in, and the form of what goes out, errors included. It
// is plain net/http, the same behind API Gateway and on a laptop.
//
// What the calls do is the business of package scan, and how results look that of package render and of those below it.
package httpapi

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// Budget is how long a request may take: API Gateway hangs up after 29 seconds, and what is known by then must be written before.
const Budget = 25 * time.Second

// ConfigStore keeps the configs.
type ConfigStore interface {
	report.ConfigReader
	// Put keeps a config under its id. Errors: Unavailable.
	Put(ctx context.Context, c scan.Config) error
	// Delete removes the config with this id. Errors: NotFound, Unavailable.
	Delete(ctx context.Context, id string) error
}

// Visits requests a visit of the repository that a new config watches. It logs what goes wrong: the schedule requests the visit too.
type Visits interface {
	Request(ctx context.Context, c scan.Config)
}

// API answers the requests. Its fields are set once; those that its routes don't need may be nil.
type API struct {
	Configs ConfigStore
	Reports *report.Reader
	// Visits may be nil: then a new config waits for the schedule.
	Visits Visits
	Now    func() time.Time
	// BaseURL is the URL of the API as the client knows it, without a slash at the end; it may be empty when unknown.
	BaseURL func(*http.Request) string
	// Access says who may call.
	Access Access
	// Origin is the one web origin whose scripts may call, such as https://example.org; none when empty.
	Origin string
	Log    *slog.Logger
}

// Routes is what each path answers, by pattern of net/http.ServeMux, without a method.
type Routes map[string]Methods

// Methods is what a path answers to each method. HEAD and OPTIONS are added where they follow from the others.
type Methods map[string]Handler

// Handler answers a request, or returns an error for which a problem document is written.
type Handler func(w http.ResponseWriter, r *http.Request) error

// ConfigRoutes are the routes of ConfigsFunc.
func (a *API) ConfigRoutes() Routes {
	return Routes{
		"/configs":          {http.MethodGet: a.listConfigs, http.MethodPost: a.addConfig},
		"/configs/{scanid}": {http.MethodGet: a.getConfig, http.MethodDelete: a.deleteConfig},
	}
}

// SummaryRoutes are the routes of SummaryFunc.
func (a *API) SummaryRoutes() Routes {
	return Routes{
		"/summary":       {http.MethodGet: a.summary},
		"/gate/{scanid}": {http.MethodGet: a.gate},
		"/badge/{badge}": {http.MethodGet: a.badge},
	}
}

// FindingsRoutes are the routes of FindingsFunc.
func (a *API) FindingsRoutes() Routes {
	return Routes{
		"/findings":                  {http.MethodGet: a.feedList},
		"/findings/all":              {http.MethodGet: a.allFindings},
		"/findings/{scanid}":         {http.MethodGet: a.findings},
		"/findings/{scanid}/changes": {http.MethodGet: a.changes},
		"/changes":                   {http.MethodGet: a.allChanges},
	}
}

// Routes are the routes of the whole API.
func (a *API) Routes() Routes {
	all := Routes{}
	for _, routes := range []Routes{a.ConfigRoutes(), a.SummaryRoutes(), a.FindingsRoutes()} {
		maps.Copy(all, routes)
	}
	return all
}

// Paths lists the patterns, sorted.
func (r Routes) Paths() []string { return slices.Sorted(maps.Keys(r)) }

// Handler serves some routes, and a problem document for everything else.
func (a *API) Handler(routes Routes) http.Handler {
	mux := http.NewServeMux()
	for pattern, methods := range routes {
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
			// The mux would redirect to the clean path, which is not what was asked for.
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

// trimSlash makes a path with a trailing slash the same as without. r must be the caller's own copy.
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
	return &problem{Status: http.StatusMethodNotAllowed, Detail: "This path answers to " + m.allow() + "."}
}

func (m Methods) allow() string {
	allowed := append(slices.Collect(maps.Keys(m)), http.MethodOptions)
	if _, ok := m[http.MethodGet]; ok {
		allowed = append(allowed, http.MethodHead)
	}
	slices.Sort(allowed)
	return strings.Join(allowed, ", ")
}

// link is the URL of a path and query of the API for the client of r; "" when it is unknown. A key that came in the URL goes on in it, and
// no other does; nor one beside a key in the header, which nobody has checked: it may be the full key.
func (a *API) link(r *http.Request, path string, values url.Values) string {
	base := a.BaseURL(r)
	if base == "" {
		return ""
	}
	_, header := headerKey(r)
	if key, ok := urlKey(r); ok && !header {
		values = maps.Clone(values)
		if values == nil {
			values = url.Values{}
		}
		values.Set("key", key)
	}
	if len(values) == 0 {
		return base + path
	}
	return base + path + "?" + values.Encode()
}

func noSuchPath(http.ResponseWriter, *http.Request) error {
	return &problem{Status: http.StatusNotFound, Detail: "There is nothing at this path."}
}
