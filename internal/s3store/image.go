package s3store

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// storedImage is the stored form of a [history.ImageRecord]. A repository can have 100,000 images. Therefore the JSON
// names are short, zero values are omitted, and of the recorded scan only the fields that differ from the last result are
// written. Usually none differ.
type storedImage struct {
	Tag             string                `json:"t"`
	Platform        string                `json:"p"`
	Listed          string                `json:"pl"`
	Digest          string                `json:"d"`
	Index           string                `json:"x"`
	Artifacts       int                   `json:"xa"`
	Kind            scan.Kind             `json:"k"`
	ErrorCode       scan.Code             `json:"tr"`
	Reason          string                `json:"trw"`
	First           history.Stamp         `json:"f"`
	Seen            history.Stamp         `json:"s"`
	MissingSince    history.Stamp         `json:"l"`
	WaitingSince    history.Stamp         `json:"w"`
	State           scan.State            `json:"st"`
	StateReason     string                `json:"stw"`
	Counts          []int                 `json:"n"`  // by known severity, in the order of scan.Severities
	Others          scan.Counts           `json:"no"` // of unknown severities
	Completed       history.Stamp         `json:"c"`
	Enhanced        bool                  `json:"e"`
	Continuous      bool                  `json:"ec"`
	Unlisted        int                   `json:"un"`
	Incomplete      bool                  `json:"in"`
	PushedAt        history.Stamp         `json:"pu"`
	LastPulled      history.Stamp         `json:"lp"`
	Unwatched       history.Stamp         `json:"uw"`
	Suppressed      int                   `json:"sp"`
	InUse           int                   `json:"u"`
	LastInUse       history.Stamp         `json:"ul"`
	AnsweredAt      history.Stamp         `json:"a"`
	Started         history.Stamp         `json:"sc"`
	Read            history.Stamp         `json:"r"`
	History         string                `json:"h"`
	ScanDigest      string                `json:"hd"` // of the recorded scan, if it differs from Digest
	ScanIndex       string                `json:"hx"` // of the recorded scan, if it differs from Index
	ScanCompleted   history.Stamp         `json:"hc"` // of the recorded scan, if it differs from Completed
	ScanOfOtherKind bool                  `json:"he"` // the recorded scan is enhanced and the last result is basic, or the reverse
	ScanIncomplete  bool                  `json:"hi"` // of the recorded scan
	Since           history.Stamp         `json:"i"`
	Changes         []history.CountChange `json:"ch"`
	EventCount      int                   `json:"ev"`
	Gaps            []history.Period      `json:"g"`
	Failures        []history.Period      `json:"fl"`
	FailedSince     history.Stamp         `json:"fs"`
	Statuses        []history.StatusEvent `json:"se"`
	Dates           []history.ChangeDate  `json:"cd"`
}

// storedImages is the stored form of a record's images: a list sorted by label. It is decoded directly into the record's
// map, because an intermediate list would double the memory.
type storedImages map[string]*history.ImageRecord

