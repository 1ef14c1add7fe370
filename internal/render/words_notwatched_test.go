package render

import "testing"

func TestNotWatchedWords(t *testing.T) {
	for _, tt := range []struct {
		untagged, older, unused int
		want                    string
	}{
		{0, 0, 0, ""},
		{412, 0, 0, "412 untagged images are not watched"},
		{1, 0, 0, "1 untagged image is not watched"},
		{0, 12, 0, "12 older images are not watched"},
		{0, 0, 1, "1 unused image is not watched"},
		{0, 1, 1, "1 older and 1 unused images are not watched"},
		{412, 12, 3, "412 untagged, 12 older and 3 unused images are not watched"},
	} {
		if got := NotWatchedWords(tt.untagged, tt.older, tt.unused); got != tt.want {
			t.Errorf("%d, %d, %d: %q, want %q", tt.untagged, tt.older, tt.unused, got, tt.want)
		}
	}
}
