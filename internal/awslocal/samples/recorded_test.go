package samples_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
	"ecr-continuous-scan/test/ecrclient"
)

const (
	goodDigest  = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	otherDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	// cutAnswer is a page with one of 40 findings and the token of the next page.
	cutAnswer = `{"repositoryName":"team/app","imageId":{"imageTag":"1"},"imageScanStatus":{"status":"COMPLETE"},
		"imageScanFindings":{"imageScanCompletedAt":1600000000,"findingSeverityCounts":{"CRITICAL":1,"LOW":39},"findings":[{"name":"CVE-1","severity":"CRITICAL"}]},"nextToken":"x"}`
)

// writeFiles writes files into a new folder and returns its path.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// imageSummaries returns a line for each image: repository, tags, scan status, counts, number of findings, scan time, and whether
// the last page is missing.
func imageSummaries(t *testing.T, e *ecr.ECR) []string {
	t.Helper()
	c := ecrclient.Serve(t, e)
	var got []string
	for _, id := range e.Repositories() {
		for _, img := range e.Images(id) {
			ref := img.Digest
			out, err := c.DescribeImageScanFindings(t.Context(), &sdk.DescribeImageScanFindingsInput{
				RegistryId: &id.Registry, RepositoryName: &id.Name, ImageId: imageByDigest(ref),
			}, func(o *sdk.Options) { o.Region = id.Region })
			line := fmt.Sprintf("%s/%s:%s", id.Registry, id.Name, strings.Join(img.Tags, ","))
			if err != nil {
				got = append(got, line+" "+ecrclient.FailureOf(err).Code)
				continue
			}
			line += " " + string(out.ImageScanStatus.Status)
			if f := out.ImageScanFindings; f != nil {
				line += fmt.Sprintf(" %v %d %d", f.FindingSeverityCounts, len(f.Findings), len(f.EnhancedFindings))
				if f.ImageScanCompletedAt != nil {
					line += " " + f.ImageScanCompletedAt.UTC().Format(time.RFC3339)
				}
			}
			if out.NextToken != nil {
				line += " incomplete"
			}
			got = append(got, line)
		}
	}
	return got
}

