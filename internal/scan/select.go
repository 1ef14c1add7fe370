package scan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Wanted is what a list of the images of a repository must contain.
type Wanted struct {
	// Tags are the tags whose images are listed. nil means all tags.
	Tags []string
	// Untagged means that images without a tag are listed too, if Tags is nil.
	Untagged bool
}

// WantedBy returns what a list must contain so that it has all images that the configs of one repository can watch.
func WantedBy(configs []Config) Wanted {
	var tags []string
	var untagged, all bool
	for _, c := range configs {
		untagged = untagged || c.Untagged
		all = all || c.Untagged || len(c.Tags) == 0 || slices.ContainsFunc(c.Tags, IsPattern)
		tags = append(tags, c.Tags...)
	}
	if all {
		tags = nil
	}
	return Wanted{Tags: Distinct(tags), Untagged: untagged}
}

// IsSelective reports whether the config selects images by anything other than the names of tags.
func (c Config) IsSelective() bool {
	return c.isLimited() || c.Untagged || slices.ContainsFunc(c.Tags, IsPattern)
}

// isLimited reports whether the selection depends on when images were pushed or used.
func (c Config) isLimited() bool { return c.Newest > 0 || c.Used != "" }

// allTags is the pattern that every tag matches.
const allTags = "*"

// MatchesAllTags reports whether the tags of the config match every tag.
func (c Config) MatchesAllTags() bool { return len(c.Tags) == 0 || slices.Contains(c.Tags, allTags) }

// WatchesAllTags reports whether the config watches all images with a tag, however old they are and whether or not they are used.
func (c Config) WatchesAllTags() bool { return len(c.Tags) == 0 && !c.isLimited() }

