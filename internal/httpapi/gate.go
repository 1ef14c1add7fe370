package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"ecr-continuous-scan/internal/gate"
	"ecr-continuous-scan/internal/render"
)

// gate responds with 200 if all images of a config pass, otherwise with 409 and the reasons. A script needs to check only the
// status. If the gate fails only because results are missing that may come soon, the response has Retry-After.
func (a *API) gate(w http.ResponseWriter, r *http.Request) error {
	id, err := scanID(r)
	if err != nil {
		return err
	}
	q, err := parseQuery(r, gateResource(), a.Now())
	if err != nil {
		return err
	}
	request := gate.Request{Max: q.max, Filter: q.view.Filter, FirstSeen: q.firstSeen, FailUnjudged: q.unjudged != ""}
	reports, err := a.Reports.ForGate(r.Context(), id, q.view.Filter, request.CanFail)
	if err != nil {
		return err
	}
	v := gate.Evaluate(reports, request, a.Now())
	w.Header().Set("Cache-Control", noStore)
	if v.IsNotYet() {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	to := links{base: a.BaseURL(r)} // without a key, because pipelines log the response
	link := func(name string) string { return vulnerabilityLink(to, "/findings/"+id, name) }
	switch passed := len(v.Failures) == 0; {
	case q.format == formatText && passed:
		writeBody(w, "text/plain; charset=utf-8", http.StatusOK, render.GateText(v, link))
	case q.format == formatText:
		writeBody(w, "text/plain; charset=utf-8", http.StatusConflict, render.GateText(v, link))
	case passed:
		writeJSON(w, "application/json", http.StatusOK, render.NewGatePass(v))
	default:
		return gateFailed(v, link)
	}
	return nil
}

func gateFailed(v gate.Result, link render.LinkOf) error {
	p := &problem{Status: http.StatusConflict}
	p.Reasons, p.ReasonsOmitted = render.GateReasons(v, link)
	p.Unjudged, p.Ignored, p.Suppressed = &v.Unjudged, v.Ignored, v.Suppressed
	p.Detail = fmt.Sprintf("Gate failed: at least one image has findings above %s or no current result.", v.Max)
	switch {
	case v.Images == 0:
		p.Detail = "Gate failed: there is no image to judge."
	case v.IsNotYet():
		p.Detail = "Gate failed: not yet. At least one image has no result yet, and none has findings that fail the gate."
	case !slices.ContainsFunc(v.Failures, func(f gate.Failure) bool { return f.Image != nil }):
		p.Detail = "Gate failed: at least one repository can't be judged."
	}
	return p
}
