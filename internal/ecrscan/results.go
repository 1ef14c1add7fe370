package ecrscan

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"ecr-continuous-scan/internal/scan"
)

// maxPages is the maximum number of pages of findings that are read of one image.
const maxPages = 100

// Findings implements [refresh.Registry]. Each page contains a part of the findings. ECR's documentation does not say which other
// data a page after the first repeats.
func (c *Client) Findings(ctx context.Context, repo scan.Repository, digest string) (scan.Result, error) {
	var a answer
	var token *string
	for pages := 1; ; pages++ {
		page, err := c.findingsPage(ctx, repo, digest, pageSize, token)
		if err != nil {
			return resultOfError(err)
		}
		if pages == 1 {
			a.status, a.description = statusOf(page)
		} else if status, _ := statusOf(page); status == "IN_PROGRESS" {
			return scan.Result{State: scan.InProgress}, nil
		} else if !a.isContinuedBy(page, status) {
			// The findings would be a mixture.
			return scan.Result{}, &scan.Error{Code: scan.Unavailable, Message: "the scan result changed while it was read"}
		}
		a.add(page.ImageScanFindings)
		next := aws.ToString(page.NextToken)
		if !a.isFinished() || next == "" {
			return a.result(), nil
		}
		if next == aws.ToString(token) || pages == maxPages {
			a.isCut = true
			return a.result(), nil
		}
		token = &next
	}
}

// StartScan implements [rescan.Scanner].
func (c *Client) StartScan(ctx context.Context, repo scan.Repository, digest string) error {
	in := ecr.StartImageScanInput{
		RepositoryName: &repo.Name, RegistryId: &repo.Registry, ImageId: &types.ImageIdentifier{ImageDigest: &digest},
	}
	_, err := call(ctx, c, repo, startScan, c.ecr.StartImageScan, &in)
	return err
}

func (c *Client) findingsPage(ctx context.Context, repo scan.Repository, digest string, size int32, token *string) (*ecr.DescribeImageScanFindingsOutput, error) {
	in := ecr.DescribeImageScanFindingsInput{
		RepositoryName: &repo.Name, RegistryId: &repo.Registry, ImageId: &types.ImageIdentifier{ImageDigest: &digest},
		MaxResults: &size, NextToken: token,
	}
	return call(ctx, c, repo, readScan, c.ecr.DescribeImageScanFindings, &in)
}

// resultOfError returns the result NotScanned for ScanNotFoundException, and err otherwise. The exception means that the
// image was not scanned, was scanned with the other type of scanning, or that its scan has just started. It does not mean
// that the image is clean.
func resultOfError(err error) (scan.Result, error) {
	if isCode(err, "ScanNotFoundException") {
		return scan.Result{State: scan.NotScanned}, nil
	}
	return scan.Result{}, err
}

func statusOf(page *ecr.DescribeImageScanFindingsOutput) (status, description string) {
	if s := page.ImageScanStatus; s != nil {
		return string(s.Status), strings.TrimSpace(aws.ToString(s.Description))
	}
	return "", ""
}

// answer is ECR's answer for one image: the content of all pages.
type answer struct {
	status, description string
	counts              map[string]int32 // nil if no page contains them
	completedAt         time.Time
	findings            findingLists
	isEnhanced, hasList bool
	// listed is the number of findings that ECR sent. updatedAt is the latest date of the enhanced ones.
	listed    scan.Counts
	updatedAt time.Time
	// isCut means that the last page refers to more pages that can't be read.
	isCut bool
}

// isFinished reports whether the scan has ended with a result. ECR may add states.
func (a *answer) isFinished() bool { return a.status == "COMPLETE" || a.status == "ACTIVE" }

