package awslocal_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/awslocal"
)

// world is what the table of errors works on: an account's repository with an
// image for each reason, and another account's enhanced one.
func world(c *clock) *awslocal.ECR {
	e := awslocal.NewECR(awslocal.ECROptions{Now: c.Now})
	id := awslocal.RepositoryID{Name: "test/app"}
	long := c.Now().Add(-48 * time.Hour)
	e.PutImage(id, awslocal.Image{Digest: digest('a'), Tags: []string{"old", "older"}, ScannedAt: long})
	e.PutImage(id, awslocal.Image{Digest: digest('b'), Tags: []string{"fresh"}, ScannedAt: c.Now().Add(-time.Hour)})
	e.PutImage(id, awslocal.Image{Digest: digest('c'), Tags: []string{"never"}})
	e.PutImage(id, awslocal.Image{Digest: digest('d'), Tags: []string{"archived"}, Status: awslocal.Archived})
	e.PutImage(id, awslocal.Image{Digest: digest('e'), Tags: []string{"multi"}, MediaType: awslocal.OCIIndex})
	e.PutImage(id, awslocal.Image{Digest: digest('f'), Tags: []string{"chart"}, MediaType: awslocal.OCIManifest, ArtifactMediaType: "application/vnd.cncf.helm.config.v1+json"})
	e.SetScanType(awslocal.DefaultRegion, "999999999999", awslocal.Enhanced)
	e.PutImage(awslocal.RepositoryID{Registry: "999999999999", Name: "test/app"}, awslocal.Image{Tags: []string{"old"}})
	return e
}

func digest(c byte) string { return "sha256:" + strings.Repeat(string(c), 64) }

