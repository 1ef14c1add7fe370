package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecr-continuous-scan/internal/scan"
)

// entryOf returns a listed image. text is "digest platform version", or "digest" for an image without an index; the
// platform "-" is an image of an index without a platform. "!digest" is an index that can't be read, "chart" an
// artifact, and "archived" an archived tag.
func entryOf(text string) scan.Image {
	digest, platform, inIndex := strings.Cut(text, " ")
	i := scan.Image{Tag: "v1", Digest: digest}
	switch {
	case strings.HasPrefix(digest, "!"):
		i.Kind, i.Err = scan.Index, &scan.Error{Code: scan.NotScannable}
	case strings.HasPrefix(digest, "?"):
		i.Kind, i.Err = scan.Index, &scan.Error{Code: scan.Unavailable}
	case digest == "chart":
		i.Kind = scan.Artifact
	case digest == "archived":
		i.Kind = scan.Archived
	case platform == "-":
		i.Index, i.Platform = "index", "no platform"
	case inIndex:
		i.Index, i.Platform = "index", platform
		i.Listed = scan.NormalizePlatform(platform)
		i.Platform, _, _ = strings.Cut(platform, " ")
	}
	return i
}

// listingOf returns a listing of the tag v1 with the default labels of the registry: the platform, and its version or
// a number if there are several.
func listingOf(entries ...string) []scan.Image {
	images := make([]scan.Image, 0, len(entries))
	count := make(map[string]int)
	for _, text := range entries {
		i := entryOf(text)
		count[i.Platform]++
		images = append(images, i)
	}
	used := make(map[string]int)
	for k := range images {
		i := &images[k]
		if i.Index == "" || count[i.Platform] < 2 {
			continue
		}
		if _, version, ok := strings.Cut(i.Listed, " "); ok {
			parts := strings.Split(version, ".")
			i.Platform += " " + strings.Join(parts[:min(len(parts), 3)], ".")
		}
		if used[i.Platform]++; used[i.Platform] > 1 || !strings.Contains(i.Platform, " ") {
			i.Platform += fmt.Sprintf(" #%d", used[i.Platform])
		}
	}
	return images
}

// take records a listing as package refresh does. It returns the labels of the images by digest. Images that exist
// get a completed scan.
func take(r *Record, now Stamp, images []scan.Image) map[string]string {
	labels, listed := make(map[string]string), make(map[string]bool)
	for _, i := range r.Identify(images) {
		labels[i.Digest], listed[i.Label()] = i.Platform, true
		r.UpdateImage(i, false, now)
	}
	for label, i := range r.Images {
		if !listed[label] {
			r.SetImageMissing(label, images, now)
		} else if i.Kind == scan.PlainImage {
			next := *i
			next.Scan, next.History = Scan{Digest: i.Digest, Completed: now}, "h"
			r.Put(next)
		}
	}
	return labels
}

