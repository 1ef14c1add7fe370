package samples_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/internal/awslocal/samples"
	"ecr-continuous-scan/test/ecrclient"
)

var app = ecr.RepositoryID{Name: "test/app"} // read only

func imageByDigest(digest string) *types.ImageIdentifier {
	return &types.ImageIdentifier{ImageDigest: &digest}
}

func TestWalkthrough(t *testing.T) {
	clock := ecrclient.NewClock()
	e := ecr.New(ecr.Options{Now: clock.Now})
	if err := samples.PutWalkthrough(e); err != nil {
		t.Fatal(err)
	}
	const at = " 2026-11-23T11:00:00Z"
	want := []string{
		"123456789012/amazonlinux:2018.03 COMPLETE map[] 0 0" + at,
		"123456789012/test/centos:7 COMPLETE map[HIGH:7 LOW:7 MEDIUM:20] 34 0" + at,
		"123456789012/test/hardcases: COMPLETE map[HIGH:1 INFORMATIONAL:1 MEDIUM:1] 3 0" + at,
		"123456789012/test/hardcases: COMPLETE map[HIGH:1 LOW:1] 2 0" + at,
		"123456789012/test/hardcases: ScanNotFoundException",
		"123456789012/test/hardcases:multi ScanNotFoundException",
		"123456789012/test/hardcases:sha256-66b538a0d5a8193ee525b995616f6c1059e694ec02b30a9d8e53143d64260837.sig ScanNotFoundException",
		"123456789012/test/hardcases: ScanNotFoundException",
		"123456789012/test/hardcases:helm-chart ScanNotFoundException",
		"123456789012/test/hardcases:archived IMAGE_ARCHIVED",
		"123456789012/test/hardcases:unsupported ScanNotFoundException",
		"123456789012/test/hardcases:failed FAILED",
		"123456789012/test/hardcases:never-scanned ScanNotFoundException",
		"123456789012/test/hardcases:optional-fields,same-digest COMPLETE map[LOW:2 MEDIUM:1 UNDEFINED:2] 5 0" + at,
		"123456789012/test/ubuntu:16.04 COMPLETE map[INFORMATIONAL:19 LOW:24 MEDIUM:8] 51 0" + at,
		"123456789012/test/ubuntu:latest COMPLETE map[INFORMATIONAL:9 LOW:13 MEDIUM:7] 29 0" + at,
	}
	if diff := cmp.Diff(want, imageSummaries(t, e)); diff != "" {
		t.Errorf("images differ (-want +got):\n%s", diff)
	}

	c := ecrclient.Serve(t, e)
	started := map[string]string{}
	for _, id := range e.Repositories() {
		for _, img := range e.Images(id) {
			_, err := c.StartImageScan(t.Context(), &sdk.StartImageScanInput{RepositoryName: &id.Name, ImageId: imageByDigest(img.Digest)})
			started[strings.Join(img.Tags, ",")] = ecrclient.FailureOf(err).Code
		}
	}
	for tags, code := range map[string]string{
		"2018.03": "", "7": "", "16.04": "", "latest": "", "failed": "", "unsupported": "", "never-scanned": "", "optional-fields,same-digest": "",
		"multi": "UnsupportedImageTypeException", "helm-chart": "UnsupportedImageTypeException", "archived": "ImageArchivedException",
	} {
		if got, ok := started[tags]; !ok || got != code {
			t.Errorf("start %s: %q, want %q", tags, got, code)
		}
	}
	clock.Advance(2 * time.Second)
	out, err := c.DescribeImageScanFindings(t.Context(), &sdk.DescribeImageScanFindingsInput{RepositoryName: aws.String("test/hardcases"), ImageId: ecrclient.Tag("unsupported")})
	if err != nil || out.ImageScanStatus.Status != "FAILED" || *out.ImageScanStatus.Description != ecr.UnsupportedOS {
		t.Errorf("unsupported: %+v, %v", out, err)
	}
}

// TestWalkthroughFindings checks the fields of the findings that the README shows and that feeds need.
func TestWalkthroughFindings(t *testing.T) {
	e := ecr.New(ecr.Options{})
	if err := samples.PutWalkthrough(e); err != nil {
		t.Fatal(err)
	}
	c := ecrclient.Serve(t, e)
	for repository, link := range map[string]string{
		"test/centos": "https://access.redhat.com/security/cve/", "test/ubuntu": "http://people.ubuntu.com/~ubuntu-security/cve/",
	} {
		for _, img := range e.Images(ecr.RepositoryID{Name: repository}) {
			out, err := c.DescribeImageScanFindings(t.Context(), &sdk.DescribeImageScanFindingsInput{RepositoryName: &repository, ImageId: imageByDigest(img.Digest)})
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, f := range out.ImageScanFindings.Findings {
				attributes := map[string]string{}
				for _, a := range f.Attributes {
					attributes[*a.Key] = aws.ToString(a.Value)
				}
				if *f.Uri != link+*f.Name || aws.ToString(f.Description) == "" || attributes["package_name"] == "" || attributes["package_version"] == "" || seen[*f.Name] {
					t.Errorf("%s:%v: finding %s %s %v", repository, img.Tags, *f.Name, *f.Uri, attributes)
				}
				seen[*f.Name] = true
			}
			if img.Tags[0] != "16.04" {
				continue
			}
			first := out.ImageScanFindings.Findings[0]
			if *first.Name != "CVE-2016-1585" || first.Severity != "MEDIUM" || *first.Description != "In all versions of AppArmor mount rules are accidentally widened when compiled." {
				t.Errorf("first finding %s [%s] %s", *first.Name, first.Severity, *first.Description)
			}
		}
	}
}

// TestRepositoryOf100000Images pushes the maximum number of images that ECR allows in one repository, lists them and starts
// some scans.
func TestRepositoryOf100000Images(t *testing.T) {
	const images = 100_000
	clock := ecrclient.NewClock()
	e := ecr.New(ecr.Options{Now: clock.Now})
	findings := make([]ecr.Finding, 50)
	before := heapBytes()
	for range images {
		e.PutImage(app, ecr.Image{Findings: findings, ScannedAt: clock.Now().Add(-25 * time.Hour)})
	}
	if each := (heapBytes() - before) / images; each > 1500 {
		t.Errorf("an image takes %d bytes", each)
	}
	c := ecrclient.InProcess(e)
	seen := map[string]bool{}
	for p := sdk.NewDescribeImagesPaginator(c, &sdk.DescribeImagesInput{RepositoryName: &app.Name, MaxResults: aws.Int32(1000)}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range page.ImageDetails {
			seen[*d.ImageDigest] = true
			if i%500 != 0 {
				continue
			}
			if _, err := c.StartImageScan(t.Context(), &sdk.StartImageScanInput{RepositoryName: &app.Name, ImageId: imageByDigest(*d.ImageDigest)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(seen) != images {
		t.Errorf("%d images listed", len(seen))
	}
	if n := e.Count().Calls["StartImageScan"]; n != images/500 {
		t.Errorf("%d scans started", n)
	}
	runtime.KeepAlive(e)
}

func heapBytes() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
