package ecr

import (
	"net/http"

	"ecr-continuous-scan/internal/awslocal"
)

// ecrAPI contains the settings of ECR's protocol. It is not modified.
var ecrAPI = awslocal.JSONAPI{
	Target: "AmazonEC2ContainerRegistry_V20150921.", Service: "ecr", ContentType: "application/x-amz-json-1.1",
	ErrorHeader: true, InternalErrorCode: "ServerException", ThrottlingCode: "ThrottlingException",
}

// operation handles a validated request. It runs while the ECR's mutex is locked. Later calls do not modify the values that
// it returns.
type operation func(e *ECR, call awslocal.Call, q *request) (any, error)

func operationOf(name string) operation {
	switch name {
	case "DescribeRepositories":
		return (*ECR).describeRepositories
	case "BatchGetRepositoryScanningConfiguration":
		return (*ECR).scanningConfigurations
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

// ServeHTTP handles one call of ECR's API (AWS JSON 1.1).
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

// writeFault sends the error of a fault. Missing fields of the fault get ECR's defaults.
func writeFault(w http.ResponseWriter, call awslocal.Call, f awslocal.Fault) {
	ecrAPI.WriteFault(w, f, func(code string) string { return messageOf(code, call) })
}

func messageOf(code string, call awslocal.Call) string {
	switch code {
	case "ThrottlingException":
		return "Rate exceeded"
	case "AccessDeniedException":
		// The caller's account is that of the default registry. There, the caller's own policy denies access; in other
		// registries, the repository policy does.
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
