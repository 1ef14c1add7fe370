package scan

import (
	"errors"
	"fmt"
	"strings"
)

// Code is the kind of an error. Callers decide by the code what to do.
type Code string

const (
	// Internal is every error without another code. Its cause is logged and not shown to clients.
	Internal Code = "internal"
	// Invalid is input that violates a rule. The error's Fields list the invalid fields.
	Invalid Code = "invalid"
	// NotFound is a config or a stored object that does not exist.
	NotFound Code = "not found"
	// RepositoryNotFound is a repository that does not exist in its registry.
	RepositoryNotFound Code = "repository not found"
	// ImageNotFound is an image or a tag that does not exist in its repository.
	ImageNotFound Code = "image not found"
	// NoAccess means that credentials or permissions are missing. A retry does not help.
	NoAccess Code = "no access"
	// Unavailable is a temporary failure: throttling, a server error or a timeout. A later retry may succeed.
	Unavailable Code = "unavailable"
	// ScannedRecently means that ECR refuses a scan because it scanned the image within the last 24 hours.
	ScannedRecently Code = "scanned within 24 h"
	// NotScannable is an image that ECR can't scan.
	NotScannable Code = "not scannable"
	// EnhancedScanning means that a registry uses Amazon Inspector in this Region. ECR then refuses to start a scan
	// of any image.
	EnhancedScanning Code = "enhanced scanning"
)

// Error is an error with a code for programs and a message for people.
type Error struct {
	Code Code
	// Message may be shown to clients. It contains no internal name, request id or secret.
	Message string
	// Fields are the invalid fields when the code is Invalid.
	Fields []FieldError
	// Err is the cause. It is only logged. It may be nil.
	Err error
}

// MaxFields is the maximum number of invalid fields that an error names.
const MaxFields = 50

// NewInvalid returns an error with the code [Invalid] that names up to [MaxFields] of the invalid fields, and the number of the others. what is their
// noun, such as fields.
func NewInvalid(message, what string, fields []FieldError) error {
	if len(fields) > MaxFields {
		fields = append(fields[:MaxFields:MaxFields], FieldError{Detail: fmt.Sprintf("has %d more wrong %s", len(fields)-MaxFields, what)})
	}
	return &Error{Code: Invalid, Message: message, Fields: fields}
}

// PointerTo returns the JSON pointer (RFC 6901) to a member of an input. It shortens long names, because the author of the input chooses them.
func PointerTo(name string) string {
	const maxLength = 100 // bytes
	if len(name) > maxLength {
		name = strings.ToValidUTF8(name[:maxLength], "") + "…"
	}
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// FieldError describes one invalid field of an input.
type FieldError struct {
	// Pointer is a JSON pointer (RFC 6901) into the input, such as /tags/1.
	Pointer string `json:"pointer"`
	// Detail is the rule that the field violates.
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

// CodeOf returns the code of the first [*Error] that err wraps. It returns Internal when err wraps none, and "" when
// err is nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

// MessageOf returns the message of err that may be shown to clients.
func MessageOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Message != "" {
		return e.Message
	}
	return "internal error"
}
