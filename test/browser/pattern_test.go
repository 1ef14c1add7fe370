//go:build browser

package browser

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/httpapi"
)

// The pages of a pattern show the name of the repository in each row, and say which images are not watched. They fit narrow screens.
func TestPagesOfAPattern(t *testing.T) {
	t.Parallel()
	a, s, base := service(t, httpapi.OpenAccess())
	names := []string{"team/with-a-long-name/service-with-a-long-name/backend", "team/app", "team/web"}
	for n, name := range names {
		repo := ecr.RepositoryID{Name: name}
		a.ECR.PutRepository(repo, ecr.Repository{})
		for i := range 4 {
			a.ECR.PutImage(repo, ecr.Image{
				Tags: []string{fmt.Sprintf("v1.%d", i)}, Manifest: fmt.Sprint(name, i), PushedAt: a.Now().Add(-time.Duration(10-i) * time.Hour),
				ScannedAt: a.Now().Add(-time.Hour), Findings: findings(3 + 5*n + i),
			})
		}
		a.ECR.PutImage(repo, ecr.Image{Manifest: name + " without a tag"})
	}
	a.ECR.PutRepository(ecr.RepositoryID{Name: "other/app"}, ecr.Repository{})
	id := post(t, base, `{"region":"us-west-2","registry":"123456789012","repository":"team/*","newest":3,"name":"All of team","owner":"platform"}`)
	nothing := post(t, base, `{"region":"us-west-2","registry":"123456789012","repository":"other/*","exclude":["*"]}`)
	s.VisitAll(t.Context())
	if _, err := s.ScheduleAndVisit(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := open(t, base)
	rows := func(selector string) (repositories []string) {
		for _, row := range eval[[]string](b, "[..."+"document.querySelectorAll('"+selector+"')].map(r => r.innerText)") {
			for _, name := range names {
				if strings.Contains(strings.ReplaceAll(row, "\u200b", ""), name+":") {
					repositories = append(repositories, name)
				}
			}
		}
		return repositories
	}
	for page, path := range map[string]string{
		"summary": "/summary", "summary-filtered": "/summary?format=html&repository=team/web", "findings": "/findings/" + id + "?format=html",
		"changes": "/findings/" + id + "/changes?format=html", "nothing": "/findings/" + nothing + "?format=html",
	} {
		b.load(base + path)
		switch page {
		case "summary":
			mustShow(t, b, "All of team", "platform", "3 untagged and 3 older images are not watched", "exclude leaves out all of them")
			if got := rows("tbody tr"); len(got) != 9 || len(slices.Compact(slices.Clone(got))) != 3 {
				t.Errorf("the rows are of %q", got)
			}
		case "summary-filtered":
			if got := rows("tbody tr"); len(slices.Compact(slices.Clone(got))) != 1 || len(got) != 3 {
				t.Errorf("filtered: the rows are of %q", got)
			}
		case "findings":
			mustShow(t, b, "team/*", "All of team")
		case "nothing":
			mustShow(t, b, "exclude leaves out all of them")
		}
		b.checkIn(scheme{"light", 360}, scheme{"dark", 1280})
		for _, s := range []scheme{{"light", 400}, {"light", 1280}} {
			b.use(s)
			b.checkLayout(s)
			if *pictures != "" {
				b.pictureOf(filepath.Join(*pictures, fmt.Sprintf("pattern-%s-%d.png", page, s.width)), s)
			}
		}
	}
}