// MarshalJSONTo implements json.MarshalerTo.
func (s storedImages) MarshalJSONTo(text *jsontext.Encoder) error {
	if err := text.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	for _, label := range slices.Sorted(maps.Keys(s)) {
		if err := json.MarshalEncode(text, newStoredImage(*s[label])); err != nil {
			return err
		}
	}
	return text.WriteToken(jsontext.EndArray)
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (s *storedImages) UnmarshalJSONFrom(text *jsontext.Decoder) error {
	if begin, err := text.ReadToken(); err != nil || begin.Kind() != '[' {
		return cmp.Or(err, errors.New("images is not a list"))
	}
	*s = make(storedImages)
	var counts countsCache
	var i storedImage
	for text.PeekKind() != ']' {
		i = storedImage{Counts: i.Counts[:0]} // the record does not keep the list
		if err := json.UnmarshalDecode(text, &i); err != nil {
			return err
		}
		r := i.record(counts.join)
		(*s)[r.Label()] = &r
	}
	_, err := text.ReadToken()
	return err
}

func newStoredImage(r history.ImageRecord) storedImage {
	i := storedImage{
		Tag: r.Tag, Platform: r.Platform, Listed: r.Listed, Digest: r.Digest, Index: r.Index, Artifacts: r.Artifacts, Kind: r.Kind, ErrorCode: r.ErrorCode, Reason: r.Reason,
		PushedAt: r.PushedAt, LastPulled: r.LastPulled, Unwatched: r.Unwatched, First: r.First, Seen: r.Seen, MissingSince: r.MissingSince, WaitingSince: r.WaitingSince,
		State: r.Last.State, StateReason: r.Last.Reason, Completed: r.Last.Completed, Enhanced: r.Last.Enhanced,
		Continuous: r.Last.Continuous, Unlisted: r.Last.Unlisted, Incomplete: r.Last.Incomplete,
		Suppressed: r.Last.Suppressed, InUse: r.Last.InUse, LastInUse: r.Last.LastInUse,
		AnsweredAt: r.AnsweredAt, Started: r.Started, Read: r.Read, History: r.History, Since: r.Since, Changes: r.Changes, EventCount: r.EventCount,
		Gaps: r.Gaps, Failures: r.Failures, FailedSince: r.FailedSince, Statuses: r.Statuses, Dates: r.Dates,
	}
	i.Counts, i.Others = splitCounts(r.Last.Counts)
	if r.History == "" {
		return i
	}
	if r.Scan.Digest != r.Digest {
		i.ScanDigest = r.Scan.Digest
	}
	if r.ScanIndex != r.Index {
		i.ScanIndex = r.ScanIndex
	}
	if r.Scan.Completed != r.Last.Completed {
		i.ScanCompleted = r.Scan.Completed
	}
	i.ScanOfOtherKind, i.ScanIncomplete = r.Scan.Enhanced != r.Last.Enhanced, r.Scan.Incomplete
	return i
}

// record returns the record of the image. join returns its counts.
func (i storedImage) record(join func(known []int, others scan.Counts) scan.Counts) history.ImageRecord {
	r := history.ImageRecord{
		Tag: i.Tag, Platform: i.Platform, Listed: i.Listed, Digest: i.Digest, Index: i.Index, Artifacts: i.Artifacts, Kind: i.Kind, ErrorCode: i.ErrorCode, Reason: i.Reason,
		PushedAt: i.PushedAt, LastPulled: i.LastPulled, Unwatched: i.Unwatched, First: i.First, Seen: i.Seen, MissingSince: i.MissingSince, WaitingSince: i.WaitingSince,
		Last: history.Answer{
			State: i.State, Reason: i.StateReason, Counts: join(i.Counts, i.Others), Completed: i.Completed, Enhanced: i.Enhanced, Continuous: i.Continuous,
			Unlisted: i.Unlisted, Incomplete: i.Incomplete,
			Suppressed: i.Suppressed, InUse: i.InUse, LastInUse: i.LastInUse,
		},
		AnsweredAt: i.AnsweredAt, Started: i.Started, Read: i.Read, History: i.History, Since: i.Since, Changes: i.Changes, EventCount: i.EventCount,
		Gaps: i.Gaps, Failures: i.Failures, FailedSince: i.FailedSince, Statuses: i.Statuses, Dates: i.Dates,
	}
	if i.History != "" {
		r.Scan = history.Scan{
			Digest: cmp.Or(i.ScanDigest, i.Digest), Completed: cmp.Or(i.ScanCompleted, i.Completed), Enhanced: i.Enhanced != i.ScanOfOtherKind,
			Incomplete: i.ScanIncomplete,
		}
		r.ScanIndex = cmp.Or(i.ScanIndex, i.Index)
	}
	return r
}

// splitCounts separates the counts of known severities, without trailing zeros, from those of unknown severities.
func splitCounts(counts scan.Counts) (known []int, others scan.Counts) {
	found := 0
	for place, severity := range scan.Severities() {
		if n, ok := counts[severity]; ok {
			found++
			known = append(known, make([]int, place+1-len(known))...)
			known[place] = n
		}
	}
	if found == len(counts) {
		return known, nil
	}
	others = maps.Clone(counts)
	for _, severity := range scan.Severities() {
		delete(others, severity)
	}
	return known, others
}

// countsCache has the counts of the images of a record. Many images have the same ones.
type countsCache map[[7]int]scan.Counts

// join returns the same as joinCounts. Callers must not change the counts, because images share them.
func (c *countsCache) join(known []int, others scan.Counts) scan.Counts {
	var key [7]int
	if len(others) > 0 || len(known) == 0 || len(known) > len(key) {
		return joinCounts(known, others)
	}
	copy(key[:], known)
	if shared, ok := (*c)[key]; ok {
		return shared
	}
	if *c == nil {
		*c = make(countsCache)
	}
	counts := joinCounts(known, nil)
	(*c)[key] = counts
	return counts
}

// joinCounts reverses splitCounts. It omits counts of zero.
func joinCounts(known []int, others scan.Counts) scan.Counts {
	if len(known)+len(others) == 0 {
		return nil
	}
	counts := make(scan.Counts, len(known)+len(others))
	for place, severity := range scan.Severities()[:min(len(known), len(scan.Severities()))] {
		if known[place] != 0 {
			counts[severity] = known[place]
		}
	}
	maps.Copy(counts, others)
	return counts
}
