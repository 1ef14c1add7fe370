package ecrscan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/ecrscan"
	"ecr-continuous-scan/internal/scan"
)

// imageLines returns the sorted labels of the images, each with the reason why the image can't be scanned.
func imageLines(images []scan.Image) []string {
	lines := make([]string, len(images))
	for i, image := range images {
		lines[i] = image.Label()
		switch {
		case image.Err != nil:
			lines[i] += fmt.Sprintf(" %s: %s", scan.CodeOf(image.Err), scan.MessageOf(image.Err))
		case image.Kind != scan.PlainImage:
			lines[i] += " " + string(image.Kind)
		}
	}
	slices.Sort(lines)
	return lines
}

func digestOf(i int) string { return fmt.Sprintf("sha256:%064x", i) }

// entry is an entry of an index's manifest, with any field.
type entry map[string]any

func linux(i int, arch string) entry {
	return entry{"mediaType": ecr.OCIManifest, "digest": digestOf(i), "platform": entry{"os": "linux", "architecture": arch}}
}

func windows(i int, version string) entry {
	return entry{"mediaType": ecr.DockerManifest, "digest": digestOf(i), "platform": entry{"os": "windows", "architecture": "amd64", "os.version": version}}
}

func with(e entry, key string, value any) entry {
	e[key] = value
	return e
}

func manifestOf(entries ...entry) string {
	b, err := json.Marshal(entry{"schemaVersion": 2, "mediaType": ecr.OCIIndex, "manifests": append([]entry{}, entries...)})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestIndexes(t *testing.T) {
	many := make([]entry, 101)
	for i := range many {
		many[i] = linux(i, fmt.Sprintf("arch%03d", i))
	}
	valid := manifestOf(linux(1, "amd64"), linux(2, "arm64"))
	unknown := entry{"os": "unknown", "architecture": "unknown"}
	for name, test := range map[string]struct {
		manifest string
		want     []string
	}{
		"two platforms": {valid, []string{"t (linux/amd64)", "t (linux/arm64)"}},
		"variants": {manifestOf(linux(1, "amd64"), with(linux(2, "arm"), "platform", entry{"os": "linux", "architecture": "arm", "variant": "v6"}),
			with(linux(3, "arm"), "platform", entry{"os": "linux", "architecture": "arm", "variant": "v7"})), []string{"t (linux/amd64)", "t (linux/arm/v6)", "t (linux/arm/v7)"}},
		"attestations": {manifestOf(linux(1, "amd64"), with(linux(2, ""), "platform", unknown),
			with(linux(3, "arm64"), "annotations", entry{"vnd.docker.reference.type": "attestation-manifest"})), []string{"t (linux/amd64)", "t (linux/arm64)"}},
		"empty":                       {manifestOf(), []string{"t not scannable: image index without images"}},
		"no platform":                 {manifestOf(entry{"mediaType": ecr.OCIManifest, "digest": digestOf(1)}), []string{"t (no platform)"}},
		"no media type":               {manifestOf(entry{"digest": digestOf(1), "platform": entry{"os": "linux", "architecture": "s390x"}}), []string{"t (linux/s390x)"}},
		"a null platform":             {manifestOf(with(linux(1, ""), "platform", nil)), []string{"t (no platform)"}},
		"an empty platform":           {manifestOf(with(linux(1, ""), "platform", entry{"os": " ", "architecture": ""})), []string{"t (no platform)"}},
		"only a version":              {manifestOf(windows(1, "10.0.17763.1"), with(linux(2, ""), "platform", entry{"os.version": "1"})), []string{"t (no platform)", "t (windows/amd64)"}},
		"the same twice":              {manifestOf(linux(1, "amd64"), linux(1, "amd64")), []string{"t (linux/amd64)"}},
		"two platforms of one digest": {manifestOf(linux(1, "amd64"), linux(1, "arm64")), []string{"t (linux/amd64)", "t (linux/arm64)"}},
		"one windows":                 {manifestOf(windows(1, "10.0.17763.1"), linux(2, "amd64")), []string{"t (linux/amd64)", "t (windows/amd64)"}},
		"two windows":                 {manifestOf(windows(1, "10.0.17763.1"), windows(2, "10.0.20348.9")), []string{"t (windows/amd64 10.0.17763)", "t (windows/amd64 10.0.20348)"}},
		"two updates":                 {manifestOf(windows(1, "10.0.17763.1"), windows(2, "10.0.17763.9"), windows(3, "10.0.20348.9")), []string{"t (windows/amd64 10.0.17763.1)", "t (windows/amd64 10.0.17763.9)", "t (windows/amd64 10.0.20348)"}},
		"two spellings of a platform": {manifestOf(linux(1, "arm64"), linux(1, "aarch64")), []string{"t (linux/aarch64)"}},
		"names that occur twice":      {strings.Replace(valid, "{", `{"manifests":[],`, 1), []string{"t not scannable: broken image index"}},
		"names in two cases":          {strings.Replace(valid, "{", `{"Manifests":[],`, 1), []string{"t not scannable: broken image index"}},
		"names in another case":       {strings.Replace(valid, "manifests", "Manifests", 1), []string{"t (linux/amd64)", "t (linux/arm64)"}},
		"too many":                    {manifestOf(many...), append(labels(100), "t not scannable: image index of 101 images, only the first 100 are scanned")},
		"no JSON":                     {"<html>", []string{"t not scannable: broken image index"}},
		"truncated":                   {valid[:len(valid)/2], []string{"t not scannable: broken image index"}},
		"JSON of another kind":        {`[1,2]`, []string{"t not scannable: broken image index"}},
		"null":                        {`null`, []string{"t not scannable: broken image index"}},
		"an image manifest":           {`{"schemaVersion":2,"config":{},"layers":[]}`, []string{"t not scannable: broken image index"}},
		"odd types":                   {`{"manifests":[{"digest":5}]}`, []string{"t not scannable: broken image index"}},
		"too large":                   {manifestOf(with(linux(1, "amd64"), "x", strings.Repeat("x", 5<<20))), []string{"t not scannable: broken image index"}},
		"no digest":                   {manifestOf(with(linux(1, "amd64"), "digest", "")), []string{"t not scannable: broken image index"}},
		"a tag for a digest":          {manifestOf(with(linux(1, "amd64"), "digest", "latest")), []string{"t not scannable: broken image index"}},
		"one bad digest":              {manifestOf(linux(1, "amd64"), with(linux(2, "arm64"), "digest", "sha256:12")), []string{"t (linux/amd64)", "t not scannable: broken image index"}},
		"a platform too long":         {manifestOf(linux(1, strings.Repeat("é", 200))), []string{"t (linux/" + strings.Repeat("é", 61) + ")"}},
		"too many entries":            {manifestOf(slices.Repeat(many, 4)...), append(labels(100), "t not scannable: image index of 404 entries, only the first 300 are read")},
	} {
		t.Run(name, func(t *testing.T) {
			e, c := newInProcess()
			digest := e.PutImage(id, ecr.Image{Tags: []string{"t"}, MediaType: ecr.OCIIndex, Manifest: test.manifest})
			images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
			if diff := cmp.Diff(test.want, imageLines(images)); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			for _, image := range images {
				if unresolved := image.Err != nil; image.Repository != repo || (image.Digest == digest) != unresolved || (image.Kind == scan.Index) != unresolved {
					t.Errorf("image %+v", image)
				}
			}
		})
	}
}

func labels(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("t (linux/arch%03d)", i)
	}
	return all
}

