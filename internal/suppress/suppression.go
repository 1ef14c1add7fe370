// Package suppress has the values and rules of suppressions. A suppression sets findings aside, with a reason and, if it has an end, until then.
//
// It stores nothing and reads nothing. Package s3store keeps all suppressions in one object.
package suppress

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"ecr-continuous-scan/internal/scan"
)

// Retention is how long a suppression is kept after its end. Until then readers can tell its end, and the findings that it had set aside are
// told as new.
const Retention = 30 * 24 * time.Hour

// Suppression sets the findings aside that match every field that is set. Its values never change: a replaced suppression is kept as it was, with
// Replaced, next to its replacement, which has the same ID. So the findings that were set aside at any time in the last 30 days can be computed.
// The API and the stored object use the same JSON form.
type Suppression struct {
	// ID is a UUIDv7 in lower case.
	ID string `json:"id"`
	// Created is when the suppression was added, in Unix seconds; a string in JSON, as in a config.
	Created int64 `json:"created,string"`
	// Vulnerability and Package are names or patterns. At least one of them is set. Vulnerability also matches related names, such as
	// the CVE number of an advisory. The case of letters does not matter.
	Vulnerability string `json:"vulnerability,omitempty"`
	Package       string `json:"package,omitempty"`
	// Version is an installed version of the package, or a pattern.
	Version string `json:"version,omitempty"`
	// Path is the path of the file that has the package, or a pattern. A slash at the start does not matter. Only enhanced findings have a path.
	Path string `json:"path,omitempty"`
	// Repository, Tag, Registry and Region are those of images, or patterns. An empty one matches all.
	Repository string `json:"repository,omitempty"`
	Tag        string `json:"tag,omitempty"`
	Registry   string `json:"registry,omitempty"`
	Region     string `json:"region,omitempty"`
	// Digest is the digest of an image, or of the index that lists it.
	Digest string `json:"digest,omitempty"`
	// Reason says why. It is one line.
	Reason string `json:"reason"`
	// Until is the first moment at which the findings are no longer set aside; zero for no end. It is in UTC and has whole seconds.
	Until time.Time `json:"until,omitzero"`
	// Justification is one of OpenVEX's reasons for "not affected", or empty.
	Justification string `json:"justification,omitempty"`
	// Updated is when this suppression replaced the one before it, in Unix seconds; 0 if it was never replaced.
	Updated int64 `json:"updated,string,omitzero"`
	// Replaced and Deleted are when the suppression was replaced and deleted, in Unix seconds; 0 if it was not.
	Replaced int64 `json:"replaced,string,omitzero"`
	Deleted  int64 `json:"deleted,string,omitzero"`
}

// Begin returns the first moment of the suppression with these values.
func (s Suppression) Begin() time.Time { return time.Unix(max(s.Created, s.Updated), 0).UTC() }

// End returns the first moment at which the suppression no longer sets findings aside: because of Until, or because it was replaced or deleted
// before. It is zero if there is no such moment.
func (s Suppression) End() time.Time {
	end := s.Until
	for _, seconds := range []int64{s.Replaced, s.Deleted} {
		if at := time.Unix(seconds, 0).UTC(); seconds != 0 && (end.IsZero() || at.Before(end)) {
			end = at
		}
	}
	return end
}

// IsActive reports whether the suppression sets findings aside at the moment now. Its begin belongs to it, its end does not.
func (s Suppression) IsActive(now time.Time) bool {
	end := s.End()
	return !now.Before(s.Begin()) && (end.IsZero() || now.Before(end))
}

// IsCurrent reports whether users see the suppression: it was neither replaced nor deleted. It can have ended.
func (s Suppression) IsCurrent() bool { return s.Replaced == 0 && s.Deleted == 0 }

// What says in words what the suppression sets aside.
func (s Suppression) What() string {
	what := "every vulnerability"
	if isNarrow(s.Vulnerability) {
		what = s.Vulnerability
	}
	for _, part := range []struct{ lead, noun, value string }{
		{" in ", "package", s.Package}, {" of ", "version", s.Version}, {" at ", "path", s.Path}, {" in ", "repository", s.Repository}, {" with ", "tag", s.Tag},
		{" with ", "digest", s.Digest}, {" in ", "registry", s.Registry}, {" in ", "Region", s.Region},
	} {
		switch {
		case part.value == "":
		case !isNarrow(part.value):
			what += part.lead + "every " + part.noun
		case part.noun == "path":
			what += part.lead + part.value
		default:
			what += part.lead + part.noun + " " + part.value
		}
	}
	return what
}

// isNarrow reports whether a pattern is given and does not match everything. A slash at the start of a path does not matter.
func isNarrow(pattern string) bool { return pattern != "" && strings.TrimPrefix(pattern, "/") != "*" }

