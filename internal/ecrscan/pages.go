package ecrscan

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"ecr-continuous-scan/internal/scan"
)

// workPage is how many images a page has that is worked on before the next. A function that is cut off in the middle of one begins it again,
// so it is to be done in one go even when ECR takes a few calls a second only; for reading, the largest page is the best.
const workPage = 250

// Page implements [scan.Registry] with one call, and one for each hundred indexes on the page.
func (c *Client) Page(ctx context.Context, repo scan.Repository, token string) ([]scan.Image, string, error) {
	images, next, err := c.page(ctx, repo, workPage, token)
	// No source says how long a token lives, or how ECR refuses one that it doesn't know. What was right in the first page's call is not
	// what it complains about here.
	if token != "" && (isCode(err, "InvalidParameterException") || isCode(err, "ValidationException")) {
		return nil, "", &scan.Error{Code: scan.PageLost, Message: "ECR doesn't know the next page any more", Err: err}
	}
	if err != nil {
		return nil, "", err
	}
	return c.resolve(ctx, repo, images), next, nil
}

// page is one page of the tagged images, archived ones too, and the token of the next, empty when there is none.
func (c *Client) page(ctx context.Context, repo scan.Repository, size int32, token string) ([]scan.Image, string, error) {
	in := ecr.DescribeImagesInput{
		RepositoryName: &repo.Name, RegistryId: &repo.Registry, MaxResults: &size,
		Filter: &types.DescribeImagesFilter{TagStatus: types.TagStatusTagged, ImageStatus: types.ImageStatusFilterAny},
	}
	if token != "" {
		in.NextToken = &token
	}
	out, err := call(ctx, c, repo, describeImages, c.ecr.DescribeImages, &in)
	if err != nil {
		return nil, "", err
	}
	var images []scan.Image
	for _, detail := range out.ImageDetails {
		images = append(images, imagesOf(repo, detail, detail.ImageTags)...)
	}
	return images, aws.ToString(out.NextToken), nil
}
