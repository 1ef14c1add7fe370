package ecrscan

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/scan"
)

const (
	pageSize      = 1000 // maximum number of items on one page
	idsPerCall    = 100  // maximum number of image ids in one DescribeImages or BatchGetImage
	lookupsAtOnce = 16
)

// Images implements [refresh.Registry]. It returns the images of the given tags, or of all tags if there are none. It also
// lists archived images, because otherwise they would look deleted.
func (c *Client) Images(ctx context.Context, repo scan.Repository, tags []string) (images []scan.Image, err error) {
	if len(tags) == 0 {
		images, err = c.allImages(ctx, repo)
	} else {
		images, err = c.namedImages(ctx, repo, tags)
	}
	if err != nil {
		return nil, err
	}
	return c.resolve(ctx, repo, lastOfEachTag(images)), nil
}

// lastOfEachTag removes repeated tags. While pages are read, a tag can move from an image of one page to an image of a later
// page. Of both, the later page is newer.
func lastOfEachTag(images []scan.Image) []scan.Image {
	listed := make(map[string]bool, len(images))
	var kept []scan.Image
	for _, image := range slices.Backward(images) {
		if !listed[image.Tag] {
			kept = append(kept, image)
		}
		listed[image.Tag] = true
	}
	slices.Reverse(kept)
	return kept
}

func (c *Client) namedImages(ctx context.Context, repo scan.Repository, tags []string) ([]scan.Image, error) {
	calls := slices.Collect(slices.Chunk(tags, idsPerCall))
	found := make([][]scan.Image, len(calls))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookupsAtOnce)
	for i, some := range calls {
		g.Go(func() (err error) {
			found[i], err = c.taggedImages(ctx, repo, some)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

func (c *Client) allImages(ctx context.Context, repo scan.Repository) ([]scan.Image, error) {
	var all []scan.Image
	for token := ""; ; {
		images, next, err := c.imagesPage(ctx, repo, token)
		if err != nil {
			return nil, err
		}
		all = append(all, images...)
		switch next {
		case "":
			return all, nil
		case token:
			return nil, &scan.Error{Code: scan.Unavailable, Message: "ECR returned the same page token twice"}
		}
		token = next
	}
}

// imagesPage returns one page of the tagged images, including archived ones, and the token of the next page. The token is
// empty on the last page.
func (c *Client) imagesPage(ctx context.Context, repo scan.Repository, token string) ([]scan.Image, string, error) {
	in := ecr.DescribeImagesInput{
		RepositoryName: &repo.Name, RegistryId: &repo.Registry, MaxResults: aws.Int32(pageSize),
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

// taggedImages returns the images of some tags. One tag that doesn't exist makes the whole call fail, and the error does not
// name all of them. Therefore the tags are then looked up in two halves, recursively.
func (c *Client) taggedImages(ctx context.Context, repo scan.Repository, tags []string) ([]scan.Image, error) {
	in := ecr.DescribeImagesInput{
		RepositoryName: &repo.Name, RegistryId: &repo.Registry, ImageIds: make([]types.ImageIdentifier, len(tags)),
		Filter: &types.DescribeImagesFilter{ImageStatus: types.ImageStatusFilterAny},
	}
	for i := range tags {
		in.ImageIds[i].ImageTag = &tags[i]
	}
	out, err := call(ctx, c, repo, describeImages, c.ecr.DescribeImages, &in)
	if isCode(err, "InvalidParameterException") { // ECR's documentation does not say whether a filter is allowed with image ids
		in.Filter = nil
		out, err = call(ctx, c, repo, describeImages, c.ecr.DescribeImages, &in)
	}
	switch {
	case err == nil:
	case scan.CodeOf(err) != scan.ImageNotFound:
		return nil, err
	case len(tags) == 1:
		return nil, nil
	default:
		return c.taggedImagesByHalves(ctx, repo, tags)
	}
	var images []scan.Image
	for _, detail := range out.ImageDetails {
		images = append(images, imagesOf(repo, detail, intersect(detail.ImageTags, tags))...)
	}
	return images, nil
}

func (c *Client) taggedImagesByHalves(ctx context.Context, repo scan.Repository, tags []string) ([]scan.Image, error) {
	var first, second []scan.Image
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { first, err = c.taggedImages(ctx, repo, tags[:len(tags)/2]); return err })
	g.Go(func() (err error) { second, err = c.taggedImages(ctx, repo, tags[len(tags)/2:]); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return append(first, second...), nil
}

// imagesOf returns one image for each of the given tags, all with the same digest.
func imagesOf(repo scan.Repository, detail types.ImageDetail, tags []string) []scan.Image {
	images, pulled := make([]scan.Image, 0, len(tags)), aws.ToTime(detail.LastRecordedPullTime).UTC()
	for _, tag := range tags {
		images = append(images, scan.Image{Repository: repo, Tag: tag, Digest: aws.ToString(detail.ImageDigest), Kind: kindOf(detail, tag), LastPulled: pulled})
	}
	return images
}

func intersect(have, wanted []string) []string {
	return slices.DeleteFunc(slices.Clone(have), func(tag string) bool { return !slices.Contains(wanted, tag) })
}

// Media types of the configs of container images, and of image indexes.
const (
	dockerConfig = "application/vnd.docker.container.image.v1+json"
	ociConfig    = "application/vnd.oci.image.config.v1+json"
	dockerList   = "application/vnd.docker.distribution.manifest.list.v2+json"
	ociIndex     = "application/vnd.oci.image.index.v1+json"
)

// imageManifests returns the media types of image manifests. An artifact can have the same media type, with another
// artifact type.
func imageManifests() []string {
	return []string{
		"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.v1+json", "application/vnd.docker.distribution.manifest.v1+prettyjws",
	}
}

// unclearKind is the kind of an object that may be an image and may be an artifact. Its manifest decides; see resolve.
const unclearKind scan.Kind = "not clear"

// kindOf returns the kind of a listed object. A tag, a subject and an artifact type only are reasons to read the manifest: an
// image can have them too. An archived object can't be read, and nobody can run it.
func kindOf(detail types.ImageDetail, tag string) scan.Kind {
	manifest, artifact := aws.ToString(detail.ImageManifestMediaType), aws.ToString(detail.ArtifactMediaType)
	isArchived := detail.ImageStatus == types.ImageStatusArchived || detail.ImageStatus == types.ImageStatusActivating
	looksLikeArtifact := !isIndex(manifest) && (isCosignTag(tag) || artifact != "" && !isImageConfig(artifact))
	switch {
	case isArchived && looksLikeArtifact:
		return scan.Artifact
	case isArchived:
		return scan.Archived
	case isIndex(manifest):
		return scan.Index
	case looksLikeArtifact, aws.ToString(detail.SubjectManifestDigest) != "":
		return unclearKind
	case artifact == "" && manifest != "" && !slices.Contains(imageManifests(), manifest):
		return scan.Artifact
	}
	return scan.PlainImage
}
