package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// The data formats have one name for each thing: a field of JSON is a column of CSV. Names are promises: one may be added, none changes its
// meaning.
type (
	// imageData is an image and what is known of it. Its texts are clean.
	imageData struct {
		Tag        string     `json:"tag"`
		Platform   string     `json:"platform,omitempty"`
		Digest     string     `json:"digest,omitempty"`
		State      string     `json:"state"`
		Reason     string     `json:"reason,omitempty"`
		AsOf       string     `json:"asOf,omitempty"`
		ScannedAt  string     `json:"scannedAt,omitempty"`
		AgeHours   *int       `json:"ageHours,omitempty"`
		Counts     countsData `json:"counts"` // null unless a scan was completed: what isn't known is not zero
		KnownSince string     `json:"knownSince,omitempty"`
		New        countsData `json:"new,omitzero"`
		Fixed      countsData `json:"fixed,omitzero"`
	}
	// unreadData is an image, or a whole config, of which nobody knows what it holds now.
	unreadData struct {
		repositoryData
		Tag      string `json:"tag,omitempty"`
		Platform string `json:"platform,omitempty"`
		Digest   string `json:"digest,omitempty"`
		State    string `json:"state"`
		Reason   string `json:"reason,omitempty"`
		AsOf     string `json:"asOf,omitempty"`
	}
	repositoryData struct {
		Region     string `json:"region"`
		Registry   string `json:"registry"`
		Repository string `json:"repository"`
	}
	// findingData is a finding and where it was found. Grouped by vulnerability it has Images and ImageCount in place of Tag, Platform and Digest.
	findingData struct {
		Severity      string   `json:"severity"`
		Vulnerability string   `json:"vulnerability"`
		Package       string   `json:"package,omitempty"`
		Versions      []string `json:"versions,omitempty"`
		FixedIn       []string `json:"fixedIn,omitempty"`
		FixAvailable  string   `json:"fixAvailable,omitempty"`
		Exploit       string   `json:"exploit,omitempty"`
		Score         *float64 `json:"score,omitempty"`
		Vector        string   `json:"vector,omitempty"`
		repositoryData
		Tag        string   `json:"tag,omitempty"`
		Platform   string   `json:"platform,omitempty"`
		Digest     string   `json:"digest,omitempty"`
		Images     []string `json:"images,omitempty"`
		ImageCount int      `json:"imageCount,omitempty"`
		Resolved   string   `json:"resolved,omitempty"`
		// What an item of a JSON Feed has elsewhere.
		ID          string `json:"-"`
		Published   string `json:"-"`
		Updated     string `json:"-"`
		URL         string `json:"-"`
		Description string `json:"-"`
	}
)

// countsData are counts worst first; nil when they aren't known.
type countsData []scan.SeverityCount

func newCounts(c scan.Counts) countsData { return c.Ordered() }

