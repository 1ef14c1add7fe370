package httpapi

import (
	"fmt"
	"net/http"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// gate responds with 200 if all images of a config pass, otherwise with 409 and the reasons. A script needs to check only the
// status.
func (a *API) gate(w http.ResponseWriter, r *http.Request) error {
	id, err := scanID(r)
	if err != nil {
		return err
	}
	q, err := parseQuery(r, gateResource(), a.Now())
	if err != nil {
		return err
	}
	verdict, err := a.Reports.Gate(r.Context(), id, report.GateRequest{
		Max: q.max, Repositories: q.view.Filter.Repositories, Tags: q.view.Filter.Tags, IncludeSuppressed: q.view.Filter.Suppressed == scan.IncludeSuppressed,
	})
	if err != nil {
		return err
	}
	if len(verdict.Failures) > 0 {
		return gateFailed(verdict)
	}
	w.Header().Set("Cache-Control", noStore)
	writeJSON(w, "application/json", http.StatusOK, render.NewGatePass(verdict))
	return nil
}

func gateFailed(v report.GateResult) error {
	p := &problem{Status: http.StatusConflict}
	p.Reasons, p.ReasonsOmitted = render.GateReasons(v)
	p.Unjudged, p.Suppressed = &v.Unjudged, v.Suppressed
	p.Detail = fmt.Sprintf("Gate failed: at least one image has findings above %s or no current result.", v.Max)
	if v.Images == 0 {
		p.Detail = "Gate failed: there is no image to judge."
	}
	return p
}
