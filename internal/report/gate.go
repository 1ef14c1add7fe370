package report

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// GateResult is the outcome of a gate for the images of a config.
type GateResult struct {
	Config scan.Config
	Max    scan.Severity
	// Images is the number of images that were checked.
	Images int
	// OldestScan is the completion time of the oldest last scan of an image; zero when there is none.
	OldestScan time.Time
	// Unjudged is the number of findings without a severity and without a score.
	Unjudged int
	// Suppressed is the number of findings that are not judged because suppressions set them aside, here or in Amazon Inspector.
	Suppressed int
	// Failures are the reasons why the gate fails, in the order of the images. The gate passes if there are none.
	Failures []GateFailure
}

// GateFailure is one reason why a gate fails.
type GateFailure struct {
	// Image is nil when the reason is about a whole repository. Repository is this repository, or the pattern of the config.
	Image      *scan.Image
	Repository scan.Repository
	// Reason is AboveMax, Stale, NoImages, a State other than Completed, or the Code of an error.
	Reason string
	// Detail explains a state or an error. It may be empty. It may contain text of the scanner, so output formats must escape it.
	Detail string
	// Counts are the findings above the maximum. At is the time of a stale scan; zero when unknown.
	Counts scan.Counts
	At     time.Time
	// Scored are the findings without a rating whose score is above the maximum.
	Scored []ScoredFindings
}

// ScoredFindings are findings of one severity that is no rating, such as UNDEFINED. Highest is the highest of their CVSS scores.
type ScoredFindings struct {
	Severity scan.Severity
	Count    int
	Highest  float64
}

// Reasons that are neither states nor error codes.
const (
	AboveMax = "above max"
	Stale    = "stale"
)

// EvaluateGate checks the last results of a config's images. The gate passes if every image has a completed scan that isn't stale, and no finding above
// max. An unknown severity is above every maximum. A finding without a rating (UNDEFINED, UNTRIAGED) is judged by its CVSS score. At least one report must
// have an image.
func EvaluateGate(reports []Report, max scan.Severity, now time.Time) GateResult {
	v := GateResult{Config: reports[0].Config, Max: max}
	for _, r := range reports {
		v.judge(r, now)
	}
	if v.Images == 0 && len(v.Failures) == 0 {
		v.Failures = []GateFailure{{Repository: reports[0].Repository, Reason: string(Join(reports).Condition().State)}}
	}
	return v
}

// judge adds the images of one repository.
func (v *GateResult) judge(r Report, now time.Time) {
	v.Images += len(r.Images)
	if r.Err != nil {
		v.Failures = append(v.Failures, GateFailure{Repository: r.Repository, Reason: string(scan.CodeOf(r.Err)), Detail: scan.MessageOf(r.Err)})
	}
	for i := range r.Images {
		item := &r.Images[i]
		image, result, condition := &item.Image, item.Result, item.Condition()
		v.Suppressed += item.AllSuppressed()
		if !condition.Current() {
			if condition.State == scan.Completed { // the digest that the tag points to now is unknown
				condition.State = scan.Unread
			}
			v.Failures = append(v.Failures, GateFailure{Image: image, Reason: string(condition.State), Detail: condition.Reason})
			if condition.State != scan.Incomplete || !condition.AsOf.IsZero() {
				continue
			}
		}
		if v.OldestScan.IsZero() || result.CompletedAt.Before(v.OldestScan) {
			v.OldestScan = result.CompletedAt
		}
		if item.Stale(now) {
			v.Failures = append(v.Failures, GateFailure{Image: image, Reason: Stale, At: item.CurrentAt()})
		}
		unscored, scored := judgeByScore(*item, v.Max)
		v.Unjudged += unscored[scan.Undefined] + unscored[scan.Untriaged]
		if above := countsAbove(unscored, v.Max); len(above)+len(scored) > 0 {
			v.Failures = append(v.Failures, GateFailure{Image: image, Reason: AboveMax, Counts: above, Scored: scored})
		}
	}
}

