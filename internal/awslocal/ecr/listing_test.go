package ecr_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/ecrclient"
)

// digestLetters reads all pages of DescribeImages. It returns the first letter of each digest.
func digestLetters(t *testing.T, c *sdk.Client, in *sdk.DescribeImagesInput) (ids string, pages int) {
	t.Helper()
	for p := sdk.NewDescribeImagesPaginator(c, in); p.HasMorePages(); pages++ {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, image := range page.ImageDetails {
			ids += aws.ToString(image.ImageDigest)[7:8]
		}
	}
	return ids, pages
}

func TestImagePages(t *testing.T) {
	e := ecr.New(ecr.Options{})
	id := ecr.RepositoryID{Name: "test/app"}
	e.PutImage(id, ecr.Image{Digest: digest('a'), Tags: []string{"3", "1", "2"}})
	e.PutImage(id, ecr.Image{Digest: digest('b')})
	e.PutImage(id, ecr.Image{Digest: digest('c'), Tags: []string{"x"}, Status: ecr.Archived})
	e.PutImage(id, ecr.Image{Digest: digest('d'), Tags: []string{"y"}, Status: ecr.Activating})
	e.PutImage(id, ecr.Image{Digest: digest('e'), Tags: []string{"4", "5"}})

	tests := []struct {
		name   string
		filter *types.DescribeImagesFilter
		want   string
	}{
		{"default", nil, "abe"},
		{"any tag", &types.DescribeImagesFilter{TagStatus: "ANY"}, "abe"},
		{"tagged", &types.DescribeImagesFilter{TagStatus: "TAGGED"}, "ae"},
		{"untagged", &types.DescribeImagesFilter{TagStatus: "UNTAGGED"}, "b"},
		{"archived", &types.DescribeImagesFilter{ImageStatus: "ARCHIVED"}, "c"},
		{"activating", &types.DescribeImagesFilter{ImageStatus: "ACTIVATING"}, "d"},
		{"all", &types.DescribeImagesFilter{ImageStatus: "ANY", TagStatus: "TAGGED"}, "acde"},
	}
	for _, test := range tests {
		for size := int32(1); size <= 5; size++ {
			t.Run(fmt.Sprint(test.name, size), func(t *testing.T) {
				got, pages := digestLetters(t, ecrclient.Serve(t, e), &sdk.DescribeImagesInput{
					RepositoryName: aws.String("test/app"), Filter: test.filter, MaxResults: aws.Int32(size),
				})
				if got != test.want {
					t.Errorf("images %s, want %s", got, test.want)
				}
				if want := (len(test.want) + int(size) - 1) / int(size); pages != want {
					t.Errorf("%d pages, want %d", pages, want)
				}
			})
		}
	}
}

func TestDefaultPageSizeIs100(t *testing.T) {
	e := ecr.New(ecr.Options{})
	for i := range 101 {
		e.PutImage(ecr.RepositoryID{Name: "test/app"}, ecr.Image{Tags: []string{fmt.Sprint(i)}})
		e.PutRepository(ecr.RepositoryID{Name: fmt.Sprintf("r%03d", i)}, ecr.Repository{})
	}
	c := ecrclient.Serve(t, e)
	app := aws.String("test/app")
	images, err := c.DescribeImages(t.Context(), &sdk.DescribeImagesInput{RepositoryName: app})
	if err != nil || len(images.ImageDetails) != 100 || images.NextToken == nil {
		t.Errorf("DescribeImages: %d, %v", len(images.ImageDetails), err)
	}
	repositories, err := c.DescribeRepositories(t.Context(), &sdk.DescribeRepositoriesInput{})
	if err != nil || len(repositories.Repositories) != 100 || repositories.NextToken == nil {
		t.Errorf("DescribeRepositories: %d, %v", len(repositories.Repositories), err)
	}
}

