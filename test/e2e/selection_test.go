package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/awstest"
	"ecr-continuous-scan/test/lambdaruntime"
	"ecr-continuous-scan/test/sqslocal"
)

// The compiled functions scan and show the images that configs select, and only these.
func TestSelectedImages(t *testing.T) {
	a := awstest.Start(t, ecr.Options{ScanTime: -1})
	q := awstest.StartQueue(t, sqslocal.Options{})
	repo := ecr.RepositoryID{Name: "team/app"}
	put := func(img ecr.Image, days int) string {
		img.PushedAt = a.Now().Add(-time.Duration(days) * 24 * time.Hour)
		return a.ECR.PutImage(repo, img)
	}
	for i := range 4 {
		put(ecr.Image{Tags: []string{fmt.Sprint("v", i)}}, 40-10*i)
	}
	part := put(ecr.Image{}, 1)
	put(ecr.Image{Tags: []string{"v4"}, Children: []ecr.Child{{Digest: part, OS: "linux", Arch: "arm64"}}}, 1)
	alone := put(ecr.Image{}, 90)
	put(ecr.Image{Tags: []string{"other"}}, 0)

	g := &lambdaruntime.Gateway{Functions: map[string]*lambdaruntime.Function{}}
	for folder, routes := range functions() {
		f := lambdaruntime.Start(t, lambdaruntime.Build(t, folder), withQueue(a, q))
		for _, path := range routes.Paths() {
			g.Functions[path] = f
		}
	}
	api, s := serve(t, g), newStartScan(t, q, withQueue(a, q))
	add := func(fields string) {
		if res, got := request(t, "POST", api+"/configs", `{"region":"us-west-2","registry":"123456789012","repository":"team/app",`+fields+`}`); res.StatusCode != 201 {
			t.Fatalf("%d %s", res.StatusCode, got)
		}
	}
	check := func(scanned int, want ...string) {
		t.Helper()
		s.visitAll(time.Minute)
		s.at = s.at.Add(time.Hour)
		started := 0
		for _, image := range a.ECR.Images(repo) {
			started += min(1, image.ScansStarted)
		}
		_, got := request(t, "GET", api+"/summary", "")
		var heads []string
		for line := range strings.Lines(got) {
			if head, ok := strings.CutPrefix(line, "Results for team/app"); ok {
				heads = append(heads, strings.TrimSuffix(head, " in us-west-2:\n"))
			}
		}
		if !slices.Equal(heads, want) || started != scanned || strings.Contains(got, "NOT SCANNED") {
			t.Errorf("the summary has %q, want %q; %d images were scanned, want %d\n%s", heads, want, started, scanned, got)
		}
	}
	newest, used, untagged := `"tags":["v*"],"newest":2`, `"used":"15d","tags":["v*","none*"]`, `"untagged":true,"tags":["missing"]`
	add(newest)
	check(2, ":v3", ":v4 (linux/arm64)")
	add(used)
	check(2, ":v3", ":v4 (linux/arm64)", ":v3", ":v4 (linux/arm64)")
	add(untagged)
	check(3, ":v3", ":v4 (linux/arm64)", ":v3", ":v4 (linux/arm64)", ":missing", "@"+alone)
	if err := a.ECR.DeleteImage(repo, "v4"); err != nil {
		t.Fatal(err)
	}
	put(ecr.Image{Tags: []string{"v5"}}, 0)
	if _, err := s.schedule(); err != nil {
		t.Fatal(err)
	}
	// The part of the deleted index is an image of its own now.
	check(4, ":v3", ":v5", ":v3", ":v5", ":missing", "@"+min(part, alone), "@"+max(part, alone))
}
