package httpapi

import (
	"net/http"

	"ecr-continuous-scan/internal/render"
)

// findings answers with 200 whatever ECR says for good, since readers drop a feed that fails; the feed's subtitle tells it. When nothing
// can be read just now the answer is 503, so that readers keep what they have.
func (a *API) findings(w http.ResponseWriter, r *http.Request) error {
	id, err := scanID(r)
	if err != nil {
		return err
	}
	listing, err := a.Watch.Findings(r.Context(), id, render.MaxEntries)
	if err != nil {
		return err
	}
	if err := listing.Outage(); err != nil {
		return err
	}
	self := ""
	if base := a.BaseURL(r); base != "" {
		self = base + "/findings/" + id
	}
	feed, updated, err := render.Atom(listing, self)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "private, max-age=900")
	serve(w, r, "application/atom+xml; charset=utf-8", updated, feed)
	return nil
}
