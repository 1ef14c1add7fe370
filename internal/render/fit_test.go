package render

import (
	"testing"

	"ecr-continuous-scan/test/rendertest"
)

// The size is the one of the JSON string that Lambda sends.
func TestSentSize(t *testing.T) {
	for _, s := range []string{"", "a\"\\\n\r\t", "\x01ü🙂<&>"} {
		if got, want := SentSize([]byte(s)), rendertest.JSONSize([]byte(s)); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}
