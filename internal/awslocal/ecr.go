package awslocal

import "net/http"

// ecrAPI is ECR's protocol; read only.
var ecrAPI = jsonAPI{
	target: "AmazonEC2ContainerRegistry_V20150921.", service: "ecr", contentType: "application/x-amz-json-1.1",
	errorHeader: true, failed: "ServerException", throttled: "ThrottlingException",
}

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
	q := &request{}
	call, err := ecrAPI.read(r, q)
	if q.RegistryID != nil {
		call.Registry = *q.RegistryID
	}
	if q.RepositoryName != nil {
		call.Resource = *q.RepositoryName
	}
	e.serve(w, r, call, func(w http.ResponseWriter) {
		var answer any
		if err == nil {
			answer, err = e.do(call, q)
		}
		ecrAPI.write(w, answer, err)
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

// ecrFault puts a fault into ECR's words.
func ecrFault(w http.ResponseWriter, call Call, f Fault) {
	ecrAPI.fault(w, f, func(code string) string { return ecrMessage(code, call) })
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
