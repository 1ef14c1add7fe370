package report

import (
	"ecr-continuous-scan/internal/scan"
)

// PageSize is the maximum number of entries on a page of a feed. Feed readers reject feeds of tens of megabytes.
const PageSize = 500

// MaxPages is the maximum number of pages of a feed. To show a page, the findings of all pages up to it are kept in memory. Findings after the
// last page are only counted; a filter makes them visible.
const MaxPages = 40

// View selects which findings a feed shows, and how it shows them.
type View struct {
	Filter scan.Filter
	// ByVulnerability groups the findings: one entry for each vulnerability in a package, for all images of a repository.
	ByVulnerability bool
	// Page is the number of the page, starting at 1; 0 means 1.
	Page int
	// AllOpen leaves out resolved findings, and puts the first MaxPages * PageSize findings on one page, most severe first.
	AllOpen bool
	// Order is how the list is sorted. Reverse reverses a named order. Neither changes the id of the feed.
	Order   Order
	Reverse bool
}

func (v View) page() int { return max(v.Page, 1) }

// pageSize returns the maximum number of entries on a page.
func (v View) pageSize() int {
	if v.AllOpen {
		return MaxPages * PageSize
	}
	return PageSize
}

// parts returns the properties of the view that are part of the feed's id. The page and the order are not.
func (v View) parts() []string {
	if v.ByVulnerability {
		return append([]string{"by=vulnerability"}, v.Filter.IDParts()...)
	}
	return v.Filter.IDParts()
}

// Order is how a list of findings is sorted.
type Order string

// The orders. Resolved findings are always last. FeedOrder puts the most severe findings on the first page, and sorts each page by date, newest
// first.
const (
	FeedOrder   Order = ""
	BySeverity  Order = "severity" // most severe first
	ByName      Order = "cve"
	ByPackage   Order = "package"
	ByImage     Order = "image"
	ByFix       Order = "fix"  // with a fix first
	ByFirstSeen Order = "seen" // newest first
)

// Orders returns the named orders, which a client can request.
func Orders() []Order {
	return []Order{BySeverity, ByName, ByPackage, ByImage, ByFix, ByFirstSeen}
}
