package scan

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// StaleAfter is how old what is known of an image may be for a gate or a badge to go by it: twice the time in which it is scanned again.
const StaleAfter = 2 * Rescan

// Stale tells that the last scan was completed too long ago to go by, or at an unknown time, or that the answer is that old. It only says
// something of a completed scan.
func (r Result) Stale(now time.Time) bool {
	return now.Sub(r.knownAt()) > StaleAfter
}

// knownAt is the time of what is known: of the scan, or of the last good answer if that is older.
func (r Result) knownAt() time.Time {
	if !r.AsOf.IsZero() && r.AsOf.Before(r.CompletedAt) {
		return r.AsOf
	}
	return r.CompletedAt
}

// Verdict is what a gate says of the images of a config.
type Verdict struct {
	Config Config
	Max    Severity
	// Images is how many images were looked at.
	Images int
	// OldestScan is when the oldest of their last scans was completed; zero when there is none.
	OldestScan time.Time
	// Obstacles are the reasons not to pass, in the order of the images. Without any the verdict is good.
	Obstacles []Obstacle
}

// Obstacle is one reason not to pass a gate.
type Obstacle struct {
	// Image is nil when the reason is about the config as a whole.
	Image *Image
	// Reason is AboveMax, Stale, NoImages, a State other than Completed, or the Code of an error.
	Reason string
	// Detail explains a state or an error. It comes from outside as a result's Reason does; it may be empty.
	Detail string
	// Counts are the findings above the maximum, and At the time of what is stale, zero when unknown.
	Counts Counts
	At     time.Time
}

// Reasons of obstacles that are neither states nor codes.
const (
	AboveMax = "above max"
	Stale    = "stale"
	NoImages = "no images"
)

// Judge judges a config by the last results of its images: each must have a completed scan that isn't stale, and no finding above max. A
// severity that nobody has heard of is above every maximum.
func Judge(r Report[Result], max Severity, now time.Time) Verdict {
	v := Verdict{Config: r.Config, Max: max, Images: len(r.Images)}
	switch {
	case r.Err != nil:
		v.Obstacles = []Obstacle{{Reason: string(CodeOf(r.Err)), Detail: MessageOf(r.Err)}}
	case len(r.Images) == 0:
		v.Obstacles = []Obstacle{{Reason: NoImages}}
	}
	for i := range r.Images {
		image, result := &r.Images[i].Image, r.Images[i].Value
		if result.State != Completed {
			v.Obstacles = append(v.Obstacles, Obstacle{Image: image, Reason: string(cmp.Or(result.State, NotScanned)), Detail: result.Reason})
			continue
		}
		if !result.AsOf.IsZero() { // what the tag points to by now is unknown
			v.Obstacles = append(v.Obstacles, Obstacle{Image: image, Reason: string(Unread), Detail: result.Reason})
			continue
		}
		if v.OldestScan.IsZero() || result.CompletedAt.Before(v.OldestScan) {
			v.OldestScan = result.CompletedAt
		}
		if result.Stale(now) {
			v.Obstacles = append(v.Obstacles, Obstacle{Image: image, Reason: Stale, At: result.knownAt()})
		}
		if above := result.Counts.above(max); len(above) > 0 {
			v.Obstacles = append(v.Obstacles, Obstacle{Image: image, Reason: AboveMax, Counts: above})
		}
	}
	return v
}

func (c Counts) above(max Severity) Counts {
	above := Counts{}
	for s, n := range c {
		if n > 0 && (s.rank() < max.rank() || !slices.Contains(Severities(), s)) {
			above[s] = n
		}
	}
	return above
}

// Gate judges the config with this id as it is now; with tags, only its images of those. Errors: NotFound, Unavailable when the config can't
// be read. What can't be read of ECR is an obstacle.
func (w *Watch) Gate(ctx context.Context, id string, max Severity, tags []string) (Verdict, error) {
	books := w.readers()
	books.doubting = true // whoever asks may have pushed a moment ago
	r, err := w.current(ctx, books, id, tags)
	if err != nil {
		return Verdict{}, err
	}
	return Judge(r, max, w.Now()), nil
}

// Current is the last result of each image of the config with this id; with tags, of those images. A tag that none of them has is there too,
// so that nobody takes its absence for a good sign. Errors: NotFound, Unavailable when the config can't be read.
func (w *Watch) Current(ctx context.Context, id string, tags []string) (Report[Result], error) {
	return w.current(ctx, w.readers(), id, tags)
}

// current asks ECR for the images that the config watches, and not for the tags: what a reader makes up must not be remembered.
func (w *Watch) current(ctx context.Context, books *ledgers, id string, tags []string) (Report[Result], error) {
	config, err := w.Configs.Get(ctx, id)
	if err != nil {
		return Report[Result]{}, err
	}
	r := w.results(ctx, []Config{config}, Filter{Tags: distinct(tags)}, books)[0]
	if r.Err == nil {
		r.Images = append(r.Images, absent(config.Repo(), distinct(tags), r.Images)...)
	}
	return r, nil
}

// absent has an item for each of the tags that none of the images has.
func absent(repo Repository, tags []string, images []Item[Result]) []Item[Result] {
	var missing []Item[Result]
	for _, tag := range tags {
		if !slices.ContainsFunc(images, func(i Item[Result]) bool { return i.Image.Tag == tag }) {
			missing = append(missing, Item[Result]{
				Image: Image{Repository: repo, Tag: tag, Kind: Missing},
				Value: Result{State: NoSuchTag, Reason: "no image that the config watches has this tag"},
			})
		}
	}
	return missing
}
