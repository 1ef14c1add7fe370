package report

import (
	"ecr-continuous-scan/internal/scan"
)

// PageSize is how many entries a page of a feed has at most: readers refuse feeds of tens of megabytes.
const PageSize = 500

// MaxPages is how many pages a feed has at most. To show one, the findings of all pages up to it are held in memory; what lies behind the
// last is counted, and can be reached with a filter.
const MaxPages = 40

// View is what a feed shows of the findings, and how.
type View struct {
	Filter scan.Filter
	// ByVulnerability makes one entry of a vulnerability in a package for all images of a repository, instead of one for each.
	ByVulnerability bool
	// Page counts from 1, which is the page that readers see; 0 means 1.
	Page int
	// Order is how the list is sorted, and Reverse turns an order that has a name around. Neither makes another feed of it.
	Order   Order
	Reverse bool
}

func (v View) page() int { return max(v.Page, 1) }

// parts are what makes the feed of one view another feed than that of the plain view. The page does not.
func (v View) parts() []string {
	if v.ByVulnerability {
		return append([]string{"by=vulnerability"}, v.Filter.Parts()...)
	}
	return v.Filter.Parts()
}

// Order is how a list of findings is sorted.
type Order string

// The orders; in each of them what is resolved comes last. That of a feed needs no name: the worst findings are on its first page, and within a page the newest come first.
const (
	FeedOrder   Order = ""
	BySeverity  Order = "severity" // worst first
	ByName      Order = "cve"
	ByPackage   Order = "package"
	ByImage     Order = "image"
	ByFix       Order = "fix"  // with a fix first
	ByFirstSeen Order = "seen" // newest first
)

// Orders lists the orders that have a name.
func Orders() []Order {
	return []Order{BySeverity, ByName, ByPackage, ByImage, ByFix, ByFirstSeen}
}
