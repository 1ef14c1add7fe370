package scan_test

import (
	"testing"

	"ecr-continuous-scan/internal/scan"
)

func TestPlatformsOfOneImageHaveOneSpelling(t *testing.T) {
	for want, spellings := range map[string][]string{
		"":                              {""},
		"linux":                         {"linux", "Linux"},
		"linux/amd64":                   {"linux/amd64", "linux/amd64/v1", "linux/x86_64", "linux/x86-64", "Linux/AMD64", "linux/amd64/1"},
		"linux/amd64/v3":                {"linux/amd64/v3", "linux/x86_64/v3"},
		"linux/arm64":                   {"linux/arm64", "linux/arm64/v8", "linux/arm64/8", "linux/arm64/v8.0", "linux/aarch64", "linux/aarch64/v8"},
		"linux/arm64/v9":                {"linux/arm64/v9", "linux/arm64/9.0", "linux/arm64/v9.0"},
		"linux/arm/v7":                  {"linux/arm", "linux/arm/v7", "linux/arm/7", "linux/armhf"},
		"linux/arm/v6":                  {"linux/arm/v6", "linux/arm/6", "linux/armel"},
		"linux/arm/v5":                  {"linux/arm/v5", "linux/arm/5"},
		"linux/386":                     {"linux/386", "linux/i386"},
		"linux/s390x":                   {"linux/s390x"},
		"darwin/arm64":                  {"macos/arm64", "darwin/aarch64"},
		"windows/amd64":                 {"windows/amd64"},
		"windows/amd64 10.0.17763.5329": {"windows/amd64 10.0.17763.5329", "Windows/x86_64 10.0.17763.5329", "windows/amd64/v1 10.0.17763.5329"},
		"linux/a/b/c":                   {"linux/a/b/c"},
	} {
		for _, name := range spellings {
			if got := scan.NormalizePlatform(name); got != want {
				t.Errorf("%q: %q, want %q", name, got, want)
			}
			if got := scan.NormalizePlatform(want); got != want {
				t.Errorf("again %q: %q", want, got)
			}
		}
	}
}
