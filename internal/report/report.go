package report

import (
	"cmp"
	"time"

	"ecr-continuous-scan/internal/history"
	"ecr-continuous-scan/internal/scan"
)

// StaleAfter is how old what is known of an image may be for a gate or a badge to go by it: twice the time in which it is scanned again.
const StaleAfter = 2 * scan.Rescan

// Report tells of one config: either Err, or an item for each of its images.
type Report struct {
	Config scan.Config
	// Err is why the config can't be read as a whole; Images is empty then.
	Err error
	// Images is sorted by tag and platform. Other reports may share it: it is to be read only.
	Images []Item
	// Artifacts is how many tags were left out since they are no images.
	Artifacts int
}

// Item is one image of a report: ECR's answer, and what is remembered of the image.
type Item struct {
	Image scan.Image
	// Result is ECR's answer and nothing else.
	Result scan.Result
	// Changes are the changes of the result's counts in the last MemoryTime, oldest first, and KnownSince is when the first recorded scan was
	// completed; zero when there is none.
	Changes    []history.CountChange
	KnownSince time.Time
	// AsOf is set when Result is the last answer known, since ECR does not answer now: it is when ECR gave it. AsOfReason is why ECR does not.
	AsOf       time.Time
	AsOfReason string
}

// ChangedSince sums up what changed after a time.
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

// Stale tells that the last scan was completed too long ago to go by, or at an unknown time, or that the answer is that old. It only says
// something of a completed scan.
func (i Item) Stale(now time.Time) bool { return now.Sub(i.knownAt()) > StaleAfter }

// knownAt is the time of what is known: of the scan, or of the last answer known if that is older.
func (i Item) knownAt() time.Time {
	if !i.AsOf.IsZero() && i.AsOf.Before(i.Result.CompletedAt) {
		return i.AsOf
	}
	return i.Result.CompletedAt
}

// Condition is how an image is, or a config as a whole, and why; each format has its own words for it.
type Condition struct {
	// State is one of the states of an image; of a config it is NoImages, NoSuchRepository, Refused or Unread, or empty when its images tell.
	State scan.State
	// Reason explains a state other than Completed, and with AsOf why there is no newer answer. It may hold the scanner's own words: escape it
	// where it lands.
	Reason string
	// AsOf is when the last answer known was given; zero when the answer is of now.
	AsOf time.Time
}

// NoImages is the state of a config that has nothing to watch.
const NoImages scan.State = "no images"

// Current tells that the last scan was completed and that ECR answers now.
func (c Condition) Current() bool { return c.State == scan.Completed && c.AsOf.IsZero() }

// Condition is how the image is. No state at all is that of an image that isn't scanned.
func (i Item) Condition() Condition {
	c := Condition{State: cmp.Or(i.Result.State, scan.NotScanned), Reason: i.Result.Reason, AsOf: i.AsOf}
	if c.State == scan.Completed {
		c.Reason = i.AsOfReason
	}
	return c
}

// Condition is why the config can't be read as a whole, or has nothing to read.
func (r Report) Condition() Condition {
	switch {
	case r.Err == nil && len(r.Images) > 0:
		return Condition{}
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
