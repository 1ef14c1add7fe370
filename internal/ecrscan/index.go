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

// resolve replaces each index with the images that it lists, with the index's tag and their platform. An index that can't be
// resolved completely stays in the list, with the reason as its Err.
func (c *Client) resolve(ctx context.Context, repo scan.Repository, images []scan.Image) []scan.Image {
	digests := indexDigests(images)
	if len(digests) == 0 {
		return images
	}
	found := make([]imageIndex, len(digests))
	var g errgroup.Group
	g.SetLimit(lookupsAtOnce)
	for first := 0; first < len(digests); first += idsPerCall {
		last := min(first+idsPerCall, len(digests))
		g.Go(func() error {
			c.readIndexes(ctx, repo, digests[first:last], found[first:last])
			return nil
		})
	}
	_ = g.Wait() // errors are in the err field of each index
	resolved := make([]scan.Image, 0, len(images)+2*len(digests))
	for _, image := range images {
		at, known := slices.BinarySearch(digests, image.Digest)
		if image.Kind != scan.Index || !known {
			resolved = append(resolved, image)
			continue
		}
		resolved = append(resolved, found[at].imagesFor(image)...)
	}
	return resolved
}

// indexDigests returns the digests of the indexes, sorted and without duplicates.
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

// imagesFor returns the images of the index with the tag of image. It also returns image itself if x.err is set.
func (x imageIndex) imagesFor(image scan.Image) []scan.Image {
	images := make([]scan.Image, 0, len(x.images)+1)
	if x.err != nil {
		unresolved := image
		unresolved.Err = x.err
		images = append(images, unresolved)
	}
	for _, child := range x.images {
		images = append(images, scan.Image{
			Repository: image.Repository, Tag: image.Tag, Digest: child.digest, Platform: child.platform, Listed: child.listed, Index: image.Digest,
		})
	}
	return images
}

// readIndexes reads the manifests of up to idsPerCall indexes with one call. If the call fails with an error that one of the
// indexes may cause, it reads them in two halves, recursively, so that the error does not affect the others.
func (c *Client) readIndexes(ctx context.Context, repo scan.Repository, digests []string, found []imageIndex) {
	in := ecr.BatchGetImageInput{
		RepositoryName: &repo.Name, RegistryId: &repo.Registry, ImageIds: make([]types.ImageIdentifier, len(digests)),
		AcceptedMediaTypes: []string{ociIndex, dockerList},
	}
	for i := range digests {
		in.ImageIds[i].ImageDigest = &digests[i]
		found[i].err = permanentError("image index not found", nil)
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
			found[i].err = callFailure(err)
		}
		return
	}
	for _, failure := range out.Failures {
		if i, known := positionOf(failure.ImageId, digests); known {
			found[i].err = imageFailure(failure)
		}
	}
	for _, image := range out.Images {
		if i, known := positionOf(image.ImageId, digests); known {
			found[i] = readIndex(digests[i], aws.ToString(image.ImageManifest))
		}
	}
}

func positionOf(id *types.ImageIdentifier, sorted []string) (int, bool) {
	if id == nil {
		return 0, false
	}
	return slices.BinarySearch(sorted, aws.ToString(id.ImageDigest))
}

// callFailure returns the error of indexes that can't be resolved because the call failed with err.
func callFailure(err error) error {
	switch scan.CodeOf(err) {
	case scan.NoAccess:
		reason := scan.MessageOf(err)
		if isCode(err, "AccessDeniedException") && !strings.Contains(reason, ":") {
			reason += " to ecr:" + string(getImages)
		}
		return permanentError("image index, "+reason, err)
	case scan.ImageNotFound, scan.RepositoryNotFound:
		return permanentError("image index not found", err)
	}
	return err
}

// imageFailure returns the error of an index that BatchGetImage did not return.
func imageFailure(f types.ImageFailure) error {
	cause := fmt.Errorf("%s: %s", f.FailureCode, aws.ToString(f.FailureReason))
	switch f.FailureCode {
	case types.ImageFailureCodeImageNotFound:
		return permanentError("image index not found", cause)
	case types.ImageFailureCodeImageInaccessible:
		return permanentError("image index not accessible", cause)
	case types.ImageFailureCodeUpstreamTooManyRequests, types.ImageFailureCodeUpstreamUnavailable:
		return &scan.Error{Code: scan.Unavailable, Message: "image index: the upstream registry is unavailable", Err: cause}
	}
	return permanentError("image index, refused by ECR: "+string(f.FailureCode), cause)
}
