package ecrscan_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scan"
)

func imagesOf(l scan.Listing, err error) ([]scan.Image, error) { return l.Images, err }

// A listing counts the untagged images that belong to no tag: not the parts of listed indexes, artifacts and archived images.
func TestUntaggedImagesAreCounted(t *testing.T) {
	e, c := start(t)
	put := func(img ecr.Image) string { return e.PutImage(id, img) }
	amd, arm, attestation, deep := put(ecr.Image{}), put(ecr.Image{}), put(ecr.Image{}), put(ecr.Image{})
	nested := put(ecr.Image{Children: []ecr.Child{{Digest: deep, OS: "linux", Arch: "s390x"}}})
	put(ecr.Image{Tags: []string{"multi", "latest"}, Children: []ecr.Child{
		{Digest: amd, OS: "linux", Arch: "amd64"}, {Digest: arm, OS: "linux", Arch: "arm64"}, {Digest: attestation, OS: "unknown", Arch: "unknown"},
		{Digest: nested, MediaType: ecr.OCIIndex},
	}})
	tagged := put(ecr.Image{Tags: []string{"plain"}})
	check := func(what string, want int, tags ...string) {
		t.Helper()
		got := -1
		l, err := c.Images(t.Context(), repo, scan.Wanted{Tags: tags})
		if l.NotWatched != nil {
			got = *l.NotWatched
		}
		if err != nil || got != want || l.IsPaged != (what == "several pages") {
			t.Errorf("%s: %d images are not watched, want %d; paged %t, %v", what, got, want, l.IsPaged, err)
		}
	}
	const unknown = -1
	check("none", 0)
	for range 3 {
		put(ecr.Image{})
	}
	put(ecr.Image{Children: []ecr.Child{{Digest: tagged, OS: "linux", Arch: "amd64"}}})
	put(ecr.Image{MediaType: ecr.OCIManifest, ArtifactMediaType: "application/vnd.cncf.helm.config.v1+json"})
	put(ecr.Image{MediaType: ecr.OCIManifest, ArtifactMediaType: ecr.OCIImageConfig, Subject: amd})
	put(ecr.Image{Status: ecr.Archived})
	check("three images and an index", 4)
	check("only some tags", unknown, "plain")
	e.InjectFault(awslocal.Fault{Operation: "BatchGetImage", Status: 500})
	check("an index that can't be read now", unknown)
	e.ClearFaults()
	for range 1000 {
		put(ecr.Image{})
	}
	check("many untagged images", unknown)
	for i := range 1000 {
		put(ecr.Image{Tags: []string{fmt.Sprint("t", i)}})
	}
	check("several pages", unknown)
}

// A list with untagged images has each by its digest: not the parts of indexes, also of untagged ones, and no artifacts. It knows when each image was
// pushed and pulled.
func TestUntaggedImagesAreListed(t *testing.T) {
	e, c := start(t)
	put := func(img ecr.Image) string { return e.PutImage(id, img) }
	pushed, pulled := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC), time.Date(2026, 11, 9, 8, 0, 0, 0, time.UTC)
	amd, arm, attestation, part := put(ecr.Image{}), put(ecr.Image{}), put(ecr.Image{}), put(ecr.Image{})
	put(ecr.Image{Tags: []string{"multi"}, Children: []ecr.Child{
		{Digest: amd, OS: "linux", Arch: "amd64"}, {Digest: attestation, OS: "unknown", Arch: "unknown"},
	}})
	nested := put(ecr.Image{Children: []ecr.Child{{Digest: part, OS: "linux", Arch: "s390x"}}})
	index := put(ecr.Image{PushedAt: pushed, PulledAt: pulled, Children: []ecr.Child{{Digest: arm, OS: "linux", Arch: "arm64"}, {Digest: nested, MediaType: ecr.OCIIndex}}})
	alone := put(ecr.Image{PushedAt: pushed, PulledAt: pulled})
	signed := put(ecr.Image{MediaType: ecr.OCIManifest, ArtifactMediaType: ecr.OCIImageConfig, Subject: amd})
	put(ecr.Image{MediaType: ecr.OCIManifest, ArtifactMediaType: "application/vnd.cncf.helm.config.v1+json"})
	archived := put(ecr.Image{Status: ecr.Archived})
	put(ecr.Image{Tags: []string{"plain"}, PushedAt: pushed, PulledAt: pulled})
	check := func(what string, want ...string) scan.Listing {
		t.Helper()
		l, err := c.Images(t.Context(), repo, scan.Wanted{Untagged: true})
		var got []string
		for _, i := range l.Images {
			got = append(got, fmt.Sprint(i.Separator(), i.Label(), i.Kind))
			if isOld := i.Tag == alone || i.Tag == index || i.Tag == "plain"; isOld && (!i.PushedAt.Equal(pushed) || !i.LastPulled.Equal(pulled)) || !isOld && i.PushedAt.Equal(pushed) {
				t.Errorf("%s was pushed at %v and pulled at %v", i.Label(), i.PushedAt, i.LastPulled)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
		return l
	}
	all := []string{
		":multi (linux/amd64)", ":plain", "@" + index + " (linux/arm64)", "@" + index + " (linux/s390x)", "@" + alone, "@" + signed, "@" + archived + "archived",
	}
	l := check("one page", all...)
	if l.NotWatched == nil || *l.NotWatched != 2 {
		t.Errorf("%v images have no tag", l.NotWatched)
	}
	if want := map[string]bool{amd: true, arm: true, attestation: true, nested: true, part: true}; !maps.Equal(l.Parts, want) {
		t.Errorf("parts %v, want %v", l.Parts, want)
	}
	for range 1000 {
		all = append(all, "@"+put(ecr.Image{}))
	}
	if l := check("two pages", all...); !l.IsPaged {
		t.Error("not paged")
	}
	e.InjectFault(awslocal.Fault{Operation: "BatchGetImage", Status: 500})
	if l := check("indexes that can't be read now", ":multiimage index", ":plain"); l.NotWatched != nil {
		t.Error("the number of untagged images is known")
	}
}
