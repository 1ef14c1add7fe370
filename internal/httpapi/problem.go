package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"ecr-continuous-scan/internal/httpapi/body"
	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/render/page"
	"ecr-continuous-scan/internal/scan"
)

// problem is the error that a client receives, as a problem document (RFC 9457).
type problem struct {
	Type   string            `json:"type"`
	Title  string            `json:"title"`
	Status int               `json:"status"`
	Detail string            `json:"detail"`
	Errors []scan.FieldError `json:"errors,omitempty"`
	// Reasons are the reasons why a gate failed. ReasonsOmitted is the number of further reasons.
	Reasons        []render.GateReason `json:"reasons,omitempty"`
	ReasonsOmitted int                 `json:"reasonsOmitted,omitempty"`
	// Unjudged is the number of findings that the gate could not judge.
	Unjudged *int `json:"unjudged,omitempty"`
	// Ignored is the number of findings above the maximum that the request does not select.
	Ignored int `json:"ignored,omitempty"`
	// Suppressed is the number of findings that the gate did not judge because they are suppressed.
	Suppressed int `json:"suppressed,omitempty"`
}

func (p *problem) Error() string { return p.Detail }

// retryAfter is the value of Retry-After for temporary errors, in seconds.
const retryAfter = 30

// statusOf returns the HTTP status for an error code.
func statusOf(code scan.Code) int {
	switch code {
	case scan.Invalid:
		return http.StatusBadRequest
	case scan.NotFound:
		return http.StatusNotFound
	case scan.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*body.Error](err); ok {
		return &problem{Status: e.Status, Detail: e.Detail, Errors: []scan.FieldError{{Detail: e.Rule}}}
	}
	p := &problem{Status: statusOf(scan.CodeOf(err)), Detail: scan.MessageOf(err)}
	if e, ok := errors.AsType[*scan.Error](err); ok {
		p.Errors = e.Fields
	}
	if p.Status == http.StatusInternalServerError {
		p.Detail = "The request failed. The function's log contains the reason."
	}
	return p
}

// writeProblem writes an error as a problem document, or as a page for a browser. Other functions must not write errors. It logs the causes of 5xx
// errors, and it does not send them to the client.
func (a *API) writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := *problemOf(err)
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	if p.Status >= http.StatusInternalServerError {
		a.Log.ErrorContext(r.Context(), "request failed", "method", r.Method, "status", p.Status, "error", err)
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="ECR scan results", charset="UTF-8"`)
	}
	w.Header().Set("Cache-Control", noStore)
	if !slices.Contains(w.Header().Values("Vary"), "Accept") {
		w.Header().Add("Vary", "Accept")
	}
	if prefersPage(r) && a.writeErrorPage(w, r, p) {
		return
	}
	writeJSON(w, typeProblem, p.Status, p)
}

// writeErrorPage returns false if the page can't be made. Then the client gets the problem document.
func (a *API) writeErrorPage(w http.ResponseWriter, r *http.Request, p problem) bool {
	link, err := a.linker(r)
	if err != nil {
		return false
	}
	shown := page.Problem{
		Status: p.Status, Title: p.Title, Detail: p.Detail, Errors: p.Errors, Reasons: p.Reasons, ReasonsOmitted: p.ReasonsOmitted, Advice: p.advice(),
		NeedsKey: p.Status == http.StatusUnauthorized,
	}
	if shown.NeedsKey {
		link = nil // every link would need a key, and would repeat a wrong one
	}
	body, err := page.Error(shown, link)
	if err != nil {
		a.Log.ErrorContext(r.Context(), "could not write the page of an error", "error", err)
		return false
	}
	pageHeader(w)
	writeBody(w, typeHTML, p.Status, body)
	return true
}

// advice says what the user of a browser can do.
func (p problem) advice() string {
	switch p.Status {
	case http.StatusBadRequest:
		return "Correct the address, or start again at the summary."
	case http.StatusNotFound:
		return "Check the address. The summary has a link to each config."
	case http.StatusConflict:
		return "Resolve the findings, or wait for the next scan. Then load this page again."
	case http.StatusServiceUnavailable:
		return fmt.Sprintf("This is temporary. Try again in %d seconds.", retryAfter)
	}
	return ""
}
