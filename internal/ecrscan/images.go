package ecrscan

import (
	"context"
	"maps"
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

const repeatedToken = "ECR returned the same page token twice"

// Images implements [refresh.Registry]. It also lists archived images, because otherwise they would look deleted.
func (c *Client) Images(ctx context.Context, repo scan.Repository, wanted scan.Wanted) (scan.Listing, error) {
	var l listed
	var err error
	if len(wanted.Tags) == 0 {
		l, err = c.allImages(ctx, repo, wanted.Untagged)
	} else {
		l.images, err = c.namedImages(ctx, repo, wanted.Tags)
	}
	if err != nil {
		return scan.Listing{}, err
	}
	images := lastOfEachTag(l.images)
	indexes := c.readAllIndexes(ctx, repo, images, l.untagged)
	listing := scan.Listing{NotWatched: notWatched(l.untagged, indexes), IsPaged: l.isPaged}
	if wanted.Untagged {
		listing.Parts = partsOf(indexes)
		// If not all indexes could be read, each untagged image can be a part.
		isPart := func(i scan.Image) bool {
			return scan.IsUntagged(i.Tag) && (listing.NotWatched == nil || listing.Parts[i.Digest])
		}
		images = slices.DeleteFunc(images, isPart)
	}
	listing.Images = c.resolve(ctx, repo, images, indexes)
	if wanted.Untagged {
		listing.Images = slices.DeleteFunc(listing.Images, func(i scan.Image) bool { return i.Kind == scan.Artifact && scan.IsUntagged(i.Tag) })
	}
	return listing, nil
}

// partsOf returns the digests of the untagged objects that indexes contain.
func partsOf(indexes map[string]imageIndex) map[string]bool {
	parts := make(map[string]bool)
	for _, x := range indexes {
		maps.Copy(parts, x.untagged)
	}
	return parts
}

// listed is what ECR lists of a repository.
type listed struct {
	images []scan.Image
	// untagged are the digests of untagged images and indexes. The value is false for what may be an artifact: only its manifest could tell, and for
	// what is archived. It is nil if they are not known.
	untagged map[string]bool
	isPaged  bool
}

// notWatched returns the number of untagged images that belong to no index, or nil if it is not known.
func notWatched(untagged map[string]bool, indexes map[string]imageIndex) *int {
	if untagged == nil {
		return nil
	}
	alone := maps.Clone(untagged)
	maps.DeleteFunc(alone, func(_ string, isImage bool) bool { return !isImage })
	for _, x := range indexes {
		if isTemporary(x.err) {
			return nil
		}
		for digest := range x.untagged {
			delete(alone, digest)
		}
	}
	return new(len(alone))
}

// lastOfEachTag removes repeated tags. While pages are read, a tag can move from an image of one page to an image of a later
// page. Of both, the later page is newer.
func lastOfEachTag(images []scan.Image) []scan.Image {
	last := make(map[string]int, len(images)) // the index of each tag
	for i, image := range images {
		last[image.Tag] = i
	}
	kept := images[:0] // in place, because a repository can have 100,000 tags
	for i, image := range images {
		if last[image.Tag] == i {
			kept = append(kept, image)
		}
	}
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

// allImages lists all tags. If all images of the repository are on one page, or the untagged ones are wanted, it also lists the
// untagged ones. Otherwise it reads only pages of tagged images, because a repository can have many times more untagged ones.
func (c *Client) allImages(ctx context.Context, repo scan.Repository, wantsUntagged bool) (listed, error) {
	details, next, err := c.imagesPage(ctx, repo, types.TagStatusAny, "")
	if err != nil {
		return listed{}, err
	}
	if next == "" || wantsUntagged {
		l := listed{untagged: make(map[string]bool)}
		l.add(repo, details, wantsUntagged)
		return c.otherPages(ctx, repo, types.TagStatusAny, next, l)
	}
	details, next, err = c.imagesPage(ctx, repo, types.TagStatusTagged, "")
	if err != nil {
		return listed{}, err
	}
	var l listed
	l.add(repo, details, false)
	return c.otherPages(ctx, repo, types.TagStatusTagged, next, l)
}

// otherPages adds the pages after the first one to a list. next is the token of the second page, or empty.
func (c *Client) otherPages(ctx context.Context, repo scan.Repository, status types.TagStatus, next string, l listed) (listed, error) {
	for next != "" {
		details, after, err := c.imagesPage(ctx, repo, status, next)
		if err != nil {
			return listed{}, err
		}
		l.isPaged = true
		l.add(repo, details, status == types.TagStatusAny)
		if after == next {
			return listed{}, &scan.Error{Code: scan.Unavailable, Message: "ECR returned the same page token twice"}
		}
		next = after
	}
	return l, nil
}

// add adds a page to the list. withUntagged means that the list gets the untagged images too.
func (l *listed) add(repo scan.Repository, details []types.ImageDetail, withUntagged bool) {
	for _, detail := range details {
		digest := aws.ToString(detail.ImageDigest)
		switch {
		case len(detail.ImageTags) > 0:
			l.images = append(l.images, imagesOf(repo, detail, detail.ImageTags)...)
			continue
		case withUntagged && scan.IsUntagged(digest):
			l.images = append(l.images, imagesOf(repo, detail, []string{digest})...)
		}
		if l.untagged != nil {
			kind := kindOf(detail, "")
			l.untagged[digest] = kind == scan.PlainImage || kind == scan.Index
		}
	}
}

// imagesPage returns one page of the images, including archived ones, and the token of the next page. The token is empty on the
// last page.
func (c *Client) imagesPage(ctx context.Context, repo scan.Repository, status types.TagStatus, token string) ([]types.ImageDetail, string, error) {
	in := ecr.DescribeImagesInput{
		RepositoryName: &repo.Name, RegistryId: &repo.Registry, MaxResults: aws.Int32(pageSize),
		Filter: &types.DescribeImagesFilter{TagStatus: status, ImageStatus: types.ImageStatusFilterAny},
	}
	if token != "" {
		in.NextToken = &token
	}
	out, err := call(ctx, c, repo, describeImages, c.ecr.DescribeImages, &in)
	if err != nil {
		return nil, "", err
	}
	return out.ImageDetails, aws.ToString(out.NextToken), nil
}

// describeByID describes the images with some tags or digests.
func (c *Client) describeByID(ctx context.Context, repo scan.Repository, ids []types.ImageIdentifier) (*ecr.DescribeImagesOutput, error) {
	in := ecr.DescribeImagesInput{
		RepositoryName: &repo.Name, RegistryId: &repo.Registry, ImageIds: ids,
		Filter: &types.DescribeImagesFilter{ImageStatus: types.ImageStatusFilterAny},
	}
	out, err := call(ctx, c, repo, describeImages, c.ecr.DescribeImages, &in)
	if isCode(err, "InvalidParameterException") { // ECR's documentation does not say whether a filter is allowed with image ids
		in.Filter = nil
		out, err = call(ctx, c, repo, describeImages, c.ecr.DescribeImages, &in)
	}
	return out, err
}

// taggedImages returns the images of some tags. One tag that doesn't exist makes the whole call fail, and the error does not
// name all of them. Therefore the tags are then looked up in two halves, recursively.
func (c *Client) taggedImages(ctx context.Context, repo scan.Repository, tags []string) ([]scan.Image, error) {
	ids := make([]types.ImageIdentifier, len(tags))
	for i := range tags {
		ids[i].ImageTag = &tags[i]
	}
	out, err := c.describeByID(ctx, repo, ids)
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
	images := make([]scan.Image, 0, len(tags))
	pushed, pulled := aws.ToTime(detail.ImagePushedAt).UTC(), aws.ToTime(detail.LastRecordedPullTime).UTC()
	for _, tag := range tags {
		images = append(images, scan.Image{
			Repository: repo, Tag: tag, Digest: aws.ToString(detail.ImageDigest), Kind: kindOf(detail, tag), PushedAt: pushed, LastPulled: pulled,
		})
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
