package refresh

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// Registry is what is asked of ECR. Its errors have the codes RepositoryNotFound, ImageNotFound, NoAccess, Unavailable or Internal.
type Registry interface {
	// Images is what the tags of a repository point to, all its tags when tags is empty; for a multi-platform index, the images that it
	// lists. Tags that don't exist are left out. An index that can't be resolved is one image with an Err, and spoils no other.
	Images(ctx context.Context, repo scan.Repository, tags []string) ([]scan.Image, error)
	// Findings is the result of the last scan of an image with every finding, merged and sorted as by MergeFindings. Never scanned is a
	// result too.
	Findings(ctx context.Context, repo scan.Repository, digest string) (scan.Result, error)
}

// Records gives the stored records. Its errors have the code Unavailable unless it says otherwise.
type Records interface {
	// Load is the record of a repository; one that is not there is empty. What it gives is to be read only: others may be given the same.
	// An error that wraps [history.ErrLaterFormat] is a record that a later version of this program wrote.
	Load(ctx context.Context, repo scan.Repository) (history.Record, error)
	// History is a stored history. A further error is NotFound, for one that is not there or is broken.
	History(ctx context.Context, repo scan.Repository, name string) (history.History, error)
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
	Repo scan.Repository
	// Record is what is known by now, and Stored what the store has.
	Record, Stored history.Record
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
func (s Source) Open(ctx context.Context, repo scan.Repository) (*Refresher, error) {
	record, err := s.Records.Load(ctx, repo)
	if err != nil {
		return nil, err
	}
	return NewRefresher(s, repo, record), nil
}

// NewRefresher works with a record that was loaded already.
func NewRefresher(s Source, repo scan.Repository, record history.Record) *Refresher {
	r := &Refresher{
		Source: s, Repo: repo, Stored: record, read: s.Now(), unread: make(map[string]error), pending: make(map[string]pendingHistory),
	}
	if record.Now.IsZero() {
		r.Stored.Now = r.read
	}
	r.Record = r.Stored.Clone()
	return r
}

// Clock is the time by S3's clock.
func (r *Refresher) Clock() history.Stamp {
	return history.StampOf(r.Stored.Now.Add(r.Now().Sub(r.read)))
}

// Trust is how long the listing of the last visit is believed without asking ECR again: a tag may move at any moment.
const Trust = 5 * time.Minute

// IsFresh tells whether the record has a listing of all tags, or of some when there are any, that is younger than [Trust].
func (r *Refresher) IsFresh(tags []string) bool {
	age := r.Clock() - r.Record.Begin
	if r.Record.Begin == 0 || age >= history.Stamp(Trust/time.Second) || age <= -history.Stamp(Trust/time.Second) || r.Record.Gone > 0 {
		return false
	}
	if len(tags) == 0 {
		return r.Record.HasListedAll()
	}
	known := r.Record.Tags()
	return !slices.ContainsFunc(tags, func(tag string) bool { return !known[tag] }) // one that no visit looked for may be there by now
}

// HasListing tells whether anything is recorded that tags point to, all tags when there are none.
func (r *Refresher) HasListing(tags []string) bool {
	there := r.Record.PresentTags()
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
		if scan.CodeOf(err) == scan.RepositoryNotFound {
			r.Record.SetGone(now)
		}
		return err
	}
	r.Silent = nil
	r.Record.SetThere(now)
	r.takeListing(r.withKnownPlatforms(images), tags, now)
	return nil
}

func (r *Refresher) takeListing(images []scan.Image, tags []string, now history.Stamp) {
	met := make(map[string]bool, len(images))
	for _, i := range images {
		if met[i.Label()] = true; r.unread[i.Label()] == nil {
			r.Record.Observe(i, now)
		}
	}
	named := make(map[string]bool, len(tags))
	for _, tag := range tags {
		named[tag] = true
	}
	for label, i := range r.Record.Images {
		if !met[label] && (len(tags) == 0 || named[i.Tag]) {
			r.Record.Unobserve(label, now)
		}
	}
	there := r.Record.PresentTags()
	for _, tag := range tags {
		missing := scan.Image{Repository: r.Repo, Tag: tag, Kind: scan.Missing}
		if old, known := r.Record.Images[missing.Label()]; !there[tag] && (!known || old.Kind == scan.Missing) {
			r.Record.Observe(missing, now)
		}
	}
	if len(tags) == 0 {
		r.Record.Listed = now
	}
}

