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
	feed, err := render.Atom(listing, a.link(r, "/findings/"+id))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "private, max-age=900")
	serve(w, r, "application/atom+xml; charset=utf-8", feed)
	return nil
}
