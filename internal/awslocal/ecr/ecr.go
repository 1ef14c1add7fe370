package ecr

import (
	"net/http"

	"ecr-continuous-scan/internal/awslocal"
)

// ecrAPI is ECR's protocol; read only.
var ecrAPI = awslocal.JSONAPI{
	Target: "AmazonEC2ContainerRegistry_V20150921.", Service: "ecr", ContentType: "application/x-amz-json-1.1",
	ErrorHeader: true, Failed: "ServerException", Throttled: "ThrottlingException",
}

// operation answers a checked request. It runs under the ECR's lock and returns
// values that no later call changes.
type operation func(e *ECR, call awslocal.Call, q *request) (any, error)

func operationOf(name string) operation {
	switch name {
	case "DescribeRepositories":
		return (*ECR).describeRepositories
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
	q := &request{}
	call, err := ecrAPI.Read(r, q)
	if q.RegistryID != nil {
		call.Registry = *q.RegistryID
	}
	if q.RepositoryName != nil {
		call.Resource = *q.RepositoryName
	}
	e.Serve(w, r, call, func(w http.ResponseWriter) {
		var answer any
		if err == nil {
			answer, err = e.do(call, q)
		}
		ecrAPI.Write(w, answer, err)
	})
}

func (e *ECR) do(call awslocal.Call, q *request) (any, error) {
	op := operationOf(call.Operation)
	if op == nil {
		return nil, awslocal.BadRequest("UnknownOperationException", "")
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return op(e, call, q)
}

// ecrFault puts a fault into ECR's words.
func ecrFault(w http.ResponseWriter, call awslocal.Call, f awslocal.Fault) {
	ecrAPI.Fault(w, f, func(code string) string { return ecrMessage(code, call) })
}

func ecrMessage(code string, call awslocal.Call) string {
	switch code {
	case "ThrottlingException":
		return "Rate exceeded"
	case "AccessDeniedException":
		// The caller is taken to be of the default registry's account: others are
		// closed by their repository policy, one's own by the caller's own.
		kind := "identity-based"
		if call.Registry != awslocal.DefaultRegistry {
			kind = "resource-based"
		}
		action := "ecr:" + call.Operation
		arn := RepositoryID{call.Region, call.Registry, call.Resource}.arn()
		return "User: arn:aws:sts::" + awslocal.DefaultRegistry + ":assumed-role/scan/session is not authorized to perform: " + action +
			" on resource: " + arn + " because no " + kind + " policy allows the " + action + " action"
	case "ServerException":
		return "The service is temporarily unavailable."
	}
	return ""
}
