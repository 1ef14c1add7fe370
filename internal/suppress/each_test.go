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

// Only the ends of suppressions that matched at least a part of a finding matter for it.
func TestEachEnd(t *testing.T) {
	repo := scan.Repository{Registry: "123456789012", Region: "us-west-2", Name: "app"}
	at := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }
	one := func(minutes int, s suppress.Suppression) suppress.Suppression {
		s.Created, s.Reason, s.Until = now.Unix(), "r", at(minutes)
		return s
	}
	deleted := one(9, suppress.Suppression{Vulnerability: "CVE-1"})
	deleted.Deleted = at(5).Unix()
	rules := suppress.NewRules(suppress.List{All: []suppress.Suppression{
		deleted, one(2, suppress.Suppression{Package: "lib*"}), one(3, suppress.Suppression{Package: "zlib"}), one(4, suppress.Suppression{Package: "liba", Tag: "other"}),
		{Created: now.Unix(), Package: "liba", Reason: "no end"},
	}})
	image := scan.Image{Repository: repo, Tag: "latest"}
	f := scan.Finding{Name: "CVE-1"}.WithPackages([]scan.Package{{Name: "liba"}, {Name: "other"}})
	var got []time.Time
	rules.In(repo).EachEnd(&image, &f, func(end time.Time) { got = append(got, end) })
	slices.SortFunc(got, time.Time.Compare)
	if want := []time.Time{at(2), at(5)}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	suppress.Scope{}.EachEnd(&image, &f, func(time.Time) { t.Error("without rules") })
}