func TestImagesKeepTheirLabels(t *testing.T) {
	type labels = map[string]string
	type listing struct {
		entries []string
		want    labels
	}
	list := func(want labels, entries ...string) listing { return listing{entries, want} }
	for name, listings := range map[string][]listing{
		"spelling": {
			list(labels{"a": "linux/arm64"}, "a linux/arm64"),
			list(labels{"b": "linux/arm64"}, "b linux/arm64/v8"),
			list(labels{"b": "linux/arm64", "c": "linux/amd64/v1"}, "b linux/arm64", "c linux/amd64/v1"),
			list(labels{"d": "linux/arm64", "e": "linux/amd64/v1"}, "d linux/aarch64", "e linux/amd64"),
		},
		"arm": {
			list(labels{"a": "linux/arm", "b": "linux/arm/v6"}, "a linux/arm", "b linux/arm/v6"),
			list(labels{"c": "linux/arm", "d": "linux/arm/v6"}, "d linux/arm/v6", "c linux/arm/v7"),
		},
		"plain and index": {
			list(labels{"a": ""}, "a"),
			list(labels{"b": ""}, "b linux/amd64"),
			list(labels{"c": ""}, "c"),
			list(labels{"d": ""}, "d linux/amd64/v1"),
		},
		"index of one and plain": {
			list(labels{"a": "linux/amd64"}, "a linux/amd64"),
			list(labels{"b": "linux/amd64"}, "b"),
			list(labels{"c": "linux/amd64"}, "c linux/amd64"),
		},
		"plain becomes an index of two": {
			list(labels{"a": ""}, "a"),
			list(labels{"a": "", "b": "linux/arm64"}, "a linux/amd64", "b linux/arm64"),
			list(labels{"c": "", "d": "linux/arm64"}, "c linux/amd64", "d linux/arm64"),
			list(labels{"c": ""}, "c"),
			list(labels{"e": ""}, "e"),
		},
		"plain becomes an index of two others": {
			list(labels{"a": ""}, "a"),
			list(labels{"b": "linux/amd64", "c": "linux/arm64"}, "b linux/amd64", "c linux/arm64"),
			list(labels{"d": ""}, "d"),
		},
		"platform later": {
			list(labels{"a": "no platform", "b": "linux/arm64"}, "a -", "b linux/arm64"),
			list(labels{"a": "no platform", "c": "linux/arm64"}, "a linux/amd64", "c linux/arm64"),
			list(labels{"d": "no platform", "e": "linux/arm64"}, "d linux/amd64", "e linux/arm64"),
		},
		"platform later with another digest": {
			list(labels{"a": "no platform", "b": "linux/arm64"}, "a -", "b linux/arm64"),
			list(labels{"d": "no platform", "e": "linux/arm64"}, "d linux/amd64", "e linux/arm64"),
		},
		"another architecture is another image": {
			list(labels{"a": "linux/amd64", "b": "linux/arm64"}, "a linux/amd64", "b linux/arm64"),
			list(labels{"a": "linux/amd64", "c": "linux/s390x"}, "a linux/amd64", "c linux/s390x"),
			list(labels{"d": "linux/amd64", "e": "linux/arm64"}, "d linux/amd64", "e linux/arm64"),
		},
		"an only image of another architecture": {
			list(labels{"a": "linux/amd64"}, "a linux/amd64"),
			list(labels{"b": "linux/arm64"}, "b linux/arm64"),
		},
		"dropped and back": {
			list(labels{"a": "linux/amd64", "b": "linux/arm64"}, "a linux/amd64", "b linux/arm64"),
			list(labels{"c": "linux/amd64"}, "c linux/amd64"),
			list(labels{"d": "linux/amd64", "e": "linux/arm64"}, "d linux/amd64", "e linux/arm64/v8"),
		},
		"equal platforms change places": {
			list(labels{"a": "linux/amd64 #1", "b": "linux/amd64 #2"}, "a linux/amd64", "b linux/amd64"),
			list(labels{"a": "linux/amd64 #1", "b": "linux/amd64 #2"}, "b linux/amd64", "a linux/amd64"),
			list(labels{"a": "linux/amd64 #1", "c": "linux/amd64 #2"}, "c linux/amd64", "a linux/amd64"),
			list(labels{"d": "linux/amd64 #1 d", "e": "linux/amd64 #2 e"}, "d linux/amd64", "e linux/amd64"),
			list(labels{"d": "linux/amd64 #1 d"}, "d linux/amd64"),
			list(labels{"f": "linux/amd64 #1 d"}, "f linux/amd64"),
		},
		"one digest listed twice": {
			list(labels{"a": "linux/arm64/v8"}, "a linux/arm64", "a linux/arm64/v8"),
			list(labels{"a": "linux/arm64/v8", "b": "linux/amd64"}, "a linux/arm64", "a linux/arm64/v8", "b linux/amd64"),
		},
		"Windows builds": {
			list(labels{"a": "windows/amd64"}, "a windows/amd64 10.0.17763.5329"),
			list(labels{"b": "windows/amd64", "c": "windows/amd64 10.0.20348"}, "b windows/amd64 10.0.17763.5458", "c windows/amd64 10.0.20348.2402"),
			list(labels{"c": "windows/amd64 10.0.20348", "d": "windows/amd64"}, "c windows/amd64 10.0.20348.2402", "d windows/amd64 10.0.17763.5696"),
			list(labels{"e": "windows/amd64 10.0.20348"}, "e windows/amd64 10.0.20348.2500"),
			list(labels{"f": "windows/amd64 10.0.20348", "g": "windows/amd64"}, "f windows/amd64 10.0.20348.2500", "g windows/amd64 10.0.17763.5700"),
		},
		"another Windows build after one was dropped": {
			list(labels{"a": "windows/amd64 10.0.17763", "b": "windows/amd64 10.0.20348"}, "a windows/amd64 10.0.17763.1", "b windows/amd64 10.0.20348.1"),
			list(labels{"c": "windows/amd64 10.0.17763"}, "c windows/amd64 10.0.17763.2"),
			list(labels{"c": "windows/amd64 10.0.17763", "d": "windows/amd64 10.0.26100"}, "c windows/amd64 10.0.17763.2", "d windows/amd64 10.0.26100.1"),
		},
		"a platform was dropped before the tag was deleted and pushed again": {
			list(labels{"a": "linux/amd64", "b": "linux/arm64"}, "a linux/amd64", "b linux/arm64"),
			list(labels{"c": "linux/arm64"}, "c linux/arm64"),
			list(labels{}),
			list(labels{"d": "linux/arm64"}, "d"),
		},
		"another Windows build instead of one of two": { // a label with a build is only for this build
			list(labels{"a": "windows/amd64 10.0.17763", "b": "windows/amd64 10.0.20348"}, "a windows/amd64 10.0.17763.1", "b windows/amd64 10.0.20348.1"),
			list(labels{"c": "windows/amd64 10.0.26100", "d": "windows/amd64 10.0.20348"}, "c windows/amd64 10.0.26100.1", "d windows/amd64 10.0.20348.2"),
			list(labels{"e": "windows/amd64 10.0.17763", "f": "windows/amd64 10.0.20348"}, "e windows/amd64 10.0.17763.3", "f windows/amd64 10.0.20348.3"),
			list(labels{"f": "windows/amd64 10.0.20348"}, "f windows/amd64 10.0.20348.3"),
			list(labels{"g": "windows/amd64"}, "g windows/amd64 10.0.27000.1"),
		},
		"another Windows build instead of the only one": {
			list(labels{"a": "windows/amd64", "b": "linux/amd64"}, "a windows/amd64 10.0.17763.1", "b linux/amd64"),
			list(labels{"c": "windows/amd64", "d": "linux/amd64"}, "c windows/amd64 10.0.20348.1", "d linux/amd64"),
		},
		"one digest with another Windows build": {
			list(labels{"a": "windows/amd64 10.0.17763", "b": "windows/amd64 10.0.20348"}, "a windows/amd64 10.0.17763.1", "b windows/amd64 10.0.20348.1"),
			list(labels{"a": "windows/amd64 10.0.17763", "c": "windows/amd64 10.0.20348"}, "a windows/amd64 10.0.26100.1", "c windows/amd64 10.0.20348.2"),
		},
		"another variant after one was dropped": {
			list(labels{"a": "linux/amd64", "b": "linux/arm/v7"}, "a linux/amd64", "b linux/arm/v7"),
			list(labels{"c": "linux/amd64"}, "c linux/amd64"),
			list(labels{"c": "linux/amd64", "d": "linux/arm/v6"}, "c linux/amd64", "d linux/arm/v6"),
		},
		"two updates of one Windows build": {
			list(labels{"a": "windows/amd64"}, "a windows/amd64 10.0.17763.5329"),
			list(labels{"a": "windows/amd64", "b": "windows/amd64 10.0.17763 #2"}, "a windows/amd64 10.0.17763.5329", "b windows/amd64 10.0.17763.5458"),
			list(labels{"c": "windows/amd64", "d": "windows/amd64 10.0.17763 #2"}, "d windows/amd64 10.0.17763.5458", "c windows/amd64 10.0.17763.5329"),
			list(labels{"e": "windows/amd64", "d": "windows/amd64 10.0.17763 #2"}, "e windows/amd64 10.0.17763.5696", "d windows/amd64 10.0.17763.5458"),
		},
		"tag deleted and pushed again": {
			list(labels{"a": "linux/amd64 #1", "b": "linux/amd64 #2", "c": "linux/arm64"}, "a linux/amd64", "b linux/amd64", "c linux/arm64"),
			list(labels{}),
			list(labels{"a": "linux/amd64 #1", "b": "linux/amd64 #2", "d": "linux/arm64"}, "b linux/amd64", "a linux/amd64", "d linux/arm64/v8"),
		},
		"only image deleted and pushed again in an index": {
			list(labels{"a": ""}, "a"),
			list(labels{}),
			list(labels{"b": ""}, "b linux/amd64"),
		},
		"an index that can't be read": {
			list(labels{"a": "linux/amd64", "b": "linux/arm64"}, "a linux/amd64", "b linux/arm64"),
			list(labels{"!i": ""}, "!i"),
			list(labels{"c": "linux/amd64", "d": "linux/arm64"}, "c linux/amd64", "d linux/arm64"),
			list(labels{"e": "linux/amd64", "!j": ""}, "e linux/amd64", "!j"),
			list(labels{"e": "linux/amd64", "f": "linux/arm64"}, "e linux/amd64", "f linux/arm64"),
		},
		"an index that can't be read completely hides no image": {
			list(labels{"a": ""}, "a"),
			list(labels{"b": "linux/amd64", "!i": "image index"}, "b linux/amd64", "!i"),
			list(labels{"a": "linux/amd64", "!i": "image index"}, "a linux/amd64", "!i"),
			list(labels{"c": "linux/amd64"}, "c"),
		},
		"a plain tag becomes an index that can't be read": {
			list(labels{"a": ""}, "a"),
			list(labels{"!i": ""}, "!i"),
			list(labels{"b": ""}, "b linux/amd64"),
		},
		"archived": {
			list(labels{"a": "linux/amd64"}, "a linux/amd64"),
			list(labels{"archived": "linux/amd64"}, "archived"),
			list(labels{"b": "linux/amd64"}, "b linux/amd64"),
		},
		"archived index of two": {
			list(labels{"a": "linux/amd64", "b": "linux/arm64"}, "a linux/amd64", "b linux/arm64"),
			list(labels{"archived": ""}, "archived"),
			list(labels{"a": "linux/amd64", "b": "linux/arm64"}, "a linux/amd64", "b linux/arm64"),
		},
		"artifact": {
			list(labels{"a": "linux/amd64"}, "a linux/amd64"),
			list(labels{"chart": ""}, "chart"),
			list(labels{"b": "linux/amd64"}, "b linux/amd64"),
		},
	} {
		var r Record
		for n, l := range listings {
			got := take(&r, Stamp(1000*(n+1)), listingOf(l.entries...))
			if diff := cmp.Diff(l.want, got); diff != "" {
				t.Errorf("%s, listing %d %q (-want +got):\n%s", name, n, l.entries, diff)
			}
		}
	}
}

