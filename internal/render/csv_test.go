package render

import "testing"

func TestEscapeFormula(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "",
		"openssl":                  "openssl",
		"a-b=c":                    "a-b=c",
		`=HYPERLINK("http://x")`:   `'=HYPERLINK("http://x")`,
		"+1":                       "'+1",
		"-1":                       "'-1",
		"@SUM(1)":                  "'@SUM(1)",
		"  =1":                     "  '=1",
		"\t=1":                     "\t'=1",
		"＝1":                       "'＝1",
		"harmless; =1;+2":          "harmless; '=1;'+2",
		"a, =1":                    "a, =1", // quoted, so it is one cell
		`","=1`:                    `","=1`,
		"CVSS:3.1/AV:N;-":          "CVSS:3.1/AV:N;'-",
		"2019-10-01T11:27:17Z":     "2019-10-01T11:27:17Z",
		"https://example.org/?a=b": "https://example.org/?a=b",
	} {
		if got := escapeFormula(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
