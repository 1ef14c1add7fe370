// Package body reads the bodies of requests: which media type and size they may have, and the strict decoding of JSON. Its errors name
// everything that is wrong.
//
// The rules for values are in packages scan and suppress, and files of other programs are read by package suppressfile.
package body

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"ecr-continuous-scan/internal/scan"
)

// MaxObject is the maximum size of a scan config or a suppression, in bytes.
const MaxObject = 64 << 10

// Error is an error of the whole body, not of one field.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Detail is a sentence for the client, and Rule the same as a rule.
	Detail, Rule string
}

func (e *Error) Error() string { return e.Detail }

// The media types of bodies.
const (
	typeJSON  = "application/json"
	typeYAML  = "application/yaml"
	typePlain = "text/plain"
)

// wantMediaType returns the media type of the body, if it is one of the given ones.
func wantMediaType(r *http.Request, what string, types ...string) (string, error) {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err != nil || !slices.Contains(types, mediaType) || charset != "" && charset != "utf-8" {
		names := strings.Join(types, " or ")
		return "", &Error{http.StatusUnsupportedMediaType, fmt.Sprintf("Send the %s with Content-Type: %s.", what, names), "must be sent as " + names}
	}
	return mediaType, nil
}

// readBody reads a body of at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, what string, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, isTooLarge := errors.AsType[*http.MaxBytesError](err); isTooLarge {
		return nil, tooLarge(what, limit)
	}
	if err != nil {
		return nil, badBody("The body could not be read completely. Send it again.")
	}
	return body, nil
}

func tooLarge(what string, limit int64) error {
	return &Error{http.StatusRequestEntityTooLarge, fmt.Sprintf("%s may have at most %d bytes.", what, limit), fmt.Sprintf("must have at most %d bytes", limit)}
}

func badBody(detail string) error { return &Error{http.StatusBadRequest, detail, detail} }

// ruleErrors returns the wrong fields of an error of validation. It leaves out fields that already have an error, because their values were not read.
func ruleErrors(err error, reported []scan.FieldError) []scan.FieldError {
	e, ok := errors.AsType[*scan.Error](err)
	if !ok {
		return nil
	}
	known := make(map[string]bool, len(reported))
	for _, r := range reported {
		known[r.Pointer] = true
	}
	return slices.DeleteFunc(slices.Clone(e.Fields), func(f scan.FieldError) bool {
		list, _, _ := strings.Cut(strings.TrimPrefix(f.Pointer, "/"), "/")
		return known[f.Pointer] || known["/"+list]
	})
}

// member is one name and value of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// parseObject splits a body, which must be one JSON object, into its members. json.Unmarshal is not strict enough: it accepts
// duplicate fields and names in any case. what names its fields.
func parseObject(body []byte, what string) ([]member, []scan.FieldError, error) {
	if !utf8.Valid(body) {
		return nil, nil, badBody("The body must be JSON in UTF-8.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, badBody("The body must be one JSON object with " + what + ".")
	}
	var members []member
	var wrong []scan.FieldError
	seen := make(map[string]bool)
	for d.More() {
		t, err := d.Token()
		name, isName := t.(string)
		var value json.RawMessage
		if err != nil || !isName || d.Decode(&value) != nil {
			return nil, nil, badBody("The body is not valid JSON.")
		}
		if seen[name] {
			wrong = append(wrong, scan.FieldError{Pointer: scan.PointerTo(name), Detail: "is given twice"})
			continue
		}
		seen[name] = true
		members = append(members, member{name, value})
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, badBody("The body is not valid JSON.")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, badBody("The body must be one JSON object and nothing after it.")
	}
	return members, wrong, nil
}

// setString sets a string and returns the error text of a value of another type.
func setString(target *string, value json.RawMessage) string {
	if !decode(value, target) {
		return "must be a string"
	}
	return ""
}

// setOptional is setString for a string that is left out instead of being empty.
func setOptional(target *string, value json.RawMessage, rule string) string {
	if detail := setString(target, value); detail != "" || *target != "" {
		return detail
	}
	return rule
}

func setList(target *[]string, m member) []scan.FieldError {
	var values []json.RawMessage
	if err := json.Unmarshal(m.value, &values); err != nil {
		return []scan.FieldError{{Pointer: scan.PointerTo(m.name), Detail: "must be a list of strings; leave it out if there are none"}}
	}
	var wrong []scan.FieldError
	for i, value := range values {
		var s string
		if !decode(value, &s) {
			wrong = append(wrong, scan.FieldError{Pointer: fmt.Sprintf("/%s/%d", m.name, i), Detail: "must be a string"})
		}
		*target = append(*target, s)
	}
	return wrong
}

// decode sets target to a JSON value of its type and returns false for any other value. encoding/json accepts null for each type.
func decode[T string | int | bool](value json.RawMessage, target *T) bool {
	return string(value) != "null" && json.Unmarshal(value, target) == nil
}
