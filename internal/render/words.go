package render

import (
	"fmt"
	"strings"

	"ecr-continuous-scan/internal/scan"
)

// filterWords puts a filter into words; empty for one that lets everything through.
func filterWords(f scan.Filter) string {
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
			words = append(words, row.Noun+" "+oneLine(strings.Join(values, " or "), 300))
		}
	}
	return strings.Join(words, ", ")
}

// maxReason bounds a reason, in characters.
const maxReason = 300

// trouble is why nobody knows how an image or a config is now. Its texts are clean.
type trouble struct{ State, Reason string }

// line is the trouble as the text summary and the feeds tell it.
func (t *trouble) line() string { return withReason(strings.ToUpper(t.State), t.Reason) }

func newTrouble(state, reason string) *trouble { return &trouble{state, oneLine(reason, maxReason)} }

func withReason(state, reason string) string {
	if reason = oneLine(reason, maxReason); reason == "" {
		return state
	}
	return state + ": " + reason
}

// configTrouble is why a config can't be read as a whole, or that it has nothing to read; nil when neither is so.
func configTrouble(r scan.Report) *trouble {
	switch c := r.Condition(); c.State {
	case "":
		return nil
	case scan.NoImages:
		return newTrouble("No images", "")
	case scan.NoSuchRepository:
		return newTrouble("Repository not found", "")
	case scan.Refused:
		return newTrouble("No access", "")
	default:
		return newTrouble("Unavailable", c.Reason)
	}
}

// stateTrouble is why an image has no counts; it is nil for a completed scan alone.
func stateTrouble(c scan.Condition) *trouble {
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

// configLine says in a list of findings or changes what is wrong with a config; empty when nothing is.
func configLine(l scan.Listing, r scan.Report) string {
	trouble := configTrouble(r)
	switch {
	case trouble == nil:
		return ""
	case r.Err == nil && l.View.Filter.NarrowsImages():
		if l.Config == nil {
			return "" // most repositories won't have the tag
		}
		return "NO IMAGES with such a tag"
	case l.Config == nil:
		return fmt.Sprintf("[%s in %s] %s", r.Config.Repository, r.Config.Region, trouble.line())
	}
	return trouble.line()
}

// Bounds of names and of a summary, in characters, and of a link, in bytes. An entry's content has the whole of what they cut. maxTrouble
// is how many of those without a result are named before the rest is counted.
const (
	maxName    = 200
	maxSummary = 1000
	maxURL     = 2000
	maxTrouble = 20
)

// configTitle is the title of the findings of a config.
func configTitle(c scan.Config) string {
	return fmt.Sprintf("ECR repository %s in %s", c.Repository, c.Region)
}

// listingTitle is the title of a listing.
func listingTitle(l scan.Listing) string {
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

func viewWords(v scan.View) string {
	words := filterWords(v.Filter)
	switch {
	case !v.ByVulnerability:
		return words
	case words == "":
		return "by vulnerability"
	}
	return words + ", by vulnerability"
}

// imageName names an image within a listing.
func imageName(l scan.Listing, image scan.Image) string {
	if l.Config != nil {
		return oneLine(image.Label(), maxName)
	}
	return image.Repository.Name + ":" + oneLine(image.Label(), maxName)
}

func labels(images []*scan.Image, name func(string) string) []string {
	all := make([]string, len(images))
	for i, image := range images {
		all[i] = name(image.Label())
	}
	return all
}

// tagList names as many tags as there is room for, and counts the rest.
func tagList(found scan.Entry, room int) string {
	const forCount = 16
	list := ""
	for i, image := range found.Images {
		next := oneLine(image.Label(), maxName)
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
