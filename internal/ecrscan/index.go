package ecrscan

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/scan"
)

// resolve puts in the place of each index the images that it lists, under the index's tag and with their platform. What can't be resolved
// stays as the index, with the reason.
func (c *Client) resolve(ctx context.Context, repo scan.Repository, images []scan.Image) []scan.Image {
	digests := indexDigests(images)
	if len(digests) == 0 {
		return images
	}
	found := make([]index, len(digests))
	var g errgroup.Group
	g.SetLimit(lookupsAtOnce)
	for first := 0; first < len(digests); first += idsPerCall {
		last := min(first+idsPerCall, len(digests))
		g.Go(func() error {
			c.readIndexes(ctx, repo, digests[first:last], found[first:last])
			return nil
		})
	}
	_ = g.Wait() // what fails stands in the index that it fails
	resolved := make([]scan.Image, 0, len(images)+2*len(digests))
	for _, image := range images {
		at, known := slices.BinarySearch(digests, image.Digest)
		if image.Kind != scan.Index || !known {
			resolved = append(resolved, image)
			continue
		}
		resolved = append(resolved, found[at].of(image)...)
	}
	return resolved
}

// indexDigests are the digests of the indexes, each once, sorted.
func indexDigests(images []scan.Image) []string {
	var digests []string
	for _, image := range images {
		if image.Kind == scan.Index {
			digests = append(digests, image.Digest)
		}
	}
	slices.Sort(digests)
	return slices.Compact(digests)
}

// of is what the index has under the tag of image: its images, and itself if it is not whole.
func (x index) of(image scan.Image) []scan.Image {
	images := make([]scan.Image, 0, len(x.images)+1)
	if x.err != nil {
		whole := image
		whole.Err = x.err
		images = append(images, whole)
	}
	for _, child := range x.images {
		images = append(images, scan.Image{Repository: image.Repository, Tag: image.Tag, Digest: child.digest, Platform: child.platform, Index: image.Digest})
	}
	return images
}

// readIndexes reads the manifests of up to idsPerCall indexes with one call. A refusal that may be due to one of them is narrowed down by
// halving, so that it doesn't hit the others.
func (c *Client) readIndexes(ctx context.Context, repo scan.Repository, digests []string, found []index) {
	in := ecr.BatchGetImageInput{
		RepositoryName: &repo.Name, RegistryId: &repo.Registry, ImageIds: make([]types.ImageIdentifier, len(digests)),
		AcceptedMediaTypes: []string{ociIndex, dockerList},
	}
	for i := range digests {
		in.ImageIds[i].ImageDigest = &digests[i]
		found[i].err = lasting("image index not found", nil)
	}
	out, err := call(ctx, c, repo, getImages, c.ecr.BatchGetImage, &in)
	switch code := scan.CodeOf(err); {
	case err == nil:
	case len(digests) > 1 && (code == scan.Internal || code == scan.ImageNotFound):
		half := len(digests) / 2
		c.readIndexes(ctx, repo, digests[:half], found[:half])
		c.readIndexes(ctx, repo, digests[half:], found[half:])
		return
	default:
		for i := range found {
			found[i].err = unresolved(err)
		}
		return
	}
	for _, failure := range out.Failures {
		if i, known := placeOf(failure.ImageId, digests); known {
			found[i].err = failed(failure)
		}
	}
	for _, image := range out.Images {
		if i, known := placeOf(image.ImageId, digests); known {
			found[i] = readIndex(digests[i], aws.ToString(image.ImageManifest))
		}
	}
}

func placeOf(id *types.ImageIdentifier, sorted []string) (int, bool) {
	if id == nil {
		return 0, false
	}
	return slices.BinarySearch(sorted, aws.ToString(id.ImageDigest))
}

// unresolved is why indexes can't be resolved for which a call failed.
func unresolved(err error) error {
	switch scan.CodeOf(err) {
	case scan.NoAccess:
		reason := scan.MessageOf(err)
		if isCode(err, "AccessDeniedException") && !strings.Contains(reason, ":") {
			reason += " to ecr:" + string(getImages)
		}
		return lasting("image index, "+reason, err)
	case scan.ImageNotFound, scan.RepositoryNotFound:
		return lasting("image index not found", err)
	}
	return err
}

// failed is why ECR did not give an index that it was asked for.
func failed(f types.ImageFailure) error {
	cause := fmt.Errorf("%s: %s", f.FailureCode, aws.ToString(f.FailureReason))
	switch f.FailureCode {
	case types.ImageFailureCodeImageNotFound:
		return lasting("image index not found", cause)
	case types.ImageFailureCodeImageInaccessible:
		return lasting("image index not accessible", cause)
	case types.ImageFailureCodeUpstreamTooManyRequests, types.ImageFailureCodeUpstreamUnavailable:
		return &scan.Error{Code: scan.Unavailable, Message: "image index: its upstream registry is unavailable", Err: cause}
	}
	return lasting("image index, refused by ECR: "+string(f.FailureCode), cause)
}
