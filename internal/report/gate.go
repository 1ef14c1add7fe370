package report

import (
	"context"
	"slices"
	"time"

	"ecr-continuous-scan/internal/scan"
)

// Verdict is what a gate says of the images of a config.
type Verdict struct {
	Config scan.Config
	Max    scan.Severity
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
	Image *scan.Image
	// Reason is AboveMax, Stale, NoImages, a State other than Completed, or the Code of an error.
	Reason string
	// Detail explains a state or an error. It comes from outside as a result's Reason does; it may be empty.
	Detail string
	// Counts are the findings above the maximum, and At the time of what is stale, zero when unknown.
	Counts scan.Counts
	At     time.Time
}

// Reasons of obstacles that are neither states nor codes.
const (
	AboveMax = "above max"
	Stale    = "stale"
)

// Judge judges a config by the last results of its images: each must have a completed scan that isn't stale, and no finding above max. A
// severity that nobody has heard of is above every maximum.
func Judge(r Report, max scan.Severity, now time.Time) Verdict {
	v := Verdict{Config: r.Config, Max: max, Images: len(r.Images)}
	switch {
	case r.Err != nil:
		v.Obstacles = []Obstacle{{Reason: string(scan.CodeOf(r.Err)), Detail: scan.MessageOf(r.Err)}}
	case len(r.Images) == 0:
		v.Obstacles = []Obstacle{{Reason: string(NoImages)}}
	}
	for i := range r.Images {
		item := &r.Images[i]
		image, result, condition := &item.Image, item.Result, item.Condition()
		if !condition.Current() {
			if condition.State == scan.Completed { // what the tag points to by now is unknown
				condition.State = scan.Unread
			}
			v.Obstacles = append(v.Obstacles, Obstacle{Image: image, Reason: string(condition.State), Detail: condition.Reason})
			continue
		}
		if v.OldestScan.IsZero() || result.CompletedAt.Before(v.OldestScan) {
			v.OldestScan = result.CompletedAt
		}
		if item.Stale(now) {
			v.Obstacles = append(v.Obstacles, Obstacle{Image: image, Reason: Stale, At: item.knownAt()})
		}
		if above := countsAbove(result.Counts, max); len(above) > 0 {
			v.Obstacles = append(v.Obstacles, Obstacle{Image: image, Reason: AboveMax, Counts: above})
		}
	}
	return v
}

func countsAbove(c scan.Counts, max scan.Severity) scan.Counts {
	above := scan.Counts{}
	for s, n := range c {
		if n > 0 && (s.Rank() < max.Rank() || !slices.Contains(scan.Severities(), s)) {
			above[s] = n
		}
	}
	return above
}

// Gate judges the config with this id as it is now; with tags, only its images of those. Errors: NotFound, Unavailable when the config can't
// be read. What can't be read of ECR is an obstacle.
func (r *Reader) Gate(ctx context.Context, id string, max scan.Severity, tags []string) (Verdict, error) {
	report, err := r.current(ctx, id, tags, asOfNow) // whoever asks may have pushed a moment ago
	if err != nil {
		return Verdict{}, err
	}
	return Judge(report, max, r.Now()), nil
}

// Current is the last result of each image of the config with this id; with tags, of those images. A tag that none of them has is there too,
// so that nobody takes its absence for a good sign. Errors: NotFound, Unavailable when the config can't be read.
func (r *Reader) Current(ctx context.Context, id string, tags []string) (Report, error) {
	return r.current(ctx, id, tags, oneConfig)
}

func (r *Reader) current(ctx context.Context, id string, tags []string, of scope) (Report, error) {
	config, err := r.Configs.Get(ctx, id)
	if err != nil {
		return Report{}, err
	}
	q := request{Reader: r, scope: of, filter: scan.Filter{Tags: scan.Distinct(tags)}}
	report := q.answer(ctx, []scan.Config{config})[0]
	if report.Err == nil {
		report.Images = append(report.Images, absent(config.Repo(), scan.Distinct(tags), report.Images)...)
	}
	return report, nil
}

// absent has an item for each of the tags that none of the images has.
func absent(repo scan.Repository, tags []string, images []Item) []Item {
	var missing []Item
	for _, tag := range tags {
		if !slices.ContainsFunc(images, func(i Item) bool { return i.Image.Tag == tag }) {
			missing = append(missing, Item{
				Image:  scan.Image{Repository: repo, Tag: tag, Kind: scan.Missing},
				Result: scan.Result{State: scan.NoSuchTag, Reason: "no image that the config watches has this tag"},
			})
		}
	}
	return missing
}
