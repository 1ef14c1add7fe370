package report

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/refresh"
	"ecr-continuous-scan/internal/scan"
	"ecr-continuous-scan/internal/suppress"
)

// GateRequest is what a client asks of a gate.
type GateRequest struct {
	// Max is the highest severity that passes.
	Max scan.Severity
	// Filter selects the images by repository, tag and digest. If Fixable is true, only findings with a fix fail the gate. If suppressed findings are included,
	// suppressions of this service are ignored.
	Filter scan.Filter
	// FirstSeen, if not zero, is the time from which on a finding must have been seen for the first time to fail the gate.
	FirstSeen time.Time
	// FailUnjudged means that a finding without a severity and without a score fails the gate.
	FailUnjudged bool
}

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
	// Reason is AboveMax, Unjudged, Stale, NoImages, a State other than Completed, or the Code of an error.
	Reason string
	// Detail explains a state or an error. It may be empty. It may contain text of the scanner, so output formats must escape it.
	Detail string
	// Counts are the findings above the maximum, or those that are not judged. At is the time of a stale scan; zero when unknown.
	Counts scan.Counts
	At     time.Time
	// Scored are the findings without a rating whose score is above the maximum.
	Scored []ScoredFindings
	// Findings are those of Counts and Scored, most severe first. Findings that ECR counts and does not list are not among them.
	Findings []scan.Finding
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
	Unjudged = "unjudged"
	Stale    = "stale"
)

// Count returns the number of findings that the reason is about.
func (f GateFailure) Count() int {
	n := 0
	for _, count := range f.Counts {
		n += count
	}
	for _, s := range f.Scored {
		n += s.Count
	}
	return n
}

// IsNotYet reports whether the gate fails only because results are missing that ECR may return soon.
func (v GateResult) IsNotYet() bool {
	return len(v.Failures) > 0 && !slices.ContainsFunc(v.Failures, func(f GateFailure) bool { return !f.isNotYet() })
}

func (f GateFailure) isNotYet() bool {
	switch scan.State(f.Reason) {
	case scan.InProgress, scan.Unread:
		return true
	case scan.NotScanned:
		return f.Detail == "" || f.Detail == notWatchedDetail || slices.Contains([]string{"pending", "result not ready"}, f.Detail)
	}
	return false
}

// EvaluateGate checks the last results of a config's images. The gate passes if every image has a completed scan that isn't stale, and no finding above
// the maximum. An unknown severity is above every maximum. A finding without a rating (UNDEFINED, UNTRIAGED) is judged by its CVSS score. At least one
// report must have an image.
func EvaluateGate(reports []Report, g GateRequest, now time.Time) GateResult {
	v := GateResult{Config: reports[0].Config, Max: g.Max}
	for _, r := range reports {
		v.add(r, g, now)
	}
	if v.Images == 0 && len(v.Failures) == 0 {
		v.Failures = []GateFailure{{Repository: reports[0].Repository, Reason: string(Join(reports).Condition().State)}}
	}
	return v
}

// add adds the images of one repository.
func (v *GateResult) add(r Report, g GateRequest, now time.Time) {
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
		above, unjudged := g.judge(item)
		v.Unjudged += unjudged.Counts[scan.Undefined] + unjudged.Counts[scan.Untriaged]
		if above.Image = image; len(above.Counts)+len(above.Scored) > 0 {
			v.Failures = append(v.Failures, above)
		}
		if unjudged.Image = image; g.FailUnjudged && len(unjudged.Counts) > 0 {
			v.Failures = append(v.Failures, unjudged)
		}
	}
}

// judge returns the findings of an image above the maximum, and those that can't be judged. Findings that are counted and not listed can't be selected, so
// they are judged by their severity.
func (g GateRequest) judge(item *Item) (above, unjudged GateFailure) {
	above, unjudged = GateFailure{Reason: AboveMax, Counts: scan.Counts{}}, GateFailure{Reason: Unjudged, Counts: scan.Counts{}}
	rest := scan.Counts{} // neither listed nor zero
	for s, n := range item.Result.Counts {
		if n > 0 {
			rest[s] = n
		}
	}
	for _, f := range item.Open {
		if rest[f.Severity]--; rest[f.Severity] <= 0 {
			delete(rest, f.Severity)
		}
		if !g.selects(f) {
			continue
		}
		score, isScored := f.BaseScore()
		isScored = isScored && score > 0 && isNoRating(f.Severity)
		if isNoRating(f.Severity) && !isScored {
			unjudged.Counts[f.Severity]++
			unjudged.Findings = append(unjudged.Findings, f.Finding)
		}
		switch {
		case isScored && scan.SeverityOfScore(score).Rank() < g.Max.Rank():
			above.addScored(f.Severity, score)
			above.Findings = append(above.Findings, f.Finding)
		case !isScored && g.isAbove(f.Severity):
			above.Counts[f.Severity]++
			above.Findings = append(above.Findings, f.Finding)
		}
	}
	for s, n := range rest {
		if g.isAbove(s) {
			above.Counts[s] += n
		}
		if isNoRating(s) {
			unjudged.Counts[s] += n
		}
	}
	slices.SortFunc(above.Findings, scan.CompareFindings)
	slices.SortFunc(unjudged.Findings, scan.CompareFindings)
	slices.SortFunc(above.Scored, func(a, b ScoredFindings) int { return scan.CompareSeverity(a.Severity, b.Severity) })
	return above, unjudged
}

// selects reports whether a finding can fail the gate.
func (g GateRequest) selects(f history.TrackedFinding) bool {
	return (!g.Filter.Fixable || f.Fixable()) && (g.FirstSeen.IsZero() || !f.Published.Time().Before(g.FirstSeen))
}

