package ecrscan_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/scan"
)

const (
	soci  = "application/vnd.amazon.soci.index.v2+json"
	spdx  = "application/spdx+json"
	chart = "application/vnd.cncf.helm.config.v1+json"
)

// putManifests pushes manifests with these media types of their configs and the digests digestOf(1), digestOf(2) and so on. It
// does not push an empty media type.
func putManifests(e *ecr.ECR, configs ...string) {
	for i, config := range configs {
		if config != "" {
			e.PutImage(id, ecr.Image{Digest: digestOf(i + 1), MediaType: ecr.OCIManifest, ConfigMediaType: config})
		}
	}
}

func noPlatform(i int) entry { return entry{"mediaType": ecr.OCIManifest, "digest": digestOf(i)} }

// An entry of an index is left out only when it is certainly not an image: its platform is unknown/unknown, or its own manifest
// has a config that is not of an image. What the index claims about it does not count.
func TestOnlyWhatIsNoImageIsLeftOut(t *testing.T) {
	for name, test := range map[string]struct {
		configs   []string
		entries   []entry
		want      []string
		artifacts int
	}{
		"SOCI": {
			[]string{ecr.OCIImageConfig, soci}, []entry{linux(1, "amd64"), with(linux(2, "amd64"), "artifactType", soci)}, []string{"t (linux/amd64)"}, 1,
		},
		"SOCI without its type": {
			[]string{ecr.OCIImageConfig, soci}, []entry{linux(1, "amd64"), linux(2, "amd64")}, []string{"t (linux/amd64)"}, 1,
		},
		"SOCI in another spelling": {
			[]string{ecr.OCIImageConfig, soci}, []entry{linux(1, "amd64"), linux(2, "x86_64")}, []string{"t (linux/amd64)"}, 1,
		},
		"SOCI of two platforms": {
			[]string{ecr.OCIImageConfig, ecr.DockerImageConfig, soci, soci},
			[]entry{linux(1, "amd64"), linux(2, "arm64"), with(linux(3, "amd64"), "artifactType", soci), with(linux(4, "arm64"), "artifactType", soci)},
			[]string{"t (linux/amd64)", "t (linux/arm64)"}, 2,
		},
		"a real image with SOCI's type": {
			[]string{ecr.OCIImageConfig, ecr.OCIImageConfig}, []entry{linux(1, "amd64"), with(linux(2, "arm64"), "artifactType", soci)},
			[]string{"t (linux/amd64)", "t (linux/arm64)"}, 0,
		},
		"the type of an image": {
			nil, []entry{with(linux(1, "amd64"), "artifactType", ecr.OCIImageConfig), with(linux(2, "arm64"), "artifactType", ecr.DockerImageConfig)},
			[]string{"t (linux/amd64)", "t (linux/arm64)"}, 0,
		},
		"an SBOM without a platform": {
			[]string{"", spdx}, []entry{linux(1, "amd64"), with(noPlatform(2), "artifactType", spdx)}, []string{"t (linux/amd64)"}, 1,
		},
		"a chart without a platform": {
			[]string{"", chart}, []entry{linux(1, "amd64"), noPlatform(2)}, []string{"t (linux/amd64)"}, 1,
		},
		"an image without a platform": {
			[]string{"", ecr.OCIImageConfig}, []entry{linux(1, "amd64"), noPlatform(2)}, []string{"t (linux/amd64)", "t (no platform)"}, 0,
		},
		"an artifact with its own media type": {
			[]string{"", chart}, []entry{linux(1, "amd64"), with(linux(2, "arm64"), "mediaType", chart)}, []string{"t (linux/amd64)"}, 1,
		},
		"an image with another media type": {
			[]string{"", ecr.OCIImageConfig}, []entry{linux(1, "amd64"), with(linux(2, "arm64"), "mediaType", chart)}, []string{"t (linux/amd64)", "t (linux/arm64)"}, 0,
		},
		"a real platform that says it is an attestation": {
			nil, []entry{
				with(linux(1, "amd64"), "annotations", entry{"vnd.docker.reference.type": "attestation-manifest"}), linux(2, "arm64"),
			}, []string{"t (linux/amd64)", "t (linux/arm64)"}, 0,
		},
		"attestations": {
			nil, []entry{linux(1, "amd64"), with(linux(2, ""), "platform", entry{"os": "unknown", "architecture": "unknown"})}, []string{"t (linux/amd64)"}, 1,
		},
		"a config that Docker accepts": {
			[]string{"", "application/octet-stream"}, []entry{linux(1, "amd64"), noPlatform(2)}, []string{"t (linux/amd64)", "t (no platform)"}, 0,
		},
		"a manifest that is not there": {
			nil, []entry{linux(1, "amd64"), with(linux(2, "amd64"), "artifactType", soci)}, []string{"t (linux/amd64)", "t (linux/amd64)"}, 0,
		},
		"only artifacts": {
			[]string{soci, spdx}, []entry{with(linux(1, "amd64"), "artifactType", soci), noPlatform(2)}, []string{"t not an image"}, 0,
		},
		"only attestations": {
			nil, []entry{with(linux(2, ""), "platform", entry{"os": "unknown", "architecture": "unknown"})}, []string{"t not an image"}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, c := newInProcess()
			putManifests(e, test.configs...)
			e.PutImage(id, ecr.Image{Tags: []string{"t"}, MediaType: ecr.OCIIndex, Manifest: manifestOf(test.entries...)})
			images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
			got := imageLines(images)
			for i := range got { // the names of two images of one platform are the subject of other tests
				got[i] = shortDigest.ReplaceAllString(got[i], ")")
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			for _, image := range images {
				if image.Artifacts != test.artifacts {
					t.Errorf("%s: %d artifacts, want %d", image.Label(), image.Artifacts, test.artifacts)
				}
			}
		})
	}
}

