package httpapi

import (
	"net/http"
)

func (a *API) changes(w http.ResponseWriter, r *http.Request) error {
	id, err := scanID(r)
	if err != nil {
		return err
	}
	q, err := parseQuery(r, changesResource(), a.Watch.Now())
	if err != nil {
		return err
	}
	listing, err := a.Watch.Changes(r.Context(), id, q.view)
	if err != nil {
		return err
	}
	return a.serveFeed(w, r, "/findings/"+id+"/changes", q, listing)
}

func (a *API) allChanges(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r, changesResource(), a.Watch.Now())
	if err != nil {
		return err
	}
	listing, err := a.Watch.AllChanges(r.Context(), q.view)
	if err != nil {
		return err
	}
	return a.serveFeed(w, r, "/changes", q, listing)
}
