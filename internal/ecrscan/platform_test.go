package ecrscan_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scan"
)

// Two images of an index never have the same name, and none has the name of the index.
func TestPlatformNamesAreUnique(t *testing.T) {
	long := strings.Repeat("x", 130)
	for name, entries := range map[string][]entry{
		"equal after the cut":           {linux(1, long+"1"), linux(2, long+"2")},
		"equal after the cut of é":      {linux(1, strings.Repeat("é", 80)+"1"), linux(2, strings.Repeat("é", 80)+"2"), linux(3, "arm64")},
		"the name of a Windows build":   {windows(1, "1.2.3.4"), windows(2, "1.2.3.5"), linux(3, "x"), with(linux(4, ""), "platform", entry{"os": "windows", "architecture": "amd64 1.2.3.4"})},
		"the name of a digest":          {linux(1, "amd64"), linux(2, "amd64"), linux(3, "amd64 000000000000")},
		"a number":                      {linux(1, "amd64"), linux(2, "amd64"), linux(3, "amd64 #1"), linux(4, "amd64 #2")},
		"no platform":                   {noPlatform(1), noPlatform(2), with(linux(3, ""), "platform", entry{"os": "no platform"})},
		"the same digest":               {linux(1, long+"1"), linux(1, "amd64"), linux(1, "arm64"), windows(1, "1"), windows(1, "2")},
		"a version that is not shown":   {linux(1, "amd64"), with(linux(2, ""), "platform", entry{"os": "linux", "architecture": "amd64", "os.version": " "})},
		"a space and a slash":           {linux(1, "amd64"), linux(2, "amd64/"), linux(3, " amd64"), linux(4, "amd64 ")},
		"a variant in the architecture": {linux(1, "arm/v7"), with(linux(2, ""), "platform", entry{"os": "linux", "architecture": "arm", "variant": "v7"})},
	} {
		t.Run(name, func(t *testing.T) {
			checkNames(t, entries)
			slices.Reverse(entries)
			checkNames(t, entries)
		})
	}
}

// FuzzPlatformNames builds indexes from a seed. Their platforms are often equal or similar.
func FuzzPlatformNames(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, "amd64")
	}
	f.Fuzz(func(t *testing.T, seed uint64, text string) {
		r := rand.New(rand.NewPCG(seed, 1))
		texts := []string{"", "linux", "windows", "arm64", "aarch64", "v8", " ", "/", "#1", "10.0.1.2", "10.0.1.3", strings.Repeat("é", 100), strings.Repeat("y", 127), text, "unknown"}
		pick := func() string { return texts[r.IntN(len(texts))] + texts[r.IntN(2)] }
		entries := make([]entry, 1+r.IntN(12))
		for i := range entries {
			entries[i] = entry{"mediaType": ecr.OCIManifest, "digest": digestOf(i + 1)}
			if r.IntN(4) > 0 {
				entries[i]["platform"] = entry{"os": pick(), "architecture": pick(), "variant": pick(), "os.version": pick()}
			}
		}
		checkNames(t, entries)
	})
}

// FuzzManifests reads any text as the manifest of an index, of an image in an index and of a tag. No image gets lost.
func FuzzManifests(f *testing.F) {
	valid := manifestOf(linux(1, "amd64"), noPlatform(2), index(3))
	for _, text := range []string{valid, valid[:len(valid)/2], "", "null", "[]", `{"manifests":[null,{}]}`, `{"config":{"mediaType":"x"},"layers":[{}]}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, c := newInProcess()
		e.PutImage(id, ecr.Image{Digest: digestOf(2), MediaType: ecr.OCIManifest, Manifest: text + " "})
		e.PutImage(id, ecr.Image{Digest: digestOf(3), MediaType: ecr.OCIIndex, Manifest: text + "  "})
		e.PutImage(id, ecr.Image{Tags: []string{"index"}, MediaType: ecr.OCIIndex, Manifest: text + "   "})
		e.PutImage(id, ecr.Image{Tags: []string{"tag"}, MediaType: ecr.OCIManifest, ArtifactMediaType: chart, Manifest: text + "    "})
		images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
		if err != nil {
			t.Fatal(err)
		}
		labels, tags := make(map[string]bool), make(map[string]bool)
		for _, image := range images {
			if labels[image.Label()] || len(image.Platform) > 128 || len(image.Listed) > 128 || image.Digest == "" {
				t.Errorf("%+v", image)
			}
			labels[image.Label()], tags[image.Tag] = true, true
		}
		if len(tags) != 2 || len(images) > 102 {
			t.Errorf("%d images of the tags %v", len(images), tags)
		}
	})
}

// checkNames pushes an index of runnable images, each with another finding, and compares the images with those that are listed.
func checkNames(t *testing.T, entries []entry) {
	t.Helper()
	e, c := newInProcess()
	want := make(map[string]bool)
	for _, entry := range entries {
		if platform := fmt.Sprint(entry["platform"]); !strings.Contains(platform, "architecture:unknown ") || !strings.Contains(platform, "os:unknown ") {
			want[entry["digest"].(string)] = true
		}
	}
	e.PutImage(id, ecr.Image{Tags: []string{"t"}, MediaType: ecr.OCIIndex, Manifest: manifestOf(entries...)})
	images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
	if err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 {
		if lines := imageLines(images); !slices.Equal(lines, []string{"t not an image"}) {
			t.Error(lines)
		}
		return
	}
	got, labels := make(map[string]bool), make(map[string]bool)
	for _, image := range images {
		got[image.Digest] = true
		if labels[image.Label()] || image.Platform == "" || len(image.Platform) > 128 || len(image.Listed) > 128 {
			t.Errorf("label %q, platform %q, listed %q", image.Label(), image.Platform, image.Listed)
		}
		labels[image.Label()] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}
