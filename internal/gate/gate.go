// Package gate decides whether the images of a config pass in a pipeline. It reads nothing: package report collects what it judges, and package render
// writes the result.
package gate

import (
	"math"
	"slices"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// Request is what a client asks of a gate.
type Request struct {
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

// Result is the outcome of a gate for the images of a config.
type Result struct {
	Config scan.Config
	Max    scan.Severity
	// Images is the number of images that were checked.
	Images int
	// OldestScan is the completion time of the oldest last scan of an image; zero when there is none.
	OldestScan time.Time
	// Unjudged is the number of findings without a severity and without a score.
	Unjudged int
	// Ignored is the number of findings above the maximum that do not fail the gate because the request selects others: with a fix, or new ones.
	Ignored int
	// Suppressed is the number of findings that are not judged because suppressions set them aside, here or in Amazon Inspector.
	Suppressed int
	// Failures are the reasons why the gate fails, in the order of the images. The gate passes if there are none.
	Failures []Failure
}

// Failure is one reason why a gate fails.
type Failure struct {
	// Image is nil when the reason is about a whole repository. Repository is this repository, or the pattern of the config.
	Image      *scan.Image
	Repository scan.Repository
	// Reason is AboveMax, Unjudged, Stale, NoImages, a State other than Completed, or the Code of an error.
	Reason string
	// Detail explains a state or an error. It may be empty. It may contain text of the scanner, so output formats must escape it.
	Detail string
	// Empty are the reports without an image, if this is the reason.
	Empty []report.Report
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
func (f Failure) Count() int {
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
func (v Result) IsNotYet() bool {
	return len(v.Failures) > 0 && !slices.ContainsFunc(v.Failures, func(f Failure) bool { return !f.isNotYet() })
}

func (f Failure) isNotYet() bool {
	switch scan.State(f.Reason) {
	case scan.InProgress, scan.Unread:
		return true
	case scan.NotScanned:
		return f.Detail == "" || f.Detail == report.NotWatchedDetail || slices.Contains([]string{"pending", "result not ready"}, f.Detail)
	}
	return false
}

// Evaluate checks the last results of a config's images. The gate passes if every image has a completed scan that isn't stale, and no finding above
// the maximum. An unknown severity is above every maximum. A finding without a rating (UNDEFINED, UNTRIAGED) is judged by its CVSS score. At least one
// report must have an image.
func Evaluate(reports []report.Report, g Request, now time.Time) Result {
	v := Result{Config: reports[0].Config, Max: g.Max}
	for _, r := range reports {
		v.add(r, g, now)
	}
	if v.Images == 0 && len(v.Failures) == 0 {
		all := report.Join(reports)
		v.Failures = []Failure{noImages(all, reports)}
	}
	return v
}

// noImages returns the failure of r, which has no image. The empty reports say why.
func noImages(r report.Report, empty []report.Report) Failure {
	c := r.Condition()
	return Failure{Repository: r.Repository, Reason: string(c.State), Detail: c.Reason, Empty: empty}
}

// add adds the images of one repository. Of several repositories that the request names, each must have an image.
func (v *Result) add(r report.Report, g Request, now time.Time) {
	v.Images += len(r.Images)
	if r.Err != nil {
		v.Failures = append(v.Failures, Failure{Repository: r.Repository, Reason: string(scan.CodeOf(r.Err)), Detail: scan.MessageOf(r.Err)})
	}
	if r.Err == nil && len(r.Images) == 0 && len(g.Filter.Repositories) > 1 {
		v.Failures = append(v.Failures, noImages(r, []report.Report{r}))
	}
	for i := range r.Images {
		item := &r.Images[i]
		image, result, condition := &item.Image, item.Result, item.Condition()
		v.Suppressed += item.AllSuppressed()
		if !condition.Current() {
			if condition.State == scan.Completed { // the digest that the tag points to now is unknown
				condition.State = scan.Unread
			}
			v.Failures = append(v.Failures, Failure{Image: image, Reason: string(condition.State), Detail: condition.Reason})
			if condition.State != scan.Incomplete || !condition.AsOf.IsZero() {
				continue
			}
		}
		if v.OldestScan.IsZero() || result.CompletedAt.Before(v.OldestScan) {
			v.OldestScan = result.CompletedAt
		}
		if item.Stale(now) {
			v.Failures = append(v.Failures, Failure{Image: image, Reason: Stale, At: item.CurrentAt()})
		}
		above, unjudged, ignored := g.judge(item)
		v.Ignored += ignored
		v.Unjudged += unjudged.Counts[scan.Undefined] + unjudged.Counts[scan.Untriaged]
		if above.Image = image; len(above.Counts)+len(above.Scored) > 0 {
			v.Failures = append(v.Failures, above)
		}
		if unjudged.Image = image; g.FailUnjudged && len(unjudged.Counts) > 0 {
			v.Failures = append(v.Failures, unjudged)
		}
	}
}

// judge returns the findings of an image above the maximum, those that can't be judged, and the number of those above the maximum that the request does not
// select. Findings that are counted and not listed can't be selected, so
// they are judged by their severity.
func (g Request) judge(item *report.Item) (above, unjudged Failure, ignored int) {
	above, unjudged = Failure{Reason: AboveMax, Counts: scan.Counts{}}, Failure{Reason: Unjudged, Counts: scan.Counts{}}
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
		score, isScored := f.BaseScore()
		isScored = isScored && score > 0 && isNoRating(f.Severity)
		isAbove := !isScored && g.isAbove(f.Severity) || isScored && scan.SeverityOfScore(score).Rank() < g.Max.Rank()
		if !g.selects(f) {
			if isAbove {
				ignored++
			}
			continue
		}
		if isNoRating(f.Severity) && !isScored {
			unjudged.Counts[f.Severity]++
			unjudged.Findings = append(unjudged.Findings, f.Finding)
		}
		switch {
		case isAbove && isScored:
			above.addScored(f.Severity, score)
			above.Findings = append(above.Findings, f.Finding)
		case isAbove:
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
	return above, unjudged, ignored
}

// selects reports whether a finding can fail the gate.
func (g Request) selects(f history.TrackedFinding) bool {
	return (!g.Filter.Fixable || f.Fixable()) && (g.FirstSeen.IsZero() || !f.Published.Time().Before(g.FirstSeen))
}

// CanFail reports whether an image with these counts can fail the gate, so that its findings are needed.
func (g Request) CanFail(counts scan.Counts) bool {
	for s, n := range counts {
		if n > 0 && (g.isAbove(s) || isNoRating(s)) {
			return true
		}
	}
	return false
}

// isAbove reports whether a severity is above the maximum. An unknown one always is.
func (g Request) isAbove(s scan.Severity) bool {
	return s.Rank() < g.Max.Rank() || !slices.Contains(scan.Severities(), s)
}

// isNoRating reports whether a severity says that nobody has rated the finding.
func isNoRating(s scan.Severity) bool { return s == scan.Undefined || s == scan.Untriaged }

// addScored adds a finding without a rating whose score is above the maximum.
func (f *Failure) addScored(s scan.Severity, score float64) {
	i := slices.IndexFunc(f.Scored, func(known ScoredFindings) bool { return known.Severity == s })
	if i < 0 {
		i, f.Scored = len(f.Scored), append(f.Scored, ScoredFindings{Severity: s})
	}
	f.Scored[i].Count++
	f.Scored[i].Highest = math.Max(f.Scored[i].Highest, score)
}
