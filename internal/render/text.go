package render

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Clean is the beginning of a text, of at most the given number of characters, without what has no business in one: control characters but
// for line breaks and tabs, marks that turn the direction of writing (they can make a text read as another one), and what XML can't hold.
// Where it is cut it ends in an ellipsis.
func Clean(s string, most int) string {
	if len(s) <= most && isClean(s) {
		return s
	}
	var b strings.Builder
	b.Grow(min(len(s), 4*most))
	last := 0 // where the last character begins
	n := 0
	for _, r := range s {
		if r = cleanRune(r); r < 0 {
			continue
		}
		if n == most {
			return b.String()[:last] + "…"
		}
		n++
		last = b.Len()
		b.WriteRune(r)
	}
	return b.String()
}

// isClean tells whether a text is clean as it is, as most are.
func isClean(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return cleanRune(r) != r })
}

// cleanRune is negative for a character that is to be left out.
func cleanRune(r rune) rune {
	switch {
	case r >= ' ' && r <= '~', r == '\n', r == '\t':
		return r
	case r == '\u2028', r == '\u2029': // of lines and paragraphs
		return '\n'
	case r == utf8.RuneError, r == 0xFFFE, r == 0xFFFF, r == 0xFEFF:
		return -1
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
		return -1
	}
	return r
}

// OneLine is a clean text on one line of at most the given number of characters. Of a text that is nearly all blank it may be less.
func OneLine(s string, most int) string {
	if len(s) <= most && isWord(s) {
		return s
	}
	return Clean(strings.Join(strings.Fields(Clean(s, 8*most)), " "), most)
}

// isWord tells whether a text is clean as it is, and has no blanks.
func isWord(s string) bool { return isClean(s) && !strings.ContainsFunc(s, unicode.IsSpace) }

// OptionalTime is a point in time in UTC as RFC 3339 has it, to the second; empty for the zero time.
func OptionalTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return RFC3339(t)
}

// RFC3339 is a point in time in UTC as RFC 3339 has it, to the second.
func RFC3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }
