package suppressfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"ecr-continuous-scan/internal/suppress"
)

// TrivyIgnore reads a .trivyignore.yaml. An entry without a statement gets this reason; if it is empty, one that names the file. Entries that have ended
// are skipped, and so are the sections that are not about vulnerabilities. Errors: Invalid, with the place of each wrong value; ErrFull of package
// suppress.
func TrivyIgnore(body []byte, reason string, now time.Time) (File, error) {
	document, err := parseYAML(body)
	if err != nil {
		return File{}, err
	}
	r := newReader(cmp.Or(reason, "from .trivyignore.yaml"), now)
	sections, _ := r.object("", document, "vulnerabilities", "misconfigurations", "secrets", "licenses")
	for name, why := range map[string]Skip{"misconfigurations": Misconfigurations, "secrets": Secrets, "licenses": Licenses} {
		r.skip(why, len(r.list("/"+name, sections[name])))
	}
	for i, entry := range r.list("/vulnerabilities", sections["vulnerabilities"]) {
		if r.isFull() {
			break
		}
		r.trivyEntry(element("/vulnerabilities", i), entry)
	}
	return r.result("The .trivyignore.yaml")
}

var yamlLine = regexp.MustCompile(`line [0-9]+`)

// parseYAML decodes a body that must be one YAML document. The library limits the depth and the number of aliases.
func parseYAML(body []byte) (any, error) {
	if len(body) > MaxSize {
		return nil, malformed(fmt.Sprintf("The file may have at most %d bytes.", MaxSize))
	}
	decoder := yaml.NewDecoder(bytes.NewReader(body))
	var document, second any
	err := decoder.Decode(&document)
	switch {
	case errors.Is(err, io.EOF):
		if len(body) > 0 && !bytes.Contains(body, []byte("\n")) {
			return nil, malformed("The file is one line, which is a comment. " + sendAsItIs)
		}
		return nil, malformed("The file is empty.")
	case err != nil:
		line := cmp.Or(yamlLine.FindString(err.Error()), "line 1") // the library does not name the first line
		return nil, malformed("The file is not valid YAML: see " + line + ". " + sendAsItIs)
	}
	if !errors.Is(decoder.Decode(&second), io.EOF) {
		return nil, malformed("The file must be one YAML document and nothing after it.")
	}
	return document, nil
}

// trivyEntry reads an entry. Its paths and its packages are alternatives, but one of each must match. So there is a suppression for each pair.
func (r *reader) trivyEntry(at string, value any) {
	entry, ok := r.object(at, value, "id", "paths", "purls", "expired_at", "statement")
	if !ok {
		return
	}
	id, hasID := r.required(at+"/id", entry["id"])
	until, hasUntil := r.date(at+"/expired_at", entry["expired_at"])
	statement, hasStatement := r.text(at+"/statement", entry["statement"])
	packages, hasPackages := r.trivyPackages(at+"/purls", entry["purls"])
	paths, hasPaths := r.trivyPaths(at+"/paths", entry["paths"])
	switch {
	case !hasID || !hasUntil || !hasStatement || !hasPackages || !hasPaths:
		return
	case !until.IsZero() && !until.After(r.now):
		r.skip(Ended, 1)
		return
	case strings.Contains(id, "*"):
		r.unsupported(at+"/id", "is a name with an asterisk, which would be a pattern here")
		return
	}
	draft := suppress.Suppression{Vulnerability: id, Until: until, Reason: cmp.Or(oneLine(statement), r.reason)}
	for _, p := range packages {
		for _, path := range paths {
			if r.isFull() {
				return
			}
			draft.Package, draft.Version, draft.Path = p.name, p.version, path
			r.add(draft, func(field string) string { return at + trivyField(field) })
		}
	}
}

func trivyField(field string) string {
	switch field {
	case "/vulnerability":
		return "/id"
	case "/package", "/version":
		return "/purls"
	case "/path":
		return "/paths"
	case "/until":
		return "/expired_at"
	}
	return "/statement"
}

// date returns a date of YAML, or a text that is a date or a time.
func (r *reader) date(at string, value any) (time.Time, bool) {
	switch value := value.(type) {
	case nil:
		return time.Time{}, true
	case time.Time:
		return value.UTC().Truncate(time.Second), true
	case string:
		if until, err := suppress.ParseUntil(value); err == nil {
			return until, true
		}
	}
	r.refuse(at, "must be a date, such as 2027-01-31")
	return time.Time{}, false
}

// trivyPackages returns the packages of an entry. An entry without packages gets one package without a name, which stands for all. If no package of the
// entry can be used, there is none.
func (r *reader) trivyPackages(at string, value any) ([]pkg, bool) {
	given, isValid := r.list(at, value), true
	if len(given) == 0 {
		return []pkg{{}}, value == nil || given != nil
	}
	var all []pkg
	for i, one := range given {
		place := element(at, i)
		s, ok := r.required(place, one)
		if !ok {
			isValid = false
			continue
		}
		p, err := parsePackage(s)
		switch {
		case errors.Is(err, errUnsupported):
			r.unsupported(place, err.Error())
		case err != nil:
			r.refuse(place, err.Error())
			isValid = false
		default:
			all = append(all, p)
		}
	}
	return all, isValid
}

// trivyPaths is like trivyPackages, for the paths of an entry.
func (r *reader) trivyPaths(at string, value any) ([]string, bool) {
	given, isValid := r.list(at, value), true
	if len(given) == 0 {
		return []string{""}, value == nil || given != nil
	}
	var all []string
	for i, one := range given {
		place := element(at, i)
		s, ok := r.required(place, one)
		if !ok {
			isValid = false
			continue
		}
		patterns := pathPatterns(s)
		if len(patterns) == 0 {
			r.unsupported(place, `has a wildcard other than "**/" and "/**", and so would match more files here`)
		}
		all = append(all, patterns...)
	}
	return all, isValid
}

// pathPatterns returns the patterns that together match the same files as a path pattern of Trivy. There, two asterisks stand for any number of folders,
// also none, and one asterisk does not match a slash. Here, one asterisk matches slashes. It returns nil if there are no such patterns.
func pathPatterns(s string) []string {
	const maxAny = 3 // the number of patterns doubles with each
	segments := strings.Split(s, "/")
	patterns, any := []string{""}, 0
	for i, segment := range segments {
		isLast := i == len(segments)-1
		switch {
		case segment == "**" && isLast:
			patterns = appended(patterns, "*")
		case segment == "**":
			if any++; any > maxAny {
				return nil
			}
			patterns = append(patterns, appended(patterns, "*/")...)
		case strings.ContainsAny(segment, `*?[]{}\`):
			return nil
		case isLast:
			patterns = appended(patterns, segment)
		default:
			patterns = appended(patterns, segment+"/")
		}
	}
	for i, p := range patterns {
		patterns[i] = strings.ReplaceAll(strings.ReplaceAll(p, "*/*/", "*/"), "*/*", "*")
	}
	return patterns
}

func appended(patterns []string, s string) []string {
	all := make([]string, len(patterns))
	for i, p := range patterns {
		all[i] = p + s
	}
	return all
}
