package httpapi_test

import (
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/test/feedrules"
)

// post stores a config with more fields and returns its id.
func post(t *testing.T, h *service, repository, fields string) string {
	t.Helper()
	var c scan.Config
	got := call(h, "POST", "/configs", "application/json", fmt.Sprintf(`{"region":"us-west-2","registry":"123456789012","repository":%q,%s}`, repository, fields))
	if err := json.Unmarshal([]byte(got.body), &c); err != nil || got.status != 201 {
		t.Fatalf("%d %s, %v", got.status, got.body, err)
	}
	return c.ID
}

// Every format names an image without a tag by its digest, and all its links work.
func TestImageWithoutTag(t *testing.T) {
	a, h := start(t)
	repo := ecr.RepositoryID{Name: "team/app"}
	found := []ecr.Finding{{Name: "CVE-2026-1", Severity: "HIGH"}}
	digest := a.ECR.PutImage(repo, ecr.Image{ScannedAt: time.Now().Add(-time.Hour), Findings: found})
	part := a.ECR.PutImage(repo, ecr.Image{ScannedAt: time.Now().Add(-time.Hour), Findings: found})
	index := a.ECR.PutImage(repo, ecr.Image{Children: []ecr.Child{{Digest: part, OS: "linux", Arch: "arm64"}}})
	a.ECR.PutImage(repo, ecr.Image{Tags: []string{"v1"}, ScannedAt: time.Now().Add(-time.Hour)})
	id := post(t, h, "team/app", `"untagged":true`)
	h.visit(t)
	name, part2 := "team/app@"+digest, "team/app@"+index+" (linux/arm64)"
	for target, wants := range map[string][]string{
		"/summary":                            {"Results for " + name + " in us-west-2:\n HIGH: 1\n", "Results for " + part2 + " in us-west-2:\n", "Results for team/app:v1 in us-west-2:"},
		"/summary?format=json":                {`"tag": "` + digest + `"`, `"untagged": true`},
		"/summary?format=csv":                 {"team/app," + digest + ",,", "team/app," + index + ",linux/arm64," + part},
		"/summary?format=html":                {"all tags · untagged images", digest},
		"/findings/" + id:                     {"[HIGH] in image " + name + " found CVE-2026-1", "[HIGH] in image " + part2 + " found CVE-2026-1"},
		"/findings/" + id + "?format=json":    {name},
		"/findings/" + id + "?format=csv":     {"team/app," + digest},
		"/findings/" + id + "?format=sarif":   {"team/app@" + digest},
		"/findings/" + id + "?format=html":    {digest},
		"/findings/all?format=html":           {name},
		"/findings/all?digest=" + digest:      {name},
		"/gate/" + id + "?max=LOW&tag=v1":     {`"images": 1`},
		"/findings/" + id + "/changes":        {"<feed"},
		"/summary?format=html&digest=" + part: {index},
	} {
		got := call(h, "GET", target, "", "")
		if got.status != 200 {
			t.Errorf("%s: %d %s", target, got.status, got.body)
		}
		body := html.UnescapeString(strings.ReplaceAll(got.body, "<wbr>", ""))
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not say %q:\n%s", target, want, body)
			}
		}
		if strings.Contains(body, "team/app:sha256") {
			t.Errorf("%s names a digest as a tag", target)
		}
		if !strings.Contains(target, "format=html") {
			continue
		}
		for _, link := range regexp.MustCompile(`(?:href|action)="`+regexp.QuoteMeta(base)+`([^"]*)"`).FindAllStringSubmatch(got.body, -1) {
			if got := call(h, "GET", html.UnescapeString(link[1]), "", ""); got.status != 200 {
				t.Errorf("%s has a link to %s: %d %s", target, link[1], got.status, got.body)
			}
		}
	}
	feedrules.Atom(t, []byte(call(h, "GET", "/findings/"+id, "", "").body))
	if err := a.ECR.DeleteImage(repo, digest); err != nil {
		t.Fatal(err)
	}
	h.visit(t)
	if got := call(h, "GET", "/findings/"+id+"/changes", "", ""); !strings.Contains(got.body, "[TAG GONE] the repository no longer has image "+name) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// The summary, its page and feeds say how many images are not watched because they are older or unused.
func TestNotWatchedImagesAreSaid(t *testing.T) {
	a, h := start(t)
	for i := range 9 {
		pushed := a.Now().Add(-time.Duration(i*10+1) * time.Hour * 24)
		a.ECR.PutImage(ecr.RepositoryID{Name: "team/app"}, ecr.Image{Tags: []string{fmt.Sprint("v", i)}, PushedAt: pushed, ScannedAt: time.Now().Add(-time.Hour)})
	}
	id := post(t, h, "team/app", `"newest":4,"used":"15d","tags":["v*","missing"]`)
	const words = "5 older and 2 unused images are not watched"
	for range 2 {
		for target, wants := range map[string][]string{
			"/summary":                        {"Results for team/app:missing in us-west-2:\n TAG NOT FOUND\n\n\nResults for team/app:v0 in us-west-2:\n\n\nResults for team/app:v1 in us-west-2:\n\n\n"},
			"/summary?format=json":            {`"newest": 4`, `"used": "15d"`, `"notNewest": 5`, `"notUsed": 2`},
			"/summary?format=html":            {"1 tag and 1 pattern of tags · the newest 4 · used in 15 days · " + words},
			"/findings/" + id:                 {"across the tags: [missing] [v0] [v1]", words},
			"/gate/" + id + "?max=LOW&tag=v0": {`"images": 1`},
		} {
			got := call(h, "GET", target, "", "")
			for _, want := range wants {
				if got.status != 200 || !strings.Contains(html.UnescapeString(got.body), want) {
					t.Errorf("%s does not say %q: %d\n%s", target, want, got.status, got.body)
				}
			}
		}
		h.visit(t)
	}
	if got := call(h, "GET", "/gate/"+id+"?max=LOW&tag=v5", "", ""); got.status != 409 || !strings.Contains(got.body, "no image that the config watches has this tag") {
		t.Errorf("the gate of a tag that is not watched: %d %s", got.status, got.body)
	}
}
