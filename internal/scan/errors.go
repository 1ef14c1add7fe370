package scan

import "errors"

// Code says what kind of failure an error is, for whoever has to act on it.
type Code string

const (
	// Internal is everything that has no other code. Its cause is logged and never shown.
	Internal Code = "internal"
	// Invalid is input that breaks a rule; the error's Fields say which.
	Invalid Code = "invalid"
	// NotFound is a config that does not exist.
	NotFound Code = "not found"
	// RepositoryNotFound is a repository that its registry does not have.
	RepositoryNotFound Code = "repository not found"
	// ImageNotFound is an image or tag that its repository does not have.
	ImageNotFound Code = "image not found"
	// NoAccess is a refusal: credentials or permissions are missing. Trying again changes nothing.
	NoAccess Code = "no access"
	// Unavailable is a failure in passing: throttling, an error of the other side, no answer in time. Try again later.
	Unavailable Code = "unavailable"
	// ScannedRecently is ECR's refusal to scan an image twice within 24 hours: an answer more than an error.
	ScannedRecently Code = "scanned within 24 h"
	// NotScannable is an image that ECR can't scan.
	NotScannable Code = "not scannable"
	// EnhancedScanning is a registry's refusal, in one Region, to start a scan by hand, of whatever image: Amazon Inspector scans there.
	EnhancedScanning Code = "enhanced scanning"
)

// Error is a failure with a code for programs and a message for people.
type Error struct {
	Code Code
	// Message may be shown to anyone: it holds no internal name, request id or secret.
	Message string
	// Fields are the wrong fields of an Invalid input.
	Fields []FieldError
	// Err is the cause, for the log alone. It may be nil.
	Err error
}

// FieldError names one wrong field of an input.
type FieldError struct {
	// Pointer is a JSON pointer (RFC 6901) into the input, such as /tags/1.
	Pointer string `json:"pointer"`
	// Detail says what the field must be.
	Detail string `json:"detail"`
}

func (e *Error) Error() string {
	s := string(e.Code)
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// CodeOf is the code of the first [*Error] in err's chain, Internal when there is none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

// MessageOf is what may be shown to anyone of err.
func MessageOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Message != "" {
		return e.Message
	}
	return "internal error"
}
