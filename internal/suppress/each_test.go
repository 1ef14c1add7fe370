package suppress_test

import (
	"slices"
	"testing"
	"time"

	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// Each suppression that matches a part of a finding is found once, also one that does not set the finding aside alone.
func TestEach(t *testing.T) {
	one := func(id string, s suppress.Suppression) suppress.Suppression {
		s.ID, s.Created, s.Reason = id, now.Unix(), "r"
		return s
	}
	l := suppress.List{All: []suppress.Suppression{
		one("name", suppress.Suppression{Vulnerability: "cve-1"}),
		one("related", suppress.Suppression{Vulnerability: "GHSA-*"}),
		one("first", suppress.Suppression{Package: "lib*", Version: "1"}),
		one("path", suppress.Suppression{Package: "*", Path: "usr/*"}),
		one("other", suppress.Suppression{Package: "zlib"}),
		one("elsewhere", suppress.Suppression{Package: "liba", Repository: "other"}),
		one("digest", suppress.Suppression{Package: "liba", Digest: "sha256:i"}),
		one("ended", suppress.Suppression{Package: "liba", Until: now.Add(time.Minute)}),
	}}
	repo := scan.Repository{Registry: "123456789012", Region: "us-west-2", Name: "app"}
	image := scan.Image{Repository: repo, Tag: "latest", Digest: "sha256:d", Index: "sha256:i"}
	f := scan.Finding{Name: "CVE-1", Related: []string{"GHSA-1"}}.WithPackages([]scan.Package{{Name: "liba", Version: "1"}, {Name: "liba", Version: "2", Path: "/usr/b"}})
	var got []string
	suppress.NewRules(l).In(repo).Each(&image, &f, now.Add(time.Hour), func(s *suppress.Suppression) { got = append(got, s.ID) })
	slices.Sort(got)
	if want := []string{"digest", "first", "name", "path", "related"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	suppress.Scope{}.Each(&image, &f, now, func(*suppress.Suppression) { t.Error("without rules") })
}
