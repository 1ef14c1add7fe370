package report

import (
	"cmp"
	"fmt"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// StaleAfter is the maximum age of a scan that a gate or a badge accepts: twice the time between two scans of an image.
const StaleAfter = 2 * scan.RescanInterval

// Report is the result for one config and one of its repositories: either Err, or an item for each image.
type Report struct {
	Config scan.Config
	// Repository is the repository, or the pattern of the config if the report is about no single repository.
	Repository scan.Repository
	// Err is why the repository can't be read as a whole; Images is empty then.
	Err error
	// Images is sorted by tag and platform. Several reports may use the same slice, so it must not be changed.
	Images []Item
	// Artifacts is the number of tags, and of entries of indexes, that are left out because they are not images, such as
	// signatures.
	Artifacts int
	// NotWatched is the number of untagged images in the repository, if the config watches all tags and no untagged images. It is nil
	// if it is not known.
	NotWatched *int
	// Older is the number of images that are not watched because they are not among the newest, and Unused is the number of those that are not watched
	// because nobody uses them.
	Older, Unused int
	// isJoined means that the report is about several repositories that the pattern of the config matches.
	isJoined bool
	// configHasImages means that the config watches an image, in this repository or in another one, before filters apply.
	configHasImages bool
}

// Item is one image of a report: the result from ECR, and the recorded changes of its counts.
type Item struct {
	Image scan.Image
	// Result is the result that ECR returned.
	Result scan.Result
	// Changes are the changes of the counts in the last [history.Retention], oldest first. KnownSince is when the baseline scan was completed;
	// zero when there is none.
	Changes    []history.CountChange
	KnownSince time.Time
	// Suppressed is the number of present findings that suppressions set aside. They are not in the counts of Result and Changes, unless the request includes
	// them. The suppressions of Amazon Inspector are counted in Result.
	Suppressed int
	// Unsuppressed means that only the counts of the image are known, and that suppressions could match findings that are in them.
	Unsuppressed bool
	// Open are the present findings. Only a gate has them, and only of images that can fail it; nil if they were not read.
	Open []history.TrackedFinding
	// ReadAt is when ECR last returned a result for the image; zero when it never did.
	ReadAt time.Time
	// AsOf is set when ECR could not be read and Result is the recorded one: it is when ECR was last read. AsOfReason is the error of ECR.
	AsOf       time.Time
	AsOfReason string
}

// AllSuppressed returns the number of findings that are set aside, here or in Amazon Inspector.
func (i Item) AllSuppressed() int { return i.Suppressed + i.Result.Suppressed }

// ChangedSince returns the counts of new and of fixed findings after a time. Both are nil when nothing changed.
func (i Item) ChangedSince(t time.Time) (added, fixed scan.Counts) {
	if n := len(i.Changes); n == 0 || !i.Changes[n-1].At.After(t) {
		return nil, nil
	}
	added, fixed = scan.Counts{}, scan.Counts{}
	for _, c := range i.Changes {
		if c.At.After(t) {
			added.Add(c.New)
			fixed.Add(c.Fixed)
		}
	}
	return added, fixed
}

// Stale reports whether the result was current for the last time more than [StaleAfter] ago, or at an unknown time. It is meaningful only for
// completed scans.
func (i Item) Stale(now time.Time) bool { return now.Sub(i.CurrentAt()) > StaleAfter }

// CurrentAt returns when the result was current for the last time: when the scan was completed, or with continuous scanning when ECR returned the
// result. If ECR was last read before that, it returns that time.
func (i Item) CurrentAt() time.Time {
	at := i.Result.CompletedAt
	if i.Result.Continuous {
		at = i.ReadAt
	}
	if !i.AsOf.IsZero() && i.AsOf.Before(at) {
		return i.AsOf
	}
	return at
}

// Condition is the state of an image or of a whole config, with its reason. Each output format has its own words for it.
type Condition struct {
	// State is one of the states of an image. For a config it is NoImages, NoRepositories, NoSuchRepository, Refused or Unread, or empty if its images were read.
	State scan.State
	// Reason explains a state other than Completed. If AsOf is set, it explains why ECR could not be read. It may contain text of the scanner,
	// so output formats must escape it.
	Reason string
	// AsOf is when ECR was last read; zero when the result is current.
	AsOf time.Time
}

// NoImages is the state of a config whose repository has no image to watch. NoRepositories is the state of a config whose pattern matches no repository.
const (
	NoImages       scan.State = "no images"
	NoRepositories scan.State = "no repositories"
)

// Current reports whether the last scan is completed and the result is not an old recorded one.
func (c Condition) Current() bool { return c.State == scan.Completed && c.AsOf.IsZero() }

// Condition returns the condition of the image. An empty state is returned as NotScanned. If ECR returned fewer findings than it counts, the reason
// of a completed scan says so.
func (i Item) Condition() Condition {
	c := Condition{State: cmp.Or(i.Result.State, scan.NotScanned), Reason: i.Result.Reason, AsOf: i.AsOf}
	if c.State != scan.Completed {
		return c
	}
	c.Reason = i.AsOfReason
	if i.Result.Incomplete {
		c.State, c.Reason = scan.Incomplete, missingFindings(i.Result.Unlisted)
	} else if i.Result.Unlisted > 0 && c.AsOf.IsZero() {
		c.Reason = missingFindings(i.Result.Unlisted) + ": ECR counts more than it lists"
	}
	return c
}

// HasCounts reports whether the counts of the image are known. If ECR did not return all findings and counts none, there can be some.
func (i Item) HasCounts() bool {
	return i.Result.State == scan.Completed && (!i.Result.Incomplete || len(i.Result.Counts.Ordered()) > 0)
}

func missingFindings(n int) string {
	switch n {
	case 0:
		return "ECR did not return all findings"
	case 1:
		return "1 finding is missing"
	}
	return fmt.Sprintf("%d findings are missing", n)
}

// Condition returns why the config can't be read or has no images. It is the zero value if the config has images.
func (r Report) Condition() Condition {
	switch {
	case r.Err == nil && len(r.Images) > 0:
		return Condition{}
	case r.Err == nil && r.Config.ExcludesAll():
		return Condition{State: NoRepositories, Reason: "exclude leaves out all of them"}
	case r.Err == nil && r.Repository.IsPattern() && !r.isJoined:
		return Condition{State: NoRepositories}
	case r.Err == nil:
		return Condition{State: NoImages}
	}
	c := Condition{State: scan.Unread, Reason: scan.MessageOf(r.Err)}
	switch scan.CodeOf(r.Err) {
	case scan.RepositoryNotFound:
		c.State = scan.NoSuchRepository
	case scan.NoAccess:
		c.State = scan.Refused
	}
	return c
}
