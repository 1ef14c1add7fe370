package ecrscan

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"golang.org/x/sync/errgroup"

	"ecr-continuous-scan/internal/scan"
)

const (
	pageSize      = 1000 // the most that one page may hold
	idsPerCall    = 100  // the most image ids that one DescribeImages or BatchGetImage takes
	lookupsAtOnce = 16
)

// Images implements [refresh.Registry]: what the tags of a repository point to. Archived images are listed too, so that they are not taken for
// gone.
func (c *Client) Images(ctx context.Context, repo scan.Repository, tags []string) (images []scan.Image, err error) {
	if len(tags) == 0 {
		images, err = c.allImages(ctx, repo)
	} else {
		images, err = c.namedImages(ctx, repo, tags)
	}
	if err != nil {
		return nil, err
	}
	return c.resolve(ctx, repo, images), nil
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
		images, next, err := c.page(ctx, repo, token)
		if err != nil {
			return nil, err
		}
		all = append(all, images...)
		switch next {
		case "":
			return all, nil
		case token:
			return nil, &scan.Error{Code: scan.Unavailable, Message: "ECR gives the same page again and again"}
		}
		token = next
	}
}

// page is one page of the tagged images, archived ones too, and the token of the next, empty when there is none.
func (c *Client) page(ctx context.Context, repo scan.Repository, token string) ([]scan.Image, string, error) {
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

// taggedImages looks some tags up. One that doesn't exist fails the whole call, and not every one is named then, so the rest is found by
// halving: a tag that is gone costs a few calls, and the others are never lost with it.
func (c *Client) taggedImages(ctx context.Context, repo scan.Repository, tags []string) ([]scan.Image, error) {
	in := ecr.DescribeImagesInput{
		RepositoryName: &repo.Name, RegistryId: &repo.Registry, ImageIds: make([]types.ImageIdentifier, len(tags)),
		Filter: &types.DescribeImagesFilter{ImageStatus: types.ImageStatusFilterAny},
	}
	for i := range tags {
		in.ImageIds[i].ImageTag = &tags[i]
	}
	out, err := call(ctx, c, repo, describeImages, c.ecr.DescribeImages, &in)
	if isCode(err, "InvalidParameterException") { // no source says that a filter may stand beside image ids
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
		return c.halves(ctx, repo, tags)
	}
	var images []scan.Image
	for _, detail := range out.ImageDetails {
		images = append(images, imagesOf(repo, detail, intersect(detail.ImageTags, tags))...)
	}
	return images, nil
}

func (c *Client) halves(ctx context.Context, repo scan.Repository, tags []string) ([]scan.Image, error) {
	var left, right []scan.Image
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { left, err = c.taggedImages(ctx, repo, tags[:len(tags)/2]); return err })
	g.Go(func() (err error) { right, err = c.taggedImages(ctx, repo, tags[len(tags)/2:]); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return append(left, right...), nil
}

// imagesOf is one image for each of the given tags, all of the same digest.
func imagesOf(repo scan.Repository, detail types.ImageDetail, tags []string) []scan.Image {
	images := make([]scan.Image, 0, len(tags))
	for _, tag := range tags {
		images = append(images, scan.Image{Repository: repo, Tag: tag, Digest: aws.ToString(detail.ImageDigest), Kind: kindOf(detail, tag)})
	}
	return images
}

func intersect(have, wanted []string) []string {
	return slices.DeleteFunc(slices.Clone(have), func(tag string) bool { return !slices.Contains(wanted, tag) })
}

// The two configs that make an artifact an image, and the media types of lists of images.
const (
	dockerConfig = "application/vnd.docker.container.image.v1+json"
	ociConfig    = "application/vnd.oci.image.config.v1+json"
	dockerList   = "application/vnd.docker.distribution.manifest.list.v2+json"
	ociIndex     = "application/vnd.oci.image.index.v1+json"
)

// imageManifests are the media types of manifests that are images unless their artifact type says otherwise.
func imageManifests() []string {
	return []string{
		"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.v1+json", "application/vnd.docker.distribution.manifest.v1+prettyjws",
	}
}

func kindOf(detail types.ImageDetail, tag string) scan.Kind {
	manifest, artifact := aws.ToString(detail.ImageManifestMediaType), aws.ToString(detail.ArtifactMediaType)
	switch {
	case isCosignTag(tag), aws.ToString(detail.SubjectManifestDigest) != "":
		return scan.Artifact
	case !isIndex(manifest) && artifact != "" && artifact != dockerConfig && artifact != ociConfig:
		return scan.Artifact
	case detail.ImageStatus == types.ImageStatusArchived, detail.ImageStatus == types.ImageStatusActivating:
		return scan.Archived
	case isIndex(manifest):
		return scan.Index
	case artifact == "" && manifest != "" && !slices.Contains(imageManifests(), manifest):
		return scan.Artifact
	}
	return scan.PlainImage
}

// isCosignTag recognises the tags under which cosign keeps what belongs to an image: sha256-<64 hex digits>.sig, .att or .sbom.
func isCosignTag(tag string) bool {
	hash, ok := strings.CutPrefix(tag, "sha256-")
	if !ok {
		return false
	}
	digest, kind, ok := strings.Cut(hash, ".")
	if !ok || len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != "" {
		return false
	}
	return kind == "sig" || kind == "att" || kind == "sbom"
}
