package sarif

import (
	"regexp"
	"strings"
)

// placeholder matches what a reader of SARIF would replace by an argument.
var placeholder = regexp.MustCompile(`\{([0-9])`)

// plain returns a text without placeholders and links. A message without arguments keeps doubled braces, so braces are not doubled.
func plain(s string) string {
	return placeholder.ReplaceAllString(strings.ReplaceAll(s, "](", "] ("), "{ $1")
}

// markdown returns the text as Markdown that shows it literally, without links: GitHub also makes links of texts with ://, www. and @.
func markdown(s string) string {
	var b strings.Builder
	for i, c := range s {
		switch {
		case strings.ContainsRune("\\`*_{}[]<>&#|~!@:", c), i == 0 && strings.ContainsRune("+-=", c):
			b.WriteByte('\\')
		case c == '.' && (strings.HasSuffix(s[:i], "www") || isNumber(s[:i])): // a number with a period starts a list
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// message returns a message with only plain text.
func message(s string) text { return text{Text: plain(s)} }

// both returns a text as plain text and as Markdown.
func both(s string) text { return text{plain(s), markdown(s)} }
