package scan_test

import (
	"regexp"
	"strings"
	"testing"

	"ecr-continuous-scan/internal/scan"
)

func TestMatchesPattern(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"latest", "latest", true},
		{"latest", "latest2", false},
		{"latest", "Latest", false},
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "team/app", true},
		{"v*", "v", true},
		{"v*", "v1.2.3", true},
		{"v*", "1.v2", false},
		{"*-arm64", "v1-arm64", true},
		{"*-arm64", "v1-arm64-debug", false},
		{"*-arm64", "-arm64", true},
		{"team/*", "team/app/web", true}, // an asterisk matches a slash
		{"team/*", "team", false},
		{"*app*", "team/app/web", true},
		{"*app*", "app", true},
		{"*app*", "ap", false},
		{"a*a", "a", false}, // the parts must not overlap
		{"a*a", "aa", true},
		{"ab*bc", "abc", false},
		{"*ab*b*", "ab", false},
		{"v*.*", "v1", false},
		{"v*.*", "v1.2.3", true},
		{"a*b*c", "a-c-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"v1.2", "v1x2", false}, // only the asterisk is special
		{"v?", "v1", false},
		{"[ab]", "a", false},
		{"1.*", "1.é", true},
	}
	for _, tt := range tests {
		if got := scan.MatchesPattern(tt.pattern, tt.name); got != tt.want {
			t.Errorf("MatchesPattern(%q, %q) = %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}

func TestIsPattern(t *testing.T) {
	for s, want := range map[string]bool{"": false, "latest": false, "*": true, "v*": true, "team/*/web*": true, "**": false, "a**b": false, "a*b**": false, "v?": false} {
		if got := scan.IsPattern(s); got != want {
			t.Errorf("IsPattern(%q) = %v, want %v", s, got, want)
		}
	}
}

// A matcher that tries all positions of all asterisks would not end in the lifetime of a machine.
func TestMatchesPatternIsLinear(t *testing.T) {
	name := strings.Repeat("a", 1<<20)
	for _, pattern := range []string{strings.Repeat("a*", 128) + "b", strings.Repeat("*a", 100_000) + "*b*", "*" + strings.Repeat("a", 100_000) + "b*"} {
		if scan.MatchesPattern(pattern, name) {
			t.Errorf("a pattern of %d characters that needs a b matches a name without one", len(pattern))
		}
	}
}

func FuzzMatchesPattern(f *testing.F) {
	f.Add("v*", "v1.2.3")
	f.Add("a*a*b", "aaaab")
	f.Add("**", "")
	f.Add("ab*ba", "aba")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if got, want := scan.MatchesPattern(pattern, name), byExpression(pattern, name); got != want {
			t.Errorf("MatchesPattern(%q, %q) = %v, a regular expression gives %v", pattern, name, got, want)
		}
	})
}

// byExpression is a simple reference for patterns in UTF-8: a regular expression of package regexp, which is linear too.
func byExpression(pattern, name string) bool {
	parts := strings.Split(strings.ToValidUTF8(pattern, "?"), "*")
	if pattern != strings.Join(parts, "*") || name != strings.ToValidUTF8(name, "?") {
		return scan.MatchesPattern(pattern, name) // the packages read invalid UTF-8 differently
	}
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, ".*") + `$`).MatchString(name)
}
