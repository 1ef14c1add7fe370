package httpapi

import (
	"fmt"
	"net/http"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/report"
)

// gate answers with 200 when all images of a config pass, and with 409 and the reasons otherwise, so that a script needs the status alone.
func (a *API) gate(w http.ResponseWriter, r *http.Request) error {
	id, err := scanID(r)
	if err != nil {
		return err
	}
	q, err := parseQuery(r, gateResource(), a.Now())
	if err != nil {
		return err
	}
	verdict, err := a.Reports.Gate(r.Context(), id, q.max, q.view.Filter.Tags)
	if err != nil {
		return err
	}
	if len(verdict.Obstacles) > 0 {
		return refusal(verdict)
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, "application/json", http.StatusOK, render.NewGatePass(verdict))
	return nil
}

func refusal(v report.Verdict) error {
	p := &problem{Status: http.StatusConflict}
	p.Reasons, p.ReasonsOmitted = render.GateReasons(v)
	p.Detail = fmt.Sprintf("The gate stays shut: not every image of the config has a scan of the last %.0f hours with nothing above %s.", report.StaleAfter.Hours(), v.Max)
	return p
}
