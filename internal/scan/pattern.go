package scan

import "strings"

// MatchesPattern reports whether a pattern matches a whole name. An asterisk matches any run of characters, also none, and a
// slash too. All other characters match only themselves. The time is linear in the length of the name, whatever the pattern:
// each part between two asterisks is searched once, from the end of the part before.
func MatchesPattern(pattern, name string) bool {
	head, rest, hasAsterisk := strings.Cut(pattern, "*")
	if !hasAsterisk {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	last := strings.LastIndex(rest, "*") + 1
	name, ok = strings.CutSuffix(name, rest[last:])
	if !ok {
		return false
	}
	for part := range strings.SplitSeq(rest[:last], "*") {
		at := strings.Index(name, part)
		if at < 0 {
			return false
		}
		name = name[at+len(part):]
	}
	return true
}

// IsPattern reports whether s is a pattern: it has an asterisk, and no two in a row. In other programs two asterisks match a slash, and one does not.
// So they are refused instead of being understood differently. Names of tags and repositories contain no asterisk.
func IsPattern(s string) bool { return strings.Contains(s, "*") && !strings.Contains(s, "**") }
