//go:build browser

package browser

import (
	_ "embed" // the script of the measurements
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
	"ecr-continuous-scan/internal/httpapi"
)

var (
	pictures = flag.String("pictures", "", "write a picture of each page at each width into this folder")

	//go:embed layout.js
	layoutScript string
)

// Each page fits each width: no text is outside its box or broken inside a word, the focus is always visible, and lists are short on a phone.
func TestLayout(t *testing.T) {
	t.Parallel()
	a, s, base := service(t, httpapi.OpenAccess())
	id := putLayoutWorld(t, func(r ecr.RepositoryID, images ...ecr.Image) {
		a.ECR.PutRepository(r, ecr.Repository{})
		for _, image := range images {
			a.ECR.PutImage(r, image)
		}
	}, func(name string) string { return s.AddConfig(t, name).ID })
	if err := samples.PutWalkthrough(a.ECR); err != nil {
		t.Fatal(err)
	}
	simulateThreeWeeks(t, a, s)
	b := open(t, base)
	for name, path := range map[string]string{
		"summary": "/summary", "summary-filtered": "/summary?severity=HIGH&format=html", "summary-nothing": "/summary?tag=none&format=html",
		"all": "/findings/all?format=html", "vulnerabilities": "/findings/all?format=html&by=vulnerability",
		"config": "/findings/" + id + "?format=html", "nothing": "/findings/" + id + "?format=html&cve=none",
	} {
		b.load(base + path)
		for _, s := range layoutSchemes() {
			b.use(s)
			b.checkLayout(s)
			if *pictures != "" {
				b.pictureOf(filepath.Join(*pictures, fmt.Sprintf("%s-%d-%s.png", name, s.width, s.colours)), s)
			}
		}
	}
}

func layoutSchemes() []scheme {
	return []scheme{{"light", 1280}, {"light", 1024}, {"light", 960}, {"dark", 768}, {"light", 400}}
}

// putLayoutWorld adds repositories with long names, odd names and many details. It returns the id of the config of one of them.
func putLayoutWorld(t *testing.T, put func(ecr.RepositoryID, ...ecr.Image), add func(name string) string) string {
	t.Helper()
	long := ecr.RepositoryID{Name: "team-with-a-long-name/service-with-a-long-name/backend"}
	scanned := time.Now().Add(-time.Hour)
	finding := func(name, severity, pkg, version, description string) ecr.Finding {
		return ecr.Finding{Name: name, Severity: severity, URI: "https://example.org/x", Description: description,
			Attributes: []ecr.Attribute{{Key: "package_name", Value: pkg}, {Key: "package_version", Value: version}}}
	}
	text := "The library does not check the length of a name in a certificate, so a crafted certificate makes it read past the end of a buffer. "
	put(long,
		ecr.Image{Tags: []string{"2026.11.29-build.1234-g0123456789abcdef", "v1"}, ScannedAt: scanned, Findings: []ecr.Finding{
			finding("CVE-2021-44228", "CRITICAL", "apache-log4j2", "2.4.47-2+deb9u1~bpo11+1ubuntu0.2", strings.Repeat(text, 4)),
			finding("CVE-2016-1585", "MEDIUM", "apparmor", "2.10.95-0ubuntu2.11", text),
			finding("GHSA-jfh8-c2jp-5v3q", "INFORMATIONAL", "org.apache.logging.log4j:log4j-core", "3ubuntu10.2", ""),
			finding("", "UNDEFINED", "linux-libc-dev", "5.10.223-1", text),
			finding(strings.Repeat("W", 180), "LOW", strings.Repeat("M", 160), strings.Repeat("9", 160), strings.Repeat("X", 900)),
		}},
		ecr.Image{Tags: []string{strings.Repeat("t", 120)}, ScannedAt: scanned, ScanStatus: "FAILED", ScanDescription: strings.Repeat("UnsupportedImageError", 12)},
	)
	for _, name := range []string{"amazonlinux", "test/centos", "test/ubuntu", "test/hardcases", "test/does-not-exist"} {
		add(name)
	}
	return add(long.Name)
}

// checkLayout measures the page with the script, and the heights of what people must scroll past.
func (b *tab) checkLayout(s scheme) {
	b.t.Helper()
	b.do("unfold the filter", chromedp.Evaluate[chromedp.Void](`document.querySelector(".filter").open = true`))
	for _, wrong := range eval[[]string](b, layoutScript) {
		b.t.Errorf("%s, %+v: %s", b.url(), s, wrong)
	}
	b.do("fold the filter", chromedp.Evaluate[chromedp.Void](`document.querySelector(".filter").open = false`))
	const mostAbove, mostOfFinding = 1200, 110 // pixels
	first := eval[int](b, `Math.round(document.querySelector("tbody tr")?.getBoundingClientRect().top + scrollY) || 0`)
	finding := eval[int](b, `[...document.querySelectorAll(".findings tbody tr")].map(r => Math.round(r.offsetHeight)).sort((x, y) => x - y).at(-Math.ceil(document.querySelectorAll(".findings tbody tr").length / 2)) || 0`)
	if first > mostAbove || s.width <= 768 && finding > mostOfFinding {
		b.t.Errorf("%s, %+v: the first row is at %d, half of the findings have more than %d pixels", b.url(), s, first, finding)
	}
	if *pictures != "" {
		b.t.Logf("%s, %+v: the first row is at %d, half of the findings have more than %d pixels", b.url(), s, first, finding)
	}
}

func (b *tab) pictureOf(file string, s scheme) {
	b.t.Helper()
	b.show(s, min(eval[int64](b, "document.documentElement.scrollHeight"), 2600), 1)
	if err := os.WriteFile(file, run(b, "take a screenshot", chromedp.CaptureScreenshot()), 0o644); err != nil {
		b.t.Fatal(err)
	}
}
