package scan

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// MaxTags is how many tags one config may name.
const MaxTags = 1000

// Config is one registered scan configuration: a repository to watch and, if wanted, which of its tags.
// Its JSON form is both the API's and the stored object's.
type Config struct {
	// ID is the scan ID, a UUID in its canonical lower-case form.
	ID string `json:"id"`
	// Created is when the config was registered, in Unix seconds; a string in JSON.
	Created int64 `json:"created,string"`
	// Region is the AWS Region of the repository, such as us-west-2.
	Region string `json:"region"`
	// Registry is the AWS account id that owns the repository, 12 digits.
	Registry string `json:"registry"`
	// Repository is the repository's name, such as test/ubuntu.
	Repository string `json:"repository"`
	// Tags are the tags to watch; nil is all of them.
	Tags []string `json:"tags"`
}

// Repository names one ECR repository in the world. It is comparable and serves as a key.
type Repository struct {
	Registry, Region, Name string
}

// String is for logs and error messages.
func (r Repository) String() string {
	return fmt.Sprintf("%s of registry %s in %s", r.Name, r.Registry, r.Region)
}

// CompareRepositories orders by name, then by Region and registry.
func CompareRepositories(a, b Repository) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Region, b.Region), strings.Compare(a.Registry, b.Registry))
}

// WatchedTags are the tags that configs of one repository name, sorted; none when one of them watches all tags.
func WatchedTags(configs []Config) []string {
	var tags []string
	for _, c := range configs {
		if len(c.Tags) == 0 {
			return nil
		}
		tags = append(tags, c.Tags...)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// NewConfig gives a checked draft its identity: a UUIDv7 and its time of creation. An empty list of tags is none given.
func NewConfig(draft Config, now time.Time) (Config, error) {
	if err := draft.Validate(); err != nil {
		return Config{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Config{}, fmt.Errorf("make a scan ID: %w", err)
	}
	draft.ID, draft.Created = id.String(), now.Unix()
	if len(draft.Tags) == 0 {
		draft.Tags = nil
	}
	return draft, nil
}

// ValidID reports whether id has the form of a scan ID. Anything else can't name a config, so nobody needs to be asked for it.
func ValidID(id string) bool {
	return len(id) == 36 && uuid.Validate(id) == nil && id == strings.ToLower(id)
}

// Repo is the repository that the config watches.
func (c Config) Repo() Repository {
	return Repository{Registry: c.Registry, Region: c.Region, Name: c.Repository}
}

// CreatedAt is Created as a time, in UTC.
func (c Config) CreatedAt() time.Time { return time.Unix(c.Created, 0).UTC() }

// SortConfigs puts configs into the order of the API: by creation, then by id.
func SortConfigs(configs []Config) {
	slices.SortFunc(configs, func(a, b Config) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), strings.Compare(a.ID, b.ID))
	})
}

// The formats are ECR's own (API model of 2015-09-21), but for two: the model has no pattern for a tag, yet no client can push one that
// OCI doesn't allow; and its pattern for a Region would let a host name through, while ours can only name a Region.
var (
	regionForm     = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
	registryForm   = regexp.MustCompile(`^[0-9]{12}$`)
	repositoryForm = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// Validate checks region, registry, repository and tags and reports every wrong field at once: an [*Error] with code [Invalid] and one
// [FieldError] each, or nil. ID and Created are not looked at.
func (c Config) Validate() error {
	var wrong []FieldError
	field := func(ok bool, pointer, detail string) {
		if !ok {
			wrong = append(wrong, FieldError{Pointer: pointer, Detail: detail})
		}
	}
	field(len(c.Region) <= 25 && regionForm.MatchString(c.Region), "/region", "must be an AWS Region, such as us-west-2")
	field(registryForm.MatchString(c.Registry), "/registry", "must be an AWS account id, 12 digits in a string")
	field(isRepository(c.Repository), "/repository", repositoryRule)
	if len(c.Tags) > MaxTags {
		field(false, "/tags", fmt.Sprintf("must be at most %d tags; leave it out to watch all tags", MaxTags))
		return invalid(wrong)
	}
	seen := make(map[string]bool, len(c.Tags))
	for i, tag := range c.Tags {
		pointer := fmt.Sprintf("/tags/%d", i)
		field(isTag(tag), pointer, tagRule)
		field(!seen[tag], pointer, "is given twice")
		seen[tag] = true
	}
	return invalid(wrong)
}

const (
	repositoryRule = "must be the name of an ECR repository: 2 to 256 of lower-case letters, digits and . _ - /"
	tagRule        = "must be an image tag: 1 to 128 of letters, digits and . _ -, the first no . or -"
)

func isRepository(name string) bool {
	return len(name) >= 2 && len(name) <= 256 && repositoryForm.MatchString(name)
}

func isTag(tag string) bool { return tagForm.MatchString(tag) }

func invalid(wrong []FieldError) error {
	if len(wrong) == 0 {
		return nil
	}
	return &Error{Code: Invalid, Message: "The scan config has fields that are missing or wrong.", Fields: wrong}
}
