package httpapi_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
)

// platformImage is an image that an index of the tests lists. Without a platform it is a plain image under the tag.
type platformImage struct {
	platform string // os/architecture/variant version
	findings []ecr.Finding
}

// pushImages pushes to the tag v1: a plain image, or an index of several. Each image was scanned a minute ago.
func (s *timeline) pushImages(images ...platformImage) (digests []string) {
	s.Helper()
	var children []ecr.Child
	for _, i := range images {
		pushed := ecr.Image{ScannedAt: s.aws.Now().Add(-time.Minute), Findings: i.findings}
		if i.platform == "" {
			pushed.Tags = []string{"v1"}
			return []string{s.aws.ECR.PutImage(appRepository, pushed)}
		}
		name, version, _ := strings.Cut(i.platform, " ")
		parts := append(strings.Split(name, "/"), "")
		digest := s.aws.ECR.PutImage(appRepository, pushed)
		children = append(children, ecr.Child{Digest: digest, OS: parts[0], Arch: parts[1], Variant: parts[2], OSVersion: version})
		digests = append(digests, digest)
	}
	s.pushIndex(children)
	return digests
}

func (s *timeline) pushIndex(children []ecr.Child) {
	attestation := ecr.Child{Digest: "sha256:" + strings.Repeat("a", 64), OS: "unknown", Arch: "unknown"}
	s.aws.ECR.PutImage(appRepository, ecr.Image{Tags: []string{"v1"}, MediaType: ecr.OCIIndex, Children: append(children, attestation)})
}

// startIndex is like startTimeline, but for images that the test pushes.
func startIndex(t *testing.T, images ...platformImage) *timeline {
	a, h := start(t)
	a.ECR.InjectFault(awslocal.Fault{Operation: "StartImageScan", Code: "LimitExceededException", Message: "The scan quota of the registry has been exceeded."})
	a.ECR.PutRepository(appRepository, ecr.Repository{})
	s := &timeline{t, a, h, add(t, h, "team/app")}
	s.pushImages(images...)
	s.api.visit(t)
	return s
}

// idsByTitle returns the ids of the entries of the feed of findings.
func (s *timeline) idsByTitle() map[string]string {
	s.Helper()
	ids := make(map[string]string)
	for _, e := range s.feed("").Entries {
		_, title, _ := strings.Cut(e.Title, "found ")
		ids[title] = e.ID
	}
	return ids
}

