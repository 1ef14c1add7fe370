package httpapi

import (
	"errors"
	"net/http"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/render/page"
	"ecr-continuous-scan/internal/report"
)

func (a *API) summary(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r, summaryResource(), a.Now())
	if err != nil {
		return err
	}
	overview, err := a.Reports.Summary(r.Context(), q.since)
	if err != nil {
		return err
	}
	chosen := negotiate(w, r, summaryOffers(), q.format)
	body, err := a.writeSummary(r, chosen.format, overview, q)
	if err != nil {
		return err
	}
	if chosen.format == formatHTML {
		pageHeader(w)
	}
	if chosen.format == formatCSV {
		fileHeader(w, "summary")
	}
	w.Header().Set("Cache-Control", cacheAsk)
	serve(w, r, chosen.contentType, body)
	return nil
}

// root leads to the summary. The URL is absolute, because API Gateway does not require the slash after the stage.
func (a *API) root(w http.ResponseWriter, r *http.Request) error {
	if _, err := parseQuery(r, resource{}, a.Now()); err != nil {
		return err
	}
	summary := a.link(r, "/summary", nil)
	if summary == "" {
		return errors.New("redirect to the summary: the API's own URL is unknown")
	}
	w.Header().Set("Location", summary)
	w.Header().Set("Cache-Control", noStore)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// writeSummary writes an overview in a format of summaryOffers.
func (a *API) writeSummary(r *http.Request, format string, o report.Overview, q query) ([]byte, error) {
	switch format {
	case formatJSON:
		return render.SummaryJSON(o, q.view.Filter, a.feedOf(r, q))
	case formatCSV:
		return render.SummaryCSV(o, q.view.Filter, a.feedOf(r, q), q.safe)
	case formatHTML:
		link, err := a.linker(r)
		if err != nil {
			return nil, err
		}
		return page.Summary(o, q.view.Filter, q.values, link)
	default:
		return render.Summary(o, q.view.Filter), nil
	}
}

// feedOf returns the function that makes the URLs of the feeds in a summary. The feeds have the summary's filters.
func (a *API) feedOf(r *http.Request, q query) render.FeedOf {
	values := feedListResource().keep(q.values)
	to := a.links(r)
	return func(id string) string {
		if id == "all" {
			return to.to("/findings/all", values)
		}
		return to.to("/findings/"+id, ofConfig(values))
	}
}
