package scan

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// MaxTags is the maximum number of tags in a config.
const MaxTags = 1000

// Config is a scan config: a repository to watch and, optionally, some of its tags. The API and the stored object use
// the same JSON form.
type Config struct {
	// ID is the scan ID, a UUID in lower case.
	ID string `json:"id"`
	// Created is when the config was registered, in Unix seconds; a string in JSON.
	Created int64 `json:"created,string"`
	// Region is the AWS Region of the repository, such as us-west-2.
	Region string `json:"region"`
	// Registry is the id of the AWS account that owns the repository, 12 digits.
	Registry string `json:"registry"`
	// Repository is the repository's name, such as test/ubuntu.
	Repository string `json:"repository"`
	// Tags are the tags to watch. nil means all tags.
	Tags []string `json:"tags"`
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

// WatchedTags returns the sorted tags that the configs of one repository list. It returns nil when one of the configs
// watches all tags.
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

// Distinct returns the values sorted and without duplicates, or nil when there are none.
func Distinct(values []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}

// WatchesSame reports whether two configs watch exactly the same. The order of tags does not matter.
func (c Config) WatchesSame(other Config) bool {
	return c.Repo() == other.Repo() && slices.Equal(Distinct(c.Tags), Distinct(other.Tags))
}

// Duplicates returns, for each config that watches exactly what an earlier one of the list watches, the first such config. The keys are ids.
func Duplicates(configs []Config) map[string]Config {
	type watched struct {
		Repository
		tags string // sorted
	}
	first := make(map[watched]Config, len(configs))
	duplicates := make(map[string]Config)
	for _, c := range configs {
		key := watched{c.Repo(), strings.Join(Distinct(c.Tags), " ")} // no tag has a space
		if earlier, ok := first[key]; ok {
			duplicates[c.ID] = earlier
		} else {
			first[key] = c
		}
	}
	return duplicates
}

// NewConfig validates draft and sets its ID, a new UUIDv7, and its time of creation. An empty list of tags becomes nil.
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
}

// ValidID reports whether id has the form of a scan ID. No config has an id of another form, so callers need not read
// the store.
func ValidID(id string) bool {
	return len(id) == 36 && uuid.Validate(id) == nil && id == strings.ToLower(id)
}

// Repo returns the repository that the config watches.
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

// The patterns are from ECR's API model of 2015-09-21, with two exceptions. The model has no pattern for a tag, so this
// is the pattern of OCI. The model's pattern for a Region also matches host names, so this one is stricter.
var (
	regionForm     = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
	registryForm   = regexp.MustCompile(`^[0-9]{12}$`)
	repositoryForm = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
)

// maxTag is the maximum length of a tag. As a part of the pattern, it would make the pattern a hundred times as large, and each process
// would need two milliseconds longer to start.
const maxTag = 128

// Validate checks the region, the registry, the repository, the tags, the name and the owner. It returns nil, or an [*Error] with the code
// [Invalid] and one [FieldError] for each invalid field. It ignores ID, Created and Updated.
func (c Config) Validate() error {
	var wrong []FieldError
	check := func(ok bool, pointer, detail string) {
		if !ok {
			wrong = append(wrong, FieldError{Pointer: pointer, Detail: detail})
		}
	}
	check(len(c.Region) <= 25 && regionForm.MatchString(c.Region), "/region", "must be an AWS Region, such as us-west-2")
	check(registryForm.MatchString(c.Registry), "/registry", "must be an AWS account ID: a string of 12 digits")
	check(isRepository(c.Repository), "/repository", repositoryRule)
	check(c.Name == "" || isLabel(c.Name), "/name", LabelRule)
	check(c.Owner == "" || isLabel(c.Owner), "/owner", LabelRule)
	if len(c.Tags) > MaxTags {
		check(false, "/tags", fmt.Sprintf("must have at most %d tags; omit it to watch all tags", MaxTags))
		return invalid(wrong)
	}
	seen := make(map[string]bool, len(c.Tags))
	for i, tag := range c.Tags {
		pointer := fmt.Sprintf("/tags/%d", i)
		check(isTag(tag), pointer, tagRule)
		check(!seen[tag], pointer, "is given twice")
		seen[tag] = true
	}
	return invalid(wrong)
}

// maxLabel is the maximum length of a name or an owner, in characters.
const maxLabel = 100

// LabelRule is the error text for an invalid name or owner.
const LabelRule = "must be 1 to 100 printable characters, without control characters and without spaces at its ends; leave it out if there is none"

// isLabel reports whether s is a name or an owner. All outputs can show such a text as it is: it is one line, and no character of it is invisible
// or changes the direction of writing.
func isLabel(s string) bool {
	isWrong := func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }
	return s != "" && utf8.RuneCountInString(s) <= maxLabel && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, isWrong)
}

const (
	repositoryRule = "must be the name of an ECR repository: 2 to 256 lower-case letters, digits, \".\", \"_\", \"-\" or \"/\""
	tagRule        = "must be an image tag: 1 to 128 letters, digits, \".\", \"_\" or \"-\", not starting with \".\" or \"-\""
)

func isRepository(name string) bool {
	return len(name) >= 2 && len(name) <= 256 && repositoryForm.MatchString(name)
}

func isTag(tag string) bool { return len(tag) <= maxTag && tagForm.MatchString(tag) }

func invalid(wrong []FieldError) error {
	if len(wrong) == 0 {
		return nil
	}
	return &Error{Code: Invalid, Message: "The scan config has missing or invalid fields.", Fields: wrong}
}