// MarshalJSON implements json.Marshaler: an object in the order of the severities, which a map would lose.
func (c countsData) MarshalJSON() ([]byte, error) {
	if c == nil {
		return []byte("null"), nil
	}
	var b bytes.Buffer
	for i, count := range c {
		name, err := json.Marshal(oneLine(string(count.Severity), maxSeverity))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%c%s:%d", "{,"[min(i, 1)], name, count.Count)
	}
	if len(c) == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// maxSeverity bounds a severity that nobody has heard of, in characters.
const maxSeverity = 50

func newImageData(item scan.Item, since, now time.Time) imageData {
	image, result, condition := item.Image, item.Result, item.Condition()
	d := imageData{
		Tag: oneLine(image.Tag, maxReason), Platform: oneLine(image.Platform, maxReason), Digest: oneLine(image.Digest, maxReason),
		AsOf: optionalTime(condition.AsOf), ScannedAt: optionalTime(result.CompletedAt),
	}
	d.State, d.Reason = conditionData(condition)
	if !result.CompletedAt.IsZero() {
		hours := max(0, int(now.Sub(result.CompletedAt)/time.Hour))
		d.AgeHours = &hours
	}
	if result.State != scan.Completed {
		return d
	}
	d.Counts = newCounts(result.Counts)
	if !item.KnownSince.IsZero() {
		added, fixed := item.ChangedSince(since)
		d.KnownSince, d.New, d.Fixed = rfc3339(item.KnownSince), newCounts(added), newCounts(fixed)
	}
	return d
}

// conditionData is a condition as programs read it; both are empty for a config whose images tell.
func conditionData(c scan.Condition) (state, reason string) {
	return oneLine(string(c.State), maxReason), oneLine(c.Reason, maxReason)
}

// maxUnread is how many images and configs without a current result a page of findings names.
const maxUnread = 1000

// unreadOf is what a listing says nothing of, since nobody knows, and how much more of it there is.
func unreadOf(l scan.Listing) (named []unreadData, more int) {
	named = []unreadData{}
	add := func(d unreadData) {
		if len(named) < maxUnread {
			named = append(named, d)
		} else {
			more++
		}
	}
	seen := make(map[scan.Image]bool)
	for _, r := range l.Reports {
		repo := repositoryData{r.Config.Region, r.Config.Registry, r.Config.Repository}
		state, reason := conditionData(r.Condition())
		if elsewhere := r.Err == nil && l.Config == nil && l.View.Filter.NarrowsImages(); state != "" && !elsewhere {
			add(unreadData{repositoryData: repo, State: state, Reason: reason})
		}
		for _, item := range r.Images {
			if item.Condition().Current() || seen[item.Image] {
				continue
			}
			seen[item.Image] = true
			d := newImageData(item, time.Time{}, time.Time{})
			add(unreadData{repo, d.Tag, d.Platform, d.Digest, d.State, d.Reason, d.AsOf})
		}
	}
	return named, more
}

// fitFindings writes the findings of a listing with as much of their texts as fits.
func fitFindings(l scan.Listing, write func([]findingData) ([]byte, error)) ([]byte, error) {
	return fit(func(room int) ([]byte, error) {
		findings := make([]findingData, len(l.Entries))
		for i, e := range l.Entries {
			findings[i] = newFindingData(l, e, room)
		}
		return write(findings)
	}, listingRooms()...)
}

// newFindingData is an entry's data, with room for so many characters in its texts and in each of its lists.
func newFindingData(l scan.Listing, found scan.Entry, room int) findingData {
	f, image := found.Finding, found.Images[0]
	most := min(maxName, max(room, 100))
	d := findingData{
		ID: l.EntryID(found).URN(), Severity: oneLine(string(f.Severity), maxSeverity), Vulnerability: oneLine(f.Name, most), Package: oneLine(f.Package, most),
		Versions: few(f.Versions, room), FixedIn: few(f.FixedIn, room),
		FixAvailable: oneLine(f.FixAvailable, maxSeverity), Exploit: oneLine(f.Exploit, maxSeverity), Score: scoreOf(f), Vector: oneLine(f.Vector, most),
		repositoryData: repositoryData{image.Repository.Region, image.Repository.Registry, image.Repository.Name},
		Published:      rfc3339(found.Published), Updated: rfc3339(found.Updated), Resolved: optionalTime(found.Resolved),
		URL: advisory(f, room), Description: strings.TrimSpace(clean(f.Description, room)),
	}
	if !l.View.ByVulnerability {
		d.Tag, d.Platform, d.Digest = oneLine(image.Tag, most), oneLine(image.Platform, most), oneLine(image.Digest, most)
		return d
	}
	d.ImageCount = found.Count
	d.Images = few(labels(found.Images, func(s string) string { return s }), room)
	return d
}

// few are as many of the texts as there is room for, and the first in any case.
func few(texts []string, room int) []string {
	var kept []string
	for _, s := range texts {
		s = oneLine(s, min(maxName, max(room, 100)))
		room -= len(s)
		if len(kept) > 0 && room < 0 {
			break
		}
		kept = append(kept, s)
	}
	return kept
}

// scoreOf is the CVSS base score, nil when it is unknown or none.
func scoreOf(f scan.Finding) *float64 {
	score, err := strconv.ParseFloat(f.Score, 64)
	if err != nil || math.IsNaN(score) || score < 0 || score > 10 {
		return nil
	}
	return &score
}

// encode writes JSON, indented or on one line.
func encode(v any, indent bool) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if indent {
		encoder.SetIndent("", "  ")
	}
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// encodeFitting indents where the whole fits into an answer then.
func encodeFitting(v any) ([]byte, error) {
	b, err := encode(v, true)
	if err != nil || sentSize(b) <= maxSent {
		return b, err
	}
	return encode(v, false)
}