// SelectionKey identifies what a selective config selects, whatever the use of the images. It is empty for another config.
func (c Config) SelectionKey() string {
	if !c.IsSelective() {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %t", Distinct(c.Tags), c.Newest, c.Untagged))
	return hex.EncodeToString(sum[:8])
}

// Names returns the tags of the config that are no patterns.
func (c Config) Names() []string {
	return slices.DeleteFunc(slices.Clone(c.Tags), IsPattern)
}

// fate is what a selection decided about an image.
type fate byte

const (
	isWatched fate = iota + 1
	isUnused
	isOlder // not among the newest
)

// Selection is the images of a repository that a config watches at one time.
type Selection struct {
	// Older and Unused are the numbers of images that match the config's tags and are not watched: those that are not among the newest, and those of
	// the newest that nobody used. An index is one image, and so is an image with several tags.
	Older, Unused int
	// Expired is when the last of the unused images was no longer used; zero if there is none.
	Expired time.Time

	config   Config
	names    map[string]bool
	patterns []string
	// fates are those of all tags that match, if the config limits the images by time.
	fates map[string]fate
}

// pullDelay is how late ECR can record a pull.
const pullDelay = 24 * time.Hour

// LastUsed returns when the image was last pushed, pulled or running, at the latest.
func (i Image) LastUsed() time.Time {
	used := later(i.PushedAt, i.LastInUse)
	if !i.LastPulled.IsZero() {
		used = later(used, i.LastPulled.Add(pullDelay))
	}
	return used
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Select returns which of the images of one repository the config watches now. All images of a tag have the same fate. A missing image is watched if
// it would be watched if it existed.
func (c Config) Select(images iter.Seq[Image], now time.Time) Selection {
	s := c.selection()
	if c.isLimited() {
		s.limit(images, now)
	}
	return s
}

// selection returns the selection by tags alone.
func (c Config) selection() Selection {
	s := Selection{config: c, names: make(map[string]bool, len(c.Tags))}
	for _, tag := range c.Tags {
		if IsPattern(tag) {
			s.patterns = append(s.patterns, tag)
		} else {
			s.names[tag] = true
		}
	}
	return s
}

// MatchesTag reports whether the config watches the images of a tag if they are new and in use.
func (c Config) MatchesTag(tag string) bool { return c.selection().matches(tag) }

// matches reports whether the config's tags match a tag, or a digest that stands for the tag.
func (s Selection) matches(tag string) bool {
	switch {
	case IsUntagged(tag):
		return s.config.Untagged
	case len(s.config.Tags) == 0, s.names[tag]:
		return true
	}
	return matchesAny(s.patterns, tag)
}

// Watches reports whether the config watches the images with a tag, or the image with a digest that stands for the tag.
func (s Selection) Watches(tag string) bool {
	if s.fates != nil {
		return s.fates[tag] == isWatched
	}
	return s.matches(tag)
}

// MayWatch reports whether the config names the tag, or watches its images as soon as they are used.
func (s Selection) MayWatch(tag string) bool {
	if s.fates != nil && !s.names[tag] {
		return s.fates[tag] == isWatched || s.fates[tag] == isUnused
	}
	return s.matches(tag)
}

// IsNamed reports whether the config names the tag.
func (s Selection) IsNamed(tag string) bool { return s.names[tag] }

// ByAny returns a function that reports whether one of the selections has a tag, as by has, which is Watches or MayWatch. It is fast for many
// selections of names.
func ByAny(selections []Selection, has func(Selection, string) bool) func(tag string) bool {
	hasAll, names := false, make(map[string]bool)
	var others []Selection
	for _, s := range selections {
		switch {
		case s.config.IsSelective():
			others = append(others, s)
		case len(s.names) == 0:
			hasAll = true
		default:
			maps.Copy(names, s.names)
		}
	}
	return func(tag string) bool {
		return hasAll && !IsUntagged(tag) || names[tag] || slices.ContainsFunc(others, func(s Selection) bool { return has(s, tag) })
	}
}

// unit is what is selected as one image: an image with all its tags, or an index.
type unit struct {
	digest       string
	pushed, used time.Time
	tags         []string
}

// limit sets the fates of the tags.
func (s *Selection) limit(images iter.Seq[Image], now time.Time) {
	s.fates = make(map[string]fate)
	byDigest := make(map[string]*unit)
	var missing []Image
	for i := range images {
		isImage := i.Kind != Missing && i.Kind != Artifact
		switch {
		case !s.matches(i.Tag):
		case i.Kind == Artifact && s.names[i.Tag]:
			s.fates[i.Tag] = isWatched // so that its state is shown
		case i.Kind == Missing:
			missing = append(missing, i)
		case isImage:
			digest := cmp.Or(i.Index, i.Digest)
			u := byDigest[digest]
			if u == nil {
				u = &unit{digest: digest}
				byDigest[digest] = u
			}
			u.tags = append(u.tags, i.Tag)
			u.pushed, u.used = later(u.pushed, i.PushedAt), later(u.used, i.LastUsed())
		}
	}
	units := make([]*unit, 0, len(byDigest))
	for _, u := range byDigest {
		units = append(units, u)
	}
	slices.SortFunc(units, func(a, b *unit) int { return cmp.Or(b.pushed.Compare(a.pushed), strings.Compare(a.digest, b.digest)) })
	for n, u := range units {
		f := s.fateOf(n, u.used, now)
		s.count(f, u.used)
		for _, tag := range u.tags {
			setFate(s.fates, tag, f)
		}
	}
	s.addMissing(missing, units, now)
}

// addMissing sets the fates of the tags of which all images are missing. units are the images that exist.
func (s *Selection) addMissing(missing []Image, units []*unit, now time.Time) {
	fates := make(map[string]fate, len(missing))
	for _, i := range missing {
		newer, _ := slices.BinarySearchFunc(units, i.PushedAt, func(u *unit, at time.Time) int { return at.Compare(u.pushed) })
		f := s.fateOf(newer, i.LastUsed(), now)
		s.noteEnd(f, i.LastUsed())
		setFate(fates, i.Tag, f)
	}
	for tag := range s.names {
		setFate(fates, tag, isWatched) // a named tag without any image is shown as missing
	}
	for tag, f := range fates {
		if s.fates[tag] == 0 {
			s.fates[tag] = f
		}
	}
}

// setFate sets the fate of a tag. A tag is watched if one of its images is.
func setFate(fates map[string]fate, tag string, f fate) {
	if known := fates[tag]; known == 0 || f < known {
		fates[tag] = f
	}
}

// fateOf returns the fate of an image with a number of newer ones.
func (s *Selection) fateOf(newer int, used, now time.Time) fate {
	switch c := s.config; {
	case c.Newest > 0 && newer >= c.Newest:
		return isOlder
	case c.Used != "" && now.Sub(used) > c.UsedWithin():
		return isUnused
	}
	return isWatched
}

func (s *Selection) count(f fate, used time.Time) {
	switch f {
	case isOlder:
		s.Older++
	case isUnused:
		s.Unused++
	}
	s.noteEnd(f, used)
}

// noteEnd notes when an unused image was no longer used.
func (s *Selection) noteEnd(f fate, used time.Time) {
	if f == isUnused && !used.IsZero() {
		s.Expired = later(s.Expired, used.Add(s.config.UsedWithin()))
	}
}