// The manifest of an index can list the index itself.
func TestIndexThatListsItself(t *testing.T) {
	e, c := newInProcess()
	e.PutImage(id, ecr.Image{Digest: digestOf(7), Tags: []string{"t"}, MediaType: ecr.OCIIndex, Manifest: manifestOf(linux(7, "amd64"))})
	images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
	if diff := cmp.Diff([]string{"t not scannable: broken image index"}, imageLines(images)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// putIndexes pushes an image with the tag plain and n indexes of two platforms each.
func putIndexes(e *ecr.ECR, n int) {
	e.PutImage(id, ecr.Image{Digest: digestOf(1), Tags: []string{"plain"}})
	for i := range n {
		e.PutImage(id, ecr.Image{
			Tags: []string{fmt.Sprint("a", i), fmt.Sprint("b", i)}, MediaType: ecr.OCIIndex, Manifest: manifestOf(linux(1, "amd64"), linux(2+i, "arm64")),
		})
	}
}

func TestIndexesAreReadOnce(t *testing.T) {
	e, c := newInProcess()
	putIndexes(e, 250)
	images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
	if err != nil || len(images) != 1+250*2*2 {
		t.Errorf("%d images, %v", len(images), err)
	}
	if n := e.Count().Calls["BatchGetImage"]; n != 3 {
		t.Errorf("%d calls for 250 indexes with two tags each, want 3", n)
	}
	e.ResetCount()
	images, err = imagesOf(c.Images(t.Context(), repo, scan.Wanted{Tags: []string{"a3", "b3", "plain"}}))
	want := []string{"a3 (linux/amd64)", "a3 (linux/arm64)", "b3 (linux/amd64)", "b3 (linux/arm64)", "plain"}
	if diff := cmp.Diff(want, imageLines(images)); err != nil || diff != "" || e.Count().Calls["BatchGetImage"] != 1 {
		t.Errorf("by name, with %d calls: %v (-want +got):\n%s", e.Count().Calls["BatchGetImage"], err, diff)
	}
}

// An error of the call that reads an index affects only that index.
func TestUnreadableIndexes(t *testing.T) {
	for name, test := range map[string]struct {
		fault awslocal.Fault
		want  string
	}{
		"denied":        {ecr.Deny("BatchGetImage", id), "not scannable: image index, no access to ecr:BatchGetImage"},
		"denied, short": {awslocal.Fault{Code: "AccessDeniedException", Message: "Denied."}, "not scannable: image index, no access to ecr:BatchGetImage"},
		"expired":       {awslocal.Fault{Code: "ExpiredTokenException", Message: "x"}, "not scannable: image index, no access"},
		"5xx":           {awslocal.Fault{Status: 500}, "unavailable: ECR in us-west-2 answered with an error"},
		"dropped":       {awslocal.Fault{Drop: true}, "unavailable: ECR in us-west-2 can't be reached"},
		"cut":           {awslocal.Fault{Cut: true}, "unavailable: the answer of ECR in us-west-2 can't be read"},
		"deleted":       {awslocal.Fault{Code: "RepositoryNotFoundException", Status: 400}, "not scannable: image index not found"},
		"unknown error": {awslocal.Fault{Code: "BrandNewException", Message: "secret", Status: 400}, "internal: ECR refused the request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the SDK waits between retries
			e, c := newInProcess()
			putIndexes(e, 1)
			test.fault.Operation = "BatchGetImage"
			e.InjectFault(test.fault)
			images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
			if diff := cmp.Diff([]string{"a0 " + test.want, "b0 " + test.want, "plain"}, imageLines(images)); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// If a call fails because of one index, the other indexes are still read.
func TestOneUnreadableIndexAffectsNoOther(t *testing.T) {
	e := ecr.New(ecr.Options{})
	putIndexes(e, 8)
	bad := e.PutImage(id, ecr.Image{Tags: []string{"bad"}, MediaType: ecr.OCIIndex, Manifest: manifestOf(linux(1, "bad"))})
	c := ecrscan.New(inProcessConfig(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(string(body), bad) {
			w.Header().Set("X-Amzn-Errortype", "UnableToGetUpstreamImageException")
			w.WriteHeader(400)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		e.ServeHTTP(w, r)
	})))
	images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
	var broken []string
	for _, image := range images {
		if image.Err != nil {
			broken = append(broken, image.Tag+": "+scan.MessageOf(image.Err))
		}
	}
	if err != nil || !slices.Equal(broken, []string{"bad: ECR refused the request"}) || len(images) != 1+8*4+1 {
		t.Errorf("%d images, %q, %v", len(images), broken, err)
	}
}

// BatchGetImage does not return an index that was deleted or archived after DescribeImages listed it.
func TestIndexDeletedBetweenTwoCalls(t *testing.T) {
	for status, want := range map[string]string{"": "image index not found", ecr.Archived: "image index not accessible"} {
		e := ecr.New(ecr.Options{})
		putIndexes(e, 1)
		c := ecrscan.New(inProcessConfig(afterListing(e, func() {
			if status == "" {
				_ = e.DeleteImage(id, "a0")
				_ = e.DeleteImage(id, "b0")
			} else {
				_ = e.UpdateImage(id, "a0", func(i *ecr.Image) { i.Status = status })
			}
		})))
		images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
		if diff := cmp.Diff([]string{"a0 not scannable: " + want, "b0 not scannable: " + want, "plain"}, imageLines(images)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
}

// Listed is the normalized platform of the index, whatever the label is.
func TestListedPlatforms(t *testing.T) {
	arm64 := with(linux(2, ""), "platform", entry{"os": "linux", "architecture": "arm64", "variant": "v8"})
	e, c := newInProcess()
	e.PutImage(id, ecr.Image{Tags: []string{"plain"}})
	e.PutImage(id, ecr.Image{
		Tags: []string{"multi"}, MediaType: ecr.OCIIndex,
		Manifest: manifestOf(linux(1, "x86_64"), arm64, windows(3, "10.0.17763.5329"), with(linux(4, ""), "platform", nil)),
	})
	images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
	got := make(map[string]string)
	for _, image := range images {
		got[image.Label()] = image.Listed
	}
	want := map[string]string{
		"plain": "", "multi (linux/x86_64)": "linux/amd64", "multi (linux/arm64/v8)": "linux/arm64",
		"multi (windows/amd64)": "windows/amd64 10.0.17763.5329", "multi (no platform)": "",
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// ECR records a pull by tag at the index. The images of the index have its time.
func TestPlatformsHaveTheLastPullOfTheirIndex(t *testing.T) {
	e, c := newInProcess()
	pulled := time.Date(2026, 11, 20, 1, 2, 3, 0, time.UTC)
	for i, img := range []ecr.Image{
		{Tags: []string{"multi"}, MediaType: ecr.OCIIndex, Manifest: manifestOf(linux(1, "amd64"), linux(2, "arm64"))},
		{Tags: []string{"plain"}}, {Tags: []string{"broken"}, MediaType: ecr.OCIIndex, Manifest: "{"},
	} {
		img.PulledAt = pulled.Add(time.Duration(i) * time.Hour)
		e.PutImage(id, img)
	}
	images, err := imagesOf(c.Images(t.Context(), repo, scan.Wanted{}))
	got := make(map[string]int)
	for _, i := range images {
		got[i.Label()] = int(i.LastPulled.Sub(pulled).Hours())
	}
	if diff := cmp.Diff(map[string]int{"multi (linux/amd64)": 0, "multi (linux/arm64)": 0, "plain": 1, "broken": 2}, got); err != nil || diff != "" {
		t.Errorf("hours after the first pull: %v (-want +got):\n%s", err, diff)
	}
}
