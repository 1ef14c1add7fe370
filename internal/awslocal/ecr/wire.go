package ecr

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"ecr-continuous-scan/internal/awslocal"
)

const (
	defaultPage = 100
	maxPage     = 1000
	maxIDs      = 100
)

// request contains the parameters of all operations. Each operation uses its own.
type request struct {
	RegistryID         *string   `json:"registryId"`
	RepositoryName     *string   `json:"repositoryName"`
	RepositoryNames    []string  `json:"repositoryNames"`
	ImageID            *imageID  `json:"imageId"`
	ImageIDs           []imageID `json:"imageIds"`
	Filter             filter    `json:"filter"`
	AcceptedMediaTypes []string  `json:"acceptedMediaTypes"`
	MaxResults         *int      `json:"maxResults"`
	NextToken          string    `json:"nextToken"`
}

type imageID struct {
	Digest string `json:"imageDigest,omitempty"`
	Tag    string `json:"imageTag,omitempty"`
}

// String returns the image id in the format of ECR's messages.
func (id imageID) String() string {
	return fmt.Sprintf("{imageDigest:'%s', imageTag:'%s'}", cmp.Or(id.Digest, "null"), cmp.Or(id.Tag, "null"))
}

type filter struct {
	TagStatus   string `json:"tagStatus"`
	ImageStatus string `json:"imageStatus"`
}

func (f filter) matches(img *image) bool {
	tagged := len(img.def.Tags) > 0
	if f.TagStatus == "TAGGED" && !tagged || f.TagStatus == "UNTAGGED" && tagged {
		return false
	}
	switch f.ImageStatus {
	case "":
		return img.def.Status == Active
	case "ANY":
		return true
	}
	return img.def.Status == f.ImageStatus
}

func invalidParameter(name, constraint string) *awslocal.Error {
	return awslocal.BadRequest("InvalidParameterException",
		"Invalid parameter at '%s' failed to satisfy constraint: '%s'", name, constraint)
}

func noRepository(id RepositoryID) *awslocal.Error {
	return awslocal.BadRequest("RepositoryNotFoundException",
		"The repository with name '%s' does not exist in the registry with id '%s'", id.Name, id.Registry)
}

func noImage(id RepositoryID, image imageID) *awslocal.Error {
	return awslocal.BadRequest("ImageNotFoundException",
		"The image with imageId %s does not exist within the repository with name '%s' in the registry with id '%s'",
		image, id.Name, id.Registry)
}

func noScan(id RepositoryID, image imageID) *awslocal.Error {
	return awslocal.BadRequest("ScanNotFoundException",
		"Image scan does not exist for the image with '%s' in the repository with name '%s' in the registry with id '%s'",
		image, id.Name, id.Registry)
}

const (
	repositoryPattern = `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`
	registryPattern   = `[0-9]{12}`
	digestPattern     = `[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+`
)

// formats contains the patterns of the API's model.
var formats = struct{ repository, registry, digest *regexp.Regexp }{
	regexp.MustCompile(`^(?:` + repositoryPattern + `)$`),
	regexp.MustCompile(`^(?:` + registryPattern + `)$`),
	regexp.MustCompile(`^(?:` + digestPattern + `)$`),
}

func mustMatch(name, value, pattern string, re *regexp.Regexp) error {
	if !re.MatchString(value) {
		return invalidParameter(name, "must satisfy regular expression '"+pattern+"'")
	}
	return nil
}

func checkRepositoryName(name string) error {
	if len(name) < 2 || len(name) > 256 {
		return invalidParameter("repositoryName", "must have length between 2 and 256")
	}
	return mustMatch("repositoryName", name, repositoryPattern, formats.repository)
}

// ValidRegistry reports whether id is a valid registry id.
func ValidRegistry(id string) bool { return formats.registry.MatchString(id) }

// ValidRepositoryName reports whether name is a valid repository name.
func ValidRepositoryName(name string) bool { return checkRepositoryName(name) == nil }

// check validates a request against the API's model. Each operation checks its other requirements itself.
func (q *request) check() error {
	if q.RegistryID != nil {
		if err := mustMatch("registryId", *q.RegistryID, registryPattern, formats.registry); err != nil {
			return err
		}
	}
	if q.RepositoryName != nil {
		if err := checkRepositoryName(*q.RepositoryName); err != nil {
			return err
		}
	}
	if q.MaxResults != nil && (*q.MaxResults < 1 || *q.MaxResults > maxPage) {
		return invalidParameter("maxResults", "must be between 1 and 1000")
	}
	return q.checkFilter()
}

func (q *request) checkFilter() error {
	if !slices.Contains([]string{"", "TAGGED", "UNTAGGED", "ANY"}, q.Filter.TagStatus) {
		return invalidParameter("filter.tagStatus", "must satisfy enum value set: [TAGGED, UNTAGGED, ANY]")
	}
	if !slices.Contains([]string{"", Active, Archived, Activating, "ANY"}, q.Filter.ImageStatus) {
		return invalidParameter("filter.imageStatus", "must satisfy enum value set: [ACTIVE, ARCHIVED, ACTIVATING, ANY]")
	}
	return nil
}

func (q *request) pageSize() int {
	if q.MaxResults == nil {
		return defaultPage
	}
	return *q.MaxResults
}

func (id imageID) check(param string) error {
	switch {
	case id.Digest == "" && id.Tag == "":
		return invalidParameter(param, "must have an imageDigest or an imageTag")
	case len(id.Tag) > 300:
		return invalidParameter(param+".imageTag", "must have length between 1 and 300")
	case id.Digest != "":
		return mustMatch(param+".imageDigest", id.Digest, digestPattern, formats.digest)
	}
	return nil
}

func (q *request) checkIDs() error {
	if n := len(q.ImageIDs); n < 1 || n > maxIDs {
		return invalidParameter("imageIds", "must have between 1 and 100 members")
	}
	return nil
}