// Images keep the ids of their findings, and changes are those of the same image. A request that comes before the
// visit gives the same ids.
func TestImagesOfAnIndexOverTime(t *testing.T) {
	a, b, c := vulnerability("CVE-A", "HIGH"), vulnerability("CVE-B", "LOW"), vulnerability("CVE-C", "CRITICAL")
	of := func(platform string, findings ...ecr.Finding) platformImage { return platformImage{platform, findings} }
	type listing = []platformImage
	const windows = "windows/amd64 10.0."
	for name, test := range map[string]struct {
		pushed listing
		later  []listing
		want   []string // the changes, without the repository
	}{
		"spelling": {
			listing{of("linux/arm64", a, b)}, []listing{{of("linux/arm64/v8", a, c)}},
			[]string{"[NEW] [CRITICAL] (linux/arm64) found CVE-C", "[FIXED] [LOW] (linux/arm64): CVE-B is no longer found"},
		},
		"plain, index, plain": {
			listing{of("", a)}, []listing{{of("linux/amd64", a, c)}, {of("", a, c)}}, []string{"[NEW] [CRITICAL] found CVE-C"},
		},
		"a Windows build is added": {
			listing{of(windows+"17763.5329", a)}, []listing{{of(windows+"17763.5458", a, b), of(windows+"20348.2402", a, c)}},
			[]string{"[NEW] [LOW] (windows/amd64) found CVE-B"},
		},
		"a platform later": {
			listing{of("/", a), of("linux/arm64")}, []listing{{of("linux/amd64", a, c), of("linux/arm64")}},
			[]string{"[NEW] [CRITICAL] found CVE-C"},
		},
		"a platform is dropped": {
			listing{of("linux/amd64", a), of("linux/arm64", b)}, []listing{{of("linux/amd64", a)}},
			[]string{"[PLATFORM GONE] the tag no longer has image team/app:v1 (linux/arm64)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startIndex(t, test.pushed...)
			for _, images := range test.later {
				before := s.idsByTitle()
				s.aws.Advance(25 * time.Hour)
				s.pushImages(images...)
				read := s.idsByTitle()
				s.api.visit(t)
				after := s.idsByTitle()
				if before["CVE-A"] == "" || before["CVE-A"] != after["CVE-A"] {
					t.Errorf("CVE-A was %s and is %s", before["CVE-A"], after["CVE-A"])
				}
				if diff := cmp.Diff(read, after); diff != "" {
					t.Errorf("ids before the visit and after it (-before +after):\n%s", diff)
				}
			}
			got := titles(s.feed("/changes"))
			for i := range got {
				got[i] = strings.Replace(got[i], "(no platform) ", "", 1)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

// The digests distinguish images of equal platform, in any order. If the digests change too, they are
// new.
func TestImagesOfEqualPlatformChangePlaces(t *testing.T) {
	s := startIndex(t)
	image := func(findings ...ecr.Finding) ecr.Child {
		digest := s.aws.ECR.PutImage(appRepository, ecr.Image{ScannedAt: s.aws.Now().Add(-time.Minute), Findings: findings})
		return ecr.Child{Digest: digest, OS: "linux", Arch: "amd64"}
	}
	push := func(children ...ecr.Child) map[string]string {
		s.pushIndex(children)
		s.later(time.Hour)
		return s.idsByTitle()
	}
	first, second := image(vulnerability("CVE-A", "HIGH")), image(vulnerability("CVE-B", "LOW"))
	before := push(first, second)
	if diff := cmp.Diff(before, push(second, first)); diff != "" || len(before) != 2 {
		t.Errorf("changed places (-before +after):\n%s", diff)
	}
	s.want("/changes")
	push(image(vulnerability("CVE-A", "HIGH"), vulnerability("CVE-C", "CRITICAL")), image(vulnerability("CVE-B", "LOW")))
	if got := titles(s.feed("/changes")); len(got) != 2 || slices.ContainsFunc(got, func(title string) bool { return !strings.HasPrefix(title, "[PLATFORM GONE]") }) {
		t.Errorf("new digests: %q", got)
	}
}

// What was never scanned or never existed is no change: an archived image, artifacts, a nested index, a tag and a
// repository with a spelling error, also when the repository is created later.
func TestWhatNeverWasIsNoChange(t *testing.T) {
	a, h := start(t)
	add(t, h, "test/hardcases")
	add(t, h, "test/hardcases", "archived", "mistyped")
	id := add(t, h, "team/mistyped")
	for range 8 {
		h.visit(t)
		for _, title := range titles(feed(t, h, "/changes")) {
			if !strings.Contains(title, "hardcases:failed") && !strings.Contains(title, "hardcases:unsupported") {
				t.Errorf("on %s: %s", a.Now(), title)
			}
		}
		a.Advance(12*time.Hour + time.Minute) // so that every second visit is more than 24 hours after the last scan, also on a slow machine
	}
	if got := call(h, "GET", "/summary?repository=team/mistyped", "", "").body; !strings.Contains(got, "REPOSITORY NOT FOUND") {
		t.Errorf("summary %q", got)
	}
	a.ECR.PutRepository(ecr.RepositoryID{Name: "team/mistyped"}, ecr.Repository{})
	h.visit(t)
	if got := titles(feed(t, h, "/findings/"+id+"/changes")); len(got) != 0 {
		t.Errorf("a repository that was created later: %q", got)
	}
}

// An index that can't be read just now is no change, also if the tag pointed to another index before.
func TestANewIndexThatCannotBeReadJustNow(t *testing.T) {
	a, c := vulnerability("CVE-A", "HIGH"), vulnerability("CVE-C", "CRITICAL")
	s := startIndex(t, platformImage{"linux/amd64", []ecr.Finding{a}}, platformImage{"linux/arm64", nil})
	s.aws.Advance(25 * time.Hour)
	s.pushImages(platformImage{"linux/amd64", []ecr.Finding{a, c}}, platformImage{"linux/arm64", nil})
	undo := s.aws.ECR.InjectFault(awslocal.Fault{Operation: "BatchGetImage", Code: "ServerException"})
	s.api.visit(t)
	undo()
	s.later(time.Hour)
	s.want("/changes", "[NEW] [CRITICAL] (linux/amd64) found CVE-C")
}
