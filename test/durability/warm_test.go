package durability

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/test/awstest"
)

// A process that has answered many requests gives the same responses as a new one, whatever it has cached.
func TestCachedDataDoesNotChangeResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		serve := func(s *awstest.Service) http.Handler { return s.Handler("https://api.example/Prod") }
		c := addConfig(t, w.service(), repo)
		addConfig(t, w.service(), repo, "one", "none")
		paths := []string{
			"/summary", "/summary?severity=HIGH", "/summary?tag=one", "/summary?format=json", "/summary?format=csv", "/summary?format=html&severity=HIGH",
			"/findings/all", "/findings/all?severity=HIGH", "/findings/" + c.ID + "?by=vulnerability", "/findings/" + c.ID + "?tag=two&format=csv",
			"/findings/" + c.ID + "?format=html&severity=HIGH", "/changes", "/changes?severity=HIGH", "/findings/" + c.ID + "/changes?format=json",
			"/gate/" + c.ID + "?tag=one&max=HIGH", "/badge/" + c.ID + ".svg?tag=one",
		}
		warm, visitor := serve(w.service()), w.service()
		get := func(h http.Handler, path string) string {
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
			if answer.Code >= 400 && !strings.HasPrefix(path, "/gate") {
				t.Fatalf("GET %s: %d %s", path, answer.Code, answer.Body)
			}
			return answer.Body.String()
		}
		w.push("one", "A:LOW B:LOW C:HIGH")
		w.push("two", "B:LOW")
		for day, found := range []string{"A:LOW B:LOW C:HIGH", "B:LOW D:CRITICAL", "A:LOW B:HIGH", "A:LOW B:HIGH", ""} {
			for range 2 {
				for _, path := range paths {
					got := get(warm, path)
					if diff := cmp.Diff(get(serve(w.service()), path), got); diff != "" {
						t.Errorf("day %d, GET %s (-new +warm):\n%s", day, path, diff)
					}
				}
				time.Sleep(7 * time.Minute)
			}
			visit(t, visitor)
			time.Sleep(25 * time.Hour)
			w.rescan(t, "one", found)
			if day == 2 {
				w.push("three", "E:HIGH")
			}
		}
	})
}
