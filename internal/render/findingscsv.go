package render

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// FindingsCSV returns a page of a listing as a table with a row for each finding. The first page also has a row without a finding for each image or
// config without a current result. Without these rows, such images would look clean.
func FindingsCSV(l report.Listing, safe SafeFor) ([]byte, error) {
	head := []string{
		"id", "severity", "vulnerability", "package", "versions", "fixedIn", "fixAvailable", "exploit", "score", "vector",
		"region", "registry", "repository", "tag", "platform", "digest", "images", "imageCount", "published", "updated", "resolved", "url", "description",
		"state", "reason", "asOf", "relatedIds", "scoreSource", "inUse", "lastInUseAt",
		"ecosystem", "arch", "paths", "purl", "suppressed", "suppressedUntil",
	}
	var withoutResult [][]string
	if l.View.Page <= 1 {
		withoutResult = withoutResultRows(l)
	}
	return fitFindings(l, func(findings []FindingData) ([]byte, error) {
		rows := make([][]string, 0, len(findings)+len(withoutResult))
		for _, d := range findings {
			rows = append(rows, findingCells(d, "", "", ""))
		}
		return writeCSV(head, append(rows, withoutResult...), safe)
	})
}

// findingCells returns a row. A finding has no state, reason and asOf.
func findingCells(d FindingData, state, reason, asOf string) []string {
	score := ""
	if d.Score != nil {
		score = strconv.FormatFloat(*d.Score, 'f', -1, 64)
	}
	suppressed := cmp.Or(d.Suppressed, &SuppressionData{})
	return []string{
		d.ID, d.Severity, d.Vulnerability, packageCell(d), listCell(d.Versions), listCell(d.FixedIn), d.FixAvailable, d.Exploit, score, d.Vector,
		d.Region, d.Registry, d.Repository, d.Tag, d.Platform, d.Digest, listCell(d.Images), optionalCount(d.ImageCount), d.Published, d.Updated, d.Resolved, d.URL,
		OneLine(d.Description, MaxSummary), state, reason, asOf, listCell(d.RelatedIDs), d.ScoreSource, optionalCount(d.InUse), d.LastInUseAt,
		listCell(d.Ecosystem), listCell(d.Arch), listCell(d.Paths), listCell(d.Purl), suppressed.Reason, suppressed.Until,
	}
}

// packageCell returns the name of the package of a finding, or the list of names of an enhanced finding.
func packageCell(d FindingData) string {
	var names []string
	for _, p := range d.Packages {
		if p.Name != "" && !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return d.Package
	}
	return listCell(names)
}

// listCell joins a list so that a program can split it again: no value contains the separator.
func listCell(values []string) string {
	escaped := make([]string, len(values))
	for i, s := range values {
		escaped[i] = strings.ReplaceAll(s, "|", "%7C")
	}
	return strings.Join(escaped, " | ")
}

// optionalCount returns an empty text for 0.
func optionalCount(n int) string { return number(n, n > 0) }

// withoutResultRows returns a row without a finding for each image or config without a current result.
func withoutResultRows(l report.Listing) [][]string {
	withoutResult, more := WithoutResult(l)
	var rows [][]string
	for _, d := range append(withoutResult, ShortLists(l)...) {
		image := FindingData{repositoryData: d.repositoryData, Tag: d.Tag, Platform: d.Platform, Digest: d.Digest}
		rows = append(rows, findingCells(image, d.State, d.Reason, d.AsOf))
	}
	if more > 0 {
		rows = append(rows, findingCells(FindingData{}, string(scan.NotScanned), fmt.Sprintf("and %d more without a current result", more), ""))
	}
	return rows
}
