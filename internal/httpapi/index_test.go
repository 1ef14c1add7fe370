package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/render"
)

const sociIndex = "application/vnd.amazon.soci.index.v2+json"

// indexCase is an index and what the gate says about it. want has the failures by image and reason; without failures the gate
// passes.
type indexCase struct {
	entries   []ecr.Child
	want      []string
	images    int
	artifacts int
}

func indexCases(clean, bad, soci, spdx, nested string) map[string]indexCase {
	const critical = ": above max"
	return map[string]indexCase{
		"SOCI": {
			[]ecr.Child{{Digest: clean, OS: "linux", Arch: "amd64"}, {Digest: soci, OS: "linux", Arch: "amd64", ArtifactType: sociIndex}}, nil, 1, 1,
		},
		"SOCI's type on a real image": {
			[]ecr.Child{{Digest: clean, OS: "linux", Arch: "amd64"}, {Digest: bad, OS: "linux", Arch: "arm64", ArtifactType: sociIndex}},
			[]string{"team/app:t (linux/arm64)" + critical}, 2, 0,
		},
		"SOCI's type on a real image of the same platform": {
			[]ecr.Child{{Digest: clean, OS: "linux", Arch: "amd64"}, {Digest: bad, OS: "linux", Arch: "amd64", ArtifactType: sociIndex}},
			[]string{"team/app:t (linux/amd64 " + bad[7:19] + ")" + critical}, 2, 0,
		},
		"a nested index": {
			[]ecr.Child{{Digest: clean}, {Digest: nested, MediaType: ecr.OCIIndex}}, []string{"team/app:t (linux/arm64)" + critical}, 2, 0,
		},
		"an SBOM": {
			[]ecr.Child{{Digest: clean, OS: "linux", Arch: "amd64"}, {Digest: spdx, ArtifactType: "application/spdx+json"}}, nil, 1, 1,
		},
		"a real platform that says it is an attestation": {
			[]ecr.Child{
				{Digest: bad, OS: "linux", Arch: "amd64", Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"}},
				{Digest: clean, OS: "linux", Arch: "arm64"},
			}, []string{"team/app:t (linux/amd64)" + critical}, 2, 0,
		},
		"two names of 128 equal bytes": {
			[]ecr.Child{{Digest: clean, OS: "linux", Arch: strings.Repeat("x", 130) + "1"}, {Digest: bad, OS: "linux", Arch: strings.Repeat("x", 130) + "2"}},
			[]string{"team/app:t (linux/" + strings.Repeat("x", 109) + " " + bad[7:19] + ")" + critical}, 2, 0,
		},
		"no platform and an index that can't be read": {
			[]ecr.Child{{Digest: clean}, {Digest: ecr.DigestOf("missing"), MediaType: ecr.OCIIndex}}, []string{"team/app:t: not scanned"}, 2, 0,
		},
		"an artifact's type on an image that is missing": {
			[]ecr.Child{{Digest: clean, OS: "linux", Arch: "amd64"}, {Digest: ecr.DigestOf("missing"), OS: "linux", Arch: "arm64", ArtifactType: sociIndex}},
			[]string{"team/app:t (linux/arm64): not scanned"}, 2, 0,
		},
	}
}

// The gate never passes an index without one of its images, and what is left out is counted. It is the same before a visit and
// after it.
func TestGateOfIndexes(t *testing.T) {
	a, h := start(t)
	repo := ecr.RepositoryID{Name: "team/app"}
	scanned := time.Now().Add(-time.Hour)
	clean := a.ECR.PutImage(repo, ecr.Image{ScannedAt: scanned})
	bad := a.ECR.PutImage(repo, ecr.Image{ScannedAt: scanned, Findings: []ecr.Finding{{Name: "CVE-1", Severity: "CRITICAL"}}})
	soci := a.ECR.PutImage(repo, ecr.Image{MediaType: ecr.OCIManifest, ArtifactMediaType: sociIndex})
	spdx := a.ECR.PutImage(repo, ecr.Image{MediaType: ecr.OCIManifest, ArtifactMediaType: "application/spdx+json", ConfigMediaType: "application/vnd.oci.empty.v1+json"})
	nested := a.ECR.PutImage(repo, ecr.Image{Children: []ecr.Child{{Digest: bad, OS: "linux", Arch: "arm64"}}})
	for name, test := range indexCases(clean, bad, soci, spdx, nested) {
		t.Run(name, func(t *testing.T) {
			a.ECR.PutImage(repo, ecr.Image{Tags: []string{"t"}, Children: test.entries})
			id := add(t, h, "team/app")
			for range 2 {
				checkGateOfIndex(t, h, id, test)
				checkArtifacts(t, h, id, test)
				h.visit(t)
			}
			call(h, "DELETE", "/configs/"+id, "", "")
			h.visit(t) // deletes the record
		})
	}
}

func checkGateOfIndex(t *testing.T, h http.Handler, id string, test indexCase) {
	t.Helper()
	got := call(h, "GET", "/gate/"+id+"?max=HIGH", "", "")
	if len(test.want) == 0 {
		var pass render.GatePass
		if err := json.Unmarshal([]byte(got.body), &pass); err != nil || got.status != 200 || pass.Images != test.images {
			t.Errorf("%d %s, %v", got.status, got.body, err)
		}
		return
	}
	checkProblem(t, got, 409)
	var p struct{ Reasons []render.GateReason }
	if err := json.Unmarshal([]byte(got.body), &p); err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, r := range p.Reasons {
		reasons = append(reasons, r.Image+": "+r.Reason)
	}
	if diff := cmp.Diff(test.want, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// checkArtifacts checks that JSON and the page say how much is left out.
func checkArtifacts(t *testing.T, h http.Handler, id string, test indexCase) {
	t.Helper()
	var summary struct {
		Configs []struct {
			ID        string
			Artifacts int
			Images    []struct{ Platform string }
		}
	}
	got := call(h, "GET", "/summary?format=json", "", "")
	if err := json.Unmarshal([]byte(got.body), &summary); err != nil {
		t.Fatal(err)
	}
	for _, config := range summary.Configs {
		if config.ID == id && (config.Artifacts != test.artifacts || len(config.Images) != test.images) {
			t.Errorf("%d artifacts and %d images, want %d and %d", config.Artifacts, len(config.Images), test.artifacts, test.images)
		}
	}
	page := call(h, "GET", "/summary?format=html", "", "").body
	if says := strings.Contains(page, "1 non-image artifact hidden"); says != (test.artifacts == 1) {
		t.Errorf("the page says that an artifact is hidden: %v", says)
	}
}

// The summary as JSON, its page and feeds say how many untagged images a config without tags does not watch, before a visit and
// after it. The text summary does not.
func TestUntaggedImagesAreSaid(t *testing.T) {
	const words = "412 untagged images are not watched"
	for _, n := range []int{0, 412} {
		a, h := start(t)
		repo := ecr.RepositoryID{Name: "team/app"}
		a.ECR.PutImage(repo, ecr.Image{Tags: []string{"v1"}, ScannedAt: time.Now().Add(-time.Hour)})
		for range n {
			a.ECR.PutImage(repo, ecr.Image{})
		}
		all, some := add(t, h, "team/app"), add(t, h, "team/app", "v1")
		for range 2 {
			if got := call(h, "GET", "/summary?format=json", "", "").body; strings.Count(got, fmt.Sprintf(`"notWatched": %d,`, n)) != 1 {
				t.Errorf("JSON does not say once that %d images are not watched: %s", n, got)
			}
			for path, want := range map[string]bool{
				"/summary?format=html": true, "/findings/" + all: true, "/findings/all": true, "/findings/" + all + "?format=json": true,
				"/summary": false, "/findings/" + some: false,
			} {
				if got := call(h, "GET", path, "", ""); got.status != 200 || strings.Contains(got.body, words) != (want && n > 0) {
					t.Errorf("%s with %d images that are not watched: %d %s", path, n, got.status, got.body)
				}
			}
			h.visit(t)
		}
	}
}
