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

// jsonAPI is how one service speaks AWS's JSON protocol.
type jsonAPI struct {
	target      string // before the operation in X-Amz-Target
	service     string // in the scope of a signature
	contentType string
	namespace   string // before the code of an error in a body
	errorHeader bool   // the code of an error is in a header too
	failed      string // the code of an error of the service itself
	throttled   string // the code of too many calls
}

// read takes as much of a call as can be read, so that also a wrong one is
// counted where it belongs. The parameters go to q.
func (a jsonAPI) read(r *http.Request, q any) (Call, error) {
	call := Call{Registry: DefaultRegistry}
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), a.target)
	if !ok || r.Method != http.MethodPost {
		return call, badRequest("UnknownOperationException", "")
	}
	call.Operation = name
	region, err := a.signedRegion(r.Header.Get("Authorization"))
	if err != nil {
		return call, err
	}
	call.Region = region
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return call, badRequest("SerializationException", "the body cannot be read: %v", err)
	}
	if err := json.Unmarshal(body, q); err != nil {
		return call, badRequest("SerializationException", "the body is not the JSON of a request: %v", err)
	}
	return call, nil
}

// credential is the scope in a Signature Version 4 header: key, date, Region,
// service; compiled once, read only.
var credential = regexp.MustCompile(`^AWS4-HMAC-SHA256 .*\bCredential=[^/, ]+/(\d{8})/([^/, ]+)/([^/, ]+)/aws4_request\b`)

func (a jsonAPI) signedRegion(authorization string) (string, error) {
	if authorization == "" {
		return "", badRequest("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	scope := credential.FindStringSubmatch(authorization)
	if scope == nil {
		return "", badRequest("IncompleteSignatureException",
			"Authorization header requires 'Credential' parameter. Authorization=%s", strings.Fields(authorization)[0])
	}
	if scope[3] != a.service {
		return "", badRequest("InvalidSignatureException", "Credential should be scoped to correct service: '%s'. ", a.service)
	}
	return scope[2], nil
}

// write answers with v, or with an error if there is one.
func (a jsonAPI) write(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			e = &apiError{http.StatusInternalServerError, a.failed, err.Error()}
		}
		if a.errorHeader {
			w.Header().Set("X-Amzn-ErrorType", e.code)
		}
		body := map[string]string{"__type": a.namespace + e.code}
		if e.message != "" {
			body["message"] = e.message
		}
		status, v = e.status, body
	}
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("X-Amzn-RequestId", uuid.NewString())
	w.WriteHeader(status)
	_, _ = io.WriteString(w, mustJSON(v)) // the client has gone if this fails
}

// fault puts a fault into the service's words. message is the service's own for
// a code.
func (a jsonAPI) fault(w http.ResponseWriter, f Fault, message func(code string) string) {
	e := &apiError{f.Status, f.Code, f.Message}
	if e.code == "" {
		e.code = a.failed
		if f.PerSecond > 0 {
			e.code, e.status = a.throttled, http.StatusBadRequest
		}
	}
	if e.status == 0 {
		e.status = http.StatusBadRequest
		if e.code == a.failed {
			e.status = http.StatusInternalServerError
		}
	}
	if e.message == "" {
		e.message = message(e.code)
	}
	a.write(w, nil, e)
}

// apiError is an error as a service answers it.
type apiError struct {
	status        int
	code, message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func badRequest(code, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// mustJSON encodes values of this package's own making, which cannot fail.
func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("awslocal: encode %T: %v", v, err))
	}
	return string(b)
}
