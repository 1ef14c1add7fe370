package render

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean drops what has no business in a text: control characters but for line breaks and tabs, marks that turn the direction of writing
// (they can make a text read as another one), and what XML can't hold.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case r == utf8.RuneError, r == 0xFFFE, r == 0xFFFF, r == 0xFEFF:
			return -1
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)
}

// oneLine is a clean text on one line of at most the given number of characters.
func oneLine(s string, most int) string {
	s = strings.Join(strings.Fields(clean(s)), " ")
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