// isAbove reports whether a severity is above the maximum. An unknown one always is.
func (g GateRequest) isAbove(s scan.Severity) bool {
	return s.Rank() < g.Max.Rank() || !slices.Contains(scan.Severities(), s)
}

// isNoRating reports whether a severity says that nobody has rated the finding.
func isNoRating(s scan.Severity) bool { return s == scan.Undefined || s == scan.Untriaged }

// addScored adds a finding without a rating whose score is above the maximum.
func (f *GateFailure) addScored(s scan.Severity, score float64) {
	i := slices.IndexFunc(f.Scored, func(known ScoredFindings) bool { return known.Severity == s })
	if i < 0 {
		i, f.Scored = len(f.Scored), append(f.Scored, ScoredFindings{Severity: s})
	}
	f.Scored[i].Count++
	f.Scored[i].Highest = math.Max(f.Scored[i].Highest, score)
}

// Gate evaluates the gate of the config with this id, with current results from ECR. An image with a digest of the filter that the config does not
// watch is looked up in its repository. Errors: NotFound, Unavailable when the config can't be read. An error of ECR makes the gate fail.
func (r *Reader) Gate(ctx context.Context, id string, g GateRequest) (GateResult, error) {
	isIgnored := g.Filter.Suppressed == scan.IncludeSuppressed
	q := request{Reader: r, scope: requireFresh, rules: loadedRules{ignored: isIgnored}} // the image may have been pushed a moment ago
	q.process = func(ctx context.Context, w *watchedRepository, items []Item) { q.readOpen(ctx, w, items, g) }
	q.filter = scan.Filter{Repositories: scan.Distinct(g.Filter.Repositories), Tags: scan.Distinct(g.Filter.Tags), Digests: g.Filter.Digests}
	reports, err := q.current(ctx, id)
	if err != nil {
		return GateResult{}, err
	}
	q.lookUp(ctx, reports)
	return EvaluateGate(reports, g, r.Now()), nil
}

// readOpen subtracts what is set aside, and reads the findings of the images that can fail the gate. If the history of an image can't be read, its result is unknown.
func (q *request) readOpen(ctx context.Context, w *watchedRepository, items []Item, g GateRequest) {
	canFail := func(item *Item) bool {
		isAny := false
		for s, n := range item.Result.Counts {
			isAny = isAny || n > 0 && (g.isAbove(s) || isNoRating(s))
		}
		return w.isTouched(item) || item.Result.State == scan.Completed && isAny
	}
	q.readHistories(ctx, w.Refresher, items, canFail, func(item *Item, d divided) {
		item.Open = slices.DeleteFunc(slices.Clone(d.told.Findings), func(f history.TrackedFinding) bool { return f.Status != history.Present })
	}, setUnread)
}

// notWatchedDetail says why the service does not start the scan of an image.
const notWatchedDetail = "the config does not watch this image, so only a scan on push or Amazon Inspector scans it"

// lookUp adds an item for each image with one of the digests that the config does not watch. If the config has several repositories, nobody knows in
// which one the image is.
func (q *request) lookUp(ctx context.Context, reports []Report) {
	callCtx, cancel := refresh.WithCallDeadline(ctx)
	defer cancel()
	q.callCtx = callCtx
	last := &reports[len(reports)-1]
	for _, digest := range scan.Distinct(q.filter.Digests) {
		isWatched := func(i Item) bool { return i.Image.Digest == digest || i.Image.Index == digest }
		if slices.ContainsFunc(reports, func(r Report) bool { return r.Err != nil || slices.ContainsFunc(r.Images, isWatched) }) {
			continue
		}
		missing := Item{Image: scan.Image{Repository: last.Repository, Tag: digest, Digest: digest, Kind: scan.PlainImage}}
		missing.Result = scan.Result{State: scan.State(scan.ImageNotFound), Reason: "the repository has no image with this digest"}
		items := []Item{missing}
		if len(reports) > 1 || strings.Contains(last.Repository.Name, "*") {
			items[0].Result.Reason = "no watched image has this digest; for another one, name its repository"
		} else if images, err := q.Registry.ImagesOf(q.callCtx, last.Repository, digest); err != nil {
			items[0].Result = refresh.ResultOfError(missing.Image, err)
		} else if len(images) > 0 {
			items = nil
			for _, image := range images {
				items = append(items, q.lookedUp(ctx, image))
			}
		}
		last.Images = append(slices.Clip(last.Images), items...)
	}
}

// lookedUp returns an item with what ECR knows of an image without a record.
func (q *request) lookedUp(ctx context.Context, image scan.Image) Item {
	item := Item{Image: image, ReadAt: q.Now()}
	if image.Err == nil && image.Kind != scan.PlainImage {
		item.Result = scan.Result{State: scan.NotScanned, Reason: string(image.Kind)}
		return item
	}
	err := image.Err
	if err == nil {
		item.Result, err = q.Registry.Findings(q.callCtx, image.Repository, image.Digest)
	}
	if err != nil {
		refresh.LogImage(ctx, q.Log, "could not read the scan result of an image", image, err)
		item.Result = refresh.ResultOfError(image, err)
	}
	if item.Result.State == scan.NotScanned && item.Result.Reason == "" {
		item.Result.Reason = notWatchedDetail
	}
	var suppressions suppress.Scope
	if q.rules.Rules != nil {
		suppressions = q.rules.In(image.Repository)
	}
	item.Result.Counts = maps.Clone(item.Result.Counts)
	for _, f := range item.Result.Findings {
		if suppressions.Of(&image, &f, item.ReadAt) != nil {
			item.Suppressed++
			item.Result.Counts[f.Severity]--
			continue
		}
		item.Open = append(item.Open, history.TrackedFinding{Finding: f, Published: history.StampOf(item.Result.CompletedAt)})
	}
	return item
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
