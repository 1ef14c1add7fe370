package ecr_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/ecrclient"
)

var app = ecr.RepositoryID{Name: "test/app"}

func startScan(ctx context.Context, c *sdk.Client, ref string) error {
	_, err := c.StartImageScan(ctx, &sdk.StartImageScanInput{RepositoryName: &app.Name, ImageId: ecrclient.Tag(ref)})
	return err
}

func describe(t *testing.T, c *sdk.Client, ref string) *sdk.DescribeImageScanFindingsOutput {
	t.Helper()
	out, err := c.DescribeImageScanFindings(t.Context(), &sdk.DescribeImageScanFindingsInput{RepositoryName: &app.Name, ImageId: ecrclient.Tag(ref)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestScanTakesTime scans an image twice and changes its findings between the scans.
func TestScanTakesTime(t *testing.T) {
	clock := ecrclient.NewClock()
	e := ecr.New(ecr.Options{Now: clock.Now})
	id := e.PutImage(app, ecr.Image{Tags: []string{"1", "2"}, Findings: []ecr.Finding{{Name: "CVE-1", Severity: "HIGH"}}})
	c := ecrclient.Serve(t, e)

	out, err := c.StartImageScan(t.Context(), &sdk.StartImageScanInput{RepositoryName: &app.Name, ImageId: ecrclient.Tag("1")})
	if err != nil {
		t.Fatal(err)
	}
	if out.ImageScanStatus.Status != "IN_PROGRESS" || *out.ImageId.ImageDigest != id || *out.ImageId.ImageTag != "1" {
		t.Errorf("start: %+v", out)
	}
	if f := ecrclient.FailureOf(startScan(t.Context(), c, "2")); f.Code != "LimitExceededException" {
		t.Errorf("second start, by the other tag: %+v", f)
	}
	clock.Advance(2*time.Second - 1)
	if d := describe(t, c, "2"); d.ImageScanStatus.Status != "IN_PROGRESS" || d.ImageScanFindings != nil {
		t.Errorf("before the completion: %+v", d)
	}
	clock.Advance(1)
	done := clock.Now()
	if err := e.UpdateImage(app, "1", func(i *ecr.Image) { i.Findings = nil }); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Hour)
	d := describe(t, c, "2")
	if d.ImageScanStatus.Status != "COMPLETE" || *d.ImageScanStatus.Description != "The scan was completed successfully." {
		t.Errorf("status %+v", d.ImageScanStatus)
	}
	want := &types.ImageScanFindings{
		Findings:              []types.ImageScanFinding{{Name: aws.String("CVE-1"), Severity: "HIGH"}},
		FindingSeverityCounts: map[string]int32{"HIGH": 1}, ImageScanCompletedAt: &done, VulnerabilitySourceUpdatedAt: &done,
	}
	if diff := cmp.Diff(want, d.ImageScanFindings, ignoreSerde); diff != "" {
		t.Errorf("findings differ (-want +got):\n%s", diff)
	}

	clock.Advance(23*time.Hour - 1)
	if f := ecrclient.FailureOf(startScan(t.Context(), c, "1")); f.Code != "LimitExceededException" {
		t.Errorf("1 ns before the end of the 24 hours: %+v", f)
	}
	clock.Advance(1)
	if err := startScan(t.Context(), c, "1"); err != nil {
		t.Errorf("after 24 hours: %v", err)
	}
	clock.Advance(time.Minute)
	d = describe(t, c, "1")
	if f := d.ImageScanFindings; len(f.Findings) != 0 || f.Findings == nil || f.FindingSeverityCounts == nil || len(f.FindingSeverityCounts) != 0 {
		t.Errorf("after the change: %+v", f)
	}
	if got := e.Images(app)[0]; got.ScansStarted != 2 || !got.ScannedAt.Equal(done.Add(24*time.Hour+2*time.Second)) {
		t.Errorf("state %+v", got)
	}
}

// TestScanResultByScanType checks the response of DescribeImageScanFindings for different images and both types of scanning.
func TestScanResultByScanType(t *testing.T) {
	clock := ecrclient.NewClock()
	at := clock.Now().Add(-30 * time.Hour)
	basic := []ecr.Finding{{Name: "CVE-1", Severity: "LOW"}, {Name: "CVE-2"}}
	enhanced := []ecr.EnhancedFinding{{Title: "CVE-3 - zlib", Severity: "UNTRIAGED"}}
	const none = "ScanNotFoundException"
	tests := []struct {
		name            string
		img             ecr.Image
		basic, enhanced string // status, description, counts, number of basic and enhanced findings, whether there is a time
	}{
		{"never", ecr.Image{}, none, none},
		{"findings but never scanned", ecr.Image{Findings: basic}, none, none},
		{"basic", ecr.Image{ScannedAt: at, Findings: basic}, "COMPLETE The scan was completed successfully. map[LOW:1 UNDEFINED:1] 2 -1 true", none},
		{"clean", ecr.Image{ScannedAt: at}, "COMPLETE The scan was completed successfully. map[] 0 -1 true", none},
		{"enhanced", ecr.Image{Enhanced: enhanced}, none, "ACTIVE Continuous scan is selected for image. map[UNTRIAGED:1] -1 1 true"},
		{"enhanced clean", ecr.Image{Enhanced: []ecr.EnhancedFinding{}, ScanStatus: "COMPLETE"}, none, "COMPLETE  map[] -1 0 true"},
		{"enhanced with time", ecr.Image{ScannedAt: at, Enhanced: enhanced}, none, "ACTIVE Continuous scan is selected for image. map[UNTRIAGED:1] -1 1 true"},
		{"both", ecr.Image{ScannedAt: at, Findings: basic, Enhanced: enhanced},
			"COMPLETE The scan was completed successfully. map[LOW:1 UNDEFINED:1] 2 -1 true", "ACTIVE Continuous scan is selected for image. map[UNTRIAGED:1] -1 1 true"},
		{"recorded both", ecr.Image{ScannedAt: at, Findings: basic, Enhanced: enhanced, Recorded: true},
			"COMPLETE The scan was completed successfully. map[LOW:1 UNDEFINED:1 UNTRIAGED:1] 2 1 true", "COMPLETE The scan was completed successfully. map[LOW:1 UNDEFINED:1 UNTRIAGED:1] 2 1 true"},
		{"failed", ecr.Image{ScannedAt: at, Findings: basic, ScanStatus: "FAILED", ScanDescription: ecr.UnsupportedOS},
			"FAILED UnsupportedImageError: The operating system and/or package manager are not supported.",
			"FAILED UnsupportedImageError: The operating system and/or package manager are not supported."},
		{"pending", ecr.Image{ScannedAt: at, ScanStatus: "PENDING", ScanDescription: "Waiting."}, "PENDING Waiting.", "PENDING Waiting."},
		{"expired with findings", ecr.Image{ScanStatus: "SCAN_ELIGIBILITY_EXPIRED", ScanDescription: "Expired.", Enhanced: enhanced},
			none, "SCAN_ELIGIBILITY_EXPIRED Expired. map[UNTRIAGED:1] -1 1 true"},
		{"not ready", ecr.Image{ScannedAt: at, NotReady: true, Findings: basic}, "COMPLETE The scan was completed successfully. map[] 0 -1 false", none},
		{"enhanced not ready", ecr.Image{NotReady: true, Enhanced: enhanced}, none, "ACTIVE Continuous scan is selected for image. map[] 0 -1 false"},
		{"archived", ecr.Image{ScannedAt: at, Enhanced: enhanced, Findings: basic, Status: ecr.Archived}, "IMAGE_ARCHIVED The image is archived.", "IMAGE_ARCHIVED The image is archived."},
		{"index", ecr.Image{ScannedAt: at, Enhanced: enhanced, MediaType: ecr.OCIIndex}, none, none},
	}
	for _, test := range tests {
		for kind, want := range map[ecr.ScanType]string{ecr.Basic: test.basic, ecr.Enhanced: test.enhanced} {
			t.Run(test.name+" "+string(kind), func(t *testing.T) {
				e := ecr.New(ecr.Options{Now: clock.Now})
				e.SetScanType("", "", kind)
				test.img.Tags = []string{"1"}
				e.PutImage(app, test.img)
				if got := describeScan(t.Context(), ecrclient.Serve(t, e)); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
}

func describeScan(ctx context.Context, c *sdk.Client) string {
	out, err := c.DescribeImageScanFindings(ctx, &sdk.DescribeImageScanFindingsInput{RepositoryName: &app.Name, ImageId: ecrclient.Tag("1")})
	if err != nil {
		return ecrclient.FailureOf(err).Code
	}
	got := fmt.Sprintf("%s %s", out.ImageScanStatus.Status, aws.ToString(out.ImageScanStatus.Description))
	if f := out.ImageScanFindings; f != nil {
		size := func(n int, missing bool) int {
			if missing {
				return -1
			}
			return n
		}
		got += fmt.Sprintf(" %v %d %d %t", f.FindingSeverityCounts,
			size(len(f.Findings), f.Findings == nil), size(len(f.EnhancedFindings), f.EnhancedFindings == nil), f.ImageScanCompletedAt != nil)
	}
	return got
}

func TestScanOfUnsupportedImageFails(t *testing.T) {
	clock := ecrclient.NewClock()
	e := ecr.New(ecr.Options{Now: clock.Now})
	e.PutImage(app, ecr.Image{Tags: []string{"1"}, ScanStatus: "FAILED", ScanDescription: ecr.UnsupportedOS})
	c := ecrclient.Serve(t, e)
	if err := startScan(t.Context(), c, "1"); err != nil {
		t.Fatal(err)
	}
	if got := describeScan(t.Context(), c); got != "IN_PROGRESS " {
		t.Errorf("at once: %s", got)
	}
	clock.Advance(2 * time.Second)
	if got, want := describeScan(t.Context(), c), "FAILED "+ecr.UnsupportedOS; got != want {
		t.Errorf("later: %s, want %s", got, want)
	}
}

func TestScanOnPush(t *testing.T) {
	clock := ecrclient.NewClock()
	e := ecr.New(ecr.Options{Now: clock.Now, ScanTime: time.Minute})
	e.PutRepository(app, ecr.Repository{ScanOnPush: true})
	digest := e.PutImage(app, ecr.Image{Tags: []string{"1"}})
	c := ecrclient.Serve(t, e)
	if got := describeScan(t.Context(), c); got != "IN_PROGRESS " {
		t.Errorf("after the push: %s", got)
	}
	clock.Advance(23 * time.Hour)
	if f := ecrclient.FailureOf(startScan(t.Context(), c, "1")); f.Code != "LimitExceededException" {
		t.Errorf("within 24 hours of the scan on push: %+v", f)
	}
	e.PutImage(app, ecr.Image{Digest: digest, Tags: []string{"2"}})
	if got := e.Images(app); len(got) != 1 || got[0].ScansStarted != 1 || len(got[0].Tags) != 2 {
		t.Errorf("the same image pushed again: %+v", got)
	}
	e.PutImage(app, ecr.Image{Tags: []string{"1"}, ScanTime: 5 * time.Second})
	clock.Advance(5 * time.Second)
	if got := describeScan(t.Context(), c); got != "COMPLETE The scan was completed successfully. map[] 0 -1 true" {
		t.Errorf("after the tag moved to an image with a shorter scan: %s", got)
	}
}

func TestRegistryQuota(t *testing.T) {
	clock := ecrclient.NewClock()
	e := ecr.New(ecr.Options{Now: clock.Now, ScanQuota: 2})
	for i := range 3 {
		e.PutImage(app, ecr.Image{Tags: []string{fmt.Sprint(i)}})
	}
	c := ecrclient.Serve(t, e)
	for _, ref := range []string{"0", "1"} {
		if err := startScan(t.Context(), c, ref); err != nil {
			t.Fatal(err)
		}
	}
	want := ecrclient.NewFailure("LimitExceededException", "The scan quota per registry has been exceeded. Wait and try again.", 400)
	if diff := cmp.Diff(want, ecrclient.FailureOf(startScan(t.Context(), c, "2"))); diff != "" {
		t.Errorf("third start (-want +got):\n%s", diff)
	}
	clock.Advance(24 * time.Hour)
	if err := startScan(t.Context(), c, "2"); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

// TestFindingPages reads 7 basic and 5 enhanced findings with page sizes from 1 to 13.
func TestFindingPages(t *testing.T) {
	img := ecr.Image{Tags: []string{"1"}, ScannedAt: time.Now().Add(-time.Hour), Recorded: true}
	for i := range 7 {
		img.Findings = append(img.Findings, ecr.Finding{Name: fmt.Sprint("b", i), Severity: "LOW"})
	}
	for i := range 5 {
		img.Enhanced = append(img.Enhanced, ecr.EnhancedFinding{Title: fmt.Sprint("e", i), Severity: "HIGH"})
	}
	e := ecr.New(ecr.Options{})
	e.PutImage(app, img)
	c := ecrclient.Serve(t, e)
	want := []string{"b0", "b1", "b2", "b3", "b4", "b5", "b6", "e0", "e1", "e2", "e3", "e4"}
	for size := int32(1); size <= 13; size++ {
		var got []string
		pages := 0
		p := sdk.NewDescribeImageScanFindingsPaginator(c, &sdk.DescribeImageScanFindingsInput{RepositoryName: &app.Name, ImageId: ecrclient.Tag("1"), MaxResults: &size})
		for ; p.HasMorePages(); pages++ {
			page, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range page.ImageScanFindings.Findings {
				got = append(got, *f.Name)
			}
			for _, f := range page.ImageScanFindings.EnhancedFindings {
				got = append(got, *f.Title)
			}
			if diff := cmp.Diff(map[string]int32{"LOW": 7, "HIGH": 5}, page.ImageScanFindings.FindingSeverityCounts); diff != "" {
				t.Errorf("size %d, page %d: counts differ:\n%s", size, pages, diff)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("size %d (-want +got):\n%s", size, diff)
		}
		if want := (12 + int(size) - 1) / int(size); pages != want {
			t.Errorf("size %d: %d pages, want %d", size, pages, want)
		}
	}
}

// TestEnhancedFindingFields reads every field of an enhanced finding with the SDK.
func TestEnhancedFindingFields(t *testing.T) {
	at := time.Date(2026, 11, 1, 2, 3, 4, 625e6, time.UTC)
	stamp := ecr.Time{Time: at}
	e := ecr.New(ecr.Options{})
	e.SetScanType("", "", ecr.Enhanced)
	e.PutImage(app, ecr.Image{Tags: []string{"1"}, Enhanced: []ecr.EnhancedFinding{{
		AWSAccountID: "123456789012", Description: "d", ARN: "arn", FirstObservedAt: stamp, LastObservedAt: stamp, UpdatedAt: stamp,
		Score: 9.8, ScoreDetails: []byte(`{"cvss":{"score":9.8,"scoreSource":"NVD"}}`), Severity: "CRITICAL", Status: "ACTIVE",
		Title: "CVE-1 - zlib", Type: "PACKAGE_VULNERABILITY", FixAvailable: "YES", ExploitAvailable: "NO",
		PackageDetails: &ecr.PackageVulnerability{
			VulnerabilityID: "CVE-1", Source: "NVD", SourceURL: "https://nvd.example/CVE-1", VendorCreatedAt: stamp, VendorSeverity: "HIGH", VendorUpdatedAt: stamp,
			CVSS: []ecr.CVSS{{BaseScore: 9.8, ScoringVector: "v", Source: "NVD", Version: "3.1"}}, ReferenceURLs: []string{"https://a.example"}, RelatedVulnerabilities: []string{"CVE-2"},
			VulnerablePackages: []ecr.VulnerablePackage{{Name: "zlib", Version: "1.2", FixedInVersion: "1.3", PackageManager: "OS", FilePath: "/lib", Arch: "X86_64", Epoch: 1, Release: "r", SourceLayerHash: "sha256:1"}},
		},
		Remediation: &ecr.Remediation{Recommendation: ecr.Recommendation{Text: "update", URL: "https://b.example"}},
		Resources: []ecr.Resource{{ID: "i", Type: "AWS_ECR_CONTAINER_IMAGE", Tags: map[string]string{"k": "v"},
			Details: ecr.ResourceDetails{Image: &ecr.ResourceImage{Architecture: "amd64", ImageTags: []string{"1"}, PushedAt: stamp, InUseCount: 2}}}},
	}}})
	got := describe(t, ecrclient.Serve(t, e), "1").ImageScanFindings.EnhancedFindings
	want := []types.EnhancedImageScanFinding{{
		AwsAccountId: aws.String("123456789012"), Description: aws.String("d"), FindingArn: aws.String("arn"), FirstObservedAt: &at, LastObservedAt: &at, UpdatedAt: &at,
		Score: 9.8, ScoreDetails: &types.ScoreDetails{Cvss: &types.CvssScoreDetails{Score: 9.8, ScoreSource: aws.String("NVD")}}, Severity: aws.String("CRITICAL"), Status: aws.String("ACTIVE"),
		Title: aws.String("CVE-1 - zlib"), Type: aws.String("PACKAGE_VULNERABILITY"), FixAvailable: aws.String("YES"), ExploitAvailable: aws.String("NO"),
		PackageVulnerabilityDetails: &types.PackageVulnerabilityDetails{
			VulnerabilityId: aws.String("CVE-1"), Source: aws.String("NVD"), SourceUrl: aws.String("https://nvd.example/CVE-1"), VendorCreatedAt: &at, VendorSeverity: aws.String("HIGH"), VendorUpdatedAt: &at,
			Cvss:          []types.CvssScore{{BaseScore: 9.8, ScoringVector: aws.String("v"), Source: aws.String("NVD"), Version: aws.String("3.1")}},
			ReferenceUrls: []string{"https://a.example"}, RelatedVulnerabilities: []string{"CVE-2"},
			VulnerablePackages: []types.VulnerablePackage{{Name: aws.String("zlib"), Version: aws.String("1.2"), FixedInVersion: aws.String("1.3"), PackageManager: aws.String("OS"),
				FilePath: aws.String("/lib"), Arch: aws.String("X86_64"), Epoch: aws.Int32(1), Release: aws.String("r"), SourceLayerHash: aws.String("sha256:1")}},
		},
		Remediation: &types.Remediation{Recommendation: &types.Recommendation{Text: aws.String("update"), Url: aws.String("https://b.example")}},
		Resources: []types.Resource{{Id: aws.String("i"), Type: aws.String("AWS_ECR_CONTAINER_IMAGE"), Tags: map[string]string{"k": "v"},
			Details: &types.ResourceDetails{AwsEcrContainerImage: &types.AwsEcrContainerImageDetails{Architecture: aws.String("amd64"), ImageTags: []string{"1"}, PushedAt: &at, InUseCount: aws.Int64(2)}}}},
	}}
	if diff := cmp.Diff(want, got, ignoreSerde); diff != "" {
		t.Errorf("findings differ (-want +got):\n%s", diff)
	}
}

// TestUpdateImage changes the visible result of an image with another ScannedAt.
func TestUpdateImage(t *testing.T) {
	clock := ecrclient.NewClock()
	e := ecr.New(ecr.Options{Now: clock.Now})
	e.PutImage(app, ecr.Image{Tags: []string{"1"}, ScannedAt: clock.Now().Add(-time.Hour)})
	c := ecrclient.Serve(t, e)
	err := e.UpdateImage(app, "1", func(i *ecr.Image) {
		i.ScannedAt, i.ScanStatus, i.Tags = clock.Now(), "FAILED", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := describeScan(t.Context(), c); got != "FAILED " {
		t.Errorf("got %s", got)
	}
	for _, ref := range []string{"2", digest('a')} {
		if e.UpdateImage(app, ref, func(*ecr.Image) {}) == nil || e.DeleteImage(app, ref) == nil {
			t.Errorf("%s: no error for an image that doesn't exist", ref)
		}
	}
	if e.DeleteImage(ecr.RepositoryID{Name: "none"}, "1") == nil {
		t.Error("no error for a repository that doesn't exist")
	}
	e.DeleteRepository(app)
	if got := describeScan(t.Context(), c); got != "RepositoryNotFoundException" {
		t.Errorf("after the repository was deleted: %s", got)
	}
}

// TestScanOnAFakeClock runs the SDK's client and the handler on a fake clock, without a socket and with a delay of each call.
func TestScanOnAFakeClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := ecr.New(ecr.Options{ScanTime: time.Minute})
		e.PutImage(app, ecr.Image{Tags: []string{"1"}})
		e.InjectFault(awslocal.Fault{Delay: 30 * time.Millisecond})
		c := ecrclient.InProcess(e)
		began := time.Now()
		if err := startScan(t.Context(), c, "1"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 30*time.Millisecond {
			t.Errorf("the call took %s", took)
		}
		time.Sleep(time.Minute)
		if got := describeScan(t.Context(), c); got != "COMPLETE The scan was completed successfully. map[] 0 -1 true" {
			t.Errorf("got %s", got)
		}
	})
}
