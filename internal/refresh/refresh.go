package refresh

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// Registry reads from ECR. Its errors have the codes RepositoryNotFound, ImageNotFound, NoAccess, Unavailable or
// Internal.
type Registry interface {
	// Images returns the wanted images of a repository. For an image index it returns the images of the index. It omits
	// tags that do not exist. An index whose images can't be read is one image with an Err. An image without a tag has
	// its digest as the tag. The images of an index are listed without a tag only as parts of the index.
	Images(ctx context.Context, repo scan.Repository, wanted scan.Wanted) (scan.Listing, error)
	// ImagesOf returns the image with a digest, or the images of the index with this digest. It returns none if there is no such digest.
	ImagesOf(ctx context.Context, repo scan.Repository, digest string) ([]scan.Image, error)
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
	// Suppressions can be nil: then nothing is set aside.
	Suppressions SuppressionReader
	Now          func() time.Time
	Log          *slog.Logger
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
	ends
	// isLost is true if a history that the record names does not exist.
	isLost atomic.Bool
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

// Histories is like [Records], for the histories of the repository.
func (r *Refresher) Histories(ctx context.Context, names []string, use func(i int, h history.History, err error)) {
	r.Records.Histories(ctx, r.Repo, names, func(i int, h history.History, err error) {
		if scan.CodeOf(err) == scan.NotFound {
			r.isLost.Store(true)
		}
		use(i, h, err)
	})
}

// MaxReads is the maximum number of times that a request reads a repository that visits change meanwhile.
const MaxReads = 3

// IsOutdated reports whether a history was missing because a visit replaced or removed the record after it was loaded. The record must
// then be read again: a visit deletes histories that no record names.
func (r *Refresher) IsOutdated(ctx context.Context) bool {
	if !r.isLost.Load() {
		return false
	}
	now, err := r.Records.Load(ctx, r.Repo)
	return err == nil && now.Version != r.Stored.Version
}

// Clock returns the current time by S3's clock.
func (r *Refresher) Clock() history.Stamp {
	return history.StampOf(r.Stored.Now.Add(r.Now().Sub(r.loadedAt)))
}

// IsAsStored reports whether responses show of the repository what its stored record says, and nothing else.
func (r *Refresher) IsAsStored() bool {
	return r.Stored.Changed > 0 && r.ListError == nil && len(r.readErrors) == 0 && len(r.pending) == 0 && r.EndsAreStored() &&
		(!r.CalledECR || !history.HasVisibleChange(r.Stored, r.Record))
}

// ListingMaxAge is how long the listing of the last visit is used without calling ECR again. A tag can point to a new
// digest at any time.
const ListingMaxAge = 5 * time.Minute

// IsFresh reports whether the record has all images that the configs may watch, from a listing that is younger than
// [ListingMaxAge].
func (r *Refresher) IsFresh(configs []scan.Config) bool {
	age := r.Clock() - r.Record.Begin
	if r.Record.Begin == 0 || age >= history.Stamp(ListingMaxAge/time.Second) || age <= -history.Stamp(ListingMaxAge/time.Second) || r.Record.MissingSince > 0 {
		return false
	}
	return r.Record.Covers(configs) && !r.lacksTag(configs)
}

// lacksTag reports whether the configs only name tags and the record lacks one. A tag that no visit searched for can exist.
func (r *Refresher) lacksTag(configs []scan.Config) bool {
	names := scan.WantedBy(configs).Tags
	if len(names) == 0 {
		return false
	}
	known := r.Record.Tags()
	return slices.ContainsFunc(names, func(tag string) bool { return !known[tag] })
}

// HasListing reports whether the record has an image that a selection watches.
func (r *Refresher) HasListing(s scan.Selection) bool {
	for _, i := range r.Record.Images {
		if i.Kind != scan.Missing && s.Watches(i.Tag) {
			return true
		}
	}
	return false
}

// Images returns the recorded images that exist and that isWatched selects, sorted by tag and platform.
func (r *Refresher) Images(isWatched func(*history.ImageRecord) bool) []scan.Image {
	records := make([]*history.ImageRecord, 0, len(r.Record.Images))
	for _, i := range r.Record.Images {
		if i.Kind != scan.Missing && isWatched(i) {
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
