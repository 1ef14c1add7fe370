package ecrscan

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"ecr-continuous-scan/internal/scan"
)

// ImagesOf implements [refresh.Registry]. The digest stands for the tag of the image, which may have none.
func (c *Client) ImagesOf(ctx context.Context, repo scan.Repository, digest string) ([]scan.Image, error) {
	out, err := c.describeByID(ctx, repo, []types.ImageIdentifier{{ImageDigest: &digest}})
	switch {
	case scan.CodeOf(err) == scan.ImageNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	var images []scan.Image
	for _, detail := range out.ImageDetails {
		images = append(images, imagesOf(repo, detail, []string{digest})...)
	}
	return c.resolve(ctx, repo, images, c.readAllIndexes(ctx, repo, images, nil)), nil
}
