package ecrscan_test

import (
	"fmt"
	"testing"

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
		l, err := c.Images(t.Context(), repo, tags)
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
