package ecrscan

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"ecr-continuous-scan/internal/scan"
)

// Findings implements [refresh.Registry]. Each page contains the counts of the whole image and a part of its findings.
func (c *Client) Findings(ctx context.Context, repo scan.Repository, digest string) (scan.Result, error) {
	page, err := c.findingsPage(ctx, repo, digest, pageSize, nil)
	if err != nil {
		return resultOfError(err)
	}
	result := resultOf(page)
	if result.State != scan.Completed {
		return result, nil
	}
	var findings []scan.Finding
	for {
		findings = append(findings, findingsOf(page.ImageScanFindings)...)
		token := page.NextToken
		if token == nil || *token == "" {
			break
		}
		if page, err = c.findingsPage(ctx, repo, digest, pageSize, token); err != nil {
			return resultOfError(err)
		}
		switch next := resultOf(page); {
		case next.State == scan.InProgress:
			return next, nil
		case next.State != scan.Completed, !next.CompletedAt.Equal(result.CompletedAt), aws.ToString(page.NextToken) == *token:
			// The result changed between two pages, or ECR returned the same token twice. The findings would be a mixture
			// or incomplete.
			return scan.Result{}, &scan.Error{Code: scan.Unavailable, Message: "the scan result changed while it was read"}
		}
	}
	result.Findings = scan.MergeFindings(findings)
	return result, nil
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

// resultOf converts the state of a scan. ECR may add states. A completed scan without counts or without a time is not
// readable yet and therefore not treated as completed.
func resultOf(page *ecr.DescribeImageScanFindingsOutput) scan.Result {
	var status, description string
	if s := page.ImageScanStatus; s != nil {
		status, description = string(s.Status), strings.TrimSpace(aws.ToString(s.Description))
	}
	found := page.ImageScanFindings
	result := scan.Result{Continuous: status == "ACTIVE", Enhanced: status == "ACTIVE" || found != nil && len(found.EnhancedFindings) > 0}
	switch status {
	case "COMPLETE", "ACTIVE":
		if found == nil || found.FindingSeverityCounts == nil || found.ImageScanCompletedAt == nil {
			result.State, result.Reason = scan.NotScanned, "result not ready"
			return result
		}
		if len(found.FindingSeverityCounts) == 0 && len(found.Findings)+len(found.EnhancedFindings) > 0 {
			result.State, result.Reason = scan.NotScanned, "result not ready" // findings without counts: not clean
			return result
		}
		result.State, result.Counts, result.CompletedAt = scan.Completed, countsOf(found.FindingSeverityCounts), found.ImageScanCompletedAt.UTC()
	case "IN_PROGRESS":
		result.State = scan.InProgress
	case "FAILED":
		result.State, result.Reason = scan.Failed, withDefault(description, "no reason given")
	default:
		result.State, result.Reason = scan.NotScanned, statusReason(status)
	}
	return result
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
