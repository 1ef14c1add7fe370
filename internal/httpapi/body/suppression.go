package body

import (
	"net/http"
	"slices"
	"time"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
	"ecr-continuous-scan/internal/suppressfile"
)

const suppressionFields = "vulnerability, package, version, path, repository, tag, registry, region, digest, reason, until and justification"

// Suppression reads one suppression. The rules are those of [Config].
func Suppression(w http.ResponseWriter, r *http.Request, now time.Time) (suppress.Suppression, error) {
	if _, err := wantMediaType(r, "suppression", typeJSON); err != nil {
		return suppress.Suppression{}, err
	}
	body, err := readBody(w, r, "A suppression", MaxObject)
	if err != nil {
		return suppress.Suppression{}, err
	}
	return parseSuppression(body, now)
}

// Suppressions reads one suppression, or a file of another program: a .trivyignore, a .trivyignore.yaml or an OpenVEX document. Entries of a file that have no reason get
// the given one, if it is not empty.
func Suppressions(w http.ResponseWriter, r *http.Request, reason string, now time.Time) (file suppressfile.File, isFile bool, err error) {
	mediaType, err := wantMediaType(r, "suppression or OpenVEX document as JSON, the .trivyignore.yaml as YAML, or the .trivyignore as text", typeJSON, typeYAML, typePlain)
	if err != nil {
		return suppressfile.File{}, false, err
	}
	body, err := readBody(w, r, "A file", suppressfile.MaxSize)
	switch {
	case err != nil:
		return suppressfile.File{}, false, err
	case mediaType == typeYAML:
		file, err = suppressfile.TrivyIgnore(body, reason, now)
		return file, true, err
	case mediaType == typePlain:
		file, err = suppressfile.PlainTrivyIgnore(body, reason, now)
		return file, true, err
	case suppressfile.IsOpenVEX(body):
		file, err = suppressfile.OpenVEX(body, reason, now)
		return file, true, err
	case len(body) > MaxObject:
		return suppressfile.File{}, false, tooLarge("A suppression", MaxObject)
	}
	draft, err := parseSuppression(body, now)
	return suppressfile.File{Drafts: []suppress.Suppression{draft}}, false, err
}

func parseSuppression(body []byte, now time.Time) (suppress.Suppression, error) {
	members, wrong, err := parseObject(body, "a reason and a vulnerability or a package")
	if err != nil {
		return suppress.Suppression{}, err
	}
	var s suppress.Suppression
	for _, m := range members {
		if detail := setSuppressionField(&s, m); detail != "" {
			wrong = append(wrong, scan.FieldError{Pointer: scan.PointerTo(m.name), Detail: detail})
		}
	}
	wrong = append(wrong, ruleErrors(s.Validate(now), wrong)...)
	if len(wrong) == 0 {
		return s, nil
	}
	return suppress.Suppression{}, scan.NewInvalid("The suppression has missing or invalid fields.", "fields", wrong)
}

// setSuppressionField sets the field of s that m names, and returns the error text of a wrong value.
func setSuppressionField(s *suppress.Suppression, m member) string {
	fields := map[string]*string{
		"vulnerability": &s.Vulnerability, "package": &s.Package, "version": &s.Version, "path": &s.Path, "repository": &s.Repository, "tag": &s.Tag,
		"registry": &s.Registry, "region": &s.Region, "digest": &s.Digest, "justification": &s.Justification,
	}
	target, isText := fields[m.name]
	switch {
	case m.name == "reason":
		return setString(&s.Reason, m.value)
	case isText:
		return setOptional(target, m.value, "must not be empty; leave it out if there is none")
	case m.name == "until":
		var until string
		if detail := setString(&until, m.value); detail != "" {
			return detail
		}
		at, err := suppress.ParseUntil(until)
		if err != nil {
			return err.Error()
		}
		s.Until = at
		return ""
	case slices.Contains([]string{"id", "created", "updated", "replaced", "deleted", "ended"}, m.name):
		return "is set by the service; leave it out"
	}
	return "is not a field of a suppression; the fields are " + suppressionFields
}
