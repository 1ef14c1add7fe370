package render

import (
	"fmt"
	"strings"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// FilterWords puts a filter into words; empty for one that lets everything through.
func FilterWords(f scan.Filter) string {
	var words []string
	for _, row := range scan.Filters() {
		values := row.Values(f)
		switch {
		case len(values) == 0:
		case row.IsSwitch():
			words = append(words, row.Noun)
		case row.Choices != nil:
			words = append(words, row.Noun+" "+values[0]+" and above")
		default:
			words = append(words, row.Noun+" "+OneLine(strings.Join(values, " or "), 300))
		}
	}
	return strings.Join(words, ", ")
}

// maxReason bounds a reason, in characters.
const maxReason = 300

// Trouble is why nobody knows how an image or a config is now. Its texts are clean.
type Trouble struct{ State, Reason string }

// Line is the trouble as the text summary and the feeds tell it.
func (t *Trouble) Line() string { return WithReason(strings.ToUpper(t.State), t.Reason) }

func newTrouble(state, reason string) *Trouble { return &Trouble{state, OneLine(reason, maxReason)} }

// WithReason is a state and, behind a colon, its reason on one line; the state alone when there is no reason.
func WithReason(state, reason string) string {
	if reason = OneLine(reason, maxReason); reason == "" {
		return state
	}
	return state + ": " + reason
}

// ConfigTrouble is why a config can't be read as a whole, or that it has nothing to read; nil when neither is so.
func ConfigTrouble(r report.Report) *Trouble {
	switch c := r.Condition(); c.State {
	case "":
		return nil
	case report.NoImages:
		return newTrouble("No images", "")
	case scan.NoSuchRepository:
		return newTrouble("Repository not found", "")
	case scan.Refused:
		return newTrouble("No access", "")
	default:
		return newTrouble("Unavailable", c.Reason)
	}
}

// StateTrouble is why an image has no counts; it is nil for a completed scan alone.
func StateTrouble(c report.Condition) *Trouble {
	switch c.State {
	case scan.Completed:
		return nil
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

// ConfigLine says in a list of findings or changes what is wrong with a config; empty when nothing is.
func ConfigLine(l report.Listing, r report.Report) string {
	trouble := ConfigTrouble(r)
	switch {
	case trouble == nil:
		return ""
	case r.Err == nil && l.View.Filter.NarrowsImages():
		if l.Config == nil {
			return "" // most repositories won't have the tag
		}
		return "NO IMAGES with such a tag"
	case l.Config == nil:
		return fmt.Sprintf("[%s in %s] %s", r.Config.Repository, r.Config.Region, trouble.Line())
	}
	return trouble.Line()
}

// Bounds of texts. An entry's content has the whole of what they cut.
const (
	// MaxName bounds a name, in characters.
	MaxName = 200
	// MaxSummary bounds a summary, in characters.
	MaxSummary = 1000
	// maxURL bounds a link, in bytes.
	maxURL = 2000
	// MaxTroubles is how many of those without a result are named before the rest is counted.
	MaxTroubles = 20
)

// configTitle is the title of the findings of a config.
func configTitle(c scan.Config) string {
	return fmt.Sprintf("ECR repository %s in %s", c.Repository, c.Region)
}

// ListingTitle is the title of a listing.
func ListingTitle(l report.Listing) string {
	title := "ECR image scan findings"
	if l.Config != nil {
		title = configTitle(*l.Config)
	}
	if l.News {
		title += ", what changed"
	}
	if words := viewWords(l.View); words != "" {
		title += ": " + words
	}
	return title
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

// ImageName names an image within a listing: with its repository when the listing is one of several configs.
func ImageName(l report.Listing, image scan.Image) string {
	if l.Config != nil {
		return OneLine(image.Label(), MaxName)
	}
	return image.Repository.Name + ":" + OneLine(image.Label(), MaxName)
}

// Labels are the labels of images, each put through name.
func Labels(images []*scan.Image, name func(string) string) []string {
	all := make([]string, len(images))
	for i, image := range images {
		all[i] = name(image.Label())
	}
	return all
}

// TagList names as many tags as there is room for, in bytes, and counts the rest. The first is named in any case.
func TagList(found report.Entry, room int) string {
	const forCount = 16
	list := ""
	for i, image := range found.Images {
		next := OneLine(image.Label(), MaxName)
		if i > 0 {
			next = ", " + next
		}
		if i > 0 && len(list)+len(next)+forCount > room {
			return fmt.Sprintf("%s and %d more", list, found.Count-i)
		}
		list += next
	}
	if more := found.Count - len(found.Images); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}
