package render

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Clean returns the beginning of a text, with at most limit characters. It removes control characters except line breaks and tabs, characters that
// change the direction of writing (they can make a text look like another one), and characters that XML does not allow. A shortened text ends
// with an ellipsis.
func Clean(s string, limit int) string {
	if isClean(s) {
		return shorten(s, limit)
	}
	var b strings.Builder
	b.Grow(min(len(s), 4*limit))
	last := 0 // where the last character starts
	n := 0
	for _, r := range s {
		if r = cleanRune(r); r < 0 {
			continue
		}
		if n == limit {
			return b.String()[:last] + "…"
		}
		n++
		last = b.Len()
		b.WriteRune(r)
	}
	return b.String()
}

// shorten is Clean for a clean text.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	n, last := 0, 0
	for i := range s {
		if n == limit {
			return s[:last] + "…"
		}
		n, last = n+1, i
	}
	return s
}

// isClean reports whether Clean would change no character. This is the case for most texts.
func isClean(s string) bool {
	for _, r := range s {
		if cleanRune(r) != r {
			return false
		}
	}
	return true
}

// cleanRune returns the replacement for a character; negative if the character must be removed.
func cleanRune(r rune) rune {
	switch {
	case r >= ' ' && r <= '~', r == '\n', r == '\t':
		return r
	case r == '\u2028', r == '\u2029': // separators of lines and paragraphs
		return '\n'
	case r == utf8.RuneError, r == 0xFFFE, r == 0xFFFF, r == 0xFEFF:
		return -1
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
		return -1
	}
	return r
}

// OneLine returns a clean text on one line, with at most limit characters. It can be shorter for a text that consists mostly of spaces.
func OneLine(s string, limit int) string {
	if isOneLine(s) {
		return shorten(s, limit)
	}
	return Clean(strings.Join(strings.Fields(Clean(s, 8*limit)), " "), limit)
}

// isOneLine reports whether a text is clean, and contains no spaces but single ones between words.
func isOneLine(s string) bool {
	wasSpace := true
	for _, r := range s {
		isSpace := r == ' '
		switch {
		case r > ' ' && r <= '~': // most characters
		case isSpace && wasSpace, !isSpace && (unicode.IsSpace(r) || cleanRune(r) != r):
			return false
		}
		wasSpace = isSpace
	}
	return !wasSpace || s == ""
}

// OptionalTime formats a time like RFC3339; empty for the zero time.
func OptionalTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return RFC3339(t)
}

// RFC3339 formats a time in UTC, in seconds, by RFC 3339.
func RFC3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }
