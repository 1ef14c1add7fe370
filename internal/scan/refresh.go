package scan

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"
)

// Registry is what is asked of ECR. Its errors have the codes RepositoryNotFound, ImageNotFound, NoAccess, Unavailable or Internal.
type Registry interface {
	// Images is what the tags of a repository point to, all its tags when tags is empty; for a multi-platform index, the images that it
	// lists. Tags that don't exist are left out. An index that can't be resolved is one image with an Err, and spoils no other.
	Images(ctx context.Context, repo Repository, tags []string) ([]Image, error)
	// Findings is the result of the last scan of an image with every finding, merged and sorted as by MergeFindings. Never scanned is a
	// result too.
	Findings(ctx context.Context, repo Repository, digest string) (Result, error)
}

// Records gives the stored records. Its errors have the code Unavailable unless it says otherwise.
type Records interface {
	// Load is the record of a repository; one that is not there is empty. What it gives is to be read only: others may be given the same.
	// An error that wraps [ErrLaterFormat] is a record that a later version of this program wrote.
	Load(ctx context.Context, repo Repository) (Record, error)
	// History is a stored history. A further error is NotFound, for one that is not there or is broken.
	History(ctx context.Context, repo Repository, name string) (History, error)
}

// Source is where records and results come from. Its fields are set once; its methods may be called side by side.
type Source struct {
	Registry Registry
	Records  Records
	Now      func() time.Time
	Log      *slog.Logger
}

// Refresher brings the record of one repository up to date, in memory. Its methods are called one after another.
type Refresher struct {
	Source
	Repo Repository
	// Record is what is known by now, and Stored what the store has.
	Record, Stored Record
	// Asked tells that ECR was asked for something: what is known is not the stored record alone.
	Asked bool
	// read is when the record was loaded, by our own clock, of which spans alone are used.
	read time.Time
	// Silent is why ECR did not list the repository when it was asked; nil when it did, or was not asked.
	Silent error
	// unread is why the result of an image, by label, could not be read.
	unread map[string]error
	// pending are the histories that are not stored yet, by label.
	pending map[string]pendingHistory
}

// Open loads the record of a repository. Errors: those of [Records].
func (s Source) Open(ctx context.Context, repo Repository) (*Refresher, error) {
	record, err := s.Records.Load(ctx, repo)
	if err != nil {
		return nil, err
	}
	return NewRefresher(s, repo, record), nil
}

// NewRefresher works with a record that was loaded already.
func NewRefresher(s Source, repo Repository, record Record) *Refresher {
	r := &Refresher{
		Source: s, Repo: repo, Stored: record, read: s.Now(), unread: make(map[string]error), pending: make(map[string]pendingHistory),
	}
	if record.Now.IsZero() {
		r.Stored.Now = r.read
	}
	r.Record = r.Stored.clone()
	return r
}

// Clock is the time by S3's clock.
func (r *Refresher) Clock() Stamp { return StampOf(r.Stored.Now.Add(r.Now().Sub(r.read))) }

// Trust is how long the listing of the last visit is believed without asking ECR again: a tag may move at any moment.
const Trust = 5 * time.Minute

// IsFresh tells whether the record has a listing of all tags, or of some when there are any, that is younger than [Trust].
func (r *Refresher) IsFresh(tags []string) bool {
	age := r.Clock() - r.Record.Begin
	if r.Record.Begin == 0 || age >= Stamp(Trust/time.Second) || age <= -Stamp(Trust/time.Second) || r.Record.Gone > 0 {
		return false
	}
	if len(tags) == 0 {
		return r.Record.hasListedAll()
	}
	known := r.Record.tags()
	return !slices.ContainsFunc(tags, func(tag string) bool { return !known[tag] }) // one that no visit looked for may be there by now
}

// HasListing tells whether anything is recorded that tags point to, all tags when there are none.
func (r *Refresher) HasListing(tags []string) bool {
	there := r.Record.presentTags()
	return len(tags) == 0 && len(there) > 0 || slices.ContainsFunc(tags, func(tag string) bool { return there[tag] })
}

// List asks ECR what tags point to, all of them when there are none, and takes the answer into the record: what it lacks is gone. Errors:
// those of [Registry]; the record is then as it was, but for a repository that is gone.
func (r *Refresher) List(ctx context.Context, tags []string) error {
	r.Asked = true
	images, err := r.Registry.Images(ctx, r.Repo, tags)
	now := r.Clock()
	if err != nil {
		r.Silent = err
		if CodeOf(err) == RepositoryNotFound {
			r.Record.gone(now)
		}
		return err
	}
	r.Silent = nil
	r.Record.there(now)
	r.takeListing(r.withKnownPlatforms(images), tags, now)
	return nil
}