// Records of earlier versions have only the labels of the platforms.
func TestLabelsOfEarlierVersions(t *testing.T) {
	recorded := func(platform, digest string) ImageRecord {
		return ImageRecord{Tag: "v1", Platform: platform, Digest: digest, First: 1, Scan: Scan{Digest: digest, Completed: 1}, History: "h"}
	}
	for _, test := range []struct {
		known []ImageRecord
		list  []string
		want  map[string]string
	}{
		{[]ImageRecord{recorded("linux/arm64/v8", "a")}, []string{"b linux/arm64"}, map[string]string{"b": "linux/arm64/v8"}},
		{
			[]ImageRecord{recorded("linux/amd64 #1", "a"), recorded("linux/amd64 #2", "b")}, []string{"b linux/amd64", "c linux/amd64"},
			map[string]string{"b": "linux/amd64 #2", "c": "linux/amd64 #1"},
		},
		{
			[]ImageRecord{recorded("windows/amd64 10.0.17763", "a"), recorded("windows/amd64 10.0.20348", "b")},
			[]string{"c windows/amd64 10.0.20348.1", "d windows/amd64 10.0.17763.1"},
			map[string]string{"c": "windows/amd64 10.0.20348", "d": "windows/amd64 10.0.17763"},
		},
		{ // a tag that was plain and then an index of one image
			[]ImageRecord{{Tag: "v1", Kind: scan.Missing, MissingSince: 5, Scan: Scan{Digest: "a", Completed: 1}, History: "h"}, recorded("linux/amd64", "b")},
			[]string{"c"}, map[string]string{"c": "linux/amd64"},
		},
	} {
		r := recordOf(test.known...)
		if diff := cmp.Diff(test.want, take(&r, 1000, listingOf(test.list...))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.list, diff)
		}
	}
}

