package ecrscan_test

import (
	"fmt"
	"testing"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/scan"
)

func TestPages(t *testing.T) {
	e, c := start(t)
	const images = 600
	for i := range images {
		e.PutImage(id, awslocal.Image{Tags: []string{fmt.Sprint("v", i), fmt.Sprint("w", i)}})
	}
	seen, pages, lastToken := map[string]bool{}, 0, ""
	for token := ""; pages == 0 || token != ""; pages++ {
		images, next, err := c.Page(t.Context(), repo, token)
		if err != nil {
			t.Fatal(err)
		}
		for _, image := range images {
			seen[image.Tag] = true
		}
		if next != "" {
			lastToken = next
		}
		token = next
	}
	if len(seen) != 2*images || pages < 2 {
		t.Errorf("%d tags on %d pages", len(seen), pages)
	}
	if calls := e.Count().Calls["DescribeImages"]; calls != pages {
		t.Errorf("%d calls for %d pages", calls, pages)
	}

	for name, token := range map[string]string{"no token": "x", "cut": lastToken[:len(lastToken)-2], "of another call": "eyJzIjoxLCJuIjoyfQ=="} {
		if _, _, err := c.Page(t.Context(), repo, token); scan.CodeOf(err) != scan.PageLost {
			t.Errorf("%s: %v", name, err)
		}
	}
	defer e.Disturb(awslocal.Fault{Operation: "DescribeImages", Code: "ValidationException"})()
	if _, _, err := c.Page(t.Context(), repo, lastToken); scan.CodeOf(err) != scan.PageLost {
		t.Errorf("refused in other words: %v", err)
	}
	if _, _, err := c.Page(t.Context(), repo, ""); scan.CodeOf(err) != scan.Internal {
		t.Errorf("the first page refused: %v", err)
	}
}

func TestPageFailures(t *testing.T) {
	e, c := start(t)
	if _, _, err := c.Page(t.Context(), repo, ""); scan.CodeOf(err) != scan.RepositoryNotFound {
		t.Errorf("no repository: %v", err)
	}
	e.PutRepository(id, awslocal.Repository{})
	if images, next, err := c.Page(t.Context(), repo, ""); err != nil || next != "" || len(images) != 0 {
		t.Errorf("no images: %v %q %v", images, next, err)
	}
	e.Disturb(awslocal.Fault{Operation: "DescribeImages", Status: 500})
	if _, _, err := c.Page(t.Context(), repo, "x"); scan.CodeOf(err) != scan.Unavailable {
		t.Errorf("down: %v", err)
	}
}
