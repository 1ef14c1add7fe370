package refresh

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// Registry reads from ECR. Its errors have the codes RepositoryNotFound, ImageNotFound, NoAccess, Unavailable or
// Internal.
type Registry interface {
	// Images returns the images that the tags of a repository point to. It reads all tags when tags is empty. For an
	// image index it returns the images of the index. It omits tags that do not exist. An index whose images can't be
	// read is one image with an Err.
	Images(ctx context.Context, repo scan.Repository, tags []string) (scan.Listing, error)
	// Findings returns the result of the last scan of an image with all findings, merged and sorted as by
	// [scan.MergeFindings]. For an image that was never scanned it returns a result with the state NotScanned.
	Findings(ctx context.Context, repo scan.Repository, digest string) (scan.Result, error)
}

// Records reads stored records. Its errors have the code Unavailable unless a method documents others.
type Records interface {
	// Load returns the record of a repository, or an empty one when none is stored. Callers must not change it,
	// because it can be returned to several callers. An error that wraps [history.ErrLaterFormat] means that a later
	// version of the service wrote the record.
	Load(ctx context.Context, repo scan.Repository) (history.Record, error)
	// Histories reads stored histories, and calls use with each one and the index of its name. Calls of use are
	// concurrent. Errors: also NotFound when the history does not exist or is invalid.
	Histories(ctx context.Context, repo scan.Repository, names []string, use func(i int, h history.History, err error))
	// RepositoriesIn returns the repositories of a registry that have a record or a history and whose name starts with
	// head.
	RepositoriesIn(ctx context.Context, in scan.Registry, head string) ([]scan.Repository, error)
	// Patterns returns what the schedules found for the patterns of configs.
	Patterns(ctx context.Context) (history.Patterns, error)
}

// Source reads records and results. Its fields must not change after the first use. Its methods are safe for
// concurrent use.
type Source struct {
	Registry Registry
	Records  Records
	Now      func() time.Time
	Log      *slog.Logger
}

