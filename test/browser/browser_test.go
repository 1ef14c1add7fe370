//go:build browser

package browser

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
	"ecr-continuous-scan/internal/httpapi"
)

var screenshots = flag.Bool("screenshots", false, "write the screenshots of the pages in docs")

const hardCases = `{"region":"us-west-2","registry":"123456789012","repository":"test/hardcases"}`

func mustShow(t *testing.T, b *tab, texts ...string) {
	t.Helper()
	shown := b.text()
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			t.Errorf("%s does not show %q: %s", b.url(), text, shown)
		}
	}
}

// A browser gets the page because of its Accept header, also when there are no configs. Links lead to pages.
func TestPagesOfTheLocalServer(t *testing.T) {
	t.Parallel()
	base := localServer(t)
	b := open(t, base)
	b.load(base + "/summary")
	mustShow(t, b, "Nothing is watched yet", "export ECRSCANAPI_URL="+base, "--request POST")
	b.check()
	for _, config := range sampleConfigs(t) {
		post(t, base, config)
	}
	b.load(base + "/summary")
	mustShow(t, b, "7 High", "test/centos:7", "test/ubuntu", "amazonlinux")
	b.check()
	for _, link := range append(b.links("All findings"), b.links("test/centos", "test/ubuntu", "16.04")...) {
		b.load(link)
		mustShow(t, b, "CVE-")
	}
	b.check()
	id := post(t, base, hardCases)
	b.load(base + "/summary")
	mustShow(t, b, "No current result", "Scan failed")
	b.check()
	b.load(base + "/findings/" + id + "?format=html")
	b.check()
}

// After three weeks there are trends and changes.
func TestPagesWithHistory(t *testing.T) {
	t.Parallel()
	a, s, base := service(t, httpapi.OpenAccess())
	if err := samples.PutWalkthrough(a.ECR); err != nil {
		t.Fatal(err)
	}
	for _, repository := range []string{"amazonlinux", "test/centos", "test/ubuntu", "test/hardcases"} {
		s.AddConfig(t, repository)
	}
	simulateThreeWeeks(t, a, s)
	b := open(t, base)
	b.load(base + "/summary")
	mustShow(t, b, "2 new", "1 resolved", "34 findings on ", "No current result")
	if trends := eval[int](b, "document.querySelectorAll('.trend path.all').length"); trends != 4 {
		t.Errorf("%d trends, want 4", trends)
	}
	b.check()
}

// The filters, links and sorting work with the keyboard only.
func TestFilterWithTheKeyboard(t *testing.T) {
	t.Parallel()
	base := localServer(t)
	for _, config := range sampleConfigs(t) {
		post(t, base, config)
	}
	b := open(t, base)
	b.load(base + "/summary")
	b.unfold("Filter the summary")
	b.tabTo("tag")
	b.do("type an invalid tag and press Enter", chromedp.KeyEvent("no tag!\r"))
	if !eval[bool](b, "document.querySelector('#tag').matches(':invalid')") || b.url() != base+"/summary" {
		t.Errorf("an invalid tag was sent: %s", b.url())
	}
	b.load(base + "/summary")
	b.tabTo("Skip to the content")
	b.unfold("Filter the summary")
	b.tabTo("severity")
	b.do("choose a severity", chromedp.KeyEvent("Hi"))
	b.tabTo("repository")
	b.do("type a repository", chromedp.KeyEvent("test/centos"))
	b.tabTo("tag")
	b.follow("press Enter", chromedp.KeyEvent("\r"))
	query := queryOf(t, b)
	if query.Get("severity") != "HIGH" || query.Get("repository") != "test/centos" {
		t.Errorf("filtered by %v", query)
	}
	mustShow(t, b, "Filtered by severity HIGH and above, repository test/centos", "7 High")
	if strings.Contains(b.text(), "test/ubuntu") || strings.Contains(b.text(), "20 Medium") {
		t.Errorf("the filter does not hide other results: %s", b.text())
	}
	b.check()
	b.tabTo("7")
	b.follow("press Enter", chromedp.KeyEvent("\r"))
	mustShow(t, b, "7 findings", "CVE-2018-16864")
	b.tabTo("Package")
	b.follow("press Enter", chromedp.KeyEvent("\r"))
	if queryOf(t, b).Get("sort") != "package" || eval[string](b, "document.querySelector('[aria-sort]').innerText") != "Package ▼" {
		t.Errorf("sorted by %v", queryOf(t, b))
	}
	b.check()
	b.unfold("Filter the findings")
	b.tabTo("package")
	b.do("type a package", chromedp.KeyEvent("none-of-this-name"))
	b.tabTo("Filter")
	b.follow("press Enter", chromedp.KeyEvent("\r"))
	mustShow(t, b, "Nothing matches this filter")
	b.check()
}

