package ecr_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
	"ecr-continuous-scan/internal/awslocal/ecr"
	"ecr-continuous-scan/test/ecrclient"
)

// errorRegistry returns an ECR for the table of errors: a repository with an image for each error, and a repository of another
// account with enhanced scanning.
func errorRegistry(c *ecrclient.Clock) *ecr.ECR {
	e := ecr.New(ecr.Options{Now: c.Now})
	id := ecr.RepositoryID{Name: "test/app"}
	twoDaysAgo := c.Now().Add(-48 * time.Hour)
	e.PutImage(id, ecr.Image{Digest: digest('a'), Tags: []string{"old", "older"}, ScannedAt: twoDaysAgo})
	e.PutImage(id, ecr.Image{Digest: digest('b'), Tags: []string{"fresh"}, ScannedAt: c.Now().Add(-time.Hour)})
	e.PutImage(id, ecr.Image{Digest: digest('c'), Tags: []string{"never"}})
	e.PutImage(id, ecr.Image{Digest: digest('d'), Tags: []string{"archived"}, Status: ecr.Archived})
	e.PutImage(id, ecr.Image{Digest: digest('e'), Tags: []string{"multi"}, MediaType: ecr.OCIIndex})
	e.PutImage(id, ecr.Image{Digest: digest('f'), Tags: []string{"chart"}, MediaType: ecr.OCIManifest, ArtifactMediaType: "application/vnd.cncf.helm.config.v1+json"})
	e.SetScanType(awslocal.DefaultRegion, "999999999999", ecr.Enhanced)
	e.PutImage(ecr.RepositoryID{Registry: "999999999999", Name: "test/app"}, ecr.Image{Tags: []string{"old"}})
	return e
}

func digest(c byte) string { return "sha256:" + strings.Repeat(string(c), 64) }

