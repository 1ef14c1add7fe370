package scan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/scan"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// pushed returns an image that was pushed some days ago. The digest is made of the text.
func pushed(tag, digest string, days float64) scan.Image {
	return scan.Image{Tag: tag, Digest: "sha256:" + digest, PushedAt: now.Add(-time.Duration(days * float64(day)))}
}

func change(i scan.Image, change func(*scan.Image)) scan.Image {
	change(&i)
	return i
}

// select one tag of each fate for each rule of the selection.
func TestSelect(t *testing.T) {
	platform := func(i scan.Image, name string) scan.Image {
		return change(i, func(i *scan.Image) { i.Index, i.Digest, i.Platform = i.Digest, i.Digest+name, name })
	}
	kind := func(i scan.Image, k scan.Kind) scan.Image { return change(i, func(i *scan.Image) { i.Kind = k }) }
	pulled := func(i scan.Image, days float64) scan.Image {
		return change(i, func(i *scan.Image) { i.LastPulled = now.Add(-time.Duration(days * float64(day))) })
	}
	running := func(i scan.Image, days float64) scan.Image {
		return change(i, func(i *scan.Image) { i.LastInUse = now.Add(-time.Duration(days * float64(day))) })
	}
	three := []scan.Image{pushed("a", "1", 3), pushed("b", "2", 2), pushed("c", "3", 1)}
	type selected struct {
		Watched       string
		Older, Unused int
	}
	for name, tt := range map[string]struct {
		config scan.Config
		images []scan.Image
		want   selected
	}{
		"all":                         {scan.Config{}, three, selected{"a b c", 0, 0}},
		"names":                       {scan.Config{Tags: []string{"a", "x"}}, three, selected{"a", 0, 0}},
		"a pattern":                   {scan.Config{Tags: []string{"v*"}}, []scan.Image{pushed("v1", "1", 3), pushed("V1", "2", 3), pushed("rev", "3", 3)}, selected{"v1", 0, 0}},
		"a name and patterns":         {scan.Config{Tags: []string{"latest", "v*", "*-rc"}}, []scan.Image{pushed("latest", "1", 3), pushed("1-rc", "2", 3), pushed("late", "3", 3), pushed("v", "4", 1)}, selected{"1-rc latest v", 0, 0}},
		"untagged is not all":         {scan.Config{}, []scan.Image{pushed("a", "1", 3), pushed("sha256:2", "2", 3)}, selected{"a", 0, 0}},
		"untagged":                    {scan.Config{Untagged: true}, []scan.Image{pushed("a", "1", 3), pushed("sha256:2", "2", 3)}, selected{"a sha256:2", 0, 0}},
		"untagged and a name":         {scan.Config{Untagged: true, Tags: []string{"b"}}, []scan.Image{pushed("a", "1", 3), pushed("sha256:2", "2", 3)}, selected{"sha256:2", 0, 0}},
		"no pattern matches a digest": {scan.Config{Tags: []string{"*"}}, []scan.Image{pushed("a", "1", 3), pushed("sha256:2", "2", 3)}, selected{"a", 0, 0}},

		"the newest two":         {scan.Config{Newest: 2}, three, selected{"b c", 1, 0}},
		"fewer than the newest":  {scan.Config{Newest: 5}, three, selected{"a b c", 0, 0}},
		"newest of a pattern":    {scan.Config{Newest: 1, Tags: []string{"v*"}}, []scan.Image{pushed("latest", "1", 1), pushed("v2", "2", 2), pushed("v1", "3", 3)}, selected{"v2", 1, 0}},
		"several tags of one":    {scan.Config{Newest: 1}, []scan.Image{pushed("latest", "1", 1), pushed("v2", "1", 1), pushed("v1", "3", 3)}, selected{"latest v2", 1, 0}},
		"one matching tag":       {scan.Config{Newest: 1, Tags: []string{"v*"}}, []scan.Image{pushed("latest", "1", 1), pushed("v2", "1", 1)}, selected{"v2", 0, 0}},
		"an index is one image":  {scan.Config{Newest: 1}, []scan.Image{platform(pushed("m", "1", 1), "amd64"), platform(pushed("m", "1", 1), "arm64"), pushed("old", "2", 2)}, selected{"m", 1, 0}},
		"equal push times":       {scan.Config{Newest: 1}, []scan.Image{pushed("z", "1", 1), pushed("a", "2", 1)}, selected{"z", 1, 0}},
		"artifacts do not count": {scan.Config{Newest: 1}, []scan.Image{pushed("a", "1", 2), kind(pushed("sha256-1.sig", "2", 1), scan.Artifact)}, selected{"a", 0, 0}},
		"a named artifact":       {scan.Config{Newest: 1, Tags: []string{"a", "s"}}, []scan.Image{pushed("a", "1", 2), kind(pushed("s", "2", 1), scan.Artifact)}, selected{"a s", 0, 0}},
		"archived counts":        {scan.Config{Newest: 1}, []scan.Image{pushed("a", "1", 2), kind(pushed("b", "2", 1), scan.Archived)}, selected{"b", 1, 0}},
		"untagged counts":        {scan.Config{Newest: 1, Untagged: true}, []scan.Image{pushed("a", "1", 2), pushed("sha256:2", "2", 1)}, selected{"sha256:2", 1, 0}},
		"an unknown push time":   {scan.Config{Newest: 1}, []scan.Image{{Tag: "a", Digest: "sha256:1"}, pushed("b", "2", 900)}, selected{"b", 1, 0}},

		"used: pushed":            {scan.Config{Used: "2d"}, []scan.Image{pushed("a", "1", 2), pushed("b", "2", 2.01)}, selected{"a", 0, 1}},
		"used: pulled":            {scan.Config{Used: "2d"}, []scan.Image{pulled(pushed("a", "1", 9), 3), pulled(pushed("b", "2", 9), 3.01)}, selected{"a", 0, 1}},
		"used: running":           {scan.Config{Used: "2d"}, []scan.Image{running(pushed("a", "1", 9), 2), running(pushed("b", "2", 9), 2.01)}, selected{"a", 0, 1}},
		"used: a later pull":      {scan.Config{Used: "2d"}, []scan.Image{pulled(running(pushed("a", "1", 9), 8), 1)}, selected{"a", 0, 0}},
		"used: one platform":      {scan.Config{Used: "2d"}, []scan.Image{platform(running(pushed("m", "1", 9), 1), "amd64"), platform(pushed("m", "1", 9), "arm64")}, selected{"m", 0, 0}},
		"used: unknown":           {scan.Config{Used: "365d"}, []scan.Image{{Tag: "a", Digest: "sha256:1"}}, selected{"", 0, 1}},
		"newest first, then used": {scan.Config{Newest: 2, Used: "2d"}, []scan.Image{pushed("a", "1", 1), pushed("b", "2", 5), pulled(pushed("c", "3", 6), 0)}, selected{"a", 1, 1}},

		"missing, it would be among the newest": {scan.Config{Newest: 2}, []scan.Image{pushed("a", "1", 1), kind(pushed("b", "2", 2), scan.Missing), pushed("c", "3", 3)}, selected{"a b c", 0, 0}},
		"missing, it would be too old":          {scan.Config{Newest: 2}, []scan.Image{pushed("a", "1", 1), pushed("b", "2", 2), kind(pushed("c", "3", 3), scan.Missing)}, selected{"a b", 0, 0}},
		"missing, unused":                       {scan.Config{Used: "2d"}, []scan.Image{kind(pushed("a", "1", 1), scan.Missing), kind(pushed("b", "1", 5), scan.Missing)}, selected{"a", 0, 0}},
		"a named tag is missing":                {scan.Config{Newest: 1, Tags: []string{"x", "v*"}}, []scan.Image{kind(scan.Image{Tag: "x"}, scan.Missing), pushed("v1", "1", 1)}, selected{"v1 x", 0, 0}},
		"a platform is missing":                 {scan.Config{Newest: 1}, []scan.Image{platform(pushed("m", "1", 1), "amd64"), kind(platform(pushed("m", "1", 9), "arm64"), scan.Missing)}, selected{"m", 0, 0}},
		"a platform of an old tag is missing":   {scan.Config{Newest: 1}, []scan.Image{pushed("a", "9", 1), platform(pushed("m", "1", 2), "amd64"), kind(platform(pushed("m", "1", 0), "arm64"), scan.Missing)}, selected{"a", 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			s := tt.config.Select(slices.Values(tt.images), now)
			got := selected{Older: s.Older, Unused: s.Unused}
			tags := make(map[string]bool)
			for _, i := range tt.images {
				if s.Watches(i.Tag) {
					tags[i.Tag] = true
				}
			}
			got.Watched = strings.Join(slices.Sorted(maps.Keys(tags)), " ")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A record keeps what a config may watch: also images that nobody uses now, and all named tags.
func TestMayWatch(t *testing.T) {
	c := scan.Config{Tags: []string{"old", "v*"}, Newest: 2, Used: "2d"}
	images := []scan.Image{pushed("v3", "3", 1), pushed("v2", "2", 20), pushed("v1", "1", 30), pushed("old", "0", 40), pushed("x", "9", 0)}
	s := c.Select(slices.Values(images), now)
	for tag, want := range map[string]string{"v3": "true true", "v2": "false true", "v1": "false false", "old": "false true", "x": "false false"} {
		if got := fmt.Sprint(s.Watches(tag), s.MayWatch(tag)); got != want {
			t.Errorf("%s: watched, may be watched: %s, want %s", tag, got, want)
		}
	}
	if want := now.Add(-18 * day); !s.Expired.Equal(want) {
		t.Errorf("the last image expired at %v, want %v", s.Expired, want)
	}
}

func TestByAny(t *testing.T) {
	images := []scan.Image{pushed("v2", "2", 1), pushed("v1", "1", 9), pushed("old", "0", 40), pushed("sha256:5", "5", 2)}
	for want, configs := range map[string][]scan.Config{
		"":                    nil,
		"old":                 {{Tags: []string{"old"}}, {Tags: []string{"x"}}},
		"old v1 v2":           {{}, {Tags: []string{"old"}}},
		"old v2":              {{Tags: []string{"old"}}, {Tags: []string{"v*"}, Newest: 1}},
		"old sha256:5 v1 v2":  {{Untagged: true, Tags: []string{"x"}}, {}},
		"old sha256:5 v1 v2 ": {{Untagged: true, Used: "2d"}, {}},
		"v2":                  {{Used: "2d"}, {Tags: []string{"v*"}, Newest: 1, Used: "9d"}},
		"v1 v2":               {{Tags: []string{"v*"}, Used: "10d"}},
	} {
		var selections []scan.Selection
		for _, c := range configs {
			selections = append(selections, c.Select(slices.Values(images), now))
		}
		watches := scan.ByAny(selections, scan.Selection.Watches)
		var got []string
		for _, i := range images {
			if watches(i.Tag) {
				got = append(got, i.Tag)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != strings.TrimSpace(want) {
			t.Errorf("%v: %q, want %q", configs, got, want)
		}
	}
}

func TestWantedBy(t *testing.T) {
	for _, tt := range []struct {
		configs []scan.Config
		want    scan.Wanted
	}{
		{nil, scan.Wanted{}},
		{[]scan.Config{{}}, scan.Wanted{}},
		{[]scan.Config{{Tags: []string{"b", "a"}}, {Tags: []string{"b", "c"}, Newest: 1, Used: "2d"}}, scan.Wanted{Tags: []string{"a", "b", "c"}}},
		{[]scan.Config{{Tags: []string{"b"}}, {Tags: []string{"a*"}}}, scan.Wanted{}},
		{[]scan.Config{{Tags: []string{"b"}}, {Tags: []string{"a"}, Untagged: true}}, scan.Wanted{Untagged: true}},
		{[]scan.Config{{Tags: []string{"b"}}, {Newest: 3}}, scan.Wanted{}},
	} {
		if diff := cmp.Diff(tt.want, scan.WantedBy(tt.configs)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.configs, diff)
		}
	}
}

func TestSelectionKey(t *testing.T) {
	keys := make(map[string]scan.Config)
	for _, c := range []scan.Config{
		{Tags: []string{"a*"}}, {Tags: []string{"a*", "b"}}, {Newest: 1}, {Newest: 2}, {Untagged: true}, {Untagged: true, Newest: 1}, {Tags: []string{"a"}, Newest: 1}, {Used: "2d"},
	} {
		key := c.SelectionKey()
		if other, exists := keys[key]; key == "" || exists {
			t.Errorf("%v has the key %q of %v", c, key, other)
		}
		keys[key] = c
	}
	same := scan.Config{Tags: []string{"b", "a*"}, Used: "9d", Repository: "x"}
	if same.SelectionKey() != (scan.Config{Tags: []string{"a*", "b"}}).SelectionKey() {
		t.Error("the order of tags, or the use, changes the key")
	}
	if got := (scan.Config{Tags: []string{"a"}}).SelectionKey() + (scan.Config{}).SelectionKey(); got != "" {
		t.Errorf("configs that select nothing have the key %q", got)
	}
}

// For any images, the selection is the same in any order of them, and obeys the rules.
func FuzzSelect(f *testing.F) {
	f.Add("v1 1 3,latest 1 3,v2 2 1,sha256:5 5 2", "v*,latest", uint8(1), uint8(2), true)
	f.Add("a 1 0,b 1 0,c  0,\x00 9 9, 1 1,m i/1 4,m i/2 4,gone - 3", "", uint8(2), uint8(30), false)
	f.Fuzz(func(t *testing.T, listed, tags string, newest, used uint8, untagged bool) {
		if strings.Contains(tags, ":") {
			return // no tag has a colon
		}
		c := scan.Config{Newest: int(newest), Untagged: untagged}
		if tags != "" {
			c.Tags = strings.Split(tags, ",")
		}
		if used > 1 {
			c.Used = fmt.Sprint(used, "d")
		}
		images := parse(listed)
		s := c.Select(slices.Values(images), now)
		slices.Reverse(images)
		reversed := c.Select(slices.Values(images), now)
		if s.Older != reversed.Older || s.Unused != reversed.Unused || !s.Expired.Equal(reversed.Expired) {
			t.Errorf("%d older and %d unused, in another order %d and %d", s.Older, s.Unused, reversed.Older, reversed.Unused)
		}
		digests := make(map[string]bool)
		for _, i := range images {
			if s.Watches(i.Tag) != reversed.Watches(i.Tag) || s.MayWatch(i.Tag) != reversed.MayWatch(i.Tag) || s.Watches(i.Tag) && !s.MayWatch(i.Tag) {
				t.Errorf("%+v is watched: %v, %v", i, s.Watches(i.Tag), reversed.Watches(i.Tag))
			}
			if s.Watches(i.Tag) && i.Kind != scan.Missing {
				digests[cmpOr(i.Index, i.Digest)] = true
			}
			if s.Watches(i.Tag) && scan.IsUntagged(i.Tag) && !untagged {
				t.Errorf("%+v has no tag and is watched", i)
			}
		}
		if newest > 0 && len(digests) > int(newest) && !hasSharedTag(images) {
			t.Errorf("%d images are watched, more than the newest %d", len(digests), newest)
		}
	})
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// hasSharedTag reports whether a tag points to several objects, which ECR never lists.
func hasSharedTag(images []scan.Image) bool {
	of := make(map[string]string)
	for _, i := range images {
		digest := cmpOr(i.Index, i.Digest)
		if other, known := of[i.Tag]; known && other != digest {
			return true
		}
		of[i.Tag] = digest
	}
	return false
}

// parse reads a list of images: tag, digest or index/digest, and the days since the push. The digest - is that of a missing image.
func parse(listed string) []scan.Image {
	var images []scan.Image
	for one := range strings.SplitSeq(listed, ",") {
		var days uint8
		tag, rest, _ := strings.Cut(one, " ")
		digest, number, _ := strings.Cut(rest, " ")
		_, _ = fmt.Sscan(number, &days)
		i := pushed(tag, digest, float64(days))
		if index, platform, ok := strings.Cut(digest, "/"); ok {
			i.Index, i.Platform = index, platform
		}
		if digest == "-" {
			i.Kind = scan.Missing
		}
		images = append(images, i)
	}
	return images
}
