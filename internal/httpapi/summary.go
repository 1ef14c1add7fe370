package httpapi

import (
	"net/http"

	"ecr-continuous-scan/internal/render"
)

func (a *API) summary(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r, summaryParameters())
	if err != nil {
		return err
	}
	overview, err := a.Watch.Summary(r.Context(), q.since)
	if err != nil {
		return err
	}
	serve(w, r, "text/plain; charset=utf-8", render.Summary(overview, q.view.Filter))
	return nil
}
