package scan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Config is a scan config: the repositories and the images of them to watch. The API and the stored object use the same
// JSON form.
type Config struct {
	// ID is the scan ID, a UUID in lower case.
	ID string `json:"id"`
	// Created is when the config was registered, in Unix seconds; a string in JSON.
	Created int64 `json:"created,string"`
	// Region is the AWS Region of the repositories, such as us-west-2.
	Region string `json:"region"`
	// Registry is the id of the AWS account that owns the repositories, 12 digits.
	Registry string `json:"registry"`
	// Repository is the repository's name, such as test/ubuntu, or a pattern of names, such as test/*.
	Repository string `json:"repository"`
	// Tags are the tags to watch: names and patterns. nil means all tags.
	Tags []string `json:"tags"`
	// Exclude are names and patterns of repositories that the pattern in Repository leaves out.
	Exclude []string `json:"exclude,omitempty"`
	// Newest is how many images of each repository are watched: those that were pushed last. 0 means all.
	Newest int `json:"newest,omitempty"`
	// Used is how long ago a watched image was last used, at most, such as 30d. Empty means any time.
	Used string `json:"used,omitempty"`
	// Untagged means that images without a tag are watched too.
	Untagged bool `json:"untagged,omitempty"`
	// Name is what users call the config, and Owner is who takes care of it, such as a team. Both may be empty. They do not change
	// what the config watches.
	Name  string `json:"name,omitempty"`
	Owner string `json:"owner,omitempty"`
	// Updated is when the config was last replaced, in Unix seconds; 0 if it never was.
	Updated int64 `json:"updated,string,omitempty"`
}

// Repository identifies an ECR repository. It can be used as a map key.
type Repository struct {
	Registry, Region, Name string
}

// String returns a text for logs and error messages.
func (r Repository) String() string {
	return fmt.Sprintf("%s of registry %s in %s", r.Name, r.Registry, r.Region)
}

// CompareRepositories sorts by name, then by Region, then by registry.
func CompareRepositories(a, b Repository) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Region, b.Region), strings.Compare(a.Registry, b.Registry))
}

// Distinct returns the values sorted and without duplicates, or nil when there are none.
func Distinct(values []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}

// NewConfig validates draft and sets its ID, a new UUIDv7, and its time of creation. Empty lists become nil.
// Errors: those of [Config.Validate].
func NewConfig(draft Config, now time.Time) (Config, error) {
	if err := draft.Validate(); err != nil {
		return Config{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Config{}, fmt.Errorf("create a scan ID: %w", err)
	}
	draft.ID, draft.Created, draft.Updated = id.String(), now.Unix(), 0
	draft.normalize()
	return draft, nil
}

// Replace returns the config with the values of draft. ID and Created stay. Errors: those of [Config.Validate].
func (c Config) Replace(draft Config, now time.Time) (Config, error) {
	if err := draft.Validate(); err != nil {
		return Config{}, err
	}
	draft.ID, draft.Created = c.ID, c.Created
	draft.Updated = max(now.Unix(), c.Created, c.Updated) // clocks can be wrong
	draft.normalize()
	return draft, nil
}

func (c *Config) normalize() {
	if len(c.Tags) == 0 {
		c.Tags = nil
	}
	if len(c.Exclude) == 0 {
		c.Exclude = nil
	}
}

// ValidID reports whether id has the form of a scan ID. No config has an id of another form, so callers need not read
// the store.
func ValidID(id string) bool {
	return len(id) == 36 && uuid.Validate(id) == nil && id == strings.ToLower(id)
}

// Repo returns the repository that the config watches, if Repository is not a pattern.
func (c Config) Repo() Repository {
	return Repository{Registry: c.Registry, Region: c.Region, Name: c.Repository}
}

// CreatedAt returns Created as a time in UTC.
func (c Config) CreatedAt() time.Time { return time.Unix(c.Created, 0).UTC() }

// UpdatedAt returns Updated as a time in UTC; zero if the config was never replaced.
func (c Config) UpdatedAt() time.Time {
	if c.Updated == 0 {
		return time.Time{}
	}
	return time.Unix(c.Updated, 0).UTC()
}

// SortConfigs sorts configs in the order of the API: by creation, then by id.
func SortConfigs(configs []Config) {
	slices.SortFunc(configs, func(a, b Config) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), strings.Compare(a.ID, b.ID))
	})
}
