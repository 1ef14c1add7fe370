package httpapi

import (
	"errors"
	"net/http"
	"strconv"

	"ecr-continuous-scan/internal/render"
	"ecr-continuous-scan/internal/scan"
)

// problem is an error as the client sees it: a problem document (RFC 9457).
type problem struct {
	Type   string            `json:"type"`
	Title  string            `json:"title"`
	Status int               `json:"status"`
	Detail string            `json:"detail"`
	Errors []scan.FieldError `json:"errors,omitempty"`
	// Reasons are those of a gate, and ReasonsOmitted how many more there are.
	Reasons        []render.GateReason `json:"reasons,omitempty"`
	ReasonsOmitted int                 `json:"reasonsOmitted,omitempty"`
}

func (p *problem) Error() string { return p.Detail }

// retryAfter is how long a client is asked to wait after a failure in passing, in seconds.
const retryAfter = 30

// statusOf is the one table from the codes of the domain to HTTP.
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
		p.Detail = "The request failed. The log of the function tells why."
	}
	return p
}

// writeProblem is the only place where an error becomes an answer. The cause of a failure of ours is logged and not shown.
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
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, "application/problem+json", p.Status, p)
}
