// Package suppressfile reads suppressions from files that other programs write or read: .trivyignore, .trivyignore.yaml and OpenVEX documents. A file is read
// completely or not at all. It sets aside no more than its author wrote: what a suppression can't express is skipped.
//
// It stores nothing. The rules of suppressions are in package suppress.
package suppressfile

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// MaxSize is the maximum size of a file, in bytes.
const MaxSize = 2 << 20

// File is the content of a file.
type File struct {
	// Drafts are valid suppressions without ids.
	Drafts []suppress.Suppression
	// Skipped has the number of entries that set nothing aside here, by the reason.
	Skipped map[Skip]int
	// Unsupported are the first places of the reason with this name.
	Unsupported []scan.FieldError
}

// Skip is why an entry is skipped.
type Skip string

const (
	// Ended is an entry whose end is in the past.
	Ended Skip = "ended"
	// Unsupported is an entry that a suppression can't express, such as a path with a question mark. It would set more aside than its author wrote.
	Unsupported Skip = "unsupported"
	// Misconfigurations, Secrets and Licenses are entries of these sections of a .trivyignore.yaml.
	Misconfigurations Skip = "misconfigurations"
	Secrets           Skip = "secrets"
	Licenses          Skip = "licenses"
	// OtherIDs is an id of a misconfiguration, a secret or a license in a .trivyignore, which does not say which of them it is.
	OtherIDs Skip = "otherIds"
	// Affected and UnderInvestigation are statements of an OpenVEX document with this status.
	Affected           Skip = "affected"
	UnderInvestigation Skip = "underInvestigation"
	// Superseded is a product of an OpenVEX statement for which a later statement of the document has one of these two.
	Superseded Skip = "superseded"
	// OtherProducts is a product of an OpenVEX statement that is no image in Amazon ECR.
	OtherProducts Skip = "otherProducts"
)

// reader collects what it finds in a file.
type reader struct {
	now    time.Time
	reason string // of entries that have none; can be empty
	file   File
	wrong  []scan.FieldError
	more   int // wrong places that are not in wrong
}

func newReader(reason string, now time.Time) *reader {
	return &reader{now: now, reason: reason, file: File{Skipped: map[Skip]int{}}}
}

func (r *reader) refuse(at, detail string) {
	if len(r.wrong) < scan.MaxFields {
		r.wrong = append(r.wrong, scan.FieldError{Pointer: at, Detail: detail})
	} else {
		r.more++
	}
}

func (r *reader) skip(why Skip, n int) {
	if n > 0 {
		r.file.Skipped[why] += n
	}
}

func (r *reader) unsupported(at, detail string) {
	r.skip(Unsupported, 1)
	if len(r.file.Unsupported) < scan.MaxFields {
		r.file.Unsupported = append(r.file.Unsupported, scan.FieldError{Pointer: at, Detail: detail})
	}
}

// add adds a draft if it is valid. place returns the place of the file that a field of the draft comes from.
func (r *reader) add(draft suppress.Suppression, place func(field string) string) {
	e, isInvalid := errors.AsType[*scan.Error](draft.Validate(r.now))
	if !isInvalid {
		r.file.Drafts = append(r.file.Drafts, draft)
		return
	}
	for _, f := range e.Fields {
		r.refuse(place(f.Pointer), f.Detail)
	}
}

// isFull reports whether the file has more suppressions than can be stored. Then the rest need not be read.
func (r *reader) isFull() bool { return len(r.file.Drafts) > suppress.MaxCount }

// result returns the file, or an error that names the wrong places.
func (r *reader) result(what string) (File, error) {
	if r.isFull() {
		return File{}, suppress.ErrFull
	}
	if r.more > 0 {
		r.wrong = append(r.wrong, scan.FieldError{Detail: fmt.Sprintf("has %d more wrong places", r.more)})
	}
	if len(r.wrong) > 0 {
		return File{}, &scan.Error{Code: scan.Invalid, Message: what + " has missing or invalid values. Nothing of it was added.", Fields: r.wrong}
	}
	return r.file, nil
}

// malformed is the error of a file that can't be read at all.
func malformed(detail string) error {
	return &scan.Error{Code: scan.Invalid, Message: detail, Fields: []scan.FieldError{{Detail: detail}}}
}

// object returns the members of a value that must be an object. It refuses unknown members if known is not nil.
func (r *reader) object(at string, value any, known ...string) (map[string]any, bool) {
	members, ok := value.(map[string]any)
	if !ok {
		r.refuse(at, "must have named values")
		return nil, false
	}
	if len(known) == 0 {
		return members, true
	}
	unknown := maps.Clone(members)
	for _, name := range known {
		delete(unknown, name)
	}
	for name := range unknown {
		r.refuse(at+scan.PointerTo(name), "is not known; the names are "+strings.Join(known, ", "))
	}
	return members, len(unknown) == 0
}

// list returns the elements of a value that must be a list or missing.
func (r *reader) list(at string, value any) []any {
	if value == nil {
		return nil
	}
	all, ok := value.([]any)
	if !ok {
		r.refuse(at, "must be a list")
	}
	return all
}

// text returns a value that must be a text or missing.
func (r *reader) text(at string, value any) (string, bool) {
	if value == nil {
		return "", true
	}
	s, ok := value.(string)
	if !ok {
		r.refuse(at, "must be a text")
	}
	return s, ok
}

// required returns a value that must be a text and not empty.
func (r *reader) required(at string, value any) (string, bool) {
	s, ok := r.text(at, value)
	if ok && s == "" {
		r.refuse(at, "is missing or empty")
	}
	return s, ok && s != ""
}

// oneLine returns a text as one line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func element(at string, i int) string { return fmt.Sprintf("%s/%d", at, i) }
