package httpapi

import (
	"errors"
	"net/http"
	"strconv"

	"ecr-continuous-scan/internal/render"
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
	p := &problem{Status: statusOf(scan.CodeOf(err)), Detail: scan.MessageOf(err)}
	if e, ok := errors.AsType[*scan.Error](err); ok {
		p.Errors = e.Fields
	}
	if p.Status == http.StatusInternalServerError {
		p.Detail = "The request failed. The function's log contains the reason."
	}
	return p
}

// writeProblem writes an error as a problem document. Other functions must not write errors. It logs the causes of 5xx errors, and
// it does not send them to the client.
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
	writeJSON(w, "application/problem+json", p.Status, p)
}