// isContinuedBy reports whether a page, with this status, belongs to the same scan as the pages before it.
func (a *answer) isContinuedBy(page *ecr.DescribeImageScanFindingsOutput, status string) bool {
	var at time.Time
	if found := page.ImageScanFindings; found != nil {
		at = aws.ToTime(found.ImageScanCompletedAt).UTC()
	}
	return (status == "" || status == a.status) && (at.IsZero() || a.completedAt.IsZero() || at.Equal(a.completedAt))
}

func (a *answer) add(page *types.ImageScanFindings) {
	if page == nil {
		return
	}
	if a.counts == nil {
		a.counts = page.FindingSeverityCounts
	}
	if a.completedAt.IsZero() && page.ImageScanCompletedAt != nil {
		a.completedAt = page.ImageScanCompletedAt.UTC()
	}
	a.findings.add(page)
	a.hasList = a.hasList || page.Findings != nil || page.EnhancedFindings != nil
	// An enhanced scan without findings has an empty list of them.
	a.isEnhanced = a.isEnhanced || len(page.EnhancedFindings) > 0 || page.EnhancedFindings != nil && page.Findings == nil
	for _, f := range page.Findings {
		a.listed = a.listed.With(scan.ParseSeverity(string(f.Severity)))
	}
	for _, f := range page.EnhancedFindings {
		a.listed = a.listed.With(scan.ParseSeverity(aws.ToString(f.Severity)))
		for _, at := range []*time.Time{f.UpdatedAt, f.LastObservedAt} {
			if at := aws.ToTime(at).UTC(); at.After(a.updatedAt) {
				a.updatedAt = at
			}
		}
	}
}

// result converts the answer. An answer with findings is a result, even without counts or the time of the scan. An answer without findings
// and without these is not ready yet, so it is not completed.
func (a *answer) result() scan.Result {
	result := scan.Result{Continuous: a.status == "ACTIVE", Enhanced: a.status == "ACTIVE" || a.isEnhanced}
	switch {
	case a.isFinished():
		completedAt := a.completedAt
		if completedAt.IsZero() {
			completedAt = a.updatedAt
		}
		if completedAt.IsZero() || a.counts == nil && len(a.listed) == 0 {
			result.State, result.Reason = scan.NotScanned, "result not ready"
			return result
		}
		result.State, result.CompletedAt, result.Incomplete = scan.Completed, completedAt, a.isCut
		a.findings.setIn(&result)
		for severity, n := range unlisted(countsOf(a.counts), a.listed) {
			result.Counts[severity] += n
			result.Unlisted += n
		}
		result.KindUnknown = !a.hasList && !result.Continuous
		result.Incomplete = result.Incomplete || !a.hasList && result.Unlisted > 0
	case a.status == "IN_PROGRESS":
		result.State = scan.InProgress
	case a.status == "FAILED":
		result.State, result.Reason = scan.Failed, withDefault(a.description, "no reason given")
	default:
		result.State, result.Reason = scan.NotScanned, statusReason(a.status)
	}
	return result
}

// unlisted returns the findings that ECR counts but did not send.
func unlisted(counted, listed scan.Counts) scan.Counts {
	missing := scan.Counts{}
	for severity, n := range counted {
		if n > listed[severity] {
			missing[severity] = n - listed[severity]
		}
	}
	return missing
}

// statusReason returns a reason for users of a status that has no result.
func statusReason(status string) string {
	switch status {
	case "":
		return ""
	case "UNSUPPORTED_IMAGE":
		return "unsupported image"
	case "LIMIT_EXCEEDED":
		return "scan limit exceeded"
	case "IMAGE_ARCHIVED":
		return string(scan.Archived)
	}
	return strings.ToLower(strings.ReplaceAll(status, "_", " "))
}

func countsOf(counts map[string]int32) scan.Counts {
	sum := make(scan.Counts, len(counts))
	for severity, n := range counts {
		if n != 0 { // a count of zero is the same as a missing count
			sum[scan.ParseSeverity(severity)] += int(n)
		}
	}
	return sum
}

func withDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
