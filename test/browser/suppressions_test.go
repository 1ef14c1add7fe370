//go:build browser

package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/httpapi"
	"ecr-continuous-scan/test/awstest"
)

// suppress sends suppressions.
func suppress(t *testing.T, s *awstest.Service, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		r := httptest.NewRequest(http.MethodPost, "/suppressions", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.Handler("").ServeHTTP(w, r)
		if w.Code != http.StatusCreated {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}

// The pages say how many findings are suppressed, and list them on demand with the reason and the end. The keyboard is enough.
func TestPagesWithSuppressions(t *testing.T) {
	t.Parallel()
	a, s, base := service(t, httpapi.OpenAccess())
	repository := ecr.RepositoryID{Name: "team/app"}
	a.ECR.PutRepository(repository, ecr.Repository{})
	for _, tag := range []string{"v1", "v2"} {
		a.ECR.PutImage(repository, ecr.Image{Tags: []string{tag}, ScannedAt: a.Now().Add(-time.Hour), Findings: findings(12)})
	}
	id := s.AddConfig(t, repository.Name).ID
	if _, err := s.ScheduleAndVisit(t.Context()); err != nil {
		t.Fatal(err)
	}
	long := "the package is only used by the build: " + strings.Repeat("see_the_ticket/", 12) + " <b>and</b> nothing of it is in the image that runs"
	until := a.Now().UTC().Add(20 * 24 * time.Hour).Format(time.DateOnly)
	suppress(t, s, `{"package":"package-1","reason":"`+long+`","until":"`+until+`"}`, `{"vulnerability":"CVE-2020-1000*","tag":"v1","reason":"not reachable"}`)
	b := open(t, base)
	picture := func(name string) {
		for _, s := range []scheme{{"light", 1280}, {"dark", 400}} {
			if b.use(s); *pictures != "" {
				b.pictureOf(filepath.Join(*pictures, fmt.Sprintf("suppressed-%s-%d.png", name, s.width)), s)
			}
		}
	}
	b.load(base + "/summary")
	mustShow(t, b, "10 suppressed", "1 suppressed")
	b.checkIn(narrowAndWide()...)
	picture("summary")
	b.load(base + "/findings/" + id + "?format=html")
	before := eval[int](b, "document.querySelectorAll('tbody tr').length")
	mustShow(t, b, "suppressed")
	b.tabTo("Show suppressed findings")
	b.follow("press Enter", chromedp.KeyEvent("\r"))
	if got := queryOf(t, b).Get("suppressed"); got == "" {
		t.Errorf("the link leads to %s", b.url())
	}
	b.checkIn(narrowAndWide()...)
	rows := map[string]int{}
	for _, value := range []string{"include", "only"} {
		b.load(base + "/findings/" + id + "?format=html&suppressed=" + value)
		mustShow(t, b, "not reachable", "the package is only used by the build", "<b>and</b>", until)
		rows[value] = eval[int](b, "document.querySelectorAll('tbody tr').length")
		b.checkIn(narrowAndWide()...)
		picture(value)
	}
	if rows["only"] != 11 || rows["include"] != 24 || before != 13 {
		t.Errorf("%d findings, with suppressed ones %v", before, rows)
	}
	b.load(base + "/findings/" + id + "/changes?format=html")
	mustShow(t, b, "Suppression added", "not reachable")
	b.checkIn(narrowAndWide()...)
	picture("changes")
}
