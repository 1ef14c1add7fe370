package render

import (
	"fmt"
	"slices"
	"strings"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// FilterWords describes a filter in words; empty for an empty filter.
func FilterWords(f scan.Filter) string {
	var words []string
	for _, row := range scan.Filters() {
		values := row.Values(f)
		switch {
		case len(values) == 0:
		case row.IsSwitch():
			words = append(words, row.Noun)
		case len(row.Texts) > 0:
			words = append(words, row.Noun+" "+row.Texts[slices.Index(row.Choices, values[0])])
		case row.Choices != nil:
			words = append(words, row.Noun+" "+values[0]+" and above")
		default:
			words = append(words, row.Noun+" "+OneLine(strings.Join(values, " or "), 300))
		}
	}
	return strings.Join(words, ", ")
}

// maxReason is the maximum length of a reason, in characters.
const maxReason = 300

// Trouble is why an image or a config has no current result. Its texts are clean.
type Trouble struct{ State, Reason string }

// Line returns the trouble as one line of the text summary or of a feed.
func (t *Trouble) Line() string { return WithReason(strings.ToUpper(t.State), t.Reason) }

func newTrouble(state, reason string) *Trouble { return &Trouble{state, OneLine(reason, maxReason)} }

// WithReason returns "state: reason" on one line, or only the state if the reason says no more.
func WithReason(state, reason string) string {
	if reason = OneLine(reason, maxReason); reason == "" || reason == state {
		return state
	}
	return state + ": " + reason
}

// ConfigTrouble returns why a config can't be read or has no images; nil when it has images.
func ConfigTrouble(r report.Report) *Trouble {
	switch c := r.Condition(); c.State {
	case "":
		return nil
	case report.NoImages:
		return newTrouble("No images", "")
	case report.NoRepositories:
		return newTrouble("No repositories", c.Reason)
	case scan.NoSuchRepository:
		return newTrouble("Repository not found", "")
	case scan.Refused:
		if strings.HasPrefix(c.Reason, "no access") { // repeats the state
			return newTrouble("No access", "")
		}
		return newTrouble("No access", c.Reason)
	default:
		return newTrouble("Unavailable", c.Reason)
	}
}

// StateTrouble returns why an image has no counts, or not all findings; nil only for a completed scan.
func StateTrouble(c report.Condition) *Trouble {
	switch c.State {
	case scan.Completed:
		return nil
	case scan.Incomplete:
		return newTrouble("Incomplete", c.Reason)
	case scan.InProgress:
		return newTrouble("Scan in progress", "")
	case scan.Failed:
		return newTrouble("Scan failed", c.Reason)
	case scan.NoSuchTag:
		return newTrouble("Tag not found", "")
	case scan.Unread, scan.Refused:
		return newTrouble("Unavailable", c.Reason)
	}
	return newTrouble("Not scanned", c.Reason)
}

// ConfigLine describes the trouble of a config in a listing; empty when there is none.
func ConfigLine(l report.Listing, r report.Report) string {
	trouble := ConfigTrouble(r)
	switch {
	case trouble == nil, r.IsEmptyMatch():
		return ""
	case r.Err == nil && l.View.Filter.NarrowsImages():
		if !l.IsOfOneRepository() {
			return "" // most repositories don't have the tag
		}
		if f := l.View.Filter; len(f.Platforms)+len(f.Digests)+len(f.Repositories) > 0 {
			return "NO IMAGES that match the filter"
		}
		return "NO IMAGES with such a tag"
	case !l.IsOfOneRepository():
		return fmt.Sprintf("[%s in %s] %s", r.Repository.Name, r.Repository.Region, trouble.Line())
	}
	return trouble.Line()
}

// Maximum lengths of texts. The content of an entry has the whole text.
const (
	// MaxName is the maximum length of a name, in characters.
	MaxName = 200
	// MaxSummary is the maximum length of a summary, in characters.
	MaxSummary = 1000
	// maxURL is the maximum length of a link, in bytes.
	maxURL = 2000
	// MaxTroubles is the maximum number of listed images and configs without a result. The others are only counted.
	MaxTroubles = 20
)

// configTitle returns the title for the findings of a config. It starts with the config's name, if it has one.
func configTitle(c scan.Config) string {
	title := fmt.Sprintf("ECR repository %s in %s", c.Repository, c.Region)
	if c.Name != "" {
		title = c.Name + ": " + title
	}
	return title
}

// NoConfigWords says why a filter selects no config; empty if it selects all of them.
func NoConfigWords(f scan.Filter) string {
	switch {
	case len(f.Repositories) > 0 && len(f.Owners) > 0:
		return "No config of this owner watches this repository"
	case len(f.Repositories) > 0:
		return "No config watches this repository"
	case len(f.Owners) > 0:
		return "No config has this owner"
	}
	return ""
}

// ListingTitle returns the title of a listing.
func ListingTitle(l report.Listing) string {
	title := "ECR image scan findings"
	if l.Config != nil {
		title = configTitle(*l.Config)
	}
	if l.IsChangeFeed {
		title += ", what changed"
	}
	if words := viewWords(l.View); words != "" {
		title += ": " + words
	}
	return title
}

// NotWatchedWords says how many images are not watched, and why; empty if there are none.
func NotWatchedWords(untagged, older, unused int) string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{untagged, "untagged"}, {older, "older"}, {unused, "unused"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	switch last := len(parts) - 1; {
	case last < 0:
		return ""
	case untagged+older+unused == 1:
		return parts[0] + " image is not watched"
	case last > 0:
		parts = []string{strings.Join(parts[:last], ", ") + " and " + parts[last]}
	}
	return parts[0] + " images are not watched"
}

func viewWords(v report.View) string {
	words := FilterWords(v.Filter)
	switch {
	case !v.ByVulnerability:
		return words
	case words == "":
		return "by vulnerability"
	}
	return words + ", by vulnerability"
}

// ImageName returns the name of an image in a listing. It includes the repository if the listing can have several.
func ImageName(l report.Listing, image scan.Image) string {
	if l.IsOfOneRepository() {
		return OneLine(image.Label(), MaxName)
	}
	return FullName(image)
}

// FullName returns the name of an image with its repository.
func FullName(image scan.Image) string {
	label := OneLine(image.Label(), MaxName)
	if label == "" { // a whole repository
		return image.Repository.Name
	}
	return image.Repository.Name + image.Separator() + label
}

// Labels returns the labels of images, each transformed by name.
func Labels(images []*scan.Image, name func(string) string) []string {
	all := make([]string, len(images))
	for i, image := range images {
		all[i] = name(image.Label())
	}
	return all
}

// TagList lists the tags of an entry's images in at most limit bytes, and counts the others. It always lists the first tag.
func TagList(found report.Entry, limit int) string {
	const countLength = 16 // of " and 123 more"
	list := ""
	for i, image := range found.Images {
		next := OneLine(image.Label(), MaxName)
		if i > 0 {
			next = ", " + next
		}
		if i > 0 && len(list)+len(next)+countLength > limit {
			return fmt.Sprintf("%s and %d more", list, found.Count-i)
		}
		list += next
	}
	if more := found.Count - len(found.Images); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}
