package s3store

import (
	"cmp"

	"ecr-continuous-scan/internal/scan"
)

// image is the stored form of a [scan.ImageRecord]. A repository may have a hundred thousand, so the names are short, what is zero is left out,
// and of the remembered scan only what differs from the last answer is written: mostly nothing.
type image struct {
	Tag       string             `json:"t"`
	Platform  string             `json:"p"`
	Digest    string             `json:"d"`
	Index     string             `json:"x"`
	Kind      scan.Kind          `json:"k"`
	Trouble   scan.Code          `json:"tr"`
	Reason    string             `json:"trw"`
	First     scan.Stamp         `json:"f"`
	Seen      scan.Stamp         `json:"s"`
	Left      scan.Stamp         `json:"l"`
	State     scan.State         `json:"st"`
	Why       string             `json:"stw"`
	Counts    scan.Counts        `json:"n"`
	Completed scan.Stamp         `json:"c"`
	Enhanced  bool               `json:"e"`
	Asked     scan.Stamp         `json:"a"`
	Read      scan.Stamp         `json:"r"`
	History   string             `json:"h"`
	OfDigest  string             `json:"hd"` // of the remembered scan, when it is another
	OfScan    scan.Stamp         `json:"hc"` // likewise
	OfOther   bool               `json:"he"` // it was of the other kind
	Since     scan.Stamp         `json:"i"`
	Changes   []scan.CountChange `json:"ch"`
	News      int                `json:"ev"`
	Gaps      []scan.Period      `json:"g"`
	Failures  []scan.Period      `json:"fl"`
	Failed    scan.Stamp         `json:"fs"`
}

func newImage(r scan.ImageRecord) image {
	i := image{
		Tag: r.Tag, Platform: r.Platform, Digest: r.Digest, Index: r.Index, Kind: r.Kind, Trouble: r.Trouble, Reason: r.Reason,
		First: r.First, Seen: r.Seen, Left: r.Left,
		State: r.Last.State, Why: r.Last.Reason, Counts: r.Last.Counts, Completed: r.Last.Completed, Enhanced: r.Last.Enhanced,
		Asked: r.Asked, Read: r.Read, History: r.History, Since: r.Since, Changes: r.Changes, News: r.News,
		Gaps: r.Gaps, Failures: r.Failures, Failed: r.Failed,
	}
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

func (i image) record() scan.ImageRecord {
	r := scan.ImageRecord{
		Tag: i.Tag, Platform: i.Platform, Digest: i.Digest, Index: i.Index, Kind: i.Kind, Trouble: i.Trouble, Reason: i.Reason,
		First: i.First, Seen: i.Seen, Left: i.Left,
		Last:  scan.Answer{State: i.State, Reason: i.Why, Counts: i.Counts, Completed: i.Completed, Enhanced: i.Enhanced},
		Asked: i.Asked, Read: i.Read, History: i.History, Since: i.Since, Changes: i.Changes, News: i.News,
		Gaps: i.Gaps, Failures: i.Failures, Failed: i.Failed,
	}
	if i.History != "" {
		r.Scan = scan.Scan{Digest: cmp.Or(i.OfDigest, i.Digest), Completed: cmp.Or(i.OfScan, i.Completed), Enhanced: i.Enhanced != i.OfOther}
	}
	return r
}
