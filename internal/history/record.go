package history

import (
	"cmp"
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// Record is the stored data of one repository, for all configs that watch it. A writer replaces the whole record, and
// only if the store still has the version that the writer read. So two writers can't overwrite each other's changes.
type Record struct {
	// Begin is the start of the last visit that listed the repository. Configs are the sorted ids of the configs that
	// watched the repository at that time.
	Begin   Stamp
	Configs []string
	// Failure is why the visits since then failed. Its Code is empty when none failed.
	Failure Failure
	// Unfinished means that the visit that stored the record had not ended. It may have started scans of images without
	// Started.
	Unfinished bool
	// Images are the known images by label. An ImageRecord does not change after it is in the map, because copies of the
	// record share it.
	Images map[string]*ImageRecord
	// Listed is when all tags were last listed.
	Listed Stamp
	// NotWatched is the number of untagged images, as in [scan.Listing] when all tags were last listed.
	NotWatched *int
	// NotCovered means that the registry uses enhanced scanning, and that none of its filters selects the repository.
	NotCovered bool
	// Selections are what selective configs selected when the images were last listed, sorted by key. The record has all images
	// that these configs may watch. It lacks others, unless Listed says that all tags were listed.
	Selections []Selection
	// First is when the repository was first listed; 0 means never, or that an earlier version of the service did it.
	First Stamp
	// MissingSince is when the registry first reported that the repository does not exist; 0 means that it exists.
	// Absences are the past periods in which it did not exist.
	MissingSince Stamp
	Absences     []Period
	// Appeared is when the repository was first listed, if it was created after the patterns of its configs were first
	// resolved; otherwise 0.
	Appeared Stamp
	// Changed is when data that responses show last changed. Swept is when unused histories were last deleted.
	Changed Stamp
	Swept   Stamp
	// Returned is until when the ends of suppressions are in the histories: the findings that came back are new in them.
	Returned Stamp
	// Examined are ends after Returned that are in the histories too. Other ends of that time can still become known.
	Examined []Stamp
	// UsedSeconds are the seconds that are already dates of changes and findings. Dates are those of the changes of the
	// repository.
	UsedSeconds SecondSet
	Dates       []ChangeDate

	// Version changes with each write. It is empty when there is no stored record. Now is the time of the store's
	// clock when the record was read.
	Version string
	Now     time.Time

	// imagesShared means that another record uses the same map of images. Most records are only read, and copying
	// thousands of images is slow.
	imagesShared bool
}

// Selection is what a config selected, by [scan.Config.SelectionKey]. Older is the number of images that were not among the newest.
type Selection struct {
	Key   string `json:"key"`
	Older int    `json:"older,omitempty"`
}

// Failure is why visits of a repository fail, and the time of the first failure.
type Failure struct {
	Code   scan.Code `json:"code"`
	Reason string    `json:"reason"`
	Since  Stamp     `json:"since"`
}

// ImageRecord is the stored data of one image: a tag, or one platform of an image index.
type ImageRecord struct {
	Tag string
	// Platform is the label under which the image was first recorded. It never changes, because ids are made of it.
	Platform string
	// Listed, Digest, Index, Artifacts and Kind are those of the last listing, as in [scan.Image].
	Listed    string
	Digest    string
	Index     string
	Artifacts int
	Kind      scan.Kind
	// ErrorCode and Reason are the code and the message of the error when the images of an index could not be read. A
	// missing image has only the code, and only while it is not known whether the new index of its tag has the image.
	ErrorCode scan.Code
	Reason    string
	// First is when the image was first listed. Seen is when it was last listed by its tag; a later listing of all
	// tags only sets Listed of the record.
	First Stamp
	Seen  Stamp
	// PushedAt and LastPulled are when the image was pushed and when it was last pulled, as in [scan.Image]. A missing image
	// keeps them.
	PushedAt, LastPulled Stamp
	// Unwatched is since when no config watches the image; 0 if one does. Nothing is reported of this time.
	Unwatched Stamp
	// MissingSince is when the tag or the platform was first missing; 0 means that it exists.
	MissingSince Stamp
	// WaitingSince is the start of the time without a scan, if it is later than the last scan. It is set when the tag
	// points to a new digest or exists again, and when Amazon Inspector stops scanning the image.
	WaitingSince Stamp

	// Last is ECR's last answer for the digest, and AnsweredAt is its time. Both are zero when the digest is new.
	Last       Answer
	AnsweredAt Stamp
	// Started is when a visit started a scan, or was going to start one, whose result is not recorded yet.
	Started Stamp
	// Read is when the findings in the history were last read. It is 0 when the history does not have the findings of
	// Last.
	Read Stamp

	// Scan is the last completed scan whose findings are in the history. History is the name of the stored history.
	Scan    Scan
	History string
	// ScanIndex is the index that listed the image when this scan was recorded.
	ScanIndex string
	// Since is when the baseline was completed. Changes are the changes of the counts by later scans.
	Since   Stamp
	Changes []CountChange
	// EventCount is the number of events in the history.
	EventCount int
	// Gaps are the past periods without a scan for [MaxScanAge]. Failures are the past periods in which scans failed.
	// FailedSince is when scans began to fail; 0 means that the last scan did not fail.
	Gaps        []Period
	Failures    []Period
	FailedSince Stamp
	// Statuses are the past events when the image became something that ECR can't scan, and when it was an image
	// again.
	Statuses []StatusEvent
	// Dates are the dates of the changes that are not about findings.
	Dates []ChangeDate
}

// ChangeDate is the date of a change that is about the scanning of an image, or about a repository. Many of them can
// happen at the same time, and each has a second of its own, like findings.
type ChangeDate struct {
	Kind EventKind `json:"k"`
	// At is when it happened, which is a part of the id of the change. Date is the date of its entry.
	At   Stamp `json:"a"`
	Date Stamp `json:"d"`
}

// Answer is ECR's result without the findings.
type Answer struct {
	State     scan.State
	Reason    string
	Counts    scan.Counts
	Completed Stamp
	Enhanced  bool
	// Continuous, Suppressed, InUse and LastInUse are the same as in [scan.Result].
	Continuous bool
	// Unlisted and Incomplete are the same as in [scan.Result].
	Unlisted   int
	Incomplete bool
	Suppressed int
	InUse      int
	LastInUse  Stamp
}

// ErrLaterFormat is wrapped by errors for a record that a later version of the service wrote. This version must not
// change such a record.
var ErrLaterFormat = errors.New("written by a later version of this service")

// MaxScanAge is the maximum age of a scan. When the last scan of an image is older, the change feed reports it and
// the result is stale.
const MaxScanAge = 48 * time.Hour

// maxPeriodsOfImage is the maximum number of past periods of each kind in an image's record. The latest are stored.
// Older ones than [Retention] are deleted in any case.
const maxPeriodsOfImage = 30

// Label returns the name of the image within its repository: its tag, and its platform if it has one.
func (r ImageRecord) Label() string { return scan.Image{Tag: r.Tag, Platform: r.Platform}.Label() }

// Image returns the recorded image.
func (r ImageRecord) Image(repo scan.Repository) scan.Image {
	i := scan.Image{
		Repository: repo, Tag: r.Tag, Platform: r.Platform, Listed: r.Listed, Digest: r.Digest, Index: r.Index, Artifacts: r.Artifacts, Kind: r.Kind,
		PushedAt: r.PushedAt.Time(), LastPulled: r.LastPulled.Time(), LastInUse: r.Last.LastInUse.Time(),
	}
	if r.ErrorCode != "" && r.Kind != scan.Missing {
		i.Err = &scan.Error{Code: r.ErrorCode, Message: r.Reason}
	}
	if r.Scan.Digest == r.Digest && r.ScanIndex != r.Index {
		i.LastIndex = r.ScanIndex
	}
	return i
}

// ScannedImage returns the image as it was when the last scan in its history was recorded. Suppressions of a digest set the
// findings of this scan aside, even if the tag points to another digest now.
func (r ImageRecord) ScannedImage(repo scan.Repository) scan.Image {
	i := r.Image(repo)
	if r.Scan.Digest != "" && r.Scan.Digest != r.Digest {
		i.Digest, i.Index = r.Scan.Digest, r.ScanIndex
	}
	return i
}

func answerOf(r scan.Result) Answer {
	if len(r.Counts) == 0 {
		r.Counts = nil // the same as after decoding
	}
	return Answer{
		State: r.State, Reason: r.Reason, Counts: r.Counts, Completed: StampOf(r.CompletedAt), Enhanced: r.Enhanced, Continuous: r.Continuous,
		Unlisted: r.Unlisted, Incomplete: r.Incomplete,
		Suppressed: r.Suppressed, InUse: r.InUse, LastInUse: StampOf(r.LastInUse),
	}
}

// Result returns the answer as a result without findings.
func (a Answer) Result() scan.Result {
	return scan.Result{
		State: a.State, Reason: a.Reason, Counts: a.Counts, CompletedAt: a.Completed.Time(), Enhanced: a.Enhanced, Continuous: a.Continuous,
		Unlisted: a.Unlisted, Incomplete: a.Incomplete,
		Suppressed: a.Suppressed, InUse: a.InUse, LastInUse: a.LastInUse.Time(),
	}
}

// IsFinal reports whether ECR can't return another result until its next scan of the image is possible. A result that is not
// complete is read again.
func (a Answer) IsFinal(now Stamp) bool {
	return a.State == scan.Completed && !a.Enhanced && !a.Incomplete && now < a.Completed.Plus(scan.RescanInterval)
}

// IsRecorded reports whether the history has the findings of the last answer, or the last answer has no findings. The
// findings of an enhanced scan can change without its date, so they must also have been read.
func (r ImageRecord) IsRecorded() bool {
	if r.Last.State != scan.Completed || r.Last.Completed == 0 {
		return true
	}
	last := Scan{Digest: r.Digest, Completed: r.Last.Completed, Enhanced: r.Last.Enhanced, Incomplete: r.Scan.Incomplete && r.Last.Incomplete}
	return r.Scan == last && (!r.Last.Enhanced || r.Read > 0)
}

// HasCurrentHistory reports whether the history has a scan of the digest that the tag points to now.
func (r ImageRecord) HasCurrentHistory() bool { return r.History != "" && r.Scan.Digest == r.Digest }

// unscannedAt returns when the last scan becomes older than [MaxScanAge]. A scan from before the image was first
// listed counts from then, because nothing is known of the time before.
func (r ImageRecord) unscannedAt() Stamp {
	if r.Unwatched > 0 {
		return math.MaxInt64 // nobody expects a scan
	}
	return max(r.Scan.Completed, r.First, r.WaitingSince).Plus(MaxScanAge)
}

// unscannedSince returns since when the last scan is older than [MaxScanAge], or 0. It returns 0 with enhanced
// scanning, because Amazon Inspector decides itself when to scan.
func (r ImageRecord) unscannedSince(now Stamp) Stamp {
	last := r.Last
	isScanned := last.State == scan.Completed && (last.Enhanced || last.Completed > r.Scan.Completed)
	if at := r.unscannedAt(); at <= now && r.Kind == scan.PlainImage && !isScanned {
		return at
	}
	return 0
}

// SetAnswer stores ECR's answer for the image's digest.
func (r *ImageRecord) SetAnswer(result scan.Result, now Stamp) {
	if at := StampOf(result.CompletedAt); result.Enhanced || at > r.Scan.Completed && at <= r.unscannedAt() {
		r.endGap(now) // there was a scan in time whose result was not available, or Amazon Inspector scans the image
	}
	if !result.Enhanced {
		r.endEnhanced(now)
	}
	answer := answerOf(result)
	if result.Enhanced && !reflect.DeepEqual(answer, r.Last) {
		r.Read = 0
	}
	if result.State == scan.Completed && answer.Completed != r.Last.Completed {
		r.Started = 0
	}
	r.Last, r.AnsweredAt = answer, now
	switch {
	case result.State == scan.Failed && r.FailedSince == 0:
		r.FailedSince = now
	case result.State == scan.Completed:
		at := r.Last.Completed
		if at <= r.FailedSince { // the tag points to another digest, with an earlier scan
			at = now
		}
		r.endFailures(at)
	}
}

// endGap ends a period without a scan, if there is one.
func (r *ImageRecord) endGap(now Stamp) {
	if since := r.unscannedSince(now); since > 0 {
		r.Gaps, r.WaitingSince = withPeriod(r.Gaps, Period{From: since, Until: max(since+1, now)}, now), now
	}
}

// endEnhanced starts the time without a scan if Amazon Inspector scanned the image until now.
func (r *ImageRecord) endEnhanced(now Stamp) {
	if r.Last.Enhanced {
		r.WaitingSince = now
	}
}

// changeTarget updates the record when the tag points to another digest or kind of object. old is the record before
// the change. Scans that fail are over only when one is completed: of a new digest there is no result yet.
func (r *ImageRecord) changeTarget(old ImageRecord, now Stamp) {
	if old.Kind == scan.PlainImage && r.Kind != scan.PlainImage {
		r.cutOff(old, now)
	}
	r.endEnhanced(now)
	if old.Kind != scan.PlainImage {
		r.WaitingSince = now
	}
	r.Last, r.AnsweredAt, r.Started = Answer{}, 0, 0
}

// cutOff ends the periods of an image that becomes something else. old is the record before.
func (r *ImageRecord) cutOff(old ImageRecord, now Stamp) {
	if since := old.unscannedSince(now); since > 0 {
		r.Gaps = withPeriod(r.Gaps, Period{From: since, Until: max(since+1, now), CutOff: true}, now)
		r.WaitingSince = now
	}
	if r.FailedSince != 0 {
		r.Failures = withPeriod(r.Failures, Period{From: r.FailedSince, Until: max(r.FailedSince+1, now), CutOff: true}, now)
		r.FailedSince = 0
	}
}

// endFailures ends a period of failed scans, if there is one.
func (r *ImageRecord) endFailures(at Stamp) {
	if r.FailedSince != 0 {
		r.Failures = withPeriod(r.Failures, Period{From: r.FailedSince, Until: max(r.FailedSince+1, at)}, at)
		r.FailedSince = 0
	}
}

// SetHistory stores the name and the totals of a history that has the findings of the last answer.
func (r *ImageRecord) SetHistory(name string, h History, now Stamp) {
	if since := r.unscannedAt(); h.Completed > since && !h.Enhanced {
		r.Gaps = withPeriod(r.Gaps, Period{From: since, Until: h.Completed}, now)
	}
	r.WaitingSince = max(r.WaitingSince, r.Scan.Completed) // the tag can point to an older digest with an older scan
	r.Scan, r.ScanIndex, r.History, r.Since, r.Changes, r.EventCount = h.Scan, h.Index, name, h.Since, h.Changes, len(h.Events)
}

// UndoHistory undoes SetHistory. before is the record before SetHistory.
func (r *ImageRecord) UndoHistory(before ImageRecord) {
	r.Scan, r.ScanIndex, r.History, r.Since, r.Changes, r.EventCount, r.Gaps, r.WaitingSince = before.Scan, before.ScanIndex, before.History, before.Since, before.Changes, before.EventCount, before.Gaps, before.WaitingSince
	r.Read = 0
}

// RestoreImage adds the image of a history to the record. It is for rebuilding a lost record.
func (r *Record) RestoreImage(name string, h History) {
	i := ImageRecord{
		Tag: h.Tag, Platform: h.Platform, Digest: h.Digest, First: cmp.Or(h.Since, h.Completed), Seen: h.LastDate,
		Scan: h.Scan, ScanIndex: h.Index, History: name, Since: h.Since, Changes: h.Changes, EventCount: len(h.Events),
	}
	r.Put(i)
	for _, f := range h.Findings {
		r.UsedSeconds.use(f.Published)
		r.UsedSeconds.use(f.Updated)
		for _, e := range f.Earlier {
			r.UsedSeconds.use(e.Published)
			r.UsedSeconds.use(e.Ended)
		}
	}
	for _, e := range h.Events {
		r.UsedSeconds.use(e.At)
	}
}

// Put stores the record of an image.
func (r *Record) Put(i ImageRecord) {
	r.copyImages()
	r.Images[i.Label()] = &i
}

// Image returns the record of an image. It is empty if the image is not known.
func (r *Record) Image(label string) ImageRecord {
	i, _ := r.Lookup(label)
	return i
}

// Lookup is like Image, and also reports whether the image is known.
func (r *Record) Lookup(label string) (ImageRecord, bool) {
	if i := r.Images[label]; i != nil {
		return *i, true
	}
	return ImageRecord{}, false
}

// SetStarted records that ECR has started a scan of an image. It does not replace an earlier result. It reports whether
// the start was not marked before.
func (r *Record) SetStarted(image scan.Image, now Stamp) (isNew bool) {
	i, known := r.Lookup(image.Label())
	if !known || i.Digest != image.Digest {
		return false
	}
	if isNew = i.Started == 0; isNew {
		i.Started = now
	}
	if i.Last.State == "" || i.Last.State == scan.NotScanned && i.Last.Reason == "" {
		i.SetAnswer(scan.Result{State: scan.InProgress}, now)
	} else if !isNew {
		return false
	}
	r.Put(i)
	return isNew
}

// MarkStart records at now that a visit is going to start a scan of an image, or with 0 that it does not start it.
func (r *Record) MarkStart(image scan.Image, now Stamp) {
	if i, known := r.Lookup(image.Label()); known && i.Digest == image.Digest {
		i.Started = now
		r.Put(i)
	}
}

// ShareStarts takes over the marks of starts that marked has and before does not. Images that did not change otherwise are then
// those of marked.
func (r *Record) ShareStarts(before, marked Record) {
	r.copyImages()
	for label, i := range marked.Images {
		switch old := r.Images[label]; {
		case old == nil, i == before.Images[label]:
		case old == before.Images[label]:
			r.Images[label] = i
		case old.Digest == i.Digest:
			next := *old
			next.Started = i.Started
			r.Put(next)
		}
	}
}

// HistoryNames returns the names of the histories of all images.
func (r *Record) HistoryNames() []string {
	names := make([]string, 0, len(r.Images))
	for _, i := range r.Images {
		if i.History != "" {
			names = append(names, i.History)
		}
	}
	return names
}

// withPeriod adds a period and deletes those that ended longer ago than [Retention].
func withPeriod(periods []Period, p Period, now Stamp) []Period {
	kept := slices.DeleteFunc(slices.Clone(periods), func(p Period) bool { return p.Until < now.Plus(-Retention) })
	kept = append(kept, p)
	return kept[max(0, len(kept)-maxPeriodsOfImage):]
}

// SetMissing records that the repository does not exist.
func (r *Record) SetMissing(now Stamp) { r.MissingSince = cmp.Or(r.MissingSince, now) }

// SetPresent records that the repository exists. If it did not exist before, it was never missing.
func (r *Record) SetPresent(now Stamp) {
	r.First = cmp.Or(r.FirstListed(), now)
	if r.First >= r.MissingSince {
		r.MissingSince = 0
	}
	if r.MissingSince > 0 {
		r.Absences = withPeriod(r.Absences, Period{From: r.MissingSince, Until: max(now, r.MissingSince+1)}, now)
		r.restartImages(now)
		r.MissingSince = 0
	}
}

// SetAppeared records that the repository is new, if it was not listed before it was created. created is the time of its
// creation.
func (r *Record) SetAppeared(created, now Stamp) {
	if first := r.FirstListed(); r.Appeared == 0 && (first == 0 || first.Plus(time.Minute) >= created) { // the clocks differ
		r.Appeared = now
	}
}

// PresentUntil returns when the repository last existed: now, unless it is missing.
func (r *Record) PresentUntil(now Stamp) Stamp { return min(now, cmp.Or(r.MissingSince, now)) }

// restartImages starts the time without a scan again when the repository exists again. No scan was possible before.
func (r *Record) restartImages(now Stamp) {
	for _, old := range r.Images {
		if i := *old; i.Kind == scan.PlainImage {
			i.cutOff(*old, r.PresentUntil(now))
			i.WaitingSince = now
			r.Put(i)
		}
	}
}

// UpdateImage records an image that ECR listed, or a tag of a config that is missing. If inFullList is true, all tags were
// listed.
func (r *Record) UpdateImage(i scan.Image, inFullList bool, now Stamp) {
	old, known := r.Lookup(i.Label())
	next := old
	if !known {
		next = ImageRecord{Tag: i.Tag, Platform: i.Platform, First: now}
	}
	next.Listed, next.Digest, next.Index, next.Artifacts, next.Kind = i.Listed, i.Digest, i.Index, i.Artifacts, i.Kind
	next.MissingSince = 0
	if !inFullList || !known {
		next.Seen = now
	}
	next.PushedAt, next.LastPulled = StampOf(i.PushedAt), StampOf(i.LastPulled)
	next.ErrorCode, next.Reason = "", ""
	if i.Err != nil {
		next.ErrorCode, next.Reason = scan.CodeOf(i.Err), scan.MessageOf(i.Err)
	}
	if next.mayReturn() {
		next.Listed = old.Listed
	}
	if i.Kind == scan.Missing {
		next.MissingSince = cmp.Or(old.MissingSince, now)
	}
	if known && (next.Digest != old.Digest || next.Kind != old.Kind) {
		next.changeTarget(old, now)
	}
	if known {
		next.changeStatus(old, statusOf(next.Kind), i.Err, now)
	}
	if !known || !reflect.DeepEqual(next, old) {
		r.Put(next)
	}
}

// SetImageMissing records that a known image no longer exists. instead are the listed objects of its tag.
func (r *Record) SetImageMissing(label string, instead []scan.Image, now Stamp) {
	old := r.Image(label)
	kind, err := statusWithout(instead)
	if old.Kind == scan.Missing && old.MissingSince > 0 && !old.mayReturn() {
		if old.status().Kind != TagGone {
			old.changeStatus(old, kind, err, now)
			r.Put(old)
		}
		return
	}
	if len(instead) > 0 && old.isReplaceable() {
		r.copyImages()
		delete(r.Images, label)
		return
	}
	next := old
	next.Digest, next.Index, next.Artifacts, next.Kind, next.Last, next.AnsweredAt, next.Started = "", "", 0, scan.Missing, Answer{}, 0, 0
	next.ErrorCode, next.Reason, next.MissingSince = "", "", cmp.Or(old.MissingSince, now)
	next.Last.LastInUse = old.Last.LastInUse
	if old.Kind == scan.PlainImage {
		next.cutOff(old, now)
	}
	next.changeStatus(old, kind, err, now)
	if scan.CodeOf(err) == scan.Unavailable && old.wasImage(now) {
		next.ErrorCode = scan.Unavailable
	}
	r.Put(next)
}

// SeenAt returns when an image was last listed or searched for.
func (r *Record) SeenAt(i ImageRecord) Stamp { return max(i.Seen, r.Listed) }

// Prune deletes images that were not listed or searched for within [Retention], and images that have been missing for
// that long. It keeps a missing tag that a config still lists.
func (r *Record) Prune(now Stamp) {
	limit := now.Plus(-Retention)
	r.copyImages()
	maps.DeleteFunc(r.Images, func(_ string, i *ImageRecord) bool {
		return r.SeenAt(*i) < limit || i.MissingSince > 0 && i.MissingSince < limit && i.Seen < limit
	})
}

// Tags returns the tags in the record, including those that are missing.
func (r *Record) Tags() map[string]bool {
	known := make(map[string]bool, len(r.Images))
	for _, i := range r.Images {
		known[i.Tag] = true
	}
	return known
}

// HasListedAll reports whether the last listing was of all tags.
func (r *Record) HasListedAll() bool { return r.Listed > 0 && r.Listed >= r.Begin }

// PresentTags returns the tags that exist.
func (r *Record) PresentTags() map[string]bool {
	present := make(map[string]bool, len(r.Images))
	for _, i := range r.Images {
		if i.Kind != scan.Missing {
			present[i.Tag] = true
		}
	}
	return present
}

// Covers reports whether the record has all images that the configs may watch.
func (r *Record) Covers(configs []scan.Config) bool {
	listedAll := r.HasListedAll()
	var known map[string]bool
	isUnknown := func(tag string) bool { return !known[tag] }
	for _, c := range configs {
		key := c.SelectionKey()
		switch {
		case key != "":
			if !slices.ContainsFunc(r.Selections, func(s Selection) bool { return s.Key == key }) {
				return false
			}
		case listedAll:
		case len(c.Tags) == 0:
			return false
		default:
			if known == nil {
				known = r.Tags()
			}
			if slices.ContainsFunc(c.Tags, isUnknown) {
				return false
			}
		}
	}
	return true
}

// OlderOf returns the number of images that were not among the newest for a config when they were last listed.
func (r *Record) OlderOf(c scan.Config) int {
	i, found := slices.BinarySearchFunc(r.Selections, c.SelectionKey(), func(s Selection, key string) int { return strings.Compare(s.Key, key) })
	if !found {
		return 0
	}
	return r.Selections[i].Older
}

// Keep deletes the images that keep does not select. If it deletes any with a tag, the record no longer has a list of all tags.
func (r *Record) Keep(keep func(*ImageRecord) bool) {
	for label, i := range r.Images {
		if keep(i) {
			continue
		}
		r.copyImages()
		delete(r.Images, label)
		if !scan.IsUntagged(i.Tag) {
			r.Listed = 0
		}
	}
}

// HasPast reports whether something was reported of the image, so that its history must continue.
func (r ImageRecord) HasPast() bool {
	return r.History != "" || r.Scan.Completed > 0 || r.FailedSince > 0 || len(r.Gaps)+len(r.Failures)+len(r.Statuses) > 0
}

// SetWatched records which images a config watches now. Problems with the scanning of an image end when nobody watches it, and when a
// config watches it again, the time without a scan starts again.
func (r *Record) SetWatched(isWatched func(*ImageRecord) bool, now Stamp) {
	for _, old := range r.Images {
		if isWatched(old) == (old.Unwatched == 0) {
			continue
		}
		next := *old
		if old.Unwatched > 0 {
			next.Unwatched, next.WaitingSince = 0, now
		} else {
			if r.Begin > 0 { // a rebuilt record does not know since when nobody watches the image
				next.cutOff(*old, now)
			}
			next.Unwatched = now
		}
		r.Put(next)
	}
}

// DropHistory records that the history of an image is lost. A visit then reads the findings again and starts a new
// history.
func (r *Record) DropHistory(label string) {
	if i, known := r.Lookup(label); known {
		i.History, i.Scan, i.ScanIndex, i.Read = "", Scan{}, "", 0
		r.Put(i)
	}
}

// MoveHistories replaces the names of stored histories, by the labels of their images.
func (r *Record) MoveHistories(names map[string]string) {
	for label, name := range names {
		i := r.Image(label)
		i.History = name
		r.Put(i)
	}
}

// SetFailure records that a visit failed. It keeps the time of the first failure while the reason stays the same.
func (r *Record) SetFailure(err error, now Stamp) {
	r.Failure.Set(err, now)
}

// Set records an error.
func (f *Failure) Set(err error, now Stamp) {
	code, reason := scan.CodeOf(err), scan.MessageOf(err)
	if f.Code != code || f.Reason != reason {
		*f = Failure{Code: code, Reason: reason, Since: now}
	}
}

// SetVisited records that a visit that started at begin listed the repository.
func (r *Record) SetVisited(begin Stamp) { r.Begin = begin }

// SetEnded records the end of a visit. All scans that it started are in the record. refusal is the error if ECR refused to
// return results of images, or nil.
func (r *Record) SetEnded(refusal error, now Stamp) {
	r.Unfinished = false
	if refusal != nil {
		r.SetFailure(refusal, now)
	} else {
		r.Failure = Failure{}
	}
}

// Clone returns a copy that can be changed without changing r. r must not be changed afterwards.
func (r Record) Clone() Record {
	r.imagesShared = true
	r.UsedSeconds = slices.Clone(r.UsedSeconds)
	return r
}

// copyImages makes sure that the record has its own map of images before it changes.
func (r *Record) copyImages() {
	if r.imagesShared {
		r.Images, r.imagesShared = maps.Clone(r.Images), false
	}
	if r.Images == nil {
		r.Images = make(map[string]*ImageRecord)
	}
}

// NextChange returns the date for a change of the stored record. It is later than the date of the last change,
// because a client may have stored that date.
func (r Record) NextChange(now Stamp) Stamp { return max(now, r.Changed+1) }

// HasVisibleChange reports whether a and b differ in data that responses show. It ignores the times of listings,
// readings and starts.
func HasVisibleChange(a, b Record) bool {
	if a.MissingSince != b.MissingSince || a.Appeared != b.Appeared || a.NotCovered != b.NotCovered || len(a.Absences) != len(b.Absences) || len(a.Images) != len(b.Images) || a.Failure != b.Failure || !reflect.DeepEqual(a.NotWatched, b.NotWatched) ||
		!slices.Equal(a.Selections, b.Selections) || !slices.Equal(a.Dates, b.Dates) {
		return true
	}
	for label, image := range b.Images {
		if a.Images[label] == image {
			continue
		}
		old, known := a.Lookup(label)
		old.Seen, old.AnsweredAt, old.Read, old.Started = image.Seen, image.AnsweredAt, image.Read, image.Started
		if !known || !reflect.DeepEqual(old, *image) {
			return true
		}
	}
	return false
}