// Random listings: each listed image has one label, no two have the same, the order does not matter, an image whose
// digest and platform stay keeps its label, and what can't be scanned takes no label of an image.
func FuzzIdentify(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed)
	}
	entries := []string{
		"linux/amd64", "linux/amd64/v1", "linux/arm64", "linux/arm64/v8", "linux/arm", "linux/arm/v7", "linux/arm/v6", "-",
		"windows/amd64 10.0.17763.1", "windows/amd64 10.0.17763.2", "windows/amd64 10.0.20348.1", "windows/amd64",
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		var r Record
		for n := range 12 {
			var texts []string
			switch random.IntN(8) {
			case 0: // deleted
			case 1:
				texts = []string{fmt.Sprint(random.IntN(5))}
			case 2:
				texts = []string{[]string{"chart", "archived", "!index"}[random.IntN(3)]}
			default:
				for d := range 1 + random.IntN(4) {
					texts = append(texts, fmt.Sprintf("%d-%d %s", d, random.IntN(3), entries[random.IntN(len(entries))]))
				}
				if random.IntN(4) == 0 {
					texts = append(texts, "!index")
				}
			}
			images := listingOf(texts...)
			checkListing(t, &r, images, random)
			take(&r, Stamp(1000*(n+1)), images)
		}
	})
}

