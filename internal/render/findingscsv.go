package render

import (
	"fmt"
	"strconv"
	"strings"

	"ecr-continuous-scan/internal/report"
	"ecr-continuous-scan/internal/scan"
)

// FindingsCSV is a page of a listing as a table with a row for each finding. The first page also has, behind them, a row without a finding for
// each image or config of which nothing current is known: a table that left them out would call them clean.
func FindingsCSV(l report.Listing) ([]byte, error) {
	head := []string{
		"id", "severity", "vulnerability", "package", "versions", "fixedIn", "fixAvailable", "exploit", "score", "vector",
		"region", "registry", "repository", "tag", "platform", "digest", "images", "imageCount", "published", "updated", "resolved", "url", "description",
		"state", "reason", "asOf",
	}
	var unread [][]string
	if l.View.Page <= 1 {
		unread = unreadRows(l, len(head))
	}
	return fitFindings(l, func(findings []FindingData) ([]byte, error) {
		rows := make([][]string, 0, len(findings)+len(unread))
		for _, d := range findings {
			rows = append(rows, findingCells(d))
		}
		return writeCSV(head, append(rows, unread...))
	})
}

func findingCells(d FindingData) []string {
	score, count := "", ""
	if d.Score != nil {
		score = strconv.FormatFloat(*d.Score, 'f', -1, 64)
	}
	if d.ImageCount > 0 {
		count = strconv.Itoa(d.ImageCount)
	}
	return []string{
		d.ID, d.Severity, d.Vulnerability, d.Package, strings.Join(d.Versions, ", "), strings.Join(d.FixedIn, ", "), d.FixAvailable, d.Exploit, score, d.Vector,
		d.Region, d.Registry, d.Repository, d.Tag, d.Platform, d.Digest, strings.Join(d.Images, ", "), count, d.Published, d.Updated, d.Resolved, d.URL,
		OneLine(d.Description, MaxSummary), "", "", "",
	}
}

// unreadRows have so many columns, the last three of which are state, reason and asOf.
func unreadRows(l report.Listing, columns int) [][]string {
	unread, more := UnreadOf(l)
	var rows [][]string
	row := func(state, reason, asOf string) []string {
		cells := make([]string, columns)
		copy(cells[columns-3:], []string{state, reason, asOf})
		return cells
	}
	for _, d := range unread {
		cells := row(d.State, d.Reason, d.AsOf)
		copy(cells[10:], []string{d.Region, d.Registry, d.Repository, d.Tag, d.Platform, d.Digest})
		rows = append(rows, cells)
	}
	if more > 0 {
		rows = append(rows, row(string(scan.NotScanned), fmt.Sprintf("and %d more without a current result", more), ""))
	}
	return rows
}
