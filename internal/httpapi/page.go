package httpapi

import (
	"errors"
	"net/http"
	"net/url"

	"ecr-continuous-scan/internal/render/page"
)

// linker links to the API for the client of r, as link does.
func (a *API) linker(r *http.Request) (page.Link, error) {
	if a.BaseURL(r) == "" {
		return nil, errors.New("write a page: the API's own URL is unknown")
	}
	return func(path string, values url.Values) string { return a.link(r, path, values) }, nil
}

// pageHeader is for a page in a browser: it may neither load nor run anything, nor be framed, and no link tells where it comes from, since its
// URL may have a key in it.
func pageHeader(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", page.Policy())
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "private, no-cache")
}
