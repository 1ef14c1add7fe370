package httpapi

import "net/http"

// allowOrigin lets scripts of one web origin call the API (the Fetch standard's CORS protocol), and answers the question that a browser asks
// before it sends a key; no key comes with that one. Without an origin it does nothing, and browsers keep all scripts of other origins out.
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
	h.Set("Access-Control-Allow-Methods", "DELETE, GET, HEAD, POST")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match")
	h.Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