// TestTokenOfAnotherRequestIsRejected checks that a token of another operation, filter or repository is rejected.
func TestTokenOfAnotherRequestIsRejected(t *testing.T) {
	e := ecr.New(ecr.Options{})
	for i := range 3 {
		e.PutImage(ecr.RepositoryID{Name: "test/app"}, ecr.Image{Tags: []string{fmt.Sprint(i)}})
		e.PutImage(ecr.RepositoryID{Name: "test/other"}, ecr.Image{Tags: []string{fmt.Sprint(i)}})
	}
	c := ecrclient.Serve(t, e)
	app, other := aws.String("test/app"), aws.String("test/other")
	first, err := c.DescribeImages(t.Context(), &sdk.DescribeImagesInput{RepositoryName: app, MaxResults: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	token := first.NextToken
	if _, err := c.DescribeImages(t.Context(), &sdk.DescribeImagesInput{RepositoryName: app, NextToken: token}); err != nil {
		t.Errorf("with another size: %v", err)
	}
	_, err = c.DescribeImages(t.Context(), &sdk.DescribeImagesInput{RepositoryName: other, NextToken: token})
	if ecrclient.FailureOf(err).Code != "InvalidParameterException" {
		t.Errorf("of another repository: %v", err)
	}
	_, err = c.DescribeRepositories(t.Context(), &sdk.DescribeRepositoriesInput{NextToken: token})
	if ecrclient.FailureOf(err).Code != "InvalidParameterException" {
		t.Errorf("of another operation: %v", err)
	}
	_, err = c.DescribeImages(t.Context(), &sdk.DescribeImagesInput{RepositoryName: app, NextToken: token, Filter: &types.DescribeImagesFilter{TagStatus: "TAGGED"}})
	if ecrclient.FailureOf(err).Code != "InvalidParameterException" {
		t.Errorf("of another filter: %v", err)
	}
}

// TestListingWhileImagesChange pushes and deletes images and moves tags between two pages. The other images are listed once.
func TestListingWhileImagesChange(t *testing.T) {
	e := ecr.New(ecr.Options{})
	id := ecr.RepositoryID{Name: "test/app"}
	for i := range 6 {
		e.PutImage(id, ecr.Image{Tags: []string{fmt.Sprint(i)}})
	}
	c := ecrclient.Serve(t, e)
	in := &sdk.DescribeImagesInput{RepositoryName: aws.String("test/app"), MaxResults: aws.Int32(2)}
	p := sdk.NewDescribeImagesPaginator(c, in)
	var got []string
	for p.HasMorePages() {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.ImageDetails {
			got = append(got, strings.Join(d.ImageTags, ","))
		}
		if len(got) == 2 {
			for _, tag := range []string{"0", "1", "3"} {
				if err := e.DeleteImage(id, tag); err != nil {
					t.Fatal(err)
				}
			}
			e.PutImage(id, ecr.Image{Tags: []string{"new", "4"}})
		}
	}
	if diff := cmp.Diff([]string{"0", "1", "2", "", "5", "4,new"}, got); diff != "" {
		t.Errorf("images differ (-want +got):\n%s", diff)
	}
}

func TestDescribeImages(t *testing.T) {
	pushed := time.Date(2026, 10, 1, 2, 3, 4, 500e6, time.UTC)
	e := ecr.New(ecr.Options{})
	id := ecr.RepositoryID{Region: "eu-west-1", Registry: "999999999999", Name: "test/app"}
	e.PutImage(id, ecr.Image{Digest: digest('a'), Tags: []string{"1", "2"}, PushedAt: pushed, Size: 7})
	e.PutImage(id, ecr.Image{Digest: digest('b'), MediaType: ecr.OCIManifest, ArtifactMediaType: "application/spdx+json", Subject: digest('a'), PushedAt: pushed})
	e.PutImage(id, ecr.Image{Digest: digest('c'), Tags: []string{"old"}, Status: ecr.Archived, PushedAt: pushed})
	e.PutImage(id, ecr.Image{Digest: digest('d'), Tags: []string{"bare"}, MediaType: ecr.OCIIndex, PushedAt: pushed})
	c := ecrclient.Serve(t, e, func(o *sdk.Options) { o.Region = "eu-west-1" })
	detail := func(d types.ImageDetail, size int64) types.ImageDetail {
		d.RegistryId, d.RepositoryName = aws.String("999999999999"), aws.String("test/app")
		d.ImagePushedAt, d.ImageSizeInBytes = &pushed, &size
		return d
	}
	a := detail(types.ImageDetail{ImageDigest: aws.String(digest('a')), ImageTags: []string{"1", "2"}, ImageStatus: "ACTIVE",
		ImageManifestMediaType: aws.String(ecr.DockerManifest), ArtifactMediaType: aws.String(ecr.DockerImageConfig)}, 7)
	b := detail(types.ImageDetail{ImageDigest: aws.String(digest('b')), ImageStatus: "ACTIVE", SubjectManifestDigest: aws.String(digest('a')),
		ImageManifestMediaType: aws.String(ecr.OCIManifest), ArtifactMediaType: aws.String("application/spdx+json")}, 0)
	old := detail(types.ImageDetail{ImageDigest: aws.String(digest('c')), ImageTags: []string{"old"}, ImageStatus: "ARCHIVED",
		ImageManifestMediaType: aws.String(ecr.DockerManifest), ArtifactMediaType: aws.String(ecr.DockerImageConfig)}, 0)
	index := detail(types.ImageDetail{ImageDigest: aws.String(digest('d')), ImageTags: []string{"bare"}, ImageStatus: "ACTIVE",
		ImageManifestMediaType: aws.String(ecr.OCIIndex)}, 0)

	tests := []struct {
		name string
		in   sdk.DescribeImagesInput
		want []types.ImageDetail
	}{
		{"all", sdk.DescribeImagesInput{}, []types.ImageDetail{a, b, index}},
		{"tagged", sdk.DescribeImagesInput{Filter: &types.DescribeImagesFilter{TagStatus: "TAGGED"}}, []types.ImageDetail{a, index}},
		{"untagged", sdk.DescribeImagesInput{Filter: &types.DescribeImagesFilter{TagStatus: "UNTAGGED"}}, []types.ImageDetail{b}},
		{"archived", sdk.DescribeImagesInput{Filter: &types.DescribeImagesFilter{ImageStatus: "ARCHIVED"}}, []types.ImageDetail{old}},
		{"any status", sdk.DescribeImagesInput{Filter: &types.DescribeImagesFilter{ImageStatus: "ANY"}}, []types.ImageDetail{a, b, old, index}},
		{"two tags of one", sdk.DescribeImagesInput{ImageIds: []types.ImageIdentifier{*ecrclient.Tag("2"), *ecrclient.Tag("old"), *ecrclient.Tag("1")}}, []types.ImageDetail{a, old}},
		{"by digest", sdk.DescribeImagesInput{ImageIds: []types.ImageIdentifier{{ImageDigest: aws.String(digest('b'))}}}, []types.ImageDetail{b}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.in.RegistryId, test.in.RepositoryName = aws.String("999999999999"), aws.String("test/app")
			out, err := c.DescribeImages(t.Context(), &test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, out.ImageDetails, ignoreSerde); diff != "" {
				t.Errorf("images differ (-want +got):\n%s", diff)
			}
		})
	}
}

// ignoreSerde excludes the SDK's unexported marker fields from a comparison.
var ignoreSerde = cmp.FilterPath(func(p cmp.Path) bool { return strings.Contains(p.Last().String(), "noSmithyDocumentSerde") }, cmp.Ignore())

func TestDescribeRepositories(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := ecr.New(ecr.Options{})
	for _, name := range []string{"zoo", "app/b", "app/a"} {
		e.PutRepository(ecr.RepositoryID{Name: name}, ecr.Repository{CreatedAt: created, ScanOnPush: name == "zoo"})
	}
	e.PutRepository(ecr.RepositoryID{Region: "cn-north-1", Name: "app"}, ecr.Repository{CreatedAt: created})
	e.PutRepository(ecr.RepositoryID{Registry: "999999999999", Name: "app"}, ecr.Repository{CreatedAt: created})
	c := ecrclient.Serve(t, e)

	var names []string
	for p := sdk.NewDescribeRepositoriesPaginator(c, &sdk.DescribeRepositoriesInput{MaxResults: aws.Int32(1)}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Repositories {
			names = append(names, *r.RepositoryName)
		}
	}
	if want := []string{"app/a", "app/b", "zoo"}; !slices.Equal(names, want) {
		t.Errorf("repositories %v, want %v", names, want)
	}

	out, err := c.DescribeRepositories(t.Context(), &sdk.DescribeRepositoriesInput{})
	if err != nil {
		t.Fatal(err)
	}
	zoo := out.Repositories[2]
	if *zoo.RepositoryArn != "arn:aws:ecr:us-west-2:123456789012:repository/zoo" || !zoo.CreatedAt.Equal(created) || !zoo.ImageScanningConfiguration.ScanOnPush {
		t.Errorf("repository %+v", zoo)
	}
	out, err = c.DescribeRepositories(t.Context(), &sdk.DescribeRepositoriesInput{}, func(o *sdk.Options) { o.Region = "cn-north-1" })
	if err != nil {
		t.Fatal(err)
	}
	app := out.Repositories[0]
	if *app.RepositoryArn != "arn:aws-cn:ecr:cn-north-1:123456789012:repository/app" {
		t.Errorf("ARN %s", *app.RepositoryArn)
	}
}

func TestBatchGetImage(t *testing.T) {
	e := ecr.New(ecr.Options{})
	id := ecr.RepositoryID{Name: "test/app"}
	e.PutImage(id, ecr.Image{Digest: digest('a'), Tags: []string{"plain"}})
	e.PutImage(id, ecr.Image{Digest: digest('b'), Tags: []string{"given"}, Manifest: `{"x":1}`})
	e.PutImage(id, ecr.Image{Digest: digest('c'), Tags: []string{"archived"}, Status: ecr.Archived})
	index := e.PutImage(id, ecr.Image{Tags: []string{"multi"}, Children: []ecr.Child{{Digest: digest('a'), OS: "linux", Arch: "arm64", Variant: "v8", Size: 5}}})
	c := ecrclient.Serve(t, e)
	out, err := c.BatchGetImage(t.Context(), &sdk.BatchGetImageInput{RepositoryName: aws.String("test/app"), ImageIds: []types.ImageIdentifier{
		*ecrclient.Tag("given"), *ecrclient.Tag("multi"), *ecrclient.Tag("none"), {}, *ecrclient.Tag("archived"), *ecrclient.Tag("plain"), {ImageDigest: aws.String("x")},
		{ImageDigest: aws.String(digest('b')), ImageTag: aws.String("plain")}, {ImageDigest: aws.String(digest('a'))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range out.Images {
		got = append(got, aws.ToString(i.ImageId.ImageTag)+" "+(*i.ImageId.ImageDigest)[:9]+" "+*i.ImageManifestMediaType)
	}
	want := []string{
		"given sha256:bb " + ecr.DockerManifest, "multi " + index[:9] + " " + ecr.OCIIndex,
		"plain sha256:aa " + ecr.DockerManifest, " sha256:aa " + ecr.DockerManifest,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images differ (-want +got):\n%s", diff)
	}
	if *out.Images[0].ImageManifest != `{"x":1}` {
		t.Errorf("manifest %s", *out.Images[0].ImageManifest)
	}
	const manifest = `{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":5,"digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","platform":{"architecture":"arm64","os":"linux","variant":"v8"}}],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}`
	if *out.Images[1].ImageManifest != manifest {
		t.Errorf("index %s", *out.Images[1].ImageManifest)
	}
	var failures []string
	for _, f := range out.Failures {
		failures = append(failures, string(f.FailureCode)+": "+*f.FailureReason)
	}
	wantFailures := []string{
		"ImageNotFound: Requested image not found", "MissingDigestAndTag: Both image digest and image tag are missing",
		"ImageInaccessible: Requested image is archived", "InvalidImageDigest: Invalid image digest",
		"ImageTagDoesNotMatchDigest: Image tag does not match digest",
	}
	if diff := cmp.Diff(wantFailures, failures); diff != "" {
		t.Errorf("failures differ (-want +got):\n%s", diff)
	}

	accepted, err := c.BatchGetImage(t.Context(), &sdk.BatchGetImageInput{RepositoryName: aws.String("test/app"),
		ImageIds: []types.ImageIdentifier{*ecrclient.Tag("multi")}, AcceptedMediaTypes: []string{ecr.OCIManifest}})
	if err != nil || len(accepted.Images) != 0 || accepted.Failures[0].FailureCode != "ImageNotFound" {
		t.Errorf("media type that was not accepted: %+v, %v", accepted, err)
	}
}

// An index can list what is not an image, and an image can have an artifact type and a subject of its own.
func TestManifestsOfArtifacts(t *testing.T) {
	e := ecr.New(ecr.Options{})
	soci := "application/vnd.amazon.soci.index.v2+json"
	e.PutImage(app, ecr.Image{Tags: []string{"soci"}, MediaType: ecr.OCIManifest, ArtifactMediaType: soci})
	e.PutImage(app, ecr.Image{Tags: []string{"runnable"}, MediaType: ecr.OCIManifest, ArtifactMediaType: "text/own", ConfigMediaType: ecr.OCIImageConfig, Subject: digest('a')})
	e.PutImage(app, ecr.Image{Tags: []string{"index"}, Children: []ecr.Child{
		{Digest: digest('a'), ArtifactType: soci, Annotations: map[string]string{"a": "b"}}, {Digest: digest('b'), OS: "windows", Arch: "amd64", OSVersion: "10.0.1.2"},
	}})
	c := ecrclient.Serve(t, e)
	out, err := c.BatchGetImage(t.Context(), &sdk.BatchGetImageInput{RepositoryName: &app.Name, ImageIds: []types.ImageIdentifier{
		*ecrclient.Tag("soci"), *ecrclient.Tag("runnable"), *ecrclient.Tag("index"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		`"config":{"mediaType":"` + soci + `"`, `"artifactType":"text/own","config":{"mediaType":"` + ecr.OCIImageConfig + `"`,
		`{"mediaType":"` + ecr.OCIManifest + `","size":0,"digest":"` + digest('a') + `","artifactType":"` + soci + `","annotations":{"a":"b"}},` +
			`{"mediaType":"` + ecr.OCIManifest + `","size":0,"digest":"` + digest('b') + `","platform":{"architecture":"amd64","os":"windows","os.version":"10.0.1.2"}}`,
	} {
		if got := *out.Images[i].ImageManifest; !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if err := startScan(t.Context(), c, "runnable"); err != nil {
		t.Error(err)
	}
	if f := ecrclient.FailureOf(startScan(t.Context(), c, "soci")); f.Code != "UnsupportedImageTypeException" {
		t.Errorf("%+v", f)
	}
}
