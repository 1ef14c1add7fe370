//go:build browser

package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/httpapi"
)

// narrowAndWide returns both color schemes at the widths of a desktop, a tablet and a phone.
func narrowAndWide() []scheme {
	var all []scheme
	for _, width := range []int64{1280, 768, 400} {
		all = append(all, scheme{"light", width}, scheme{"dark", width})
	}
	return all
}

// changedRegistry returns the API with two repositories that changed in the last days, and the scan ID of one of them.
func changedRegistry(t *testing.T) (base, id string) {
	t.Helper()
	a, s, base := service(t, httpapi.OpenAccess())
	long := "team/" + strings.Repeat("long-name/", 8) + "service"
	for _, name := range []string{"team/app", long} {
		a.ECR.PutRepository(ecr.RepositoryID{Name: name}, ecr.Repository{})
		for _, tag := range []string{"v1", "v2"} {
			a.ECR.PutImage(ecr.RepositoryID{Name: name}, ecr.Image{Tags: []string{tag}, ScannedAt: a.Now().Add(-time.Hour), Findings: findings(12)})
		}
		id = s.AddConfig(t, name).ID
	}
	visit := func() {
		t.Helper()
		if _, err := s.ScheduleAndVisit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	visit()
	for day := range 3 {
		a.Advance(25 * time.Hour)
		for _, name := range []string{"team/app", long} {
			change := func(i *ecr.Image) { i.ScannedAt, i.Findings = a.Now().Add(-time.Minute), findings(90)[day:24+30*day] }
			if err := a.ECR.UpdateImage(ecr.RepositoryID{Name: name}, "v1", change); err != nil {
				t.Fatal(err)
			}
		}
		visit()
		visit()
	}
	failed := ecr.Image{Tags: []string{"v2"}, ScannedAt: a.Now().Add(-time.Minute), ScanStatus: "FAILED", ScanDescription: "UnsupportedImageError: " + strings.Repeat("x", 90)}
	a.ECR.PutImage(ecr.RepositoryID{Name: "team/app"}, failed)
	visit()
	return base, id
}

func TestPagesOfChanges(t *testing.T) {
	t.Parallel()
	base, id := changedRegistry(t)
	b := open(t, base)
	b.load(base + "/summary")
	b.load(b.links("What changed in the last 30 days")[0])
	mustShow(t, b, "What changed", "New", "Resolved", "more changes of this scan", "Scan failed", "UnsupportedImageError", "Scan results from")
	b.checkIn(narrowAndWide()...)
	b.checkRows(".changed > ul > li")
	b.tabTo("Skip to the content")
	b.tabTo("Filter the changes")
	b.do("open the filter", chromedp.KeyEvent(" "))
	b.tabTo("severity")
	b.do("choose a severity", chromedp.KeyEvent("Cr"))
	b.tabTo("Filter")
	b.follow("press Enter", chromedp.KeyEvent("\r"))
	mustShow(t, b, "Filtered by severity CRITICAL")
	if strings.Contains(b.text(), "Low\n") {
		t.Errorf("the filter does not hide other changes: %s", b.text())
	}
	b.tabTo("CVE-2020-10000")
	b.follow("press Enter", chromedp.KeyEvent("\r"))
	mustShow(t, b, "CVE-2020-10000", "Resolved", "1 resolved")
	b.load(base + "/findings/" + id + "/changes?format=html")
	mustShow(t, b, "What changed in team/long-name/", "Summary")
	b.checkIn(scheme{"light", 400}, scheme{"dark", 768})
	b.load(base + "/changes?format=html&tag=nix")
	mustShow(t, b, "Nothing matches this filter", "No image is selected")
	b.checkIn(scheme{"light", 400}, scheme{"dark", 1280})
	b.do("go to the end", chromedp.Evaluate[chromedp.Void]("window.scrollTo(0, 1e6)"))
	b.tabTo("Back to the top")
	b.do("press Enter", chromedp.KeyEvent("\r"))
	if at := eval[float64](b, "window.scrollY"); at != 0 {
		t.Errorf("the link to the top leads to %f", at)
	}
}

// checkRows checks at each width that no row of a list is wider than its list, that no part of a row covers another, and that no time, kind or
// severity is broken into two lines.
func (b *tab) checkRows(rows string) {
	b.t.Helper()
	for _, s := range narrowAndWide() {
		b.use(s)
		wrong := eval[[]string](b, `[...document.querySelectorAll(`+fmt.Sprintf("%q", rows)+`)].filter(row => {
			const parts = [...row.children].map(e => e.getBoundingClientRect()).filter(r => r.width > 0 && r.height > 0), box = row.getBoundingClientRect();
			const isBroken = [...row.querySelectorAll("time, .kind, .severity")].some(e => e.getClientRects().length > 1 || e.getBoundingClientRect().height > 30);
			return isBroken || parts.some((a, i) => a.left < box.left || a.right > box.right + 1 || parts.some((c, j) => j > i && a.left < c.right - 1 && c.left < a.right - 1 && a.top < c.bottom - 1 && c.top < a.bottom - 1));
		}).map(row => row.innerText)`)
		if len(wrong) > 0 {
			b.t.Errorf("%s, %+v: %d rows overlap, are too wide or are broken, such as %s", b.url(), s, len(wrong), wrong[0])
		}
	}
	b.use(schemes()[0])
}

// Each error is a page that can be read at each width.
func TestErrorPages(t *testing.T) {
	t.Parallel()
	a, s, base := service(t, httpapi.OpenAccess())
	a.ECR.PutRepository(ecr.RepositoryID{Name: "team/app"}, ecr.Repository{})
	for i := range 12 {
		a.ECR.PutImage(ecr.RepositoryID{Name: "team/app"}, ecr.Image{Tags: []string{fmt.Sprint("v", i)}, ScannedAt: a.Now().Add(-time.Hour), Findings: findings(i)})
	}
	id := s.AddConfig(t, "team/app").ID
	b := open(t, base)
	for _, test := range []struct {
		path   string
		status int64
		text   string
	}{
		{"/summary?format=html&severity=none&nosuch=" + strings.Repeat("x", 200) + "&" + strings.Repeat("y", 300) + "=1", 400, "Correct the address"},
		{"/no/such/path", 404, "There is nothing at this path."},
		{"/gate/" + id + "?max=LOW", 409, "above max"},
	} {
		b.loadError(base+test.path, test.status)
		mustShow(t, b, test.text)
		b.checkIn(scheme{"light", 400}, scheme{"dark", 1280})
	}
	a.S3.InjectFault(awslocal.Fault{Code: "AccessDenied"})
	b.loadError(base+"/summary", 503)
	mustShow(t, b, "Try again in 30 seconds")
}

// withoutChallenge removes the header WWW-Authenticate, which API Gateway renames. With this header, Chromium asks for a password before it shows the
// page.
type withoutChallenge struct{ http.ResponseWriter }

func (w withoutChallenge) WriteHeader(status int) {
	w.Header().Del("WWW-Authenticate")
	w.ResponseWriter.WriteHeader(status)
}

// A browser without a key learns how to give one.
func TestErrorPageWithoutKey(t *testing.T) {
	t.Parallel()
	access, err := httpapi.ParseAccess(strings.Repeat("ab", 32), "")
	if err != nil {
		t.Fatal(err)
	}
	_, s, _ := service(t, access)
	api := s.API("")
	api.Access, api.BaseURL = access, func(r *http.Request) string { return "http://" + r.Host }
	h := api.Handler(api.Routes())
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(withoutChallenge{w}, r) }))
	t.Cleanup(gateway.Close)
	b := open(t, gateway.URL)
	b.loadError(gateway.URL+"/summary?key=wrong", 401)
	mustShow(t, b, "?key=YOUR_READ_KEY")
	b.checkIn(scheme{"light", 400}, scheme{"dark", 768})
	if links := eval[[]string](b, "[...document.links].map(a => a.getAttribute('href'))"); fmt.Sprint(links) != "[#main #top]" {
		t.Errorf("links %v", links)
	}
}