// judgeByScore judges the findings without a rating that have a score. It returns those above the maximum, and the counts of all other findings.
func judgeByScore(item Item, max scan.Severity) (others scan.Counts, above []ScoredFindings) {
	others = maps.Clone(item.Result.Counts)
	for _, severity := range []scan.Severity{scan.Undefined, scan.Untriaged} {
		one := ScoredFindings{Severity: severity}
		for _, score := range item.Scores[severity] {
			if scan.SeverityOfScore(score).Rank() < max.Rank() {
				one.Count++
				one.Highest = math.Max(one.Highest, score)
			}
		}
		if scored := len(item.Scores[severity]); scored > 0 {
			others[severity] -= min(scored, others[severity])
		}
		if one.Count > 0 {
			above = append(above, one)
		}
	}
	return others, above
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

// GateRequest is what a client asks of a gate.
type GateRequest struct {
	// Max is the highest severity that passes.
	Max scan.Severity
	// Repositories and Tags are those of the images that are checked; empty for all. Repositories are names.
	Repositories, Tags []string
	// IncludeSuppressed means that suppressions of this service are ignored.
	IncludeSuppressed bool
}

// Gate evaluates the gate of the config with this id, with current results from ECR.
// Errors: NotFound, Unavailable when the config can't be read. An error of ECR makes the gate fail.
func (r *Reader) Gate(ctx context.Context, id string, g GateRequest) (GateResult, error) {
	q := request{Reader: r, scope: requireFresh, rules: loadedRules{ignored: g.IncludeSuppressed}} // the image may have been pushed a moment ago
	q.process = q.readScores
	q.filter = scan.Filter{Repositories: scan.Distinct(g.Repositories), Tags: scan.Distinct(g.Tags)}
	reports, err := q.current(ctx, id)
	if err != nil {
		return GateResult{}, err
	}
	return EvaluateGate(reports, g.Max, r.Now()), nil
}

// Current returns the last result of each image of the config with this id. If tags are given, it returns only images with these tags. A tag that
// does not exist gets an item with the state NoSuchTag, because without it the tag would look clean. Errors: NotFound, Unavailable when the
// config can't be read.
func (r *Reader) Current(ctx context.Context, id string, tags []string) (Report, error) {
	q := request{Reader: r, scope: oneConfig, filter: scan.Filter{Tags: scan.Distinct(tags)}}
	q.process = q.subtract
	reports, err := q.current(ctx, id)
	if err != nil {
		return Report{}, err
	}
	return Join(reports), nil
}

// current returns the reports of a config, at least one.
func (q *request) current(ctx context.Context, id string) ([]Report, error) {
	config, err := q.Configs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	reports := q.buildReports(ctx, []scan.Config{config})
	if missing := missingTags(config.Repo(), q.filter.Tags, reports); len(missing) > 0 {
		last := &reports[len(reports)-1]
		last.Images = append(slices.Clip(last.Images), missing...)
	}
	return reports, nil
}

// readScores subtracts what is set aside, and sets the scores of the items that have findings without a rating. If the history of an image can't be read, its
// result is unknown.
func (q *request) readScores(ctx context.Context, w *watchedRepository, items []Item) {
	isWanted := func(item *Item) bool {
		counts := item.Result.Counts
		return w.isTouched(item) || item.Result.State == scan.Completed && counts[scan.Undefined]+counts[scan.Untriaged] > 0
	}
	q.readHistories(ctx, w.Refresher, items, isWanted, func(item *Item, d divided) { item.Scores = scoresOf(d.told) }, setUnread)
}

// scoresOf returns the CVSS scores above 0 of the present findings without a rating.
func scoresOf(h history.History) map[scan.Severity][]float64 {
	scores := make(map[scan.Severity][]float64)
	for _, f := range h.Findings {
		if score, known := f.BaseScore(); f.Status == history.Present && !f.Severity.IsRating() && known && score > 0 {
			scores[f.Severity] = append(scores[f.Severity], score)
		}
	}
	return scores
}

// missingTags returns an item for each of the tags that no image has. It returns none if a repository can't be read, because it can have the tag.
func missingTags(repo scan.Repository, tags []string, reports []Report) []Item {
	if slices.ContainsFunc(reports, func(r Report) bool { return r.Err != nil }) {
		return nil
	}
	var missing []Item
	for _, tag := range tags {
		hasTag := func(r Report) bool {
			return slices.ContainsFunc(r.Images, func(i Item) bool { return i.Image.Tag == tag })
		}
		if !slices.ContainsFunc(reports, hasTag) {
			missing = append(missing, Item{
				Image:  scan.Image{Repository: repo, Tag: tag, Kind: scan.Missing},
				Result: scan.Result{State: scan.NoSuchTag, Reason: "no image that the config watches has this tag"},
			})
		}
	}
	return missing
}