func tag(s string) *types.ImageIdentifier { return &types.ImageIdentifier{ImageTag: &s} }

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
	type call func(context.Context, *ecr.Client) error
	repositories := func(in *ecr.DescribeRepositoriesInput) call {
		return func(ctx context.Context, c *ecr.Client) error { _, err := c.DescribeRepositories(ctx, in); return err }
	}
	list := func(in *ecr.ListImagesInput) call {
		return func(ctx context.Context, c *ecr.Client) error { _, err := c.ListImages(ctx, in); return err }
	}
	images := func(in *ecr.DescribeImagesInput) call {
		return func(ctx context.Context, c *ecr.Client) error { _, err := c.DescribeImages(ctx, in); return err }
	}
	get := func(in *ecr.BatchGetImageInput) call {
		return func(ctx context.Context, c *ecr.Client) error { _, err := c.BatchGetImage(ctx, in); return err }
	}
	start := func(in *ecr.StartImageScanInput) call {
		return func(ctx context.Context, c *ecr.Client) error { _, err := c.StartImageScan(ctx, in); return err }
	}
	findings := func(in *ecr.DescribeImageScanFindingsInput) call {
		return func(ctx context.Context, c *ecr.Client) error {
			_, err := c.DescribeImageScanFindings(ctx, in)
			return err
		}
	}
	many := make([]types.ImageIdentifier, 101)
	for i := range many {
		many[i] = *tag("old")
	}

	tests := []struct {
		name string
		call call
		want failure
	}{
		{"DescribeRepositories unknown", repositories(&ecr.DescribeRepositoriesInput{RepositoryNames: []string{"test/app", "test/none"}}),
			failure{"RepositoryNotFoundException", noRepository, 400}},
		{"DescribeRepositories bad registry", repositories(&ecr.DescribeRepositoriesInput{RegistryId: aws.String("12345678901")}),
			failure{"InvalidParameterException", badRegistry, 400}},
		{"DescribeRepositories bad size", repositories(&ecr.DescribeRepositoriesInput{MaxResults: aws.Int32(1001)}),
			failure{"InvalidParameterException", badSize, 400}},
		{"DescribeRepositories bad token", repositories(&ecr.DescribeRepositoriesInput{NextToken: aws.String("eA==")}),
			failure{"InvalidParameterException", badToken, 400}},
		{"DescribeRepositories names and size", repositories(&ecr.DescribeRepositoriesInput{RepositoryNames: []string{"test/app"}, MaxResults: aws.Int32(1)}),
			failure{"InvalidParameterException", "Invalid parameter at 'repositoryNames' failed to satisfy constraint: 'cannot be used with maxResults or nextToken'", 400}},

		{"ListImages unknown", list(&ecr.ListImagesInput{RepositoryName: aws.String("test/none")}),
			failure{"RepositoryNotFoundException", noRepository, 400}},
		{"ListImages other region", func(ctx context.Context, c *ecr.Client) error {
			_, err := c.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: app}, func(o *ecr.Options) { o.Region = "eu-west-1" })
			return err
		}, failure{"RepositoryNotFoundException", strings.ReplaceAll(noRepository, "none", "app"), 400}},
		{"ListImages bad name", list(&ecr.ListImagesInput{RepositoryName: aws.String("Test/App")}),
			failure{"InvalidParameterException", badName, 400}},
		{"ListImages short name", list(&ecr.ListImagesInput{RepositoryName: aws.String("a")}),
			failure{"InvalidParameterException", "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must have length between 2 and 256'", 400}},
		{"ListImages bad size", list(&ecr.ListImagesInput{RepositoryName: app, MaxResults: aws.Int32(0)}),
			failure{"InvalidParameterException", badSize, 400}},
		{"ListImages bad token", list(&ecr.ListImagesInput{RepositoryName: app, NextToken: aws.String("not a token")}),
			failure{"InvalidParameterException", badToken, 400}},
		{"ListImages bad filter", list(&ecr.ListImagesInput{RepositoryName: app, Filter: &types.ListImagesFilter{TagStatus: "SOME"}}),
			failure{"InvalidParameterException", "Invalid parameter at 'filter.tagStatus' failed to satisfy constraint: 'must satisfy enum value set: [TAGGED, UNTAGGED, ANY]'", 400}},

		{"DescribeImages unknown", images(&ecr.DescribeImagesInput{RepositoryName: aws.String("test/none")}),
			failure{"RepositoryNotFoundException", noRepository, 400}},
		{"DescribeImages one unknown tag", images(&ecr.DescribeImagesInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{*tag("old"), *tag("none")}}),
			failure{"ImageNotFoundException", noImage, 400}},
		{"DescribeImages tag of another digest", images(&ecr.DescribeImagesInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("old"), ImageDigest: aws.String(digest('b'))}}}),
			failure{"ImageNotFoundException", "The image with imageId {imageDigest:'" + digest('b') + "', imageTag:'old'} does not exist within the repository with name 'test/app' in the registry with id '123456789012'", 400}},
		{"DescribeImages 101 ids", images(&ecr.DescribeImagesInput{RepositoryName: app, ImageIds: many}),
			failure{"InvalidParameterException", "Invalid parameter at 'imageIds' failed to satisfy constraint: 'must have between 1 and 100 members'", 400}},
		{"DescribeImages ids and size", images(&ecr.DescribeImagesInput{RepositoryName: app, ImageIds: many[:1], MaxResults: aws.Int32(5)}),
			failure{"InvalidParameterException", "Invalid parameter at 'imageIds' failed to satisfy constraint: 'cannot be used with maxResults or nextToken'", 400}},
		{"DescribeImages bad status", images(&ecr.DescribeImagesInput{RepositoryName: app, Filter: &types.DescribeImagesFilter{ImageStatus: "OLD"}}),
			failure{"InvalidParameterException", "Invalid parameter at 'filter.imageStatus' failed to satisfy constraint: 'must satisfy enum value set: [ACTIVE, ARCHIVED, ACTIVATING, ANY]'", 400}},
		{"DescribeImages empty id", images(&ecr.DescribeImagesInput{RepositoryName: app, ImageIds: []types.ImageIdentifier{{}}}),
			failure{"InvalidParameterException", "Invalid parameter at 'imageIds' failed to satisfy constraint: 'must have an imageDigest or an imageTag'", 400}},

		{"BatchGetImage unknown", get(&ecr.BatchGetImageInput{RepositoryName: aws.String("test/none"), ImageIds: many[:1]}),
			failure{"RepositoryNotFoundException", noRepository, 400}},
		{"BatchGetImage 101 ids", get(&ecr.BatchGetImageInput{RepositoryName: app, ImageIds: many}),
			failure{"InvalidParameterException", "Invalid parameter at 'imageIds' failed to satisfy constraint: 'must have between 1 and 100 members'", 400}},

		{"StartImageScan unknown", start(&ecr.StartImageScanInput{RepositoryName: aws.String("test/none"), ImageId: tag("old")}),
			failure{"RepositoryNotFoundException", noRepository, 400}},
		{"StartImageScan no image", start(&ecr.StartImageScanInput{RepositoryName: app, ImageId: tag("none")}),
			failure{"ImageNotFoundException", noImage, 400}},
		{"StartImageScan long tag", start(&ecr.StartImageScanInput{RepositoryName: app, ImageId: tag(strings.Repeat("x", 301))}),
			failure{"InvalidParameterException", "Invalid parameter at 'imageId.imageTag' failed to satisfy constraint: 'must have length between 1 and 300'", 400}},
		{"StartImageScan bad digest", start(&ecr.StartImageScanInput{RepositoryName: app, ImageId: &types.ImageIdentifier{ImageDigest: aws.String("sha256:example")}}),
			failure{"InvalidParameterException", "Invalid parameter at 'imageId.imageDigest' failed to satisfy constraint: 'must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+''", 400}},
		{"StartImageScan scanned", start(&ecr.StartImageScanInput{RepositoryName: app, ImageId: tag("fresh")}),
			failure{"LimitExceededException", perImage, 400}},
		{"StartImageScan index", start(&ecr.StartImageScanInput{RepositoryName: app, ImageId: tag("multi")}),
			failure{"UnsupportedImageTypeException", "An artifact with media type 'application/vnd.oci.image.index.v1+json' cannot be scanned", 400}},
		{"StartImageScan artifact", start(&ecr.StartImageScanInput{RepositoryName: app, ImageId: tag("chart")}),
			failure{"UnsupportedImageTypeException", "An artifact with media type 'application/vnd.cncf.helm.config.v1+json' cannot be scanned", 400}},
		{"StartImageScan archived", start(&ecr.StartImageScanInput{RepositoryName: app, ImageId: tag("archived")}),
			failure{"ImageArchivedException", "The image with imageId {imageDigest:'null', imageTag:'archived'} within the repository with name 'test/app' in the registry with id '123456789012' is archived", 400}},
		{"StartImageScan enhanced", start(&ecr.StartImageScanInput{RegistryId: aws.String("999999999999"), RepositoryName: app, ImageId: tag("old")}),
			failure{"ValidationException", "This feature is disabled", 400}},

		{"DescribeImageScanFindings unknown", findings(&ecr.DescribeImageScanFindingsInput{RepositoryName: aws.String("test/none"), ImageId: tag("old")}),
			failure{"RepositoryNotFoundException", noRepository, 400}},
		{"DescribeImageScanFindings no image", findings(&ecr.DescribeImageScanFindingsInput{RepositoryName: app, ImageId: tag("none")}),
			failure{"ImageNotFoundException", noImage, 400}},
		{"DescribeImageScanFindings never scanned", findings(&ecr.DescribeImageScanFindingsInput{RepositoryName: app, ImageId: tag("never")}),
			failure{"ScanNotFoundException", "Image scan does not exist for the image with '{imageDigest:'null', imageTag:'never'}' in the repository with name 'test/app' in the registry with id '123456789012'", 400}},
		{"DescribeImageScanFindings index", findings(&ecr.DescribeImageScanFindingsInput{RepositoryName: app, ImageId: &types.ImageIdentifier{ImageDigest: aws.String(digest('e'))}}),
			failure{"ScanNotFoundException", "Image scan does not exist for the image with '{imageDigest:'" + digest('e') + "', imageTag:'null'}' in the repository with name 'test/app' in the registry with id '123456789012'", 400}},
		{"DescribeImageScanFindings other kind", findings(&ecr.DescribeImageScanFindingsInput{RegistryId: aws.String("999999999999"), RepositoryName: app, ImageId: tag("old")}),
			failure{"ScanNotFoundException", "Image scan does not exist for the image with '{imageDigest:'null', imageTag:'old'}' in the repository with name 'test/app' in the registry with id '999999999999'", 400}},
		{"DescribeImageScanFindings bad size", findings(&ecr.DescribeImageScanFindingsInput{RepositoryName: app, ImageId: tag("old"), MaxResults: aws.Int32(1001)}),
			failure{"InvalidParameterException", badSize, 400}},
		{"DescribeImageScanFindings bad token", findings(&ecr.DescribeImageScanFindingsInput{RepositoryName: app, ImageId: tag("old"), NextToken: aws.String("====")}),
			failure{"InvalidParameterException", badToken, 400}},

		{"an operation that is not there", func(ctx context.Context, c *ecr.Client) error {
			_, err := c.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
			return err
		}, failure{"UnknownOperationException", "UnknownError", 400}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.call(t.Context(), serve(t, world(newClock())))
			if diff := cmp.Diff(test.want, failureOf(err)); diff != "" {
				t.Errorf("error %v differs (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestWire asks with what no SDK client would send, and looks at the bare answer.
func TestWire(t *testing.T) {
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
		{"no repository", "POST", strings.Replace(target, "DescribeRepositories", "ListImages", 1), signed, `{}`, 400,
			"InvalidParameterException", `{"__type":"InvalidParameterException","message":"Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must not be null'"}`},
		{"no image id of no repository", "POST", strings.Replace(target, "DescribeRepositories", "StartImageScan", 1), signed, `{"repositoryName":"test/none"}`, 400,
			"RepositoryNotFoundException", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(awslocal.NewECR(awslocal.ECROptions{}))
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
