package ecr

import (
	"cmp"
	"strings"
	"time"

	"ecr-continuous-scan/internal/awslocal"
)

// ScanType is the type of scanning of a registry in a Region.
type ScanType string

// The two types of scanning.
const (
	Basic    ScanType = "BASIC"
	Enhanced ScanType = "ENHANCED"
)

// RepositoryID identifies a repository. An empty Region means DefaultRegion, an empty Registry means DefaultRegistry.
type RepositoryID struct {
	Region, Registry, Name string
}

// WithDefaults returns the id with defaults instead of empty fields.
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

// Repository contains the settings of a repository.
type Repository struct {
	CreatedAt  time.Time // if zero: the time of the first PutRepository or PutImage
	ScanOnPush bool      // scan each image when it is pushed; the scan counts for the 24-hour limit
	Uncovered  bool      // no filter of enhanced scanning covers the repository
}

// registryID identifies a registry in a Region. The type of scanning and the scan quota apply to it.
type registryID struct {
	region, registry string
}

// repository contains images by digest and by tag. order contains the same images as byDigest, sorted by seq, which is also
// the order of listings. The start of a page is found by binary search. Pushes and deletes between two pages do not repeat or
// omit other images.
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

// find returns the image with an image id. If the id contains a digest and a tag, both must match.
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

// Deny returns a fault for a missing permission. An empty operation or an empty name in id matches all.
func Deny(operation string, id RepositoryID) awslocal.Fault {
	id = id.WithDefaults()
	return awslocal.Fault{Operation: operation, Region: id.Region, Registry: id.Registry, Resource: id.Name, Code: "AccessDeniedException"}
}