func TestLoadFindings(t *testing.T) {
	const (
		old    = "2026-11-23T11:00:00Z" // 25 hours before the test's clock
		basic  = `{"name":"CVE-1","severity":"LOW"}`
		basic2 = `{"name":"CVE-2","severity":"HIGH","attributes":[{"key":"package_name"}]}`
		enh    = `{"title":"CVE-3 - zlib","severity":"UNTRIAGED","firstObservedAt":"2022-08-01T21:55:36.625000+00:00","updatedAt":1659390936.625}`
	)
	full := func(tag, digest, findings string) string {
		return `{"registryId":"999999999999","repositoryName":"team/app","imageId":{"imageTag":"` + tag + `","imageDigest":"` + digest + `"},
			"imageScanStatus":{"status":"COMPLETE","description":"d"},
			"imageScanFindings":{"imageScanCompletedAt":"2020-10-21T16:51:26+03:00","vulnerabilitySourceUpdatedAt":1603270000,"findingSeverityCounts":{},"findings":[` + findings + `]}}`
	}
	tests := []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"list of basic findings", map[string]string{"My App_v1.json": "[" + basic + "," + basic2 + "]"},
			[]string{"123456789012/my-app_v1:latest COMPLETE map[HIGH:1 LOW:1] 2 0 " + old}},
		{"list of enhanced findings", map[string]string{"a.json": "[" + enh + "]"},
			[]string{"123456789012/findings-a:latest ACTIVE map[UNTRIAGED:1] 0 1 " + old}},
		{"empty list", map[string]string{"clean.json": "[]"}, []string{"123456789012/clean:latest COMPLETE map[] 0 0 " + old}},
		{"only imageScanFindings", map[string]string{"half.json": `{"findings":[` + basic + `],"enhancedFindings":[` + enh + `]}`},
			[]string{"123456789012/half:latest COMPLETE map[LOW:1 UNTRIAGED:1] 1 1 " + old}},
		{"full response", map[string]string{"x.json": full("1.0", goodDigest, basic)},
			[]string{"999999999999/team/app:1.0 COMPLETE map[LOW:1] 1 0 2020-10-21T13:51:26Z"}},
		{"pages in two files", map[string]string{"x1.json": full("1.0", "none", basic), "x2.json": full("1.0", goodDigest, basic2)},
			[]string{"999999999999/team/app:1.0 COMPLETE map[HIGH:1 LOW:1] 2 0 2020-10-21T13:51:26Z"}},
		{"pages in one file", map[string]string{"x.json": full("1.0", "", basic) + "\n" + full("1.0", "", basic2)},
			[]string{"999999999999/team/app:1.0 COMPLETE map[HIGH:1 LOW:1] 2 0 2020-10-21T13:51:26Z"}},
		{"a list of responses", map[string]string{"x.json": "[" + full("1.0", "", basic) + "," + full("2.0", "", basic2) + "]"},
			[]string{"999999999999/team/app:1.0 COMPLETE map[LOW:1] 1 0 2020-10-21T13:51:26Z", "999999999999/team/app:2.0 COMPLETE map[HIGH:1] 1 0 2020-10-21T13:51:26Z"}},
		{"the same response twice", map[string]string{"x1.json": full("1.0", "", basic+","+basic), "x2.json": full("1.0", "", basic+","+basic)},
			[]string{"999999999999/team/app:1.0 COMPLETE map[LOW:2] 2 0 2020-10-21T13:51:26Z"}},
		{"two tags of one image", map[string]string{"x1.json": full("1.0", goodDigest, basic), "x2.json": full("2.0", goodDigest, basic)},
			[]string{"999999999999/team/app:1.0,2.0 COMPLETE map[LOW:1] 1 0 2020-10-21T13:51:26Z"}},
		{"no tag", map[string]string{"x.json": strings.Replace(full("", goodDigest, basic), `"imageTag":"",`, "", 1)},
			[]string{"999999999999/team/app:" + strings.Replace(goodDigest, ":", "-", 1) + " COMPLETE map[LOW:1] 1 0 2020-10-21T13:51:26Z"}},
		{"failed", map[string]string{"x.json": `{"repositoryName":"team/app","imageId":{"imageTag":"1"},"imageScanStatus":{"status":"FAILED","description":"UnsupportedImageError: x"}}`},
			[]string{"123456789012/team/app:1 FAILED"}},
		{"not ready", map[string]string{"x.json": `{"repositoryName":"team/app","imageId":{"imageTag":"1"},"imageScanStatus":{"status":"ACTIVE"},"imageScanFindings":{"findings":[]}}`},
			[]string{"123456789012/team/app:1 ACTIVE map[] 0 0"}},
		{"expired", map[string]string{"x.json": `{"repositoryName":"team/app","imageScanStatus":{"status":"SCAN_ELIGIBILITY_EXPIRED","description":"x"}}`},
			[]string{"123456789012/team/app:latest SCAN_ELIGIBILITY_EXPIRED"}},
		{"two scans of one digest", map[string]string{"x1.json": strings.Replace(full("1.0", goodDigest, basic2), "2020-10-21", "2020-10-22", 1), "x2.json": full("1.0", goodDigest, basic)},
			[]string{"999999999999/team/app:1.0 COMPLETE map[HIGH:1] 1 0 2020-10-22T13:51:26Z"}},
		{"a tag that moved", map[string]string{"x1.json": strings.Replace(full("1.0", goodDigest, basic2), "2020-10-21", "2020-10-22", 1), "x2.json": full("1.0", otherDigest, basic)},
			[]string{"999999999999/team/app: COMPLETE map[LOW:1] 1 0 2020-10-21T13:51:26Z", "999999999999/team/app:1.0 COMPLETE map[HIGH:1] 1 0 2020-10-22T13:51:26Z"}},
		{"a page without its successor", map[string]string{"x.json": cutAnswer}, []string{"123456789012/team/app:1 COMPLETE map[CRITICAL:1 LOW:39] 1 0 2020-09-13T12:26:40Z incomplete"}},
		{"both pages", map[string]string{"x1.json": strings.Replace(cutAnswer, `"LOW":39`, `"HIGH":1`, 1),
			"x2.json": `{"repositoryName":"team/app","imageId":{"imageTag":"1"},"imageScanStatus":{"status":"COMPLETE"},"imageScanFindings":{"findings":[` + basic2 + `]}}`},
			[]string{"123456789012/team/app:1 COMPLETE map[CRITICAL:1 HIGH:1] 2 0 2020-09-13T12:26:40Z"}},
		{"fewer findings than counted", map[string]string{"x.json": strings.Replace(cutAnswer, `,"nextToken":"x"`, "", 1)},
			[]string{"123456789012/team/app:1 COMPLETE map[CRITICAL:1 LOW:39] 1 0 2020-09-13T12:26:40Z incomplete"}},
		{"enhanced findings without a time of the scan", map[string]string{"x.json": `{"repositoryName":"team/app","imageId":{"imageTag":"1"},"imageScanStatus":{"status":"ACTIVE"},
			"imageScanFindings":{"findingSeverityCounts":{"UNTRIAGED":1},"enhancedFindings":[` + enh + `]}}`},
			[]string{"123456789012/team/app:1 ACTIVE map[UNTRIAGED:1] 0 1 2022-08-01T21:55:36Z"}},
		{"enhanced findings of a scan on push", map[string]string{"x.json": `{"repositoryName":"team/app","imageId":{"imageTag":"1"},"imageScanStatus":{"status":"COMPLETE"},
			"imageScanFindings":{"imageScanCompletedAt":1600000000,"findingSeverityCounts":{"UNTRIAGED":1},"enhancedFindings":[` + enh + `]}}`},
			[]string{"123456789012/team/app:1 COMPLETE map[UNTRIAGED:1] 0 1 2020-09-13T12:26:40Z"}},
		{"UTF-16", map[string]string{"little.json": "\xff\xfe[\x00]\x00", "big.json": "\xfe\xff\x00[\x00]"},
			[]string{"123456789012/big:latest COMPLETE map[] 0 0 " + old, "123456789012/little:latest COMPLETE map[] 0 0 " + old}},
		{"times of Python and without a colon", map[string]string{
			"aa.json": strings.Replace(full("1", "", ""), "2020-10-21T16:51:26+03:00", "2020-10-21 16:51:26.000000+03:00", 1),
			"bb.json": strings.Replace(full("2", "", ""), "2020-10-21T16:51:26+03:00", "2020-10-21T16:51:26+0300", 1)},
			[]string{"999999999999/team/app:1 COMPLETE map[] 0 0 2020-10-21T13:51:26Z", "999999999999/team/app:2 COMPLETE map[] 0 0 2020-10-21T13:51:26Z"}},
		{"byte order mark and other files", map[string]string{"ok.json": "\xef\xbb\xbf[]", "README.md": "# no"}, []string{"123456789012/ok:latest COMPLETE map[] 0 0 " + old}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := ecr.New(ecr.Options{Now: ecrclient.NewClock().Now})
			if _, ignored, err := samples.LoadFindings(e, writeFiles(t, test.files)); err != nil || len(ignored) > 0 {
				t.Fatal(err, ignored)
			}
			if diff := cmp.Diff(test.want, imageSummaries(t, e)); diff != "" {
				t.Errorf("images differ (-want +got):\n%s", diff)
			}
		})
	}
}

