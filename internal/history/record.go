package history

import (
	"cmp"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// Record is what is stored of one repository, for all configs that watch it. It is written as a whole, and only if the store still has the
// version that was read, so that of two writers neither undoes what the other did.
type Record struct {
	// Begin is when the last visit began that listed the repository; Configs are the ids of the configs that watched it then, sorted.
	Begin   Stamp
	Configs []string
	// Failure is why the visits since then failed; its Code is empty when none did.
	Failure Failure
	// Images are the images that were met, by their label.
	Images map[string]ImageRecord
	// Listed is when all tags were listed last.
	Listed Stamp
	// Gone is since when the registry says that there is no such repository; Absences are the times in which it did.
	Gone     Stamp
	Absences []Period
	// Changed is when something changed that a reader would see; Swept is when what the record no longer needs was removed last.
	Changed Stamp
	Swept   Stamp
	// Taken are the seconds that something is dated by.
	Taken Seconds

	// Version changes with each write; it is empty when there is no record. Now is the store's clock when it was read.
	Version string
	Now     time.Time

	// shared tells that Images is another record's too: most are only read, and there may be thousands.
	shared bool
}

// Failure is why visits of a repository fail, and since when.
type Failure struct {
	Code   scan.Code `json:"code"`
	Reason string    `json:"reason"`
	Since  Stamp     `json:"since"`
}

// ImageRecord is what is stored of one image: what one tag points to, or for an index, one of its platforms.
type ImageRecord struct {
	Tag      string
	Platform string
	Digest   string
	Index    string // as in [Image]
	Kind     scan.Kind
	// Trouble and Reason are the code and the message of why an index could not be resolved.
	Trouble scan.Code
	Reason  string
	// First is when it was met first, Seen when it was looked up last, or listed with all tags if that was later.
	First Stamp
	Seen  Stamp
	// Left is since when there is no such tag or platform.
	Left Stamp
	// Awaited is since when a scan is waited for, if that is later than Scan: there was one of something else, Amazon Inspector no longer watches
	// the image, or it came back.
	Awaited Stamp

	// Last is what ECR said of the digest when it was asked at Asked; none when the digest is new.
	Last  Answer
	Asked Stamp
	// Read is when the findings were read last that are in its history; none when those of an enhanced scan must have changed since.
	Read Stamp

	// Scan is the last completed scan whose findings are remembered, in the history of the name History.
	Scan    Scan
	History string
	// Since is when the first scan that is remembered was completed, and Changes is what later ones changed.
	Since   Stamp
	Changes []CountChange
	// News is how many events the history has.
	News int
	// Gaps are the times without a scan for too long, Failures those in which scans failed; Failed is since when they do.
	Gaps     []Period
	Failures []Period
	Failed   Stamp
}

// Answer is a result without its findings.
type Answer struct {
	State     scan.State
	Reason    string
	Counts    scan.Counts
	Completed Stamp
	Enhanced  bool
}

// ErrLaterFormat is wrapped by the error for a record that a later version of this program wrote. It is left alone.
var ErrLaterFormat = errors.New("written by a later version of this service")

// TooLong is how long an image may be without a scan until that is news, and a result is stale.
const TooLong = 48 * time.Hour

// Bounds of an image's record, the latest: one for each that is forgotten after MemoryTime is enough for any watch that works.
const maxPeriodsOfImage = 30

// Label names the image within its repository.
func (r ImageRecord) Label() string { return scan.Image{Tag: r.Tag, Platform: r.Platform}.Label() }

// Image is what the record has of an image.
func (r ImageRecord) Image(repo scan.Repository) scan.Image {
	i := scan.Image{Repository: repo, Tag: r.Tag, Platform: r.Platform, Digest: r.Digest, Index: r.Index, Kind: r.Kind}
	if r.Trouble != "" {
		i.Err = &scan.Error{Code: r.Trouble, Message: r.Reason}
	}
	return i
}

func answerOf(r scan.Result) Answer {
	if len(r.Counts) == 0 {
		r.Counts = nil // as it comes back from the store
	}
	return Answer{State: r.State, Reason: r.Reason, Counts: r.Counts, Completed: StampOf(r.CompletedAt), Enhanced: r.Enhanced}
}

// Result is the answer as ECR gave it, without findings.
func (a Answer) Result() scan.Result {
	return scan.Result{State: a.State, Reason: a.Reason, Counts: a.Counts, CompletedAt: a.Completed.Time(), Enhanced: a.Enhanced}
}

// IsFinal tells whether ECR can't say anything else before it may scan again.
func (a Answer) IsFinal(now Stamp) bool {
	return a.State == scan.Completed && !a.Enhanced && now < a.Completed.Plus(scan.Rescan)
}

// IsRemembered tells whether the findings of the last answer, if it has any, are in the history. Those of an enhanced scan may change without
// its date, so they must have been read.
func (r ImageRecord) IsRemembered() bool {
	if r.Last.State != scan.Completed || r.Last.Completed == 0 {
		return true
	}
	return r.Scan == Scan{r.Digest, r.Last.Completed, r.Last.Enhanced} && (!r.Last.Enhanced || r.Read > 0)
}

// HasCurrentHistory tells whether the history is of what the tag points to now.
func (r ImageRecord) HasCurrentHistory() bool { return r.History != "" && r.Scan.Digest == r.Digest }

// lateAt is when it will be too long that the image was scanned last; or, if it never was, that it is known.
func (r ImageRecord) lateAt() Stamp {
	return max(cmp.Or(r.Scan.Completed, r.First), r.Awaited).Plus(TooLong)
}

// late is since when the image is without a scan for too long, or none. What Amazon Inspector scans it scans when there is a reason.
func (r ImageRecord) late(now Stamp) Stamp {
	last := r.Last
	watched := last.State == scan.Completed && (last.Enhanced || last.Completed > r.Scan.Completed)
	if at := r.lateAt(); at <= now && r.Kind == scan.PlainImage && !watched {
		return at
	}
	return 0
}

// TakeAnswer takes in what ECR said of the image's digest.
func (r *ImageRecord) TakeAnswer(result scan.Result, now Stamp) {
	if at := StampOf(result.CompletedAt); result.Enhanced || at > r.Scan.Completed && at <= r.lateAt() {
		r.attended(now) // by a scan in time that could not be seen before, if not by Inspector
	}
	if !result.Enhanced {
		r.unwatched(now)
	}
	answer := answerOf(result)
	if result.Enhanced && !reflect.DeepEqual(answer, r.Last) {
		r.Read = 0
	}
	r.Last, r.Asked = answer, now
	switch {
	case result.State == scan.Failed && r.Failed == 0:
		r.Failed = now
	case result.State == scan.Completed:
		r.recovered(r.Last.Completed)
	}
}

// attended ends a time without a scan, when none is waited for any more.
func (r *ImageRecord) attended(now Stamp) {
	if late := r.late(now); late > 0 {
		r.Gaps, r.Awaited = withPeriod(r.Gaps, Period{late, max(late+1, now)}, now), now
	}
}

// unwatched begins to wait for a scan if Amazon Inspector watched the image until now.
func (r *ImageRecord) unwatched(now Stamp) {
	if r.Last.Enhanced {
		r.Awaited = now
	}
}

// moved takes in that the image points to something else than it did; old is its record of before.
func (r *ImageRecord) moved(old ImageRecord, now Stamp) {
	if old.Kind == scan.PlainImage && r.Kind != scan.PlainImage {
		old.attended(now)
		r.Gaps = old.Gaps
	}
	r.unwatched(now)
	if old.Kind != scan.PlainImage {
		r.Awaited = now
	}
	r.Last, r.Asked = Answer{}, 0
	r.recovered(now)
}

// recovered ends a time of failures.
func (r *ImageRecord) recovered(at Stamp) {
	if r.Failed != 0 {
		r.Failures = withPeriod(r.Failures, Period{r.Failed, max(r.Failed+1, at)}, at)
		r.Failed = 0
	}
}

// Remember takes in a history.
func (r *ImageRecord) Remember(name string, h History, now Stamp) {
	if late := r.lateAt(); h.Completed > late && !h.Enhanced {
		r.Gaps = withPeriod(r.Gaps, Period{late, h.Completed}, now)
	}
	r.Awaited = max(r.Awaited, r.Scan.Completed) // the tag may have gone back to an older scan
	r.Scan, r.History, r.Since, r.Changes, r.News = h.Scan, name, h.Since, h.Changes, len(h.Events)
}

// ForgetScan takes back what remember took in; before is the record of then.
func (r *ImageRecord) ForgetScan(before ImageRecord) {
	r.Scan, r.History, r.Since, r.Changes, r.News, r.Gaps, r.Awaited = before.Scan, before.History, before.Since, before.Changes, before.News, before.Gaps, before.Awaited
	r.Read = 0
}

// Recall takes in what a history tells of its image, for a record that was lost.
func (r *Record) Recall(name string, h History) {
	i := ImageRecord{
		Tag: h.Tag, Platform: h.Platform, Digest: h.Digest, First: h.Since, Seen: h.Told,
		Scan: h.Scan, History: name, Since: h.Since, Changes: h.Changes, News: len(h.Events),
	}
	r.Put(i)
}

// Put takes in what is known of an image now.
func (r *Record) Put(i ImageRecord) {
	r.own()
	r.Images[i.Label()] = i
}

// SetStarted takes in that ECR has begun to scan an image. While it has no other result, that is what ECR says of it.
func (r *Record) SetStarted(image scan.Image, now Stamp) {
	i, known := r.Images[image.Label()]
	if known && i.Digest == image.Digest && (i.Last.State == "" || i.Last.State == scan.NotScanned && i.Last.Reason == "") {
		i.TakeAnswer(scan.Result{State: scan.InProgress}, now)
		r.Put(i)
	}
}

// withPeriod adds a period, and leaves out those that are long past.
func withPeriod(periods []Period, p Period, now Stamp) []Period {
	kept := slices.DeleteFunc(slices.Clone(periods), func(p Period) bool { return p.Until < now.Plus(-MemoryTime) })
	kept = append(kept, p)
	return kept[max(0, len(kept)-maxPeriodsOfImage):]
}

// SetGone takes in that the registry has no such repository.
func (r *Record) SetGone(now Stamp) { r.Gone = cmp.Or(r.Gone, now) }

// SetThere takes in that the registry has the repository.
func (r *Record) SetThere(now Stamp) {
	if r.Gone > 0 {
		r.Absences = withPeriod(r.Absences, Period{r.Gone, max(now, r.Gone+1)}, now)
		r.Gone = 0
	}
}

// Observe takes in that an image was met.
func (r *Record) Observe(i scan.Image, now Stamp) {
	old, known := r.Images[i.Label()]
	next := old
	if !known {
		next = ImageRecord{Tag: i.Tag, Platform: i.Platform, First: now}
	}
	next.Digest, next.Index, next.Kind, next.Seen, next.Left = i.Digest, i.Index, i.Kind, now, 0
	next.Trouble, next.Reason = "", ""
	if i.Err != nil {
		next.Trouble, next.Reason = scan.CodeOf(i.Err), scan.MessageOf(i.Err)
	}
	if i.Kind == scan.Missing {
		next.Left = cmp.Or(old.Left, now)
	}
	if known && (next.Digest != old.Digest || next.Kind != old.Kind) {
		next.moved(old, now)
	}
	r.Put(next)
}

// Unobserve takes in that what was met before is no longer there.
func (r *Record) Unobserve(label string, now Stamp) {
	next := r.Images[label]
	if next.Kind == scan.Missing && next.Left > 0 {
		return
	}
	next.attended(now)
	next.Digest, next.Index, next.Kind, next.Left, next.Last, next.Asked = "", "", scan.Missing, now, Answer{}, 0
	next.Trouble, next.Reason = "", ""
	next.recovered(now)
	r.Put(next)
}

// SeenAt is when an image was looked for last.
func (r *Record) SeenAt(i ImageRecord) Stamp { return max(i.Seen, r.Listed) }

// Forget leaves out what nobody looked for in MemoryTime, and what has not been there for that long, unless it is named and looked for all the same.
func (r *Record) Forget(now Stamp) {
	past := now.Plus(-MemoryTime)
	r.own()
	maps.DeleteFunc(r.Images, func(_ string, i ImageRecord) bool {
		return r.SeenAt(i) < past || i.Left > 0 && i.Left < past && i.Seen < past
	})
}

// Tags are those that the record knows, whether they are there or not.
func (r *Record) Tags() map[string]bool {
	known := make(map[string]bool, len(r.Images))
	for _, i := range r.Images {
		known[i.Tag] = true
	}
	return known
}

// HasListedAll tells whether the last listing was of all tags.
func (r *Record) HasListedAll() bool { return r.Listed > 0 && r.Listed >= r.Begin }

// PresentTags are those that point to something.
func (r *Record) PresentTags() map[string]bool {
	there := make(map[string]bool, len(r.Images))
	for _, i := range r.Images {
		if i.Kind != scan.Missing {
			there[i.Tag] = true
		}
	}
	return there
}

// KeepOnly leaves out what has none of some tags. Then not all that was listed is known any more.
func (r *Record) KeepOnly(tags []string) {
	watched := make(map[string]bool, len(tags))
	for _, tag := range tags {
		watched[tag] = true
	}
	for label, i := range r.Images {
		if !watched[i.Tag] {
			r.own()
			delete(r.Images, label)
			r.Listed = 0
		}
	}
}

// DropHistory takes in that the history of an image is lost: its findings are read again, and a new one begins.
func (r *Record) DropHistory(label string) {
	i, known := r.Images[label]
	if known {
		i.History, i.Scan, i.Read = "", Scan{}, 0
		r.Put(i)
	}
}

// SetFailure takes in that a visit failed; its time is kept while visits fail for the same reason.
func (r *Record) SetFailure(err error, now Stamp) {
	code, reason := scan.CodeOf(err), scan.MessageOf(err)
	if r.Failure.Code != code || r.Failure.Reason != reason {
		r.Failure = Failure{Code: code, Reason: reason, Since: now}
	}
}

// SetVisited takes in that a visit listed the repository.
func (r *Record) SetVisited(begin Stamp) { r.Begin = begin }

// SetEnded takes in that a visit has come to its end, or that it could not read the results of images.
func (r *Record) SetEnded(refusal error, now Stamp) {
	if refusal != nil {
		r.SetFailure(refusal, now)
	} else {
		r.Failure = Failure{}
	}
}

// Clone is a copy that can be changed, for as long as the record itself is not.
func (r Record) Clone() Record {
	r.shared = true
	r.Taken = slices.Clone(r.Taken)
	return r
}

// own gives the record images that can be changed.
func (r *Record) own() {
	if r.shared {
		r.Images, r.shared = maps.Clone(r.Images), false
	}
	if r.Images == nil {
		r.Images = make(map[string]ImageRecord)
	}
}

// NextChange is the date of a change to what is in the store: none has the date of one before it, which may have been read already.
func (r Record) NextChange(now Stamp) Stamp { return max(now, r.Changed+1) }

// ShowsOther tells whether a reader sees another thing in b than in a: anything but when things were looked up.
func ShowsOther(a, b Record) bool {
	if a.Gone != b.Gone || len(a.Absences) != len(b.Absences) || len(a.Images) != len(b.Images) || a.Failure != b.Failure {
		return true
	}
	for label, image := range b.Images {
		old, known := a.Images[label]
		old.Seen, old.Asked, old.Read = image.Seen, image.Asked, image.Read
		if !known || !reflect.DeepEqual(old, image) {
			return true
		}
	}
	return false
}
