package ecr

import (
	"cmp"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal"
)

// ScanType is the kind of scanning that a registry has in a Region.
type ScanType string

// The two kinds of scanning.
const (
	Basic    ScanType = "BASIC"
	Enhanced ScanType = "ENHANCED"
)

// RepositoryID says which repository. An empty Region is DefaultRegion, an
// empty Registry DefaultRegistry.
type RepositoryID struct {
	Region, Registry, Name string
}

// WithDefaults fills in what is empty.
func (id RepositoryID) WithDefaults() RepositoryID {
	id.Region = cmp.Or(id.Region, awslocal.DefaultRegion)
	id.Registry = cmp.Or(id.Registry, awslocal.DefaultRegistry)
	return id
}

func (id RepositoryID) registry() registryID { return registryID{id.Region, id.Registry} }

func (id RepositoryID) arn() string {
	partition := "aws"
	for prefix, other := range map[string]string{"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc"} {
		if strings.HasPrefix(id.Region, prefix) {
			partition = other
		}
	}
	return "arn:" + partition + ":ecr:" + id.Region + ":" + id.Registry + ":repository/" + id.Name
}

// Repository is what PutRepository stores of a repository besides its images.
type Repository struct {
	CreatedAt  time.Time // when it was first put, if zero
	ScanOnPush bool      // a pushed image is scanned at once, which counts for the 24-hour rule
}

// registryID is the scope of a kind of scanning and of the daily quota.
type registryID struct {
	region, registry string
}

// repository holds images by digest and by tag. order has the same images as
// byDigest, by rising seq, which is also the order of listings: a page is found
// by binary search, and neither pushes nor deletes between two pages repeat or
// hide another image.
type repository struct {
	id       RepositoryID
	info     Repository
	nextSeq  int64
	order    []*image
	byDigest map[string]*image
	byTag    map[string]*image
}

func newRepository(id RepositoryID, info Repository) *repository {
	return &repository{id: id, info: info, byDigest: map[string]*image{}, byTag: map[string]*image{}}
}

// find returns the image that an image id means. With both parts given, both
// must fit.
func (r *repository) find(id imageID) (*image, bool) {
	var img *image
	switch {
	case id.Digest != "" && id.Tag != "":
		if img = r.byTag[id.Tag]; img != nil && img.def.Digest != id.Digest {
			img = nil
		}
	case id.Digest != "":
		img = r.byDigest[id.Digest]
	default:
		img = r.byTag[id.Tag]
	}
	return img, img != nil
}

// Deny is the fault of a missing permission; operation and repository may be
// empty, for all.
func Deny(operation string, id RepositoryID) awslocal.Fault {
	id = id.WithDefaults()
	return awslocal.Fault{Operation: operation, Region: id.Region, Registry: id.Registry, Resource: id.Name, Code: "AccessDeniedException"}
}