// New validates draft and sets its ID, a new UUIDv7, and its time of creation. Errors: those of [Suppression.Validate].
func New(draft Suppression, now time.Time) (Suppression, error) {
	if err := draft.Validate(now); err != nil {
		return Suppression{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Suppression{}, fmt.Errorf("create the id of a suppression: %w", err)
	}
	draft.ID, draft.Created = id.String(), now.Unix()
	draft.Updated, draft.Replaced, draft.Deleted = 0, 0, 0
	return draft, nil
}

// Justifications returns OpenVEX's five reasons for the status "not affected".
func Justifications() []string {
	return []string{
		"component_not_present", "vulnerable_code_not_present", "vulnerable_code_not_in_execute_path",
		"vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist",
	}
}

// Limits of a suppression, in characters.
const (
	maxPattern = 256
	maxPath    = 1024
	maxReason  = 1000
)

// maxTime is the end of the year 9999. JSON can't represent a later time.
const maxTime = 253402300799

var (
	repositoryForm = regexp.MustCompile(`^[a-z0-9*][a-z0-9._/*-]*$`)
	tagForm        = regexp.MustCompile(`^[A-Za-z0-9_*][A-Za-z0-9._*-]*$`)
	registryForm   = regexp.MustCompile(`^[0-9]{12}$|^[0-9]*\*[0-9*]*$`)
	regionForm     = regexp.MustCompile(`^[a-z*][a-z0-9*-]*$`)
	digestForm     = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)
)

// ReasonRule is the error text for a wrong reason.
const ReasonRule = "must say why: 1 to 1,000 printable characters in one line, without spaces at the ends"

// The other error texts of Validate.
const (
	nameRule  = `must be a name or a pattern: 1 to 256 printable characters without spaces at the ends, and no "**"`
	needsName = "give a vulnerability, a package, or both"
	isTooWide = "must not set every finding of every image aside: name a vulnerability or a package, or add a repository, tag, digest, registry, region, path or version that narrows it"
	untilRule = `must be a time in the future, such as "2027-01-31T00:00:00Z", or a date, such as "2027-01-31"; leave it out for no end`
)

// Validate checks the fields that users set. It returns nil, or an [*scan.Error] with the code [scan.Invalid] and one [scan.FieldError] for each
// invalid field.
func (s Suppression) Validate(now time.Time) error {
	wrong := s.wrongFields(now)
	isNamed := isNarrow(s.Vulnerability) || isNarrow(s.Package)
	if !isNamed && s.Vulnerability+s.Package != "" && !slices.ContainsFunc([]string{s.Version, s.Path, s.Repository, s.Tag, s.Digest, s.Registry, s.Region}, isNarrow) {
		pointer := "/vulnerability"
		if s.Vulnerability == "" {
			pointer = "/package"
		}
		wrong = append(wrong, scan.FieldError{Pointer: pointer, Detail: isTooWide})
	}
	return invalid(wrong)
}

// ValidateStored is like Validate, for a stored suppression: its end can be in the past, and earlier versions accepted one that matches everything.
func (s Suppression) ValidateStored() error { return invalid(s.wrongFields(time.Time{})) }

func invalid(wrong []scan.FieldError) error {
	if len(wrong) == 0 {
		return nil
	}
	return &scan.Error{Code: scan.Invalid, Message: "The suppression has missing or invalid fields.", Fields: wrong}
}

func (s Suppression) wrongFields(now time.Time) []scan.FieldError {
	var wrong []scan.FieldError
	check := func(ok bool, pointer, detail string) {
		if !ok {
			wrong = append(wrong, scan.FieldError{Pointer: pointer, Detail: detail})
		}
	}
	check(s.Vulnerability != "" || s.Package != "", "/vulnerability", needsName)
	check(isPattern(s.Vulnerability, maxPattern), "/vulnerability", nameRule)
	check(isPattern(s.Package, maxPattern), "/package", nameRule)
	check(isPattern(s.Version, maxPattern), "/version", nameRule)
	check(isPattern(s.Path, maxPath), "/path", `must be the path of a file or a pattern: 1 to 1,024 printable characters without spaces at the ends, and no "**"`)
	isForm := func(value string, form *regexp.Regexp) bool {
		return value == "" || isPattern(value, maxPattern) && form.MatchString(value)
	}
	check(isForm(s.Repository, repositoryForm), "/repository", "must be the name of an ECR repository, or a pattern")
	check(isForm(s.Tag, tagForm), "/tag", "must be an image tag, or a pattern")
	check(isForm(s.Registry, registryForm), "/registry", "must be an AWS account ID: a string of 12 digits, or a pattern")
	check(isForm(s.Region, regionForm), "/region", "must be an AWS Region, such as us-west-2, or a pattern")
	check(s.Digest == "" || digestForm.MatchString(s.Digest), "/digest", "must be the digest of an image, such as sha256: and 64 hexadecimal digits")
	check(ValidReason(s.Reason), "/reason", ReasonRule)
	check(s.Until.IsZero() || s.Until.After(now) && s.Until.Unix() <= maxTime, "/until", untilRule)
	check(s.Justification == "" || slices.Contains(Justifications(), s.Justification), "/justification",
		"must be one of "+strings.Join(Justifications(), ", "))
	return wrong
}

// isPattern reports whether s is empty, a name or a pattern. Two asterisks in a row have another meaning than one in other programs, so they are
// refused, as in a config.
func isPattern(s string, limit int) bool {
	return isLine(s, limit) && (!strings.Contains(s, "*") || scan.IsPattern(s))
}

// isLine reports whether s is one line of text that all outputs can show as it is.
func isLine(s string, limit int) bool {
	isWrong := func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }
	return utf8.RuneCountInString(s) <= limit && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, isWrong)
}

// ParseUntil reads an end: a time as in RFC 3339, or a date, which means its first moment in UTC.
func ParseUntil(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC().Truncate(time.Second), nil
		}
	}
	return time.Time{}, errors.New(untilRule)
}

// ValidReason reports whether s can be the reason of a suppression.
func ValidReason(s string) bool { return s != "" && isLine(s, maxReason) }