func TestErrors(t *testing.T) {
	app := aws.String("test/app")
	const (
		noRepository = "The repository with name 'test/none' does not exist in the registry with id '123456789012'"
		badName      = "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '" +
			`[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*` + "''"
		badRegistry = "Invalid parameter at 'registryId' failed to satisfy constraint: 'must satisfy regular expression '[0-9]{12}''"
		badSize     = "Invalid parameter at 'maxResults' failed to satisfy constraint: 'must be between 1 and 1000'"
		badToken    = "Invalid parameter at 'nextToken' failed to satisfy constraint: 'is not a token of this operation with these parameters'"
		noImage     = "The image with imageId {imageDigest:'null', imageTag:'none'} does not exist within the repository with name 'test/app' in the registry with id '123456789012'"
		perImage    = "The scan quota per image has been exceeded. Wait and try again."
	)
	type call func(context.Context, *sdk.Client) error
	repositories := func(in *sdk.DescribeRepositoriesInput) call {
		return func(ctx context.Context, c *sdk.Client) error { _, err := c.DescribeRepositories(ctx, in); return err }
	}
	images := func(in *sdk.DescribeImagesInput) call {
		return func(ctx context.Context, c *sdk.Client) error { _, err := c.DescribeImages(ctx, in); return err }
	}
	get := func(in *sdk.BatchGetImageInput) call {
		return func(ctx context.Context, c *sdk.Client) error { _, err := c.BatchGetImage(ctx, in); return err }
	}
	start := func(in *sdk.StartImageScanInput) call {
		return func(ctx context.Context, c *sdk.Client) error { _, err := c.StartImageScan(ctx, in); return err }
	}
	findings := func(in *sdk.DescribeImageScanFindingsInput) call {
		return func(ctx context.Context, c *sdk.Client) error {
			_, err := c.DescribeImageScanFindings(ctx, in)
			return err
		}
	}
	many := make([]types.ImageIdentifier, 101)
	for i := range many {
		many[i] = *ecrclient.Tag("old")
	}

	tests := []struct {
		name string
		call call
		want ecrclient.Failure
	}{
		{"DescribeRepositories bad registry", repositories(&sdk.DescribeRepositoriesInput{RegistryId: aws.String("12345678901")}),
			ecrclient.NewFailure("InvalidParameterException", badRegistry, 400)},
		{"DescribeRepositories bad size", repositories(&sdk.DescribeRepositoriesInput{MaxResults: aws.Int32(1001)}),
			ecrclient.NewFailure("InvalidParameterException", badSize, 400)},
		{"DescribeRepositories bad token", repositories(&sdk.DescribeRepositoriesInput{NextToken: aws.String("eA==")}),
			ecrclient.NewFailure("InvalidParameterException", badToken, 400)},

		{"DescribeImages other region", func(ctx context.Context, c *sdk.Client) error {
			_, err := c.DescribeImages(ctx, &sdk.DescribeImagesInput{RepositoryName: app}, func(o *sdk.Options) { o.Region = "eu-west-1" })
			return err
		}, ecrclient.NewFailure("RepositoryNotFoundException", strings.ReplaceAll(noRepository, "none", "app"), 400)},
		{"DescribeImages bad name", images(&sdk.DescribeImagesInput{RepositoryName: aws.String("Test/App")}),
			ecrclient.NewFailure("InvalidParameterException", badName, 400)},
		{"DescribeImages short name", images(&sdk.DescribeImagesInput{RepositoryName: aws.String("a")}),
			ecrclient.NewFailure("InvalidParameterException", "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must have length between 2 and 256'", 400)},
		{"DescribeImages bad size", images(&sdk.DescribeImagesInput{RepositoryName: app, MaxResults: aws.Int32(0)}),
			ecrclient.NewFailure("InvalidParameterException", badSize, 400)},
		{"DescribeImages bad token", images(&sdk.DescribeImagesInput{RepositoryName: app, NextToken: aws.String("not a token")}),
			ecrclient.NewFailure("InvalidParameterException", badToken, 400)},
		{"DescribeImages bad filter", images(&sdk.DescribeImagesInput{RepositoryName: app, Filter: &types.DescribeImagesFilter{TagStatus: "SOME"}}),
			ecrclient.NewFailure("InvalidParameterException", "Invalid parameter at 'filter.tagStatus' failed to satisfy constraint: 'must satisfy enum value set: [TAGGED, UNTAGGED, ANY]'", 400)},

		{"DescribeImages unknown", images(&sdk.DescribeImagesInput{RepositoryName: aws.String("test/none")}),
			ecrclient.NewFailure("RepositoryNotFoundException", noRepository, 400)},
		{"DescribeImages one unknown tag", images(&sdk.DescribeImagesInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{*ecrclient.Tag("old"), *ecrclient.Tag("none")}}),
			ecrclient.NewFailure("ImageNotFoundException", noImage, 400)},
		{"DescribeImages tag of another digest", images(&sdk.DescribeImagesInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("old"), ImageDigest: aws.String(digest('b'))}}}),
			ecrclient.NewFailure("ImageNotFoundException", "The image with imageId {imageDigest:'"+digest('b')+"', imageTag:'old'} does not exist within the repository with name 'test/app' in the registry with id '123456789012'", 400)},
		{"DescribeImages 101 ids", images(&sdk.DescribeImagesInput{RepositoryName: app, ImageIds: many}),
			ecrclient.NewFailure("InvalidParameterException", "Invalid parameter at 'imageIds' failed to satisfy constraint: 'must have between 1 and 100 members'", 400)},
		{"DescribeImages ids and size", images(&sdk.DescribeImagesInput{RepositoryName: app, ImageIds: many[:1], MaxResults: aws.Int32(5)}),
			ecrclient.NewFailure("InvalidParameterException", "Invalid parameter at 'imageIds' failed to satisfy constraint: 'cannot be used with maxResults or nextToken'", 400)},
		{"DescribeImages bad status", images(&sdk.DescribeImagesInput{RepositoryName: app, Filter: &types.DescribeImagesFilter{ImageStatus: "OLD"}}),
			ecrclient.NewFailure("InvalidParameterException", "Invalid parameter at 'filter.imageStatus' failed to satisfy constraint: 'must satisfy enum value set: [ACTIVE, ARCHIVED, ACTIVATING, ANY]'", 400)},
		{"DescribeImages empty id", images(&sdk.DescribeImagesInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{{}}}),
			ecrclient.NewFailure("InvalidParameterException", "Invalid parameter at 'imageIds' failed to satisfy constraint: 'must have an imageDigest or an imageTag'", 400)},

		{"BatchGetImage unknown", get(&sdk.BatchGetImageInput{RepositoryName: aws.String("test/none"), ImageIds: many[:1]}),
			ecrclient.NewFailure("RepositoryNotFoundException", noRepository, 400)},
		{"BatchGetImage 101 ids", get(&sdk.BatchGetImageInput{RepositoryName: app, ImageIds: many}),
			ecrclient.NewFailure("InvalidParameterException", "Invalid parameter at 'imageIds' failed to satisfy constraint: 'must have between 1 and 100 members'", 400)},

		{"StartImageScan unknown", start(&sdk.StartImageScanInput{RepositoryName: aws.String("test/none"), ImageId: ecrclient.Tag("old")}),
			ecrclient.NewFailure("RepositoryNotFoundException", noRepository, 400)},
		{"StartImageScan no image", start(&sdk.StartImageScanInput{RepositoryName: app, ImageId: ecrclient.Tag("none")}),
			ecrclient.NewFailure("ImageNotFoundException", noImage, 400)},
		{"StartImageScan long tag", start(&sdk.StartImageScanInput{RepositoryName: app, ImageId: ecrclient.Tag(strings.Repeat("x", 301))}),
			ecrclient.NewFailure("InvalidParameterException", "Invalid parameter at 'imageId.imageTag' failed to satisfy constraint: 'must have length between 1 and 300'", 400)},
		{"StartImageScan bad digest", start(&sdk.StartImageScanInput{RepositoryName: app, ImageId: &types.ImageIdentifier{ImageDigest: aws.String("sha256:example")}}),
			ecrclient.NewFailure("InvalidParameterException", "Invalid parameter at 'imageId.imageDigest' failed to satisfy constraint: 'must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+''", 400)},
		{"StartImageScan scanned", start(&sdk.StartImageScanInput{RepositoryName: app, ImageId: ecrclient.Tag("fresh")}),
			ecrclient.NewFailure("LimitExceededException", perImage, 400)},
		{"StartImageScan index", start(&sdk.StartImageScanInput{RepositoryName: app, ImageId: ecrclient.Tag("multi")}),
			ecrclient.NewFailure("UnsupportedImageTypeException", "An artifact with media type 'application/vnd.oci.image.index.v1+json' cannot be scanned", 400)},
		{"StartImageScan artifact", start(&sdk.StartImageScanInput{RepositoryName: app, ImageId: ecrclient.Tag("chart")}),
			ecrclient.NewFailure("UnsupportedImageTypeException", "An artifact with media type 'application/vnd.cncf.helm.config.v1+json' cannot be scanned", 400)},
		{"StartImageScan archived", start(&sdk.StartImageScanInput{RepositoryName: app, ImageId: ecrclient.Tag("archived")}),
			ecrclient.NewFailure("ImageArchivedException", "The image with imageId {imageDigest:'null', imageTag:'archived'} within the repository with name 'test/app' in the registry with id '123456789012' is archived", 400)},
		{"StartImageScan enhanced", start(&sdk.StartImageScanInput{RegistryId: aws.String("999999999999"), RepositoryName: app, ImageId: ecrclient.Tag("old")}),
			ecrclient.NewFailure("ValidationException", "This feature is disabled", 400)},

		{"DescribeImageScanFindings unknown", findings(&sdk.DescribeImageScanFindingsInput{RepositoryName: aws.String("test/none"), ImageId: ecrclient.Tag("old")}),
			ecrclient.NewFailure("RepositoryNotFoundException", noRepository, 400)},
		{"DescribeImageScanFindings no image", findings(&sdk.DescribeImageScanFindingsInput{RepositoryName: app, ImageId: ecrclient.Tag("none")}),
			ecrclient.NewFailure("ImageNotFoundException", noImage, 400)},
		{"DescribeImageScanFindings never scanned", findings(&sdk.DescribeImageScanFindingsInput{RepositoryName: app, ImageId: ecrclient.Tag("never")}),
			ecrclient.NewFailure("ScanNotFoundException", "Image scan does not exist for the image with '{imageDigest:'null', imageTag:'never'}' in the repository with name 'test/app' in the registry with id '123456789012'", 400)},
		{"DescribeImageScanFindings index", findings(&sdk.DescribeImageScanFindingsInput{RepositoryName: app, ImageId: &types.ImageIdentifier{ImageDigest: aws.String(digest('e'))}}),
			ecrclient.NewFailure("ScanNotFoundException", "Image scan does not exist for the image with '{imageDigest:'"+digest('e')+"', imageTag:'null'}' in the repository with name 'test/app' in the registry with id '123456789012'", 400)},
		{"DescribeImageScanFindings other kind", findings(&sdk.DescribeImageScanFindingsInput{RegistryId: aws.String("999999999999"), RepositoryName: app, ImageId: ecrclient.Tag("old")}),
			ecrclient.NewFailure("ScanNotFoundException", "Image scan does not exist for the image with '{imageDigest:'null', imageTag:'old'}' in the repository with name 'test/app' in the registry with id '999999999999'", 400)},
		{"DescribeImageScanFindings bad size", findings(&sdk.DescribeImageScanFindingsInput{RepositoryName: app, ImageId: ecrclient.Tag("old"), MaxResults: aws.Int32(1001)}),
			ecrclient.NewFailure("InvalidParameterException", badSize, 400)},
		{"DescribeImageScanFindings bad token", findings(&sdk.DescribeImageScanFindingsInput{RepositoryName: app, ImageId: ecrclient.Tag("old"), NextToken: aws.String("====")}),
			ecrclient.NewFailure("InvalidParameterException", badToken, 400)},

		{"unknown operation", func(ctx context.Context, c *sdk.Client) error {
			_, err := c.GetAuthorizationToken(ctx, &sdk.GetAuthorizationTokenInput{})
			return err
		}, ecrclient.NewFailure("UnknownOperationException", "UnknownError", 400)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.call(t.Context(), ecrclient.Serve(t, errorRegistry(ecrclient.NewClock())))
			if diff := cmp.Diff(test.want, ecrclient.FailureOf(err)); diff != "" {
				t.Errorf("error %v differs (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestRawRequests sends requests that no SDK client sends, and checks the raw responses.
func TestRawRequests(t *testing.T) {
	const (
		target = "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories"
		signed = "AWS4-HMAC-SHA256 Credential=KEY/20261124/us-west-2/ecr/aws4_request, SignedHeaders=host, Signature=00"
	)
	tests := []struct {
		name, method, target, authorization, body string
		status                                    int
		kind, answer                              string
	}{
		{"unsigned", "POST", target, "", "{}", 400,
			"MissingAuthenticationTokenException", `{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}`},
		{"signed for S3", "POST", target, strings.Replace(signed, "/ecr/", "/s3/", 1), "{}", 400,
			"InvalidSignatureException", `{"__type":"InvalidSignatureException","message":"Credential should be scoped to correct service: 'ecr'. "}`},
		{"another scheme", "POST", target, "Basic a2V5", "{}", 400,
			"IncompleteSignatureException", `{"__type":"IncompleteSignatureException","message":"Authorization header requires 'Credential' parameter. Authorization=Basic"}`},
		{"GET", "GET", target, signed, "", 400, "UnknownOperationException", `{"__type":"UnknownOperationException"}`},
		{"no target", "POST", "", signed, "{}", 400, "UnknownOperationException", `{"__type":"UnknownOperationException"}`},
		{"no JSON", "POST", target, signed, "{", 400, "SerializationException", ""},
		{"wrong type", "POST", target, signed, `{"registryId": 123456789012}`, 400, "SerializationException", ""},
		{"null", "POST", target, signed, `null`, 200, "", `{"repositories":[]}`},
		{"no repository", "POST", strings.Replace(target, "DescribeRepositories", "DescribeImages", 1), signed, `{}`, 400,
			"InvalidParameterException", `{"__type":"InvalidParameterException","message":"Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must not be null'"}`},
		{"no image id of no repository", "POST", strings.Replace(target, "DescribeRepositories", "StartImageScan", 1), signed, `{"repositoryName":"test/none"}`, 400,
			"RepositoryNotFoundException", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(ecr.New(ecr.Options{}))
			defer server.Close()
			r, err := http.NewRequestWithContext(t.Context(), test.method, server.URL, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Amz-Target", test.target)
			if test.authorization != "" {
				r.Header.Set("Authorization", test.authorization)
			}
			answer, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != test.status || answer.Header.Get("x-amzn-ErrorType") != test.kind || test.answer != "" && string(body) != test.answer {
				t.Errorf("got %d %s %s", answer.StatusCode, answer.Header.Get("x-amzn-ErrorType"), body)
			}
			if answer.Header.Get("Content-Type") != "application/x-amz-json-1.1" || answer.Header.Get("x-amzn-RequestId") == "" {
				t.Errorf("headers %v", answer.Header)
			}
		})
	}
}