// withKnownPlatforms puts in the place of an index that could not be resolved just now the images that it had, if it is the same index or that
// is unknown.
func (r *Refresher) withKnownPlatforms(images []scan.Image) []scan.Image {
	broken := make(map[string]scan.Image)
	for _, i := range images {
		if i.Kind == scan.Index && scan.CodeOf(i.Err) == scan.Unavailable {
			broken[i.Tag] = i
		}
	}
	if len(broken) == 0 {
		return images
	}
	shown := slices.Clone(images)
	for _, i := range r.Record.Images {
		if index, is := broken[i.Tag]; is && i.Platform != "" && i.Kind != scan.Missing && (i.Index == "" || i.Index == index.Digest) {
			shown = slices.DeleteFunc(shown, func(s scan.Image) bool { return s.Tag == i.Tag && s.Kind == scan.Index })
			shown = append(shown, i.Image(r.Repo))
			r.unread[i.Label()] = index.Err
		}
	}
	return shown
}

// Images are those of the record that a tag points to, in the order of their labels.
func (r *Refresher) Images() []scan.Image {
	images := make([]scan.Image, 0, len(r.Record.Images))
	for _, i := range r.Record.Images {
		if i.Kind != scan.Missing {
			images = append(images, i.Image(r.Repo))
		}
	}
	slices.SortFunc(images, scan.CompareImages)
	return images
}

// Answer is what is known of an image: ECR's answer, or why there is none.
func (r *Refresher) Answer(image scan.Image) scan.Result {
	switch known := r.Record.Images[image.Label()]; {
	case image.Err != nil:
		return Unanswered(image, image.Err)
	case image.Kind == scan.Missing:
		return scan.Result{State: scan.NoSuchTag}
	case image.Kind != scan.PlainImage:
		return scan.Result{State: scan.NotScanned, Reason: string(image.Kind)}
	case known.Last.State == "" || r.isCertain(image):
		return Unanswered(image, cmp.Or(r.unread[image.Label()], error(scan.ErrNotVisited)))
	default:
		return known.Last.Result()
	}
}

// isCertain tells whether ECR's refusal to tell of an image says more than what was known before.
func (r *Refresher) isCertain(image scan.Image) bool {
	err := r.unread[image.Label()]
	return err != nil && Unanswered(image, err).State != scan.Unread
}

// Unanswered is what is known of an image when ECR answers with an error.
func Unanswered(image scan.Image, err error) scan.Result {
	switch code := scan.CodeOf(err); {
	case code == scan.ImageNotFound && image.Platform == "":
		return scan.Result{State: scan.NoSuchTag}
	case code == scan.ImageNotFound, code == scan.NotScannable:
		return scan.Result{State: scan.NotScanned, Reason: scan.MessageOf(err)}
	case code == scan.NoAccess, code == scan.RepositoryNotFound:
		return scan.Result{State: scan.Refused, Reason: scan.MessageOf(err)}
	}
	return scan.Result{State: scan.Unread, Reason: scan.MessageOf(err)}
}

// Unread is why the result of an image could not be read when ECR was asked; nil when it was, or was not asked for.
func (r *Refresher) Unread(label string) error { return r.unread[label] }

// Outage is why ECR did not answer for an image when it was asked; nil when it did, or was not asked.
func (r *Refresher) Outage(label string) error {
	err := cmp.Or(r.unread[label], r.Silent)
	if scan.CodeOf(err) != scan.Unavailable || scan.IsNotAsked(err) {
		return nil
	}
	return err
}
