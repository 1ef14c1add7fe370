package awslocal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/uuid"
)

const maxBody = 4 << 20

// JSONAPI is how one service speaks AWS's JSON protocol.
type JSONAPI struct {
	Target      string // before the operation in X-Amz-Target
	Service     string // in the scope of a signature
	ContentType string
	Namespace   string // before the code of an error in a body
	ErrorHeader bool   // the code of an error is in a header too
	Failed      string // the code of an error of the service itself
	Throttled   string // the code of too many calls
}

// Read takes as much of a call as can be read, so that also a wrong one is
// counted where it belongs. The parameters go to q.
func (a JSONAPI) Read(r *http.Request, q any) (Call, error) {
	call := Call{Registry: DefaultRegistry}
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), a.Target)
	if !ok || r.Method != http.MethodPost {
		return call, BadRequest("UnknownOperationException", "")
	}
	call.Operation = name
	region, err := a.signedRegion(r.Header.Get("Authorization"))
	if err != nil {
		return call, err
	}
	call.Region = region
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return call, BadRequest("SerializationException", "the body cannot be read: %v", err)
	}
	if err := json.Unmarshal(body, q); err != nil {
		return call, BadRequest("SerializationException", "the body is not the JSON of a request: %v", err)
	}
	return call, nil
}

// credential is the scope in a Signature Version 4 header: key, date, Region,
// service; compiled once, read only.
var credential = regexp.MustCompile(`^AWS4-HMAC-SHA256 .*\bCredential=[^/, ]+/(\d{8})/([^/, ]+)/([^/, ]+)/aws4_request\b`)

func (a JSONAPI) signedRegion(authorization string) (string, error) {
	if authorization == "" {
		return "", BadRequest("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	scope := credential.FindStringSubmatch(authorization)
	if scope == nil {
		return "", BadRequest("IncompleteSignatureException",
			"Authorization header requires 'Credential' parameter. Authorization=%s", strings.Fields(authorization)[0])
	}
	if scope[3] != a.Service {
		return "", BadRequest("InvalidSignatureException", "Credential should be scoped to correct service: '%s'. ", a.Service)
	}
	return scope[2], nil
}

// Write answers with v, or with an error if there is one.
func (a JSONAPI) Write(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{http.StatusInternalServerError, a.Failed, err.Error()}
		}
		if a.ErrorHeader {
			w.Header().Set("X-Amzn-ErrorType", e.Code)
		}
		body := map[string]string{"__type": a.Namespace + e.Code}
		if e.Message != "" {
			body["message"] = e.Message
		}
		status, v = e.status, body
	}
	w.Header().Set("Content-Type", a.ContentType)
	w.Header().Set("X-Amzn-RequestId", uuid.NewString())
	w.WriteHeader(status)
	_, _ = io.WriteString(w, MustJSON(v)) // the client has gone if this fails
}

// Fault puts a fault into the service's words. message is the service's own for
// a code.
func (a JSONAPI) Fault(w http.ResponseWriter, f Fault, message func(code string) string) {
	e := &Error{f.Status, f.Code, f.Message}
	if e.Code == "" {
		e.Code = a.Failed
		if f.PerSecond > 0 {
			e.Code, e.status = a.Throttled, http.StatusBadRequest
		}
	}
	if e.status == 0 {
		e.status = http.StatusBadRequest
		if e.Code == a.Failed {
			e.status = http.StatusInternalServerError
		}
	}
	if e.Message == "" {
		e.Message = message(e.Code)
	}
	a.Write(w, nil, e)
}

// Error is an error as a service answers it.
type Error struct {
	status        int
	Code, Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// BadRequest is an error with the status 400.
func BadRequest(code, format string, args ...any) *Error {
	return &Error{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// MustJSON encodes values of this package's own making, which cannot fail.
func MustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("awslocal: encode %T: %v", v, err))
	}
	return string(b)
}
