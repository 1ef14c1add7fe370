package scan

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a config.
const (
	// MaxTags is the maximum number of tags and of patterns of tags in a config.
	MaxTags = 1000
	// maxPatterns is the maximum number of patterns of tags. Each is compared with each tag of a repository.
	maxPatterns = 100
	// maxExclude is the maximum number of names and patterns in Exclude. Each is compared with each repository of a registry.
	maxExclude = 100
	// maxPattern is the maximum length of a pattern.
	maxPattern = 256
	// maxNewest is the maximum of Newest.
	maxNewest = 1000
	// minUsed and maxUsed limit Used, in days. ECR can record a pull one day late.
	minUsed = 2
	maxUsed = 365
)

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

// Validate checks all fields except ID, Created and Updated. It returns nil, or an [*Error] with the code [Invalid] and one [FieldError] for each
// invalid field.
func (c Config) Validate() error {
	var wrong []FieldError
	check := func(ok bool, pointer, detail string) {
		if !ok {
			wrong = append(wrong, FieldError{Pointer: pointer, Detail: detail})
		}
	}
	check(isRegion(c.Region), "/region", "must be an AWS Region, such as us-west-2")
	check(registryForm.MatchString(c.Registry), "/registry", "must be an AWS account ID: a string of 12 digits")
	check(isRepository(c.Repository) || isPatternOf(repositoryPart, c.Repository), "/repository", repositoryRule+", or a pattern: "+patternRule)
	check(c.Name == "" || isLabel(c.Name), "/name", LabelRule)
	check(c.Owner == "" || isLabel(c.Owner), "/owner", LabelRule)
	check(c.Newest >= 0 && c.Newest <= maxNewest, "/newest", NewestRule)
	check(c.Used == "" || isUsed(c.Used), "/used", UsedRule)
	check(len(c.Exclude) == 0 || !isRepository(c.Repository), "/exclude", "must be left out, because repository is not a pattern")
	patterns := 0
	for _, tag := range c.Tags {
		if IsPattern(tag) {
			patterns++
		}
	}
	check(patterns <= maxPatterns, "/tags", fmt.Sprintf("must have at most %d patterns", maxPatterns))
	wrong = append(wrong, checkList("/tags", c.Tags, MaxTags, func(s string) bool { return isTag(s) || isPatternOf(tagPart, s) },
		tagRule+", or a pattern: "+patternRule)...)
	wrong = append(wrong, checkList("/exclude", c.Exclude, maxExclude, func(s string) bool { return isRepository(s) || isPatternOf(repositoryPart, s) },
		repositoryRule+", or a pattern: "+patternRule)...)
	return invalid(wrong)
}

func isRegion(s string) bool { return len(s) <= 25 && regionForm.MatchString(s) }

// checkList returns the errors of a list of names and patterns.
func checkList(pointer string, list []string, most int, isValid func(string) bool, rule string) []FieldError {
	if len(list) > most {
		return []FieldError{{pointer, fmt.Sprintf("must have at most %d items", most)}}
	}
	var wrong []FieldError
	seen := make(map[string]bool, len(list))
	for i, s := range list {
		at := fmt.Sprintf("%s/%d", pointer, i)
		if !isValid(s) {
			wrong = append(wrong, FieldError{at, rule})
		}
		if seen[s] {
			wrong = append(wrong, FieldError{at, "is given twice"})
		}
		seen[s] = true
	}
	return wrong
}

// Error texts for values of optional fields.
const (
	NewestRule = "must be a whole number from 1 to 1000; leave it out to watch all images"
	UsedRule   = "must be a number of days from 2d to 365d; leave it out to watch images that nobody uses too"
)

var usedForm = regexp.MustCompile(`^[1-9][0-9]{0,2}d$`)

func isUsed(s string) bool {
	days := daysOf(s)
	return usedForm.MatchString(s) && days >= minUsed && days <= maxUsed
}

// daysOf returns the number in a text such as 30d.
func daysOf(s string) int {
	days, _ := strconv.Atoi(strings.TrimSuffix(s, "d"))
	return days
}

// The characters of a pattern of tags and of a pattern of repositories.
var (
	tagPart        = regexp.MustCompile(`^[A-Za-z0-9._*-]+$`)
	repositoryPart = regexp.MustCompile(`^[a-z0-9._/*-]+$`)
)

const patternRule = "at most 256 of these characters and \"*\", which matches any characters; \"**\" is not allowed"

func isPatternOf(characters *regexp.Regexp, s string) bool {
	return len(s) <= maxPattern && IsPattern(s) && characters.MatchString(s)
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