func queryOf(t *testing.T, b *tab) url.Values {
	t.Helper()
	u, err := url.Parse(b.url())
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// If the key is in the URL, all links keep it. The browser does not send it to other sites.
func TestLinksKeepTheKey(t *testing.T) {
	t.Parallel()
	hash := func(key string) string {
		sum := sha256.Sum256([]byte(key))
		return hex.EncodeToString(sum[:])
	}
	access, err := httpapi.ParseAccess(hash("the full key"), hash("a read&key"))
	if err != nil {
		t.Fatal(err)
	}
	a, s, base := service(t, access)
	if err := samples.PutWalkthrough(a.ECR); err != nil {
		t.Fatal(err)
	}
	s.AddConfig(t, "test/ubuntu")
	b := open(t, base)
	b.load(base + "/summary?key=a%20read%26key")
	b.unfold("Filter the summary")
	b.tabTo("repository")
	b.do("type a repository", chromedp.KeyEvent("test/ubuntu"))
	b.follow("press Enter", chromedp.KeyEvent("\r"))
	mustShow(t, b, "Filtered by repository test/ubuntu")
	for _, name := range []string{"Show everything", "All findings", "Summary", "16.04", "First seen"} {
		b.load(b.links(name)[0])
		if queryOf(t, b).Get("key") != "a read&key" {
			t.Errorf("%s leads to %s", name, b.url())
		}
	}
	if referrer := eval[string](b, "document.referrer"); referrer != "" {
		t.Errorf("the browser sent the referrer %s", referrer)
	}
}

// Scripts and markup in texts of a registry or a scanner are shown as text.
func TestHostileTextsAreEscaped(t *testing.T) {
	t.Parallel()
	a, s, base := service(t, httpapi.OpenAccess())
	attack := `<script>alert(1)</script><img src=x onerror=alert(2)>"'><svg onload=alert(3)>`
	repository := ecr.RepositoryID{Name: "test/hostile"}
	a.ECR.PutRepository(repository, ecr.Repository{})
	a.ECR.PutImage(repository, ecr.Image{Tags: []string{attack, "javascript:alert(4)"}, ScannedAt: time.Now().Add(-time.Hour), Findings: []ecr.Finding{
		{Name: attack, Severity: "<b>HIGH</b>", URI: "javascript:alert(5)", Description: attack, Attributes: []ecr.Attribute{{Key: "package_name", Value: attack}, {Key: "package_version", Value: attack}}},
		{Name: "CVE-2020-1", Severity: "HIGH", URI: `https://example.org/"onmouseover="alert(6)`, Description: "</style></script>" + attack},
	}})
	a.ECR.PutImage(repository, ecr.Image{Tags: []string{"failed"}, ScannedAt: time.Now().Add(-time.Hour), ScanStatus: "FAILED", ScanDescription: attack})
	id := s.AddConfig(t, "test/hostile").ID
	b := open(t, base)
	for _, path := range []string{"/summary", "/findings/" + id + "?format=html", "/findings/all?format=html&by=vulnerability&cve=" + url.QueryEscape(strings.ToUpper(attack)+"x")} {
		b.load(base + path)
		mustShow(t, b, "<")
		if n := eval[int](b, "document.querySelectorAll('script, img, [onload], [onerror], [onmouseover], a[href^=javascript]').length"); n != 0 {
			t.Errorf("%s: %d elements from hostile texts", path, n)
		}
		b.check()
	}
}

// With 1,000 images and 5,000 findings, the pages load and show the most severe first.
func TestManyImagesAndFindings(t *testing.T) {
	t.Parallel()
	a, s, base := service(t, httpapi.OpenAccess())
	for r := range 25 {
		repository := ecr.RepositoryID{Name: fmt.Sprintf("team-%d/service-%d", r%5, r)}
		a.ECR.PutRepository(repository, ecr.Repository{})
		for i := range 40 {
			a.ECR.PutImage(repository, ecr.Image{Tags: []string{fmt.Sprintf("v1.%d", i)}, ScannedAt: time.Now().Add(-time.Hour), Findings: findings(r*i%60 + i%3)})
		}
		s.AddConfig(t, repository.Name)
	}
	big := ecr.RepositoryID{Name: "team-5/big"}
	a.ECR.PutRepository(big, ecr.Repository{})
	a.ECR.PutImage(big, ecr.Image{Tags: []string{"latest"}, ScannedAt: time.Now().Add(-time.Hour), Findings: findings(5000)})
	id := s.AddConfig(t, big.Name).ID
	if _, err := s.ScheduleAndVisit(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := open(t, base)
	b.load(base + "/summary")
	mustShow(t, b, "1001 images of 26 configs", "team-5/big:latest", "more images of")
	b.checkIn(schemes()[1], schemes()[2]) // the other schemes are covered by the tests of small pages
	b.load(base + "/findings/" + id + "?format=html")
	mustShow(t, b, "Findings 1 to 500 of 5000")
	if rows := eval[int](b, "document.querySelectorAll('tbody tr').length"); rows != 500 {
		t.Errorf("%d findings on a page", rows)
	}
	b.checkIn(schemes()[1], schemes()[2])
	b.load(b.links("10")[0])
	mustShow(t, b, "Findings 4501 to 5000 of 5000")
	b.load(b.links("Vulnerability")[0])
	mustShow(t, b, "Findings 1 to 500 of 5000", "CVE-2020-10000")
}

func findings(n int) []ecr.Finding {
	severities := []string{"CRITICAL", "HIGH", "MEDIUM", "MEDIUM", "LOW", "LOW", "INFORMATIONAL"}
	all := make([]ecr.Finding, n)
	for i := range all {
		name := fmt.Sprintf("CVE-2020-%d", 10000+i)
		all[i] = ecr.Finding{
			Name: name, Severity: severities[i%len(severities)], URI: "https://example.org/" + name, Description: "Something in a package can be made to do something else.",
			Attributes: []ecr.Attribute{{Key: "package_name", Value: fmt.Sprintf("package-%d", i%50)}, {Key: "package_version", Value: "1.2.3-4"}},
		}
	}
	return all
}
