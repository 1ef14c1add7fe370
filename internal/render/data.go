package render

import (
	"bytes"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// A JSON field and a CSV column with the same name have the same meaning. Clients depend on these names: names may be
// added, but no name may be removed or change its meaning.
type (
	// imageData is an image and its result. Its texts are clean.
	imageData struct {
		Tag        string     `json:"tag"`
		Platform   string     `json:"platform,omitempty"`
		Digest     string     `json:"digest,omitempty"`
		State      string     `json:"state"`
		Reason     string     `json:"reason,omitempty"`
		AsOf       string     `json:"asOf,omitempty"`
		ScannedAt  string     `json:"scannedAt,omitempty"`
		AgeHours   *int       `json:"ageHours,omitempty"`
		Stale      bool       `json:"stale,omitempty"`
		Counts     countsData `json:"counts"` // null unless the last scan is completed: unknown counts must not look like zero
		KnownSince string     `json:"knownSince,omitempty"`
		New        countsData `json:"new,omitzero"`
		Fixed      countsData `json:"fixed,omitzero"`
		Missing    int        `json:"missing,omitempty"` // the number of findings that ECR counts but did not return
		// Suppressed is the number of findings that are set aside, here or by suppression rules of Amazon Inspector. Unsuppressed means that Counts can
		// contain more of them.
		Suppressed   int    `json:"suppressed,omitempty"`
		Unsuppressed bool   `json:"unsuppressed,omitempty"`
		InUse        int    `json:"inUse,omitempty"`
		LastInUseAt  string `json:"lastInUseAt,omitempty"`
		LastPulledAt string `json:"lastPulledAt,omitempty"`
	}
	// WithoutResultData is an image or a config without a current result.
	WithoutResultData struct {
		repositoryData
		Tag      string `json:"tag,omitempty"`
		Platform string `json:"platform,omitempty"`
		Digest   string `json:"digest,omitempty"`
		State    string `json:"state"`
		Reason   string `json:"reason,omitempty"`
		AsOf     string `json:"asOf,omitempty"`
		Missing  int    `json:"missing,omitempty"`
	}
	repositoryData struct {
		Region     string `json:"region"`
		Registry   string `json:"registry"`
		Repository string `json:"repository"`
	}
	// SuppressionData is why a finding is suppressed. ID, Until and Justification can be empty.
	SuppressionData struct {
		ID            string `json:"id,omitempty"`
		Reason        string `json:"reason"`
		Until         string `json:"until,omitempty"`
		Justification string `json:"justification,omitempty"`
	}
	// FindingData is a finding and the images that have it. If findings are grouped by vulnerability, Images and
	// ImageCount are set instead of Tag, Platform and Digest.
	FindingData struct {
		// ID is the id of the finding. The entries of most feeds have ids of their own.
		ID            string        `json:"id"`
		Severity      string        `json:"severity"`
		Vulnerability string        `json:"vulnerability"`
		Package       string        `json:"package,omitempty"`
		Versions      []string      `json:"versions,omitempty"`
		FixedIn       []string      `json:"fixedIn,omitempty"`
		Packages      []PackageData `json:"packages,omitempty"`
		RelatedIDs    []string      `json:"relatedIds,omitempty"`
		Ecosystem     []string      `json:"ecosystem,omitempty"`
		Arch          []string      `json:"arch,omitempty"`
		Paths         []string      `json:"paths,omitempty"`
		Purl          []string      `json:"purl,omitempty"`
		FixAvailable  string        `json:"fixAvailable,omitempty"`
		Exploit       string        `json:"exploit,omitempty"`
		Score         *float64      `json:"score,omitempty"`
		Vector        string        `json:"vector,omitempty"`
		ScoreSource   string        `json:"scoreSource,omitempty"`
		InUse         int           `json:"inUse,omitempty"`
		LastInUseAt   string        `json:"lastInUseAt,omitempty"`
		repositoryData
		Tag        string   `json:"tag,omitempty"`
		Platform   string   `json:"platform,omitempty"`
		Digest     string   `json:"digest,omitempty"`
		Images     []string `json:"images,omitempty"`
		ImageCount int      `json:"imageCount,omitempty"`
		Resolved   string   `json:"resolved,omitempty"`
		// Suppressed is set only for a suppressed finding.
		Suppressed *SuppressionData `json:"suppressed,omitempty"`
		// These are not in the JSON because an item of a JSON Feed already contains them.
		Published   string `json:"-"`
		Updated     string `json:"-"`
		URL         string `json:"-"`
		Description string `json:"-"`
	}
)

// ImageName returns the repository and the label of the finding's image, or only the repository if there are several images.
func (d FindingData) ImageName() string { return imageName(d.Repository, d.Tag, d.Platform) }

// ImageName returns the repository and the label of the image, or only the repository of a config.
func (d WithoutResultData) ImageName() string { return imageName(d.Repository, d.Tag, d.Platform) }

// Place returns the finding's image, or only the repository if there are several images.
func (d FindingData) Place() scan.Image { return placeOf(d.repositoryData, d.Tag, d.Platform) }

// Place returns the image, or only the repository of a config.
func (d WithoutResultData) Place() scan.Image { return placeOf(d.repositoryData, d.Tag, d.Platform) }

func placeOf(r repositoryData, tag, platform string) scan.Image {
	return scan.Image{Repository: scan.Repository{Region: r.Region, Registry: r.Registry, Name: r.Repository}, Tag: tag, Platform: platform}
}

func imageName(repository, tag, platform string) string {
	if tag == "" {
		return repository
	}
	image := scan.Image{Tag: tag, Platform: platform}
	return repository + image.Separator() + image.Label()
}

// countsData contains counts, most severe first; nil when they are unknown.
type countsData []scan.SeverityCount

func newCounts(c scan.Counts) countsData { return c.Ordered() }

// MarshalJSON implements json.Marshaler. It writes an object in the order of the severities, which a map would not
// keep.
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

// maxSeverity is the maximum length of an unknown severity, in characters.
const maxSeverity = 50

func newImageData(item report.Item, since, now time.Time) imageData {
	image, result, condition := item.Image, item.Result, item.Condition()
	d := imageData{
		Tag: OneLine(image.Tag, maxReason), Platform: OneLine(image.Platform, maxReason), Digest: OneLine(image.Digest, maxReason),
		AsOf: OptionalTime(condition.AsOf), ScannedAt: OptionalTime(result.CompletedAt),
	}
	d.State, d.Reason = conditionData(condition)
	d.InUse, d.LastInUseAt, d.LastPulledAt = result.InUse, OptionalTime(result.LastInUse), OptionalTime(image.LastPulled)
	if !result.CompletedAt.IsZero() {
		hours := max(0, int(now.Sub(result.CompletedAt)/time.Hour))
		d.AgeHours = &hours
	}
	d.Missing = result.Unlisted
	if !item.HasCounts() {
		return d
	}
	d.Stale = item.Stale(now)
	d.Counts, d.Suppressed, d.Unsuppressed = newCounts(result.Counts), item.AllSuppressed(), item.Unsuppressed
	if !item.KnownSince.IsZero() {
		added, fixed := item.ChangedSince(since)
		d.KnownSince, d.New, d.Fixed = RFC3339(item.KnownSince), newCounts(added), newCounts(fixed)
	}
	return d
}

// conditionData returns the state and reason for the data formats. Both are empty for a config whose images were
// read.
func conditionData(c report.Condition) (state, reason string) {
	return OneLine(string(c.State), maxReason), OneLine(c.Reason, maxReason)
}

// maxWithoutResult is the maximum number of images and configs without a current result that a page of findings
// names.
const maxWithoutResult = 1000

// WithoutResult returns the images and configs of a listing that have no current result: the first thousand, and the
// number of the others.
func WithoutResult(l report.Listing) (named []WithoutResultData, more int) {
	named = []WithoutResultData{}
	for d := range AllWithoutResult(l) {
		if len(named) < maxWithoutResult {
			named = append(named, d)
		} else {
			more++
		}
	}
	return named, more
}

// AllWithoutResult returns the configs and images of a listing that have no current result.
func AllWithoutResult(l report.Listing) iter.Seq[WithoutResultData] {
	return func(yield func(WithoutResultData) bool) {
		for _, r := range l.Reports {
			state, reason := conditionData(r.Condition())
			d := WithoutResultData{repositoryData: repositoryData{r.Repository.Region, r.Repository.Registry, r.Repository.Name}, State: state, Reason: reason}
			if isFiltered := r.Err == nil && !l.IsOfOneRepository() && l.View.Filter.NarrowsImages(); state != "" && !isFiltered && !r.IsEmptyMatch() && !yield(d) {
				return
			}
		}
		for item := range DistinctImages(l) {
			if !item.Condition().Current() && !yield(newWithoutResultData(item)) {
				return
			}
		}
	}
}

// ShortLists returns the first thousand images with a current result of which ECR counts more findings than it lists.
func ShortLists(l report.Listing) []WithoutResultData {
	var short []WithoutResultData
	for item := range DistinctImages(l) {
		if item.Condition().Current() && item.Result.Unlisted > 0 && len(short) < maxWithoutResult {
			short = append(short, newWithoutResultData(item))
		}
	}
	return short
}

func newWithoutResultData(item report.Item) WithoutResultData {
	repo, d := item.Image.Repository, newImageData(item, time.Time{}, time.Time{})
	return WithoutResultData{repositoryData{repo.Region, repo.Registry, repo.Name}, d.Tag, d.Platform, d.Digest, d.State, d.Reason, d.AsOf, d.Missing}
}

// DistinctImages returns the images of all reports of a listing, each once.
func DistinctImages(l report.Listing) iter.Seq[report.Item] {
	return func(yield func(report.Item) bool) {
		seen := make(map[scan.Image]bool)
		for _, r := range l.Reports {
			for _, item := range r.Images {
				if seen[item.Image] {
					continue
				}
				seen[item.Image] = true
				if !yield(item) {
					return
				}
			}
		}
	}
}

// CountImages returns the number of images of a listing.
func CountImages(l report.Listing) int {
	n := 0
	for range DistinctImages(l) {
		n++
	}
	return n
}

// fitFindings writes the findings of a listing, with texts as long as [MaxSent] allows.
func fitFindings(l report.Listing, write func([]FindingData) ([]byte, error)) ([]byte, error) {
	return Fit(func(limit int) ([]byte, error) {
		findings := make([]FindingData, len(l.Entries))
		for i, e := range l.Entries {
			findings[i] = NewFindingData(l, e, limit)
		}
		return write(findings)
	}, TextLimits()...)
}

// NewFindingData returns the data of an entry. Each text and each list has at most about limit characters.
func NewFindingData(l report.Listing, found report.Entry, limit int) FindingData {
	f, image := found.Finding, found.Images[0]
	nameLimit := min(MaxName, max(limit, 100))
	d := FindingData{
		ID: l.FindingID(found).URN(), Severity: OneLine(string(f.Severity), maxSeverity), Vulnerability: OneLine(f.Name, nameLimit), Package: packageNames(f, limit),
		Versions: firstTexts(f.Versions, limit), FixedIn: firstTexts(f.FixedIn, limit),
		FixAvailable: OneLine(f.FixAvailable, maxSeverity), Exploit: OneLine(f.Exploit, maxSeverity), Score: scoreOf(f), Vector: OneLine(f.Vector, nameLimit),
		ScoreSource: OneLine(f.ScoreSource, nameLimit), Packages: newPackages(f.Packages, limit), RelatedIDs: firstTexts(f.Related, limit),
		InUse: f.InUse, LastInUseAt: OptionalTime(f.LastInUse),
		repositoryData: repositoryData{image.Repository.Region, image.Repository.Registry, image.Repository.Name},
		Published:      RFC3339(found.Published), Updated: RFC3339(found.Updated), Resolved: OptionalTime(found.Resolved),
		URL: Advisory(f.URL, limit), Description: strings.TrimSpace(Clean(f.Description, limit)),
	}
	d.setPackageLists(f.Packages, limit)
	if s := found.Suppression; s != nil {
		d.Suppressed = &SuppressionData{s.ID, OneLine(s.Reason, max(limit, 100)), OptionalTime(s.End()), s.Justification}
	}
	if !l.View.ByVulnerability {
		d.Tag, d.Platform, d.Digest = OneLine(image.Tag, nameLimit), OneLine(image.Platform, nameLimit), OneLine(image.Digest, nameLimit)
		return d
	}
	d.ImageCount = found.Count
	d.Images = firstTexts(Labels(found.Images, func(s string) string { return s }), limit)
	return d
}

// firstTexts returns the first texts, of at most limit bytes in total, and at least one.
func firstTexts(texts []string, limit int) []string {
	var kept []string
	for _, s := range texts {
		s = OneLine(s, min(MaxName, max(limit, 100)))
		limit -= len(s)
		if len(kept) > 0 && limit < 0 {
			break
		}
		kept = append(kept, s)
	}
	return kept
}

// scoreOf returns the CVSS score; nil when it is unknown or not a valid score.
func scoreOf(f scan.Finding) *float64 {
	if score, known := f.BaseScore(); known {
		return &score
	}
	return nil
}

// EncodeJSON writes v as JSON, indented or on one line. The bytes are those of encoding/json, which takes twice as long, except for bytes
// that are not UTF-8: both replace them, but here the replacement is not escaped. It fails for values that JSON can't represent.
func EncodeJSON(v any, indent bool) ([]byte, error) {
	options := []json.Options{jsonv1.DefaultOptionsV1(), jsontext.EscapeForHTML(false)}
	if indent {
		options = append(options, jsontext.WithIndent("  "))
	}
	b, err := json.Marshal(v, options...)
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// encodeFitting writes indented JSON if it is at most [MaxSent], and otherwise JSON on one line.
func encodeFitting(v any) ([]byte, error) {
	b, err := EncodeJSON(v, true)
	if err != nil || SentSize(b) <= MaxSent {
		return b, err
	}
	return EncodeJSON(v, false)
}
