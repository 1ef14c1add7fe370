package httpapi

import (
	"errors"
	"net/http"

	"ecr-continuous-scan/internal/render/page"
)

// linker returns the function with which a page makes its links for the client of r. It returns an error if the base URL is
// unknown.
func (a *API) linker(r *http.Request) (page.Link, error) {
	if a.BaseURL(r) == "" {
		return nil, errors.New("write a page: the API's own URL is unknown")
	}
	return a.links(r).to, nil
}

// pageHeader sets the headers of an HTML page. The page may not load resources, run scripts or be framed. Browsers send no Referer
// from it, because its URL may contain a key.
func pageHeader(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", page.Policy())
	h.Set("Referrer-Policy", "no-referrer")
}
