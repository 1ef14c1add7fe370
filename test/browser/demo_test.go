//go:build browser

package browser

import (
	"net/url"
	"strings"
	"testing"
)

// localDemo starts the demo of `make run`. Its days are long, so that it stays on day 30. It returns the scan IDs of the configs by
// repository.
func localDemo(t *testing.T) (base string, ids map[string]string) {
	t.Helper()
	base = localServer(t, "-demo", "-demo-day", "24h")
	return base, scanIDs(t, base)
}

// The pages of the demo can be read at each width, in light and dark, without an error in the console. With -screenshots they are the
// pictures of the documents.
func TestPagesOfTheDemo(t *testing.T) {
	t.Parallel()
	base, ids := localDemo(t)
	b := open(t, base)
	b.load(base + "/summary")
	mustShow(t, b, "shop/web", "eu-central-1", "us-east-1", "linux/arm64", "Repository not found", "No current result", "new")
	if trends := eval[int](b, "document.querySelectorAll('.trend').length"); trends < 8 {
		t.Errorf("%d trends, want one for each repository", trends)
	}
	if *screenshots {
		b.picture("page-light.png", scheme{"light", 1280}, 1240)
		b.picture("page-dark.png", scheme{"dark", 1280}, 1240)
		b.picture("page-narrow.png", scheme{"light", 390}, 1240)
		b.use(schemes()[0])
	}
	b.checkIn(narrowAndWide()...)
	for path, texts := range map[string][]string{
		"/findings/" + ids["data/reports"] + "?format=html":              {"CVE-2022-42889", "Critical"},
		"/findings/" + ids["shop/chekout"] + "?format=html":              {"Repository not found"},
		"/findings/" + ids["tools/builder"] + "?format=html":             {"RHSA-2020:3908", "UnsupportedImageError"},
		"/changes?format=html":                                           {"shop/api", "CVE-2023-38545"},
		"/findings/" + ids["shop/worker"] + "/changes?format=html":       {"CVE-2023-4911", "Resolved"},
		"/findings/all?format=html&severity=CRITICAL&by=vulnerability":   {"CVE-2023-45853"},
		"/summary?format=html&repository=" + url.QueryEscape("shop/api"): {"shop/api"},
	} {
		b.load(base + path)
		mustShow(t, b, texts...)
		b.checkIn(scheme{"light", 1280}, scheme{"dark", 400})
	}
	b.load(base + "/findings/" + ids["shop/api"] + "?format=html")
	mustShow(t, b, "CVE-2023-45853", "2.36-9+deb12u4")
	if *screenshots {
		b.picture("page-findings.png", scheme{"light", 1280}, 800)
		b.use(schemes()[0])
	}
	b.checkIn(narrowAndWide()...)
}

// Errors of the demo are pages too.
func TestErrorPagesOfTheDemo(t *testing.T) {
	t.Parallel()
	base, ids := localDemo(t)
	b := open(t, base)
	for path, status := range map[string]int64{
		"/summary?severity=" + strings.Repeat("x", 60):   400,
		"/findings/00000000-0000-7000-8000-000000000000": 404,
		"/gate/" + ids["data/reports"] + "?max=HIGH":     409,
	} {
		b.loadError(base+path, status)
		b.checkIn(scheme{"light", 1280}, scheme{"dark", 400})
	}
}
