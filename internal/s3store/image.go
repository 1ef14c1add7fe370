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

// image is the stored form of a [scan.ImageRecord]. A repository may have a hundred thousand, so the names are short, what is zero is left out,
// and of the remembered scan only what differs from the last answer is written: mostly nothing.
type image struct {
	Tag       string                `json:"t"`
	Platform  string                `json:"p"`
	Digest    string                `json:"d"`
	Index     string                `json:"x"`
	Kind      scan.Kind             `json:"k"`
	Trouble   scan.Code             `json:"tr"`
	Reason    string                `json:"trw"`
	First     history.Stamp         `json:"f"`
	Seen      history.Stamp         `json:"s"`
	Left      history.Stamp         `json:"l"`
	Awaited   history.Stamp         `json:"w"`
	State     scan.State            `json:"st"`
	Why       string                `json:"stw"`
	Counts    []int                 `json:"n"`  // of the known severities, in their order
	Others    scan.Counts           `json:"no"` // of those that nobody has heard of
	Completed history.Stamp         `json:"c"`
	Enhanced  bool                  `json:"e"`
	Asked     history.Stamp         `json:"a"`
	Read      history.Stamp         `json:"r"`
	History   string                `json:"h"`
	OfDigest  string                `json:"hd"` // of the remembered scan, when it is another
	OfScan    history.Stamp         `json:"hc"` // likewise
	OfOther   bool                  `json:"he"` // it was of the other kind
	Since     history.Stamp         `json:"i"`
	Changes   []history.CountChange `json:"ch"`
	News      int                   `json:"ev"`
	Gaps      []history.Period      `json:"g"`
	Failures  []history.Period      `json:"fl"`
	Failed    history.Stamp         `json:"fs"`
}

// images is the stored form of a record's images: a list in the order of their labels. It is read into the record itself, since a list beside it
// would take as much memory again.
type images map[string]history.ImageRecord

// MarshalJSONTo implements json.MarshalerTo.
func (s images) MarshalJSONTo(text *jsontext.Encoder) error {
	if err := text.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	for _, label := range slices.Sorted(maps.Keys(s)) {
		if err := json.MarshalEncode(text, newImage(s[label])); err != nil {
			return err
		}
	}
	return text.WriteToken(jsontext.EndArray)
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (s *images) UnmarshalJSONFrom(text *jsontext.Decoder) error {
	if begin, err := text.ReadToken(); err != nil || begin.Kind() != '[' {
		return cmp.Or(err, errors.New("the images are no list"))
	}
	*s = make(images)
	var i image
	for text.PeekKind() != ']' {
		i = image{}
		if err := json.UnmarshalDecode(text, &i); err != nil {
			return err
		}
		r := i.record()
		(*s)[r.Label()] = r
	}
	_, err := text.ReadToken()
	return err
}

func newImage(r history.ImageRecord) image {
	i := image{
		Tag: r.Tag, Platform: r.Platform, Digest: r.Digest, Index: r.Index, Kind: r.Kind, Trouble: r.Trouble, Reason: r.Reason,
		First: r.First, Seen: r.Seen, Left: r.Left, Awaited: r.Awaited,
		State: r.Last.State, Why: r.Last.Reason, Completed: r.Last.Completed, Enhanced: r.Last.Enhanced,
		Asked: r.Asked, Read: r.Read, History: r.History, Since: r.Since, Changes: r.Changes, News: r.News,
		Gaps: r.Gaps, Failures: r.Failures, Failed: r.Failed,
	}
	i.Counts, i.Others = split(r.Last.Counts)
	if r.History == "" {
		return i
	}
	if r.Scan.Digest != r.Digest {
		i.OfDigest = r.Scan.Digest
	}
	if r.Scan.Completed != r.Last.Completed {
		i.OfScan = r.Scan.Completed
	}
	i.OfOther = r.Scan.Enhanced != r.Last.Enhanced
	return i
}

func (i image) record() history.ImageRecord {
	r := history.ImageRecord{
		Tag: i.Tag, Platform: i.Platform, Digest: i.Digest, Index: i.Index, Kind: i.Kind, Trouble: i.Trouble, Reason: i.Reason,
		First: i.First, Seen: i.Seen, Left: i.Left, Awaited: i.Awaited,
		Last:  history.Answer{State: i.State, Reason: i.Why, Counts: joined(i.Counts, i.Others), Completed: i.Completed, Enhanced: i.Enhanced},
		Asked: i.Asked, Read: i.Read, History: i.History, Since: i.Since, Changes: i.Changes, News: i.News,
		Gaps: i.Gaps, Failures: i.Failures, Failed: i.Failed,
	}
	if i.History != "" {
		r.Scan = history.Scan{Digest: cmp.Or(i.OfDigest, i.Digest), Completed: cmp.Or(i.OfScan, i.Completed), Enhanced: i.Enhanced != i.OfOther}
	}
	return r
}

// split are the counts of the known severities, without zeros at the end, and the others.
func split(counts scan.Counts) (known []int, others scan.Counts) {
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

// joined is the reverse of split but for counts of zero.
func joined(known []int, others scan.Counts) scan.Counts {
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
