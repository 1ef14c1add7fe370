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

const maxRequestBody = 4 << 20

// JSONAPI contains the settings of one service's AWS JSON protocol.
type JSONAPI struct {
	Target            string // prefix of the operation in X-Amz-Target
	Service           string // service name in the credential scope of a signature
	ContentType       string
	Namespace         string // prefix of the error code in a response body
	ErrorHeader       bool   // also send the error code in the header X-Amzn-ErrorType
	InternalErrorCode string // error code of an internal error
	ThrottlingCode    string // error code of throttling
}

// Read parses a request and decodes its parameters into q. If the request is invalid, it returns an error and a Call with
// the fields that could be parsed, so that the call is counted for the right operation.
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
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBody))
	if err != nil {
		return call, BadRequest("SerializationException", "the body cannot be read: %v", err)
	}
	if err := json.Unmarshal(body, q); err != nil {
		return call, BadRequest("SerializationException", "the body is not the JSON of a request: %v", err)
	}
	return call, nil
}

// credentialScope matches the credential scope in a Signature Version 4 header: key, date, Region and service.
var credentialScope = regexp.MustCompile(`^AWS4-HMAC-SHA256 .*\bCredential=[^/, ]+/(\d{8})/([^/, ]+)/([^/, ]+)/aws4_request\b`)

func (a JSONAPI) signedRegion(authorization string) (string, error) {
	if authorization == "" {
		return "", BadRequest("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	scope := credentialScope.FindStringSubmatch(authorization)
	if scope == nil {
		return "", BadRequest("IncompleteSignatureException",
			"Authorization header requires 'Credential' parameter. Authorization=%s", strings.Fields(authorization)[0])
	}
	if scope[3] != a.Service {
		return "", BadRequest("InvalidSignatureException", "Credential should be scoped to correct service: '%s'. ", a.Service)
	}
	return scope[2], nil
}

// Write sends v as the response, or err if it is not nil.
func (a JSONAPI) Write(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{http.StatusInternalServerError, a.InternalErrorCode, err.Error()}
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
	_, _ = io.WriteString(w, MustJSON(v)) // an error means that the client has disconnected
}

// WriteFault sends the error of a fault. Missing fields of the fault get the service's defaults. message returns the
// service's default message of an error code.
func (a JSONAPI) WriteFault(w http.ResponseWriter, f Fault, message func(code string) string) {
	e := &Error{f.Status, f.Code, f.Message}
	if e.Code == "" {
		e.Code = a.InternalErrorCode
		if f.PerSecond > 0 {
			e.Code, e.status = a.ThrottlingCode, http.StatusBadRequest
		}
	}
	if e.status == 0 {
		e.status = http.StatusBadRequest
		if e.Code == a.InternalErrorCode {
			e.status = http.StatusInternalServerError
		}
	}
	if e.Message == "" {
		e.Message = message(e.Code)
	}
	a.Write(w, nil, e)
}

// Error is an error response of a service.
type Error struct {
	status        int
	Code, Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// BadRequest is an error with the status 400.
func BadRequest(code, format string, args ...any) *Error {
	return &Error{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// MustJSON encodes a value. It panics if the value can't be encoded, so it is for internal types only.
func MustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("awslocal: encode %T: %v", v, err))
	}
	return string(b)
}
