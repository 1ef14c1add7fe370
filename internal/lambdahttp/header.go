package lambdahttp

import "strings"

// validName reports whether name is a valid header name, a token of RFC 9110, section 5.6.2.
func validName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		return !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}

// isControl reports whether c is not allowed in the value of a header.
func isControl(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

func spaceForControl(c rune) rune {
	if isControl(c) {
		return ' '
	}
	return c
}
