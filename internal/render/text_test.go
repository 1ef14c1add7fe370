package render

import (
	"strings"
	"testing"
	"unicode"
)

// cleaned is Clean, character by character.
func cleaned(s string, limit int) string {
	var kept []rune
	for _, r := range s {
		if r = cleanRune(r); r >= 0 {
			kept = append(kept, r)
		}
	}
	if len(kept) > limit {
		return string(kept[:max(limit-1, 0)]) + "…"
	}
	return string(kept)
}

func FuzzText(f *testing.F) {
	for _, s := range []string{
		"", " ", "one", "two words", " two words", "two words ", "two  words", "two\nwords", "a\tb", "\x00a", "a\x7f", "é", "two wörds", "é è", "é  è", "é ", "a é",
		"\u00a0a", "a\u00a0b", "a\u0085b", "\u2028", "\u202eb", "\ufeff", "\ufffd", "\xff", "a\xffb", "🙂🙂🙂", "🙂 🙂 🙂", strings.Repeat("long ", 40), strings.Repeat("é", 40),
	} {
		for _, limit := range []uint8{0, 1, 2, 3, 16, 200} {
			f.Add(s, limit)
		}
	}
	f.Fuzz(func(t *testing.T, s string, limit uint8) {
		n := int(limit)
		if got, want := Clean(s, n), cleaned(s, n); got != want {
			t.Errorf("Clean(%q, %d) = %q, want %q", s, n, got, want)
		}
		got, want := OneLine(s, n), cleaned(strings.Join(strings.Fields(cleaned(s, 8*n)), " "), n)
		if got != want {
			t.Errorf("OneLine(%q, %d) = %q, want %q", s, n, got, want)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r != ' ' && unicode.IsSpace(r) || r < ' ' }) {
			t.Errorf("OneLine(%q, %d) = %q", s, n, got)
		}
	})
}
