package ecrscan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"ecr-continuous-scan/internal/scan"
)

const (
	limitExceeded    = "LimitExceededException"
	throttledMessage = "throttled by ECR"
)

// classify converts an error of a call about repo to a [scan.Error] with a code and a message for users. The message
// contains no internal details. The error codes are those of ECR's API model and others that ECR returns in practice; see
// the table of states in docs/operations.md.
func (c *Client) classify(repo scan.Repository, err error) error {
	code, message := describeError(repo, err)
	if c.roles.isOther(repo.Registry) {
		code, message = c.roles.explain(repo, err, code, message)
	}
	return &scan.Error{Code: code, Message: message, Err: fmt.Errorf("%s: %w", repo, err)}
}

func describeError(repo scan.Repository, err error) (scan.Code, string) {
	var api smithy.APIError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return scan.Unavailable, "no answer in time"
	case scannedRecently(err):
		return scan.ScannedRecently, "scanned within 24 h"
	case isThrottling(err):
		return scan.Unavailable, throttledMessage
	case errors.As(err, &api):
		return describeAPIError(repo, api, err)
	case isServerError(err):
		return serverError(repo)
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok && lookup.IsNotFound {
		return scan.Unavailable, noEndpoint(repo, lookup.Name)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return scan.Unavailable, "no answer in time"
	}
	if strings.Contains(err.Error(), "failed to retrieve credentials") || strings.Contains(err.Error(), "get credentials") {
		return scan.NoAccess, "no AWS credentials"
	}
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return scan.Unavailable, "the answer of ECR in " + repo.Region + " can't be read"
	}
	return scan.Unavailable, "ECR in " + repo.Region + " can't be reached"
}

func describeAPIError(repo scan.Repository, api smithy.APIError, err error) (scan.Code, string) {
	switch api.ErrorCode() {
	case "RepositoryNotFoundException":
		return scan.RepositoryNotFound, "repository not found"
	case "ImageNotFoundException":
		return scan.ImageNotFound, "image not found"
	case "UnsupportedImageTypeException":
		return scan.NotScannable, "unsupported image type"
	case "ImageArchivedException":
		return scan.NotScannable, string(scan.Archived)
	case "ValidationException":
		if strings.Contains(api.ErrorMessage(), "feature is disabled") {
			return scan.EnhancedScanning, string(scan.EnhancedScanning)
		}
	case limitExceeded:
		return scan.Unavailable, "the registry's limit of scans in 24 h is reached"
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "UnrecognizedClientException", "InvalidClientTokenId",
		"InvalidSignatureException", "ExpiredTokenException", "ExpiredToken", "RequestExpired", "OptInRequired", "NotAuthorized", "IncompleteSignature",
		"IncompleteSignatureException",
		"MissingAuthenticationTokenException":
		return scan.NoAccess, noAccess(api.ErrorMessage())
	}
	if isServerError(err) {
		return serverError(repo)
	}
	return scan.Internal, "ECR refused the request"
}

// noEndpoint returns the message for a host that does not exist. Not every Region has an endpoint with FIPS.
func noEndpoint(repo scan.Repository, host string) string {
	if strings.Contains(host, "fips") {
		return "ECR has no FIPS endpoint in " + repo.Region
	}
	return "ECR has no endpoint in " + repo.Region
}

func isServerError(err error) bool {
	response, ok := errors.AsType[*awshttp.ResponseError](err)
	return ok && response.HTTPStatusCode() >= http.StatusInternalServerError
}

func serverError(repo scan.Repository) (scan.Code, string) {
	return scan.Unavailable, "ECR in " + repo.Region + " answered with an error"
}

// noAccess returns a message with the missing permission, if ECR's message contains it. With enhanced scanning it can be a
// permission of Amazon Inspector.
func noAccess(message string) string {
	for _, word := range strings.Fields(message) {
		word = strings.Trim(word, `"'.,`)
		if service, action, ok := strings.Cut(word, ":"); ok && (service == "ecr" || service == "inspector2") && action != "" {
			return "no access to " + service + ":" + action
		}
	}
	return "no access"
}

// scannedRecently reports whether ECR rejected a scan because the image was scanned within 24 hours. The quota of the
// registry has the same error code but another text. In an old report, this text has the throttling code.
func scannedRecently(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	message := strings.ToLower(api.ErrorMessage())
	return strings.Contains(message, "scan quota per image") || strings.Contains(message, "scan frequency")
}

// isThrottling reports whether ECR rejected a call because of its rate limit. The same call can succeed later.
func isThrottling(err error) bool {
	if err == nil || isCode(err, limitExceeded) || scannedRecently(err) {
		return false
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if _, known := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; known {
			return true
		}
	}
	response, ok := errors.AsType[*awshttp.ResponseError](err)
	return ok && response.HTTPStatusCode() == http.StatusTooManyRequests
}

// maxRetryAfter limits how long one error delays the calls of an operation. The SDK has the same limit.
const maxRetryAfter = 5 * time.Second

// retryAfter returns how long ECR asks to wait before the next call, in the error's header X-Amz-Retry-After. The SDK reads the
// header only before its own retries.
func retryAfter(err error) time.Duration {
	response, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || response.Response == nil {
		return 0
	}
	ms, err := strconv.ParseUint(response.Response.Header.Get("X-Amz-Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(ms)*time.Millisecond, maxRetryAfter)
}

func isCode(err error, code string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && api.ErrorCode() == code
}
