package httpapi

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

const (
	// MaxBody is the maximum size of a request body, in bytes.
	MaxBody = 64 << 10
	// maxErrors is the maximum number of wrong fields that a response names.
	maxErrors = 50
)

// decodeConfig reads a scan config from the request body. The body must be one JSON object. Each field must be known, have the
// right type and be given once. decodeConfig also checks the values, so that one response names everything that is wrong.
func decodeConfig(w http.ResponseWriter, r *http.Request) (scan.Config, error) {
	if err := wantJSON(r.Header.Get("Content-Type")); err != nil {
		return scan.Config{}, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return scan.Config{}, bodyProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("A scan config may have at most %d bytes.", MaxBody),
			fmt.Sprintf("must have at most %d bytes", MaxBody))
	}
	if err != nil {
		return scan.Config{}, badBody("The body could not be read completely. Send it again.")
	}
	return parseConfig(body)
}

func wantJSON(contentType string) error {
	mediaType, params, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(params["charset"])
	if err != nil || mediaType != "application/json" || charset != "" && charset != "utf-8" {
		return bodyProblem(http.StatusUnsupportedMediaType, "Send the scan config with Content-Type: application/json.", "must be JSON, sent as application/json")
	}
	return nil
}

func badBody(detail string) error { return bodyProblem(http.StatusBadRequest, detail, detail) }

// bodyProblem is an error of the whole body, not of one field.
func bodyProblem(status int, detail, rule string) error {
	return &problem{Status: status, Detail: detail, Errors: []scan.FieldError{{Pointer: "", Detail: rule}}}
}

// invalid returns an error that names up to maxErrors wrong fields and the number of the others.
func invalid(message, what string, wrong []scan.FieldError) error {
	if len(wrong) > maxErrors {
		wrong = append(wrong[:maxErrors:maxErrors], scan.FieldError{Detail: fmt.Sprintf("has %d more wrong %s", len(wrong)-maxErrors, what)})
	}
	return &scan.Error{Code: scan.Invalid, Message: message, Fields: wrong}
}

func parseConfig(body []byte) (scan.Config, error) {
	members, wrong, err := parseObject(body)
	if err != nil {
		return scan.Config{}, err
	}
	var c scan.Config
	for _, m := range members {
		wrong = append(wrong, setField(&c, m)...)
	}
	wrong = append(wrong, ruleErrors(c, wrong)...)
	if len(wrong) == 0 {
		return c, nil
	}
	return scan.Config{}, invalid("The scan config has missing or invalid fields.", "fields", wrong)
}

// ruleErrors validates the values of c. It leaves out fields that already have an error, because their values were not read.
func ruleErrors(c scan.Config, reported []scan.FieldError) []scan.FieldError {
	e, ok := errors.AsType[*scan.Error](c.Validate())
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
// duplicate fields and names in any case.
func parseObject(body []byte) ([]member, []scan.FieldError, error) {
	if !utf8.Valid(body) {
		return nil, nil, badBody("The body must be JSON in UTF-8.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, badBody("The body must be one JSON object with region, registry, repository and optional fields.")
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
			wrong = append(wrong, scan.FieldError{Pointer: pointer(name), Detail: "is given twice"})
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

// setField sets the field of c that m names, and returns the errors of the value.
func setField(c *scan.Config, m member) []scan.FieldError {
	var detail string
	switch m.name {
	case "region":
		detail = setString(&c.Region, m.value)
	case "registry":
		detail = setString(&c.Registry, m.value)
	case "repository":
		detail = setString(&c.Repository, m.value)
	case "tags":
		return setList(&c.Tags, m)
	case "exclude":
		return setList(&c.Exclude, m)
	case "newest":
		if !decode(m.value, &c.Newest) || c.Newest == 0 {
			detail = scan.NewestRule
		}
	case "used":
		detail = setOptional(&c.Used, m.value, scan.UsedRule)
	case "untagged":
		if !decode(m.value, &c.Untagged) {
			detail = "must be true or false"
		}
	case "name":
		detail = setOptional(&c.Name, m.value, scan.LabelRule)
	case "owner":
		detail = setOptional(&c.Owner, m.value, scan.LabelRule)
	case "id", "created", "updated":
		detail = "is set by the service; leave it out"
	default:
		detail = "is not a field of a scan config; the fields are region, registry, repository, tags, exclude, newest, used, untagged, name and owner"
	}
	if detail == "" {
		return nil
	}
	return []scan.FieldError{{Pointer: pointer(m.name), Detail: detail}}
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
		return []scan.FieldError{{Pointer: pointer(m.name), Detail: "must be a list of strings; leave it out if there are none"}}
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

// pointer returns the JSON pointer (RFC 6901) to a member of the body. It truncates long names, because the client chooses them.
func pointer(name string) string {
	const maxLength = 100 // bytes
	if len(name) > maxLength {
		name = strings.ToValidUTF8(name[:maxLength], "") + "…"
	}
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