func checkListing(t *testing.T, r *Record, images []scan.Image, random *rand.Rand) {
	t.Helper()
	identified := r.Identify(images)
	shuffled := slices.Clone(images)
	random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	other := r.Identify(shuffled)
	slices.SortFunc(other, scan.CompareImages)
	sorted := slices.SortedFunc(slices.Values(identified), scan.CompareImages)
	if diff := cmp.Diff(sorted, other, cmp.Comparer(func(a, b error) bool { return a == b }), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("another order (-sorted +shuffled):\n%s", diff)
	}
	labels := make(map[string]bool)
	for k, i := range identified {
		if labels[i.Label()] {
			t.Fatalf("two images have the label %q: %+v", i.Label(), identified)
		}
		labels[i.Label()] = true
		known, ok := r.Images[i.Label()]
		if ok && len(r.Images) > 1 && i.Kind == scan.Artifact && known.Kind == scan.Missing && known.Scan.Completed > 0 {
			t.Fatalf("an artifact took the label %q of a missing image", i.Label())
		}
		isSame := func(b scan.Image) bool { return b.Digest == i.Digest && b.Kind == i.Kind }
		if i.Kind != scan.PlainImage || len(identified) != len(slices.DeleteFunc(slices.Clone(identified), isSame))+1 {
			continue
		}
		var same []*ImageRecord
		for _, one := range r.Images {
			if one.Digest == i.Digest && one.Kind == scan.PlainImage {
				same = append(same, one)
			}
		}
		if len(same) == 1 && same[0].platform() == images[k].Listed && same[0].Platform != i.Platform && len(identified) > 1 {
			t.Fatalf("%+v was %q and is %q", images[k], same[0].Platform, i.Platform)
		}
	}
}