func (r *Refresher) takeListing(images []Image, tags []string, now Stamp) {
	met := make(map[string]bool, len(images))
	for _, i := range images {
		if met[i.Label()] = true; r.unread[i.Label()] == nil {
			r.Record.observed(i, now)
		}
	}
	named := make(map[string]bool, len(tags))
	for _, tag := range tags {
		named[tag] = true
	}
	for label, i := range r.Record.Images {
		if !met[label] && (len(tags) == 0 || named[i.Tag]) {
			r.Record.unobserved(label, now)
		}
	}
	there := r.Record.presentTags()
	for _, tag := range tags {
		missing := Image{Repository: r.Repo, Tag: tag, Kind: Missing}
		if old, known := r.Record.Images[missing.Label()]; !there[tag] && (!known || old.Kind == Missing) {
			r.Record.observed(missing, now)
		}
	}
	if len(tags) == 0 {
		r.Record.Listed = now
	}
}

// withKnownPlatforms puts in the place of an index that could not be resolved just now the images that it had, if it is the same index or that
// is unknown.
func (r *Refresher) withKnownPlatforms(images []Image) []Image {
	broken := make(map[string]Image)
	for _, i := range images {
		if i.Kind == Index && CodeOf(i.Err) == Unavailable {
			broken[i.Tag] = i
		}
	}
	if len(broken) == 0 {
		return images
	}
	shown := slices.Clone(images)
	for _, i := range r.Record.Images {
		if index, is := broken[i.Tag]; is && i.Platform != "" && i.Kind != Missing && (i.Index == "" || i.Index == index.Digest) {
			shown = slices.DeleteFunc(shown, func(s Image) bool { return s.Tag == i.Tag && s.Kind == Index })
			shown = append(shown, i.image(r.Repo))
			r.unread[i.Label()] = index.Err
		}
	}
	return shown
}

// Images are those of the record that a tag points to, in the order of their labels.
func (r *Refresher) Images() []Image {
	images := make([]Image, 0, len(r.Record.Images))
	for _, i := range r.Record.Images {
		if i.Kind != Missing {
			images = append(images, i.image(r.Repo))
		}
	}
	slices.SortFunc(images, compareImages)
	return images
}

// Answer is what is known of an image: ECR's answer, or why there is none.
func (r *Refresher) Answer(image Image) Result {
	switch known := r.Record.Images[image.Label()]; {
	case image.Err != nil:
		return unanswered(image, image.Err)
	case image.Kind == Missing:
		return Result{State: NoSuchTag}
	case image.Kind != PlainImage:
		return Result{State: NotScanned, Reason: string(image.Kind)}
	case known.Last.State == "" || r.isCertain(image):
		return unanswered(image, cmp.Or(r.unread[image.Label()], error(errNotVisited)))
	default:
		return known.Last.result()
	}
}

// isCertain tells whether ECR's refusal to tell of an image says more than what was known before.
func (r *Refresher) isCertain(image Image) bool {
	err := r.unread[image.Label()]
	return err != nil && unanswered(image, err).State != Unread
}

// unanswered is what is known of an image when ECR answers with an error.
func unanswered(image Image, err error) Result {
	switch code := CodeOf(err); {
	case code == ImageNotFound && image.Platform == "":
		return Result{State: NoSuchTag}
	case code == ImageNotFound, code == NotScannable:
		return Result{State: NotScanned, Reason: MessageOf(err)}
	case code == NoAccess, code == RepositoryNotFound:
		return Result{State: Refused, Reason: MessageOf(err)}
	}
	return Result{State: Unread, Reason: MessageOf(err)}
}

// Unread is why the result of an image could not be read when ECR was asked; nil when it was, or was not asked for.
func (r *Refresher) Unread(label string) error { return r.unread[label] }

// Outage is why ECR did not answer for an image when it was asked; nil when it did, or was not asked.
func (r *Refresher) Outage(label string) error {
	err := cmp.Or(r.unread[label], r.Silent)
	if CodeOf(err) != Unavailable || isNotAsked(err) {
		return nil
	}
	return err
}
