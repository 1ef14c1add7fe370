package suppressfile

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"

	"ecr-continuous-scan/internal/suppress"
)

// PlainTrivyIgnore reads a .trivyignore without sections: each line is an id, and can have an end. As in Trivy, other words of a line are ignored. Each
// entry gets this reason; if it is empty, one that names the file. Entries that have ended are skipped, and so are ids that are not those of
// vulnerabilities. Errors: Invalid, with the number of each wrong line; ErrFull of package suppress.
func PlainTrivyIgnore(body []byte, reason string, now time.Time) (File, error) {
	text := strings.TrimPrefix(string(body), "\ufeff")
	switch {
	case len(body) > MaxSize:
		return File{}, malformed(fmt.Sprintf("The file may have at most %d bytes.", MaxSize))
	case strings.TrimSpace(text) == "":
		return File{}, malformed("The file is empty.")
	case isJoined(text):
		return File{}, malformed("The file is one line, and a part of it would be ignored. " + sendAsItIs)
	}
	r, number := newReader(cmp.Or(reason, "from .trivyignore"), now), 0
	for line := range strings.Lines(text) {
		if number++; r.isFull() {
			break
		}
		if fields := strings.Fields(line); len(fields) > 0 && !strings.HasPrefix(fields[0], "#") {
			r.plainEntry(fmt.Sprintf("line %d: ", number), fields)
		}
	}
	return r.result("The .trivyignore")
}

// sendAsItIs says how to send a file whose ends of lines are missing.
const sendAsItIs = "Send the file as it is, for example with curl's --data-binary: its --data removes the ends of lines."

var (
	// plainID is the form of all ids: of vulnerabilities, misconfigurations, secrets and licenses.
	plainID = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._:/+-]*[A-Za-z0-9+])?$`)
	// commonID begins the ids that most entries have.
	commonID = regexp.MustCompile(`CVE-|GHSA-`)
	// vulnerabilityID is in ids of vulnerabilities: they have a number of at least three digits, or come from GitHub. It is also in ids of misconfigurations, but not in
	// those of secrets and licenses.
	vulnerabilityID = regexp.MustCompile(`[0-9]{3}|^GHSA-`)
	// misconfigurationID is the form of the ids of Trivy's checks, with the prefix of earlier versions and without it.
	misconfigurationID = regexp.MustCompile(`^(?:AVD-.*|(?:AWS|AZU|DIG|DS|GCP|GEN|GIT|KCV|KSV|NIF|OCI|OPNSTK|OST)-?[0-9]+)$`)
	// misspeltEnd is a word that Trivy ignores, although its author meant an end.
	misspeltEnd = regexp.MustCompile(`(?i)^exp[a-z]*[:=]`)
)

// isJoined reports whether a file is one line that was several ones. Then a comment hides the entries after it.
func isJoined(text string) bool {
	return !strings.Contains(text, "\n") && (strings.HasPrefix(strings.TrimSpace(text), "#") || len(commonID.FindAllString(text, 2)) > 1)
}

// plainEntry reads the words of a line. at says which line it is: a plain file has no pointers.
func (r *reader) plainEntry(at string, words []string) {
	id := words[0]
	until, isEnd := plainEnd(words[1:])
	switch {
	case len(id) > maxID || !plainID.MatchString(id) || len(commonID.FindAllString(id, 2)) > 1:
		r.refuse("", at+"must begin with an id, such as CVE-2023-2650")
	case len(words) > 1 && commonID.MatchString(words[1]):
		r.refuse("", at+"has two ids; give each its own line")
	case !isEnd:
		r.refuse("", at+"the end must be a date, such as exp:2027-01-31")
	case misconfigurationID.MatchString(id) || !vulnerabilityID.MatchString(id):
		r.skip(OtherIDs, 1)
	case !until.IsZero() && !until.After(r.now):
		r.skip(Ended, 1)
	default:
		r.add(suppress.Suppression{Vulnerability: id, Until: until, Reason: r.reason}, func(string) string { return "" })
	}
}

// maxID is the maximum length of an id, which is that of a vulnerability.
const maxID = 256

// plainEnd returns the end that the words of a line give, or zero. It returns false if they give no valid one. As in Trivy, the first end counts, also in a comment.
func plainEnd(words []string) (time.Time, bool) {
	for _, word := range words {
		if date, ok := strings.CutPrefix(word, "exp:"); ok {
			until, err := time.Parse(time.DateOnly, date)
			return until, err == nil
		}
		if misspeltEnd.MatchString(word) {
			return time.Time{}, false
		}
	}
	return time.Time{}, true
}
