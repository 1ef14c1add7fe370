package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"ecr-continuous-scan/internal/report"
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
	// UnreadData is an image, or a whole config, of which nobody knows what it holds now.
	UnreadData struct {
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
	// FindingData is a finding and where it was found. Grouped by vulnerability it has Images and ImageCount in place of Tag, Platform and Digest.
	FindingData struct {
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
		name, err := json.Marshal(OneLine(string(count.Severity), maxSeverity))
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

func newImageData(item report.Item, since, now time.Time) imageData {
	image, result, condition := item.Image, item.Result, item.Condition()
	d := imageData{
		Tag: OneLine(image.Tag, maxReason), Platform: OneLine(image.Platform, maxReason), Digest: OneLine(image.Digest, maxReason),
		AsOf: OptionalTime(condition.AsOf), ScannedAt: OptionalTime(result.CompletedAt),
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
		d.KnownSince, d.New, d.Fixed = RFC3339(item.KnownSince), newCounts(added), newCounts(fixed)
	}
	return d
}

// conditionData is a condition as programs read it; both are empty for a config whose images tell.
func conditionData(c report.Condition) (state, reason string) {
	return OneLine(string(c.State), maxReason), OneLine(c.Reason, maxReason)
}

// maxUnread is how many images and configs without a current result a page of findings names.
const maxUnread = 1000

// UnreadOf is what a listing says nothing of, since nobody knows: the first thousand images and configs, and how many more there are.
func UnreadOf(l report.Listing) (named []UnreadData, more int) {
	named = []UnreadData{}
	add := func(d UnreadData) {
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
			add(UnreadData{repositoryData: repo, State: state, Reason: reason})
		}
		for _, item := range r.Images {
			if item.Condition().Current() || seen[item.Image] {
				continue
			}
			seen[item.Image] = true
			d := newImageData(item, time.Time{}, time.Time{})
			add(UnreadData{repo, d.Tag, d.Platform, d.Digest, d.State, d.Reason, d.AsOf})
		}
	}
	return named, more
}

// fitFindings writes the findings of a listing with as much of their texts as fits.
func fitFindings(l report.Listing, write func([]FindingData) ([]byte, error)) ([]byte, error) {
	return Fit(func(room int) ([]byte, error) {
		findings := make([]FindingData, len(l.Entries))
		for i, e := range l.Entries {
			findings[i] = NewFindingData(l, e, room)
		}
		return write(findings)
	}, ListingRooms()...)
}

// NewFindingData is an entry's data, with room for so many characters in its texts and in each of its lists.
func NewFindingData(l report.Listing, found report.Entry, room int) FindingData {
	f, image := found.Finding, found.Images[0]
	most := min(MaxName, max(room, 100))
	d := FindingData{
		ID: l.EntryID(found).URN(), Severity: OneLine(string(f.Severity), maxSeverity), Vulnerability: OneLine(f.Name, most), Package: OneLine(f.Package, most),
		Versions: few(f.Versions, room), FixedIn: few(f.FixedIn, room),
		FixAvailable: OneLine(f.FixAvailable, maxSeverity), Exploit: OneLine(f.Exploit, maxSeverity), Score: scoreOf(f), Vector: OneLine(f.Vector, most),
		repositoryData: repositoryData{image.Repository.Region, image.Repository.Registry, image.Repository.Name},
		Published:      RFC3339(found.Published), Updated: RFC3339(found.Updated), Resolved: OptionalTime(found.Resolved),
		URL: Advisory(f, room), Description: strings.TrimSpace(Clean(f.Description, room)),
	}
	if !l.View.ByVulnerability {
		d.Tag, d.Platform, d.Digest = OneLine(image.Tag, most), OneLine(image.Platform, most), OneLine(image.Digest, most)
		return d
	}
	d.ImageCount = found.Count
	d.Images = few(Labels(found.Images, func(s string) string { return s }), room)
	return d
}

// few are as many of the texts as there is room for, and the first in any case.
func few(texts []string, room int) []string {
	var kept []string
	for _, s := range texts {
		s = OneLine(s, min(MaxName, max(room, 100)))
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

// EncodeJSON writes JSON, indented or on one line. It fails for what JSON can't hold, such as a function.
func EncodeJSON(v any, indent bool) ([]byte, error) {
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
	b, err := EncodeJSON(v, true)
	if err != nil || sentSize(b) <= MaxSent {
		return b, err
	}
	return EncodeJSON(v, false)
}