// Refresher updates the record of one repository in memory. Its methods are not safe for concurrent use.
type Refresher struct {
	Source
	Repo scan.Repository
	// Record is the updated record. Stored is the record as it is stored.
	Record, Stored history.Record
	// CalledECR means that Record can contain data from ECR that is not stored.
	CalledECR bool
	// loadedAt is when the record was loaded, by the local clock. It is used only to measure durations.
	loadedAt time.Time
	// ListError is the error of the last call that listed the repository, or nil.
	ListError error
	// readErrors are the errors of results that could not be read, by the label of the image.
	readErrors map[string]error
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

// NewRefresher returns a Refresher for a loaded record.
func NewRefresher(s Source, repo scan.Repository, record history.Record) *Refresher {
	r := &Refresher{
		Source: s, Repo: repo, Stored: record, loadedAt: s.Now(), readErrors: make(map[string]error), pending: make(map[string]pendingHistory),
	}
	if record.Now.IsZero() {
		r.Stored.Now = r.loadedAt
	}
	r.Record = r.Stored.Clone()
	return r
}

// Clock returns the current time by S3's clock.
func (r *Refresher) Clock() history.Stamp {
	return history.StampOf(r.Stored.Now.Add(r.Now().Sub(r.loadedAt)))
}

// IsAsStored reports whether responses show of the repository what its stored record says, and nothing else.
func (r *Refresher) IsAsStored() bool {
	return r.Stored.Changed > 0 && r.ListError == nil && len(r.readErrors) == 0 && len(r.pending) == 0 &&
		(!r.CalledECR || !history.HasVisibleChange(r.Stored, r.Record))
}

// ListingMaxAge is how long the listing of the last visit is used without calling ECR again. A tag can point to a new
// digest at any time.
const ListingMaxAge = 5 * time.Minute

// IsFresh reports whether the record has a listing of the tags that is younger than [ListingMaxAge]. Without tags it
// must be a listing of all tags.
func (r *Refresher) IsFresh(tags []string) bool {
	age := r.Clock() - r.Record.Begin
	if r.Record.Begin == 0 || age >= history.Stamp(ListingMaxAge/time.Second) || age <= -history.Stamp(ListingMaxAge/time.Second) || r.Record.MissingSince > 0 {
		return false
	}
	if len(tags) == 0 {
		return r.Record.HasListedAll()
	}
	known := r.Record.Tags()
	return !slices.ContainsFunc(tags, func(tag string) bool { return !known[tag] }) // a tag that no visit searched for can exist
}

// HasListing reports whether the record has an image with one of the tags. Without tags, any image counts.
func (r *Refresher) HasListing(tags []string) bool {
	present := r.Record.PresentTags()
	return len(tags) == 0 && len(present) > 0 || slices.ContainsFunc(tags, func(tag string) bool { return present[tag] })
}

// List reads from ECR the images of the tags, or of all tags when tags is empty, and updates the record. Images that
// ECR does not list are marked as missing. Errors: those of [Registry]. On an error, the record changes only if the
// repository does not exist.
func (r *Refresher) List(ctx context.Context, tags []string) error {
	r.CalledECR = true
	listing, err := r.Registry.Images(ctx, r.Repo, tags)
	if err == nil && listing.IsPaged {
		listing.Images, err = r.withMovedTags(ctx, listing.Images)
	}
	now := r.Clock()
	if err != nil {
		r.ListError = err
		if scan.CodeOf(err) == scan.RepositoryNotFound {
			r.Record.SetMissing(now)
		}
		return err
	}
	r.ListError = nil
	r.Record.SetPresent(now)
	r.recordListing(r.withKnownImages(r.withKnownKinds(r.Record.Identify(listing.Images))), tags, now)
	if len(tags) == 0 {
		r.Record.NotWatched = listing.NotWatched
	}
	return nil
}

// maxMovedTags is the maximum number of tags that are looked up again. If more are missing, they were deleted.
const maxMovedTags = 16

// withMovedTags adds the images of recorded tags that no page of a listing has. Such a tag can have moved to an image of an
// earlier page while the pages were read.
func (r *Refresher) withMovedTags(ctx context.Context, images []scan.Image) ([]scan.Image, error) {
	missing := r.Record.PresentTags()
	for _, i := range images {
		delete(missing, i.Tag)
	}
	if len(missing) == 0 || len(missing) > maxMovedTags {
		return images, nil
	}
	found, err := r.Registry.Images(ctx, r.Repo, slices.Sorted(maps.Keys(missing)))
	return append(images, found.Images...), err
}

func (r *Refresher) recordListing(images []scan.Image, tags []string, now history.Stamp) {
	listed := make(map[string]bool, len(images))
	for _, i := range images {
		if listed[i.Label()] = true; r.readErrors[i.Label()] == nil {
			r.Record.UpdateImage(i, len(tags) == 0, now)
		}
	}
	requested := make(map[string]bool, len(tags))
	for _, tag := range tags {
		requested[tag] = true
	}
	missing := make(map[string][]string) // labels by tag
	for label, i := range r.Record.Images {
		if !listed[label] && (len(tags) == 0 || requested[i.Tag]) {
			missing[i.Tag] = append(missing[i.Tag], label)
		}
	}
	r.recordMissing(missing, images, now)
	present := r.Record.PresentTags()
	for _, tag := range tags {
		image := scan.Image{Repository: r.Repo, Tag: tag, Kind: scan.Missing}
		if old, known := r.Record.Images[image.Label()]; !present[tag] && (!known || old.Kind == scan.Missing) {
			r.Record.UpdateImage(image, false, now)
		}
	}
	if len(tags) == 0 {
		r.Record.Listed = now
	}
}

// recordMissing marks images as missing that were not listed. images are those that were.
func (r *Refresher) recordMissing(missing map[string][]string, images []scan.Image, now history.Stamp) {
	instead := make(map[string][]scan.Image, len(missing))
	for _, i := range images {
		if len(missing[i.Tag]) > 0 {
			instead[i.Tag] = append(instead[i.Tag], i)
		}
	}
	for tag, labels := range missing {
		for _, label := range labels {
			r.Record.SetImageMissing(label, instead[tag], now)
		}
	}
}

// withKnownKinds replaces each tag whose kind can't be read now with the recorded image, if it has the same digest.
func (r *Refresher) withKnownKinds(images []scan.Image) []scan.Image {
	for n, i := range images {
		if i.Kind != scan.PlainImage || i.Err == nil {
			continue
		}
		if known := r.Record.Image(i.Label()); known.Digest == i.Digest {
			images[n] = known.Image(r.Repo)
		}
	}
	return images
}

// withKnownImages replaces each index that is temporarily unavailable with its recorded images. If the recorded images
// are not all of the index, it keeps the index too.
func (r *Refresher) withKnownImages(images []scan.Image) []scan.Image {
	unavailable, listed := make(map[string]scan.Image), make(map[string]bool, len(images))
	for _, i := range images {
		if listed[i.Label()] = true; i.Kind == scan.Index && scan.CodeOf(i.Err) == scan.Unavailable {
			unavailable[i.Tag] = i
		}
	}
	if len(unavailable) == 0 {
		return images
	}
	known, isPartial := make(map[string]bool), make(map[string]bool)
	replaced := slices.Clone(images)
	for label, i := range r.Record.Images {
		index, ok := unavailable[i.Tag]
		switch {
		case ok && i.Kind == scan.Index && i.Digest == index.Digest:
			isPartial[i.Tag] = true
			continue
		case !ok || i.Kind != scan.PlainImage || i.Index != index.Digest:
			continue
		case !listed[label]:
			replaced = append(replaced, i.Image(r.Repo))
			r.readErrors[label] = index.Err
		}
		known[i.Tag] = true
	}
	return slices.DeleteFunc(replaced, func(i scan.Image) bool {
		index, ok := unavailable[i.Tag]
		return ok && i.Label() == index.Label() && known[i.Tag] && !isPartial[i.Tag]
	})
}

// Images returns the recorded images that exist, sorted by tag and platform.
func (r *Refresher) Images() []scan.Image {
	records := make([]*history.ImageRecord, 0, len(r.Record.Images))
	for _, i := range r.Record.Images {
		if i.Kind != scan.Missing {
			records = append(records, i)
		}
	}
	slices.SortFunc(records, func(a, b *history.ImageRecord) int {
		return cmp.Or(strings.Compare(a.Tag, b.Tag), strings.Compare(a.Platform, b.Platform))
	})
	images := make([]scan.Image, len(records))
	for n, i := range records {
		images[n] = i.Image(r.Repo)
	}
	return images
}

// Answer returns ECR's last answer for an image, or a result that explains why there is none.
func (r *Refresher) Answer(image scan.Image) scan.Result {
	switch known := r.Record.Image(image.Label()); {
	case image.Err != nil:
		return ResultOfError(image, image.Err)
	case image.Kind == scan.Missing:
		return scan.Result{State: scan.NoSuchTag}
	case image.Kind != scan.PlainImage:
		return scan.Result{State: scan.NotScanned, Reason: string(image.Kind)}
	case known.Last.State == "" || r.overridesRecord(image):
		return ResultOfError(image, cmp.Or(r.readErrors[image.Label()], error(scan.ErrNotVisited)))
	default:
		return r.withCoverage(known.Last.Result())
	}
}

// NotCovered is the reason why enhanced scanning does not scan an image. No later visit changes this.
const NotCovered = "no filter of enhanced scanning covers the repository"

// withCoverage adds the reason to a result without a scan, if the last visit found that enhanced scanning ignores the repository.
func (r *Refresher) withCoverage(result scan.Result) scan.Result {
	if result.State == scan.NotScanned && result.Reason == "" && r.Record.NotCovered {
		result.Reason = NotCovered
	}
	return result
}

// overridesRecord reports whether the last read error of an image replaces its recorded answer. A temporary error
// does not.
func (r *Refresher) overridesRecord(image scan.Image) bool {
	err := r.readErrors[image.Label()]
	return err != nil && ResultOfError(image, err).State != scan.Unread
}

// ResultOfError returns the result to show for an image when ECR returns err.
func ResultOfError(image scan.Image, err error) scan.Result {
	switch code := scan.CodeOf(err); {
	case code == scan.ImageNotFound && image.Index == "" && image.Platform == "":
		return scan.Result{State: scan.NoSuchTag}
	case code == scan.ImageNotFound, code == scan.NotScannable:
		return scan.Result{State: scan.NotScanned, Reason: scan.MessageOf(err)}
	case code == scan.NoAccess, code == scan.RepositoryNotFound:
		return scan.Result{State: scan.Refused, Reason: scan.MessageOf(err)}
	}
	return scan.Result{State: scan.Unread, Reason: scan.MessageOf(err)}
}

// ReadError returns the error of the last call that read the image's result, or nil.
func (r *Refresher) ReadError(label string) error { return r.readErrors[label] }

// Outage returns the error if ECR was called for an image and was unavailable, or nil.
func (r *Refresher) Outage(label string) error {
	err := cmp.Or(r.readErrors[label], r.ListError)
	if scan.CodeOf(err) != scan.Unavailable || scan.IsNotVisited(err) {
		return nil
	}
	return err
}