// A manifest that can't be parsed, is too large or has two configs is not certainly an artifact.
func TestAnUnclearManifestIsAnImage(t *testing.T) {
	for name, manifest := range map[string]string{
		"no JSON": "<html>", "null": "null", "a list": "[]", "no config": `{"layers":[]}`, "no media type": `{"config":{}}`, "odd type": `{"config":{"mediaType":5}}`,
		"two configs":       fmt.Sprintf(`{"config":{"mediaType":%q},"config":{"mediaType":%q}}`, soci, ecr.OCIImageConfig),
		"two spellings":     fmt.Sprintf(`{"config":{"mediaType":%q},"Config":{"mediaType":%q}}`, soci, ecr.OCIImageConfig),
		"another spelling":  fmt.Sprintf(`{"config":{},"CONFIG":{"mediaType":%q}}`, soci),
		"two media types":   fmt.Sprintf(`{"config":{"mediaType":%q,"MediaType":%q}}`, soci, ecr.OCIImageConfig),
		"more than allowed": fmt.Sprintf(`{"config":{"mediaType":%q},"x":%q}`, soci, strings.Repeat("x", 5<<20)),
		"far too large":     fmt.Sprintf(`{"config":{"mediaType":%q},"x":%q}`, soci, strings.Repeat("x", 20<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			e, c := newInProcess()
			e.PutImage(id, ecr.Image{Digest: digestOf(2), MediaType: ecr.OCIManifest, Manifest: manifest})
			e.PutImage(id, ecr.Image{
				Tags: []string{"t"}, MediaType: ecr.OCIIndex, Manifest: manifestOf(linux(1, "amd64"), with(linux(2, "arm64"), "artifactType", soci)),
			})
			images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
			if diff := cmp.Diff([]string{"t (linux/amd64)", "t (linux/arm64)"}, imageLines(images)); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// An index whose entries can't be judged now is unavailable. It must not list an artifact as an image, or leave out an image.
func TestManifestsThatCannotBeReadNow(t *testing.T) {
	for name, fault := range map[string]awslocal.Fault{"5xx": {Status: 500}, "dropped": {Drop: true}, "cut": {Cut: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the SDK waits between retries
			e, c := newInProcess()
			putManifests(e, ecr.OCIImageConfig, soci, ecr.OCIImageConfig)
			e.PutImage(id, ecr.Image{Tags: []string{"plain"}})
			e.PutImage(id, ecr.Image{Tags: []string{"sure"}, MediaType: ecr.OCIIndex, Manifest: manifestOf(linux(1, "amd64"))})
			e.PutImage(id, ecr.Image{Tags: []string{"unsure"}, MediaType: ecr.OCIIndex, Manifest: manifestOf(linux(1, "amd64"), with(linux(2, "amd64"), "artifactType", soci))})
			e.PutImage(id, ecr.Image{Tags: []string{"own"}, MediaType: ecr.OCIManifest, ArtifactMediaType: "text/own", ConfigMediaType: ecr.OCIImageConfig})
			fault.Operation, fault.After = "BatchGetImage", 1 // the manifests of the indexes are read before
			e.InjectFault(fault)
			images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
			got := imageLines(images)
			for i := range got {
				got[i], _, _ = strings.Cut(got[i], ":")
			}
			if diff := cmp.Diff([]string{"own unavailable", "plain", "sure (linux/amd64)", "unsure unavailable"}, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// The kind of a tag follows from its manifest, not from its tag, its subject or its artifact type.
func TestKindsOfTags(t *testing.T) {
	cosign := func(i int, kind string) string { return fmt.Sprintf("sha256-%064x.%s", i, kind) }
	layers := func(mediaType string) string {
		return fmt.Sprintf(`{"config":{"mediaType":%q},"layers":[{"mediaType":%q}]}`, ecr.OCIImageConfig, mediaType)
	}
	e, c := newInProcess()
	want := make(map[string]string)
	put := func(kind scan.Kind, image ecr.Image) {
		image.MediaType = ecr.OCIManifest
		want[image.Tags[0]] = string(kind)
		e.PutImage(id, image)
	}
	put(scan.PlainImage, ecr.Image{Tags: []string{"own-type"}, ArtifactMediaType: "application/vnd.example.app.v1", ConfigMediaType: ecr.OCIImageConfig})
	put(scan.PlainImage, ecr.Image{Tags: []string{"subject"}, ArtifactMediaType: ecr.OCIImageConfig, Subject: digestOf(1)})
	put(scan.PlainImage, ecr.Image{Tags: []string{"both"}, ArtifactMediaType: "application/vnd.example.app.v1", ConfigMediaType: ecr.DockerImageConfig, Subject: digestOf(1)})
	put(scan.PlainImage, ecr.Image{Tags: []string{"broken"}, ArtifactMediaType: chart, Manifest: "{"})
	put(scan.Artifact, ecr.Image{Tags: []string{"chart"}, ArtifactMediaType: chart})
	put(scan.Artifact, ecr.Image{Tags: []string{"sbom"}, ArtifactMediaType: spdx, ConfigMediaType: "application/vnd.oci.empty.v1+json", Subject: digestOf(1)})
	put(scan.Artifact, ecr.Image{Tags: []string{"archived-chart"}, ArtifactMediaType: chart, Status: ecr.Archived})
	put(scan.Archived, ecr.Image{Tags: []string{"archived"}, ArtifactMediaType: ecr.OCIImageConfig, Subject: digestOf(1), Status: ecr.Archived})
	put(scan.Artifact, ecr.Image{Tags: []string{cosign(1, "sig")}, ArtifactMediaType: ecr.OCIImageConfig, Manifest: layers("application/vnd.dev.cosign.simplesigning.v1+json")})
	put(scan.Artifact, ecr.Image{Tags: []string{cosign(1, "att")}, ArtifactMediaType: ecr.OCIImageConfig, Manifest: layers("application/vnd.dsse.envelope.v1+json")})
	put(scan.Artifact, ecr.Image{Tags: []string{cosign(1, "sbom")}, ArtifactMediaType: ecr.OCIImageConfig, Manifest: layers("text/spdx+json")})
	put(scan.PlainImage, ecr.Image{Tags: []string{cosign(2, "sig")}, ArtifactMediaType: ecr.OCIImageConfig, Manifest: layers("application/vnd.oci.image.layer.v1.tar+gzip")})
	put(scan.PlainImage, ecr.Image{Tags: []string{cosign(2, "att")}, ArtifactMediaType: ecr.OCIImageConfig, Manifest: layers("application/vnd.docker.image.rootfs.diff.tar.gzip")})
	for name, tags := range map[string][]string{"all tags": nil, "by name": slices.Collect(func(yield func(string) bool) {
		for tag := range want {
			if !yield(tag) {
				return
			}
		}
	})} {
		images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{Tags: tags}))
		if diff := cmp.Diff(want, kindsByTag(images)); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestNestedIndexes(t *testing.T) {
	for name, test := range map[string]struct {
		outer []entry
		want  []string
	}{
		"two levels":            {[]entry{linux(1, "amd64"), index(2)}, []string{"t (linux/amd64)", "t (linux/arm64)", "t (linux/s390x)"}},
		"no platform as well":   {[]entry{noPlatform(1), index(2)}, []string{"t (linux/arm64)", "t (linux/s390x)", "t (no platform)"}},
		"the same image twice":  {[]entry{linux(21, "arm64"), index(2)}, []string{"t (linux/arm64)", "t (linux/s390x)"}},
		"the same index twice":  {[]entry{index(2), index(2)}, []string{"t (linux/arm64)", "t (linux/s390x)"}},
		"the outer platform":    {[]entry{with(index(4), "platform", entry{"os": "linux", "architecture": "riscv64"})}, []string{"t (linux/riscv64)"}},
		"three levels":          {[]entry{linux(1, "amd64"), index(3)}, []string{"t (linux/amd64)", "t not scannable: image index nested more than once"}},
		"not there":             {[]entry{linux(1, "amd64"), index(9)}, []string{"t (linux/amd64)", "t not scannable: nested image index not found"}},
		"broken":                {[]entry{linux(1, "amd64"), index(5)}, []string{"t (linux/amd64)", "t not scannable: nested broken image index"}},
		"an image":              {[]entry{linux(1, "amd64"), index(21)}, []string{"t (linux/amd64)", "t not scannable: nested image index not found"}},
		"only nested artifacts": {[]entry{index(6)}, []string{"t not an image"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, c := newInProcess()
			for i, manifest := range map[int]string{
				2: manifestOf(linux(21, "arm64"), linux(22, "s390x")), 3: manifestOf(index(2)), 4: manifestOf(noPlatform(23)), 5: "<html>",
				6: manifestOf(with(noPlatform(24), "artifactType", spdx)),
			} {
				e.PutImage(id, ecr.Image{Digest: digestOf(i), MediaType: ecr.OCIIndex, Manifest: manifest})
			}
			e.PutImage(id, ecr.Image{Digest: digestOf(21)})
			e.PutImage(id, ecr.Image{Digest: digestOf(24), MediaType: ecr.OCIManifest, ConfigMediaType: spdx})
			e.PutImage(id, ecr.Image{Tags: []string{"t"}, MediaType: ecr.OCIIndex, Manifest: manifestOf(test.outer...)})
			images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
			if diff := cmp.Diff(test.want, imageLines(images)); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func index(i int) entry { return entry{"mediaType": ecr.OCIIndex, "digest": digestOf(i)} }

// shortDigest is the part of a digest that distinguishes images of the same platform.
var shortDigest = regexp.MustCompile(` [0-9a-f]{12}\)$`)
