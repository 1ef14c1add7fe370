package awslocal

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/uuid"
)

const (
	targetPrefix = "AmazonEC2ContainerRegistry_V20150921."
	contentType  = "application/x-amz-json-1.1"
	maxBody      = 4 << 20
)

// operation answers a checked request. It runs under the ECR's lock and returns
// values that no later call changes.
type operation func(e *ECR, call Call, q *request) (any, error)

func operationOf(name string) operation {
	switch name {
	case "DescribeRepositories":
		return (*ECR).describeRepositories
	case "ListImages":
		return (*ECR).listImages
	case "DescribeImages":
		return (*ECR).describeImages
	case "BatchGetImage":
		return (*ECR).batchGetImage
	case "StartImageScan":
		return (*ECR).startImageScan
	case "DescribeImageScanFindings":
		return (*ECR).describeImageScanFindings
	}
	return nil
}

// ServeHTTP answers one call of ECR's AWS JSON 1.1 protocol.
func (e *ECR) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call, q, err := readCall(r)
	e.serve(w, r, call, func(w http.ResponseWriter) {
		var answer any
		if err == nil {
			answer, err = e.do(call, q)
		}
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, answer)
	})
}

func (e *ECR) do(call Call, q *request) (any, error) {
	op := operationOf(call.Operation)
	if op == nil {
		return nil, badRequest("UnknownOperationException", "")
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return op(e, call, q)
}

// readCall takes as much of a call as can be read, so that also a wrong one is
// counted where it belongs.
func readCall(r *http.Request) (Call, *request, error) {
	call := Call{Registry: DefaultRegistry}
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !ok || r.Method != http.MethodPost {
		return call, nil, badRequest("UnknownOperationException", "")
	}
	call.Operation = name
	region, err := signedRegion(r.Header.Get("Authorization"))
	if err != nil {
		return call, nil, err
	}
	call.Region = region
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return call, nil, badRequest("SerializationException", "the body cannot be read: %v", err)
	}
	q := &request{}
	if err := json.Unmarshal(body, q); err != nil {
		return call, nil, badRequest("SerializationException", "the body is not the JSON of a request: %v", err)
	}
	if q.RegistryID != nil {
		call.Registry = *q.RegistryID
	}
	if q.RepositoryName != nil {
		call.Resource = *q.RepositoryName
	}
	return call, q, nil
}

// credential is the scope in a Signature Version 4 header: key, date, Region,
// service; compiled once, read only.
var credential = regexp.MustCompile(`^AWS4-HMAC-SHA256 .*\bCredential=[^/, ]+/(\d{8})/([^/, ]+)/([^/, ]+)/aws4_request\b`)

func signedRegion(authorization string) (string, error) {
	if authorization == "" {
		return "", badRequest("MissingAuthenticationTokenException", "Missing Authentication Token")
	}
	scope := credential.FindStringSubmatch(authorization)
	if scope == nil {
		return "", badRequest("IncompleteSignatureException",
			"Authorization header requires 'Credential' parameter. Authorization=%s", strings.Fields(authorization)[0])
	}
	if scope[3] != "ecr" {
		return "", badRequest("InvalidSignatureException", "Credential should be scoped to correct service: 'ecr'. ")
	}
	return scope[2], nil
}

func writeError(w http.ResponseWriter, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{http.StatusInternalServerError, "ServerException", err.Error()}
	}
	w.Header().Set("X-Amzn-ErrorType", e.code)
	body := map[string]string{"__type": e.code}
	if e.message != "" {
		body["message"] = e.message
	}
	writeJSON(w, e.status, body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Amzn-RequestId", uuid.NewString())
	w.WriteHeader(status)
	_, _ = io.WriteString(w, mustJSON(v)) // nobody is left to tell when the client has gone
}

// ecrFault puts a fault into ECR's words.
func ecrFault(w http.ResponseWriter, call Call, f Fault) {
	e := &apiError{f.Status, f.Code, f.Message}
	if e.code == "" {
		e.code = "ServerException"
		if f.PerSecond > 0 {
			e.code, e.status = "ThrottlingException", http.StatusBadRequest
		}
	}
	if e.status == 0 {
		e.status = http.StatusBadRequest
		if e.code == "ServerException" {
			e.status = http.StatusInternalServerError
		}
	}
	if e.message == "" {
		e.message = ecrMessage(e.code, call)
	}
	writeError(w, e)
}

func ecrMessage(code string, call Call) string {
	switch code {
	case "ThrottlingException":
		return "Rate exceeded"
	case "AccessDeniedException":
		// The caller is taken to be of the default registry's account: others are
		// closed by their repository policy, one's own by the caller's own.
		kind := "identity-based"
		if call.Registry != DefaultRegistry {
			kind = "resource-based"
		}
		action := "ecr:" + call.Operation
		arn := RepositoryID{call.Region, call.Registry, call.Resource}.arn()
		return "User: arn:aws:sts::" + DefaultRegistry + ":assumed-role/scan/session is not authorized to perform: " + action +
			" on resource: " + arn + " because no " + kind + " policy allows the " + action + " action"
	case "ServerException":
		return "The service is temporarily unavailable."
	}
	return ""
}
