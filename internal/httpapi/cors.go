package httpapi

import "net/http"

// allowOrigin adds the CORS headers (Fetch standard) that allow scripts of the configured origin to call the API. It also responds
// to preflight requests, which a browser sends without a key, and then returns true. If no origin is configured it does nothing,
// and browsers block scripts of every other origin.
func (a *API) allowOrigin(w http.ResponseWriter, r *http.Request) (answered bool) {
	if a.Origin == "" {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if r.Header.Get("Origin") != a.Origin {
		return false
	}
	h.Set("Access-Control-Allow-Origin", a.Origin)
	h.Set("Access-Control-Expose-Headers", "Allow, ETag, Link, Location, Retry-After")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "DELETE, GET, HEAD, POST, PUT")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match, If-None-Match")
	h.Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