// A file that can't be read is named, and the others are loaded.
func TestLoadFindingsIgnoresInvalidFiles(t *testing.T) {
	tests := []struct {
		name, content string
		want          []string // in the error
	}{
		{"empty", "", []string{"bad.json", "not JSON", "record a response with: aws ecr"}},
		{"cut", "[\n{\"name\":\n", []string{"bad.json", "not JSON", "line 1"}},
		{"trailing", "[]\n[]\nx", []string{"at or after line 2"}},
		{"text", `"x"`, []string{"neither a response of describe-image-scan-findings nor a list of findings"}},
		{"null", `null`, []string{"neither a response"}},
		{"other object", `{"imageDetails":[]}`, []string{"neither a response"}},
		{"list of numbers", `[1]`, []string{"a finding is not an object: 1"}},
		{"wrong type", `[{"name":"CVE-1","severity":3}]`, []string{"bad.json", "severity"}},
		{"wrong time", `[{"title":"x","updatedAt":"yesterday"}]`, []string{`time "yesterday" is neither`}},
		{"wrong registry", `{"registryId":"1","imageScanStatus":{"status":"COMPLETE"}}`, []string{`registryId "1" is not twelve digits`}},
		{"wrong repository", `{"repositoryName":"A","imageScanStatus":{"status":"COMPLETE"}}`, []string{`repositoryName "A"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := ecr.New(ecr.Options{})
			if _, _, err := samples.LoadFindings(e, writeFiles(t, map[string]string{"bad.json": test.content})); err == nil {
				t.Error("no error without a file that can be read")
			}
			ids, ignored, err := samples.LoadFindings(e, writeFiles(t, map[string]string{"bad.json": test.content, "good.json": "[]"}))
			if err != nil || len(ignored) != 1 {
				t.Fatal(err, ignored)
			}
			for _, want := range append(test.want, "bad.json") {
				if !strings.Contains(ignored[0].Error(), want) {
					t.Errorf("error %q has no %q", ignored[0], want)
				}
			}
			if len(ids) != 1 || ids[0].Name != "good" || len(e.Repositories()) != 1 {
				t.Errorf("loaded %v, want only the good file", e.Repositories())
			}
		})
	}
	e := ecr.New(ecr.Options{})
	if _, _, err := samples.LoadFindings(e, filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "give a folder") {
		t.Errorf("no folder: %v", err)
	}
	if _, _, err := samples.LoadFindings(e, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no *.json files") {
		t.Errorf("no files: %v", err)
	}
}

// TestRecordedResponsesOfRealRegistries loads recorded responses of real registries.
func TestRecordedResponsesOfRealRegistries(t *testing.T) {
	const dir = "../../../../shared/captures"
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no recorded responses: %v", err)
		}
		t.Skipf("no recorded responses: %v", err)
	}
	clock := ecrclient.NewClock()
	e := ecr.New(ecr.Options{Now: clock.Now})
	if _, _, err := samples.LoadFindings(e, dir); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"000000000000/repository-name:latest COMPLETE map[LOW:4 MEDIUM:25] 29 0 2020-10-21T13:51:26Z",
		"123456789012/basic-58-findings:latest COMPLETE map[HIGH:1 MEDIUM:57] 58 0 2026-11-23T11:00:00Z",
		"123456789012/enhanced-7-findings:latest ACTIVE map[CRITICAL:6 MEDIUM:1] 0 7 2026-11-23T11:00:00Z",
	}
	if diff := cmp.Diff(want, imageSummaries(t, e)); diff != "" {
		t.Errorf("images differ (-want +got):\n%s", diff)
	}

	// Each image is due. A new scan has the same findings.
	c := ecrclient.Serve(t, e)
	for _, id := range e.Repositories() {
		_, err := c.StartImageScan(t.Context(), &sdk.StartImageScanInput{RegistryId: &id.Registry, RepositoryName: &id.Name, ImageId: ecrclient.Tag("latest")})
		if err != nil {
			t.Errorf("scan %v: %v", id, err)
		}
	}
	clock.Advance(2 * time.Second)
	for i, line := range imageSummaries(t, e) {
		if want := want[i][:len(want[i])-len("2026-11-23T11:00:00Z")] + "2026-11-24T12:00:02Z"; line != want {
			t.Errorf("after a scan: %s, want %s", line, want)
		}
	}
}

// The cases of users are replayed with their right results.
func TestCasesOfUsers(t *testing.T) {
	const dir = "../../../../shared/cases"
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no cases: %v", err)
		}
		t.Skipf("no cases: %v", err)
	}
	for name, want := range map[string][]string{
		"cut-answer":          {"shop/frontend:7 COMPLETE map[CRITICAL:6 HIGH:12 LOW:3 MEDIUM:18 UNDEFINED:1] 1 0 2026-11-28T06:40:00Z incomplete"},
		"by-digest-only":      {"shop/frontend:" + strings.Replace(otherDigest, ":", "-", 1) + " COMPLETE map[CRITICAL:2] 2 0 2026-11-27T17:20:00Z"},
		"powershell-utf16":    nil,
		"boto3-times":         {"team/boto:1 COMPLETE map[INFORMATIONAL:1 LOW:1 UNDEFINED:2] 4 0 2026-11-28T06:00:00Z"},
		"one-tag-two-digests": {"team/daily: COMPLETE map[CRITICAL:1 LOW:1] 2 0 2026-11-27T06:00:00Z", "team/daily:latest COMPLETE map[LOW:1] 1 0 2026-11-28T06:00:00Z"},
	} {
		files, _ := filepath.Glob(filepath.Join(dir, name+"*.json"))
		contents := map[string]string{}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			contents[filepath.Base(file)] = string(content)
		}
		e := ecr.New(ecr.Options{Now: ecrclient.NewClock().Now})
		if _, ignored, err := samples.LoadFindings(e, writeFiles(t, contents)); err != nil || len(ignored) > 0 {
			t.Errorf("%s: %v %v", name, err, ignored)
			continue
		}
		for i := range want {
			want[i] = "123456789012/" + want[i]
		}
		if diff := cmp.Diff(want, imageSummaries(t, e)); want != nil && diff != "" {
			t.Errorf("%s: images differ (-want +got):\n%s", name, diff)
		}
	}
}

// Whatever a file contains, it is loaded or named.
func FuzzLoadFindings(f *testing.F) {
	f.Add([]byte(cutAnswer))
	f.Add([]byte("\xff\xfe[\x00]\x00"))
	f.Add([]byte(`[{"imageScanStatus":{"status":"FAILED"}},{"imageScanFindings":{"imageScanCompletedAt":"2020-10-21 16:51:26+0300","enhancedFindings":[{"title":"x"}]}}]`))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "some.json"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		e := ecr.New(ecr.Options{})
		if ids, _, err := samples.LoadFindings(e, dir); err == nil && len(ids) == 0 {
			t.Error("neither loaded nor named")
		}
	})
}
